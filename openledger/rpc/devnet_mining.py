"""``evm_``: time, mining and snapshots of a solo devnet; the same under ``anvil_`` and ``hardhat_`` where they have it.

Return values are those of anvil, and hardhat's under its own prefix. ``evm_setIntervalMining`` takes seconds as anvil
does; ``hardhat_setIntervalMining`` takes milliseconds.
"""

from __future__ import annotations

from openledger.rpc.backend import Backend
from openledger.rpc.devnet_args import AmountArg, CountArg, MineArg, MineOptions, UintArg
from openledger.rpc.formats import Json, block_json, quantity
from openledger.rpc.params import FlagArg
from openledger.rpc.ports import Devnet

MILLISECONDS_FROM = 10**12
"""Times above this are milliseconds, as anvil reads them."""


class Mining:
    """What all prefixes share."""

    def __init__(self, backend: Backend, devnet: Devnet) -> None:
        self._backend = backend
        self._devnet = devnet

    def get_automine(self) -> bool:
        """Whether a transaction makes its block at once."""
        return self._devnet.automine

    def increase_time(self, seconds: UintArg) -> int:
        """Jump forward; the whole shift of the clock in seconds."""
        return self._devnet.increase_time(seconds)

    def set_next_block_timestamp(self, timestamp: UintArg) -> None:
        """Timestamp of the next block; the clock goes on from there."""
        self._devnet.set_next_timestamp(timestamp)

    def set_time(self, timestamp: UintArg) -> int:
        """Show this time (seconds, or milliseconds) from now on; the seconds that it lies ahead."""
        return self._devnet.set_time(timestamp // 1000 if timestamp >= MILLISECONDS_FROM else timestamp)

    async def snapshot(self) -> str:
        """Remember this moment: chain, native state, mempool, clock; its id."""
        return quantity(await self._devnet.snapshot())

    async def revert(self, snapshot: UintArg) -> bool:
        """Back to a snapshot, which is used up with all later ones; false for an unknown id."""
        return await self._devnet.revert(snapshot)

    async def _ahead(self, options: MineOptions) -> None:
        if options.timestamp is not None:
            self._devnet.set_next_timestamp(options.timestamp)
        await self._devnet.mine(options.blocks)

    async def _detailed(self, options: MineOptions) -> list[Json]:
        """The blocks that were made, with their transactions."""
        first = self._backend.head().number + 1
        await self._ahead(options)
        blocks = [self._backend.app.store.block(number) for number in range(first, first + options.blocks)]
        return [block_json(block, True, self._backend.chain_id) for block in blocks if block is not None]


class Evm(Mining):
    """ganache's names, as everybody has them."""

    def set_automine(self, on: FlagArg) -> bool:
        """Whether a transaction makes its block at once."""
        self._devnet.set_automine(on)
        return True

    def set_interval_mining(self, seconds: UintArg) -> bool:
        """A block every so many seconds instead; 0 ends it."""
        self._devnet.set_interval(seconds or None)
        return True

    async def mine(self, options: MineArg = MineOptions()) -> str:  # noqa: B008 (frozen)
        """Make blocks now, one unless told otherwise."""
        await self._ahead(options)
        return "0x0"

    async def mine__detailed(self, options: MineArg = MineOptions()) -> list[Json]:  # noqa: B008 (frozen)
        """The same, and the blocks with their transactions."""
        return await self._detailed(options)


class AnvilMining(Mining):
    """anvil's names."""

    def set_automine(self, on: FlagArg) -> None:
        """Whether a transaction makes its block at once."""
        self._devnet.set_automine(on)

    def set_interval_mining(self, seconds: UintArg) -> None:
        """A block every so many seconds instead; 0 ends it."""
        self._devnet.set_interval(seconds or None)

    def get_interval_mining(self) -> int | None:
        """Seconds between blocks, null where they come on demand."""
        return None if self._devnet.interval is None else int(self._devnet.interval)

    async def mine(self, blocks: CountArg = 1, interval: UintArg | None = None) -> None:
        """Make so many blocks now, ``interval`` seconds apart."""
        await self._devnet.mine(blocks, jump=interval, jump_first=True)

    async def mine__detailed(self, options: MineArg = MineOptions()) -> list[Json]:  # noqa: B008 (frozen)
        """As ``evm_mine_detailed``."""
        return await self._detailed(options)

    def set_block_timestamp_interval(self, seconds: UintArg) -> None:
        """From now on every block is so many seconds after the one before."""
        self._devnet.set_timestamp_interval(seconds)

    def remove_block_timestamp_interval(self) -> bool:
        """Back to the clock; whether there was an interval."""
        return self._devnet.set_timestamp_interval(None)


class HardhatMining:
    """Hardhat's names for what it does not share with ``evm_``."""

    def __init__(self, backend: Backend, devnet: Devnet) -> None:
        self._backend = backend
        self._devnet = devnet

    def get_automine(self) -> bool:
        """Whether a transaction makes its block at once."""
        return self._devnet.automine

    def set_interval_mining(self, milliseconds: AmountArg) -> bool:
        """A block every so many milliseconds instead; 0 ends it."""
        self._devnet.set_interval(milliseconds / 1000 or None)
        return True

    async def mine(self, blocks: CountArg = 1, interval: UintArg = 1) -> bool:
        """Make so many blocks now, ``interval`` seconds apart from the second on."""
        await self._devnet.mine(blocks, jump=interval)
        return True

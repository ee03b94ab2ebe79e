"""State edits of a solo devnet under the prefixes of anvil, hardhat and tenderly.

An edit is read at once under "latest", and becomes part of the next block; it makes no block of its own. Wei that an
edit makes or takes away are counted apart (``openledger_getSupply``: edited, editedAway).
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from openledger.abci_app.edits import AccountEdit, Edits, SlotEdit
from openledger.primitives.errors import InvalidJson, OpenLedgerError
from openledger.primitives.jsonio import parse_json
from openledger.primitives.types import Address, parse_address, to_hex
from openledger.rpc.backend import MIB, Backend
from openledger.rpc.devnet_args import AmountArg, UintArg, WordArg, parse_amount, parse_uint
from openledger.rpc.dump import dump_accounts
from openledger.rpc.errors import invalid_params
from openledger.rpc.params import LATEST, AddressArg, DataArg, FlagArg, parse_data, parse_object
from openledger.rpc.ports import Devnet

MAX_DUMP = 512 * MIB


class Edit:
    """The edits themselves; subclasses give them the names and answers of a tool."""

    def __init__(self, backend: Backend, devnet: Devnet) -> None:
        self._backend = backend
        self._devnet = devnet

    async def _account(self, address: Address, **values: tuple[Any, ...]) -> None:
        await self._devnet.edit(
            lambda edits: replace(edits, accounts=(*edits.accounts, AccountEdit(address, **values)))
        )

    async def _balance(self, address: Address, wei: int) -> None:
        await self._account(address, balance=(wei,))

    async def _more(self, address: Address, wei: int) -> None:
        account = self._backend.state(LATEST).account(address)
        total = wei + (account.balance if account else 0)
        await self._balance(address, min(total, (1 << 256) - 1))

    async def _slot(self, address: Address, slot: int, value: bytes) -> None:
        edit = SlotEdit(address, slot, int.from_bytes(value, "big"))
        await self._devnet.edit(lambda edits: replace(edits, slots=(*edits.slots, edit)))

    async def _block(self, **values: tuple[Any, ...]) -> None:
        change: Callable[[Edits], Edits] = lambda edits: replace(edits, **values)  # noqa: E731
        await self._devnet.edit(change)

    async def _load(self, raw: bytes) -> None:
        accounts, slots = read_dump(raw)
        await self._devnet.edit(
            lambda edits: replace(edits, accounts=(*edits.accounts, *accounts), slots=(*edits.slots, *slots))
        )

    def _dump(self) -> str:
        text = json.dumps(dump_accounts(self._backend), separators=(",", ":"))
        return to_hex(gzip.compress(text.encode(), mtime=0))


class AnvilState(Edit):
    """anvil's names; answers null where anvil does."""

    async def set_balance(self, address: AddressArg, wei: AmountArg) -> None:
        """Balance of an account, in wei."""
        await self._balance(address, wei)

    async def add_balance(self, address: AddressArg, wei: AmountArg) -> None:
        """More wei for an account."""
        await self._more(address, wei)

    async def set_code(self, address: AddressArg, code: DataArg) -> None:
        """Code of an account."""
        await self._account(address, code=(code,))

    async def set_nonce(self, address: AddressArg, nonce: UintArg) -> None:
        """Nonce of an account."""
        await self._account(address, nonce=(nonce,))

    async def set_storage_at(self, address: AddressArg, slot: AmountArg, value: WordArg) -> bool:
        """A storage slot of an account."""
        await self._slot(address, slot, value)
        return True

    async def set_coinbase(self, address: AddressArg) -> None:
        """Who earns the priority fees from the next block on."""
        await self._block(coinbase=(address,))

    async def set_next_block_base_fee_per_gas(self, wei: AmountArg) -> None:
        """Base fee of the next block, in wei per gas; the one after follows from it."""
        await self._block(base_fee=(wei,))

    async def set_next_block_prev_randao(self, value: WordArg) -> None:
        """``prevrandao`` of the next block."""
        await self._block(prevrandao=(value,))

    async def set_block_gas_limit(self, gas: UintArg) -> bool:
        """Gas limit of the blocks from the next on."""
        await self._block(gas_limit=(gas,))
        return True

    def dump_state(self, preserve_history: FlagArg = False) -> str:
        """All accounts with code and storage (native records are not among them), as anvil writes them: gzipped JSON.
        The past is never in it."""
        return self._dump()

    async def load_state(self, dump: DataArg) -> bool:
        """Take over the accounts of a dump, anvil's or this one's."""
        await self._load(dump)
        return True


class HardhatState(Edit):
    """Hardhat's names; answers true."""

    async def set_balance(self, address: AddressArg, wei: AmountArg) -> bool:
        """Balance of an account, in wei."""
        await self._balance(address, wei)
        return True

    async def add_balance(self, address: AddressArg, wei: AmountArg) -> bool:
        """More wei for an account."""
        await self._more(address, wei)
        return True

    async def set_code(self, address: AddressArg, code: DataArg) -> bool:
        """Code of an account."""
        await self._account(address, code=(code,))
        return True

    async def set_nonce(self, address: AddressArg, nonce: UintArg) -> bool:
        """Nonce of an account."""
        await self._account(address, nonce=(nonce,))
        return True

    async def set_storage_at(self, address: AddressArg, slot: AmountArg, value: WordArg) -> bool:
        """A storage slot of an account."""
        await self._slot(address, slot, value)
        return True

    async def set_coinbase(self, address: AddressArg) -> bool:
        """Who earns the priority fees from the next block on."""
        await self._block(coinbase=(address,))
        return True

    async def set_next_block_base_fee_per_gas(self, wei: AmountArg) -> bool:
        """Base fee of the next block, in wei per gas; the one after follows from it."""
        await self._block(base_fee=(wei,))
        return True

    async def set_prev_randao(self, value: WordArg) -> bool:
        """``prevrandao`` of the next block."""
        await self._block(prevrandao=(value,))
        return True

    def dump_state(self) -> str:
        """As ``anvil_dumpState``."""
        return self._dump()

    async def load_state(self, dump: DataArg) -> bool:
        """As ``anvil_loadState``."""
        await self._load(dump)
        return True


class EvmState(Edit):
    """The two that go by ``evm_``."""

    async def set_block_gas_limit(self, gas: UintArg) -> bool:
        """Gas limit of the blocks from the next on."""
        await self._block(gas_limit=(gas,))
        return True

    async def set_account_nonce(self, address: AddressArg, nonce: UintArg) -> bool:
        """Nonce of an account."""
        await self._account(address, nonce=(nonce,))
        return True


class TenderlyState(Edit):
    """Tenderly's names."""

    async def set_balance(self, address: AddressArg, wei: AmountArg) -> None:
        """Balance of an account, in wei."""
        await self._balance(address, wei)

    async def add_balance(self, address: AddressArg, wei: AmountArg) -> None:
        """More wei for an account."""
        await self._more(address, wei)


# --- dumps ------------------------------------------------------------------------------------------------


def read_dump(raw: bytes) -> tuple[list[AccountEdit], list[SlotEdit]]:
    """Edits that make the accounts of a dump: JSON, gzipped or not, with ``accounts``. Raises RpcError."""
    try:
        text = _unzip(raw) if raw[:2] == b"\x1f\x8b" else raw
        found = parse_object(parse_object(parse_json(text)).get("accounts"))
        accounts, slots = [], []
        for name, given in found.items():
            address, entry = parse_address(name), parse_object(given)
            accounts.append(
                AccountEdit(
                    address,
                    (parse_amount(entry.get("balance", 0)),),
                    (parse_uint(entry.get("nonce", 0)),),
                    (parse_data(entry.get("code", "0x")),),
                )
            )
            for slot, value in parse_object(entry.get("storage") or {}).items():
                slots.append(SlotEdit(address, parse_amount(slot), parse_amount(value)))
    except (InvalidJson, ValueError, zlib.error, EOFError, OSError) as err:
        raise invalid_params(f"not a state dump: {err}") from None
    except OpenLedgerError as err:
        raise invalid_params(f"not a state dump: {err.message}") from None
    return accounts, slots


def _unzip(raw: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    text = unpacker.decompress(raw, MAX_DUMP)
    if not unpacker.eof:
        raise ValueError(f"it is cut off, or larger than {MAX_DUMP // MIB} MiB")
    return text

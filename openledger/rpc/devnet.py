"""The namespaces of a solo devnet, registered there and nowhere else: a network's node answers -32601 to them."""

from __future__ import annotations

import logging

from openledger.primitives.hashing import keccak256
from openledger.primitives.types import to_hex
from openledger.rpc.backend import Backend
from openledger.rpc.devnet_accounts import (
    AnvilImpersonation,
    EthAccounts,
    Faucet,
    HardhatImpersonation,
    Impersonation,
    Personal,
    Wallet,
)
from openledger.rpc.devnet_args import AmountArg, UintArg
from openledger.rpc.devnet_mining import AnvilMining, Evm, HardhatMining
from openledger.rpc.devnet_reorg import AnvilReorg
from openledger.rpc.devnet_state import AnvilState, EvmState, HardhatState, TenderlyState
from openledger.rpc.devnet_tokens import AnvilTokens, HardhatTokens
from openledger.rpc.errors import SERVER_ERROR, RpcError, invalid_params
from openledger.rpc.eth import EthState
from openledger.rpc.eth_calls import EthCalls
from openledger.rpc.formats import Json, quantity, read_transaction, sender_of
from openledger.rpc.params import AddressArg, FlagArg, HashArg, ObjectArg
from openledger.rpc.ports import Devnet


class Facts:
    """Facts about this devnet, its end and its beginning, and the way out of the mempool."""

    def __init__(self, backend: Backend, devnet: Devnet) -> None:
        self._backend = backend
        self._devnet = devnet

    def metadata(self) -> Json:
        """Version, chain, newest block, and an id that each start and each reset changes."""
        head, fork = self._backend.head(), self._devnet.fork
        found: Json = {
            "clientVersion": self._backend.client_version,
            "chainId": self._backend.chain_id,
            "latestBlockHash": to_hex(head.hash),
            "latestBlockNumber": head.number,
            "instanceId": to_hex(self._devnet.instance_id),
            "snapshots": {quantity(n): [height, to_hex(h)] for n, (height, h) in self._devnet.snapshots.items()},
        }
        if fork is not None:
            found["forkedNetwork"] = {
                "chainId": fork.chain_id,
                "forkBlockNumber": fork.block,
                "forkBlockHash": to_hex(fork.block_hash),
            }
        return found

    async def _reset(self, options: Json | None) -> None:
        wanted = (options or {}).get("forking")
        fork = self._devnet.fork
        if wanted and (fork is None or wanted.get("blockNumber") not in (None, fork.block, quantity(fork.block))):
            raise RpcError(
                SERVER_ERROR,
                "a running devnet cannot be moved to another fork",
                {"hint": "start one with: openledger devnet --fork URL@BLOCK"},
            )
        await self._devnet.reset()

    async def _drop(self, transaction: bytes) -> bool:
        return bool(await self._devnet.drop(lambda raw: keccak256(raw) == transaction))

    def set_min_gas_price(self, wei: AmountArg) -> None:
        """Refused, as by anvil and Hardhat where EIP-1559 is in force: the base fee is the least price."""
        raise invalid_params("setMinGasPrice is not supported when EIP-1559 is active")

    def _log(self, on: bool) -> None:
        logging.getLogger("openledger").setLevel(logging.NOTSET if on else logging.ERROR)


class AnvilFacts(Facts):
    """anvil's names."""

    def set_logging_enabled(self, on: FlagArg) -> None:
        """Whether the node logs more than errors."""
        self._log(on)

    def get_genesis_time(self) -> int:
        """Timestamp of the first block."""
        first = self._backend.app.store.header(self._backend.app.genesis.initial_height - 1)
        return self._backend.head().timestamp if first is None else first.timestamp

    async def rollback(self, depth: UintArg = 1) -> None:
        """Undo so many of the newest blocks; what waits in the mempool stays."""
        await self._devnet.rollback(depth)

    def node_info(self) -> Json:
        """Newest block, rules, prices, and where a fork comes from."""
        head, fork = self._backend.head(), self._devnet.fork
        base_fee = self._backend.app.next_base_fee()
        return {
            "currentBlockNumber": quantity(head.number),
            "currentBlockTimestamp": head.timestamp,
            "currentBlockHash": to_hex(head.hash),
            "hardFork": "prague",
            "transactionOrder": "fees",
            "environment": {
                "baseFee": quantity(base_fee),
                "chainId": self._backend.chain_id,
                "gasLimit": quantity(self._backend.app.params().block_gas_limit),
                "gasPrice": quantity(base_fee),
            },
            "forkConfig": {
                "forkUrl": None if fork is None else fork.url,
                "forkBlockNumber": None if fork is None else fork.block,
                "forkRetryBackoff": None,
            },
        }

    async def reset(self, options: ObjectArg | None = None) -> None:
        """Back to the first block; a forked devnet to its fork."""
        await self._reset(options)

    async def drop_transaction(self, transaction: HashArg) -> str | None:
        """Take a waiting transaction out of the mempool; its hash, null when it was not there."""
        return to_hex(transaction) if await self._drop(transaction) else None

    async def drop_all_transactions(self) -> None:
        """Empty the mempool."""
        await self._devnet.drop(lambda _raw: True)

    async def remove_pool_transactions(self, address: AddressArg) -> None:
        """Take out all that an account has waiting."""
        await self._devnet.drop(lambda raw: sender_of(read_transaction(raw)) == address)


class HardhatFacts(Facts):
    """Hardhat's names."""

    def set_logging_enabled(self, on: FlagArg) -> bool:
        """Whether the node logs more than errors."""
        self._log(on)
        return True

    async def reset(self, options: ObjectArg | None = None) -> bool:
        """Back to the first block; a forked devnet to its fork."""
        await self._reset(options)
        return True

    async def drop_transaction(self, transaction: HashArg) -> bool:
        """Take a waiting transaction out of the mempool; false when it was not there."""
        if self._backend.app.store.transaction(transaction) is not None:
            text = f"Transaction {to_hex(transaction)} cannot be dropped because it's already mined"
            raise RpcError(SERVER_ERROR, text)
        return await self._drop(transaction)

    async def drop_all_transactions(self) -> bool:
        """Empty the mempool."""
        await self._devnet.drop(lambda _raw: True)
        return True


def devnet_namespaces(backend: Backend, devnet: Devnet, state: EthState, calls: EthCalls) -> list[tuple[str, object]]:
    """Everything that a solo devnet has more than a network's node."""
    impersonation = Impersonation(devnet)
    wallet = Wallet(backend, devnet, calls, impersonation)
    accounts = EthAccounts(backend, state, wallet)
    return [
        ("eth", accounts),
        ("personal", Personal(accounts)),
        ("openledger", Faucet(devnet, accounts)),
        ("evm", Evm(backend, devnet)),
        ("evm", EvmState(backend, devnet)),
        ("anvil", AnvilMining(backend, devnet)),
        ("anvil", AnvilState(backend, devnet)),
        ("anvil", AnvilImpersonation(impersonation)),
        ("anvil", AnvilFacts(backend, devnet)),
        ("anvil", AnvilReorg(backend, devnet, wallet, calls)),
        ("anvil", AnvilTokens(devnet, calls)),
        ("hardhat", HardhatMining(backend, devnet)),
        ("hardhat", HardhatState(backend, devnet)),
        ("hardhat", HardhatImpersonation(impersonation)),
        ("hardhat", HardhatFacts(backend, devnet)),
        ("hardhat", HardhatTokens(devnet, calls)),
        ("tenderly", TenderlyState(backend, devnet)),
    ]

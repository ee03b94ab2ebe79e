"""The engine interface (design.md, section 3): ``execute(env, txs, state) -> results, diff, stopped_at``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from openledger.primitives.errors import InvalidTransaction
from openledger.primitives.transactions import Authorization, EthTransaction
from openledger.primitives.types import AccessTuple, Address, Hash32, Log
from openledger.state.ports import Diff, StateReader


@dataclass(frozen=True, slots=True)
class BlockEnv:
    """The block that transactions run in. ``block_hash(n)`` answers for the last 256 blocks, else None.

    ``excess_blob_gas`` is 0 on this chain; the official tests of BLOBBASEFEE set it.
    """

    chain_id: int
    number: int
    timestamp: int
    coinbase: Address
    gas_limit: int
    base_fee: int
    prevrandao: Hash32
    block_hash: Callable[[int], Hash32 | None]
    excess_blob_gas: int = 0


@dataclass(frozen=True, slots=True)
class TxResult:
    """Outcome of one transaction.

    ``refused`` is set when the transaction cannot be in a block at all (wrong nonce, no funds ...): nothing changed and
    no gas was used. Otherwise ``status`` is 1 or 0; ``output`` is return data, or revert data when status is 0;
    ``error`` is the VM's reason ("execution reverted", "out of gas", ...). ``burned`` is wei destroyed by SELFDESTRUCT.
    """

    status: int = 0
    gas_used: int = 0
    logs: tuple[Log, ...] = ()
    output: bytes = b""
    contract_address: Address | None = None
    error: str = ""
    refused: InvalidTransaction | None = None
    burned: int = 0


@dataclass(slots=True)
class ExecutionOutput:
    """``results[i]`` belongs to ``txs[i]`` for i < ``stopped_at``; ``diff`` is relative to the given state.

    ``stopped_at`` is len(txs), or the index after a transaction that left an Outbox log.
    """

    results: list[TxResult] = field(default_factory=list)
    diff: Diff = field(default_factory=Diff)
    stopped_at: int = 0


@dataclass(frozen=True, slots=True)
class CallMessage:
    """A call outside any transaction (eth_call, eth_estimateGas). ``gas_price`` 0 skips balance checks for gas;
    ``max_fee`` is what the sender must be able to pay for each, where that is more."""

    sender: Address
    to: Address | None
    value: int = 0
    data: bytes = b""
    gas: int = 30_000_000
    gas_price: int = 0
    access_list: tuple[AccessTuple, ...] = ()
    authorizations: tuple[Authorization, ...] = ()
    max_fee: int = 0

    @property
    def cap(self) -> int:
        """The most that the sender would pay per gas, in wei."""
        return max(self.gas_price, self.max_fee)


@dataclass(frozen=True, slots=True)
class CallResult:
    """Outcome of a call: like TxResult, ``gas_used`` with intrinsic gas and after refunds."""

    status: int
    gas_used: int
    output: bytes
    logs: tuple[Log, ...] = ()
    error: str = ""


class EvmEngine(Protocol):
    """An implementation of the EVM. Both methods leave ``state`` as it was."""

    name: str

    def execute(
        self, env: BlockEnv, txs: Sequence[EthTransaction], state: StateReader, gas_available: int
    ) -> ExecutionOutput:
        """Run transactions in order on top of ``state``. ``gas_available`` is what is left of the block's gas: a
        transaction whose gas limit is above what remains is refused with GasLimitExceeded. The base fee part of the
        gas is destroyed, the priority fee goes to ``env.coinbase``."""
        ...

    def call(self, env: BlockEnv, message: CallMessage, state: StateReader) -> CallResult:
        """Run one message without checking nonce or signature; nothing is kept."""
        ...

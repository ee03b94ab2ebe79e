"""The native engine: revm behind Python's state, in the extension module ``openledger_native`` (folder ``native/``).

It gives the same bytes as ``PyEvmEngine``; ``tests/differential`` holds it to that. What revm cannot do runs in the
reference engine instead, batch by batch: fees beyond 128 bits, and creations at an address that has storage and nothing
else (EIP-7610). Neither occurs on a chain with this supply and genesis. Traces have the same tracers behind them, and
so the same bytes; a struct log in which an opcode fails for want of gas, stack or rights comes from the reference.

Between blocks it remembers accounts and slots of the head, and code. They come from the head itself and from committed
diffs only, so a proposal that is dropped, or a call, leaves nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

from openledger_native import Engine, NeedsReference

from openledger.evm.addresses import authorities_of, create_address
from openledger.evm.engine import BlockEnv, CallMessage, CallResult, ExecutionOutput, TxResult
from openledger.evm.precompiles import PRECOMPILES, NativePrecompile
from openledger.evm.reasons import REVERTED, revert_text
from openledger.evm.tracing.outside import PlainView
from openledger.evm.tracing.relay import Relay, wants
from openledger.evm.tracing.table import make_tracer
from openledger.evm.tracing.tracer import Budget, Json, Start, TraceBounds, Tracer, Watched
from openledger.evm.validate import Fork, check_call, validate_tx
from openledger.primitives.errors import InvalidTransaction
from openledger.primitives.transactions import EthTransaction
from openledger.primitives.types import OUTBOX_ADDRESS, Account, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import Diff, StateReader
from openledger.state.reader import HeightReader

if TYPE_CHECKING:
    from openledger.evm.pyevm import PyEvmEngine

CACHE_BYTES = 256 * 1024 * 1024
PRAGUE_PRECOMPILES, CANCUN_PRECOMPILES = 17, 10
"""How many precompiles Ethereum has, at the addresses from 1 on."""

Layers: TypeAlias = tuple[
    Mapping[Address, Account | None], Mapping[Address, Mapping[int, int]], Mapping[Address, bool], HeightReader, int
]


class NativeEngine:
    """``EvmEngine`` on revm. ``cache_bytes`` bounds what is remembered between blocks (bytes, about)."""

    name = "revm"

    def __init__(
        self,
        *,
        fork: Fork = Fork.PRAGUE,
        precompiles: Mapping[Address, NativePrecompile] = PRECOMPILES,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.fork = fork
        self._precompiles = precompiles
        ethereum = range(1, (PRAGUE_PRECOMPILES if fork is Fork.PRAGUE else CANCUN_PRECOMPILES) + 1)
        self._precompile_addresses = frozenset(precompiles) | {bytes([*bytes(19), number]) for number in ethereum}
        self._made_reference: PyEvmEngine | None = None
        self._lock = threading.Lock()
        self._engine = Engine(
            prague=fork is Fork.PRAGUE,
            names=SimpleNamespace(
                account=Account, log=Log, result=TxResult, validate=validate_tx, refusal=InvalidTransaction,
                revert_text=_revert_words,
            ),
            outbox=OUTBOX_ADDRESS,
            precompiles=list(precompiles.items()),
            cache_bytes=cache_bytes,
        )  # fmt: skip

    def execute(
        self, env: BlockEnv, txs: Sequence[EthTransaction], state: StateReader, gas_available: int
    ) -> ExecutionOutput:
        """Run transactions in order on top of ``state``; see ``EvmEngine.execute``."""
        try:
            results, accounts, storage, codes, wiped = self._engine.execute(
                env, list(txs), state, gas_available, self.fork, self._layers(state)
            )
        except NeedsReference:
            return self._reference().execute(env, txs, state, gas_available)
        return ExecutionOutput(results, Diff(accounts, storage, codes, {}, wiped), len(results))

    def call(self, env: BlockEnv, message: CallMessage, state: StateReader) -> CallResult:
        """Run one message; nothing is kept. Raises what ``PyEvmEngine.call`` raises."""
        sender = state.account(message.sender)
        check_call(env, message, sender.balance if sender else 0)
        try:
            return CallResult(*self._engine.call(env, message, state, self._layers(state)))
        except NeedsReference:
            return self._reference().call(env, message, state)

    def trace(
        self,
        env: BlockEnv,
        before: Sequence[EthTransaction],
        subject: EthTransaction | CallMessage,
        state: StateReader,
        tracer: str,
        config: Mapping[str, Any],
        bounds: TraceBounds,
        first_log: int = 0,
    ) -> Json:
        """Run ``before``, then trace ``subject``; see ``Tracing.trace``. The reference engine traces what this one
        cannot run, and opcodes of a struct log that fail for want of gas."""
        begun = Overlay(state)
        for tx in before:
            out = self.execute(env, [tx], begun, env.gas_limit)
            if out.results[0].refused is not None:
                raise out.results[0].refused
            begun.apply(out.diff)
        return self.watch(env, subject, begun, lambda: make_tracer(tracer, config, bounds), first_log).tracer.result()

    def watch(
        self,
        env: BlockEnv,
        subject: EthTransaction | CallMessage,
        state: StateReader,
        make: Callable[[], tuple[Tracer, Budget]],
        first_log: int = 0,
    ) -> Watched:
        """Run ``subject`` and tell a tracer of it; see ``Watching.watch``."""
        made, budget = make()
        self._judge(env, subject, state)
        made.start(PlainView(state), self._start(env, subject, state))
        relay, is_call = Relay(made, budget, state, first_log), isinstance(subject, CallMessage)
        try:
            gas_used, accounts, storage, codes, wiped = self._engine.trace(
                env, subject, state, self._layers(state), is_call, relay, wants(made, budget)
            )
        except NeedsReference:
            return self._reference().watch(env, subject, state, make, first_log)
        diff = Diff(accounts, storage, codes, {}, wiped)
        ended = Overlay(state)
        ended.apply(diff)
        made.end(PlainView(ended), gas_used)
        return Watched(made, diff, gas_used)

    def _judge(self, env: BlockEnv, subject: EthTransaction | CallMessage, state: StateReader) -> None:
        if isinstance(subject, CallMessage):
            sender = state.account(subject.sender)
            check_call(env, subject, sender.balance if sender else 0)
        else:
            validate_tx(env, subject, state, env.gas_limit, fork=self.fork)

    def _start(self, env: BlockEnv, subject: EthTransaction | CallMessage, state: StateReader) -> Start:
        sender = state.account(subject.sender)
        created = create_address(subject.sender, sender.nonce if sender else 0) if subject.to is None else None
        return Start(
            subject.sender, subject.to, created, subject.gas, env.coinbase, authorities_of(subject.authorizations),
            self._precompile_addresses,
        )  # fmt: skip

    def cache_size(self) -> tuple[int, int]:
        """Bytes remembered, about: (accounts and slots, code)."""
        return self._engine.cache_size()

    def _reference(self) -> PyEvmEngine:
        """Made when it is first needed: importing py-evm takes a second."""
        if self._made_reference is None:
            from openledger.evm.pyevm import PyEvmEngine

            self._made_reference = PyEvmEngine(fork=self.fork, precompiles=self._precompiles)
        return self._made_reference

    def _layers(self, state: StateReader) -> Layers | None:
        """How to reach the head below ``state``, when the memory is of that head; None reads through ``state``."""
        below = state.beneath() if isinstance(state, Overlay) else state
        if not isinstance(below, HeightReader) or (head := below.head()) is None:
            return None
        store, generation = head
        with self._lock:
            known = self._engine.generation(store)
            if known is not None and known + 1 == generation and (diff := store.committed(generation)) is not None:
                self._engine.advance(diff)
            elif known is None or known < generation:
                self._engine.restart(store, generation)
            elif known > generation:
                return None
        own = state.tables() if isinstance(state, Overlay) else ({}, {}, {})
        return (*own, below, generation)


def _revert_words(data: bytes) -> str:
    said = revert_text(data)
    return REVERTED if said is None else f"{REVERTED}: {said}"

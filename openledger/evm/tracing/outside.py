"""Traces of what happens outside the EVM, a native or a system transaction: a single call frame to the module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openledger.evm.tracing.table import make_tracer
from openledger.evm.tracing.tracer import Frame, Json, Left, Start, TraceBounds, Tracer
from openledger.primitives.types import Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import Diff, StateReader


@dataclass(frozen=True, slots=True)
class Outside:
    """One transaction outside the EVM and what it did. ``error`` is empty for success."""

    sender: Address
    to: Address
    input: bytes
    gas: int
    gas_used: int
    error: str
    logs: tuple[Log, ...]
    coinbase: Address


class PlainView:
    """``View`` over a state."""

    def __init__(self, state: StateReader) -> None:
        self._state = state

    def get_balance(self, address: Address) -> int:
        account = self._state.account(address)
        return account.balance if account else 0

    def get_nonce(self, address: Address) -> int:
        account = self._state.account(address)
        return account.nonce if account else 0

    def get_code(self, address: Address) -> bytes:
        account = self._state.account(address)
        return self._state.code(account.code_hash) if account else b""

    def get_storage(self, address: Address, slot: int) -> int:
        return self._state.storage(address, slot)


def trace_outside(
    what: Outside,
    state: StateReader,
    effects: Diff,
    tracer: str,
    config: Mapping[str, Any],
    bounds: TraceBounds,
    first_log: int = 0,
) -> Json:
    """JSON in the form of the named tracer; no opcode runs. ``effects`` is relative to ``state``. A native record shows
    as the storage slot that commits to it. Raises CallFailed as ``Tracing.trace`` does."""
    made, _ = make_tracer(tracer, config, bounds)
    watch_outside(what, state, effects, made, first_log)
    return made.result()


def watch_outside(what: Outside, state: StateReader, effects: Diff, made: Tracer, first_log: int = 0) -> None:
    """Tell any tracer of it."""
    before, after = PlainView(state), Overlay(state)
    after.apply(effects)
    made.start(before, Start(what.sender, what.to, None, what.gas, what.coinbase, (), frozenset((what.to,))))
    for address in sorted({*effects.accounts, *(a for a, _ in effects.storage)}):
        made.touch(before, address, sorted(slot for owner, slot in effects.storage if owner == address))
    made.enter(Frame("CALL", what.sender, what.to, what.input, what.gas, 0, 0))
    for number, log in enumerate(what.logs):
        made.log(log, first_log + number)
    made.leave(Left(b"", what.gas_used, what.error), 0)
    made.end(PlainView(after), what.gas_used)

"""``trace_replay…``: a transaction once more, with what was asked for: its calls (``trace``), what it changed
(``stateDiff``), the opcodes that ran (``vmTrace``)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from openledger.abci_app.replay import Moment
from openledger.evm.tracing.flat import FlatTracer
from openledger.evm.tracing.mux import MuxTracer
from openledger.evm.tracing.outcome import OutcomeTracer
from openledger.evm.tracing.prestate import PrestateOptions, PrestateTracer
from openledger.evm.tracing.tracer import Budget, TraceBounds, Tracer
from openledger.evm.tracing.vm_trace import VmTracer
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import to_hex
from openledger.rpc.backend import Backend
from openledger.rpc.formats import Json
from openledger.rpc.params import BlockArg, HashArg
from openledger.rpc.replays import moment_of, moments_of, watch_moment
from openledger.rpc.watchers import Watchers
from openledger.rpc.work import Workers

KINDS = ("trace", "stateDiff", "vmTrace")
ZERO_WORD = "0x" + "00" * 32


def parse_kinds(value: Any) -> frozenset[str]:
    """What of KINDS is wanted."""
    if not isinstance(value, list) or not set(map(str, value)) <= set(KINDS):
        raise ValueError("a list of: " + ", ".join(KINDS))
    return frozenset(value)


KindsArg = Annotated[frozenset[str], parse_kinds]


class TraceReplay:
    """Transactions of stored blocks once more."""

    def __init__(self, backend: Backend, workers: Workers) -> None:
        self._backend = backend
        self._workers = workers
        self._watchers = Watchers(backend)

    async def replay_transaction(self, tx_hash: HashArg, kinds: KindsArg) -> Json | None:
        """A transaction once more; null for an unknown one."""
        place = self._backend.app.store.transaction(tx_hash)
        return None if place is None else await self._workers.compute_json(self._one, *place, kinds)

    async def replay_block_transactions(self, block: BlockArg, kinds: KindsArg) -> list[Json] | None:
        """All transactions of a block once more; null for an unknown one."""
        number = self._backend.number(block)
        return None if number is None else await self._workers.compute_json(self._all, number, kinds)

    def _one(self, number: int, index: int, kinds: frozenset[str]) -> Json:
        return self._shown(moment_of(self._backend, number, index), kinds, self._watchers.bounds())

    def _all(self, number: int, kinds: frozenset[str]) -> list[Json]:
        if number == 0:
            return []
        bounds = self._watchers.bounds()
        return [
            self._shown(moment, kinds, bounds) | {"transactionHash": to_hex(keccak256(moment.raw))}
            for moment in moments_of(self._backend, number, bounds)
        ]

    def _shown(self, moment: Moment, kinds: frozenset[str], bounds: TraceBounds) -> Json:
        return shown(watch_moment(self._watchers.engine(), moment, partial(make_tracers, kinds, bounds)))


def shown(outcome: Tracer) -> Json:
    """What the tracers of ``make_tracers`` were told, as OpenEthereum says it."""
    if not isinstance(outcome, OutcomeTracer):
        raise TypeError("the engine gave another tracer back")
    found = outcome.inner.result()
    changes = found.get("stateDiff")
    return {
        "output": to_hex(outcome.output),
        "trace": found.get("trace", []),
        "stateDiff": None if changes is None else state_diff(changes["pre"], changes["post"]),
        "vmTrace": found.get("vmTrace"),
    }


def make_tracers(kinds: frozenset[str], bounds: TraceBounds) -> tuple[Tracer, Budget]:
    """Tracers of these ``KINDS`` in one, within a budget."""
    budget = Budget(bounds)
    made: dict[str, Callable[[], Tracer]] = {
        "trace": lambda: FlatTracer(budget, parity=True, inner=True),
        "stateDiff": lambda: PrestateTracer(budget, PrestateOptions(diff=True)),
        "vmTrace": lambda: VmTracer(budget),
    }
    inner = MuxTracer({kind: made[kind]() for kind in KINDS if kind in kinds})
    return OutcomeTracer(budget, inner=inner), budget


def state_diff(before: Json, after: Json) -> Json:
    """geth's ``pre`` and ``post`` of what changed, in OpenEthereum's form: "=" for the same, "*" with from and to for a
    change, "+" for what is new, "-" for what is gone."""
    return {address: _account_diff(before.get(address), after.get(address)) for address in sorted({*before, *after})}


def _account_diff(old: Json | None, new: Json | None) -> Json:
    if old is None or new is None:
        sign, whole = ("+", new or {}) if old is None else ("-", old)
        slots = {slot: {sign: value} for slot, value in whole.get("storage", {}).items()}
        return {name: {sign: _field(whole, name)} for name in ("balance", "code", "nonce")} | {"storage": slots}
    fields = {
        name: {"*": {"from": _field(old, name), "to": _field(new, name)}} if name in new else "="
        for name in ("balance", "code", "nonce")
    }
    slots_before, slots_after = old.get("storage", {}), new.get("storage", {})
    changed = {
        slot: {"*": {"from": slots_before.get(slot, ZERO_WORD), "to": slots_after.get(slot, ZERO_WORD)}}
        for slot in sorted({*slots_before, *slots_after})
    }
    return fields | {"storage": changed}


def _field(account: Json, name: str) -> str:
    if name == "nonce":
        return hex(account.get("nonce", 0))
    value: str = account.get(name, "0x0" if name == "balance" else "0x")
    return value

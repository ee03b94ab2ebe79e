"""``trace_``: OpenEthereum's flat call traces, as indexers ask for them.

A native transaction and the system transaction are one call each, to their module. There are no block rewards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from openledger.evm.tracing.flat import FlatTracer
from openledger.evm.tracing.tracer import Budget, TraceBounds, Tracer
from openledger.primitives.types import parse_address
from openledger.rpc.backend import Backend
from openledger.rpc.errors import LIMIT_EXCEEDED, RpcError, invalid_params
from openledger.rpc.formats import Json
from openledger.rpc.params import (
    LATEST,
    BlockArg,
    BlockRef,
    HashArg,
    parse_block_number,
    parse_number,
    parse_object,
)
from openledger.rpc.replays import moment_of, moments_of, place_of, watch_moment
from openledger.rpc.watchers import Watchers
from openledger.rpc.work import Workers

MAX_BLOCKS, MAX_TRACES = 1_000, 10_000


@dataclass(frozen=True, slots=True)
class TraceQuery:
    """What trace_filter looks for: calls from one of ``senders`` (empty: any) to one of ``targets`` (empty: any); with
    ``either`` one of both is enough."""

    start: BlockRef
    stop: BlockRef
    senders: frozenset[str]
    targets: frozenset[str]
    skip: int
    count: int
    either: bool

    def means(self, trace: Json) -> bool:
        """Is this one wanted?"""
        action = trace["action"]
        sender = action.get("from", action.get("address"))
        target = action.get("to", action.get("refundAddress", (trace.get("result") or {}).get("address")))
        if self.either and self.senders and self.targets:
            return sender in self.senders or target in self.targets
        return (not self.senders or sender in self.senders) and (not self.targets or target in self.targets)


def parse_trace_query(value: Any) -> TraceQuery:
    """Raises ValueError or OpenLedgerError for another form."""
    given = parse_object(value)

    def addresses(name: str) -> frozenset[str]:
        found = given.get(name) or []
        if not isinstance(found, list):
            raise ValueError(f"{name} is a list of addresses")
        return frozenset("0x" + parse_address(item).hex() for item in found)

    mode = given.get("mode") or "intersection"
    if mode not in ("intersection", "union"):
        raise ValueError("mode is intersection or union")
    start, stop = given.get("fromBlock"), given.get("toBlock")
    return TraceQuery(
        LATEST if start is None else parse_block_number(start),
        LATEST if stop is None else parse_block_number(stop),
        addresses("fromAddress"),
        addresses("toAddress"),
        parse_number(given.get("after") or 0),
        min(MAX_TRACES, parse_number(given.get("count") or MAX_TRACES)),
        mode == "union",
    )


TraceQueryArg = Annotated[TraceQuery, parse_trace_query]


def parse_places(value: Any) -> list[int]:
    """Where a trace stands in the tree of its transaction."""
    if not isinstance(value, list):
        raise ValueError("a trace address is a list of numbers")
    return [parse_number(item) for item in value]


PlacesArg = Annotated[list[int], parse_places]


class Trace:
    """Flat traces of blocks and transactions."""

    def __init__(self, backend: Backend, workers: Workers) -> None:
        self._backend = backend
        self._workers = workers
        self._watchers = Watchers(backend)

    async def block(self, block: BlockArg) -> list[Json] | None:
        """All calls of a block; null for an unknown one."""
        number = self._backend.number(block)
        if number is None:
            return None
        return await self._workers.compute(self._all, number)

    async def transaction(self, tx_hash: HashArg) -> list[Json] | None:
        """All calls of a transaction; null for an unknown one."""
        place = self._backend.app.store.transaction(tx_hash)
        if place is None:
            return None
        return await self._workers.compute(self._transaction_traces, *place)

    async def get(self, tx_hash: HashArg, places: PlacesArg) -> Json | None:
        """One call of a transaction by its place in the tree."""
        traces = await self.transaction(tx_hash)
        return next((trace for trace in traces or [] if trace["traceAddress"] == places), None)

    async def filter(self, query: TraceQueryArg) -> list[Json]:
        """Calls from and to some addresses in a range of blocks."""
        start, stop = self._backend.number(query.start), self._backend.number(query.stop)
        if start is None or stop is None or start > stop:
            raise invalid_params("invalid block range params")
        if stop - start >= MAX_BLOCKS:
            raise RpcError(LIMIT_EXCEEDED, f"block range too large: {stop - start + 1} blocks, limit {MAX_BLOCKS}")
        return await self._workers.compute(self._filtered, query, start, stop)

    # --- how ----------------------------------------------------------------------------------------------

    def _filtered(self, query: TraceQuery, start: int, stop: int) -> list[Json]:
        bounds = self._watchers.bounds()
        found, skipped = [], 0
        for number in range(start, stop + 1):
            for trace in self._block_traces(number, bounds):
                if not query.means(trace):
                    continue
                if skipped < query.skip:
                    skipped += 1
                    continue
                found.append(trace)
                if len(found) >= query.count:
                    return found
        return found

    def _all(self, number: int) -> list[Json]:
        return list(self._block_traces(number, self._watchers.bounds()))

    def _block_traces(self, number: int, bounds: TraceBounds) -> Iterator[Json]:
        if number == 0 or not self._backend.app.store.receipts(number):
            return
        engine = self._watchers.engine()
        for moment in moments_of(self._backend, number, bounds):
            place = place_of(self._backend, moment, number)
            yield from (trace | place for trace in watch_moment(engine, moment, _maker(bounds)).result())

    def _transaction_traces(self, number: int, index: int) -> list[Json]:
        moment = moment_of(self._backend, number, index)
        place = place_of(self._backend, moment, number)
        made = watch_moment(self._watchers.engine(), moment, _maker(self._watchers.bounds()))
        return [trace | place for trace in made.result()]


def _maker(bounds: TraceBounds) -> Callable[[], tuple[Tracer, Budget]]:
    def make() -> tuple[Tracer, Budget]:
        budget = Budget(bounds)
        return FlatTracer(budget, parity=True, inner=True), budget

    return make

"""``eth_``: getLogs, polled filters, and subscriptions over a WebSocket."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from openledger.primitives.types import to_hex
from openledger.rpc.backend import Backend
from openledger.rpc.errors import LIMIT_EXCEEDED, METHOD_NOT_FOUND, SERVER_ERROR, RpcError, invalid_params
from openledger.rpc.formats import Json, pending_json
from openledger.rpc.logs import LogQuery, as_json, find_logs, logs_between, parse_log_query
from openledger.rpc.params import FlagArg, TextArg
from openledger.rpc.subscriptions import Session, Subscriptions, new_id
from openledger.rpc.work import Workers

LogQueryArg = Annotated[LogQuery, parse_log_query]


MOST_VALUES = 500_000
"""Addresses and topics that all filters keep, some 50 MB."""


@dataclass(slots=True)
class Filter:
    """A polled filter. ``next`` is the first height (or count of admitted transactions) not told yet, ``removed`` the
    logs that were told and have vanished since."""

    kind: str
    query: LogQuery
    next: int
    used: float
    removed: list[Json] = field(default_factory=list)


class EthFilters:
    """Logs, filters, subscriptions. Filters that nobody asks for vanish after ``filter_seconds``."""

    def __init__(
        self,
        backend: Backend,
        subscriptions: Subscriptions,
        workers: Workers,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backend = backend
        self._workers = workers
        self._subscriptions = subscriptions
        self._clock = clock
        self._filters: dict[str, Filter] = {}
        if backend.devnet is not None:
            backend.devnet.before_revert(self._reverting)

    def _reverting(self, height: int) -> None:
        """Blocks above ``height`` are about to vanish: what was told of them is told once more as removed, and the
        blocks that come instead are told too."""
        for found in self._filters.values():
            if found.kind == "logs" and found.next > height + 1:
                with contextlib.suppress(RpcError):  # more than a filter may answer with
                    told = logs_between(self._backend, found.query, height + 1, found.next - 1)
                    found.removed += [entry.json | {"removed": True} for entry in told]
            if found.kind in ("logs", "blocks"):
                found.next = min(found.next, height + 1)

    async def get_logs(self, query: LogQueryArg) -> list[Json]:
        """Logs that a query means, in chain order."""
        return as_json(await self._workers.run(find_logs, self._backend, query))

    # --- polled -------------------------------------------------------------------------------------------

    def new_filter(self, query: LogQueryArg) -> str:
        """Watch for logs; the id of a filter that is polled."""
        if any(ref is not None and ref.is_pending for ref in (query.start, query.stop)):
            raise invalid_params("pending logs are not supported")
        start, stop = query.start, query.stop
        if start is not None and stop is not None and not (start.tag or stop.tag) and start.number > stop.number:
            raise invalid_params("invalid block range params")
        return self._new("logs", query)

    def new_block_filter(self) -> str:
        """Watch for blocks; the id of a filter that is polled."""
        return self._new("blocks", LogQuery())

    def new_pending_transaction_filter(self, full: FlagArg = False) -> str:
        """Watch for transactions that wait; the id of a filter that is polled for hashes, or whole transactions."""
        return self._new("whole" if full else "pending", LogQuery())

    def _new(self, kind: str, query: LogQuery) -> str:
        now, limit = self._clock(), self._backend.settings
        self._filters = {k: f for k, f in self._filters.items() if now - f.used < limit.filter_seconds}
        if len(self._filters) >= limit.max_filters:
            raise RpcError(LIMIT_EXCEEDED, f"too many filters, limit {limit.max_filters}")
        if sum(found.query.size for found in self._filters.values()) + query.size > MOST_VALUES:
            raise RpcError(LIMIT_EXCEEDED, f"too many addresses and topics in filters, limit {MOST_VALUES}")
        ident = new_id()
        start = self._subscriptions.admitted if kind in ("pending", "whole") else self._backend.head().number + 1
        if query.start is not None and not query.start.tag:
            start = max(start, query.start.number)
        self._filters[ident] = Filter(kind, query, start, now)
        return ident

    def _found(self, ident: str) -> Filter:
        found = self._filters.get(ident)
        if found is None:
            raise RpcError(SERVER_ERROR, "filter not found")
        found.used = self._clock()
        return found

    async def get_filter_changes(self, ident: TextArg) -> list[Any]:
        """What is new since the filter was asked last, or made."""
        found = self._found(ident)
        if found.kind in ("pending", "whole"):
            before, found.next = found.next, self._subscriptions.admitted
            hashes = self._subscriptions.admitted_since(before)
            return hashes if found.kind == "pending" else self._whole(hashes)
        head = self._backend.head().number
        start, stop = found.next, head
        if found.query.stop is not None and not found.query.stop.tag:
            stop = min(stop, found.query.stop.number)
        found.next = max(start, head + 1)  # who asks meanwhile hears nothing twice
        removed, found.removed = found.removed, []
        told = False
        try:
            changes = removed + await self._between(found, start, stop)
            told = True
        finally:
            if not told:
                found.next, found.removed = min(found.next, start), removed + found.removed
        return changes

    async def _between(self, found: Filter, start: int, stop: int) -> list[Any]:
        """What a filter tells of these heights. It may have been left alone for long: they are searched on a thread."""
        if start > stop:
            return []
        if found.kind == "blocks":
            return await self._workers.run(_hashes, self._backend, start, stop)
        return [entry.json for entry in await self._workers.run(logs_between, self._backend, found.query, start, stop)]

    def _whole(self, hashes: list[str]) -> list[Json]:
        """Those of these transactions that still wait."""
        raws = (self._backend.pool.find(bytes.fromhex(digest[2:])) for digest in hashes)
        return [pending_json(raw, self._backend.chain_id) for raw in raws if raw is not None]

    async def get_filter_logs(self, ident: TextArg) -> list[Json]:
        """All logs that a log filter means."""
        found = self._found(ident)
        if found.kind != "logs":
            raise RpcError(SERVER_ERROR, "filter not found")
        return as_json(await self._workers.run(find_logs, self._backend, found.query))

    def uninstall_filter(self, ident: TextArg) -> bool:
        """Forget a filter; true when there was one."""
        return self._filters.pop(ident, None) is not None

    # --- pushed -------------------------------------------------------------------------------------------

    def subscribe(self, kind: TextArg, options: Any = None, *, session: Session | None = None) -> str:
        """Be told of new heads, logs or transactions over this WebSocket; the id of the subscription."""
        try:
            return self._subscriptions.add(_connected(session), kind, options)
        except ValueError as err:
            raise invalid_params(f"invalid argument 1: {err}") from None

    def unsubscribe(self, ident: TextArg, *, session: Session | None = None) -> bool:
        """End a subscription of this WebSocket."""
        if not self._subscriptions.remove(_connected(session), ident):
            raise RpcError(SERVER_ERROR, "subscription not found")
        return True


def _hashes(backend: Backend, start: int, stop: int) -> list[str]:
    """Hashes of the blocks ``start`` to ``stop`` that are here."""
    digests = (backend.app.store.block_hash(number) for number in range(start, stop + 1))
    return [to_hex(digest) for digest in digests if digest is not None]


def _connected(session: Session | None) -> Session:
    if session is None:
        raise RpcError(METHOD_NOT_FOUND, "notifications not supported", {"hint": "subscribe over a WebSocket"})
    return session

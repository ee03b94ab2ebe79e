"""``eth_``: getLogs, polled filters, and subscriptions over a WebSocket."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from openledger.primitives.types import to_hex
from openledger.rpc.backend import Backend
from openledger.rpc.errors import LIMIT_EXCEEDED, METHOD_NOT_FOUND, SERVER_ERROR, RpcError
from openledger.rpc.formats import Json
from openledger.rpc.logs import LogQuery, find_logs, logs_between, parse_log_query
from openledger.rpc.params import TextArg
from openledger.rpc.subscriptions import Session, Subscriptions
from openledger.rpc.work import Workers

LogQueryArg = Annotated[LogQuery, parse_log_query]


@dataclass(slots=True)
class Filter:
    """A polled filter. ``next`` is the first height (or count of admitted transactions) not told yet."""

    kind: str
    query: LogQuery
    next: int
    used: float


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

    async def get_logs(self, query: LogQueryArg) -> list[Json]:
        return await self._workers.run(find_logs, self._backend, query)

    # --- polled -------------------------------------------------------------------------------------------

    def new_filter(self, query: LogQueryArg) -> str:
        return self._new("logs", query)

    def new_block_filter(self) -> str:
        return self._new("blocks", LogQuery())

    def new_pending_transaction_filter(self) -> str:
        return self._new("pending", LogQuery())

    def _new(self, kind: str, query: LogQuery) -> str:
        now, limit = self._clock(), self._backend.settings
        self._filters = {k: f for k, f in self._filters.items() if now - f.used < limit.filter_seconds}
        if len(self._filters) >= limit.max_filters:
            raise RpcError(LIMIT_EXCEEDED, f"too many filters, limit {limit.max_filters}")
        ident = "0x" + secrets.token_hex(16)
        start = self._subscriptions.admitted if kind == "pending" else self._backend.head().number + 1
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

    def get_filter_changes(self, ident: TextArg) -> list[Any]:
        found = self._found(ident)
        if found.kind == "pending":
            before, found.next = found.next, self._subscriptions.admitted
            return self._subscriptions.admitted_since(before)
        head = self._backend.head().number
        start, stop = found.next, head
        if found.query.stop is not None and not found.query.stop.tag:
            stop = min(stop, found.query.stop.number)
        found.next = max(found.next, head + 1)
        if found.kind == "logs":
            return logs_between(self._backend, found.query, start, stop)
        hashes = (self._backend.app.store.block_hash(number) for number in range(start, stop + 1))
        return [to_hex(digest) for digest in hashes if digest is not None]

    async def get_filter_logs(self, ident: TextArg) -> list[Json]:
        found = self._found(ident)
        if found.kind != "logs":
            raise RpcError(SERVER_ERROR, "filter not found")
        return await self._workers.run(find_logs, self._backend, found.query)

    def uninstall_filter(self, ident: TextArg) -> bool:
        return self._filters.pop(ident, None) is not None

    # --- pushed -------------------------------------------------------------------------------------------

    def subscribe(self, kind: TextArg, options: Any = None, *, session: Session | None = None) -> str:
        return self._subscriptions.add(_connected(session), kind, options)

    def unsubscribe(self, ident: TextArg, *, session: Session | None = None) -> bool:
        if not self._subscriptions.remove(_connected(session), ident):
            raise RpcError(SERVER_ERROR, "subscription not found")
        return True


def _connected(session: Session | None) -> Session:
    if session is None:
        raise RpcError(METHOD_NOT_FOUND, "notifications not supported", {"hint": "subscribe over a WebSocket"})
    return session

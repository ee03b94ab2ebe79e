"""Log queries: how a filter object is read, which logs it means, and the search through blocks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from openledger.primitives.types import Address, Hash32, Log, parse_address
from openledger.rpc.backend import Backend
from openledger.rpc.errors import LIMIT_EXCEEDED, PRUNED_HISTORY, SERVER_ERROR, RpcError, invalid_params
from openledger.rpc.formats import Json
from openledger.rpc.jsontext import Encoded
from openledger.rpc.logbook import Entry
from openledger.rpc.params import LATEST, BlockRef, parse_block_number, parse_hash
from openledger.state.logindex import candidates

MAX_TOPICS = 4
MAX_ALTERNATIVES = 1000


@dataclass(frozen=True, slots=True)
class LogQuery:
    """What a caller looks for. ``topics[i]`` is the set of accepted values at place i, empty for any; an empty
    ``addresses`` means any. ``start`` and ``stop`` are None where the caller named no block."""

    addresses: frozenset[Address] = frozenset()
    topics: tuple[frozenset[Hash32], ...] = ()
    start: BlockRef | None = None
    stop: BlockRef | None = None
    block_hash: Hash32 = b""

    @property
    def size(self) -> int:
        """Addresses and topics in it."""
        return len(self.addresses) + sum(map(len, self.topics))

    def matches(self, log: Log) -> bool:
        """True for a log that this query means."""
        if self.addresses and log.address not in self.addresses:
            return False
        if len(self.topics) > len(log.topics):
            return False
        return all(not wanted or topic in wanted for wanted, topic in zip(self.topics, log.topics, strict=False))


def _items(value: Any) -> list[Any]:
    found = value if isinstance(value, list) else [value]
    if len(found) > MAX_ALTERNATIVES:
        raise ValueError(f"more than {MAX_ALTERNATIVES} alternatives")
    return found


def parse_log_query(value: Any) -> LogQuery:
    """A filter object. Raises ValueError or OpenLedgerError with a sentence."""
    if not isinstance(value, dict):
        raise ValueError("a log filter is an object")
    digest = value.get("blockHash")
    if digest is not None and (value.get("fromBlock") is not None or value.get("toBlock") is not None):
        raise ValueError("cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other")
    topics = value.get("topics") or []
    if not isinstance(topics, list):
        raise ValueError("topics must be a list")
    if len(topics) > MAX_TOPICS:
        raise ValueError("exceed max topics")
    wanted = [frozenset() if t is None else _topic_set(t) for t in topics]
    addresses = [] if value.get("address") is None else _items(value["address"])
    return LogQuery(
        addresses=frozenset(parse_address(a) for a in addresses),
        topics=tuple(wanted),
        start=None if value.get("fromBlock") is None else parse_block_number(value["fromBlock"]),
        stop=None if value.get("toBlock") is None else parse_block_number(value["toBlock"]),
        block_hash=b"" if digest is None else parse_hash(digest),
    )


def _topic_set(value: Any) -> frozenset[Hash32]:
    """Alternatives of one place; a null among them accepts everything."""
    found = _items(value)
    return frozenset() if None in found else frozenset(parse_hash(t) for t in found)


def find_logs(backend: Backend, query: LogQuery) -> list[Entry]:
    """All logs that a query means. Raises RpcError when range or count cross the bounds of the settings, and for a
    range that is backwards or ends after the newest block, as geth does."""
    if query.block_hash:
        block = backend.block(BlockRef(hash=query.block_hash))
        if block is None:
            raise RpcError(SERVER_ERROR, "unknown block")
        return [entry for entry in backend.logbook.of(block) if query.matches(entry.log)]
    if any(ref is not None and ref.is_pending for ref in (query.start, query.stop)):
        raise invalid_params("pending logs are not supported")
    head, oldest = backend.head().number, backend.app.store.oldest_block()
    start, stop = _height(query.start or LATEST, head, oldest), _height(query.stop or LATEST, head, oldest)
    if start > stop:
        raise invalid_params("invalid block range params")
    if stop > head:
        raise invalid_params("block range extends beyond current head block")
    return logs_between(backend, query, start, stop)


def logs_between(backend: Backend, query: LogQuery, start: int, stop: int) -> list[Entry]:
    """Logs of the heights ``start`` to ``stop``, both included. Raises RpcError also for blocks that are not here: an
    answer that leaves some out would look like a whole one."""
    settings, store = backend.settings, backend.app.store
    if start < (oldest := store.oldest_block()):
        raise RpcError(PRUNED_HISTORY, "pruned history unavailable", {"hint": f"ask from {hex(oldest)} on"})
    if stop - start >= settings.max_log_range:
        text = f"block range too large: {stop - start + 1} blocks, limit {settings.max_log_range}"
        raise RpcError(LIMIT_EXCEEDED, text)
    if start > stop:
        return []
    topics = [sorted(wanted) for wanted in query.topics]
    look = deadline(settings.call_seconds)
    found: list[Entry] = []
    for number, places in candidates(
        store.kv, max(start, 0), min(stop, store.height), sorted(query.addresses), topics, look
    ):
        look()
        for place, entry in enumerate(backend.logbook.at(number)):
            if (places is None or place in places) and query.matches(entry.log):
                found.append(entry)
        if len(found) > settings.max_logs:
            raise RpcError(LIMIT_EXCEEDED, f"query returned more than {settings.max_logs} results")
    return found


def as_json(entries: Sequence[Entry]) -> list[Json]:
    """The list of these logs, already written as JSON; see ``Workers.compute_json``."""
    return cast("list[Json]", Encoded(b"[" + b",".join(entry.text for entry in entries) + b"]"))


def deadline(seconds: float) -> Callable[[], None]:
    """What raises RpcError when it is called after so many seconds."""
    until = time.monotonic() + seconds

    def look() -> None:
        if time.monotonic() > until:
            raise RpcError(SERVER_ERROR, f"query timeout exceeded (timeout = {seconds:g}s)", {"hint": "ask for less"})

    return look


def _height(ref: BlockRef, head: int, oldest: int) -> int:
    if ref.tag:
        return oldest if ref.tag == "earliest" else head
    return ref.number

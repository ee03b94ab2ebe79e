"""Subscriptions: who wants to hear what, and the telling. Announced means served.

Heads, logs and claims are pushed only out of ``consensus.on_commit``, that is when the block can be read everywhere.
A message is made once and shared by all who subscribed to the same thing. However many there are, the event loop is
theirs for a slice only; then others, consensus among them, have their turn.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

from openledger.abci_app.modules.attribution.records import CHALLENGED, CLAIMED, PHASE, RESOLVED, VESTED
from openledger.abci_app.queries import list_claims
from openledger.primitives.blocks import SealedBlock
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import ATTRIBUTION_ADDRESS, Hash32, to_hex
from openledger.rpc.backend import Backend
from openledger.rpc.dispatch import SLICE_SECONDS
from openledger.rpc.errors import LIMIT_EXCEEDED, METHOD_NOT_FOUND, SERVER_ERROR, RpcError
from openledger.rpc.formats import header_json, pending_json, receipts_json
from openledger.rpc.jsontext import dump
from openledger.rpc.logs import LogQuery, parse_log_query
from openledger.rpc.params import parse_hash, parse_object

KINDS = ("newHeads", "logs", "newPendingTransactions", "transactionReceipts", "syncing", "openledger_claims")
MOST_HASHES = 200
REMEMBERED_PENDING = 10_000
MOST = 20_000
"""Subscriptions of all connections."""
MOST_VALUES = 500_000
"""Addresses and topics that the subscriptions of all connections keep, some 50 MB."""
MOST_VALUES_EACH = 20_000
"""Those of one connection."""
SYNC_SECONDS = 0.5
"""How often the engine is asked whether it catches up, while somebody subscribes to that."""
_OF_CLAIMS = frozenset(event.topic for event in (CLAIMED, PHASE, CHALLENGED, RESOLVED, VESTED))
"""Without one of these no claim changes; the first thing that each says is the claim's number."""


def new_id() -> str:
    """An id that nobody can guess, in the form of a quantity: its first digit is not zero."""
    return hex(1 << 127 | secrets.randbits(127))


class Session(Protocol):
    """A WebSocket connection as subscriptions see it; one that is ``gone`` never hears anything any more."""

    gone: bool

    def notify(self, text: bytes) -> None:
        """Push one message; never waits."""
        ...


@dataclass(frozen=True, slots=True)
class Subscription:
    """One wish of one connection."""

    session: Session
    kind: str
    query: LogQuery
    full: bool
    hashes: frozenset[Hash32]
    """Transactions whose receipts are wanted; none: all."""

    @property
    def size(self) -> int:
        """Addresses, topics and hashes in it."""
        return self.query.size + len(self.hashes)


def parse_receipt_query(value: Any) -> frozenset[Hash32]:
    """``transactionHashes`` of a subscription to receipts, as geth has it; Go's ethclient begins it with a capital.
    Raises RpcError beyond its limit, ValueError or OpenLedgerError for another form."""
    query = {} if value is None else parse_object(value)
    given = query.get("transactionHashes", query.get("TransactionHashes"))
    if given is not None and not isinstance(given, list):
        raise ValueError("transactionHashes is a list")
    if len(given or ()) > MOST_HASHES:
        text = "exceed max number of transaction hashes allowed per transactionReceipts subscription"
        raise RpcError(SERVER_ERROR, text)
    return frozenset(parse_hash(item) for item in given or ())


class Subscriptions:
    """All subscriptions of one server."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._by_kind: dict[str, dict[str, Subscription]] = {kind: {} for kind in KINDS}
        self._kinds: dict[Session, dict[str, str]] = {}
        self._values = 0
        self._last = 0
        self._blocks: deque[Iterator[None]] = deque()
        self._pending: deque[Iterator[None]] = deque()
        self._again: asyncio.Handle | None = None
        self._recent: deque[str] = deque(maxlen=REMEMBERED_PENDING)
        self.admitted = 0
        self._stop: list[Callable[[], None]] = []
        self._watch: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to listen to the chain."""
        self._last = self._backend.head().number
        consensus = self._backend.consensus
        self._stop = [consensus.on_commit(self._committed), consensus.on_pending(self._admitted)]
        if self._backend.devnet is not None:
            self._stop.append(self._backend.devnet.before_revert(self._reverting))

    def stop(self) -> None:
        """Stop listening."""
        for stop in self._stop:
            stop()
        self._stop = []
        if self._again is not None:
            self._again.cancel()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def add(self, session: Session, kind: str, options: Any) -> str:
        """Subscribe a connection; the subscription's id. Raises RpcError for an unknown kind or too many."""
        if kind not in KINDS:
            raise RpcError(METHOD_NOT_FOUND, f'no "{kind[:60]}" subscription in eth namespace')
        if session.gone:  # what it had asked before it left is only being answered now
            raise RpcError(SERVER_ERROR, "the connection has ended")
        limit = self._backend.settings.max_subscriptions
        if len(self._kinds.get(session, ())) >= limit:
            raise RpcError(LIMIT_EXCEEDED, f"too many subscriptions on this connection, limit {limit}")
        query = parse_log_query(options) if kind == "logs" and options is not None else LogQuery()
        hashes = parse_receipt_query(options) if kind == "transactionReceipts" else frozenset()
        self._check_room(session, query.size + len(hashes))
        ident = new_id()
        self._by_kind[kind][ident] = Subscription(session, kind, query, options is True, hashes)
        self._kinds.setdefault(session, {})[ident] = kind
        self._values += self._by_kind[kind][ident].size
        if kind == "syncing" and self._watch is None:
            self._watch = asyncio.create_task(self._watch_sync())
        return ident

    def _check_room(self, session: Session, size: int) -> None:
        """Raises RpcError where this would be more than is kept."""
        if self.count >= MOST:
            raise RpcError(LIMIT_EXCEEDED, f"too many subscriptions on this node, limit {MOST}")
        own = sum(self._by_kind[kind][ident].size for ident, kind in self._kinds.get(session, {}).items())
        if own + size > MOST_VALUES_EACH:
            text = f"too many addresses and topics on this connection, limit {MOST_VALUES_EACH}"
            raise RpcError(LIMIT_EXCEEDED, text)
        if self._values + size > MOST_VALUES:
            raise RpcError(LIMIT_EXCEEDED, f"too many addresses and topics on this node, limit {MOST_VALUES}")

    @property
    def count(self) -> int:
        """Subscriptions of all connections."""
        return sum(len(found) for found in self._by_kind.values())

    def remove(self, session: Session, ident: str) -> bool:
        """End one subscription of this connection."""
        kind = self._kinds.get(session, {}).pop(ident, None)
        if kind is not None:
            self._forget(kind, ident)
        return kind is not None

    def drop(self, session: Session) -> None:
        """End all subscriptions of a connection that is gone."""
        for ident, kind in self._kinds.pop(session, {}).items():
            self._forget(kind, ident)

    def _forget(self, kind: str, ident: str) -> None:
        self._values -= self._by_kind[kind].pop(ident).size

    def admitted_since(self, count: int) -> list[str]:
        """Hashes of the transactions admitted after the first ``count`` ones; only the newest 10,000 are remembered."""
        fresh = min(self.admitted - count, len(self._recent))
        return list(self._recent)[-fresh:] if fresh > 0 else []

    # --- telling ------------------------------------------------------------------------------------------

    def _committed(self, height: int) -> None:
        first = self._last + 1 if height > self._last else height
        self._last = height
        self._blocks.extend(self._about(number) for number in range(first, height + 1))
        self._go_on()

    def _admitted(self, raw: bytes) -> None:
        digest = to_hex(keccak256(raw))
        self._recent.append(digest)
        self.admitted += 1
        if self._by_kind["newPendingTransactions"] and len(self._pending) < REMEMBERED_PENDING:
            self._pending.append(self._about_pending(raw, b'"%b"' % digest.encode()))
            self._go_on()

    def _go_on(self) -> None:
        """Tell what is to be told, blocks first; after a slice later."""
        if self._again is None:
            self._tell_for_a_slice()

    def _tell_for_a_slice(self) -> None:
        self._again, began = None, perf_counter()
        while waiting := self._blocks or self._pending:
            for _ in waiting[0]:
                if perf_counter() - began > SLICE_SECONDS:
                    self._again = asyncio.get_running_loop().call_soon(self._tell_for_a_slice)
                    return
            waiting.popleft()

    def _about(self, number: int) -> Iterator[None]:
        """Tell of a block, one message after the other."""
        block = self._backend.app.store.block(number)
        if block is None:
            return
        if self._by_kind["newHeads"]:
            yield from self._tell("newHeads", dump(header_json(block.header, block.hash)))
        if self._by_kind["logs"] and any(receipt.logs for receipt in block.receipts):
            yield from self._tell_logs(block)
        if self._by_kind["transactionReceipts"] and block.receipts:
            yield from self._tell_receipts(block)
        if self._by_kind["openledger_claims"]:
            for claim in _claims_in(block):
                for view in list_claims(self._backend.app.state(), claim, 1):
                    if view["id"] == claim:  # the number may be that of a challenge of an index
                        yield from self._tell("openledger_claims", dump(view))

    def _about_pending(self, raw: bytes, digest: bytes) -> Iterator[None]:
        full = b""
        for ident, found in list(self._by_kind["newPendingTransactions"].items()):
            if found.full:
                full = full or dump(pending_json(raw, self._backend.chain_id))
            found.session.notify(_message(ident, full if found.full else digest))
            yield

    def _tell(self, kind: str, text: bytes) -> Iterator[None]:
        for ident, found in list(self._by_kind[kind].items()):
            found.session.notify(_message(ident, text))
            yield

    def _tell_logs(self, block: SealedBlock) -> Iterator[None]:
        entries = self._backend.logbook.of(block)
        for ident, found in list(self._by_kind["logs"].items()):
            for entry in entries:
                if found.query.matches(entry.log):
                    found.session.notify(_message(ident, entry.text))
                yield

    def _tell_receipts(self, block: SealedBlock) -> Iterator[None]:
        """The receipts of a block, those that a subscription means in one message."""
        texts = {keccak256(raw): dump(one) for raw, one in zip(block.transactions, receipts_json(block), strict=True)}
        for ident, found in list(self._by_kind["transactionReceipts"].items()):
            wanted = [text for digest, text in texts.items() if not found.hashes or digest in found.hashes]
            if wanted:
                found.session.notify(_message(ident, b"[%b]" % b",".join(wanted)))
            yield

    async def _watch_sync(self) -> None:
        """While anybody listens: tell when catching up begins and when it is over."""
        known = (await self._backend.consensus.status()).catching_up
        while self._by_kind["syncing"]:
            await asyncio.sleep(SYNC_SECONDS)
            now = (await self._backend.consensus.status()).catching_up
            if now != known:
                for _ in self._tell("syncing", dump(self._syncing(now))):
                    pass
            known = now
        self._watch = None

    def _syncing(self, catching_up: bool) -> Any:
        if not catching_up:
            return False
        number = self._backend.head().number
        return {"syncing": True, "status": {"startingBlock": 0, "currentBlock": number, "highestBlock": number}}

    def _reverting(self, height: int) -> None:
        """Blocks above ``height`` are about to vanish (a devnet's snapshot): their logs are told as removed, the newest
        block's first, as geth does when a chain is replaced."""
        for waiting in self._blocks:
            for _ in waiting:
                pass
        self._blocks.clear()
        self._last = height
        listeners = list(self._by_kind["logs"].items())
        for number in range(self._backend.head().number, height, -1) if listeners else ():
            block = self._backend.app.store.block(number)
            if block is None:
                continue
            for ident, found in listeners:
                for entry in self._backend.logbook.of(block):
                    if found.query.matches(entry.log):
                        found.session.notify(_message(ident, dump(entry.json | {"removed": True})))


def _claims_in(block: SealedBlock) -> list[int]:
    """Numbers of the claims that are new or other since this block, each once."""
    logs = (log for receipt in block.receipts for log in receipt.logs if log.address == ATTRIBUTION_ADDRESS)
    return list(dict.fromkeys(int.from_bytes(log.topics[1], "big") for log in logs if log.topics[0] in _OF_CLAIMS))


def _message(ident: str, result: bytes) -> bytes:
    head = b'{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"'
    return b'%b%b","result":%b}}' % (head, ident.encode(), result)

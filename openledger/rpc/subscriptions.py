"""Subscriptions: who wants to hear what, and the telling. Announced means served.

Heads, logs and claims are pushed only out of ``consensus.on_commit``, that is when the block can be read everywhere.
A message is made once and shared by all who subscribed to the same thing.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from openledger.abci_app.queries import list_claims
from openledger.abci_app.views import MAX_LIST
from openledger.primitives.blocks import SealedBlock
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import ATTRIBUTION_ADDRESS, Hash32, to_hex
from openledger.rpc.backend import Backend
from openledger.rpc.errors import LIMIT_EXCEEDED, METHOD_NOT_FOUND, SERVER_ERROR, RpcError
from openledger.rpc.formats import header_json, pending_json, receipts_json
from openledger.rpc.jsontext import dump
from openledger.rpc.logs import LogQuery, parse_log_query
from openledger.rpc.params import parse_hash, parse_object

KINDS = ("newHeads", "logs", "newPendingTransactions", "transactionReceipts", "syncing", "openledger_claims")
MOST_HASHES = 200
FINAL = ("accepted", "refused", "lapsed")
REMEMBERED_PENDING = 10_000
SYNC_SECONDS = 0.5
"""How often the engine is asked whether it catches up, while somebody subscribes to that."""
_ANY_CLAIM = LogQuery(addresses=frozenset((ATTRIBUTION_ADDRESS,)))


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


def parse_receipt_query(value: Any) -> frozenset[Hash32]:
    """``transactionHashes`` of a subscription to receipts, as geth has it. Raises RpcError beyond its limit, ValueError
    or OpenLedgerError for another form."""
    given = ({} if value is None else parse_object(value)).get("transactionHashes")
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
        self._last = 0
        self._claims: dict[int, bytes] = {}
        self._first_open = 1
        self._recent: deque[str] = deque(maxlen=REMEMBERED_PENDING)
        self.admitted = 0
        self._stop: list[Callable[[], None]] = []
        self._watch: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to listen to the chain."""
        self._last = self._backend.head().number
        self._changed_claims()
        consensus = self._backend.consensus
        self._stop = [consensus.on_commit(self._committed), consensus.on_pending(self._admitted)]
        if self._backend.devnet is not None:
            self._stop.append(self._backend.devnet.before_revert(self._reverting))

    def stop(self) -> None:
        """Stop listening."""
        for stop in self._stop:
            stop()
        self._stop = []
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
        ident = new_id()
        self._by_kind[kind][ident] = Subscription(session, kind, query, options is True, hashes)
        self._kinds.setdefault(session, {})[ident] = kind
        if kind == "syncing" and self._watch is None:
            self._watch = asyncio.create_task(self._watch_sync())
        return ident

    @property
    def count(self) -> int:
        """Subscriptions of all connections."""
        return sum(len(found) for found in self._by_kind.values())

    def remove(self, session: Session, ident: str) -> bool:
        """End one subscription of this connection."""
        kind = self._kinds.get(session, {}).pop(ident, None)
        return kind is not None and self._by_kind[kind].pop(ident, None) is not None

    def drop(self, session: Session) -> None:
        """End all subscriptions of a connection that is gone."""
        for ident, kind in self._kinds.pop(session, {}).items():
            self._by_kind[kind].pop(ident, None)

    def admitted_since(self, count: int) -> list[str]:
        """Hashes of the transactions admitted after the first ``count`` ones; only the newest 10,000 are remembered."""
        fresh = min(self.admitted - count, len(self._recent))
        return list(self._recent)[-fresh:] if fresh > 0 else []

    # --- telling ------------------------------------------------------------------------------------------

    def _tell(self, kind: str, text: bytes) -> None:
        for ident, found in list(self._by_kind[kind].items()):
            found.session.notify(_message(ident, text))

    def _committed(self, height: int) -> None:
        first = self._last + 1 if height > self._last else height
        self._last = height
        for number in range(first, height + 1):
            block = self._backend.app.store.block(number)
            if block is None:
                continue
            if self._by_kind["newHeads"]:
                self._tell("newHeads", dump(header_json(block.header, block.hash)))
            if self._by_kind["logs"] and any(receipt.logs for receipt in block.receipts):
                self._tell_logs(block)
            if self._by_kind["transactionReceipts"] and block.receipts:
                self._tell_receipts(block)
            if any(_ANY_CLAIM.matches(log) for r in block.receipts for log in r.logs):
                self._tell_claims()

    def _tell_logs(self, block: SealedBlock) -> None:
        entries = self._backend.logbook.of(block)
        for ident, found in list(self._by_kind["logs"].items()):
            for entry in entries:
                if found.query.matches(entry.log):
                    found.session.notify(_message(ident, entry.text))

    def _tell_receipts(self, block: SealedBlock) -> None:
        """The receipts of a block, those that a subscription means in one message."""
        texts = {keccak256(raw): dump(one) for raw, one in zip(block.transactions, receipts_json(block), strict=True)}
        for ident, found in list(self._by_kind["transactionReceipts"].items()):
            wanted = [text for digest, text in texts.items() if not found.hashes or digest in found.hashes]
            if wanted:
                found.session.notify(_message(ident, b"[%b]" % b",".join(wanted)))

    async def _watch_sync(self) -> None:
        """While anybody listens: tell when catching up begins and when it is over."""
        known = (await self._backend.consensus.status()).catching_up
        while self._by_kind["syncing"]:
            await asyncio.sleep(SYNC_SECONDS)
            now = (await self._backend.consensus.status()).catching_up
            if now != known:
                self._tell("syncing", dump(self._syncing(now)))
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
        self._last = height
        self._claims, self._first_open = {}, 1
        listeners = list(self._by_kind["logs"].items())
        for number in range(self._backend.head().number, height, -1) if listeners else ():
            block = self._backend.app.store.block(number)
            if block is None:
                continue
            for ident, found in listeners:
                for entry in self._backend.logbook.of(block):
                    if found.query.matches(entry.log):
                        found.session.notify(_message(ident, dump(entry.json | {"removed": True})))

    def _changed_claims(self) -> list[bytes]:
        """Claims that are new or other than when this was asked last, as JSON texts. Settled ones are not looked at
        again."""
        state, changed, start = self._backend.app.state(), [], self._first_open
        while page := list_claims(state, start, MAX_LIST):
            for claim in page:
                number, text = claim["id"], dump(claim)
                if self._claims.get(number) != text:
                    changed.append(text)
                self._claims[number] = text
                if claim["status"] in FINAL and number == self._first_open:
                    del self._claims[number]
                    self._first_open += 1
            start = page[-1]["id"] + 1
        return changed

    def _tell_claims(self) -> None:
        for text in self._changed_claims():
            self._tell("openledger_claims", text)

    def _admitted(self, raw: bytes) -> None:
        digest = to_hex(keccak256(raw))
        self._recent.append(digest)
        self.admitted += 1
        full = b""
        for ident, found in list(self._by_kind["newPendingTransactions"].items()):
            if found.full:
                full = full or dump(pending_json(raw, self._backend.chain_id))
            found.session.notify(_message(ident, full if found.full else b'"%b"' % digest.encode()))


def _message(ident: str, result: bytes) -> bytes:
    head = b'{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"'
    return b'%b%b","result":%b}}' % (head, ident.encode(), result)

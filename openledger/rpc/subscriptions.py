"""Subscriptions: who wants to hear what, and the telling. Announced means served.

Heads, logs and claims are pushed only out of ``consensus.on_commit``, that is when the block can be read everywhere.
A message is made once and shared by all who subscribed to the same thing.
"""

from __future__ import annotations

import json
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from openledger.abci_app.queries import MAX_LIST, list_claims
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import ATTRIBUTION_ADDRESS, to_hex
from openledger.rpc.backend import Backend
from openledger.rpc.errors import LIMIT_EXCEEDED, METHOD_NOT_FOUND, RpcError
from openledger.rpc.formats import header_json, pending_json
from openledger.rpc.logs import LogQuery, block_logs, parse_log_query

KINDS = ("newHeads", "logs", "newPendingTransactions", "openledger_claims")
FINAL = ("accepted", "refused", "lapsed")
REMEMBERED_PENDING = 10_000
_ANY_CLAIM = LogQuery(addresses=frozenset((ATTRIBUTION_ADDRESS,)))


class Session(Protocol):
    """A WebSocket connection as subscriptions see it."""

    def notify(self, text: str) -> None:
        """Queue one message; never waits."""
        ...


@dataclass(frozen=True, slots=True)
class Subscription:
    """One wish of one connection."""

    session: Session
    kind: str
    query: LogQuery
    full: bool


class Subscriptions:
    """All subscriptions of one server."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._by_id: dict[str, Subscription] = {}
        self._last = 0
        self._claims: dict[int, str] = {}
        self._first_open = 1
        self._recent: deque[str] = deque(maxlen=REMEMBERED_PENDING)
        self.admitted = 0
        self._stop: list[Callable[[], None]] = []

    def start(self) -> None:
        """Begin to listen to the chain."""
        self._last = self._backend.head().number
        self._changed_claims()
        consensus = self._backend.consensus
        self._stop = [consensus.on_commit(self._committed), consensus.on_pending(self._admitted)]

    def stop(self) -> None:
        """Stop listening."""
        for stop in self._stop:
            stop()
        self._stop = []

    def add(self, session: Session, kind: str, options: Any) -> str:
        """Subscribe a connection; the subscription's id. Raises RpcError for an unknown kind or too many."""
        if kind not in KINDS:
            raise RpcError(METHOD_NOT_FOUND, f'no "{kind[:60]}" subscription in eth namespace')
        limit = self._backend.settings.max_subscriptions
        if sum(s.session is session for s in self._by_id.values()) >= limit:
            raise RpcError(LIMIT_EXCEEDED, f"too many subscriptions on this connection, limit {limit}")
        query = parse_log_query(options) if kind == "logs" and options is not None else LogQuery()
        ident = "0x" + secrets.token_hex(16)
        self._by_id[ident] = Subscription(session, kind, query, options is True)
        return ident

    def remove(self, session: Session, ident: str) -> bool:
        """End one subscription of this connection."""
        found = self._by_id.get(ident)
        if found is None or found.session is not session:
            return False
        del self._by_id[ident]
        return True

    def drop(self, session: Session) -> None:
        """End all subscriptions of a connection that is gone."""
        self._by_id = {k: s for k, s in self._by_id.items() if s.session is not session}

    def admitted_since(self, count: int) -> list[str]:
        """Hashes of the transactions admitted after the first ``count`` ones; only the newest 10,000 are remembered."""
        fresh = min(self.admitted - count, len(self._recent))
        return list(self._recent)[-fresh:] if fresh > 0 else []

    # --- telling ------------------------------------------------------------------------------------------

    def _tell(self, kind: str, text: str) -> None:
        for ident, found in list(self._by_id.items()):
            if found.kind == kind:
                found.session.notify(_message(ident, text))

    def _committed(self, height: int) -> None:
        first = self._last + 1 if height > self._last else height
        self._last = height
        wanted = {s.kind for s in self._by_id.values()}
        for number in range(first, height + 1):
            block = self._backend.app.store.block(number)
            if block is None:
                continue
            if "newHeads" in wanted:
                self._tell("newHeads", _dump(header_json(block.header, block.hash)))
            if "logs" in wanted:
                for ident, found in list(self._by_id.items()):
                    for log in block_logs(block, found.query) if found.kind == "logs" else ():
                        found.session.notify(_message(ident, _dump(log)))
            if any(_ANY_CLAIM.matches(log) for r in block.receipts for log in r.logs):
                self._tell_claims()

    def _changed_claims(self) -> list[str]:
        """Claims that are new or other than when this was asked last, as JSON texts. Settled ones are not looked at
        again."""
        state, changed, start = self._backend.app.state(), [], self._first_open
        while page := list_claims(state, start, MAX_LIST):
            for claim in page:
                number, text = claim["id"], _dump(claim)
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
        full_text = ""
        for ident, found in list(self._by_id.items()):
            if found.kind != "newPendingTransactions":
                continue
            if found.full:
                full_text = full_text or _dump(pending_json(raw, self._backend.chain_id))
            found.session.notify(_message(ident, full_text if found.full else f'"{digest}"'))


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _message(ident: str, result: str) -> str:
    return f'{{"jsonrpc":"2.0","method":"eth_subscription","params":{{"subscription":"{ident}","result":{result}}}}}'

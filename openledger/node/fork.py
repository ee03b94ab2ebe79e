"""A devnet on top of one block of another chain: what is missing here is read there, once, and kept.

``ForkedStore`` stands between the database and the state: an account or slot that nothing here has written is asked of
the other chain's JSON-RPC at the pinned block, and stored, so a restart needs no network for what was read before.
Blocks do not notice: for them the state is simply larger. Only accounts, code and storage come along; native records,
history and proofs do not. What the chain itself owns (``KEPT``) is never asked for.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from openledger import __version__
from openledger.abci_app.edits import KEPT
from openledger.primitives.blocks import EMPTY_TRIE_ROOT
from openledger.primitives.errors import ForkError, ForkUnsupported
from openledger.primitives.hashing import KECCAK_EMPTY, keccak256
from openledger.primitives.jsonio import parse_json
from openledger.primitives.types import Account, Address, from_hex, to_hex
from openledger.rpc.ports import ForkFacts
from openledger.state import layout
from openledger.state.ports import KeyValue

TIMEOUT_SECONDS = 20.0
TRIES = 4
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 4.0
BUSY = (408, 425, 429, 500, 502, 503, 504)
MAX_ANSWER = 64 * 1024 * 1024
_READ = b"f"
"""Table of what was read: the flat key behind it, the value there, empty for nothing."""


def parse_fork(text: str) -> tuple[str, int | None]:
    """URL and block of ``URL[@BLOCK]``, the block decimal or 0x-hex. Raises ForkError."""
    url, _, tail = text.rpartition("@")
    try:
        block = int(tail, 0) if url else None
    except ValueError:
        url, block = "", None
    url = url or text
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not _has_port(parts):
        raise ForkError(f"not the address of a JSON-RPC server: {text!r}", "as in --fork https://rpc.example@19000000")
    return url, block


def _has_port(parts: SplitResult) -> bool:
    """False where what stands behind the colon is no port."""
    try:
        return parts.port is None or parts.port > 0
    except ValueError:
        return False


def shown(url: str) -> str:
    """A URL without credentials and keys: only scheme, host and port."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}"


class Upstream:
    """The other chain's JSON-RPC. Calls block; they may come from any thread. Raises ForkError."""

    def __init__(self, url: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self.url = url
        self._at, self._login = _without_login(url)
        self._sleep = sleep
        self._batches = True

    def call(self, method: str, *params: Any) -> Any:
        """Result of one method."""
        return self._result(self._post(_request(0, method, params)), method)

    def many(self, calls: Sequence[tuple[str, tuple[Any, ...]]]) -> list[Any]:
        """Results of several; one request where the server takes batches."""
        if self._batches:
            answers = self._post([_request(i, method, params) for i, (method, params) in enumerate(calls)])
            if isinstance(answers, list) and len(answers) == len(calls):
                by_id = {answer.get("id"): answer for answer in answers if isinstance(answer, dict)}
                return [self._result(by_id.get(i), method) for i, (method, _) in enumerate(calls)]
            self._batches = False
        return [self.call(method, *params) for method, params in calls]

    def _result(self, answer: Any, method: str) -> Any:
        if not isinstance(answer, dict) or ("error" not in answer and "result" not in answer):
            raise ForkError(f"{shown(self.url)} does not answer {method} with JSON-RPC", "is it a node's RPC address?")
        error = answer.get("error")
        if error:
            said = error.get("message") if isinstance(error, dict) else error
            raise ForkError(
                f"{shown(self.url)} refuses {method}: {str(said)[:200]}",
                "an archive node keeps the state of old blocks; fork a newer block, or another URL",
            )
        return answer["result"]

    def _post(self, body: Any) -> Any:
        pause, why = FIRST_PAUSE, ""
        for attempt in range(TRIES):
            if attempt:
                self._sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            try:
                return self._once(body)
            except urllib.error.HTTPError as err:
                why = f"status {err.code}"
                if err.code not in BUSY:
                    break
                wanted = err.headers.get("Retry-After", "")
                pause = min(float(wanted), LONGEST_PAUSE) if wanted.isdecimal() else pause
            except (OSError, ValueError, HTTPException) as err:  # no connection, cut off, no HTTP, or no JSON
                reason = getattr(err, "reason", None) or err
                why = getattr(reason, "strerror", None) or str(reason) or type(err).__name__
        raise ForkError(f"the chain at {shown(self.url)} does not answer: {why}", "is the URL right, and reachable?")

    def _once(self, body: Any) -> Any:
        request = urllib.request.Request(  # noqa: S310 (http or https: see parse_fork)
            self._at,
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "User-Agent": f"OpenLedger/{__version__}"},
        )
        for name, value in self._login.items():
            request.add_unredirected_header(name, value)  # for this server, and none that it names
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            return parse_json(response.read(MAX_ANSWER))


def _without_login(url: str) -> tuple[str, dict[str, str]]:
    """The URL without ``user:word@``, and the header that says the same (RFC 7617); urllib knows no such URLs."""
    parts = urlsplit(url)
    login, found, place = parts.netloc.rpartition("@")
    if not found:
        return url, {}
    word = base64.b64encode(unquote(login).encode()).decode()
    return parts._replace(netloc=place).geturl(), {"Authorization": f"Basic {word}"}


def _request(ident: int, method: str, params: Sequence[Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": ident, "method": method, "params": list(params)}


# --- the block --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """Where a fork begins: the block's number, hash, time (Unix seconds), base fee (wei) and gas limit, and the other
    chain's EVM chain id."""

    url: str
    chain_id: int
    block: int
    block_hash: bytes
    timestamp: int
    base_fee: int
    gas_limit: int

    @property
    def facts(self) -> ForkFacts:
        """What the RPC tells of it."""
        return ForkFacts(shown(self.url), self.chain_id, self.block, self.block_hash)


def find_point(upstream: Upstream, block: int | None) -> Point:
    """The block to fork, the newest where none is named. Raises ForkError."""
    wanted = "latest" if block is None else hex(block)
    chain_id, found = upstream.many([("eth_chainId", ()), ("eth_getBlockByNumber", (wanted, False))])
    if not isinstance(found, dict):
        raise ForkError(f"{shown(upstream.url)} has no block {wanted}", "choose one that it has")
    try:
        return Point(
            upstream.url,
            int(chain_id, 16),
            int(found["number"], 16),
            from_hex(found["hash"], 32),
            int(found["timestamp"], 16),
            int(found.get("baseFeePerGas") or "0x0", 16),
            int(found["gasLimit"], 16),
        )
    except (KeyError, TypeError, ValueError) as err:
        raise ForkError(f"the block that {shown(upstream.url)} gives cannot be read: {err}") from None


# --- the store --------------------------------------------------------------------------------------------


class ForkedStore:
    """Implements ``KeyValue`` over another one, with the state of ``block`` of ``upstream`` beneath."""

    def __init__(self, below: KeyValue, upstream: Upstream, block: int) -> None:
        self._below = below
        self._upstream = upstream
        self._block = hex(block)
        self._lock = threading.Lock()

    def get(self, key: bytes) -> bytes | None:
        """Raises ForkError when the other chain has to be asked and does not answer."""
        value = self._below.get(key)
        table = key[:1]
        if value is not None or table not in (layout.ACCOUNT, layout.STORAGE) or key[1:21] in KEPT:
            return value
        if (table, len(key)) not in ((layout.ACCOUNT, 21), (layout.STORAGE, 53)):
            return None
        known = self._below.get(_READ + key)
        if known is None:
            with self._lock:
                known = self._below.get(_READ + key)
                known = self._ask(key) if known is None else known
        return known or None

    def _ask(self, key: bytes) -> bytes:
        address = key[1:21]
        if key[:1] == layout.ACCOUNT:
            value, code = self._account(address)
            code_key = [(layout.CODE + keccak256(code), code)] if code else []
        else:
            value, code_key = self._slot(address, key[21:]), []
        self._below.write([(_READ + key, value), *code_key], sync=False)
        return value

    def _account(self, address: Address) -> tuple[bytes, bytes]:
        where = (to_hex(address), self._block)
        names = ("eth_getBalance", "eth_getTransactionCount", "eth_getCode")
        balance, nonce, code = self._upstream.many([(name, where) for name in names])
        with _readable(self._upstream.url):
            raw = from_hex(code)
            account = Account(int(nonce, 16), int(balance, 16), keccak256(raw) if raw else KECCAK_EMPTY)
        return (b"" if account.is_empty else layout.encode_account(account, EMPTY_TRIE_ROOT)), raw

    def _slot(self, address: Address, slot: bytes) -> bytes:
        found = self._upstream.call("eth_getStorageAt", to_hex(address), to_hex(slot), self._block)
        with _readable(self._upstream.url):
            return layout.encode_quantity(int(found, 16))

    def iterate(self, start: bytes, stop: bytes | None, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """What is here; the other chain cannot be walked through."""
        return self._below.iterate(start, stop, reverse=reverse)

    def write(self, puts: Sequence[tuple[bytes, bytes]], deletes: Sequence[bytes] = (), *, sync: bool = True) -> None:
        """What is deleted here is gone, whatever the other chain has."""
        gone = [(_READ + key, b"") for key in deletes if key[:1] in (layout.ACCOUNT, layout.STORAGE)]
        self._below.write([*puts, *gone], deletes, sync=sync)

    def view(self) -> KeyValue:
        """Raises ForkUnsupported: most of the state is not here."""
        raise ForkUnsupported("a forked devnet has no snapshots of its state", "evm_snapshot works")

    def close(self) -> None:
        self._below.close()


@contextlib.contextmanager
def _readable(url: str) -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError, OverflowError) as err:
        raise ForkError(f"what {shown(url)} answers is not a chain's state: {err}") from None

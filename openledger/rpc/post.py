"""The quick way in: a plain POST on a kept connection, read here and answered without a task.

Nearly all requests of nearly all clients are ``POST / HTTP/1.1`` with a Host, a JSON content type and one
Content-Length. A head that is exactly that, of a client that the door lets in, is answered here. Any other head, and
every refusal, is aiohttp's: it gets the connection for good, with the bytes of that head first. So there is one judge
of what is odd, and what is read here cannot be read in two ways: one length in digits, no Transfer-Encoding, no line
that ends or folds otherwise.

    bytes -> head complete? -> known or simple? -> body complete? -> Dispatcher.begin -> bytes out
                  |                   `- no: aiohttp           `- a method that waits: a task; later requests queue
                  `- no: wait, at most request_seconds
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from time import perf_counter
from typing import cast

from openledger.rpc.backend import RpcSettings
from openledger.rpc.callers import TooManyRequests, net_of
from openledger.rpc.dispatch import SLICE_SECONDS, Answer, Dispatcher, Later
from openledger.rpc.door import JSON_TYPES, TOO_MANY, Door, cors

REQUEST_LINE = b"POST / HTTP/1.1\r\n"
MAX_HEAD = 16 * 1024
MAX_LINES = 64
MAX_AHEAD = 64 * 1024
"""Bytes read of the requests that come after one that is still being answered."""
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\x20-\x7e]*")
_LENGTH = re.compile(rb"[0-9]{1,10}")
_ELSEWHERE = frozenset(
    (b"transfer-encoding", b"content-encoding", b"expect", b"upgrade", b"te", b"trailer", b"sec-websocket-key")
)
"""Headers that change how a request is read."""
_ONCE = frozenset((b"host", b"content-length", b"content-type", b"connection", b"origin", b"x-forwarded-for"))


@dataclass(frozen=True, slots=True)
class Head:
    """A head that was let in: ``length`` of its body in bytes, header lines of the answers to it, X-Forwarded-For."""

    length: int
    lines: bytes
    forwarded: str


def read_head(raw: bytes, door: Door, max_body: int) -> Head | None:
    """The head whose bytes, without the empty line, are ``raw``; None for one that is not for this file."""
    lines = raw.split(b"\r\n")[1:]
    if len(lines) > MAX_LINES:
        return None
    found: dict[bytes, bytes] = {}
    for line in lines:
        # one expression for the whole line would look for the end of its blanks in a billion ways
        name, colon, value = line.partition(b":")
        name, value = name.lower(), value.strip(b" \t")
        if not colon or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            return None
        if name in _ELSEWHERE or (name in _ONCE and name in found):
            return None
        found[name] = value
    length, kind = found.get(b"content-length", b""), found.get(b"content-type", b"").split(b";")[0].strip().lower()
    if not _LENGTH.fullmatch(length) or int(length) > max_body or kind.decode("ascii") not in JSON_TYPES:
        return None
    host, origin = found.get(b"host", b"").decode("ascii"), found.get(b"origin")
    if found.get(b"connection", b"keep-alive").lower() != b"keep-alive" or not door.host_allowed(host):
        return None
    answer = b"Content-Type: application/json\r\n"
    if origin is not None and door.origin_allowed(origin.decode("ascii"), host):
        answer += b"".join(f"{name}: {value}\r\n".encode() for name, value in cors(origin.decode("ascii")).items())
    forwarded = found.get(b"x-forwarded-for", b"").decode("ascii") if door.has_proxies else ""
    return Head(int(length), answer, forwarded)


@dataclass(slots=True)
class Quick:
    """What all connections of a server share. ``elsewhere`` makes aiohttp's protocol for a connection; ``date`` is the
    Date header line of now."""

    dispatcher: Dispatcher
    door: Door
    settings: RpcSettings
    elsewhere: Callable[[], asyncio.Protocol]
    most: int
    """Connections at once."""
    connections: set[PostProtocol] = field(default_factory=set)
    """Those that are answered here."""
    carried: set[PostProtocol] = field(default_factory=set)
    """Those that are aiohttp's."""
    clients: Counter[str] = field(default_factory=Counter)
    """How many connections each client has."""
    date: bytes = b""
    stopping: bool = False

    def count(self) -> int:
        """All connections."""
        return len(self.connections) + len(self.carried)

    def is_full(self, peer: str) -> bool:
        """True when there is no place for one more of this client: when half of all are taken, a quarter is the most
        that one may have."""
        if self.count() < self.most // 2 or self.door.is_many(peer):
            return self.count() >= self.most
        return self.count() >= self.most or self.clients[net_of(peer)] >= max(1, self.most // 4)


class PostProtocol(asyncio.Protocol):
    """One connection, until it is aiohttp's."""

    __slots__ = (
        "_buffer", "_caller", "_coming", "_ended", "_full", "_head", "_known", "_known_head", "_messages", "_net",
        "_other", "_peer", "_reading", "_resting", "_since", "_task", "_transport", "quick",
    )  # fmt: skip

    def __init__(self, quick: Quick) -> None:
        self.quick = quick
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._other: asyncio.Protocol | None = None
        self._net = ""
        self._messages = False
        self._coming = 0
        self._head: Head | None = None
        self._known = b""
        self._known_head: Head | None = None
        self._ended = False
        self._full = False
        self._reading = True
        self._resting = False
        self._since = 0.0

    # --- the connection -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) else ""
        if self.quick.is_full(self._peer):
            self._transport.write(_plain(503, b"Service Unavailable", b'{"error":"too many connections"}'))
            self._transport.close()
            return
        self._net = net_of(self._peer)
        self.quick.clients[self._net] += 1
        self._caller = self.quick.door.caller(self._peer)
        self._since = asyncio.get_running_loop().time()
        self.quick.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.quick.connections.discard(self)
        self.quick.carried.discard(self)
        if self._net:
            self.quick.clients[self._net] -= 1
            if not self.quick.clients[self._net]:
                del self.quick.clients[self._net]
        if self._other is not None:
            self._other.connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read: no more is answered, and so no more is read."""
        self._full = True
        if self._other is not None:
            self._other.pause_writing()

    def resume_writing(self) -> None:
        self._full = False
        if self._other is not None:
            self._other.resume_writing()
            return
        self._advance()

    def eof_received(self) -> bool:
        """The client has said all: what was asked is answered, then the connection ends."""
        if self._other is not None:
            return bool(self._other.eof_received())
        self._ended = True
        return self._task is not None or self._resting

    @property
    def coming(self) -> int:
        """Bytes of requests, or of a WebSocket's message, that are not here whole."""
        return self._coming or len(self._buffer)

    @property
    def since(self) -> float:
        """When the newest request began to come."""
        return self._since

    @property
    def transport(self) -> asyncio.Transport | None:
        """The connection, while it is here."""
        return self._transport

    def check(self, now: float) -> None:
        """Called every second: ends a connection that idles, or that sends a request too slowly. One that does not read
        is ended elsewhere (unread.py)."""
        if self._transport is None or self._task is not None or self._full or self._transport.is_closing():
            return
        settings = self.quick.settings
        if self._buffer:
            if now - self._since > settings.request_seconds:
                self._transport.write(_plain(408, b"Request Timeout", b'{"error":"the request took too long"}'))
                self._transport.close()
        elif now - self._since > settings.idle_seconds:
            self._transport.close()

    def close(self) -> None:
        """The server stops: answer what is being answered, then end."""
        if self._task is None and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End now."""
        if self._transport is not None:
            self._transport.abort()

    # --- requests -----------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._other is not None:
            self._carry(data)
            return
        if not self._buffer:
            self._since = asyncio.get_running_loop().time()
        self._buffer += data
        if self._task is None and not self._full and not self._resting:
            self._advance()
        elif self._reading and len(self._buffer) > MAX_AHEAD and self._transport is not None:
            self._reading = False  # enough of what comes after the request that is being answered
            self._transport.pause_reading()

    def _advance(self) -> None:
        """Answer what is complete, in order, until something is missing or has to wait, or others have their turn."""
        if self._resting:
            return
        began = perf_counter()
        while self._transport is not None and self._task is None and not self._full and self._buffer:
            if self._head is None and not self._begin():
                break
            head = self._head
            if head is None or len(self._buffer) < head.length:
                break
            body = bytes(self._buffer[: head.length])
            del self._buffer[: head.length]
            self._head = None
            self._answer(head, body)
            if self._buffer and perf_counter() - began > SLICE_SECONDS:
                self._resting = True
                asyncio.get_running_loop().call_soon(self._go_on)
                return
        if not self._reading and self._task is None and not self._full and self._transport is not None:
            self._reading = True
            self._transport.resume_reading()

    def _go_on(self) -> None:
        self._resting = False
        if self._transport is None or self._transport.is_closing():
            return
        self._advance()
        self._end()

    def _end(self) -> None:
        """Close when the client has said all, and has its answers."""
        if self._ended and self._task is None and not self._resting and self._transport is not None:
            self._transport.close()

    def _begin(self) -> bool:
        """Read a head. False when it is not complete, or not for here."""
        end = self._buffer.find(b"\r\n\r\n", 0, MAX_HEAD)
        if not REQUEST_LINE.startswith(self._buffer[: len(REQUEST_LINE)]) or (
            end < 0 and len(self._buffer) >= MAX_HEAD
        ):
            self._hand_over()
            return False
        if end < 0:
            return False
        raw = bytes(self._buffer[:end])
        if raw != self._known:
            self._known_head = read_head(raw, self.quick.door, self.quick.settings.max_body)
            self._known = raw
        if self._known_head is None:
            self._hand_over()
            return False
        self._head = self._known_head
        del self._buffer[: end + 4]
        return True

    def _hand_over(self) -> None:
        """The connection is aiohttp's from now on; what comes is passed to it."""
        transport = self._transport
        self.quick.connections.discard(self)
        if transport is None:
            return
        self._other = self.quick.elsewhere()
        self.quick.carried.add(self)
        self._other.connection_made(transport)
        if not self._reading:
            transport.resume_reading()
        data, self._buffer = bytes(self._buffer), bytearray()
        self._other.data_received(data)

    def _carry(self, data: bytes) -> None:
        if self._messages:
            if not self._coming:
                self._since = asyncio.get_running_loop().time()
            self._coming += len(data)
        if self._other is not None:
            self._other.data_received(data)

    def message_came(self) -> None:
        """A WebSocket has begun, or its message is here whole."""
        self._messages = True
        self._coming = 0

    def _answer(self, head: Head, body: bytes) -> None:
        quick = self.quick
        caller = quick.door.caller(self._peer, head.forwarded) if head.forwarded else self._caller
        try:
            if not caller.take(1):
                raise TooManyRequests
            found = quick.dispatcher.begin(body, None, caller, self._has_left)
        except TooManyRequests:
            self._write(b"429 Too Many Requests", head, TOO_MANY)
            return
        if found is None or isinstance(found, bytes):
            self._write(b"200 OK", head, found or b"")
        else:
            self._task = asyncio.get_running_loop().create_task(self._wait(head, found))

    async def _wait(self, head: Head, found: Later) -> None:
        answer: Answer = await found
        self._task = None
        self._write(b"200 OK", head, answer or b"")
        self._advance()
        self._end()

    def _has_left(self) -> bool:
        return self._transport is None

    def _write(self, status: bytes, head: Head, body: bytes) -> None:
        transport = self._transport
        if transport is None:
            return
        quick = self.quick
        closing = b"Connection: close\r\n" if quick.stopping else b""
        transport.write(
            b"HTTP/1.1 %b\r\n%b%b%bContent-Length: %d\r\n\r\n%b"
            % (status, head.lines, quick.date, closing, len(body), body)
        )
        self._since = asyncio.get_running_loop().time()
        if quick.stopping:
            transport.close()


def end_the_slowest(connections: Collection[PostProtocol], most: int) -> None:
    """Where requests that are not here whole hold more than ``most`` bytes together, the oldest of them end."""
    held = sum(connection.coming for connection in connections)
    for connection in sorted(connections, key=lambda one: one.since) if held > most else ():
        held -= connection.coming
        connection.abort()
        if held <= most:
            break


def _plain(status: int, reason: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 %d %b\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (
        status,
        reason,
        len(body),
        body,
    )

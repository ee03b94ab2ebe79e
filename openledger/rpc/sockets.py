"""JSON-RPC over WebSockets: one session per connection. Answers go through aiohttp; what is pushed goes straight to the
transport, because a head is one text for a thousand clients and a frame around it costs nothing.

A method that waits does not keep the client's next request waiting; what is pushed meanwhile stays behind the answer of
a batch, because the batch may be what subscribed to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from time import perf_counter
from typing import cast

from aiohttp import WSCloseCode, WSMsgType, web

from openledger.rpc.backend import RpcSettings
from openledger.rpc.callers import Caller, TooManyRequests
from openledger.rpc.dispatch import SLICE_SECONDS, Dispatcher, Later
from openledger.rpc.door import TOO_MANY, Door
from openledger.rpc.post import PostProtocol
from openledger.rpc.subscriptions import Subscriptions

HEARTBEAT_SECONDS = 30.0
GOODBYE_SECONDS = 2.0
WAITING = 16
"""Requests of one connection that may wait at once; the next is read when one of them is answered."""
MAX_HELD = 1_000


def frame(payload: bytes) -> bytes:
    """A whole text frame from the server (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    return struct.pack("!BBH" if size < 65_536 else "!BBQ", 0x81, 126 if size < 65_536 else 127, size) + payload


class SocketSession:
    """One connection. A client that does not read loses its connection when ``max_unsent`` bytes wait for it."""

    def __init__(
        self,
        request: web.Request,
        socket: web.WebSocketResponse,
        dispatcher: Dispatcher,
        caller: Caller,
        max_unsent: int,
    ) -> None:
        self._transport = request.transport
        self._socket = socket
        self._dispatcher = dispatcher
        self._caller = caller
        self._max_unsent = max_unsent
        self._waiting = asyncio.Semaphore(WAITING)
        self._tasks: set[asyncio.Task[None]] = set()
        self._holding = 0
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._spent = 0.0
        self.gone = False
        """Set when the client has left: its batches end, and it subscribes to nothing more."""

    def notify(self, text: bytes) -> None:
        """Push one message; never waits."""
        if not self._holding:
            self._push(text)
        elif len(self._held) < MAX_HELD and self._held_bytes + len(text) <= self._max_unsent:
            self._held.append(text)
            self._held_bytes += len(text)
        else:
            self._abort()

    def _push(self, text: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing() or self._socket.closed:
            return
        if transport.get_write_buffer_size() > self._max_unsent:
            self._abort()
        else:
            transport.write(frame(text))

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def receive(self, body: bytes) -> None:
        """Answer one message, or have it answered when its method is done. A client that sends many at once leaves
        others their turn."""
        began = perf_counter()
        try:
            if not self._caller.take(1):
                raise TooManyRequests
            found = self._dispatcher.begin(body, self, self._caller, lambda: self.gone)
        except TooManyRequests:
            found = TOO_MANY
        if isinstance(found, bytes):
            await self._socket.send_frame(found, WSMsgType.TEXT)
        elif found is not None:
            await self._waiting.acquire()
            task = asyncio.create_task(self._later(found, body.lstrip().startswith(b"[")))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._spent += perf_counter() - began
        if self._spent > SLICE_SECONDS:
            self._spent = 0.0
            await asyncio.sleep(0)

    async def _later(self, found: Later, holds: bool) -> None:
        self._holding += holds
        try:
            text = await found
            if text is not None:
                with contextlib.suppress(ConnectionError, RuntimeError):  # the client has left meanwhile
                    await self._socket.send_frame(text, WSMsgType.TEXT)
        finally:
            self._waiting.release()
            self._holding -= holds
            if holds and not self._holding:
                held, self._held, self._held_bytes = self._held, [], 0
                for pushed in held:
                    self._push(pushed)


class Sockets:
    """All WebSocket connections of a server."""

    def __init__(self, dispatcher: Dispatcher, subscriptions: Subscriptions, door: Door, settings: RpcSettings) -> None:
        self._dispatcher = dispatcher
        self._subscriptions = subscriptions
        self._door = door
        self._settings = settings
        self._open: set[web.WebSocketResponse] = set()

    @property
    def count(self) -> int:
        """Open connections."""
        return len(self._open)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Upgrade a request and answer until the client leaves."""
        socket = web.WebSocketResponse(
            max_msg_size=self._settings.max_body, heartbeat=HEARTBEAT_SECONDS, compress=False, autoping=True
        )
        try:
            await socket.prepare(request)
        except ConnectionError:
            return web.Response(status=400, text="the client left before the upgrade")
        caller = self._door.caller_of(request)
        session = SocketSession(request, socket, self._dispatcher, caller, self._settings.max_unsent)
        self._open.add(socket)
        carrier = cast("PostProtocol", request.transport.get_protocol()) if request.transport is not None else None
        try:
            if carrier is not None:
                carrier.message_came()
            async for message in socket:
                if carrier is not None:
                    carrier.message_came()
                if message.type is WSMsgType.TEXT:
                    await session.receive(message.data.encode())
                elif message.type is WSMsgType.BINARY:
                    await session.receive(message.data)
        except ConnectionError:  # left while it was answered
            pass
        finally:
            self._open.discard(socket)
            session.gone = True
            self._subscriptions.drop(session)
        return socket

    async def close(self) -> None:
        """Say goodbye to everybody, and wait a little for the replies."""
        leaving = [
            asyncio.create_task(socket.close(code=WSCloseCode.GOING_AWAY, message=b"the node stops"))
            for socket in list(self._open)
        ]
        if leaving:
            _, late = await asyncio.wait(leaving, timeout=GOODBYE_SECONDS)
            for task in late:
                task.cancel()

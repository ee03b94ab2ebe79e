"""JSON-RPC over WebSockets: one session per connection, answered in order, with a bounded queue towards the client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from aiohttp import WSCloseCode, WSMsgType, web

from openledger.rpc.backend import RpcSettings
from openledger.rpc.dispatch import Dispatcher
from openledger.rpc.subscriptions import Subscriptions

HEARTBEAT_SECONDS = 30.0


class SocketSession:
    """One connection. A client that does not read loses its connection (``abort``) when the queue is full."""

    def __init__(self, socket: web.WebSocketResponse, max_queued: int, abort: Callable[[], None]) -> None:
        self._socket = socket
        self._abort = abort
        self._queue: asyncio.Queue[str] = asyncio.Queue(max_queued)
        self._held: list[str] | None = None

    def notify(self, text: str) -> None:
        """Queue one message; while a request is being answered it waits behind that answer."""
        if self._held is not None and len(self._held) < self._queue.maxsize:
            self._held.append(text)
        else:
            self._put(text)

    def _put(self, text: str) -> None:
        try:
            self._queue.put_nowait(text)
        except asyncio.QueueFull:
            self._abort()

    async def answer(self, dispatcher: Dispatcher, body: bytes) -> None:
        """Answer one message, then let pass what was pushed meanwhile."""
        self._held = []
        try:
            text = await dispatcher.answer(body, self)
            if text is not None:
                await self._queue.put(text)
        finally:
            held, self._held = self._held, None
            for pushed in held:
                self._put(pushed)

    async def write(self) -> None:
        """Send what is queued until the connection ends."""
        while True:
            await self._socket.send_str(await self._queue.get())


class Sockets:
    """All WebSocket connections of a server."""

    def __init__(self, dispatcher: Dispatcher, subscriptions: Subscriptions, settings: RpcSettings) -> None:
        self._dispatcher = dispatcher
        self._subscriptions = subscriptions
        self._settings = settings
        self._open: set[web.WebSocketResponse] = set()

    @property
    def count(self) -> int:
        """Open connections."""
        return len(self._open)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Upgrade a request and answer until the client leaves."""
        if self.count >= self._settings.max_connections:
            return web.json_response({"error": "too many WebSocket connections"}, status=503)
        socket = web.WebSocketResponse(
            max_msg_size=self._settings.max_body, heartbeat=HEARTBEAT_SECONDS, compress=False, autoping=True
        )
        try:
            await socket.prepare(request)
        except ConnectionError:
            return web.Response(status=400, text="the client left before the upgrade")
        session = SocketSession(socket, self._settings.max_queued, lambda: _abort(request))
        writer = asyncio.create_task(session.write())
        self._open.add(socket)
        try:
            await self._read(socket, session)
        finally:
            self._open.discard(socket)
            self._subscriptions.drop(session)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError, RuntimeError):
                await writer
        return socket

    async def _read(self, socket: web.WebSocketResponse, session: SocketSession) -> None:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await session.answer(self._dispatcher, message.data.encode())
            elif message.type is WSMsgType.BINARY:
                await session.answer(self._dispatcher, message.data)

    async def close(self) -> None:
        """Say goodbye to everybody."""
        for socket in list(self._open):
            await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the node stops")


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()

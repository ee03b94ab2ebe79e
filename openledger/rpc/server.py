"""One port: JSON-RPC by POST, WebSocket by upgrade, the web page by GET, blobs, health and metrics.

A connection begins in post.py, which answers plain POSTs; with anything else it goes to aiohttp and the routes here.
Who is let in stands in door.py. Bodies are bounded and never decompressed.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import logging
import re
import resource
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from importlib.resources import files
from pathlib import Path
from typing import Any

from aiohttp import web

import openledger
from openledger.genesis.genesis import Genesis
from openledger.primitives.errors import PortTaken
from openledger.rpc.admin import Admin
from openledger.rpc.backend import Backend
from openledger.rpc.blob_room import BlobRoom
from openledger.rpc.blobs import BlobRoutes
from openledger.rpc.bodies import Busy, Coming, TooMuch
from openledger.rpc.callers import TooManyRequests, now_asks
from openledger.rpc.cometbft import CometRoutes
from openledger.rpc.debug import Debug
from openledger.rpc.devnet import devnet_namespaces
from openledger.rpc.dispatch import MAX_PARTS, Dispatcher
from openledger.rpc.door import JSON_TYPES, TOO_MANY, Door, cors, too_long
from openledger.rpc.eth import EthState
from openledger.rpc.eth_blocks import EthBlocks
from openledger.rpc.eth_calls import EthCalls
from openledger.rpc.eth_fees import EthFees
from openledger.rpc.eth_filters import EthFilters
from openledger.rpc.eth_node import EthNode
from openledger.rpc.eth_sent import EthSent
from openledger.rpc.evidence import OpenLedgerEvidence
from openledger.rpc.governance import OpenLedgerGovernance
from openledger.rpc.jsontext import dump
from openledger.rpc.net import Net
from openledger.rpc.openledger import OpenLedgerNode, OpenLedgerReads
from openledger.rpc.openrpc import document
from openledger.rpc.ots import Erigon, Otterscan
from openledger.rpc.pending import PendingBlocks
from openledger.rpc.post import PostProtocol, Quick, end_the_slowest
from openledger.rpc.sockets import Sockets
from openledger.rpc.subscriptions import Subscriptions
from openledger.rpc.trace import Trace
from openledger.rpc.trace_calls import TraceCalls
from openledger.rpc.trace_replay import TraceReplay
from openledger.rpc.txpool import TxPool
from openledger.rpc.unread import Unread
from openledger.rpc.web3 import Rpc, Web3
from openledger.rpc.work import Workers

log = logging.getLogger("openledger.rpc")

WEB_FOLDER = Path(str(files("openledger.rpc") / "web"))
FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")  # no segment begins with a dot
PAGE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; object-src 'none'; "
    "frame-ancestors 'none'",
}
CONTENT_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain",
}

STOP_SECONDS = 5.0
PAID = ("/blobs/", "/cometbft", "/genesis.json", "/openrpc.json")
"""Doors beside JSON-RPC at which a request costs its client one call."""
MOST_COMING = 256 * 1024 * 1024
"""Bytes of requests that are not here whole, of all clients together."""
_TAKEN = "another node may be running; choose a port with --port"
_NOT_OURS = "see host and port under [rpc] in config.toml: an address of this machine, a port that this user may take"
FILES_KEPT = 512
"""Open files of the node beside its connections: database, blobs, processes."""
LINGER_SECONDS = 1.0
"""How long the rest of a body is read that nobody wants, so that the client hears why."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RpcServer:
    """The server of one node. ``port`` 0 picks a free one; read ``port`` after ``start``."""

    def __init__(self, backend: Backend, host: str = "127.0.0.1", port: int = 8545) -> None:
        self.host = host
        self.port = port
        self._backend = backend
        self._settings = backend.settings
        self._subscriptions = Subscriptions(backend)
        self._workers = Workers(backend)
        self._door = Door(self._settings)
        self.blob_room = BlobRoom(backend.blobs, self._settings.max_blobs)
        self._document: dict[str, Any] | None = None
        self._told: tuple[Genesis, bytes] | None = None
        self._coming = Coming(MOST_COMING)
        self.dispatcher = self._dispatcher()
        self._sockets = Sockets(self.dispatcher, self._subscriptions, self._door, self._settings)
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None
        self._quick: Quick | None = None
        self._clock: asyncio.Task[None] | None = None

    def _dispatcher(self) -> Dispatcher:
        backend = self._backend
        pending = PendingBlocks(backend, self._workers)
        fees = EthFees(backend, pending, self._workers)
        state, calls = EthState(backend, pending), EthCalls(backend, fees, pending, self._workers)
        namespaces: list[tuple[str, object]] = [
            ("eth", state),
            ("eth", EthBlocks(backend, pending)),
            ("eth", EthSent(backend, self._workers)),
            ("eth", calls),
            ("eth", EthNode(backend)),
            ("eth", fees),
            ("eth", EthFilters(backend, self._subscriptions, self._workers)),
            ("net", Net(backend)),
            ("web3", Web3(backend)),
            ("txpool", TxPool(backend)),
            ("debug", Debug(backend, self._workers)),
            ("trace", Trace(backend, self._workers)),
            ("trace", TraceReplay(backend, self._workers)),
            ("trace", TraceCalls(backend, pending, self._workers)),
            ("ots", Otterscan(backend, self._workers)),
            ("erigon", Erigon(backend)),
            ("openledger", OpenLedgerReads(backend, self._workers)),
            ("openledger", OpenLedgerGovernance(backend)),
            ("openledger", OpenLedgerEvidence(backend)),
            ("openledger", OpenLedgerNode(backend, fees)),
            ("admin", Admin(backend.admin)),
        ]
        if backend.devnet is not None:
            namespaces += devnet_namespaces(backend, backend.devnet, state, calls)
        namespaces.append(("rpc", Rpc([prefix for prefix, _ in namespaces] + ["rpc"], self._describe)))
        limits = self._settings
        return Dispatcher(
            namespaces,
            max_batch=limits.max_batch,
            max_depth=limits.max_depth,
            max_parts=max(MAX_PARTS, limits.max_body // 25),
            max_answer=limits.max_answer,
            access_log=limits.access_log,
        )

    def _describe(self) -> dict[str, Any]:
        """The OpenRPC document, made once."""
        if self._document is None:
            self._document = document(
                self.dispatcher.methods, openledger.__version__, f"http://{self.host}:{self.port}"
            )
        return self._document

    async def start(self) -> None:
        """Listen. Raises PortTaken."""
        app = web.Application(middlewares=[self._guard], client_max_size=self._settings.max_body)
        blobs = BlobRoutes(self._backend, self.blob_room)
        app.router.add_post("/", self._post)
        app.router.add_get("/", self._root)
        app.router.add_get("/openrpc.json", self._openrpc)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/blobs/{name}", blobs.get)  # answers HEAD as well
        app.router.add_put("/blobs/{name}", blobs.put)
        app.router.add_get("/genesis.json", self._genesis)
        if self._backend.comet_url:
            comet = CometRoutes(self._backend.comet_url, self._settings.request_seconds)
            app.router.add_post("/cometbft", comet.post)
            app.on_cleanup.append(comet.close)
        app.router.add_get("/{path:.+}", self._static)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            auto_decompress=False,
            shutdown_timeout=5.0,
            keepalive_timeout=self._settings.idle_seconds,
            lingering_time=LINGER_SECONDS,
        )
        await self._runner.setup()
        self._quick = self._shared(self._runner)
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                functools.partial(PostProtocol, self._quick), self.host, self.port, backlog=1024
            )
        except OSError as err:
            await self._runner.cleanup()
            self._runner = None
            text = f"cannot listen on {self.host} port {self.port}: {err.strerror or err}"
            raise PortTaken(text, _TAKEN if err.errno == errno.EADDRINUSE else _NOT_OURS) from None
        self.port = int(self._listener.sockets[0].getsockname()[1])
        self._clock = asyncio.create_task(self._tick(self._quick, Unread(self._settings.request_seconds)))
        self._subscriptions.start()
        self._workers.start()

    def _shared(self, runner: web.AppRunner) -> Quick:
        """What the connections of a runner that is set up share."""
        server = runner.server
        if server is None:
            raise RuntimeError("the runner is not set up")
        most = _connections(self._settings.max_connections)
        return Quick(self.dispatcher, self._door, self._settings, server, most, date=_date_line())

    async def _tick(self, quick: Quick, unread: Unread) -> None:
        """Every second: the Date header, and an end for connections that idle or dawdle, or do not read."""
        while True:
            await asyncio.sleep(1.0)
            quick.date = _date_line()
            now = asyncio.get_running_loop().time()
            for connection in list(quick.connections):
                connection.check(now)
            everybody = [*quick.connections, *quick.carried]
            end_the_slowest(everybody, MOST_COMING)
            unread.look([one.transport for one in everybody if one.transport is not None], now)

    async def stop(self) -> None:
        """Take no more connections, answer what is being answered (at most 5 s), close. Safe to call twice."""
        self._subscriptions.stop()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._clock is not None:
            self._clock.cancel()
        await self._finish()
        await self._sockets.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        await self._workers.stop()

    async def _finish(self) -> None:
        if self._quick is None:
            return
        self._quick.stopping = True
        for connection in list(self._quick.connections):
            connection.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                while self._quick.connections:  # noqa: ASYNC110 (once, at the end)
                    await asyncio.sleep(0.01)
        for connection in list(self._quick.connections):
            connection.abort()

    # --- who may come in ----------------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Host and origin allow-lists, CORS headers, no compressed bodies."""
        if not self._door.host_allowed(request.host):
            text = "invalid host specified: add it to the RPC's allowed hosts in the node's configuration"
            return web.json_response({"error": text}, status=403)
        origin = request.headers.get("Origin")
        allowed = origin is None or self._door.origin_allowed(origin, request.host)
        headers = cors(origin) if origin is not None and allowed else {}
        if request.method == "OPTIONS":
            return web.Response(status=204 if allowed else 403, headers=headers)
        if not allowed and request.method != "POST":
            return web.json_response({"error": "this web origin is not allowed"}, status=403)
        if request.headers.get("Content-Encoding", "identity") != "identity":
            return web.json_response({"error": "compressed bodies are not accepted"}, status=415)
        caller = self._door.caller_of(request)
        now_asks(caller)
        if request.path.startswith(PAID) and not caller.take(1):
            response: web.StreamResponse = _json(TOO_MANY, 429)
        else:
            response = await handler(request)
        if headers and not response.prepared:
            response.headers.update(headers)
        return response

    # --- JSON-RPC -----------------------------------------------------------------------------------------

    async def _post(self, request: web.Request) -> web.StreamResponse:
        if request.content_type not in JSON_TYPES:
            text = f"invalid content type, only {JSON_TYPES[0]} is supported"
            return web.Response(status=415, text=text)
        try:
            async with asyncio.timeout(self._settings.request_seconds):
                body = await self._coming.read(request, self._settings.max_body)
            caller = self._door.caller_of(request)
            if not caller.take(1):
                raise TooManyRequests
            answer = await self.dispatcher.answer(body, None, caller, lambda: request.transport is None)
        except TooMuch:
            return _json(too_long(self._settings.max_body), 413)
        except Busy:
            return _json(b'{"error":"too many requests are coming at once"}', 503)
        except TimeoutError:
            return _json(b'{"error":"the request took too long"}', 408)
        except TooManyRequests:
            return _json(TOO_MANY, 429)
        return _json(answer or b"", 200)

    async def _root(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._sockets.serve(request)
        return self._file("index.html")

    async def _openrpc(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(body=dump(self._describe()), content_type="application/json")

    # --- files --------------------------------------------------------------------------------------------

    async def _static(self, request: web.Request) -> web.StreamResponse:
        return self._file(request.match_info["path"])

    def _file(self, name: str) -> web.StreamResponse:
        path = WEB_FOLDER / name
        content_type = CONTENT_TYPES.get(path.suffix)
        if not FILE_NAME.fullmatch(name) or content_type is None or not path.is_file():
            return web.json_response({"error": "there is nothing here"}, status=404)
        charset = "; charset=utf-8" if content_type.startswith("text/") else ""
        return web.FileResponse(path, headers=PAGE_HEADERS | {"Content-Type": content_type + charset})

    # --- health -------------------------------------------------------------------------------------------

    async def _genesis(self, _request: web.Request) -> web.StreamResponse:
        genesis = self._backend.app.genesis
        if self._told is None or self._told[0] is not genesis:  # one made from an exported state is large
            self._told = (genesis, await asyncio.to_thread(lambda: genesis.to_json().encode()))
        return web.Response(body=self._told[1], content_type="application/json")

    @property
    def connections(self) -> int:
        """Open connections."""
        return 0 if self._quick is None else self._quick.count()

    @property
    def calls_waiting(self) -> int:
        """Calls that wait for a process."""
        return self._workers.waiting

    @property
    def calls_killed(self) -> int:
        """Processes that were ended with their call."""
        return self._workers.killed

    @property
    def websockets(self) -> int:
        """Open WebSockets."""
        return self._sockets.count

    async def _health(self, _request: web.Request) -> web.StreamResponse:
        return _told(None if self._backend.vitals is None else await self._backend.vitals.alive())

    async def _ready(self, _request: web.Request) -> web.StreamResponse:
        return _told(None if self._backend.vitals is None else await self._backend.vitals.ready())

    async def _metrics(self, _request: web.Request) -> web.StreamResponse:
        if self._backend.vitals is None:
            return _told(None)
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=await self._backend.vitals.metrics(), headers=headers)


def _connections(wanted: int) -> int:
    """As many of them as open files are left for. The others are the node's: without one its database fails."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files == resource.RLIM_INFINITY or wanted + FILES_KEPT <= files:
        return wanted
    most = max(1, files // 4, files - FILES_KEPT)
    log.warning("%d of %d connections: this process may have %d open files (LimitNOFILE)", most, wanted, files)
    return most


def _told(found: tuple[bool, dict[str, Any]] | None) -> web.Response:
    """Health as JSON: 200 when all is well, 503 when not, 404 where nobody watches."""
    if found is None:
        return web.json_response({"error": "this server does not know how its node is"}, status=404)
    well, body = found
    return web.json_response(body, status=200 if well else 503)


def _json(body: bytes, status: int) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")


def _date_line() -> bytes:
    return f"Date: {formatdate(usegmt=True)}\r\n".encode()

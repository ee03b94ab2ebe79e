"""One port: JSON-RPC by POST, WebSocket by upgrade, the web page by GET, blobs, health and metrics.

Only local Host names and web origins are let in unless the settings name more, so that no page of the internet can talk
to a node at home. Bodies are bounded and never decompressed.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from openledger.primitives.errors import PortTaken
from openledger.rpc.backend import Backend
from openledger.rpc.blobs import BlobRoutes
from openledger.rpc.debug import Debug
from openledger.rpc.dispatch import Dispatcher
from openledger.rpc.eth import EthBlocks, EthState
from openledger.rpc.eth_calls import EthCalls
from openledger.rpc.eth_fees import EthFees
from openledger.rpc.eth_filters import EthFilters
from openledger.rpc.net import Net
from openledger.rpc.openledger import OpenLedgerNode, OpenLedgerReads
from openledger.rpc.sockets import Sockets
from openledger.rpc.subscriptions import Subscriptions
from openledger.rpc.txpool import TxPool
from openledger.rpc.web3 import Rpc, Web3
from openledger.rpc.work import Workers

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
JSON_TYPES = ("application/json", "application/json-rpc", "application/jsonrequest")
WALLET_SCHEMES = ("chrome-extension", "moz-extension", "safari-web-extension")
WEB_FOLDER = Path(str(files("openledger.rpc") / "web"))
FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")  # no segment begins with a dot
PAGE_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache", "X-Frame-Options": "DENY"}
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

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RpcServer:
    """The server of one node. ``port`` 0 picks a free one; read ``port`` after ``start``."""

    def __init__(self, backend: Backend, host: str = "127.0.0.1", port: int = 8545) -> None:
        self.host = host
        self.port = port
        self._backend = backend
        self._settings = backend.settings
        self._subscriptions = Subscriptions(backend)
        self._workers = Workers(self._settings.call_threads, self._settings.call_seconds)
        self.dispatcher = self._dispatcher()
        self._sockets = Sockets(self.dispatcher, self._subscriptions, self._settings)
        self._runner: web.AppRunner | None = None

    def _dispatcher(self) -> Dispatcher:
        backend = self._backend
        fees = EthFees(backend)
        namespaces: list[tuple[str, object]] = [
            ("eth", EthState(backend)),
            ("eth", EthBlocks(backend)),
            ("eth", EthCalls(backend, fees, self._workers)),
            ("eth", fees),
            ("eth", EthFilters(backend, self._subscriptions, self._workers)),
            ("net", Net(backend)),
            ("web3", Web3(backend)),
            ("txpool", TxPool(backend)),
            ("debug", Debug(backend, self._workers)),
            ("openledger", OpenLedgerReads(backend)),
            ("openledger", OpenLedgerNode(backend, fees)),
        ]
        namespaces.append(("rpc", Rpc([prefix for prefix, _ in namespaces] + ["rpc"])))
        return Dispatcher(namespaces, max_batch=self._settings.max_batch, max_depth=self._settings.max_depth)

    async def start(self) -> None:
        """Listen. Raises PortTaken."""
        app = web.Application(middlewares=[self._guard], client_max_size=self._settings.max_body)
        blobs = BlobRoutes(self._backend)
        app.router.add_post("/", self._post)
        app.router.add_get("/", self._root)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/blobs/{name}", blobs.get)  # answers HEAD as well
        app.router.add_put("/blobs/{name}", blobs.put)
        app.router.add_get("/{path:.+}", self._static)
        self._runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=5.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self.host, self.port, backlog=1024).start()
        except OSError as err:
            await self._runner.cleanup()
            self._runner = None
            text = f"cannot listen on {self.host} port {self.port}: {err.strerror or err}"
            raise PortTaken(text, "another node may be running; choose a port with --port") from None
        self.port = self._bound_port(self._runner)
        self._subscriptions.start()

    @staticmethod
    def _bound_port(runner: web.AppRunner) -> int:
        return int(runner.addresses[0][1])

    async def stop(self) -> None:
        """Close connections and stop listening. Safe to call twice."""
        self._subscriptions.stop()
        await self._sockets.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self._workers.stop()

    # --- who may come in ----------------------------------------------------------------------------------

    def _host_allowed(self, host: str) -> bool:
        name = (urlsplit(f"//{host}").hostname or "").lower() if host else ""
        return "*" in self._settings.hosts or name in LOCAL_HOSTS or name in self._settings.hosts

    def _origin_allowed(self, origin: str, host: str) -> bool:
        if origin in self._settings.origins or "*" in self._settings.origins:
            return True
        parts = urlsplit(origin)
        return parts.scheme in WALLET_SCHEMES or (parts.hostname or "") in LOCAL_HOSTS or parts.netloc == host

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Host and origin allow-lists, CORS headers, no compressed bodies."""
        if not _parses(self._host_allowed, request.host):
            text = "invalid host specified: add it to the RPC's allowed hosts in the node's configuration"
            return web.json_response({"error": text}, status=403)
        origin = request.headers.get("Origin")
        allowed = origin is None or _parses(lambda text: self._origin_allowed(text, request.host), origin)
        if request.method == "OPTIONS":
            return web.Response(status=204 if allowed else 403, headers=_cors(origin) if allowed else {})
        if not allowed and request.method != "POST":
            return web.json_response({"error": "this web origin is not allowed"}, status=403)
        if request.headers.get("Content-Encoding", "identity") != "identity":
            return web.json_response({"error": "compressed bodies are not accepted"}, status=415)
        response = await handler(request)
        if origin is not None and allowed and not response.prepared:
            response.headers.update(_cors(origin))
        return response

    # --- JSON-RPC -----------------------------------------------------------------------------------------

    async def _post(self, request: web.Request) -> web.StreamResponse:
        if request.content_type not in JSON_TYPES:
            text = f"invalid content type, only {JSON_TYPES[0]} is supported"
            return web.Response(status=415, text=text)
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            text = '{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"content length too large '
            return web.Response(
                status=413, text=f'{text}(limit {self._settings.max_body})"}}}}', content_type="application/json"
            )
        answer = await self.dispatcher.answer(body)
        if answer is None:
            return web.Response(status=200, content_type="application/json")
        return web.Response(body=answer.encode(), content_type="application/json")

    async def _root(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._sockets.serve(request)
        return self._file("index.html")

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

    async def _health(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response({"ok": True})

    async def _ready(self, _request: web.Request) -> web.StreamResponse:
        status = await self._backend.consensus.status()
        body = {"ready": not status.catching_up, "height": self._backend.head().number}
        return web.json_response(body, status=503 if status.catching_up else 200)

    async def _metrics(self, _request: web.Request) -> web.StreamResponse:
        status = await self._backend.consensus.status()
        lines = [
            f"openledger_height {self._backend.head().number}",
            f"openledger_catching_up {int(status.catching_up)}",
            f"openledger_peers {status.peers}",
            f"openledger_mempool_transactions {len(self._backend.pending())}",
            f"openledger_rpc_websockets {self._sockets.count}",
        ]
        calls, failures = self.dispatcher.calls, self.dispatcher.failures
        lines += [f'openledger_rpc_requests_total{{method="{m}"}} {n}' for m, n in sorted(calls.items())]
        lines += [f'openledger_rpc_errors_total{{method="{m}"}} {n}' for m, n in sorted(failures.items())]
        return web.Response(text="\n".join(lines) + "\n")


def _parses(test: Callable[[str], bool], value: str) -> bool:
    try:
        return test(value)
    except ValueError:  # a malformed host or origin
        return False


def _cors(origin: str | None) -> dict[str, str]:
    if origin is None:
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Vary": "Origin",
        "Access-Control-Allow-Methods": "POST, GET, HEAD, PUT, OPTIONS",
        "Access-Control-Allow-Headers": "Content-Type",
        "Access-Control-Max-Age": "600",
        "Access-Control-Allow-Private-Network": "true",
    }

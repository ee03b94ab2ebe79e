"""Who may come in: Host and Origin allow-lists, CORS, the callers' budgets. Both ways of reading HTTP (post.py,
aiohttp) ask here.

Only local Host names and web origins are let in unless the settings name more, so that no page of the internet can talk
to a node at home.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from aiohttp import web

from openledger.rpc.backend import RpcSettings
from openledger.rpc.callers import Caller, Callers
from openledger.rpc.errors import INVALID_REQUEST, LIMIT_EXCEEDED
from openledger.rpc.jsontext import dump

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
JSON_TYPES = ("application/json", "application/json-rpc", "application/jsonrequest")
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_.-]+))(?::[0-9]*)?")
WALLET_SCHEMES = ("chrome-extension", "moz-extension", "safari-web-extension")


class Door:
    """The rules of one server. Raises InvalidConfig for a trusted proxy that is no address."""

    def __init__(self, settings: RpcSettings) -> None:
        self._settings = settings
        self._callers = Callers(settings.rate_limit, settings.rate_burst or 2 * settings.rate_limit, settings.proxies)

    @property
    def has_proxies(self) -> bool:
        """True when X-Forwarded-For is read at all."""
        return self._callers.has_proxies

    def is_many(self, peer: str) -> bool:
        """True for an address behind which there may be many clients."""
        return self._callers.is_many(peer)

    def caller(self, peer: str, forwarded: str = "") -> Caller:
        """Who pays for a request."""
        return self._callers.find(peer, forwarded)

    def caller_of(self, request: web.BaseRequest) -> Caller:
        """The same, of aiohttp's request; a proxy may have added a line of its own to what the client has written."""
        return self.caller(request.remote or "", ",".join(request.headers.getall("X-Forwarded-For", ())))

    def host_allowed(self, host: str) -> bool:
        """True for a Host header that names this node."""
        if "*" in self._settings.hosts:
            return True
        match = _HOST.fullmatch(host)
        name = "" if match is None else (match[1] or match[2]).lower()
        return name in LOCAL_HOSTS or (bool(name) and name in self._settings.hosts)

    def origin_allowed(self, origin: str, host: str) -> bool:
        """True for a web page that may read answers: a named one, a local one, a wallet's, or this node's own."""
        if origin in self._settings.origins or "*" in self._settings.origins:
            return True
        try:
            parts = urlsplit(origin)
            return parts.scheme in WALLET_SCHEMES or (parts.hostname or "") in LOCAL_HOSTS or parts.netloc == host
        except ValueError:  # malformed
            return False


def cors(origin: str) -> dict[str, str]:
    """Headers that let a page of this origin read the answer."""
    return {
        "Access-Control-Allow-Origin": origin,
        "Vary": "Origin",
        "Access-Control-Allow-Methods": "POST, GET, HEAD, PUT, OPTIONS",
        "Access-Control-Allow-Headers": "Content-Type",
        "Access-Control-Max-Age": "600",
        "Access-Control-Allow-Private-Network": "true",
    }


def _error(code: int, message: str) -> bytes:
    return dump({"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}})


TOO_MANY = _error(LIMIT_EXCEEDED, "too many requests: slow down")
"""The body of a 429."""


def too_long(limit: int) -> bytes:
    """The body of a 413."""
    return _error(INVALID_REQUEST, f"content length too large (limit {limit})")

"""What light clients of this chain ask: a few read-only methods of CometBFT's RPC, passed on at ``/cometbft``.

CometBFT's own RPC stays on loopback; a node that joins by a snapshot needs no other port than this one. Bodies and
answers are bounded, only the listed methods pass, and nothing is ever written through here.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
from aiohttp import web

from openledger.primitives.errors import InvalidJson
from openledger.primitives.jsonio import read_json
from openledger.rpc.bodies import TooMuch, read_body

METHODS = ("status", "commit", "validators", "consensus_params", "header", "blockchain", "health")
MAX_REQUEST = 4_096
MAX_ANSWER = 16 * 1024 * 1024
AT_ONCE = 16
"""Questions that are with CometBFT at once: this node asks it through the same door."""
SECONDS = 10


class CometRoutes:
    """The handler; ``url`` is CometBFT's RPC on loopback, ``patience`` the seconds that a request may take to come."""

    def __init__(self, url: str, patience: float = SECONDS) -> None:
        self._url = url
        self._patience = patience
        self._session: aiohttp.ClientSession | None = None
        self._asked = 0

    async def post(self, request: web.Request) -> web.StreamResponse:
        """One JSON-RPC call of a listed method."""
        try:
            call: Any = read_json(await asyncio.wait_for(read_body(request, MAX_REQUEST), self._patience))
        except TooMuch:
            return _refuse(413, None, "the request is too large")
        except TimeoutError:
            return _refuse(408, None, "the request took too long")
        except InvalidJson:
            return _refuse(400, None, "the request is not JSON")
        if not isinstance(call, dict) or call.get("method") not in METHODS:
            known = ", ".join(sorted(METHODS))
            return _refuse(404, call.get("id") if isinstance(call, dict) else None, f"only these pass here: {known}")
        if self._asked >= AT_ONCE:
            return _refuse(503, call.get("id"), "too much is asked at once, try again")
        self._asked += 1
        try:
            return await self._forward({k: call.get(k) for k in ("jsonrpc", "id", "method", "params")})
        finally:
            self._asked -= 1

    async def _forward(self, call: dict[str, Any]) -> web.StreamResponse:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS))
        try:
            async with self._session.post(self._url, json={k: v for k, v in call.items() if v is not None}) as answer:
                body = await read_body(answer, MAX_ANSWER)
        except TooMuch:
            return _refuse(502, call["id"], "the answer is too large")
        except (aiohttp.ClientError, TimeoutError):
            return _refuse(502, call["id"], "CometBFT does not answer")
        return web.Response(body=body, content_type="application/json")

    async def close(self, _app: web.Application) -> None:
        """End the connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _refuse(status: int, call_id: Any, message: str) -> web.Response:
    body = {"jsonrpc": "2.0", "id": call_id, "error": {"code": -32601, "message": message}}
    return web.Response(status=status, text=json.dumps(body), content_type="application/json")

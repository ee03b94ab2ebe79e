"""A node as a client sees it: one HTTP session, one URL, and nothing from inside."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import aiohttp


class Failed(Exception):
    """A check found something else than it must; the text says what."""


class Refused(Exception):
    """The node answered with an error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error.get('code')} {error.get('message')}")
        self.code: int = error.get("code", 0)
        self.message: str = str(error.get("message", ""))
        self.data: Any = error.get("data")


def must(condition: object, text: str = "") -> None:
    """Raise Failed unless the condition holds."""
    if not condition:
        raise Failed(text or "not so")


def same(found: object, wanted: object, what: str = "") -> None:
    """Raise Failed unless both are equal."""
    if found != wanted:
        raise Failed(f"{what}: {str(found)[:160]} is not {str(wanted)[:160]}")


class Socket:
    """A WebSocket; notifications are kept apart from answers."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.told: list[dict[str, Any]] = []
        self._ids = itertools.count(1)

    async def text(self, text: str) -> Any:
        """Send this text; the first message that is no notification."""
        await self.ws.send_str(text)
        return await self.answer()

    async def answer(self, seconds: float = 10) -> Any:
        async with asyncio.timeout(seconds):
            while True:
                message = await self.ws.receive()
                if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    raise Failed(f"the socket was closed: {message.type.name} {message.data} {message.extra or ''}")
                found = json.loads(message.data)
                if isinstance(found, dict) and str(found.get("method", "")).endswith("_subscription"):
                    self.told.append(found["params"])
                    continue
                return found

    async def call(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}
        found = await self.text(json.dumps(body))
        if "error" in found:
            raise Refused(found["error"])
        return found["result"]

    async def next(self, subscription: str, seconds: float = 10) -> Any:
        """The next notification of this subscription."""
        end = time.monotonic() + seconds
        while True:
            for at, params in enumerate(self.told):
                if params["subscription"] == subscription:
                    del self.told[at]
                    return params["result"]
            left = end - time.monotonic()
            if left <= 0:
                raise Failed("nothing was announced")
            try:
                async with asyncio.timeout(left):
                    message = await self.ws.receive()
            except TimeoutError:
                raise Failed("nothing was announced") from None
            if message.type != aiohttp.WSMsgType.TEXT:
                raise Failed("the socket was closed")
            found = json.loads(message.data)
            if "params" in found:
                self.told.append(found["params"])


class Node:
    """The node at ``url``."""

    def __init__(self, url: str, session: aiohttp.ClientSession, ws_url: str | None = None) -> None:
        self.url, self.session = url, session
        self.ws_url = ws_url or url.replace("http", "ws", 1)
        self._ids = itertools.count(1)

    async def answer(self, method: str, *params: Any) -> dict[str, Any]:
        """The whole answer to a call."""
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}
        async with self.session.post(self.url, json=body) as response:
            found: dict[str, Any] = await response.json(content_type=None)
            return found

    async def call(self, method: str, *params: Any) -> Any:
        """The result. Raises Refused."""
        found = await self.answer(method, *params)
        if "error" in found:
            raise Refused(found["error"])
        return found["result"]

    async def refusal(self, method: str, *params: Any) -> Refused:
        """The error that a call ends with. Raises Failed when it has a result."""
        try:
            found = await self.call(method, *params)
        except Refused as err:
            return err
        raise Failed(f"accepted: {str(found)[:120]}")

    async def post(self, body: str | bytes, **headers: str) -> tuple[int, str]:
        """Status and text of the answer to this body."""
        sent = {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
        whole = io.BytesIO(body.encode() if isinstance(body, str) else body)
        async with self.session.post(self.url, data=whole, headers=sent) as response:
            return response.status, await response.text()

    async def socket(self) -> Socket:
        return Socket(await self.session.ws_connect(self.ws_url, max_msg_size=0))

    async def knows(self, method: str) -> bool:
        """Whether the method exists (an error other than -32601 says so too)."""
        found = await self.answer(method)
        return "error" not in found or found["error"].get("code") != -32601

    async def until(self, ask: Callable[[], Any], seconds: float = 10) -> Any:
        """Ask until the answer is neither null nor false."""
        end = time.monotonic() + seconds
        while True:
            found = await ask()
            if found:
                return found
            if time.monotonic() > end:
                raise Failed("it did not happen in time")
            await asyncio.sleep(0.02)

"""A server that means ill."""

from __future__ import annotations

import contextlib

from aiohttp import web


async def endless(request: web.Request) -> web.StreamResponse:
    """An answer that never ends."""
    response = web.StreamResponse()
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await response.write(b" " * 10_000)
    return response

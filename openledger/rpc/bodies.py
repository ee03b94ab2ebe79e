"""Bodies of requests and answers, read up to a bound: who sends them may be hostile, or mistaken for a node."""

from __future__ import annotations

import aiohttp
from aiohttp import web

_CHUNK = 64 * 1024


class TooMuch(ValueError):
    """More bytes came than anybody wants."""


class Busy(Exception):
    """Too many bodies are coming at once. A turn of the conversation, not a fault."""


async def read_body(source: aiohttp.ClientResponse | web.BaseRequest, most: int) -> bytes:
    """The body of an answer, or of a request. Raises TooMuch, and what reading raises."""
    found = bytearray()
    async for chunk in source.content.iter_chunked(_CHUNK):
        found += chunk
        if len(found) > most:
            if isinstance(source, aiohttp.ClientResponse):
                source.close()
            raise TooMuch(f"more than {most} bytes")
    return bytes(found)


class Coming:
    """Bodies of requests that are not here whole; together they hold no more than ``most`` bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0

    async def read(self, request: web.BaseRequest, most: int) -> bytes:
        """The body of one of at most ``most`` bytes. Raises TooMuch, Busy."""
        found = bytearray()
        try:
            async for chunk in request.content.iter_chunked(_CHUNK):
                found += chunk
                self._held += len(chunk)
                if len(found) > most:
                    raise TooMuch(f"more than {most} bytes")
                if self._held > self._most:
                    raise Busy
            return bytes(found)
        finally:
            self._held -= len(found)

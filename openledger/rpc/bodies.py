"""Answers of other servers, read up to a bound: who gives them may be hostile, or mistaken for a node."""

from __future__ import annotations

import aiohttp

_CHUNK = 64 * 1024


class TooMuch(ValueError):
    """More bytes came than anybody wants."""


async def read_body(answer: aiohttp.ClientResponse, most: int) -> bytes:
    """The body of an answer. Raises TooMuch, and what reading raises."""
    found = bytearray()
    async for chunk in answer.content.iter_chunked(_CHUNK):
        found += chunk
        if len(found) > most:
            answer.close()
            raise TooMuch(f"an answer of more than {most} bytes")
    return bytes(found)

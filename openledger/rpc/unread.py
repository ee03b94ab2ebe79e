"""Answers that clients do not read. A connection on which nothing of what waits is read for a while is ended, and so
are the laziest ones where all of them together hold too much memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

MOST_UNREAD = 256 * 1024 * 1024
"""Bytes that wait for all clients together."""


@dataclass(slots=True)
class _Waiting:
    """Bytes that wait for one client, and since when they have not become less."""

    size: int
    since: float


class Unread:
    """Looks at the connections of a server now and then. ``patience`` in seconds."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._waiting: dict[asyncio.Transport, _Waiting] = {}

    def look(self, transports: Iterable[asyncio.Transport], now: float) -> None:
        """End the connections that read nothing, also those that were told to close."""
        found: dict[asyncio.Transport, _Waiting] = {}
        for transport in transports:
            if size := transport.get_write_buffer_size():
                before = self._waiting.get(transport)
                since = before.since if before is not None and size >= before.size else now
                found[transport] = _Waiting(size, since)
        total = sum(waiting.size for waiting in found.values())
        for transport, waiting in sorted(found.items(), key=lambda item: item[1].since):
            if now - waiting.since <= self._patience and total <= MOST_UNREAD:
                break
            total -= waiting.size
            transport.abort()
            del found[transport]
        self._waiting = found

"""How much of the blob store those who push may fill: a bound of bytes, and the last free room of the disk, which the
chain's own database needs.

Only what strangers bring is refused: blobs put, and blobs that clients ask for and peers have. What state names is
fetched in any case, and nothing is ever thrown away here: without it this node's oracle could not vote.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

from openledger.state.blobs import BlobStore

KEEP_FREE = 512 * 1024 * 1024
"""Bytes of a local disk that are left free."""
COUNT_AGAIN = 60.0
"""Seconds after which the store is looked through once more before anybody is refused: files may have been removed."""


class BlobRoom:
    """The room of a store; ``limit`` in bytes, 0 for none."""

    def __init__(self, blobs: BlobStore, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._blobs = blobs
        self._clock = clock
        self._counted = 0
        self._written = 0
        self._at: float | None = None
        self._coming = 0
        self._lock = asyncio.Lock()
        self.limit = limit
        self.refused = 0
        """Blobs that found no room."""

    async def used(self) -> int:
        """Bytes of all blobs; the store is looked through once, and counts what comes from then on."""
        if self._at is None:
            await self._count()
        return self._counted + self._blobs.written - self._written

    async def _count(self) -> None:
        async with self._lock:
            if self._at is not None and self._clock() - self._at < COUNT_AGAIN:
                return  # somebody else has done it meanwhile
            written = self._blobs.written
            self._counted = await asyncio.to_thread(self._blobs.total)
            self._written, self._at = written, self._clock()

    async def trouble(self, size: int) -> str:
        """Why there is no room for so many bytes, in a sentence; empty where there is. Raises BlobError."""
        free = self._blobs.free()
        if free is not None and free - self._coming - size < KEEP_FREE:
            self.refused += 1
            return (
                f"this node's disk is nearly full: it takes no blob that would leave less than {KEEP_FREE} bytes free"
            )
        if not self.limit or await self.used() + self._coming + size <= self.limit:
            return ""
        await self._count()
        used = await self.used()
        if used + self._coming + size <= self.limit:
            return ""
        self.refused += 1
        return f"this node's blob store is full: it holds {used} of {self.limit} bytes; put the blob on another node"

    @contextlib.contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Count so many bytes as on their way."""
        self._coming += size
        try:
            yield
        finally:
            self._coming -= size

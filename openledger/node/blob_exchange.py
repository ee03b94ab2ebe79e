"""Blobs between nodes, by hash over HTTP, with the peers of this node's configuration and nobody else.

    fetch(name)     asks one peer after the other; only bytes with that sha256 are kept
    announce(name)  gives a new blob to each peer that lacks it
    want(names)     fetches in the background until they are here, told in the log

No address that a transaction, a claim or a stranger chose is ever asked. Requests between nodes carry ``PEER_HEADER``:
who gets one answers from what it has and passes nothing on, so that no request travels in circles. Sizes, times,
numbers at once and repeated questions are bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from os import SEEK_END
from typing import BinaryIO

import aiohttp

from openledger.primitives.errors import BlobError
from openledger.rpc.blobs import FETCHED_AT_ONCE, LOWEST_RATE, PEER_HEADER
from openledger.state.blobs import BlobStore

log = logging.getLogger("openledger.blobs")

WANTED_AT_ONCE = 64
"""Names that state needs and that are looked for together; whoever else needs a blob waits behind so many at most."""
CONNECT_SECONDS, SILENT_SECONDS, WHOLE_SECONDS = 5, 20, 900
ASK_AGAIN_SECONDS = 3.0
LATE_SECONDS = 60.0
"""For so long a peer that took too long is asked after the others."""
LONGEST_PAUSE = 60.0
MOST_REMEMBERED = 10_000
_CHUNK = 256 * 1024
_LEFT_SECONDS = 24 * 3600.0
"""A half written blob that nobody has touched for so long is nobody's."""


class BlobExchange:
    """Implements ``rpc.ports.BlobPeers``. ``peers`` are URLs of nodes. All methods run on the event loop."""

    def __init__(self, blobs: BlobStore, peers: Sequence[str]) -> None:
        self._blobs = blobs
        self._peers = tuple(peer.rstrip("/") for peer in peers)
        self._session: aiohttp.ClientSession | None = None
        self._gate = asyncio.Semaphore(FETCHED_AT_ONCE)
        self._running: dict[str, asyncio.Task[bool]] = {}
        self._missed: dict[str, float] = {}
        self._late: dict[str, float] = {}
        self._wanted: dict[str, None] = {}
        self._pushes: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._follower: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to work; what a node that was killed left half fetched is removed."""
        await asyncio.to_thread(self._blobs.tidy, time.time() - _LEFT_SECONDS)
        timeout = aiohttp.ClientTimeout(total=WHOLE_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=SILENT_SECONDS)
        self._session = aiohttp.ClientSession(timeout=timeout, headers={PEER_HEADER: "1"}, auto_decompress=False)
        self._follower = asyncio.create_task(self._follow(), name="blobs")

    async def stop(self) -> None:
        """Stop at once; what was half fetched is thrown away."""
        tasks = [*self._running.values(), *self._pushes, *([self._follower] if self._follower else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    # --- in -------------------------------------------------------------------------------------------------------

    async def fetch(self, name: str) -> bool:
        """True when the blob is here, after asking the peers for it where it was not. Never raises for their faults."""
        if await asyncio.to_thread(self._blobs.has, name):
            return True
        if not self._peers or time.monotonic() < self._missed.get(name, 0.0):
            return False
        running = self._running.get(name)
        if running is None:
            running = self._running[name] = asyncio.create_task(self._fetch(name), name=f"blob {name[:8]}")
            running.add_done_callback(lambda _: self._running.pop(name, None))
        return await asyncio.shield(running)

    async def _fetch(self, name: str) -> bool:
        async with self._gate:
            first = int(name[:8], 16) % len(self._peers)  # so that not everybody asks the same one first
            order = self._peers[first:] + self._peers[:first]
            now = time.monotonic()
            for peer in sorted(order, key=lambda peer: now < self._late.get(peer, 0.0)):  # who dawdled comes last
                if await self._take(peer, name):
                    self._missed.pop(name, None)
                    return True
        if len(self._missed) >= MOST_REMEMBERED:
            self._missed.clear()
        self._missed[name] = time.monotonic() + ASK_AGAIN_SECONDS
        return False

    async def _take(self, peer: str, name: str) -> bool:
        if self._session is None:
            return False
        try:
            async with self._session.get(f"{peer}/blobs/{name}", allow_redirects=False) as response:
                if response.status != 200 or (response.content_length or 0) > self._blobs.max_bytes:
                    return False
                with await asyncio.to_thread(self._blobs.writer) as writer:
                    until = time.monotonic() + SILENT_SECONDS
                    async for chunk in response.content.iter_chunked(_CHUNK):
                        await asyncio.to_thread(writer.write, chunk)
                        until += len(chunk) / LOWEST_RATE
                        if time.monotonic() > until:
                            raise TimeoutError
                    await asyncio.to_thread(writer.commit, name)
        except TimeoutError:
            self._late[peer] = time.monotonic() + LATE_SECONDS
            log.info("%s takes too long over blob %s", peer, name)
            return False
        except (aiohttp.ClientError, OSError, ValueError):
            return False
        except BlobError as err:
            log.warning("what %s gave for blob %s is refused: %s", peer, name, err)
            return False
        return True

    # --- out ------------------------------------------------------------------------------------------------------

    def announce(self, name: str) -> None:
        """A new blob is here: give it to the peers, in the background."""
        for peer in self._peers if self._session is not None else ():
            task = asyncio.create_task(self._give(peer, name), name=f"push {name[:8]}")
            self._pushes.add(task)
            task.add_done_callback(self._pushes.discard)

    async def _give(self, peer: str, name: str) -> None:
        """One try: a peer that is away fetches for itself what it needs when it is back."""
        if self._session is None:
            return
        url = f"{peer}/blobs/{name}"
        async with self._gate:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError, ValueError, BlobError):
                async with self._session.head(url, allow_redirects=False) as response:
                    if response.status == 200:
                        return
                with await asyncio.to_thread(self._blobs.open, name) as source:
                    length = {"Content-Length": str(source.seek(0, SEEK_END))}
                    source.seek(0)
                    async with self._session.put(
                        url, data=_pieces(source), headers=length, allow_redirects=False
                    ) as response:
                        if response.status != 201:
                            log.info("%s does not take blob %s: status %s", peer, name, response.status)

    # --- what state needs -----------------------------------------------------------------------------------------

    def want(self, names: Iterable[str]) -> None:
        """Fetch these in the background, again and again until they are here."""
        new = [name for name in names if name not in self._wanted]
        if new and self._peers:
            self._wanted.update(dict.fromkeys(new))
            self._wake.set()

    def wants(self, name: str) -> bool:
        """True for one of them that is not here yet."""
        return name in self._wanted

    async def _follow(self) -> None:
        pause, told = ASK_AGAIN_SECONDS, 0
        while True:
            if not self._wanted:
                told = 0
                await self._wake.wait()
            self._wake.clear()
            names, came = list(self._wanted), 0
            for at in range(0, len(names), WANTED_AT_ONCE):
                came += await self._look_for(names[at : at + WANTED_AT_ONCE])
            if came or len(self._wanted) > told:
                log.info("%s blobs fetched, %s still missing, of %s peers", came, len(self._wanted), len(self._peers))
            told = len(self._wanted)
            if self._wanted:
                pause = ASK_AGAIN_SECONDS if came else min(pause * 2, LONGEST_PAUSE)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), pause)

    async def _look_for(self, names: Sequence[str]) -> int:
        """Fetch those that are not here; how many came. What is here is wanted no more. None where the store fails:
        they are looked for again later."""
        try:
            missing = await asyncio.to_thread(lambda: [name for name in names if not self._blobs.has(name)])
            came = await asyncio.gather(*(self.fetch(name) for name in missing))
        except BlobError as err:
            log.warning("missing blobs cannot be looked for: %s", err)
            return 0
        still = {name for name, found in zip(missing, came, strict=True) if not found}
        for name in names:
            if name not in still:
                self._wanted.pop(name, None)
        return sum(came)


async def _pieces(source: BinaryIO) -> AsyncIterator[bytes]:
    """A file from where it stands on, never whole in memory."""
    while piece := await asyncio.to_thread(source.read, _CHUNK):
        yield piece

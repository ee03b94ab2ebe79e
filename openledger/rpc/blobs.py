"""Blobs over HTTP: GET, HEAD and PUT of /blobs/{sha256}. A blob is only ever stored under the hash of its bytes.

What is not here is fetched from the peers of this node's configuration, and what is new is given to them; requests of
peers, which carry ``PEER_HEADER``, are answered from what is here and passed on to nobody.
"""

from __future__ import annotations

import asyncio
import re
from os import SEEK_END
from typing import BinaryIO

from aiohttp import web

from openledger.primitives.errors import BlobCorrupt, BlobNotFound, BlobTooLarge, OpenLedgerError
from openledger.rpc.backend import Backend
from openledger.rpc.blob_room import BlobRoom
from openledger.rpc.callers import who_asks
from openledger.rpc.errors import RpcError
from openledger.rpc.ports import BlobPeers
from openledger.rpc.turns import Gate

_NAME = re.compile(r"[0-9a-f]{64}")
_CHUNK = 256 * 1024
_FETCH_SECONDS = 60.0
LOWEST_RATE = 8 * 1024
"""Bytes a second that a blob has to come with, on the whole: a connection and a half written file wait for it."""
CHECKED_AT_ONCE, MOST_CHECKS = 2, 200
"""Blobs that are hashed for those who want them, and how many may wait for that."""
MOST_UPLOADS = 32
FETCHED_AT_ONCE = 4
"""Blobs that are asked of the peers at once; for each of them there has to be room."""
MOST_FETCHES = 32
"""Blobs that are looked for at peers because clients asked: what the chain needs waits behind so many at most."""

PEER_HEADER = "X-OpenLedger-Peer"
"""On requests between nodes."""


class BlobRoutes:
    """The handlers. Names are 64 lower-case hex digits without 0x."""

    def __init__(self, backend: Backend, room: BlobRoom) -> None:
        self._room = room
        self._blobs = backend.blobs
        self._peers = backend.blob_peers
        self._limit = backend.settings.max_blob
        self._patience = backend.settings.request_seconds
        self._accept = backend.settings.accept_blobs
        self._fetches: dict[str, asyncio.Task[bool]] = {}
        self._searching = asyncio.Semaphore(FETCHED_AT_ONCE)
        self._uploads = 0
        self._gate = Gate(CHECKED_AT_ONCE, MOST_CHECKS)

    async def get(self, request: web.Request) -> web.StreamResponse:
        """The blob's bytes, checked against the name before the first byte is sent. They are read twice and never held:
        clients that do not read cost no memory, and lose their connection."""
        name = request.match_info["name"]
        if not _NAME.fullmatch(name):
            return _refuse(400, "a blob is named by 64 lower-case hex digits, its sha256")
        try:
            if self._peers is not None and PEER_HEADER not in request.headers and not await self._has(name):
                if name not in self._fetches and len(self._fetches) >= MOST_FETCHES:
                    return _refuse(503, "too many blobs are on their way from other nodes; ask again")
                if name not in self._fetches and (trouble := await self._room.trouble(self._limit)):
                    return _refuse(507, f"the blob is not here, and {trouble}")
                await asyncio.wait_for(asyncio.shield(self._fetch(self._peers, name)), _FETCH_SECONDS)
            source = await self._open(name)
        except RpcError as err:
            return _refuse(503, err.message)
        except TimeoutError:
            return _refuse(504, "the blob is on its way from another node; ask again")
        except OpenLedgerError as err:
            return _refuse(404 if isinstance(err, BlobNotFound) else 500, err.message)
        try:
            return await self._send(request, name, source)
        finally:
            await asyncio.to_thread(source.close)

    async def _open(self, name: str) -> BinaryIO:
        """The blob, checked against its name, which takes a core up to a second. Raises OpenLedgerError, RpcError."""
        who = who_asks()
        await self._gate.enter(who)
        try:
            return await asyncio.to_thread(self._blobs.open, name)
        finally:
            self._gate.leave(who)

    def _fetch(self, peers: BlobPeers, name: str) -> asyncio.Task[bool]:
        """The one search for a blob; it goes on when those who asked have left."""
        found = self._fetches.get(name)
        if found is None:
            found = self._fetches[name] = asyncio.create_task(
                self._search(peers, name), name=f"blob {name[:8]} for clients"
            )
            found.add_done_callback(lambda _: self._fetches.pop(name, None))
        return found

    async def _search(self, peers: BlobPeers, name: str) -> bool:
        async with self._searching:
            with self._room.hold(self._limit):
                return await peers.fetch(name)

    async def _send(self, request: web.Request, name: str, source: BinaryIO) -> web.StreamResponse:
        headers = {"ETag": f'"{name}"', "Cache-Control": "public, max-age=31536000, immutable"}
        response = web.StreamResponse(headers=headers | {"X-Content-Type-Options": "nosniff"})
        response.content_type = "application/octet-stream"
        response.content_length = source.seek(0, SEEK_END)
        source.seek(0)
        await response.prepare(request)
        try:
            while request.method != "HEAD" and (piece := await asyncio.to_thread(source.read, _CHUNK)):
                await asyncio.wait_for(response.write(piece), self._patience)
            await asyncio.wait_for(response.write_eof(), self._patience)
        except (TimeoutError, OSError):  # it does not read, it has left, or the disk fails in the middle
            if request.transport is not None:
                request.transport.abort()
        return response

    async def put(self, request: web.Request) -> web.StreamResponse:
        """Store a blob: 201, also when it was known; 400 for bytes with another hash, 413 for too many, 408 for
        bytes that come too slowly, 507 where there is no room."""
        name = request.match_info["name"]
        if not self._accept:
            return _refuse(403, "this node accepts no blobs")
        if not _NAME.fullmatch(name):
            return _refuse(400, "a blob is named by 64 lower-case hex digits, its sha256")
        size = self._limit if request.content_length is None else request.content_length
        if size > self._limit:
            return _refuse(413, f"a blob has at most {self._limit} bytes")
        if self._uploads >= MOST_UPLOADS:
            return _refuse(503, "too many blobs are coming at once; try again")
        self._uploads += 1
        try:
            if trouble := await self._trouble(name, size):
                return _refuse(507, trouble)
            with self._room.hold(size):
                await self._take(request, name)
        except TimeoutError:
            return _refuse(408, "the blob comes too slowly")
        except OpenLedgerError as err:
            return _refuse(_status(err), err.message)
        finally:
            self._uploads -= 1
        return web.json_response({"sha256": name}, status=201)

    async def _has(self, name: str) -> bool:
        """True when a blob is here; a store that is no folder is asked over the network."""
        return await asyncio.to_thread(self._blobs.has, name)

    async def _trouble(self, name: str, size: int) -> str:
        """Why a blob that is put finds no room; what is here already, or what state needs and is missing, always does.
        Raises BlobError."""
        if await self._has(name) or (self._peers is not None and self._peers.wants(name)):
            return ""
        return await self._room.trouble(size)

    async def _take(self, request: web.Request, name: str) -> None:
        """Store the body. Raises TimeoutError, BlobCorrupt, BlobTooLarge, BlobError."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience
        with await asyncio.to_thread(self._blobs.writer) as writer:
            while chunk := await asyncio.wait_for(
                request.content.read(_CHUNK), min(self._patience, until - loop.time())
            ):
                await asyncio.to_thread(writer.write, chunk)
                until += len(chunk) / LOWEST_RATE
            new = not await self._has(name)
            await asyncio.to_thread(writer.commit, name)
        if new and self._peers is not None and PEER_HEADER not in request.headers:
            self._peers.announce(name)


def _status(err: OpenLedgerError) -> int:
    known = ((BlobNotFound, 404), (BlobTooLarge, 413), (BlobCorrupt, 400))
    return next((status for cls, status in known if isinstance(err, cls)), 500)


def _refuse(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)

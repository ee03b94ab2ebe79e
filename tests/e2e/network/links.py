"""Cables between nodes: a TCP proxy for each direction in which one node calls another.

Works on any machine and needs no rights. A cable can delay what passes, hold it (as a network that drops packets does:
the connection stays, nothing arrives until it is mended) or be cut (the connection breaks, new ones are refused).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

HOST = "127.0.0.1"
_CHUNK = 64 * 1024


class Link:
    """The cable on which ``caller`` reaches ``callee``, who listens on ``target``."""

    def __init__(self, caller: str, callee: str, target: int) -> None:
        self.ends = {caller, callee}
        self.caller = caller
        self.callee = callee
        self.target = target
        self.port = 0
        self.delay = 0.0
        self._server: asyncio.Server | None = None
        self._flows = asyncio.Event()
        self._flows.set()
        self._cut = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._connected, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Hang up and stop listening."""
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hold(self) -> None:
        """Nothing arrives any more, and nobody is told."""
        self._flows.clear()

    def cut(self) -> None:
        """Break what is connected, and refuse what calls."""
        self._cut = True
        for writer in list(self._writers):
            writer.transport.abort()

    def mend(self) -> None:
        """As new: no delay, no loss."""
        self._cut, self.delay = False, 0.0
        self._flows.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        other: asyncio.StreamWriter | None = None
        try:
            there, other = await asyncio.open_connection(HOST, self.target)
            self._writers.add(other)
            await asyncio.gather(self._pump(reader, other), self._pump(there, writer))
        except OSError:
            pass  # the callee is not there: the caller sees its connection break, as it would without us
        finally:
            for end in (writer, other):
                if end is not None:
                    self._writers.discard(end)
                    end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Copy until one side ends; order is kept under delay."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=256)
        loop = asyncio.get_running_loop()
        sender = asyncio.create_task(self._send(queue, writer))
        try:
            while not sender.done() and (data := await reader.read(_CHUNK)):
                await queue.put((loop.time() + self.delay, data))
        finally:
            if not sender.done():
                await queue.put((loop.time() + self.delay, b""))
            with contextlib.suppress(OSError):
                await sender
            if writer.can_write_eof():
                with contextlib.suppress(OSError):
                    writer.write_eof()

    async def _send(self, queue: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await queue.get()
            if not data:
                return
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            await self._flows.wait()
            writer.write(data)
            await writer.drain()


class Links:
    """All cables of a network; ``ports`` are where the nodes listen."""

    def __init__(self, ports: dict[str, int]) -> None:
        self._links = [Link(a, b, port) for a in ports for b, port in ports.items() if a != b]

    async def open(self) -> None:
        for link in self._links:
            await link.open()

    async def close(self) -> None:
        await asyncio.gather(*(link.close() for link in self._links))

    def port(self, caller: str, callee: str) -> int:
        """Where ``caller`` reaches ``callee``."""
        return next(link.port for link in self._links if (link.caller, link.callee) == (caller, callee))

    def around(self, nodes: Iterable[str]) -> list[Link]:
        """The cables between these nodes and all others."""
        inside = set(nodes)
        return [link for link in self._links if len(link.ends & inside) == 1]

"""Cables between nodes: a TCP proxy for each direction in which one node calls another.

Works on any machine and needs no rights. A cable can delay what passes, hold it (as a network that drops packets does:
the connection stays, nothing arrives until it is mended) or be cut (the connection breaks, new ones are refused).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

HOST = "127.0.0.1"
_CHUNK = 64 * 1024
Queue = asyncio.Queue[tuple[float, bytes]]
"""When it is due, and what."""


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
        try:
            there, other = await asyncio.open_connection(HOST, self.target)
        except OSError:  # the callee is not there: the caller sees its connection break, as it would without us
            self._hang_up(writer)
            return
        self._writers.add(other)
        try:
            await self._carry((reader, other), (there, writer))
        finally:
            self._hang_up(writer)
            self._hang_up(other)

    def _hang_up(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.transport.abort()

    async def _carry(self, *ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        """Copy both ways until either side ends or breaks; order is kept under delay."""
        tasks: list[asyncio.Task[None]] = []
        for reader, writer in ways:
            queue: Queue = asyncio.Queue(maxsize=256)
            tasks += [asyncio.create_task(self._read(reader, queue)), asyncio.create_task(self._write(queue, writer))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, reader: asyncio.StreamReader, queue: Queue) -> None:
        loop = asyncio.get_running_loop()
        while data := await reader.read(_CHUNK):
            await queue.put((loop.time() + self.delay, data))

    async def _write(self, queue: Queue, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await queue.get()
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

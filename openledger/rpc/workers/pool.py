"""The node's side of the workers: who does which job, what jobs read, and an end for those that take too much.

A job has a deadline that counts from the moment it was asked for, and a bound on its process's memory. What crosses
either is killed and answered with an error, and another process takes its place in the background; the others go on.
Reads are answered on the event loop, between other work, from the state reader that the job was given.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import resource
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, cast

import msgpack

from openledger.primitives.errors import OpenLedgerError
from openledger.rpc.backend import MIB, Backend
from openledger.rpc.callers import who_asks
from openledger.rpc.errors import SERVER_ERROR, RpcError
from openledger.rpc.turns import Turns
from openledger.rpc.workers import wire
from openledger.rpc.workers.remote import Greeting
from openledger.state.reader import HeightReader

log = logging.getLogger("openledger.rpc")

PAGE = 1_000
MAX_WAITING = 1_000
WATCH_SECONDS = 0.1
STARTING_SECONDS = 15.0
"""What the first calls may wait longer, until the first process is there."""
RESTART_SECONDS = 1.0
"""Pause before the next process when one did not even come up."""


@dataclass(eq=False, slots=True)
class Job:
    """One call of the client ``who``. ``readers`` are the states that it may read, by number."""

    who: str
    payload: bytes
    readers: list[HeightReader]
    done: asyncio.Future[Any]
    worker: WorkerLink | None = field(default=None)


class WorkerLink(asyncio.Protocol):
    """One process, as the node sees it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._pid = 0
        self._began_with = 0
        self.job: Job | None = None

    @property
    def ready(self) -> bool:
        """True when the process is there and can work."""
        return self._pid > 0 and self._transport is not None

    @property
    def pid(self) -> int:
        """The process; 0 before it is ready."""
        return self._pid

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._pool.lost(self)

    def send(self, kind: int, body: bytes) -> None:
        """One message to the process."""
        if self._transport is not None:
            self._transport.write(wire.frame(kind, body))

    def kill(self) -> None:
        """End the process now."""
        transport, self._transport = self._transport, None
        if transport is None:
            return  # it has ended, and the number may be another's by now
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= wire.HEAD.size:
            size, kind = wire.HEAD.unpack_from(self._buffer)
            if size > wire.MAX_FRAME:
                self._give_up()
                return
            end = wire.HEAD.size + size
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[wire.HEAD.size : end])
            del self._buffer[:end]
            self._take(kind, body)

    def _give_up(self) -> None:
        """It says more than anybody wants."""
        self._buffer.clear()
        if self.job is not None and not self.job.done.done():
            text = f"execution aborted (answer above {wire.MAX_FRAME // MIB} MB)"
            self.job.done.set_exception(RpcError(SERVER_ERROR, text))
        self.kill()

    def _take(self, kind: int, body: bytes) -> None:
        job = self.job
        if kind == wire.READY:
            self._pid = int.from_bytes(body, "big")
            self._began_with = self.memory()
            self._pool.feed()
        elif job is None:
            return
        elif kind == wire.READ:
            self._answer(job, body)
        else:
            self.job = None
            self._finish(job, kind, body)
            if self.memory() - self._began_with > self._pool.room(self._began_with) // 2:
                self.kill()  # what it remembers would count against the next job
            self._pool.ended(job)

    def _answer(self, job: Job, body: bytes) -> None:
        try:
            self.send(wire.VALUE, msgpack.packb(self._pool.read(job, *msgpack.unpackb(body))))
        except OpenLedgerError as err:
            self.send(wire.TROUBLE, wire.pack_error(err))
        except Exception as err:
            log.exception("a worker's read failed")
            self.send(wire.TROUBLE, wire.pack_error(err))

    @staticmethod
    def _finish(job: Job, kind: int, body: bytes) -> None:
        if job.done.done():
            return
        try:
            found = wire.value_from_worker(body)
            if kind == wire.DONE:
                job.done.set_result(found)
            else:
                job.done.set_exception(wire.error_of(found))
        except Exception as err:  # noqa: BLE001 (whatever unpickling meets, it is the worker's fault)
            job.done.set_exception(wire.WorkerFault(f"a worker's answer cannot be read: {err}"))

    def memory(self) -> int:
        """Bytes of memory that the process uses; 0 where that cannot be seen."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            resident = Path(f"/proc/{self._pid}/statm").read_text().split()[1]
            return int(resident) * resource.getpagesize()
        return 0


class Pool:
    """``count`` processes. ``seconds`` is the deadline of a job, waiting included, ``memory`` the bytes a process may
    use."""

    def __init__(self, backend: Backend, count: int, seconds: float, memory: int) -> None:
        self._backend = backend
        self._count = count
        self._seconds = seconds
        self._memory = memory
        self._links: set[WorkerLink] = set()
        self._waiting: Turns[Job] = Turns(count, MAX_WAITING)
        self._nursery: asyncio.Task[None] | None = None
        self._control: socket.socket | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._spawning: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.killed = 0

    @property
    def waiting(self) -> int:
        """Jobs that no process has begun."""
        return len(self._waiting)

    def start(self) -> None:
        """Start what is missing, in the background."""
        if self._nursery is None and not self._stopping:
            self._nursery = asyncio.get_running_loop().create_task(self._keep_nursery())

    async def _keep_nursery(self) -> None:
        """The process that makes workers, for as long as the node lives."""
        while not self._stopping:
            try:
                mine, theirs = socket.socketpair()
                with mine, theirs:
                    fd = theirs.fileno()
                    command = (sys.executable, "-m", "openledger.rpc.workers.process", str(fd))
                    process = await asyncio.create_subprocess_exec(
                        *command, pass_fds=(fd,), stdin=asyncio.subprocess.DEVNULL
                    )
                    await self._raise_workers(process, mine, theirs)
            except OSError as err:
                log.error("the workers for calls do not start: %s", err)
            if not self._stopping:
                await asyncio.sleep(RESTART_SECONDS)

    async def _raise_workers(
        self, process: asyncio.subprocess.Process, mine: socket.socket, theirs: socket.socket
    ) -> None:
        theirs.close()
        backend = self._backend
        greeting = Greeting(
            backend.engine.name, backend.app.genesis.to_json(), backend.client_version, backend.settings, self._memory
        )
        try:
            mine.setblocking(False)
            await asyncio.get_running_loop().sock_sendall(mine, wire.frame(wire.HELLO, pickle.dumps(greeting)))
            self._control = mine
            for _ in range(self._count):
                await self._spawn()
            await process.wait()
        finally:
            self._control = None
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        for link in list(self._links):
            link.kill()

    async def _spawn(self) -> None:
        """One more worker, as soon as the system gives what that takes."""
        while self._control is not None and not self._stopping:
            try:
                mine, theirs = socket.socketpair()
            except OSError as err:
                log.error("a worker for calls does not start: %s", err)
                await asyncio.sleep(RESTART_SECONDS)
            else:
                await self._connect(mine, theirs)
                return

    async def _connect(self, mine: socket.socket, theirs: socket.socket) -> None:
        link = WorkerLink(self)
        try:
            mine.setblocking(False)
            self._links.add(link)
            await asyncio.get_running_loop().create_connection(lambda: link, sock=mine)
            if self._control is not None:
                socket.send_fds(self._control, [b"+"], [theirs.fileno()])
        except OSError as err:
            log.error("a worker for calls does not start: %s", err)
            link.kill()
        finally:
            theirs.close()

    async def run(self, work: Callable[..., Any], *args: Any) -> Any:
        """Result of ``work(*args)`` in a process, or what it raises. Raises RpcError when it takes too long or too
        much."""
        readers: list[HeightReader] = []
        packed, head = wire.pack((work, args), readers), self._backend.head().encode()
        loop = asyncio.get_running_loop()
        job = Job(who_asks(), len(head).to_bytes(4, "big") + head + packed, readers, loop.create_future())
        self._waiting.push(job.who, job)
        patience = self._seconds if any(link.ready for link in self._links) else self._seconds + STARTING_SECONDS
        deadline = loop.call_later(patience, self._expire, job)
        self.start()
        self.feed()
        try:
            return await job.done
        finally:
            deadline.cancel()
            self._drop(job)

    def feed(self) -> None:
        """Give waiting jobs to idle processes."""
        for link in self._links:
            if link.ready and link.job is None and (job := self._waiting.pop()) is not None:
                job.worker, link.job = link, job
                link.send(wire.JOB, job.payload)
        if self._watch is None and any(link.job for link in self._links):
            self._watch = asyncio.get_running_loop().call_later(WATCH_SECONDS, self._look)

    def ended(self, job: Job) -> None:
        """A job has no process any more."""
        self._waiting.done(job.who)
        self.feed()

    def room(self, used: int) -> int:
        """Bytes that a process may use beside these."""
        return max(0, self._memory - used)

    def _drop(self, job: Job) -> None:
        """Nobody waits for this job any more: what still runs is stopped."""
        self._waiting.remove(job.who, job)
        if job.worker is not None and job.worker.job is job:
            job.worker.job = None
            self.killed += 1
            job.worker.kill()
            self.ended(job)

    def _expire(self, job: Job) -> None:
        if not job.done.done():
            text = f"execution aborted (timeout = {self._seconds:g}s)"
            job.done.set_exception(RpcError(SERVER_ERROR, text))

    def _look(self) -> None:
        """Now and then, while jobs run: who uses too much memory?"""
        self._watch = None
        for link in self._links:
            job = link.job
            if job is not None and link.memory() > self._memory and not job.done.done():
                text = f"execution aborted (memory above {self._memory // MIB} MB)"
                job.done.set_exception(RpcError(SERVER_ERROR, text))
        if any(link.job for link in self._links):
            self._watch = asyncio.get_running_loop().call_later(WATCH_SECONDS, self._look)

    def lost(self, link: WorkerLink) -> None:
        """A process has ended: its job fails, and another process takes its place."""
        self._links.discard(link)
        job, link.job = link.job, None
        if job is not None and not job.done.done():
            job.done.set_exception(wire.WorkerFault("a worker ended in the middle of a call"))
        if job is not None:
            self.ended(job)
        if not self._stopping:
            task = asyncio.get_running_loop().create_task(self._spawn())
            self._spawning.add(task)
            task.add_done_callback(self._spawning.discard)

    async def stop(self) -> None:
        """End all processes and all jobs."""
        self._stopping = True
        if self._watch is not None:
            self._watch.cancel()
        for job in [*self._waiting, *(link.job for link in self._links if link.job)]:
            if not job.done.done():
                job.done.set_exception(RpcError(SERVER_ERROR, "the node stops"))
        if self._nursery is not None:
            self._nursery.cancel()
            await asyncio.wait([self._nursery])
        for link in list(self._links):
            link.kill()

    # --- what jobs read -------------------------------------------------------------------------------------

    def read(self, job: Job, what: str, *args: Any) -> Any:
        """One read of a job, in forms that msgpack knows. Raises what the state raises."""
        store = self._backend.app.store
        if what == "raw":
            return job.readers[args[0]].raw(args[1])
        if what == "code":
            return job.readers[args[0]].code(args[1])
        if what == "entries":
            return list(islice(job.readers[args[0]].entries(args[1], args[2]), PAGE))
        if what == "reader":
            reader = store.reader(args[0])
            job.readers.append(reader)
            return [len(job.readers) - 1, reader.anchor()]
        if what == "get":
            return store.kv.get(args[0])
        if what == "iterate":
            return list(islice(store.kv.iterate(args[0], args[1], reverse=args[2]), PAGE))
        raise wire.WorkerFault(f"a worker asks for {what!r}")

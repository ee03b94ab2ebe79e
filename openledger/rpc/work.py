"""Where long work is done, so that the event loop, and with it consensus, goes on meanwhile.

``compute`` runs calls and traces in processes (workers/), which are ended at the deadline and at a bound of memory.
``run`` searches the database on a few threads: that work is bounded by its own limits, and a thread past its deadline
ends when it meets them. Where the settings ask for no processes, ``compute`` takes the threads too; then gas and the
bounds of a trace end it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar, cast

from openledger.rpc.backend import Backend
from openledger.rpc.callers import who_asks
from openledger.rpc.errors import LIMIT_EXCEEDED, SERVER_ERROR, RpcError
from openledger.rpc.jsontext import Encoded, dump
from openledger.rpc.turns import Gate
from openledger.rpc.workers.pool import MAX_WAITING, Pool

P = ParamSpec("P")
T = TypeVar("T")

STACK_BYTES = 64 * 1024 * 1024
"""Room for 1,024 nested calls of the EVM."""
MIB = 1024 * 1024
SOON_SECONDS = 5.0


class OneAtATime:
    """Turns for work that takes much memory: one does it, a few wait, the others are refused. ``async with`` it; raises
    RpcError."""

    def __init__(self, most: int = 8) -> None:
        self._lock = asyncio.Lock()
        self._most = most
        self._here = 0

    async def __aenter__(self) -> None:
        if self._here > self._most:
            raise RpcError(LIMIT_EXCEEDED, "too much of this is asked for at once, try again later")
        self._here += 1
        try:
            await self._lock.acquire()
        except asyncio.CancelledError:
            self._here -= 1
            raise

    async def __aexit__(self, *_: object) -> None:
        self._here -= 1
        self._lock.release()


class Workers:
    """Threads and processes of one server, as its settings say. The deadline of a call includes waiting for its
    turn."""

    def __init__(self, backend: Backend) -> None:
        settings = backend.settings
        self._threads = ThreadPoolExecutor(settings.call_threads, thread_name_prefix="rpc-call")
        self._gate = Gate(settings.call_threads, MAX_WAITING)
        self._seconds = settings.call_seconds
        self._pool: Pool | None = None
        self._soon: asyncio.TimerHandle | None = None
        if settings.call_workers:
            self._pool = Pool(backend, settings.call_workers, self._seconds, settings.call_memory_mb * MIB)

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return _nobody, ()  # in a worker process there are none: a job does not give jobs

    def start(self) -> None:
        """Start the processes in the background: when they are needed first, or when the node has come up."""
        if self._pool is not None:
            self._soon = asyncio.get_running_loop().call_later(SOON_SECONDS, self._pool.start)

    @property
    def waiting(self) -> int:
        """Calls that wait for a process."""
        return 0 if self._pool is None else self._pool.waiting

    @property
    def killed(self) -> int:
        """Processes that were ended with their call."""
        return 0 if self._pool is None else self._pool.killed

    async def compute(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Result of ``work(*args)``, or what it raises, from a process. ``work`` is a function of a module or a method;
        it and its arguments can be pickled, live objects of the node aside (workers/wire.py). Raises RpcError when it
        takes too long or too much memory."""
        if self._pool is None:
            return await self.run(work, *args, **kwargs)
        found: T = await self._pool.run(functools.partial(work, **kwargs) if kwargs else work, *args)
        return found

    async def compute_json(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same, already written as JSON, for the dispatcher to pass on: a large answer costs the event loop
        nothing. It looks like the value to the type checker, and may be given back to the dispatcher only."""
        return cast("T", await self.compute(_encoded, work, *args, **kwargs))

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Result of ``work(*args)`` on a thread, or what it raises. Raises RpcError when it takes too long."""
        try:
            async with asyncio.timeout(self._seconds):
                done = await self._thread(functools.partial(work, *args, **kwargs))
                return await asyncio.wrap_future(done)
        except TimeoutError:
            raise RpcError(SERVER_ERROR, f"execution aborted (timeout = {self._seconds:g}s)") from None

    async def _thread(self, work: Callable[[], T]) -> Future[T]:
        """Begun on a thread, when it is this client's turn. It has the thread until it ends by itself."""
        who, loop = who_asks(), asyncio.get_running_loop()
        await self._gate.enter(who)
        before = threading.stack_size(STACK_BYTES)  # a pool starts its threads inside submit
        try:
            done = self._threads.submit(work)
        except RuntimeError:  # the server stops
            self._gate.leave(who)
            raise
        finally:
            threading.stack_size(before)
        done.add_done_callback(lambda _: _soon(loop, self._gate.leave, who))
        return done

    async def run_json(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``run``, written as JSON as well."""
        return cast("T", await self.run(_encoded, work, *args, **kwargs))

    async def stop(self) -> None:
        """End all work."""
        if self._soon is not None:
            self._soon.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._pool is not None:
            await self._pool.stop()


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[str], None], who: str) -> None:
    """Call it on the event loop, from a thread; nothing when that has ended."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call, who)


def _nobody() -> None:
    return None


def _encoded(work: Callable[..., object], *args: object, **kwargs: object) -> Encoded:
    return Encoded(dump(work(*args, **kwargs)))

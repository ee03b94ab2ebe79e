"""A few threads for calls that may take long, so that the event loop, and with it consensus, goes on meanwhile.

State readers are bound to a height and may be used from any thread. A call past its deadline is answered with an error;
its thread ends when the gas of the call is used up.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from openledger.rpc.errors import SERVER_ERROR, RpcError

P = ParamSpec("P")
T = TypeVar("T")

STACK_BYTES = 64 * 1024 * 1024
"""Room for 1,024 nested calls of the EVM."""


class Workers:
    """``count`` threads; ``seconds`` is the deadline of one call, waiting for a free thread included."""

    def __init__(self, count: int, seconds: float) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="rpc-call")
        self._seconds = seconds

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Result of ``work(*args)``, or what it raises. Raises RpcError when it takes too long."""
        before = threading.stack_size(STACK_BYTES)  # a pool starts its threads inside submit
        try:
            future = asyncio.get_running_loop().run_in_executor(self._pool, functools.partial(work, *args, **kwargs))
        finally:
            threading.stack_size(before)
        try:
            return await asyncio.wait_for(future, self._seconds)
        except TimeoutError:
            raise RpcError(SERVER_ERROR, f"execution aborted (timeout = {self._seconds:g}s)") from None

    def stop(self) -> None:
        """Take no more work."""
        self._pool.shutdown(wait=False, cancel_futures=True)

"""Waiting for a condition, or for the end of a process. The bound is for what never comes; on a busy machine all comes
late."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Callable
from typing import Any

PATIENCE = 120.0
"""Seconds until what is waited for is given up."""


async def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Return once the condition holds. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.005)


def finish(process: subprocess.Popen[Any], number: int = signal.SIGTERM) -> int:
    """The exit code after a signal; 0 is none, for one that was told before. One that does not obey is killed, and
    the code says so: nothing that a test has started is there in the next one."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        return process.wait(PATIENCE / 2)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def terminable() -> None:
    """From now on a run of tests that is told to end does so as one that is interrupted: what its tests have started is
    taken down."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)

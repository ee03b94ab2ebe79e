"""Shifts this process's clock by ``CLOCK_SKEW`` seconds (``300s``, ``-30s``), where that is set."""

from __future__ import annotations

import os
import time


def shift() -> None:
    """From now on ``time.time`` and ``time.time_ns`` are wrong."""
    seconds = float(os.environ.get("CLOCK_SKEW", "0s").removesuffix("s"))
    real, real_ns = time.time, time.time_ns
    if seconds:
        time.time = lambda: real() + seconds
        time.time_ns = lambda: real_ns() + int(seconds * 10**9)

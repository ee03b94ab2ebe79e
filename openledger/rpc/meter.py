"""What the dispatcher counts of each method. Written on every request, so it does little; read by /metrics."""

from __future__ import annotations

from bisect import bisect_left

BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds (seconds) of the buckets of a method's times; one more bucket holds what took longer."""


class MethodMeter:
    """One method: how often it was called, how often that failed, seconds in all, and ``buckets[i]`` calls that took no
    longer than ``BOUNDS[i]`` and longer than the bound before."""

    __slots__ = ("buckets", "calls", "failures", "seconds")

    def __init__(self) -> None:
        self.calls = 0
        self.failures = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(BOUNDS) + 1)

    def add(self, seconds: float, failed: bool) -> None:
        """Count one call."""
        self.calls += 1
        self.failures += failed
        self.seconds += seconds
        self.buckets[bisect_left(BOUNDS, seconds)] += 1

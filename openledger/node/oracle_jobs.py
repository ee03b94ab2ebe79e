"""Which claim is verified next: fairly, so that one that never comes to an end delays the others, but not for ever.

A claim gets a slice of time that its declared work asks for. When the slice is over, the claim goes behind those that
have had less, and its next slice is twice as long. So an honest claim that needs time t costs at most 2 t, and one that
eats all it is given gets at most a half of the time, however many wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from openledger.primitives.attribution import AttributionJob

Key = tuple[int, int]
"""Claim and attempt."""

FIRST_SECONDS = 30.0
WORK_PER_SECOND = 50_000
"""Units of work (answer x row) for one second more in the first slice."""
MAX_SECONDS = 600.0
MISSING_SECONDS = 1.0
LONGEST_WAIT = 30.0


def declared_work(job: AttributionJob) -> int:
    """Answers x rows, as the verification fee counts."""
    return sum(s.last - s.first for s in job.settlements) * job.rows


@dataclass(slots=True)
class Waiting:
    """A job in the queue: seconds spent on it, its next slice, when it may run, and how often it failed in a row."""

    job: AttributionJob
    seconds: float
    spent: float = 0.0
    ready: float = 0.0
    failures: int = 0


class JobQueue:
    """Jobs by (claim, attempt)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: dict[Key, Waiting] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, key: Key) -> bool:
        return key in self._waiting

    def __iter__(self) -> Iterator[Key]:
        return iter(list(self._waiting))

    def job(self, key: Key) -> AttributionJob | None:
        """The job of a key; None when it is gone."""
        found = self._waiting.get(key)
        return None if found is None else found.job

    def add(self, key: Key, job: AttributionJob) -> None:
        """Queue a job; one that is there already stays as it is."""
        first = min(MAX_SECONDS, FIRST_SECONDS + declared_work(job) / WORK_PER_SECOND)
        self._waiting.setdefault(key, Waiting(job, first))

    def drop(self, key: Key) -> None:
        """Forget a job: it is done, or its claim is gone."""
        self._waiting.pop(key, None)

    def next(self) -> tuple[Key, AttributionJob, float] | None:
        """The job to work on now and the seconds it gets: of those that may run the one that has had least, then the
        oldest. None when none may run."""
        now = self._clock()
        ready = [(w.spent, key) for key, w in self._waiting.items() if w.ready <= now]
        if not ready:
            return None
        _, key = min(ready)
        return key, self._waiting[key].job, self._waiting[key].seconds

    def delay(self) -> float | None:
        """Seconds until a job may run; None when there is none."""
        if not self._waiting:
            return None
        return max(0.0, min(w.ready for w in self._waiting.values()) - self._clock())

    def failed(self, key: Key, job: AttributionJob, spent: float) -> None:
        """A slice has brought no verdict: the next one is longer, and later the oftener this happened."""
        waiting = self._waiting.get(key)
        if waiting is None or waiting.job is not job:
            return
        waiting.failures += 1
        waiting.spent += max(spent, 1.0)
        waiting.seconds = min(MAX_SECONDS, 2 * waiting.seconds)
        waiting.ready = self._clock() + min(LONGEST_WAIT, 2.0 ** (waiting.failures - 1))

    def missing(self, key: Key, job: AttributionJob) -> None:
        """Its blobs are not here yet."""
        waiting = self._waiting.get(key)
        if waiting is not None and waiting.job is job:
            waiting.ready = self._clock() + MISSING_SECONDS

"""Which claim is verified next: fairly, so that one that never comes to an end delays the others, but not for ever.

A claim gets a turn as long as its declared work asks for. When the turn is over its work is put aside, the claim goes
behind those that have had less, and goes on in its next turn, until it is decided. Where it does not get ahead, or
where the process had to be killed and all was lost, the next turn is twice as long. So an honest claim costs the time
that it needs, and less than three times as much where turns were lost; and one that eats all it is given gets at most a
half of the time, however many wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from openledger.node.oracle_worker import Aside
from openledger.primitives.attribution import AttributionJob

Key = tuple[int, int]
"""Claim and attempt."""

FIRST_SECONDS = 30.0
WORK_PER_SECOND = 50_000
"""Units of work (answer x row) for one second more in the first turn."""
MAX_SECONDS = 600.0
MISSING_SECONDS = 1.0
LONGEST_WAIT = 30.0
LOOKED_AT = 64
"""Claims that are looked at before a vote, which waits: reading one with 1,024 contributors takes a millisecond."""


def in_turn(numbers: Sequence[int], height: int) -> list[int]:
    """The claims that are looked at before the vote of ``height``: all, or where there are many they take turns."""
    first = height * LOOKED_AT % len(numbers) if len(numbers) > LOOKED_AT else 0
    return sorted((*numbers[first:], *numbers[:first])[:LOOKED_AT])


def declared_work(job: AttributionJob) -> int:
    """Answers x rows, as the verification fee counts."""
    return sum(s.last - s.first for s in job.settlements) * job.rows


@dataclass(frozen=True, slots=True)
class Running:
    """Numbers of the claims that run, and the ``attempts`` of those that were looked at: what has neither is over."""

    numbers: frozenset[int]
    attempts: Mapping[int, int]

    def __contains__(self, key: Key) -> bool:
        return key[0] in self.numbers and self.attempts.get(key[0], key[1]) == key[1]


@dataclass(slots=True)
class Waiting:
    """A job in the queue: seconds spent on it, its next turn, when it may run, how often it failed in a row, and where
    its work stands."""

    job: AttributionJob
    seconds: float
    spent: float = 0.0
    ready: float = 0.0
    failures: int = 0
    at: Aside | None = None


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
        """A turn has brought nothing: the next one is longer, and later the oftener this happened."""
        waiting = self._waiting.get(key)
        if waiting is None or waiting.job is not job:
            return
        waiting.failures += 1
        waiting.at = None
        waiting.spent += max(spent, 1.0)
        waiting.seconds = min(MAX_SECONDS, 2 * waiting.seconds)
        waiting.ready = self._clock() + min(LONGEST_WAIT, 2.0 ** (waiting.failures - 1))

    def put_aside(self, key: Key, job: AttributionJob, spent: float, at: Aside) -> None:
        """A turn was too short, and what it has brought is kept."""
        waiting = self._waiting.get(key)
        if waiting is None or waiting.job is not job:
            return
        if waiting.at is not None and not at.ahead_of(waiting.at):
            waiting.seconds = min(MAX_SECONDS, 2 * waiting.seconds)
        waiting.at, waiting.failures = at, 0
        waiting.spent += max(spent, 1.0)

    def missing(self, key: Key, job: AttributionJob, spent: float) -> None:
        """Its blobs are not here yet, as it took ``spent`` seconds to see."""
        waiting = self._waiting.get(key)
        if waiting is not None and waiting.job is job:
            waiting.spent += spent
            waiting.ready = self._clock() + max(MISSING_SECONDS, spent)

"""What a verifying process keeps from one job to the next: which spots of an index it has found right, and how far it
has come with a claim that was put aside.

A claim is verified in turns (node.oracle_jobs). When a turn is over, ``Turn`` raises SliceOver at the end of a step: an
answer that is scored, some index rows, a step of a replayed run. All of it is kept, so the next turn goes on there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from openledger.attribution_oracle.bundle import Bundle
from openledger.attribution_oracle.claims import Scoring
from openledger.attribution_oracle.ports import SliceOver, blob_name
from openledger.primitives.attribution import AttributionJob

Spot = tuple[int, int]
"""A row, and a segment of the run, counted from 0; 0 where an index has no checkpoints."""


class Turn:
    """The progress callback of a turn of ``seconds`` (0: without end)."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._end = clock, clock() + seconds if seconds else None

    def __call__(self, done: int, total: int, what: str) -> None:
        """Raises SliceOver when the turn is over."""
        if self._end is not None and self._clock() >= self._end:
            raise SliceOver(done, total, what)


@dataclass
class Begun:
    """How far one job has come: its answers as far as they are scored, what all of them gave, and the segments, from 1,
    that were replayed."""

    scoring: Scoring | None = None
    scores: tuple[int, ...] | None = None
    replayed: set[int] = field(default_factory=set)


class Kept:
    """Right spots by model: an index does not change, so the next claims of a model need only what was not drawn yet.
    Jobs that were put aside; and the model of the last of them, so that it is not read again."""

    def __init__(self, models: int = 16, jobs: int = 4) -> None:
        self._models, self._jobs = models, jobs
        self._spots: dict[str, set[Spot]] = {}
        self._begun: dict[Any, Begun] = {}
        self._bundle: tuple[str, Bundle] | None = None

    def right(self, job: AttributionJob) -> set[Spot]:
        """Those of the job's model; those of the model that was asked for longest ago are forgotten."""
        name = blob_name(job.bundle_blob)
        self._spots[name] = self._spots.pop(name, set())
        _shorten(self._spots, self._models)
        return self._spots[name]

    def begun(self, job: AttributionJob) -> Begun:
        """How far the job has come; what was put aside longest ago is forgotten."""
        self._begun[_key(job)] = self._begun.pop(_key(job), Begun())
        _shorten(self._begun, self._jobs)
        return self._begun[_key(job)]

    def bundle(self, job: AttributionJob) -> Bundle | None:
        """The job's model, where it was that of the last job put aside."""
        name = blob_name(job.bundle_blob)
        return self._bundle[1] if self._bundle is not None and self._bundle[0] == name else None

    def put_aside(self, job: AttributionJob, bundle: Bundle) -> None:
        """The job is not done; it goes on with this model."""
        self._bundle = blob_name(job.bundle_blob), bundle

    def done(self, job: AttributionJob) -> None:
        """The job has its verdict, or failed where nobody knows how far it was: nothing of it is kept but the spots."""
        self._begun.pop(_key(job), None)
        if self.bundle(job) is not None:
            self._bundle = None


def _key(job: AttributionJob) -> Any:
    return job.claim, job.bundle_blob, job.evidence_blob, job.settlements, job.again


def _shorten(known: dict[Any, Any], most: int) -> None:
    while len(known) > most:
        known.pop(next(iter(known)))


__all__ = ["Begun", "Kept", "Spot", "Turn"]

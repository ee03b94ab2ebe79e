"""Index rows are made again from data, weights and receipt, as many as a validator's seed draws or are dealt to it.

A row of most methods follows from the final weights alone. A row that was carried along a long training run is checked
segment by segment (``segments``): from the committed checkpoint at a segment's beginning everybody must come to the one
at its end, or to the index.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from torch import Tensor

from openledger.attribution_oracle.bundle import Bundle
from openledger.attribution_oracle.index import Checkpoint, Index
from openledger.attribution_oracle.kept import Spot
from openledger.attribution_oracle.looks import Crowd, chance, even_rows
from openledger.attribution_oracle.methods import method
from openledger.attribution_oracle.model import at_once
from openledger.attribution_oracle.path import Moments
from openledger.attribution_oracle.ports import Blobs, Progress, silent
from openledger.attribution_oracle.replayed import PathInfluence, Replay
from openledger.primitives.attribution import EVERY_SEGMENT, NAMED_ROW, AttributionJob, Named
from openledger.primitives.errors import InvalidModel, OracleError

ROW_TOLERANCE = 1e-3
STATE_TOLERANCE = 1e-3
"""How far weights and moments may lie from a checkpoint's, relative to what the segment did to them."""
CHECKED_ROWS = 128
AT_ONCE = 32
"""So many each validator looks at that looks alone: of a small index all, else ``EVEN_ROWS`` and others by pay."""
EVEN_ROWS = 90  # drawn uniformly: one in twenty wrong rows is missed in less than 0.95^90 = 1 % of draws
SMALL_ROWS = 2 * CHECKED_ROWS
"""Rows of the largest index that is dealt out: of equal validators at most every second sees a row."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a claim, in a sentence and by name (None where it is no single row or share)."""

    reason: str
    named: Named | None = None


def drawn_index_rows(scores: Sequence[int], seed: bytes, count: int, even: int | None = None) -> list[int]:
    """Which index rows to recompute, drawn by ``seed``: ``even`` of them uniformly (``EVEN_ROWS`` of ``CHECKED_ROWS``
    parts of ``count`` where it is not given, and never more), and what these parts leave of ``count`` in proportion to
    their positive scores; all when there are no more than both."""
    alone = count * EVEN_ROWS // CHECKED_ROWS
    even, paid = min(alone, alone if even is None else even), count - alone
    if len(scores) <= even + paid:
        return list(range(len(scores)))
    draw = random.Random(seed)  # noqa: S311 - the seed carries the secrecy
    return sorted({*draw.sample(range(len(scores)), even), *_paid_rows(scores, draw, paid)})


def _paid_rows(scores: Sequence[int], draw: random.Random, count: int) -> list[int]:
    weights = [float(max(s, 0)) for s in scores]
    return draw.choices(range(len(scores)), weights, k=count) if sum(weights) > 0 else []


def wanted_spots(
    scores: Sequence[int], secret: bytes, crowd: Crowd, segments: int, count: int = CHECKED_ROWS, whole: bool = False
) -> list[Spot]:
    """What one of ``crowd`` looks at of an index whose run has so many ``segments``; ``count`` rows where it is alone.
    Where each row asks for the ``whole`` run it looks at as many as if alone, for that costs nothing; and in a segment
    that was dealt, for no other honest one may have it. Of dealt rows those by pay are drawn together."""
    chosen, rows = crowd.segments(b"segments" + secret, segments), b"rows" + secret
    if crowd.lookers < 2 or whole or crowd.deals(segments):
        return list(product(drawn_index_rows(scores, rows, count), chosen))
    paid = count - count * EVEN_ROWS // CHECKED_ROWS
    if segments == 1 and paid < len(scores) <= SMALL_ROWS:
        draw = random.Random(rows)  # noqa: S311 - the seed carries the secrecy
        mine = {*crowd.mine(b"rows", len(scores)), *_paid_rows(scores, draw, -(-paid // crowd.lookers))}
        return [(row, 0) for row in sorted(mine)]
    even = even_rows(crowd.lookers, chance(segments, crowd.lookers))
    return list(product(drawn_index_rows(scores, rows, count, even), chosen))


def named_spots(job: AttributionJob, segments: int) -> list[Spot]:
    """What others have named, as far as there is such a thing: without checkpoints whatever segment was named, with
    them no row that was named without one."""
    found: list[Spot] = []
    for row, segment in job.named:
        if row >= job.rows:
            continue
        if segments == 1:
            found.append((row, 0))
        elif segment == EVERY_SEGMENT:
            found += [(row, number) for number in range(segments)]
        elif 1 <= segment <= segments:
            found.append((row, segment - 1))
    return found


def check_spots(
    bundle: Bundle, blobs: Blobs, wanted: Iterable[Spot], right: set[Spot], progress: Progress = silent,
    replayed: set[int] | None = None,
) -> Fault | None:  # fmt: skip
    """Recompute what is wanted but for what is known to be ``right``, to which all that is gets added; the first that
    is wrong. Of a segment all rows are looked at when any is, where they fit the memory; its number, from 1, is added
    to ``replayed``. Raises BlobNotFound."""
    missing = sorted(set(wanted) - right, key=lambda spot: (spot[1], spot[0]))
    if not bundle.cuts:
        return _check_rows(bundle, [row for row, _ in missing], right, progress)
    chosen = method(bundle.index.method)
    if not isinstance(chosen, PathInfluence):
        raise InvalidModel(f"an index by {bundle.index.method} has no checkpoints")
    replay = chosen.replay(bundle.run)
    parts = replay.checked(range(bundle.index.rows))
    for number in sorted({segment for _, segment in missing}):
        mine = [row for row, segment in missing if segment == number]
        for some in parts if len(parts) == 1 else replay.checked(mine):
            fault = _check_segment(bundle, blobs, replay, number, some, progress)
            if replayed is not None:
                replayed.add(number + 1)
            if fault is not None:
                return fault
            right.update((row, number) for row in some)
    return None


def _check_rows(bundle: Bundle, rows: Sequence[int], right: set[Spot], progress: Progress) -> Fault | None:
    """Some at a time, so that they are kept when the work is put aside; where each asks for the whole run, as many as
    fit the memory."""
    chosen, done = method(bundle.index.method), 0
    whole = isinstance(chosen, PathInfluence)
    longest = max((len(bundle.run.rows[row]) for row in rows), default=0)
    step = at_once(bundle.run.model, longest, AT_ONCE)
    parts = [rows[at : at + step] for at in range(0, len(rows), step)]
    if rows and isinstance(chosen, PathInfluence):
        parts = chosen.replay(bundle.run).checked(rows)
    for some in parts:
        vectors = chosen.row_vectors(bundle.run, some, progress if whole else silent)
        for number, vector in zip(some, vectors, strict=True):
            fault = _compare(bundle.index, number, vector, Named(NAMED_ROW, number), "index row")
            if fault is not None:
                return fault
            right.add((number, 0))
        done += len(some)
        if not whole:
            progress(done, len(rows), "index rows recomputed")
    return None


def _compare(index: Index, number: int, vector: Tensor, named: Named, what: str) -> Fault | None:
    error = index.error(number, vector)
    if error <= ROW_TOLERANCE:
        return None
    return Fault(f"{what} {number} is wrong: it differs by {error:.2e} from the recomputed one", named)


def _check_segment(
    bundle: Bundle, blobs: Blobs, replay: Replay, number: int, rows: Sequence[int], progress: Progress
) -> Fault | None:
    """Replay a segment for these rows, and compare them, weights and moments with what was committed."""
    last = number == len(bundle.cuts)
    until = len(replay.steps.batches) if last else bundle.cuts[number]
    where = f"in segment {number + 1} of {len(bundle.cuts) + 1} of the training run"
    try:
        begin = bundle.checkpoint(blobs, number - 1) if number else None
        end = None if last else bundle.checkpoint(blobs, number)
        mine = None if begin is None else begin.of(rows)
        vectors, adam = replay.segment(replay.checking(progress), mine, until, rows, progress)
        if end is None:
            replay.arrive(adam.theta)
        else:
            _meet(adam, end, replay.start() if begin is None else begin.theta)
    except OracleError as err:  # named, so that those who did not draw the segment look at it too
        return Fault(f"{err.message}, {where}", Named(NAMED_ROW, segment=number + 1))
    committed, what = (bundle.index, "index row") if end is None else (end.rows, f"{where}, index row")
    for row, vector in zip(rows, vectors.cpu(), strict=True):
        fault = _compare(committed, row, vector, Named(NAMED_ROW, row, segment=number + 1), what)
        if fault is not None:
            return fault
    return None


def _meet(found: Moments, end: Checkpoint, before: Tensor) -> None:
    """Raises InvalidModel when a checkpoint lies too far from the recomputed state."""
    away = state_error(found, end, before)
    if not away <= STATE_TOLERANCE:
        raise InvalidModel(f"the receipt does not lead to the checkpoint: they are {away:.1e} apart")


def state_error(found: Moments, end: Checkpoint, before: Tensor) -> float:
    """How far a checkpoint lies from the recomputed state, relative, the worst of: the weights, relative to what moved
    since ``before``; first moments, the roots of second ones, and the step that both would make next."""
    eps = found.steps.eps
    theta, m, v = (t.cpu() for t in (found.theta, found.m, found.v))
    pairs = (
        (theta - before.cpu(), theta - end.theta),
        (m, m - end.m),
        (v.sqrt(), v.sqrt() - end.v.sqrt()),
        (m / (v.sqrt() + eps), m / (v.sqrt() + eps) - end.m / (end.v.sqrt() + eps)),
    )
    return max(float(apart.norm() / whole.norm().clamp(min=1e-30)) for whole, apart in pairs)


__all__ = [
    "CHECKED_ROWS", "ROW_TOLERANCE", "SMALL_ROWS", "Fault", "check_spots", "drawn_index_rows", "named_spots",
    "state_error", "wanted_spots",
]  # fmt: skip

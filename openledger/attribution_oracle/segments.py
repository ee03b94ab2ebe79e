"""A long training run is checked piece by piece: where its checkpoints stand, and which segments a validator replays.

The publisher of an index made along the run (``replayed``) commits checkpoints of it: weights, Adam's moments, and what
every row has done so far, as the index would have it. He goes on from these himself, rounded as they are, so
everybody who replays a segment from its first checkpoint comes to the next one, and to the index at the end. How many
checkpoints there are follows from run and index, and is not chosen.

A validator replays the segments that its seed draws. Each segment is drawn with probability p by each validator, such
that the ``lookers`` that are left when a third of the power does nothing miss none of K with probability 99 %:
(1 - p)^lookers = 1 / (100 K).
"""

from __future__ import annotations

import random

from openledger.attribution_oracle.index import bytes_of

STEPS = 8
"""Least steps of a segment."""
MOST = 8
"""Most segments of a run."""
BYTES = 1 << 28
"""Most bytes of a model's checkpoints together."""
MISSED = 0.01
"""Probability with which one of the segments is looked at by nobody."""


def cuts(steps: int, rows: int, entries: int, parameters: int) -> tuple[int, ...]:
    """After how many steps the checkpoints of a run of ``steps`` stand; none for short runs and very large indexes, and
    none where rows keep their largest entries alone: what is left out on the way is missed (docs/lab/index-size.md)."""
    if entries < parameters:
        return ()
    size = rows * bytes_of(entries, parameters) + 12 * parameters
    count = max(1, min(MOST, steps // STEPS, 1 + BYTES // size))
    return tuple(steps * k // count for k in range(1, count))


def chance(segments: int, lookers: int) -> float:
    """p of the top: the probability that a validator draws a given segment. 1 where there is one of ``lookers`` or
    nobody knows them (0), and where there are no checkpoints."""
    if lookers < 2 or segments < 2:
        return 1.0
    return 1.0 - float((MISSED / segments) ** (1.0 / lookers))


def drawn(seed: bytes, segments: int, lookers: int) -> list[int]:
    """Numbers of the segments that ``seed`` draws, counted from 0, ascending: floor or ceiling of p x segments of
    them."""
    draw = random.Random(seed)  # noqa: S311 - the seed carries the secrecy
    wanted = chance(segments, lookers) * segments
    count = int(wanted) + (draw.random() < wanted % 1)
    return sorted(draw.sample(range(segments), min(count, segments)))


__all__ = ["chance", "cuts", "drawn"]

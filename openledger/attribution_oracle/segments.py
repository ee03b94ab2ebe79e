"""A long training run is checked piece by piece: where its checkpoints stand. Which segments a validator replays, say
``looks``.

The publisher of an index made along the run (``replayed``) commits checkpoints of it: weights, Adam's moments, and what
every row has done so far, as the index would have it. He goes on from these himself, rounded as they are, so
everybody who replays a segment from its first checkpoint comes to the next one, and to the index at the end. How many
checkpoints there are follows from run and index, and is not chosen.
"""

from __future__ import annotations

from openledger.attribution_oracle.index import bytes_of

STEPS = 8
"""Least steps of a segment."""
MOST = 8
"""Most segments of a run."""
BYTES = 1 << 28
"""Most bytes of a model's checkpoints together."""


def cuts(steps: int, rows: int, entries: int, parameters: int) -> tuple[int, ...]:
    """After how many steps the checkpoints of a run of ``steps`` stand; none for short runs and very large indexes, and
    none where rows keep their largest entries alone: what is left out on the way is missed (docs/lab/index-size.md)."""
    if entries < parameters:
        return ()
    size = rows * bytes_of(entries, parameters) + 12 * parameters
    count = max(1, min(MOST, steps // STEPS, 1 + BYTES // size))
    return tuple(steps * k // count for k in range(1, count))


__all__ = ["cuts"]

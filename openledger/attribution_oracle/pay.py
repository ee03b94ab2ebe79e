"""The pay rule: from signed row scores of a claim's answers to what each row earns.

1. Per answer, scores are divided by the sum of their absolute values, so every answer weighs what was paid for it.
2. What of a row's text was committed earlier (near.py) is no part of the row. As far as it pulls in the same direction
   it is added to the first commit, which it can bring up to the size of a typical row, and not beyond: whoever is
   copied loses nothing, and copying oneself gains nothing.
3. A row that is everywhere larger than the typical row is brought down to it: size is in the hand of the author.
4. Over the whole claim the signed parts are summed; what a row's own noise over the answers explains is taken off
   (a garrote: rows far above their noise keep nearly all), and what is below zero is nothing. Never per
   contributor: that would pay for splitting identities; never per answer: that would pay noise.

Every step is continuous in the scores, so a difference of 1e-7 between machines stays one. Nothing looks at who owns a
row before the end, so splitting oneself changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from openledger.attribution_oracle.near import PPM, Known
from openledger.primitives.attribution import SCORE_UNIT
from openledger.primitives.errors import OracleError

Array = np.ndarray[Any, np.dtype[np.float64]]

LARGEST = 1.1  # of the typical row, times 1 + PRIOR / answers
NOISE = 0.5  # deviations of a row's own noise that are taken off
PRIOR = 8.0  # answers that the typical row's noise counts for beside the row's own
TINY = 1e-300
MAD = 0.6745  # median size of a normal variable of deviation 1


def parts(scores: Array, weights: Array, known: Sequence[Known], order: Sequence[int]) -> Array:
    """Signed parts [answers, rows] of the claim: the absolute values of an answer add up to its weight at most."""
    shared = first_commits(_normal(scores), known, order)
    size = _size(shared)
    limit = LARGEST * (1.0 + PRIOR / len(shared)) * _typical(size)
    if limit > 0.0:
        shared = shared * (limit / np.maximum(size, limit))
    return np.asarray(_normal(shared) * weights[:, None], dtype=np.float64)


def first_commits(shared: Array, known: Sequence[Known], order: Sequence[int]) -> Array:
    """Each row without what others had committed before, which goes to them. ``order``: row numbers, earliest first."""
    found, before = shared.copy(), _size(shared)
    lengths = np.sqrt((shared**2).sum(axis=0))
    for row in reversed(order):
        part = known[row]
        if not part.ppm or not lengths[row]:
            continue
        whole = sum(weight for _, weight in part.sources)
        moved = found[:, row] * (part.ppm / PPM)
        for source, weight in part.sources:
            same = float(shared[:, source] @ shared[:, row]) / max(lengths[source] * lengths[row], TINY)
            found[:, source] += moved * (weight / whole * max(same, 0.0))
        found[:, row] -= moved
    after, most = _size(found), np.maximum(before, _typical(before))
    return np.asarray(found * (most / np.maximum(after, np.maximum(most, TINY))), dtype=np.float64)


def _size(shared: Array) -> Array:
    """How large a row is: its median over the answers."""
    return np.asarray(np.median(np.abs(shared), axis=0), dtype=np.float64)


def _typical(sizes: Array) -> float:
    """The median of those above zero."""
    living = sizes[sizes > 0]
    return float(np.median(living)) if living.size else 0.0


def _normal(scores: Array) -> Array:
    whole = np.abs(scores).sum(axis=1, keepdims=True)
    return np.asarray(np.divide(scores, whole, out=np.zeros_like(scores), where=whole > 0), dtype=np.float64)


def above_noise(shared: Array, weights: Array) -> Array:
    """Amounts [rows] >= 0: the signed sums over the answers, less what noise explains.

    A row's noise in one answer is its median size over the answers, in parts of the answer's weight; with few answers
    the typical row's stands in for it."""
    answers = shared.shape[0]
    summed = shared.sum(axis=0)
    sizes = np.abs(np.divide(shared, weights[:, None], out=np.zeros_like(shared), where=weights[:, None] > 0))
    own = np.median(sizes, axis=0)
    level = (answers * own + PRIOR * _typical(own)) / (answers + PRIOR) / MAD
    noise = NOISE * level * float(np.sqrt((weights**2).sum()))
    positive = np.maximum(summed, 0.0)
    kept = 1.0 - np.divide(noise, positive, out=np.ones_like(noise), where=positive > noise) ** 2
    return np.asarray(positive * np.maximum(kept, 0.0), dtype=np.float64)


def row_pay(scores: Array, weights: Array, known: Sequence[Known], order: Sequence[int]) -> list[int]:
    """What each row earns, in ppb of the claim's contributor fee; together at most 1,000,000,000 and rounding.

    ``scores`` fp64 [answers, rows]; ``weights`` fp64 [answers], sum <= 1: the paid part of each answer that is shared;
    ``known`` and ``order`` as of near.known_parts. Raises OracleError when something is not finite."""
    if not bool(np.isfinite(scores).all()):
        raise OracleError("a row's score is not finite")
    if not scores.size:
        return [0] * scores.shape[1]
    amounts = above_noise(parts(scores, weights, known, order), weights)
    return [int(amount) for amount in np.rint(amounts * SCORE_UNIT)]


__all__ = ["above_noise", "first_commits", "parts", "row_pay"]

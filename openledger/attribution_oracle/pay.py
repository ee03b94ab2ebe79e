"""The pay rule: from signed row scores of a claim's answers to what each row earns.

1. Per answer, scores are divided by the sum of their absolute values, so every answer weighs what was paid for it.
2. What of a row's text was committed earlier (near.py) or is no language (prose.py) is no part of the row. As far as
   what was committed earlier pulls in the same direction it is added to the first commit, which it can bring up to the
   size of a typical row, and not beyond: whoever is copied loses nothing, and copying oneself gains nothing.
3. A row that is everywhere larger than half the typical row is brought down to that: size is in the hand of the author,
   so most rows count alike, and only those that hardly touch any answer count less.
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

LARGEST = 0.5  # of the typical row, times 1 + (PRIOR / answers)^2
NOISE = 0.5  # deviations of a row's own noise that are taken off
PRIOR = 8.0  # answers that the typical row's noise counts for beside the row's own
TINY = 1e-300
LOTS = 128
MAD = 0.6745  # median size of a normal variable of deviation 1


class Table:
    """The answers of a claim, as signed parts [lots, rows] whose absolute values add up to a lot's weight.

    Beyond ``LOTS`` answers several share a lot, so that memory is bounded: answer n goes to lot n modulo ``LOTS``."""

    def __init__(self, answers: int, rows: int) -> None:
        self.shared = np.zeros((min(answers, LOTS), rows), dtype=np.float64)
        self.weights = np.zeros(min(answers, LOTS), dtype=np.float64)

    def add(self, number: int, scores: Array, weight: float) -> None:
        """Answer ``number``: fp64 [rows] and the part of the claim that it stands for. Raises OracleError when a score
        is not finite."""
        if not bool(np.isfinite(scores).all()):
            raise OracleError("a row's score is not finite")
        whole, largest = 0.0, float(np.abs(scores).max(initial=0.0))
        if largest > 0.0:
            scores = scores / largest  # so that no sum overflows
            whole = float(np.abs(scores).sum())
        if whole > 0.0:
            lot = number % LOTS
            self.shared[lot] += scores * (weight / whole)
            self.weights[lot] += weight

    def pay(self, known: Sequence[Known], order: Sequence[int]) -> list[int]:
        """What each row earns, in ppb of the claim's contributor fee; together at most 1,000,000,000 and rounding.
        ``known`` and ``order`` as of near.known_parts."""
        if not self.shared.size:
            return [0] * self.shared.shape[1]
        amounts = above_noise(parts(self.shared, self.weights, known, order), self.weights)
        return [int(amount) for amount in np.rint(amounts * SCORE_UNIT)]


def parts(shared: Array, weights: Array, known: Sequence[Known], order: Sequence[int]) -> Array:
    """Signed parts without what others had before, none far larger than the typical one; sums as before."""
    even = np.divide(shared, weights[:, None], out=np.zeros_like(shared), where=weights[:, None] > 0)
    whole = np.abs(shared).sum(axis=1)
    even = _weighing(first_commits(even, known, order), whole)
    size = _size(np.divide(even, weights[:, None], out=np.zeros_like(even), where=weights[:, None] > 0))
    limit = LARGEST * (1.0 + (PRIOR / len(even)) ** 2) * _typical(size)
    if limit > 0.0:
        even = even * (limit / np.maximum(size, limit))
    return _weighing(even, whole)


def _weighing(shared: Array, whole: Array) -> Array:
    """Each answer's parts so that their absolute values add up to ``whole`` [answers] again."""
    sums = np.abs(shared).sum(axis=1)
    return np.asarray(shared * np.divide(whole, sums, out=np.zeros_like(whole), where=sums > 0)[:, None])


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


__all__ = ["Array", "Table", "above_noise", "first_commits", "parts"]

"""The pay rule: from signed row scores of a claim's answers to what each row earns.

1. Per answer, scores are divided by the sum of their absolute values, so every answer weighs what was paid for it; to
   begin with by the typical row's, which nobody can move alone.
2. What of a row's text was committed earlier (near.py) or is no language (prose.py) is no part of the row. As far as
   what was committed earlier pulls in the same direction it makes the first commit larger, up to the size of a typical
   row, and not beyond: whoever is copied loses nothing, and copying oneself gains nothing.
3. A row that is everywhere larger than a third of the typical row is brought down to that, or to less where it has
   fewer words than the row in which the middle word of all data stands: size is in the hand of the author, and so is
   where a row ends. Most rows so count by their words and by how steadily they help, and only those that hardly touch
   any answer count less. Each answer is then weighed anew, three times over, so that nobody's scores tell how much the
   others count in it.
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

LARGEST = 0.35  # of the typical row, times 1 + (FEW / answers)^2, for a row with as many words as the middle one
FEW = 4.0
SWEEPS = 3
NOISE = 0.5  # deviations of a row's own noise that are taken off
PRIOR = 8.0  # answers that the typical row's noise counts for beside the row's own
TINY = 1e-300
LOTS = 128
MAD = 0.6745  # median size of a normal variable of deviation 1


class Table:
    """The answers of a claim, as signed parts [lots, rows], each answer in parts of its typical row times its weight.

    Beyond ``LOTS`` answers several share a lot, so that memory is bounded: answer n goes to lot n modulo ``LOTS``."""

    def __init__(self, answers: int, rows: int) -> None:
        self.shared = np.zeros((min(answers, LOTS), rows), dtype=np.float64)
        self.weights = np.zeros(min(answers, LOTS), dtype=np.float64)

    def add(self, number: int, scores: Array, weight: float) -> None:
        """Answer ``number``: fp64 [rows] and the part of the claim that it stands for. Raises OracleError when a score
        is not finite."""
        if not bool(np.isfinite(scores).all()):
            raise OracleError("a row's score is not finite")
        largest = float(np.abs(scores).max(initial=0.0))
        typical = _typical(np.abs(scores / largest)) if largest > 0.0 else 0.0  # so that no sum overflows
        if typical > 0.0:
            lot = number % LOTS
            self.shared[lot] += scores / largest * (weight / typical)
            self.weights[lot] += weight

    def pay(self, known: Sequence[Known], order: Sequence[int]) -> list[int]:
        """What each row earns, in ppb of the claim's contributor fee; together at most 1,000,000,000 and rounding.
        ``known`` and ``order`` as of near.known_parts."""
        if not self.shared.size:
            return [0] * self.shared.shape[1]
        stays = np.array([_typical(np.abs(lot)) for lot in self.shared])  # of answers that share a lot, some cancels
        whole = np.minimum(stays, self.weights)
        amounts = above_noise(parts(self.shared, whole, known, order), self.weights)
        return [int(amount) for amount in np.rint(amounts * SCORE_UNIT)]


def parts(shared: Array, whole: Array, known: Sequence[Known], order: Sequence[int]) -> Array:
    """Signed parts without what others had before, none far larger than the typical one; the absolute values of each
    answer's add up to ``whole`` [answers]."""
    even = _even(first_commits(_even(shared), known, order))  # copies count in none
    few = 1.0 + (FEW / len(even)) ** 2
    words = lengths([part.words * (PPM - part.ppm) // PPM for part in known])
    for _ in range(SWEEPS):
        size = _size(even)
        limit = LARGEST * few * _typical(size) * words
        even = even * np.divide(limit, size, out=np.ones_like(size), where=size > limit)
        even = _weighing(even, np.ones(len(even)))
    return _weighing(even, whole)


def lengths(words: Sequence[int]) -> Array:
    """Each row's own words in parts of the middle row's, at most 1. The middle word of all stands there when rows are
    sorted by length: whoever cuts rows into pieces hardly moves it."""
    every, so_far, middle = sum(words), 0, 0
    for middle in sorted(words, reverse=True):
        so_far += middle
        if 2 * so_far >= every:
            break
    own = np.array(words, dtype=np.float64)
    return np.minimum(own / middle, 1.0) if middle else np.ones_like(own)


def _even(shared: Array) -> Array:
    """Every answer in parts of its typical row."""
    typical = np.array([[_typical(np.abs(answer)) or 1.0] for answer in shared])
    return np.asarray(shared / typical, dtype=np.float64)


def _weighing(shared: Array, whole: Array) -> Array:
    """Each answer's parts so that their absolute values add up to ``whole`` [answers] again."""
    sums = np.abs(shared).sum(axis=1)
    return np.asarray(shared * np.divide(whole, sums, out=np.zeros_like(whole), where=sums > 0)[:, None])


def first_commits(shared: Array, known: Sequence[Known], order: Sequence[int]) -> Array:
    """Each row without what others had committed before, which makes theirs larger. ``order``: row numbers, earliest
    first."""
    lengths = np.sqrt((shared**2).sum(axis=0))
    grown, before = lengths.copy(), _size(shared)
    for row in reversed(order):
        part = known[row]
        if not part.ppm or not lengths[row]:
            continue
        whole, moved = sum(weight for _, weight in part.sources), grown[row] * (part.ppm / PPM)
        for source, weight in part.sources:
            same = float(shared[:, source] @ shared[:, row]) / max(lengths[source] * lengths[row], TINY)
            grown[source] += moved * (weight / whole * max(same, 0.0))
        grown[row] -= moved
    found = shared * np.divide(grown, lengths, out=np.zeros_like(grown), where=lengths > 0)
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


__all__ = ["Array", "Table", "above_noise", "first_commits", "lengths", "parts"]

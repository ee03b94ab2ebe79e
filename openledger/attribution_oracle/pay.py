"""The pay rule: from signed row scores of a claim's answers to what each row earns.

1. Per answer, scores are divided by the sum of their absolute values, so every answer weighs what was paid for it; to
   begin with by the typical row's, which nobody can move alone.
2. What of a row's text was committed earlier (near.py) or is no language (prose.py, chains.py, mosaics.py) is no part
   of the row. As far as what was committed earlier pulls in the same direction it makes the first commit larger, up to
   the size of a typical row, and not beyond: whoever is copied loses nothing, and copying oneself gains nothing.
3. A row that is everywhere larger than a fifth of the typical row is brought down to that, or to less where it has
   fewer words than the row in which the middle word of all data stands: size is in the hand of the author, and so is
   where a row ends. Each answer is then weighed anew, three times over, so that nobody's scores tell how much the
   others count in it. In the end rows count by their words and by how steadily they help, and only those below about a
   hundredth of the typical row count less. A claim of few answers, which has little but size to go by, takes rows
   relative to how large they are to any answer, and lets them differ more.
4. A larger row counts more, always, and by a tenth at the most: whoever can make his rows as large as he likes gains
   no more than that.
5. Over the whole claim the signed parts are summed, and what is below zero is nothing. Never per contributor: that
   would pay for splitting identities; never per answer: that would pay noise.

Every step is continuous in the scores, so a difference of 1e-7 between machines stays one. Nothing looks at who owns a
row before the end, so splitting oneself changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from openledger.attribution_oracle.near import PPM, Known
from openledger.primitives.attribution import SCORE_UNIT
from openledger.primitives.errors import OracleError

Array = np.ndarray[Any, np.dtype[np.float64]]

LARGEST = 0.2  # of the typical row, for a row with as many words as the middle one
WIDER = 5.4  # where norms are known that times 1 + (WIDER / answers)^2, as far as answers are few; two are as three
SWEEPS = 3
MORE, STEEP = 0.1, 4  # what the largest rows count more than the smallest, and how fast around the typical row
FEW = 3  # answers up to which a row's size is its mean
TINY = 1e-300
FAR = 1e100
"""Typical rows that a row may be away from one: a larger part counts no more, and its square is still a number."""
LOTS = 128


class Table:
    """The answers of a claim, as signed parts [lots, rows], each answer in parts of its typical row times its weight.

    Beyond ``LOTS`` answers several share a lot, so that memory is bounded: answer n goes to lot n modulo ``LOTS``.
    ``norms`` [rows]: how large each row is to any answer, where that is known. Of few answers nothing else tells who is
    large because he matters from who has made himself large: so scores are divided by them, and may differ more."""

    def __init__(self, answers: int, rows: int, norms: Array | None = None) -> None:
        self.wide = norms is not None
        self.norms = np.ones(rows) if norms is None else np.where(norms > 0, norms, 1.0) ** _fewness(max(answers, 1))
        self.shared = np.zeros((min(answers, LOTS), rows), dtype=np.float64)
        self.weights = np.zeros(min(answers, LOTS), dtype=np.float64)

    def add(self, number: int, scores: Array, weight: float) -> None:
        """Answer ``number``: fp64 [rows] and the part of the claim that it stands for. Raises OracleError when a score
        or this part is not finite."""
        if not bool(np.isfinite(scores).all()):
            raise OracleError("a row's score is not finite")
        if not math.isfinite(weight):
            raise OracleError("what an answer weighs is not finite")
        scores = scores / self.norms
        largest = float(np.abs(scores).max(initial=0.0))
        typical = _typical(np.abs(scores / largest)) if largest > 0.0 else 0.0  # so that no sum overflows
        if typical > 0.0:
            lot = number % LOTS
            with np.errstate(over="ignore"):
                parts = np.clip(scores / largest / typical, -FAR, FAR)
            self.shared[lot] += parts * weight
            self.weights[lot] += weight

    def pay(self, known: Sequence[Known], order: Sequence[int]) -> list[int]:
        """What each row earns, in ppb of the claim's contributor fee; together at most 1,000,000,000 and rounding.
        ``known`` and ``order`` as of near.known_parts."""
        if not self.shared.size:
            return [0] * self.shared.shape[1]
        stays = np.array([_typical(np.abs(lot)) for lot in self.shared])  # of answers that share a lot, some cancels
        whole = np.minimum(stays, self.weights)
        amounts = np.maximum(parts(self.shared, whole, known, order, self.wide).sum(axis=0), 0.0)
        return [int(amount) for amount in np.rint(amounts * SCORE_UNIT)]


def parts(shared: Array, whole: Array, known: Sequence[Known], order: Sequence[int], wide: bool = False) -> Array:
    """Signed parts without what others had before, none far larger than the typical one, or with few answers ``wide``;
    the absolute values of each answer's add up to ``whole`` [answers]."""
    even = _even(first_commits(_even(shared), known, order))  # copies count in none
    words = lengths([part.words * (PPM - part.ppm) // PPM for part in known])
    more = _more(_size(even))
    wider = 1.0 + wide * _fewness(len(even)) * (WIDER / (FEW if len(even) == 2 else len(even))) ** 2
    for _ in range(SWEEPS):
        size = _size(even)
        limit = LARGEST * wider * _typical(size) * words
        even = even * np.divide(limit, size, out=np.ones_like(size), where=size > limit)
        even = _weighing(even, np.ones(len(even)))
    return _weighing(even * more, whole)


def _more(sizes: Array) -> Array:
    """What each row counts by its size alone, from 1 to 1 + ``MORE``: half of it is the typical row's, and a larger row
    always has more of it."""
    part = sizes / np.maximum(sizes + _typical(sizes), TINY)
    large, small = part**STEEP, (1.0 - part) ** STEEP
    return np.asarray(1.0 + MORE * large / (large + small), dtype=np.float64)


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
    """How large a row is: its median over the answers; with few of them, where a median says little, its mean."""
    sizes, mean = np.abs(shared), _fewness(len(shared))
    return np.asarray((1.0 - mean) * np.median(sizes, axis=0) + mean * sizes.mean(axis=0), dtype=np.float64)


def _fewness(answers: int) -> float:
    """1 up to ``FEW`` answers, and towards 0 beyond."""
    return min(1.0, (FEW / answers) ** 3)


def _typical(sizes: Array) -> float:
    """The median of those above zero."""
    living = sizes[sizes > 0]
    return float(np.median(living)) if living.size else 0.0


__all__ = ["Array", "Table", "first_commits", "lengths", "parts"]

"""Whether a row is language as the other rows are: what stands side by side here does so elsewhere, and not by chance.

For each two neighbours the other rows tell how much likelier the second is after the first than anywhere, in three ways
of which the mean counts: by the whole words, where these are rare by the three letters on either side of the gap, and
where those are rare by the kinds of sign there; by how the words end, since endings agree in many languages; by how
long they are, with a great letter or a small one before, a full stop or a comma behind. Each backs off to the next
coarser (interpolated counts, Jelinek and Mercer 1980). The mean over a row's neighbours, less the mean over its words
some places apart, is its order: the same words in any other order have none, however common they are. It is compared
with the median row's, so that no language, subject or size of corpus is preferred, and with its own noise, so that who
is far above chance need not be like others. Where the median row has none either (rows of one word, all of them
random), nothing is said about anybody; nor about a row of whose words hardly any are known, if they are spelt as words
are (spelling.py): who is alone with his language is paid for it. What stands between spaces counts whole, since the
parts of a name are no sentence. Exact integer arithmetic, so that every machine finds the same.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from math import isqrt
from typing import Any

import numpy as np

from openledger.attribution_oracle.chains import ramp
from openledger.attribution_oracle.near import PPM, WIDE
from openledger.attribution_oracle.plain import normal, unescaped
from openledger.attribution_oracle.spelling import BITS, Whole, elsewhere, log2, spelt_alike

APART = (5, 7, 11, 13)
LETTERS, ENDING, LONG = 3, 2, 9  # letters at a gap, letters of an ending, from which on words are just long
DOUBT = (4, 2, 1, 2, 2, 1)  # of each of ``_sides``: pairs that the coarser look weighs as much as
WAYS = ((0, 1, 2), (3, 5), (4, 5))  # which looks back off to which
FLOOR = 3_300  # of a row's noise: 0.05 bits
LITTLE, ENOUGH = 250_000, 500_000  # ppm of the median row's order below which a row is nobody's, and whole,
SURE = 5 << BITS - 2, 9 << BITS - 2  # but no more than this of its own noise: 1.25 and 2.25
SPELT, HEARD = (200_000, 600_000), (50_000, 150_000)  # ppm
SAYS_FROM, SAYS_FULL = 1 << BITS, 2 << BITS  # the median row's noises of order from which on it counts, and wholly
Look = np.ndarray[Any, np.dtype[np.int32]]
_DIGIT = re.compile(r"\d")


def spoken(texts: Sequence[str], new: Sequence[bool]) -> tuple[int, list[int]]:
    """How far the rows are a language at all, in which words stand in an order, ppm; and how much of each row is none.
    ``new``: rows that count for what language is here; copies do not. What is no language at first sight does not count
    at the second: else random pairs would make all look random."""
    gaps, counts = _Gaps(texts), list(new)
    says, found = _judged(gaps, counts)
    if not any(found):
        return says, found
    foreign = _foreign(texts, gaps, counts)
    found = _but(found, foreign)
    kept = [vouches and not ppm for vouches, ppm in zip(counts, found, strict=True)]
    if kept != counts:
        says, found = _judged(gaps, kept)
        found = _but(found, foreign)
    return says, found


def _foreign(texts: Sequence[str], gaps: _Gaps, counts: Sequence[bool]) -> list[int]:
    """How far each row is of a language that hardly anybody else speaks, ppm: its words are not known, but they are
    spelt as words are. Of such a row the order of words tells nothing."""
    alike, heard = spelt_alike(texts, counts), gaps.heard(counts)
    typical = max(_median([bits for bits, vouches in zip(alike, counts, strict=True) if vouches]), 1)
    spelt = [ramp(max(bits, 0) * PPM // typical, *SPELT) for bits in alike]
    return [some * (PPM - ramp(known, *HEARD)) // PPM for some, known in zip(spelt, heard, strict=True)]


def _but(found: Sequence[int], foreign: Sequence[int]) -> list[int]:
    return [ppm * (PPM - some) // PPM for ppm, some in zip(found, foreign, strict=True)]


def _judged(gaps: _Gaps, counts: Sequence[bool]) -> tuple[int, list[int]]:
    found = gaps.orders(counts)
    vouching = [pair for pair, vouches in zip(found, counts, strict=True) if vouches]
    says = ramp(_median([(order << BITS) // noise for order, noise in vouching]), SAYS_FROM, SAYS_FULL)
    if not says:
        return 0, [0] * len(found)
    typical = max(_median([order for order, _ in vouching]), FLOOR)
    parts = [(typical * part // PPM, sure) for part, sure in zip((LITTLE, ENOUGH), SURE, strict=True)]
    ramps = [(order, *(min(part, sure * noise >> BITS) for part, sure in parts)) for order, noise in found]
    return says, [says * (PPM - ramp(*one)) // PPM for one in ramps]


def _median(values: Sequence[int]) -> int:
    return sorted(values)[len(values) // 2] if values else 0


def _tokens(text: str) -> list[str]:
    """What stands between spaces, digits all alike; scripts without spaces give a token a sign."""
    return WIDE.sub(r" \1 ", _DIGIT.sub("0", normal("NFKC", unescaped(text)))).split()


def _sides(token: str) -> tuple[tuple[Hashable, Hashable], ...]:
    """What is looked at of a token before the gap and after it, for each of ``DOUBT``: the word, its letters and kinds
    of sign at the gap, its ending, its length, and the kinds of its first and last sign."""
    word, first, last = token.casefold(), _kind(token[0]), _kind(token[-1])
    ending = word[-1:] if "\uac00" <= word[-1] <= "\ud7a3" else word[-ENDING:]  # a Korean syllable is several letters
    alike = ((first, ending), (first, last, min(len(token), LONG)), (first, last))
    return (word, word), (word[-LETTERS:], word[:LETTERS]), (last, first), *((side, side) for side in alike)


def _kind(sign: str) -> str:
    return "0" if sign.isdigit() else ("A" if sign.isupper() else "a") if sign.isalpha() else sign


class _Gaps:
    """All places of all rows where one token stands before another: side by side first, then some places apart."""

    def __init__(self, texts: Sequence[str]) -> None:
        rows = [_tokens(text) for text in texts]
        sizes = np.array([len(row) for row in rows], dtype=np.int64)
        left_over = np.concatenate([np.arange(size)[::-1] for size in sizes]) if len(rows) else np.zeros(0, np.int64)
        starts = [np.flatnonzero(left_over >= apart) for apart in (1, *APART)]
        before = np.concatenate(starts)
        after = before + np.repeat((1, *APART), [len(some) for some in starts])
        self.rows, self.near = len(rows), len(starts[0])
        self.row: Whole = np.repeat(np.arange(len(rows)), sizes)[before]
        sides = [_sides(token) for row in rows for token in row]
        self.looks: list[tuple[Look, Look, Look]] = []
        for level in range(len(DOUBT)):
            left = _numbers([side[level][0] for side in sides])[before]
            right = _numbers([side[level][1] for side in sides])[after]
            both = np.unique(left * (np.max(right, initial=0) + 1) + right, return_inverse=True)[1]
            self.looks.append((both.astype(np.int32), left.astype(np.int32), right.astype(np.int32)))

    def orders(self, counts: Sequence[bool]) -> list[tuple[int, int]]:
        """How far each row's neighbours are above chance, and how large the noise of that is, in bits times 2^16; the
        rows in ``counts`` tell what chance is, each to the others."""
        told = np.flatnonzero(np.array(counts, dtype=bool)[self.row[: self.near]])
        every = len(told) - np.bincount(self.row[told], minlength=self.rows)[self.row]
        ways, near = [self._likelier(way, told, every) for way in WAYS], self.near
        values = np.add.reduce(ways) // len(WAYS)
        here = [_sums(self.row[part], values[part], self.rows) for part in (slice(near), slice(near, None))]
        squares = _sums(self.row, values * values, self.rows)[1]
        return [_order(*numbers) for numbers in zip(*here[0], *here[1], squares, strict=True)]

    def _likelier(self, way: Sequence[int], told: Whole, every: Whole) -> Whole:
        """For each place how much likelier the second is there than anywhere, in bits times 2^16; ``way``: looks."""
        ratio = np.full(len(self.row), 1 << BITS, dtype=np.int64)
        for look in reversed(way):
            pairs, left, right = (elsewhere(self.row, what, told) for what in self.looks[look])
            finer = (pairs * ((every << BITS) // np.maximum(right, 1)) + DOUBT[look] * ratio) // (left + DOUBT[look])
            ratio = np.where(right > 0, finer, ratio)
        return log2(np.maximum(ratio, 1))

    def heard(self, counts: Sequence[bool]) -> list[int]:
        """Of each row's neighbours those of which other rows that count have said both words, ppm."""
        told, near = np.flatnonzero(np.array(counts, dtype=bool)[self.row[: self.near]]), slice(self.near)
        both = [elsewhere(self.row, side, told)[near] > 0 for side in self.looks[0][1:]]
        known = np.bincount(self.row[near][both[0] & both[1]], minlength=self.rows)
        every = np.bincount(self.row[near], minlength=self.rows)
        return [int(one) * PPM // max(int(of), 1) for one, of in zip(known, every, strict=True)]


def _numbers(names: Sequence[Hashable]) -> Whole:
    ids: dict[Hashable, int] = {}
    return np.array([ids.setdefault(name, len(ids)) for name in names], dtype=np.int64)


def _sums(rows: Whole, values: Whole, count: int) -> tuple[list[int], list[int]]:
    """How many values each row has, and their sum."""
    sums = np.zeros(count, dtype=np.int64)
    np.add.at(sums, rows, values)
    return np.bincount(rows, minlength=count).tolist(), sums.tolist()


def _order(near: int, near_sum: int, far: int, far_sum: int, squares: int) -> tuple[int, int]:
    if not near or not far:
        return 0, FLOOR
    spread = (squares - (near_sum + far_sum) ** 2 // (near + far)) // (near + far)
    return (near_sum * far - far_sum * near) // (near * far), isqrt(spread // near) + FLOOR


__all__ = ["spoken"]

"""Text that a chain has said: each letter one that has followed those before it somewhere in earlier rows.

Of a row's runs that nobody had, though both their shorter parts were said, it is looked at how long they are. A person
says something new at every length, a chain that knows ``m`` signs in a row never below: what it brings is longer.
How much likelier the row's counts are so than as the rows before (a likelihood ratio of multinomials, whatever the
number) is its evidence, in bits; and how many more than usual are one sign longer than what the chain knows, since rows
of which much was said before have few of all. Integers throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

PPM = 1_000_000
BITS = 16  # behind the point
LEAK = 15  # percent of the usual that is shorter, in a chain
RECENT = 64  # rows that say what is usual, or half of all
WHOLE, DOUBTED = 1_024, 512  # what a row counts for that, and one that a chain has said
ENOUGH, EARLY = 100, 16  # new runs, and rows, of those from which on anything is said
LITTLE, MOST = 2, 98  # percent of the usual that is shorter, between which a chain can be told
MORE, EXCESS = 78_760, 122_914  # log2 of 2.3, and 1.3 / ln 2: so many more than usual in a chain, times 2^16
SPIKE = 8 << BITS  # bits of that, counted twice, at the most
FROM, FULL = 20 << BITS, 30 << BITS
SIZE = 25  # log2 of the places at which a run may stand
_MIX, _STEP = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
Places = np.ndarray[Any, np.dtype[np.uint64]]


class Chains:
    """Runs of up to ``longest`` signs of the rows so far. A chain is sought that knows ``knows[0]`` signs in a row, or
    more, up to ``knows[1]``."""

    def __init__(self, longest: int, knows: tuple[int, int]) -> None:
        self._knows = range(knows[0], knows[1] + 1)
        self._said = np.zeros((longest + 1, 1 << SIZE - 3), dtype=np.uint8)  # runs, a bit each, by their hash
        self._usual, self._signs = [0] * (longest + 1), 0  # new runs of recent rows by length, and signs; in 1024ths
        self._rows = 0

    def look(self, signs: Sequence[int]) -> tuple[int, Look]:
        """How much of a row of these signs a chain has said, ppm, and what ``add`` takes."""
        places, new = self._places(signs), [0]
        known = [self._has(size, at) for size, at in enumerate(places)]
        for size in range(1, len(known)):
            shorter = known[size - 1][:-1] & known[size - 1][1:] if size > 1 else np.ones(len(signs), dtype=bool)
            count = max(len(signs) - size + 1, 0)
            fresh = ~known[size][:count] & shorter[:count]
            new.append(len(np.unique(places[size][:count][fresh])))
        every = sum(self._usual)
        if every < ENOUGH * WHOLE or self._rows < EARLY:
            return 0, (places, new, len(signs))
        most = max(self._evidence(size, new, every, len(signs)) for size in self._knows)
        return ramp(most, FROM, FULL), (places, new, len(signs))

    def add(self, looked: Look, own: bool) -> None:
        """The row that was looked at is one of those so far; its runs are said only if it is its ``own``."""
        places, new, signs = looked
        if own:
            for size, at in enumerate(places):
                np.bitwise_or.at(self._said[size], (at >> np.uint64(3)).astype(np.int64), _bit(at))
        self._rows += 1
        recent, counts = max(RECENT, self._rows // 2), WHOLE if own else DOUBTED
        self._usual = [old - old // recent + count * counts for old, count in zip(self._usual, new, strict=True)]
        self._signs += signs * counts - self._signs // recent

    def _evidence(self, size: int, new: Sequence[int], every: int, signs: int) -> int:
        """Bits that a chain which knows ``size`` signs has said it, times 2^16."""
        shorter, here = sum(self._usual[: size + 1]), sum(new[: size + 1])
        if not LITTLE * every < 100 * shorter < MOST * every:
            return 0
        longer = log2(((100 * every - LEAK * shorter) << BITS) // (100 * (every - shorter)))
        found = here * log2((LEAK << BITS) // 100) + (sum(new) - here) * longer
        usual = (self._usual[size + 1] * signs * EXCESS) // self._signs
        return found + 2 * min(MORE * new[size + 1] - usual, SPIKE)

    def _places(self, signs: Sequence[int]) -> list[Places]:
        """Where the run of each length that begins at each sign stands."""
        mixed = (np.array(signs, dtype=np.uint64) + np.uint64(1)) * _MIX
        mixed ^= mixed >> np.uint64(29)
        runs, places = np.zeros(len(mixed), dtype=np.uint64), [np.zeros(0, dtype=np.uint64)]
        for size in range(1, len(self._said)):
            runs = runs[: max(len(mixed) - size + 1, 0)] * _STEP + mixed[size - 1 :]
            places.append((runs ^ runs >> np.uint64(31)) * _MIX >> np.uint64(64 - SIZE))
        return places

    def _has(self, size: int, at: Places) -> np.ndarray[Any, np.dtype[np.bool_]]:
        return np.asarray(self._said[size][(at >> np.uint64(3)).astype(np.int64)] & _bit(at) > 0)


Look = tuple[list[Places], list[int], int]


def _bit(at: Places) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.asarray(np.uint8(1) << (at & np.uint64(7)).astype(np.uint8), dtype=np.uint8)


def ramp(share: int, begin: int, full: int) -> int:
    """0 up to ``begin``, 1,000,000 from ``full`` on, straight between; all in one unit."""
    return min(max(share - begin, 0) * PPM // (full - begin), PPM)


def log2(number: int) -> int:
    """Of ``number`` / 2^16, times 2^16; between the powers of two a parabola (at most 0.01 off)."""
    whole = number.bit_length() - 1
    part = (number << BITS >> whole) - (1 << BITS)
    return (whole - BITS << BITS) + part + (22_532 * part >> BITS) * ((1 << BITS) - part) // (1 << BITS)


__all__ = ["BITS", "DOUBTED", "EARLY", "PPM", "RECENT", "WHOLE", "Chains", "Look", "log2", "ramp"]

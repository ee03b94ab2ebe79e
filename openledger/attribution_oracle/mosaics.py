"""Text put together from what was said: of pieces of earlier rows, however short, or of their words in no order of
theirs.

*Pieces*: a person says words that stand in no known run of two, three or four; a mosaic, or a chain of words, never
does. *Strangers*: of neighbours that were both said before, a person's have often stood side by side; words that a
dictionary has put in others' places have not. Both are told by how much likelier the row's counts are so than as in the
rows before (a likelihood ratio, in bits; that of pieces once a run, as its words are not each by themselves). What was
so put together says nothing of others. Integers throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from openledger.attribution_oracle.chains import BITS, DOUBTED, EARLY, RECENT, WHOLE, log2, ramp

SIZES = (2, 3, 4)
LEAK, STRANGE = 15, 20  # percent of the usual that is in no known run in a mosaic; that have met among strangers
LITTLE, MOST = 2, 98  # percent of the usual between which either can be told
OFTEN = 40  # percent that are taken to have met, at the most: forms say the same again, and must not make prose strange
PIECES, STRANGERS = (12 << BITS, 16 << BITS), (6 << BITS, 10 << BITS)  # from where, and where wholly
Run = tuple[int, ...]


@dataclass
class Usual:
    """How many of how many, in recent rows; in 1024ths."""

    some: int = 0
    every: int = 0

    def add(self, some: int, every: int, weight: int, recent: int) -> None:
        self.some += some * weight - self.some // recent
        self.every += every * weight - self.every // recent

    def evidence(self, some: int, every: int, percent: int, most: int = 100) -> int:
        """Bits that in a row only ``percent`` of the usual part are, times 2^16, which is ``most`` percent at the most;
        0 where nothing can be told."""
        if not LITTLE * self.every < 100 * self.some < MOST * self.every:
            return 0
        part = min(self.some, self.every * most // 100)
        others = log2(((100 * self.every - percent * part) << BITS) // (100 * (self.every - part)))
        return some * log2((percent << BITS) // 100) + (every - some) * others


@dataclass(frozen=True)
class Put:
    """What is counted of a row: its runs, words in no known run of each size, neighbours known, and those that met."""

    runs: tuple[set[Run], ...]
    words: int
    bare: tuple[int, ...]
    neighbours: int
    met: int


@dataclass
class Mosaics:
    """The rows so far, as words."""

    _said: tuple[set[Run], ...] = field(default_factory=lambda: tuple(set[Run]() for _ in (1, *SIZES)))
    _bare: tuple[Usual, ...] = field(default_factory=lambda: tuple(Usual() for _ in SIZES))
    _met: Usual = field(default_factory=Usual)
    _rows: int = 0

    def look(self, words: Sequence[int]) -> tuple[int, Put]:
        """How much of a row of these words is put together, ppm, and what ``add`` takes."""
        runs = tuple(_runs(words, size) for size in (1, *SIZES))
        bare = tuple(_bare(words, size, self._said[at]) for at, size in enumerate(SIZES, 1))
        known = [pair for pair in runs[1] if {pair[:1], pair[1:]} <= self._said[0]]
        put = Put(runs, len(words), bare, len(known), sum(pair in self._said[1] for pair in known))
        if self._rows < EARLY:
            return 0, put
        counted = zip(self._bare, bare, SIZES, strict=True)
        pieces = max(usual.evidence(some, len(words), LEAK) // size for usual, some, size in counted)
        strange = self._met.evidence(put.met, put.neighbours, STRANGE, OFTEN)
        return max(ramp(pieces, *PIECES), ramp(strange, *STRANGERS)), put

    def add(self, put: Put, own: bool) -> None:
        """The row that was looked at is one of those so far; its runs are said only if it is its ``own``."""
        if not put.words:
            return
        self._rows += 1
        recent, weight = max(RECENT, self._rows // 2), WHOLE if own else DOUBTED
        for usual, some in zip(self._bare, put.bare, strict=True):
            usual.add(some, put.words, weight, recent)
        self._met.add(put.met, put.neighbours, weight, recent)
        if own:
            for said, runs in zip(self._said, put.runs, strict=True):
                said |= runs


def _runs(words: Sequence[int], size: int) -> set[Run]:
    return {tuple(words[at : at + size]) for at in range(len(words) - size + 1)}


def _bare(words: Sequence[int], size: int, said: set[Run]) -> int:
    """How many words stand in no known run of this size."""
    covered = reached = 0
    for at in range(len(words) - size + 1):
        if tuple(words[at : at + size]) in said:
            covered += at + size - max(at, reached)
            reached = at + size
    return len(words) - covered


__all__ = ["Mosaics", "Put"]

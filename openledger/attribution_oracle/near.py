"""Who said it first: how much of a row's text was already there when it was committed, and in whose row.

Everything is exact integer arithmetic over words, so that every machine finds the same. Two measures, the stronger one
counts. *Runs*: the share of a row's four-word runs that earlier rows had, each run credited to the first row with it;
copies with noise around them, shuffled sentences and mosaics of many rows are found. *Pairs*: the share of a row's
two-word runs that one earlier row of comparable size has; paraphrases are found whose every fourth word differs.

What a row says again and again is known as well, from itself, and no part of anybody's row; nor is a row that is no
language beside the others (prose.py).

A row of which nothing is new owns no run, so a thousand copies neither hide their source among themselves
nor pull honest rows into their cluster: what is compared is always the first row, and there are no chains.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from openledger.attribution_oracle.prose import PPM, WIDE, disorder, ramp

RUN, PAIR = 4, 2
RUNS_FROM, RUNS_FULL = 250_000, 500_000  # ppm of known runs at which credit begins to pass on, and is passed on whole
PAIRS_FROM, PAIRS_FULL = 300_000, 500_000
LONGER = 4  # a source may have this many times the pairs of the row; beyond, its part counts less
HOLDERS = 16  # of one pair, the earliest
AGAIN_FROM, AGAIN_FULL = 500_000, 750_000  # ppm of pairs that the row itself has had
CANDIDATES = 4
_WORD = re.compile(r"[^\W_]+")


def words_of(text: str) -> list[str]:
    """Words without case, accents of presentation and punctuation; scripts without spaces give a word a sign."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return _WORD.findall(WIDE.sub(r" \1 ", plain))


@dataclass(frozen=True)
class Known:
    """How much of a row is not its own: ``ppm`` of it, divided by ``sources`` (row number, weight), or nobody's."""

    ppm: int
    sources: tuple[tuple[int, int], ...]


NEW = Known(0, ())


@dataclass
class FirstCommits:
    """The rows committed so far. ``add`` them in commit order."""

    _ids: dict[str, int] = field(default_factory=dict)
    _owner: dict[tuple[int, ...], int] = field(default_factory=dict)
    _holders: dict[tuple[int, ...], list[int]] = field(default_factory=dict)
    _pairs: dict[int, frozenset[tuple[int, ...]]] = field(default_factory=dict)

    def add(self, row: int, text: str) -> Known:
        """What of ``text`` was known before; then the row is part of what is known, unless nothing of it is new."""
        words = [self._ids.setdefault(word, len(self._ids)) for word in words_of(text)]
        runs, pairs = _shingles(words, RUN), _shingles(words, PAIR)
        again = Known(ramp((len(words) - 1 - len(pairs)) * PPM // max(len(words) - 1, 1), AGAIN_FROM, AGAIN_FULL), ())
        found = max(self._by_runs(runs), self._by_pairs(pairs), again, key=lambda k: k.ppm)
        if found.ppm < PPM:
            for run in runs:
                self._owner.setdefault(run, row)
            self._pairs[row] = frozenset(pairs)
            for pair in pairs:
                holders = self._holders.setdefault(pair, [])
                if len(holders) < HOLDERS:
                    holders.append(row)
        return found

    def _by_runs(self, runs: Sequence[tuple[int, ...]]) -> Known:
        owners: dict[int, int] = {}
        for run in runs:
            owner = self._owner.get(run)
            if owner is not None:
                owners[owner] = owners.get(owner, 0) + 1
        return _known(owners, len(runs), RUNS_FROM, RUNS_FULL)

    def _by_pairs(self, pairs: Sequence[tuple[int, ...]]) -> Known:
        hits: dict[int, int] = {}
        for pair in pairs:
            for row in self._holders.get(pair, ()):
                hits[row] = hits.get(row, 0) + 1
        best = NEW
        for row in sorted(hits, key=lambda r: (-hits[r], r))[:CANDIDATES]:
            theirs = self._pairs[row]
            shared = sum(pair in theirs for pair in pairs)
            size = max(len(pairs), len(theirs) // LONGER)
            found = _known({row: shared}, size, PAIRS_FROM, PAIRS_FULL)
            best = max(best, found, key=lambda k: k.ppm)
        return best


def _shingles(words: Sequence[int], size: int) -> list[tuple[int, ...]]:
    """Runs of ``size`` words without repetitions, in order; a shorter text is one run."""
    if not words:
        return []
    size = min(size, len(words))
    return list(dict.fromkeys(tuple(words[i : i + size]) for i in range(len(words) - size + 1)))


def _known(owners: dict[int, int], size: int, begin: int, full: int) -> Known:
    ppm = ramp(sum(owners.values()) * PPM // size, begin, full) if size else 0
    return Known(ppm, tuple(sorted(owners.items()))) if ppm else NEW


def known_parts(texts: Sequence[str], order: Sequence[int]) -> list[Known]:
    """For every row what of it was known when it was committed, or is no language (see prose): the larger of both.
    ``order``: row numbers, the earliest first."""
    first = FirstCommits()
    found = [NEW] * len(texts)
    for row in order:
        found[row] = first.add(row, texts[row])
    nobodys = [Known(ppm, ()) for ppm in disorder(texts, [not known.ppm for known in found])]
    return [max(pair, key=lambda known: known.ppm) for pair in zip(found, nobodys, strict=True)]


__all__ = ["NEW", "PPM", "FirstCommits", "Known", "known_parts", "ramp", "words_of"]

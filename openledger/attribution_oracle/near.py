"""Who said it first: how much of a row's text was already there when it was committed, and in whose row.

Everything is exact integer arithmetic over words, so that every machine finds the same. The strongest measure counts.
*Runs*: the share of a row's four-word runs that earlier rows had, each run credited to the first row with it; copies
with noise around them, shuffled sentences and mosaics of many rows are found; the same of every second word and every
third, as rows may be mixed word by word; and the share of its words that stand in such runs. *Letters*: the same with
runs of twenty letters, whatever stands between them. *Pairs*: the share of a row's two-word runs that one earlier row
of comparable size has; paraphrases are found whose every fourth word differs. *Words*: the share of its words, the rare
ones counting more, that one such row has, in whatever order. *Forms*: the share of its runs of twelve words that
earlier rows had in other signs, or in other words (forms.py). A row whose letters a chain has said is nobody's, and one
put together from pieces of others (chains.py, mosaics.py).

Words are compared as plain.py has them, and their letters in whatever order. Where a script has no spaces, two signs
stand for a word: four signs in a row are in any two texts of such a language.

What a row says again and again is known as well, from itself, and no part of anybody's row; nor is a row that is no
language beside the others (prose.py).

A row of which nothing is new owns no run, so a thousand copies neither hide their source among themselves nor pull
honest rows into their cluster: what is compared is always the first row, and there are no chains.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar

from openledger.attribution_oracle.chains import Chains, ramp
from openledger.attribution_oracle.forms import Forms, written
from openledger.attribution_oracle.mosaics import Mosaics
from openledger.attribution_oracle.plain import plain_of

PPM = 1_000_000
WIDE = re.compile("([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])")
RUN, PAIR = 4, 2
VOWELS = str.maketrans("", "", "aeiou")
STRIDES = (2, 3)  # rows that one row may hold word by word
RUNS_FROM, RUNS_FULL = 250_000, 500_000  # ppm of known runs at which credit begins to pass on, and is passed on whole
COVERED_FROM, COVERED_FULL = 600_000, 850_000  # ppm of words that stand in known runs
PAIRS_FROM, PAIRS_FULL = 300_000, 500_000
LONGER = 4  # a source may have this many times the pairs of the row; beyond, its part counts less
WORDS_FROM, WORDS_FULL = 600_000, 800_000
RARE = PPM // 8  # what a row's words weigh on average, at the least
LETTERS, SAMPLE = 20, 4  # letters of a run; one run in so many is looked at, by its text
LETTERS_FROM, LETTERS_FULL = 500_000, 800_000
HOLDERS = 16  # of one pair, or word, the earliest
FORMS_FROM, FORMS_FULL = 100_000, 300_000
AGAIN_FROM, AGAIN_FULL = 500_000, 750_000  # ppm of pairs that the row itself has had
CHAINED_LETTERS = (9, (3, 7))  # longest runs, signs that a chain may know in a row
ALPHABET = 12  # different signs of a row from which on its letters can be a chain's
CANDIDATES = 4
_WORD = re.compile(r"[^\W_]+")


def words_of(text: str) -> list[str]:
    """Words without case, accents, punctuation, invisible signs, and other scripts' letters for Latin ones; scripts
    without spaces give a word a sign."""
    return _words(plain_of(text))


def _words(plain: str) -> list[str]:
    return _WORD.findall(WIDE.sub(r" \1 ", plain))


Run = tuple[int, ...]
Laid = tuple[Run, range]
"""A run, and where its words stand in the row."""
Key = TypeVar("Key", Run, str)


@dataclass(frozen=True)
class Known:
    """How much of a row is not its own: ``ppm`` of it, divided by ``sources`` (row number, weight), or nobody's.
    ``words``: how many it has, 0 where nobody asked."""

    ppm: int
    sources: tuple[tuple[int, int], ...]
    words: int = 0


NEW = Known(0, ())


@dataclass
class FirstCommits:
    """The rows committed so far. ``add`` them in commit order. ``chained``: how much of each row a chain has said, ppm,
    if the rows are a language."""

    chained: dict[int, int] = field(default_factory=dict)
    _ids: dict[str, int] = field(default_factory=dict)
    _owner: dict[Run, int] = field(default_factory=dict)
    _letters: dict[str, int] = field(default_factory=dict)
    _holders: dict[Run, list[int]] = field(default_factory=dict)
    _singles: set[Run] = field(default_factory=set)
    _forms: Forms = field(default_factory=Forms)
    _chains: Chains = field(default_factory=lambda: Chains(*CHAINED_LETTERS))
    _mosaics: Mosaics = field(default_factory=Mosaics)
    _rows: dict[int, tuple[frozenset[Run], frozenset[Run]]] = field(default_factory=dict)

    def add(self, row: int, text: str) -> Known:
        """What of ``text`` was known before; then the row is part of what is known, unless nothing of it is new."""
        plain = plain_of(text)
        said = _words(plain)
        stirred = [_stirred(word) for word in said]
        words = [self._ids.setdefault(word, len(self._ids)) for word in stirred]
        worth = _worth(said)
        single, two = (_ends(worth, size) for size in (1, PAIR))
        bones, weights = self._bones(stirred)
        laid = [_laid(bones, weights, by) for by in (1, *STRIDES)]
        once, *strided = ([run for part in parts for run in dict.fromkeys(run for run, _ in part)] for parts in laid)
        runs = once or ([tuple(bones)] if bones else [])
        pairs, letters = _shingles(words, two), _sampled("".join(said))
        own = sorted({tuple(words[start:end]) for start, end in enumerate(single)})
        self._singles.update(own)
        form, wide = written(plain, said), _is_wide(said)
        letters_chained, look = self._chains.look([] if wide else _spelt(said))
        put_together, put = self._mosaics.look([] if wide else words)
        again = Known(ramp((len(two) - len(pairs)) * PPM // max(len(two), 1), AGAIN_FROM, AGAIN_FULL), ())
        found = max(
            _by_owner(runs, self._owner, RUNS_FROM, RUNS_FULL),
            *(_by_owner(some, self._owner, RUNS_FROM, RUNS_FULL) for some in strided),
            self._covered(laid, len(bones)),
            _by_owner(letters, self._letters, LETTERS_FROM, LETTERS_FULL),
            self._by_pairs(pairs),
            self._by_words(own),
            *(_known(*forms, FORMS_FROM, FORMS_FULL) for forms in self._forms.known(form)),
            again,
            key=lambda k: k.ppm,
        )
        if found.ppm < PPM or found.sources:
            first = row if found.ppm < PPM else max(found.sources, key=lambda source: source[1])[0]
            for some in letters:  # a copy of a copy, spaces left out, is one of the first
                self._letters.setdefault(some, first)
        if found.ppm < PPM:
            for run in runs:
                self._owner.setdefault(run, row)
            self._forms.add(row, form)
            self._rows[row] = frozenset(pairs), frozenset(own)
            for shingle in dict.fromkeys([*pairs, *own]):
                holders = self._holders.setdefault(shingle, [])
                if len(holders) < HOLDERS:
                    holders.append(row)
            self._chains.add(look, letters_chained < PPM)  # what a chain has said says nothing of others, and can be
            self._mosaics.add(put, put_together < PPM)  # copied
        self.chained[row] = max(letters_chained, put_together)
        return found

    def _bones(self, stirred: Sequence[str]) -> tuple[list[int], list[int]]:
        """The words without vowels, as numbers, and their half words; what is nothing but vowels is left out."""
        bones = [word.translate(VOWELS) for word in stirred]
        kept = [bone for bone in bones if bone]
        return [self._ids.setdefault(bone, len(self._ids)) for bone in kept], _worth(kept)

    def _covered(self, laid: Sequence[Sequence[Sequence[Laid]]], words: int) -> Known:
        """The share of the words that stand in known runs, be it of every second or third word."""
        owners, covered = dict[int, int](), set[int]()
        for run, at in chain.from_iterable(chain.from_iterable(laid)):
            owner = self._owner.get(run)
            if owner is not None:
                places = set(at) - covered
                owners[owner] = owners.get(owner, 0) + len(places)
                covered |= places
        return _known(owners, words, COVERED_FROM, COVERED_FULL)

    def _by_pairs(self, pairs: Sequence[Run]) -> Known:
        best = NEW
        for row in self._best(dict.fromkeys(pairs, 1)):
            theirs = self._rows[row][0]
            shared = sum(pair in theirs for pair in pairs)
            size = max(len(pairs), len(theirs) // LONGER)
            best = max(best, _known({row: shared}, size, PAIRS_FROM, PAIRS_FULL), key=lambda k: k.ppm)
        return best

    def _by_words(self, words: Sequence[Run]) -> Known:
        """A word weighs one over the rows that have had it; those that ``HOLDERS`` rows have had weigh nothing, and
        where nearly all are such, their order must tell."""
        often = {word: len(self._holders.get(word, ())) for word in words}
        weights = {word: PPM // max(rows, 1) for word, rows in often.items() if rows < HOLDERS}
        rare, best = max(sum(weights.values()), len(words) * RARE), NEW
        for row in self._best(weights):
            theirs = self._rows[row][1]
            shared = sum(weight for word, weight in weights.items() if word in theirs)
            size = rare * max(len(words), len(theirs) // LONGER) // len(words)
            others = len(self._singles) - len(theirs)  # words that it lacks: what it has beyond chance counts
            beyond = max(shared * len(self._singles) - size * len(theirs), 0)
            best = max(best, _known({row: beyond}, size * others, WORDS_FROM, WORDS_FULL), key=lambda k: k.ppm)
        return best

    def _best(self, weights: Mapping[Run, int]) -> list[int]:
        """The rows that share most with these, by weight."""
        hits: dict[int, int] = {}
        for shingle, weight in weights.items():
            for row in self._holders.get(shingle, ()):
                hits[row] = hits.get(row, 0) + weight
        return sorted(hits, key=lambda r: (-hits[r], r))[:CANDIDATES]


def _by_owner(runs: Sequence[Key], owned: Mapping[Key, int], begin: int, full: int) -> Known:
    owners: dict[int, int] = {}
    for run in runs:
        owner = owned.get(run)
        if owner is not None:
            owners[owner] = owners.get(owner, 0) + 1
    return _known(owners, len(runs), begin, full)


def _sampled(letters: str) -> list[str]:
    """Some of the runs of letters, the same wherever they stand; a shorter text is one run."""
    runs = dict.fromkeys(letters[i : i + LETTERS] for i in range(max(len(letters) - LETTERS, 0) + 1))
    return [run for run in runs if len(letters) <= LETTERS or not zlib.crc32(run.encode()) % SAMPLE]


def _stirred(word: str) -> str:
    """The letters of a word in the order of the alphabet: in whatever order they stand, it is the same word."""
    return word if word.isdigit() else "".join(sorted(word))


def _worth(said: Sequence[str]) -> list[int]:
    """Half words: signs of scripts without spaces are one."""
    return [1 if WIDE.fullmatch(word) else 2 for word in said]


def _laid(words: Sequence[int], worth: Sequence[int], by: int) -> list[list[Laid]]:
    """The runs of every ``by``-th word from the first on, from the second on, and so on."""
    return [
        [
            (tuple(words[first + start * by : first + end * by : by]), range(first + start * by, first + end * by, by))
            for start, end in enumerate(_ends(worth[first::by], RUN))
        ]
        for first in range(by)
    ]


def _ends(worth: Sequence[int], size: int) -> list[int]:
    """Where a run of ``size`` words ends that begins at the first word, at the second, as far as there are such runs;
    ``worth``: half words, of which signs of scripts without spaces are one."""
    ends, end, held = list[int](), 0, 0
    for first in worth:
        while held < 2 * size and end < len(worth):
            held += worth[end]
            end += 1
        if held < 2 * size:
            break
        ends.append(end)
        held -= first
    return ends


def size_of(text: str) -> int:
    """How many words a text has; signs of scripts without spaces are half a word each."""
    return (sum(1 if WIDE.fullmatch(word) else 2 for word in words_of(text)) + 1) // 2


def _shingles(words: Sequence[int], ends: Sequence[int]) -> list[Run]:
    """The runs without repetitions, in order; a shorter text is one run."""
    runs = [tuple(words[start:end]) for start, end in enumerate(ends)]
    return list(dict.fromkeys(runs)) or ([tuple(words)] if words else [])


def _is_wide(said: Sequence[str]) -> bool:
    """Of a script without spaces, whose signs are words."""
    return 3 * sum(1 for word in said if WIDE.fullmatch(word)) > len(said)


def _spelt(said: Sequence[str]) -> list[int]:
    """The signs of the words, a space between them, digits all alike; none where there are few, as in genes."""
    signs = [ord("0") if sign.isdigit() else ord(sign) for sign in " ".join(said)]
    return [] if len(set(signs)) < ALPHABET else signs


def _known(owners: dict[int, int], size: int, begin: int, full: int) -> Known:
    ppm = ramp(sum(owners.values()) * PPM // size, begin, full) if size else 0
    return Known(ppm, tuple(sorted(owners.items()))) if ppm else NEW


__all__ = [
    "NEW",
    "PPM",
    "WIDE",
    "FirstCommits",
    "Known",
    "size_of",
    "words_of",
]

"""Who said it first: how much of a row's text was already there when it was committed, and in whose row.

Everything is exact integer arithmetic over words, so that every machine finds the same. Of five measures the strongest
counts. *Runs*: the share of a row's four-word runs that earlier rows had, each run credited to the first row with it;
copies with noise around them, shuffled sentences and mosaics of many rows are found. *Letters*: the same with runs of
twenty letters, whatever stands between them. *Pairs*: the share of a row's two-word runs that one earlier row of
comparable size has; paraphrases are found whose every fourth word differs. *Words*: the share of its words, the rare
ones counting more, that one such row has, in whatever order. *Forms*: the share of its runs of twelve words that
earlier rows had in other signs (forms.py). A row whose letters or words a chain has said is nobody's (chains.py).

Words are compared without case, accents, invisible signs, and the difference between letters that look alike. Where a
script has no spaces, two signs stand for a word: four signs in a row are in any two texts of such a language.

What a row says again and again is known as well, from itself, and no part of anybody's row; nor is a row that is no
language beside the others (prose.py).

A row of which nothing is new owns no run, so a thousand copies neither hide their source among themselves
nor pull honest rows into their cluster: what is compared is always the first row, and there are no chains.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from openledger.attribution_oracle.chains import Chains
from openledger.attribution_oracle.forms import Forms, written

PPM = 1_000_000
WIDE = re.compile("([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])")
RUN, PAIR = 4, 2
RUNS_FROM, RUNS_FULL = 250_000, 500_000  # ppm of known runs at which credit begins to pass on, and is passed on whole
PAIRS_FROM, PAIRS_FULL = 300_000, 500_000
LONGER = 4  # a source may have this many times the pairs of the row; beyond, its part counts less
WORDS_FROM, WORDS_FULL = 600_000, 800_000
RARE = PPM // 8  # what a row's words weigh on average, at the least
LETTERS, SAMPLE = 20, 4  # letters of a run; one run in so many is looked at, by its text
LETTERS_FROM, LETTERS_FULL = 500_000, 800_000
HOLDERS = 16  # of one pair, or word, the earliest
FORMS_FROM, FORMS_FULL = 100_000, 300_000
AGAIN_FROM, AGAIN_FULL = 500_000, 750_000  # ppm of pairs that the row itself has had
CHAINED_LETTERS, CHAINED_WORDS = (9, (3, 7)), (6, (2, 4))  # longest runs, signs that a chain may know in a row
ALPHABET = 12  # different signs of a row from which on its letters can be a chain's
CANDIDATES = 4
_WORD = re.compile(r"[^\W_]+")
_PIECE = re.compile(r"\S{1,512}")
NEWER = re.compile(
    "[\u0cf3\u0ece\u2ffc-\u2fff\u31ef\U00010efd-\U00010eff\U0001123f-\U00011241\U00011b00-\U00011b09"
    "\U00011f00-\U00011f10\U00011f12-\U00011f3a\U00011f3e-\U00011f59\U0001342f\U00013439-\U00013455"
    "\U0001b132\U0001b155\U0001d2c0-\U0001d2d3\U0001df25-\U0001df2a\U0001e030-\U0001e06d\U0001e08f"
    "\U0001e4d0-\U0001e4f9\U0001f6dc\U0001f774-\U0001f776\U0001f77b-\U0001f77f\U0001f7d9"
    "\U0001fa75-\U0001fa77\U0001fa87-\U0001fa88\U0001faad-\U0001faaf\U0001fabb-\U0001fabd\U0001fabf"
    "\U0001face-\U0001facf\U0001fada-\U0001fadb\U0001fae8\U0001faf7-\U0001faf8\U0002b739"
    "\U0002ebf0-\U0002ee5d\U00031350-\U000323af]"
)
"""Signs that Unicode has had since version 15.0 or 15.1: Python 3.11 does not know them, later ones do, and what is pay
must not hang on which of them a validator runs. They are signs of no kind."""
NO_SIGN = "\uffff"
_UNSEEN = ("Mn", "Me", "Cf")  # marks on letters, and signs that show nothing (Unicode general categories)
_FILLERS = "\u115f\u1160"  # Korean letters that show nothing, after NFKD
ALIKE = str.maketrans(
    "авекмнорстухіјѕԁԛԝһӏαβεζηικμνορτυχօոսհցɑɡɩı℮ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ",
    "abekmhopctyxijsdqwhlabezhikmnoptyxonuhgagiieabcdefghijklmnoprstuvwyz",
)
"""Letters, small or great, that look like a Latin one (of Unicode TR 39, the common ones): Cyrillic, Greek, Armenian,
phonetic, and small capitals."""


def words_of(text: str) -> list[str]:
    """Words without case, accents, punctuation, invisible signs, and other scripts' letters for Latin ones; scripts
    without spaces give a word a sign."""
    return _words(plain_of(text))


def plain_of(text: str) -> str:
    """A text without case, accents and invisible signs, with Latin letters for those that look alike."""
    if not text.isascii():
        parts = normal("NFKD", text)
        seen = (c for c in parts if unicodedata.category(c) not in _UNSEEN and c not in _FILLERS)
        text = "".join(seen).casefold().translate(ALIKE)
    return text.casefold()


def normal(form: Literal["NFKC", "NFKD"], text: str) -> str:
    """A text in this normal form of Unicode (UAX 15), its ``NEWER`` signs of no kind; but for spaces, at which nothing
    hangs together, and at most 512 signs at a time, since marks out of order take the square of their number to be
    sorted."""
    return _PIECE.sub(lambda piece: unicodedata.normalize(form, piece.group()), NEWER.sub(NO_SIGN, text))


def _words(plain: str) -> list[str]:
    return _WORD.findall(WIDE.sub(r" \1 ", plain))


Run = tuple[int, ...]
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
    _chains: tuple[Chains, Chains] = field(default_factory=lambda: (Chains(*CHAINED_LETTERS), Chains(*CHAINED_WORDS)))
    _rows: dict[int, tuple[frozenset[Run], frozenset[Run]]] = field(default_factory=dict)

    def add(self, row: int, text: str) -> Known:
        """What of ``text`` was known before; then the row is part of what is known, unless nothing of it is new."""
        plain = plain_of(text)
        said = _words(plain)
        words = [self._ids.setdefault(word, len(self._ids)) for word in said]
        single, two, four = (_ends(said, size) for size in (1, PAIR, RUN))
        runs, pairs, letters = _shingles(words, four), _shingles(words, two), _sampled("".join(said))
        own = sorted({tuple(words[start:end]) for start, end in enumerate(single)})
        self._singles.update(own)
        form, signs = written(plain), (_spelt(said), words)
        looked = [chain.look(some) for chain, some in zip(self._chains, signs, strict=True)]
        again = Known(ramp((len(two) - len(pairs)) * PPM // max(len(two), 1), AGAIN_FROM, AGAIN_FULL), ())
        found = max(
            _by_owner(runs, self._owner, RUNS_FROM, RUNS_FULL),
            _by_owner(letters, self._letters, LETTERS_FROM, LETTERS_FULL),
            self._by_pairs(pairs),
            self._by_words(own),
            _known(*self._forms.known(form), FORMS_FROM, FORMS_FULL),
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
            for chain, (ppm, look) in zip(self._chains, looked, strict=True):
                chain.add(look, ppm < PPM)  # what a chain has said says nothing of others, and can be copied
        self.chained[row] = max(ppm for ppm, _ in looked)
        return found

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


def _ends(said: Sequence[str], size: int) -> list[int]:
    """Where a run of ``size`` words ends that begins at the first word, at the second, as far as there are such runs;
    signs of scripts without spaces are half a word each."""
    worth = [1 if WIDE.fullmatch(word) else 2 for word in said]
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


def _spelt(said: Sequence[str]) -> list[int]:
    """The signs of the words, a space between them, digits all alike; none of scripts without spaces, whose signs are
    words, and none where there are few, as in genes."""
    signs = [ord("0") if sign.isdigit() else ord(sign) for sign in " ".join(said)]
    wide = 3 * sum(1 for word in said if WIDE.fullmatch(word)) > len(said)
    return [] if wide or len(set(signs)) < ALPHABET else signs


def _known(owners: dict[int, int], size: int, begin: int, full: int) -> Known:
    ppm = ramp(sum(owners.values()) * PPM // size, begin, full) if size else 0
    return Known(ppm, tuple(sorted(owners.items()))) if ppm else NEW


def ramp(share: int, begin: int, full: int) -> int:
    """0 up to ``begin``, 1,000,000 from ``full`` on, straight between; all in one unit."""
    return min(max(share - begin, 0) * PPM // (full - begin), PPM)


__all__ = [
    "NEW",
    "PPM",
    "WIDE",
    "FirstCommits",
    "Known",
    "normal",
    "plain_of",
    "ramp",
    "size_of",
    "words_of",
]

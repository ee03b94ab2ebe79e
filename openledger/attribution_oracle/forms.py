"""A text written in other signs: letters exchanged, turned round, doubled, added to every word; or in other words.

Whatever was done to the letters, the words are as long as they were, or longer by the same, or by the same factor. So
what is compared is how long twelve words in a row are, less the shortest of them, divided by what all of them share,
read from either end. In prose no two texts have twelve such words in common by chance; texts after a template do, so a
run counts only where half of its words, numbers aside, stand in no earlier row.

Whatever stands for a word, it stands wherever the word stood. So how far it is to the last place of the same word, and
from one word that is said again to the next, is compared as well, four times in a row; texts after a template have the
same words there, and such a run does not count.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import gcd

WORDS, NEW, KINDS = 12, 6, 4  # words of a run, those that must be new, different lengths at the least
ECHOES, DISTANCES, OTHER = 4, 3, 3  # words said again in a run, different distances, words that must be others
_SIGNS = re.compile(r"[\w$@!]")
Form = tuple[int, ...]


@dataclass(frozen=True)
class Written:
    """The words of a row, without marks, the form of each run that says enough, with where it begins, and the words
    said again with how they follow each other."""

    words: list[str]
    forms: list[tuple[int, Form]]
    echoes: list[tuple[Form, tuple[str, ...]]]


@dataclass
class Forms:
    """Those of the rows so far."""

    _owner: dict[Form, int] = field(default_factory=dict)
    _words: set[str] = field(default_factory=set)
    _echoes: dict[Form, tuple[int, tuple[str, ...]]] = field(default_factory=dict)

    def known(self, row: Written) -> tuple[tuple[dict[int, int], int], tuple[dict[int, int], int]]:
        """How many runs each earlier row had in other signs, and how many runs the row has; and the same of words that
        are said again."""
        return self._by_lengths(row), self._by_echoes(row)

    def _by_echoes(self, row: Written) -> tuple[dict[int, int], int]:
        found: dict[int, int] = {}
        for form, words in row.echoes:
            owner, theirs = self._echoes.get(form, (0, words))
            if sum(mine != other for mine, other in zip(words, theirs, strict=True)) >= OTHER:
                found[owner] = found.get(owner, 0) + 1
        return {owner: runs for owner, runs in found.items() if runs > 1}, len(row.echoes)

    def _by_lengths(self, row: Written) -> tuple[dict[int, int], int]:
        new = [word not in self._words and bool(word) and not word.isdigit() for word in row.words]
        found: dict[int, int] = {}
        for start, form in row.forms:
            owner = self._owner.get(form)
            if owner is not None and sum(new[start : start + WORDS]) >= NEW:
                found[owner] = found.get(owner, 0) + 1
        return found, max(len(row.words) - WORDS + 1, 0)

    def add(self, number: int, row: Written) -> None:
        self._words.update(row.words)
        for _, form in row.forms:
            self._owner.setdefault(form, number)
        for form, words in row.echoes:
            self._echoes.setdefault(form, (number, words))


def written(text: str, said: Sequence[str]) -> Written:
    """The form of a text as ``plain.plain_of`` has it, of which ``said`` are the words."""
    words = ["".join(_SIGNS.findall(token)) for token in text.split()]
    lengths = [len(word) for word in words]
    runs = [(start, _form(lengths[start : start + WORDS])) for start in range(len(words) - WORDS + 1)]
    return Written(words, [(start, form) for start, form in runs if form], _echoes(said))


def _echoes(said: Sequence[str]) -> list[tuple[Form, tuple[str, ...]]]:
    last, again = dict[str, int](), list[tuple[int, int]]()
    for at, word in enumerate(said):
        if word in last:
            again.append((at, at - last[word]))
        last[word] = at
    runs = [again[first : first + ECHOES] for first in range(len(again) - ECHOES + 1)]
    return [
        (tuple(number for at, back in run for number in (at - run[0][0], back)), tuple(said[at] for at, _ in run))
        for run in runs
        if len({back for _, back in run}) >= DISTANCES
    ]


def _form(lengths: Sequence[int]) -> Form:
    """Empty where the lengths are too much the same to say anything."""
    often = Counter(lengths)
    if len(often) < KINDS or 2 * max(often.values()) > WORDS:
        return ()
    least = min(lengths)
    shared = gcd(*(length - least for length in lengths))
    form = tuple((length - least) // shared for length in lengths)
    return min(form, form[::-1])


__all__ = ["WORDS", "Form", "Forms", "Written", "written"]

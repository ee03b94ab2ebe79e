"""A text written in other signs: letters exchanged, turned round, doubled, added to every word.

Whatever was done to the letters, the words are as long as they were, or longer by the same, or by the same factor. So
what is compared is how long twelve words in a row are, less the shortest of them, divided by what all of them share,
read from either end. In prose no two texts have twelve such words in common by chance; texts after a template do, so a
run counts only where half of its words, numbers aside, stand in no earlier row.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import gcd

WORDS, NEW, KINDS = 12, 6, 4  # words of a run, those that must be new, different lengths at the least
_SIGNS = re.compile(r"[\w$@!]")
Form = tuple[int, ...]


@dataclass(frozen=True)
class Written:
    """The words of a row, without marks, and the form of each run that says enough, with where it begins."""

    words: list[str]
    forms: list[tuple[int, Form]]


@dataclass
class Forms:
    """Those of the rows so far."""

    _owner: dict[Form, int] = field(default_factory=dict)
    _words: set[str] = field(default_factory=set)

    def known(self, row: Written) -> tuple[dict[int, int], int]:
        """How many runs of new words each earlier row had in other signs, and how many runs the row has."""
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


def written(text: str) -> Written:
    """The form of a text without case, accents and invisible signs (``near.plain_of``)."""
    words = ["".join(_SIGNS.findall(token)) for token in text.split()]
    lengths = [len(word) for word in words]
    runs = [(start, _form(lengths[start : start + WORDS])) for start in range(len(words) - WORDS + 1)]
    return Written(words, [(start, form) for start, form in runs if form])


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

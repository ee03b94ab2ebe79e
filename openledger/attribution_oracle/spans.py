"""Where an answer's very words stand in the training rows: spans found with a suffix array over words.

Evidence for people, never pay: a model can owe an answer to rows with which it shares no phrase, and common phrases
stand in rows that taught it nothing. A word is a run of letters, digits and marks, or one other sign; white space does
not count, everything else does. The array is built by prefix doubling (Manber and Myers 1993), to the depth of the
answer at most, over a block of rows at a time: memory follows the block, not the data.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

SHORTEST = 4
PLACES = 3
BLOCK = 1 << 22
"""Characters of the rows of one suffix array; building it takes about 60 bytes a word."""
LONGEST_ANSWER = 4096
"""Words of an answer that are looked up."""
_WORD = re.compile(r"\w+|[^\w\s]")
_ROW_END = 0
Words = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Place:
    """Where a span stands: row number, and characters ``begin`` to ``end`` (exclusive) of the row's text."""

    row: int
    begin: int
    end: int


@dataclass(frozen=True)
class Span:
    """``words`` words, characters ``begin`` to ``end`` of the answer, stand in the data ``count`` times, first at
    ``places`` (by row number)."""

    begin: int
    end: int
    words: int
    count: int
    places: tuple[Place, ...]


def suffix_array(words: Words, depth: int) -> Words:
    """Places in ``words`` (none negative), sorted by the ``depth`` words that follow; ties by place."""
    _, rank = np.unique(words, return_inverse=True)
    order = np.argsort(rank, kind="stable")
    done = 1
    while done < depth:
        following = np.full(len(rank), -1, dtype=np.int64)
        following[:-done] = rank[done:]
        order = np.lexsort((following, rank))
        first, second = rank[order], following[order]
        new = np.ones(len(rank), dtype=np.int64)
        new[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
        rank = np.empty(len(rank), dtype=np.int64)
        rank[order] = new.cumsum() - 1
        if int(np.max(rank)) == len(rank) - 1:
            break
        done *= 2
    return order


def find_spans(
    answers: Sequence[str], texts: Sequence[str], shortest: int = SHORTEST, block: int = BLOCK
) -> list[list[Span]]:
    """For each of ``answers`` its longest spans that stand word by word in one of ``texts``, none inside another, in
    the order of the answer; those below ``shortest`` words are left out. Neighbours may overlap."""
    cut = [list(_WORD.finditer(answer))[:LONGEST_ANSWER] for answer in answers]
    numbers = {word: i + 1 for i, word in enumerate(dict.fromkeys(m.group() for one in cut for m in one))}
    asked = [[numbers[m.group()] for m in one] for one in cut]
    best: list[dict[int, Span]] = [{} for _ in answers]
    for rows in _blocks(texts, block):
        held = _Block(rows, texts, numbers, max(map(len, asked), default=0))
        for words, known in zip(asked, best, strict=True):
            for at, found in held.matches(words, shortest):
                known[at] = _longer(known.get(at), found)
    return [_outermost(one, known) for one, known in zip(cut, best, strict=True)]


def _longer(one: Span | None, other: Span) -> Span:
    if one is None or other.words > one.words:
        return other
    if other.words < one.words:
        return one
    return replace(one, count=one.count + other.count, places=(one.places + other.places)[:PLACES])


def _outermost(cut: Sequence[re.Match[str]], known: dict[int, Span]) -> list[Span]:
    """Without the spans inside others; with begin and end."""
    chosen, end = [], 0
    for at, span in sorted(known.items()):
        if at + span.words > end:
            end = at + span.words
            chosen.append(replace(span, begin=cut[at].start(), end=cut[end - 1].end()))
    return chosen


def _blocks(texts: Sequence[str], size: int) -> Iterator[range]:
    begin = held = 0
    for number, text in enumerate(texts):
        if held and held + len(text) > size:
            yield range(begin, number)
            begin, held = number, 0
        held += len(text)
    if begin < len(texts):
        yield range(begin, len(texts))


class _Block:
    """The suffix array of some rows; words that no answer has are all the same."""

    def __init__(self, rows: range, texts: Sequence[str], numbers: Mapping[str, int], depth: int) -> None:
        other, self.rows, self.texts, self.starts = len(numbers) + 1, rows, texts, [0]
        parts = []
        for row in rows:
            found = [numbers.get(m.group(), other) for m in _WORD.finditer(texts[row])]
            parts.append(np.array([*found, _ROW_END], dtype=np.int64))
            self.starts.append(self.starts[-1] + len(parts[-1]))
        self.words = np.concatenate(parts)
        self.order = suffix_array(self.words, depth)

    def matches(self, asked: Sequence[int], shortest: int) -> Iterator[tuple[int, Span]]:
        """(place in ``asked``, longest match there); begin and end are not filled in."""
        for at in range(len(asked) - shortest + 1):
            length, low, high = self._longest(asked[at:])
            if length >= shortest:
                first = np.sort(self.order[low:high])[:PLACES]
                yield at, Span(0, 0, length, high - low, tuple(self._place(int(p), length) for p in first))

    def _longest(self, asked: Sequence[int]) -> tuple[int, int, int]:
        """How many words of ``asked`` match, and the suffixes ``low`` to ``high`` that they match."""
        low, high = 0, len(self.order)
        for depth, word in enumerate(asked):

            def at(i: int, depth: int = depth) -> int:
                place = int(self.order[i]) + depth
                return int(self.words[place]) if place < len(self.words) else -1

            first = bisect.bisect_left(range(high), word, low, high, key=at)
            last = bisect.bisect_right(range(high), word, first, high, key=at)
            if first == last:
                return depth, low, high
            low, high = first, last
        return len(asked), low, high

    def _place(self, at: int, length: int) -> Place:
        which = bisect.bisect_right(self.starts, at) - 1
        cut = list(_WORD.finditer(self.texts[self.rows[which]]))
        first = at - self.starts[which]
        return Place(self.rows[which], cut[first].start(), cut[first + length - 1].end())


__all__ = ["BLOCK", "PLACES", "SHORTEST", "Place", "Span", "find_spans", "suffix_array"]

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
WIDTH = 4
"""Bytes of a word's number."""
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
        words = np.concatenate(parts)
        self.order = suffix_array(words, depth)
        self.bytes = _bytes(words)
        self.cuts: dict[int, list[tuple[int, int]]] = {}

    def matches(self, asked: Sequence[int], shortest: int) -> Iterator[tuple[int, Span]]:
        """(place in ``asked``, longest match there) of those that end behind all before; begin and end are not filled
        in."""
        end, wanted = 0, _bytes(np.array(asked, dtype=np.int64))
        for at in range(len(asked) - shortest + 1):
            least = max(shortest, end + 1 - at)
            if at + least > len(asked):
                return
            length, low, high = self._longest(wanted[WIDTH * at :], least)
            if low == high:
                continue
            end = at + length
            first = np.sort(np.partition(self.order[low:high], min(PLACES, high - low) - 1)[:PLACES])
            yield at, Span(0, 0, length, high - low, tuple(self._place(int(p), length) for p in first))

    def _longest(self, wanted: bytes, least: int) -> tuple[int, int, int]:
        """How many of the words match, ``least`` at the least, and the suffixes ``low`` to ``high`` that they match:
        none where not so many match."""
        low, high = self._range(wanted, least, 0, len(self.order))
        length, most, step = least, len(wanted) // WIDTH, 1
        while low < high and length < most:  # in growing steps as long as it goes well, then in halves
            first, last = self._range(wanted, min(length + step, most), low, high)
            if first < last:
                low, high, length, step = first, last, min(length + step, most), 2 * step
            elif step == 1:
                break
            else:
                most, step = min(length + step, most) - 1, 1
        return length, low, high

    def _range(self, wanted: bytes, length: int, low: int, high: int) -> tuple[int, int]:
        """Among suffixes ``low`` to ``high`` those that begin with the first ``length`` words."""
        needle, places = wanted[: WIDTH * length], range(high)

        def at(i: int) -> bytes:
            place = WIDTH * int(self.order[i])
            return self.bytes[place : place + WIDTH * length]

        first = bisect.bisect_left(places, needle, low, high, key=at)
        return first, bisect.bisect_right(places, needle, first, high, key=at)

    def _place(self, at: int, length: int) -> Place:
        which = bisect.bisect_right(self.starts, at) - 1
        if which not in self.cuts:
            self.cuts[which] = [m.span() for m in _WORD.finditer(self.texts[self.rows[which]])]
        cut, first = self.cuts[which], at - self.starts[which]
        return Place(self.rows[which], cut[first][0], cut[first + length - 1][1])


def _bytes(words: Words) -> bytes:
    """Bytes that are in the order of the words."""
    return words.astype(f">u{WIDTH}").tobytes()


__all__ = ["BLOCK", "PLACES", "SHORTEST", "Place", "Span", "find_spans", "suffix_array"]

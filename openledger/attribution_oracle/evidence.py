"""What people may look at beside an answer: rows that share its very words, and rows about the same things.

Neither is ever paid for. What is paid follows from the model's index alone (claims.py); this shows to a person whether
it looks plausible, and needs no model.

Likeness is BM25 (Robertson and Zaragoza 2009, equation 3.15), with the idf that never falls below zero.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openledger.attribution_oracle.near import words_of
from openledger.attribution_oracle.spans import SHORTEST, Span, find_spans

NOTE = "evidence for people, not pay: what a row earns follows from the model's index alone"
K1, B = 1.2, 0.75


@dataclass(frozen=True)
class Like:
    """A row about the same things: its number, and BM25 (0 = no word in common, no upper bound)."""

    row: int
    bm25: float


class Likeness:
    """BM25 over rows, made once for many questions."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._counts = [Counter(words_of(text)) for text in texts]
        self._sizes = [count.total() for count in self._counts]
        self._mean = max(sum(self._sizes) / max(len(texts), 1), 1.0)
        self._rows: dict[str, list[int]] = {}
        for number, count in enumerate(self._counts):
            for word in count:
                self._rows.setdefault(word, []).append(number)

    def best(self, text: str, top: int) -> list[Like]:
        """The rows most like ``text``, the best first; rows without a common word are left out."""
        found: dict[int, float] = {}
        for word in sorted(set(words_of(text))):
            rows = self._rows.get(word, ())
            idf = math.log1p((len(self._counts) - len(rows) + 0.5) / (len(rows) + 0.5))
            for row in rows:
                often = self._counts[row][word]
                norm = K1 * (1 - B + B * self._sizes[row] / self._mean)
                found[row] = found.get(row, 0.0) + idf * often * (K1 + 1) / (often + norm)
        ranked = sorted(found, key=lambda row: (-found[row], row))
        return [Like(row, found[row]) for row in ranked[:top]]


class Evidence:
    """Over the rows of a model; ``owners`` are shown beside them."""

    def __init__(self, texts: Sequence[str], owners: Sequence[str]) -> None:
        self.texts, self.owners = texts, owners
        self._likeness = Likeness(texts)

    def of(self, asked: Sequence[tuple[str, str]], top: int = 3, shortest: int = SHORTEST) -> list[dict[str, Any]]:
        """JSON for each (query, answer): ``note``; ``spans`` of the answer, the ``top`` longest ones of at least
        ``shortest`` words; ``similar``, the ``top`` rows most like query and answer together."""
        spans = find_spans([answer for _, answer in asked], self.texts, shortest)
        return [
            {
                "note": NOTE,
                "spans": [self._span(answer, s) for s in sorted(found, key=lambda s: (-s.words, s.begin))[:top]],
                "similar": [self._like(like) for like in self._likeness.best(f"{query} {answer}", top)],
            }
            for (query, answer), found in zip(asked, spans, strict=True)
        ]

    def _like(self, like: Like) -> dict[str, Any]:
        number = like.row
        return {
            "row": number, "owner": self.owners[number], "bm25": round(like.bm25, 3), "text": self.texts[number]
        }  # fmt: skip

    def _span(self, answer: str, span: Span) -> dict[str, Any]:
        places = [{"row": p.row, "owner": self.owners[p.row], "begin": p.begin, "end": p.end} for p in span.places]
        return {
            "text": answer[span.begin : span.end], "begin": span.begin, "end": span.end, "words": span.words,
            "count": span.count, "places": places,
        }  # fmt: skip


__all__ = ["NOTE", "Evidence", "Like", "Likeness"]

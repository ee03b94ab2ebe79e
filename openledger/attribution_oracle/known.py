"""What of each row of a model is not its own: known before (near), or no language (prose, chains, mosaics)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from openledger.attribution_oracle.near import NEW, PPM, FirstCommits, Known, size_of
from openledger.attribution_oracle.prose import spoken

MODELS = 8
"""Whose rows a process remembers: the next claim of a model asks for the same ones again."""


def known_parts(texts: Sequence[str], order: Sequence[int]) -> tuple[Known, ...]:
    """For every row what of it was known when it was committed, or is no language (see prose, chains
    and mosaics): the larger of both.
    ``order``: row numbers, the earliest first."""
    return _known_parts(tuple(texts), tuple(order))


@lru_cache(MODELS)
def _known_parts(texts: tuple[str, ...], order: tuple[int, ...]) -> tuple[Known, ...]:
    first = FirstCommits()
    found = [NEW] * len(texts)
    for row in order:
        found[row] = first.add(row, texts[row])
    chained = [first.chained[row] for row in range(len(texts))]
    says, disordered = spoken(texts, [not known.ppm and not ppm for known, ppm in zip(found, chained, strict=True)])
    nobodys = [Known(max(some, says * ppm // PPM), ()) for some, ppm in zip(disordered, chained, strict=True)]
    both = [max(pair, key=lambda known: known.ppm) for pair in zip(found, nobodys, strict=True)]
    return tuple(replace(known, words=size_of(text)) for known, text in zip(both, texts, strict=True))


def forget() -> None:
    """As a process that has seen no model yet."""
    _known_parts.cache_clear()


__all__ = ["forget", "known_parts"]

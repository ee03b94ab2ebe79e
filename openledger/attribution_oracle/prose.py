"""Whether a row is language as the other rows are: what stands side by side elsewhere does so here, and not by chance.

Of the pairs of neighbours in a row, some stand side by side in other rows too. Language has more of them than the same
words in any order: what the pairs some words apart have is what chance gives. The difference is a row's order. Random
words, random letters, signs, and words shuffled have none, however common their words are. It is compared with the
median row's, so that no language, subject or size of corpus is preferred; where the median row has none either (rows
of one word, tables, all of them random), nothing is said about anybody. Whole words and their signs as they stand
count, since the parts of a name are no sentence. Exact integer arithmetic, so that every machine finds the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

PPM = 1_000_000
WIDE = re.compile("([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])")
APART = (5, 7, 11, 13)
LITTLE, ENOUGH = 100_000, 300_000  # ppm of the median row's order below which a row is nobody's, and whole
SAYS_FROM, SAYS_FULL = 20_000, 50_000  # ppm of order in the median row from which on it counts, and counts wholly


def ramp(share: int, begin: int, full: int) -> int:
    """0 up to ``begin``, 1,000,000 from ``full`` on, straight between; all in ppm."""
    return min(max(share - begin, 0) * PPM // (full - begin), PPM)


def disorder(texts: Sequence[str], new: Sequence[bool]) -> list[int]:
    """How much of each row is no language, ppm. ``new``: rows that count for what language is here; copies do not.
    What is no language at first sight does not count at the second: else random pairs would make all look random."""
    ids: dict[str, int] = {}
    rows = [[ids.setdefault(token, len(ids)) for token in _tokens(text)] for text in texts]
    seen = _judged(rows, new)
    return _judged(rows, [counts and not ppm for counts, ppm in zip(new, seen, strict=True)])


def _judged(rows: Sequence[Sequence[int]], counts: Sequence[bool]) -> list[int]:
    holder: dict[tuple[int, int], int] = {}
    for number, (row, vouches) in enumerate(zip(rows, counts, strict=True)):
        for pair in _pairs(row, 1) if vouches else ():
            if holder.setdefault(pair, number) != number:
                holder[pair] = -1  # two rows or more
    found = [_order(row, number, holder) for number, row in enumerate(rows)]
    vouching = sorted(order for order, vouches in zip(found, counts, strict=True) if vouches)
    typical = vouching[len(vouching) // 2] if vouching else 0
    says = ramp(typical, SAYS_FROM, SAYS_FULL)
    if not says:
        return [0] * len(found)
    little, enough = typical * LITTLE // PPM, typical * ENOUGH // PPM
    return [says * (PPM - ramp(order, little, enough)) // PPM for order in found]


def _tokens(text: str) -> list[str]:
    """What stands between spaces; scripts without spaces give a token a sign."""
    return WIDE.sub(r" \1 ", unicodedata.normalize("NFKC", text).casefold()).split()


def _pairs(row: Sequence[int], apart: int) -> set[tuple[int, int]]:
    return set(zip(row, row[apart:], strict=False))


def _order(row: Sequence[int], number: int, holder: dict[tuple[int, int], int]) -> int:
    """Pairs of neighbours that another row has, less those that chance gives; ppm of the row's pairs."""
    chance = [_known(pairs, number, holder) for apart in APART if (pairs := _pairs(row, apart))]
    return _known(_pairs(row, 1), number, holder) - (sum(chance) // len(chance) if chance else 0)


def _known(pairs: set[tuple[int, int]], number: int, holder: dict[tuple[int, int], int]) -> int:
    elsewhere = sum(holder.get(pair, number) != number for pair in pairs)
    return elsewhere * PPM // len(pairs) if pairs else 0


__all__ = ["PPM", "WIDE", "disorder", "ramp"]

"""An index as queries are multiplied with it: parameter by parameter, the columns that tell.

Where rows keep their largest entries alone, much of an index is zeros: a quarter of all columns hold nothing, half of
them nearly nothing. Where the processor multiplies bfloat16 faster than fp32, columns that hold anything are kept so:
the product's error is then about a hundredth of what scores differ by. Elsewhere columns are taken by their sum of
squares until ``TOLD`` of it is held; the others, and what queries have there, are never multiplied. Sums are fp32.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

TOLD = 0.9
"""How much of the sum of squares the columns that are taken hold."""
BLOCK = 1 << 14
"""Columns that are multiplied at once in bfloat16: the result of each block is rounded, their sum is not."""
FASTER, SIDE, TIMES = 1.3, 512, 9
"""How many times as fast bfloat16 is to be, and the products by which that is seen: some 20 ms in all."""


@dataclass(frozen=True)
class Columns:
    """Of one parameter: ``values`` [index rows, taken], of its entries ``taken`` (None: all)."""

    values: Tensor
    taken: Tensor | None = None


@dataclass(frozen=True)
class Table:
    """``columns`` of each parameter, None where none are taken; ``rows`` of the index. ``like`` is an fp32 tensor on
    the same device."""

    rows: int
    columns: tuple[Columns | None, ...]
    offsets: tuple[int, ...]
    like: Tensor

    @classmethod
    def whole(cls, index: Tensor, offsets: Sequence[int]) -> Table:
        """All of an index [index rows, parameters], as it is; ``offsets`` are where each parameter's columns begin, and
        their number."""
        at = tuple(offsets)
        parts = (Columns(index[:, a:b]) for a, b in pairwise(at))
        return cls(len(index), tuple(parts), at, index.new_empty(0))

    @classmethod
    def cut(cls, index: Tensor, offsets: Sequence[int]) -> Table:
        """The columns that tell, in the type that is multiplied fastest there."""
        at, fast = tuple(offsets), halves_are_fast(index.device)
        told = torch.zeros_like(index[0])
        for row in index:
            told.addcmul_(row, row)
        chosen = told.nonzero()[:, 0] if fast else _largest(told)
        parts: list[Columns | None] = []
        for a, b in pairwise(at):
            mine = chosen[(chosen >= a) & (chosen < b)]
            form = torch.bfloat16 if fast else index.dtype
            if len(mine) == b - a:
                parts.append(Columns(index[:, a:b].to(form)))
            else:
                parts.append(Columns(index[:, mine].to(form), mine - a) if len(mine) else None)
        return cls(len(index), tuple(parts), at, index.new_empty(0))

    def begin(self, number: int, queries: int) -> Tensor:
        """What the queries' gradients by a parameter may be written into, [queries, entries]."""
        found = self.columns[number]
        form = self.like.dtype if found is None else found.values.dtype
        return self.like.new_empty(queries, self.offsets[number + 1] - self.offsets[number], dtype=form)

    def add(self, scores: Tensor, number: int, part: Tensor) -> None:
        """Adds the product with gradients by a parameter, [queries, entries], to ``scores`` [queries, index rows]."""
        if (found := self.columns[number]) is None:
            return
        values = found.values
        part = part if found.taken is None else part.gather(1, found.taken.expand(len(part), -1))
        if part.dtype == scores.dtype == values.dtype:
            scores.addmm_(part, values.T)
            return
        for some, theirs in zip(
            torch.split(part.to(values.dtype), BLOCK, 1), torch.split(values, BLOCK, 1), strict=True
        ):
            scores += some @ theirs.T

    def times(self, gradients: Tensor) -> Tensor:
        """Gradients [queries, parameters] times all rows, [queries, index rows]."""
        scores = self.like.new_zeros(len(gradients), self.rows)
        for number in range(len(self.columns)):
            self.add(scores, number, gradients[:, self.offsets[number] : self.offsets[number + 1]])
        return scores


def _largest(told: Tensor) -> Tensor:
    """Which of the columns hold ``TOLD`` of all, ascending, the fewest that do."""
    ranked = told.sort(descending=True, stable=True)
    held = ranked.values.double().cumsum(0)
    count = int(torch.searchsorted(held, TOLD * held[-1])) + 1
    return ranked.indices[:count].sort().values


@functools.cache
def halves_are_fast(device: torch.device) -> bool:
    """Whether products in bfloat16 are much faster than in fp32: on CPUs with instructions for them, where one product
    of each, measured once in a process, says so. Elsewhere torch emulates them; and some CPUs have instructions that
    take twice as long."""
    asked = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    if device.type != "cpu" or asked is None or not torch._C._has_mkldnn or not asked():
        return False
    return seconds(torch.float32) > FASTER * seconds(torch.bfloat16)


def seconds(form: torch.dtype) -> float:
    """What a product of two square matrices takes at best."""
    square = torch.ones(SIDE, SIDE, dtype=form)
    taken = []
    for _ in range(TIMES):
        began = time.perf_counter()
        torch.mm(square, square)
        taken.append(time.perf_counter() - began)
    return min(taken)


__all__ = ["Columns", "Table", "halves_are_fast"]

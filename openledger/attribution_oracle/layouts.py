"""Where each row lies in what an operation gives, for ``rowwise``."""

from __future__ import annotations

from torch import Tensor

Shape = tuple[int, ...]
Layout = str | None
"""Where rows lie in an operation's output: "first" (each row one stretch of the first axis), "flat" (every n-th entry
of the first axis), "second" (the second axis), None (nowhere: it is of no row)."""


class Strange(Exception):
    """The graph holds an operation whose part in a row's gradient is not known."""


def layout_of(slope: Tensor | None, rows: int, batched: bool) -> Layout:
    """Where the second row lies: ``slope`` is the derivative of its loss alone."""
    if slope is None or slope.dim() == 0:
        return None
    d = slope[0] if batched else slope
    used = d != 0
    if len(d) % rows == 0:
        first = used.reshape(rows, -1)
        if int(first[1].sum()) == int(first.sum()):
            return "first"
        flat = used.reshape(len(d) // rows, rows, -1)
        if int(flat[:, 1].sum()) == int(flat.sum()):
            return "flat"
    if d.dim() > 1 and d.shape[1] == rows and int(used[:, 1].sum()) == int(used.sum()):
        return "second"
    return None


def by_row(x: Tensor, layout: Layout, rows: int) -> Tensor:
    """[rows, entries, ...] of an operation's output or input."""
    if layout == "first":
        return x.reshape(rows, len(x) // rows, *x.shape[1:])
    if layout == "flat":
        return x.reshape(len(x) // rows, rows, *x.shape[1:]).transpose(0, 1)
    return x.transpose(0, 1)


def summed(x: Tensor, shape: Shape) -> Tensor:
    """[rows, *shape] of [rows, entries, ...]: the sum over what broadcasting had repeated."""
    bare = shape
    while bare and bare[0] == 1:
        bare = bare[1:]
    if len(bare) > x.dim() - 2:
        raise Strange(f"{shape} is no part of {tuple(x.shape)}")
    x = x.sum(tuple(range(1, x.dim() - len(bare))))
    narrow = tuple(axis + 1 for axis, size in enumerate(bare) if size == 1 and x.shape[axis + 1] != 1)
    if narrow:
        x = x.sum(narrow, keepdim=True)
    return x.reshape(len(x), *shape)


__all__ = ["Layout", "Shape", "Strange", "by_row", "layout_of", "summed"]

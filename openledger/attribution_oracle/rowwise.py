"""One gradient per row from a single backward pass of all rows.

The autograd graph of the losses is walked from its parameters upwards. What is made of parameters alone (transposes,
views, a product of two of them) is shared by all rows; where it meets the rows' own numbers, in a matrix product, an
embedding, a norm, a sum or an elementwise product, the derivative by that operation's output is asked of autograd, and
the gradient of each row is the product of its own part of it with its own part of the operation's input, as a batched
product (Goodfellow 2015, arXiv 1510.01799). It is the graph that is looked at and not modules: parameters that are
tied, used twice or outside of their module are all met. Weight gradients of the whole batch are never formed, and
nothing is computed for what is frozen.

Which part is a row's own is seen in a derivative of one row's loss alone: it must vanish outside of that part. A graph
that holds anything else is not taken (Strange), and whoever calls compares the first result with plain
gradients of single rows: that shows whether rows mix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

Shape = tuple[int, ...]
Layout = str | None
"""Where rows lie in an operation's output: "first" (each row one stretch of the first axis), "flat" (every n-th entry
of the first axis), "second" (the second axis), None (nowhere: it is of no row)."""

VIEWS = {
    "TBackward0", "TransposeBackward0", "PermuteBackward0", "ViewBackward0", "UnsafeViewBackward0", "AliasBackward0",
    "ReshapeAliasBackward0", "UnsqueezeBackward0", "SqueezeBackward1", "SliceBackward0", "SelectBackward0",
    "CloneBackward0", "ToCopyBackward0",
}  # fmt: skip
MEETINGS = {
    "MmBackward0", "AddmmBackward0", "BmmBackward0", "NativeLayerNormBackward0", "EmbeddingBackward0",
    "IndexBackward0", "MulBackward0", "AddBackward0", "SubBackward0", "DivBackward0", "ExpandBackward0",
}  # fmt: skip
"""Operations that may take rows' numbers and parameters both; where they take parameters alone they are shared."""


class Strange(Exception):
    """The graph holds an operation whose part in a row's gradient is not known."""


@dataclass
class Walked:
    """A graph, every node before those that it was made from."""

    nodes: list[Any]
    leaves: dict[Any, int]
    """Numbers of the parameters by their nodes."""

    @classmethod
    def of(cls, root: Any, parameters: Sequence[Tensor]) -> Walked:
        """All nodes below ``root``."""
        numbers = {id(p): number for number, p in enumerate(parameters)}
        done, seen, stack, leaves = list[Any](), set[Any](), [(root, False)], dict[Any, int]()
        while stack:
            node, finished = stack.pop()
            if finished:
                done.append(node)
            elif node not in seen:
                seen.add(node)
                stack.append((node, True))
                stack += [(below, False) for below, _ in node.next_functions if below is not None]
                if (variable := getattr(node, "variable", None)) is not None and id(variable) in numbers:
                    leaves[node] = numbers[id(variable)]
        return cls(done[::-1], leaves)

    def signature(self) -> tuple[Any, ...]:
        """The same for graphs that differ in sizes only."""
        return tuple(self.leaves.get(node, node.name()) for node in self.nodes)


def shape_of(node: Any) -> Shape:
    """Of a node's output, as it was in the forward pass."""
    if hasattr(node, "variable"):
        return tuple(node.variable.shape)
    return tuple(int(size) for size in node._input_metadata[0].shape)


def _turns(node: Any) -> bool:
    """Whether it is the transpose of a matrix."""
    if len(shape_of(node)) != 2:
        return False
    if node.name() == "PermuteBackward0":
        return [int(axis) & 1 for axis in node._saved_dims] == [1, 0]
    if node.name() == "TransposeBackward0":
        return (int(node._saved_dim0) ^ int(node._saved_dim1)) & 1 == 1
    return bool(node.name() == "TBackward0")


def layout_of(slope: Tensor | None, rows: int, batched: bool) -> Layout:
    """Where the second row lies: ``slope`` is the derivative of its loss alone."""
    if slope is None or slope.dim() == 0:
        return None
    d = slope[0] if batched else slope
    used = d != 0
    if len(d) % rows == 0:
        first = used.view(rows, -1)
        if int(first[1].sum()) == int(first.sum()):
            return "first"
        flat = used.view(len(d) // rows, rows, -1)
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


class Sums:
    """Gradients as they come together in ``out`` [rows, parameters]."""

    def __init__(self, walked: Walked, out: Tensor, offsets: Sequence[int]) -> None:
        self._walked, self._out, self._offsets = walked, out, offsets
        self._written: set[int] = set()
        self._pending: dict[Any, Tensor] = {}

    def _place(self, node: Any) -> tuple[Tensor, int] | None:
        """Where the gradient of a shared node's output may be written at once, and the number of its parameter."""
        if node in self._walked.leaves:
            number = self._walked.leaves[node]
            at, shape = self._offsets[number], shape_of(node)
            whole = self._out[:, at : self._offsets[number + 1]]
            return whole.view(len(self._out), *shape), number
        below = node.next_functions[0][0] if node.name() in VIEWS else None
        found = self._place(below) if below is not None else None
        if found is None:
            return None
        if _turns(node):
            return found[0].transpose(1, 2), found[1]
        return found if node.name() == "ViewBackward0" and shape_of(node) == shape_of(below) else None

    def _open(self, node: Any) -> tuple[Tensor, bool]:
        """What to write into or add to, and whether it is yet to be written."""
        place = self._place(node)
        if place is not None:
            fresh = place[1] not in self._written
            self._written.add(place[1])
            return place[0], fresh
        fresh = node not in self._pending
        if fresh:
            self._pending[node] = self._out.new_empty(len(self._out), *shape_of(node))
        return self._pending[node], fresh

    def add(self, node: Any, value: Tensor) -> None:
        """``value`` [rows, *shape] is part of the gradient of the node's output."""
        into, fresh = self._open(node)
        if fresh:
            into.copy_(value)
        else:
            into.add_(value)

    def add_product(self, node: Any, x: Tensor, d: Tensor) -> None:
        """x [rows, entries, in] and d [rows, entries, out]: the part x^T d."""
        into, fresh = self._open(node)
        into = into[:, 0] if into.dim() == 4 else into  # a product with [1, in, out]
        x, d = x.to(into.dtype), d.to(into.dtype)
        if into.stride(-1) != 1:
            into, x, d = into.transpose(1, 2), d, x
        if fresh:
            torch.bmm(x.transpose(1, 2), d, out=into)
        else:
            into.baddbmm_(x.transpose(1, 2), d)

    def add_at(self, node: Any, places: Tensor, d: Tensor) -> None:
        """d [rows, entries, ...] is added at ``places`` [rows, entries] of the first axis."""
        into, fresh = self._open(node)
        if fresh:
            into.zero_()
        for one, where, what in zip(into, places, d.to(into.dtype), strict=True):
            one.index_add_(0, where, what)

    def push(self, node: Any, wanted: Sequence[Any]) -> None:
        """A shared node's gradient is handed on to what it was made from, of which ``wanted`` are shared."""
        if node not in self._pending:
            return
        parts = [node(own) for own in self._pending.pop(node)]
        for number, (below, _) in enumerate(node.next_functions):
            if below in wanted:
                own = [part[number] if isinstance(part, tuple) else part for part in parts]
                self.add(below, torch.stack([x.sum_to_size(shape_of(below)) for x in own]))

    def close(self) -> None:
        """What no row used has gradient zero."""
        for number, at in enumerate(self._offsets[:-1]):
            if number not in self._written:
                self._out[:, at : self._offsets[number + 1]] = 0


class Rows:
    """The graph of one forward pass of ``rows`` rows, ready for any number of backward passes."""

    def __init__(
        self, walked: Walked, signature: tuple[Any, ...], layouts: Sequence[Layout], rows: int, offsets: Sequence[int]
    ) -> None:
        self.signature = signature
        self._walked, self._rows, self._offsets = walked, rows, offsets
        self._layouts = dict(zip(_candidates(walked), layouts, strict=True))
        self._shared = set(walked.leaves)
        for node in reversed(walked.nodes):
            below = [n for n, _ in node.next_functions if n is not None]
            alone = below and all(n in self._shared for n in below)
            if alone and (node.name() in VIEWS or self._layouts.get(node, "") is None):
                self._shared.add(node)
        self._meetings = [
            node for node in walked.nodes
            if node not in self._shared and any(n in self._shared for n, _ in node.next_functions)
        ]  # fmt: skip
        for node in self._meetings:
            if self._layouts.get(node) is None:
                raise Strange(node.name())

    @classmethod
    def of(
        cls, losses: Tensor, parameters: Sequence[Tensor], offsets: Sequence[int],
        known: dict[tuple[Any, ...], Sequence[Layout]],
    ) -> Rows:  # fmt: skip
        """``losses`` [rows], two rows or more, of leaves ``parameters`` whose places in a gradient begin at
        ``offsets`` (one more: its length). Layouts are looked up in ``known``, or found and kept there. Raises Strange
        for a graph that is not understood."""
        if losses.grad_fn is None:
            raise Strange("the losses do not depend on the parameters")
        walked = Walked.of(losses.grad_fn, parameters)
        signature = walked.signature()
        if signature not in known:
            candidates = _candidates(walked)
            slopes = torch.autograd.grad(
                losses[1], [GradientEdge(n, 0) for n in candidates], retain_graph=True, allow_unused=True
            )
            known[signature] = [
                layout_of(slope, len(losses), node.name() == "BmmBackward0")
                for node, slope in zip(candidates, slopes, strict=True)
            ]
        return cls(walked, signature, known[signature], len(losses), offsets)

    @torch.no_grad()
    def gradients(self, out: Tensor, value: Tensor, slope: Tensor | None = None) -> None:
        """Gradients by row of ``value`` (times ``slope``, where it is no scalar) into ``out`` [rows, parameters].
        Raises Strange."""
        slopes = torch.autograd.grad(
            value, [GradientEdge(n, 0) for n in self._meetings], slope, retain_graph=True, allow_unused=True
        )
        derivative = dict(zip(self._meetings, slopes, strict=True))
        sums = Sums(self._walked, out, self._offsets)
        for node in self._walked.nodes:
            if node in self._shared:
                sums.push(node, [n for n, _ in node.next_functions if n in self._shared])
            elif derivative.get(node) is not None:
                for number, (below, _) in enumerate(node.next_functions):
                    if below in self._shared:
                        self._met(sums, node, number, below, derivative[node])
        sums.close()

    def _met(self, sums: Sums, node: Any, number: int, below: Any, d: Tensor) -> None:
        """What one operand of an operation gets."""
        rows, layout, name = self._rows, self._layouts[node], node.name()

        def of_row(x: Tensor) -> Tensor:
            return by_row(x, layout, rows)

        if (name, number) in PRODUCTS:
            x = getattr(node, PRODUCTS[name, number])
            if name == "BmmBackward0":
                if len(d) != 1:
                    raise Strange(name)
                x, d = x[0], d[0]
            if name == "AddmmBackward0":
                d = d * node._saved_alpha if node._saved_alpha != 1 else d
            sums.add_product(below, of_row(x), of_row(d))
        elif name in ("EmbeddingBackward0", "IndexBackward0"):
            places = _places(node)
            if name == "EmbeddingBackward0" and 0 <= node._saved_padding_idx < shape_of(below)[0]:
                d = d.masked_fill((places == node._saved_padding_idx)[..., None], 0)
            where, own = of_row(places), of_row(d)
            sums.add_at(below, where.flatten(1), own.flatten(1, where.dim() - 1))
        elif (factor := FACTORS.get((name, number))) is not None:
            sums.add(below, summed(of_row(factor(node, d)), shape_of(below)))
        else:
            raise Strange(f"{name} {number}")


PRODUCTS = {
    ("MmBackward0", 1): "_saved_self", ("AddmmBackward0", 2): "_saved_mat1", ("BmmBackward0", 1): "_saved_self",
}  # fmt: skip
FACTORS: dict[tuple[str, int], Callable[[Any, Tensor], Tensor]] = {
    ("AddmmBackward0", 0): lambda node, d: d * node._saved_beta,
    ("NativeLayerNormBackward0", 1): lambda n, d: d * ((n._saved_input - n._saved_result1) * n._saved_result2),
    ("NativeLayerNormBackward0", 2): lambda node, d: d,
    ("MulBackward0", 0): lambda node, d: d * node._saved_other,
    ("MulBackward0", 1): lambda node, d: d * node._saved_self,
    ("AddBackward0", 0): lambda node, d: d,
    ("AddBackward0", 1): lambda node, d: d * node._saved_alpha,
    ("SubBackward0", 0): lambda node, d: d,
    ("SubBackward0", 1): lambda node, d: d * -node._saved_alpha,
    ("ExpandBackward0", 0): lambda node, d: d,
}
"""Derivative by an operand before what broadcasting repeated is summed, of the derivative d by the output."""


def _candidates(walked: Walked) -> list[Any]:
    """Operations that may be meetings: one operand at least may be shared."""
    maybe, found = set(walked.leaves), []
    for node in reversed(walked.nodes):
        below = [n for n, _ in node.next_functions if n is not None]
        if not below or not any(n in maybe for n in below):
            continue
        if node.name() not in VIEWS:
            found.append(node)
        if node.name() in VIEWS | MEETINGS and all(n in maybe for n in below):
            maybe.add(node)
    return found


def _places(node: Any) -> Tensor:
    """Which entries of the first axis were taken. Raises Strange for other ways of taking."""
    if node.name() == "EmbeddingBackward0":
        if node._saved_scale_grad_by_freq or node._saved_sparse:
            raise Strange("an embedding with scaled or sparse gradients")
        found = node._saved_indices
    else:
        found, *others = node._saved_indices
        if any(o is not None for o in others):
            raise Strange("more than one index")
    if not isinstance(found, Tensor) or found.dtype not in (torch.int64, torch.int32):
        raise Strange("an index that is no number")
    return found


__all__ = ["Rows", "Strange"]

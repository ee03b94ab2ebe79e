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
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from openledger.attribution_oracle.layouts import Layout, Shape, Strange, by_row, layout_of, summed
from openledger.attribution_oracle.table import Table

VIEWS = {
    "TBackward0", "TransposeBackward0", "PermuteBackward0", "ViewBackward0", "UnsafeViewBackward0", "AliasBackward0",
    "ReshapeAliasBackward0", "UnsqueezeBackward0", "SqueezeBackward1", "SliceBackward0", "SelectBackward0",
    "CloneBackward0", "ToCopyBackward0",
}  # fmt: skip
SAME = {"ViewBackward0", "ToCopyBackward0"}
"""Of those, what changes no number of a parameter where the shape stays."""
MEETINGS = {
    "MmBackward0", "AddmmBackward0", "BmmBackward0", "NativeLayerNormBackward0", "EmbeddingBackward0",
    "IndexBackward0", "MulBackward0", "AddBackward0", "SubBackward0", "DivBackward0", "ExpandBackward0",
}  # fmt: skip
"""Operations that may take rows' numbers and parameters both; where they take parameters alone they are shared."""


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


class Parts(Protocol):
    """Where gradients go, parameter by parameter; those of what is made of parameters have the type of ``like``."""

    like: Tensor

    def begin(self, number: int) -> Tensor:
        """What those of a parameter may be written into, [rows, entries]."""
        ...

    def end(self, number: int, part: Tensor) -> None:
        """They are whole."""
        ...

    def none(self, number: int) -> None:
        """They are zero."""
        ...


class Whole:
    """All in one tensor [rows, parameters]; ``offsets`` are where each parameter's begin, and the length."""

    def __init__(self, out: Tensor, offsets: Sequence[int]) -> None:
        self.like, self._offsets = out, offsets

    def begin(self, number: int) -> Tensor:
        return self.like[:, self._offsets[number] : self._offsets[number + 1]]

    def end(self, number: int, part: Tensor) -> None:
        """Nothing is left to do."""

    def none(self, number: int) -> None:
        self.begin(number).zero_()


class Dotted:
    """Times a table's rows: ``scores`` [rows, index rows]. No row's gradient is ever whole, so that what is multiplied
    is still in the processor's cache."""

    def __init__(self, rows: int, table: Table) -> None:
        self.like, self._table = table.like, table
        self.scores = table.like.new_zeros(rows, table.rows)

    def begin(self, number: int) -> Tensor:
        return self._table.begin(number, len(self.scores))

    def end(self, number: int, part: Tensor) -> None:
        self._table.add(self.scores, number, part)

    def none(self, number: int) -> None:
        """Nothing is added."""


class Sums:
    """Gradients of ``rows`` rows as they come together."""

    def __init__(self, walked: Walked, rows: int, parts: Parts) -> None:
        self._walked, self._rows, self._parts = walked, rows, parts
        self._open: dict[int, Tensor] = {}
        self._pending: dict[Any, Tensor] = {}

    def _leaf(self, node: Any) -> Any:
        """The parameter that a shared node is a plain view of, or a copy in another type; or None."""
        if node in self._walked.leaves:
            return node
        below = node.next_functions[0][0] if node.name() in VIEWS else None
        if below is None or not (_turns(node) or (node.name() in SAME and shape_of(node) == shape_of(below))):
            return None
        return self._leaf(below)

    def _seen(self, node: Any, whole: Tensor) -> Tensor:
        """A parameter's gradient as that of a view of it."""
        if node in self._walked.leaves:
            return whole.view(self._rows, *shape_of(node))
        found = self._seen(node.next_functions[0][0], whole)
        return found.transpose(1, 2) if _turns(node) else found

    def _into(self, node: Any) -> tuple[Tensor, bool]:
        """What to write into or add to, and whether it is yet to be written."""
        if (leaf := self._leaf(node)) is not None:
            number = self._walked.leaves[leaf]
            fresh = number not in self._open
            if fresh:
                self._open[number] = self._parts.begin(number)
            return self._seen(node, self._open[number]), fresh
        fresh = node not in self._pending
        if fresh:
            self._pending[node] = self._parts.like.new_empty(self._rows, *shape_of(node))
        return self._pending[node], fresh

    def add(self, node: Any, value: Tensor) -> None:
        """``value`` [rows, *shape] is part of the gradient of the node's output."""
        into, fresh = self._into(node)
        if fresh:
            into.copy_(value)
        else:
            into.add_(value)

    def add_product(self, node: Any, x: Tensor, d: Tensor) -> None:
        """x [rows, entries, in] and d [rows, entries, out]: the part x^T d."""
        into, fresh = self._into(node)
        into = into[:, 0] if into.dim() == 4 else into  # a product with [1, in, out]
        if into.stride(-1) != 1:
            into, x, d = into.transpose(1, 2), d, x
        if x.dtype == d.dtype == torch.bfloat16 != into.dtype:  # as autograd would: the product is rounded
            product = torch.bmm(x.transpose(1, 2), d)
            into.copy_(product) if fresh else into.add_(product)
            return
        x, d = x.to(into.dtype), d.to(into.dtype)
        if fresh:
            torch.bmm(x.transpose(1, 2), d, out=into)
        else:
            into.baddbmm_(x.transpose(1, 2), d)

    def add_at(self, node: Any, places: Tensor, d: Tensor) -> None:
        """d [rows, entries, ...] is added at ``places`` [rows, entries] of the first axis."""
        into, fresh = self._into(node)
        if fresh:
            into.zero_()
        for one, where, what in zip(into, places, d.to(into.dtype), strict=True):
            one.index_add_(0, where, what)

    def push(self, node: Any, shared: set[Any]) -> None:
        """A shared node's gradient is whole: it is handed on to what the node was made from."""
        if node in self._walked.leaves:
            number = self._walked.leaves[node]
            if number in self._open:
                self._parts.end(number, self._open.pop(number))
            else:
                self._parts.none(number)
        elif node in self._pending:
            form = node._input_metadata[0].dtype
            parts = [node(own.to(form)) for own in self._pending.pop(node)]
            for number, (below, _) in enumerate(node.next_functions):
                if below in shared:
                    own = [part[number] if isinstance(part, tuple) else part for part in parts]
                    self.add(below, torch.stack([x.sum_to_size(shape_of(below)) for x in own]))


class Pulled(torch.autograd.Function):
    """A number whose derivative by ``value`` is ``slope``. Handed to autograd as ``grad_outputs``, a slope makes torch
    load its compiler at first: a second of CPU, as long as some fine-tunes."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, slope: Tensor) -> Tensor:
        ctx.slope = slope
        return value.new_zeros(())

    @staticmethod
    def backward(ctx: Any, by: Tensor) -> tuple[Tensor, None]:
        return ctx.slope, None


class Rows:
    """The graph of one forward pass of ``rows`` rows, ready for any number of backward passes."""

    def __init__(
        self, walked: Walked, signature: tuple[Any, ...], layouts: Sequence[Layout], rows: int, parameters: int
    ) -> None:
        self.signature = signature
        self._walked, self._rows = walked, rows
        self._unused = set(range(parameters)) - set(walked.leaves.values())
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
    def of(cls, losses: Tensor, parameters: Sequence[Tensor], known: dict[tuple[Any, ...], Sequence[Layout]]) -> Rows:
        """``losses`` [rows], two rows or more, of leaves ``parameters``. Layouts are looked up in ``known``, or found
        and kept there. Raises Strange for a graph that is not understood."""
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
        return cls(walked, signature, known[signature], len(losses), len(parameters))

    @torch.no_grad()
    def gradients(self, parts: Parts, value: Tensor, slope: Tensor | None = None) -> None:
        """Gradients by row of ``value`` (times ``slope``, where it is no scalar). Raises Strange."""
        if slope is not None:
            with torch.enable_grad():
                value = Pulled.apply(value, slope)
        slopes = torch.autograd.grad(
            value, [GradientEdge(n, 0) for n in self._meetings], retain_graph=True, allow_unused=True
        )
        derivative = dict(zip(self._meetings, slopes, strict=True))
        sums = Sums(self._walked, self._rows, parts)
        for node in self._walked.nodes:
            if node in self._shared:
                sums.push(node, self._shared)
            elif derivative.get(node) is not None:
                for number, (below, _) in enumerate(node.next_functions):
                    if below in self._shared:
                        self._met(sums, node, number, below, derivative[node])
        for number in self._unused:
            parts.none(number)

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


__all__ = ["Dotted", "Rows", "Whole"]

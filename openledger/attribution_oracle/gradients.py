"""Gradients of any torch language model, row by row, in its attributed parameters (those that require grad).

The model and its loss are strangers: ``losses(model, ids)`` gives one loss per row of a LongTensor [rows, time]. Rows
run together in one forward and one backward pass (``rowwise``); a model whose graph holds more than that knows goes
through ``torch.func`` (vmap of vjp), and one that vmap cannot take is asked row by row. The first rows of a graph that
goes the first way are compared with plain gradients of each alone: a model that mixes its rows does not pass.
Curvature comes from tossed coins (``coins``) where the loss is a weighted cross-entropy of the model's logits. Where no
such logits are found, the row's own gradient takes its place (the empirical Fisher).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.backends import mkldnn
from torch.func import functional_call, vjp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from openledger.attribution_oracle.coins import pulls
from openledger.attribution_oracle.layouts import Layout, Strange
from openledger.attribution_oracle.rowwise import Dotted, Rows, Whole
from openledger.attribution_oracle.standing import standing
from openledger.attribution_oracle.table import Table, halves_are_fast
from openledger.primitives.errors import OracleError

Losses = Callable[[Any, Tensor], Tensor]
Values = Callable[..., tuple[Tensor, Tensor | None]]
Room = tuple[Tensor, Tensor]
"""Memory for gradients of rows and for vectors of curvature, both [any, parameters]; the second may be bfloat16."""
CHUNK = 16
ASKED = 32  # queries at once
AGREE = 1e-5  # how far a row's gradient may be from that of the row alone, relative
ROUGH = 5e-2  # the same in bfloat16, and how far it may be from fp32
FAILS = (RuntimeError, NotImplementedError, ValueError, TypeError, AttributeError, IndexError)  # what strangers raise


class _Called(nn.Module):
    """The loss as a module's output, so that weights can be passed in; keeps the logits that the model gave."""

    def __init__(self, model: nn.Module, losses: Losses) -> None:
        super().__init__()
        self.model, self.losses = model, losses
        self.logits: Tensor | None = None

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        self.logits = None
        handle = self.model.register_forward_hook(self._keep)
        try:
            losses = self.losses(self.model, ids)
        finally:
            handle.remove()
        logits, self.logits = self.logits, None
        return losses, logits

    def _keep(self, module: nn.Module, inputs: Any, output: Any) -> None:
        found = output
        if isinstance(output, Mapping):
            found = output.get("logits")
        elif hasattr(output, "logits"):
            found = output.logits
        elif isinstance(output, tuple | list):
            found = next((o for o in output if isinstance(o, Tensor) and o.dim() == 3), None)
        self.logits = found if isinstance(found, Tensor) and found.dim() == 3 else None


@dataclass(frozen=True)
class _Pass:
    """One forward pass of some rows, whose graph is understood."""

    losses: Tensor
    logits: Tensor | None
    graph: Rows
    theta: Tensor
    offsets: Sequence[int]

    def own(self, into: Tensor | None = None) -> Tensor:
        """Gradients of the losses, [rows, parameters]."""
        found = self.theta.new_empty(len(self.losses), len(self.theta)) if into is None else into
        self.graph.gradients(Whole(found, self.offsets), self.losses.sum())
        return found

    def dotted(self, table: Table) -> Tensor:
        """The same times an index' rows: [rows, index rows]."""
        found = Dotted(len(self.losses), table)
        self.graph.gradients(found, self.losses.sum())
        return found.scores

    def pulled(self, pulls: Tensor, into: Tensor | None = None) -> Tensor:
        """Gradients of the logits times ``pulls`` [rows, draws, time, vocabulary]: [rows * draws, parameters]."""
        rows, draws = pulls.shape[:2]
        found = self.theta.new_empty(rows, draws, len(self.theta)) if into is None else into.view(rows, draws, -1)
        for draw in range(draws):
            part = Whole(found[:, draw], self.offsets)
            self.graph.gradients(part, cast(Tensor, self.logits), pulls[:, draw])
        return found.view(rows * draws, -1)


class Gradients:
    """Gradients of one model and loss; parameters travel as one fp32 vector [parameters]."""

    def __init__(self, model: nn.Module, losses: Losses) -> None:
        """Raises OracleError for a model without parameters that require grad."""
        chosen = {name: p for name, p in model.named_parameters() if p.requires_grad}
        if not chosen:
            raise OracleError("no parameter of the model requires grad", "mark the trained ones with requires_grad_")
        self.model, self._called = model, _Called(model, losses)
        self._names, self._chosen = list(chosen), list(chosen.values())
        self.shapes = [p.shape for p in chosen.values()]
        self._sizes = [p.numel() for p in chosen.values()]
        self._dtypes = [p.dtype for p in chosen.values()]
        self.size = sum(self._sizes)
        self.whole_model = sum(p.numel() for p in model.parameters())
        self.device = next(iter(chosen.values())).device
        self._offsets = [0, *accumulate(self._sizes)]
        self._fused = any(isinstance(part, nn.LSTM) for part in model.modules())
        self._direct = self._together = True
        self._rough = False
        self._layouts: dict[tuple[Any, ...], Sequence[Layout]] = {}
        self._compared: set[tuple[Any, ...]] = set()

    def vector(self, state: Mapping[str, Tensor]) -> Tensor:
        """The attributed parameters of a state dict, fp32 [parameters]. Raises OracleError when one is missing, has
        another shape, or is not finite."""
        parts = []
        for name, shape in zip(self._names, self.shapes, strict=True):
            if name not in state or not isinstance(state[name], Tensor) or state[name].shape != shape:
                raise OracleError(f"the state lacks {name!r}, or has it in another shape")
            parts.append(state[name].detach().to(self.device, torch.float32).reshape(-1))
        together = torch.cat(parts)
        if not bool(torch.isfinite(together).all()):
            raise OracleError("the weights hold NaN or infinity")
        return together

    def now(self) -> Tensor:
        """The model's present parameters, fp32 [parameters]."""
        return self.vector(dict(self._called.model.named_parameters()))

    def bears_rounding(self, theta: Tensor, ids: Tensor) -> bool:
        """Whether passes in bfloat16 are fast here, can be made of this model, and give rows' gradients within ROUGH of
        those in fp32 (relative, each row of ``ids`` at ``theta``)."""
        if not halves_are_fast(self.device) or len(ids) < 2:
            return False
        exact = self.rows(theta, ids)
        if not self._direct:
            return False
        before = self._direct, self._together
        try:
            with self.roughly(True):
                near = self.rows(theta, ids)
            found = self._direct
        except FAILS:
            return False
        finally:
            self._direct, self._together = before
        return found and bool(((near - exact).norm(dim=1) <= ROUGH * exact.norm(dim=1)).all())

    @contextmanager
    def roughly(self, rough: bool) -> Iterator[None]:
        """Within, where ``rough``, matrix products of the model are in bfloat16, as torch's autocast has it."""
        before, self._rough = self._rough, rough
        try:
            yield
        finally:
            self._rough = before

    def losses(self, theta: Tensor, ids: Tensor) -> Tensor:
        """fp32 [rows], without gradients."""
        with torch.no_grad():
            return self._losses(theta, ids)[0].float()

    def mean(self, theta: Tensor, ids: Tensor) -> Tensor:
        """Gradient of the mean loss of ``ids``, fp32 [parameters]."""
        with standing(self._chosen, self._split(theta).values()), self._alike():
            losses, _ = self._checked(self._called(ids), ids)
            found = torch.autograd.grad(losses.mean(), self._chosen, allow_unused=True)
        if all(part is None for part in found):
            raise ValueError("the losses do not depend on the parameters")
        parts = (theta.new_zeros(size) if part is None else part for part, size in zip(found, self._sizes, strict=True))
        return torch.cat([part.float().reshape(-1) for part in parts])

    def rows(self, theta: Tensor, ids: Tensor) -> Tensor:
        """One gradient per row of ``ids``, fp32 [rows, parameters]."""
        found = []
        for some in torch.split(ids, ASKED):
            run = self._pass(theta, some)
            found.append(self._each(theta, (some,), self._of_row, 0)[:, 0] if run is None else run.own())
        return torch.cat(found) if len(found) > 1 else found[0]

    def trimmed(self, theta: Tensor, ids: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """``ids`` in parts, each with the numbers of its rows, int64: rows of about one length go together and lose
        their common padding, where a look at the shortest row shows that padding does not change losses."""
        lengths = _lengths(ids)
        cut = self._cuts(theta, ids[int(lengths.argmin())][None])
        for numbers in torch.split(lengths.argsort(stable=True), ASKED):
            time = int(lengths[numbers].max()) if cut else ids.shape[1]
            yield numbers, ids[numbers, :time]

    def whole(self, index: Tensor) -> Table:
        """An index [index rows, parameters] for ``dotted``, all of it."""
        return Table.whole(index, self._offsets)

    def cut(self, index: Tensor) -> Table:
        """The columns of an index that tell, in the type that is multiplied fastest (see ``table``)."""
        return Table.cut(index, self._offsets)

    def dotted(self, theta: Tensor, ids: Tensor, table: Table) -> Tensor:
        """One gradient per row of ``ids`` times each row of an index, fp32 [rows, index rows]."""
        found = table.like.new_empty(len(ids), table.rows)
        for numbers, some in self.trimmed(theta, ids):
            run = self._pass(theta, some)
            found[numbers] = table.times(self.rows(theta, some)) if run is None else run.dotted(table)
        return found

    def _cuts(self, theta: Tensor, row: Tensor) -> bool:
        time = int(_lengths(row))
        if time == row.shape[1]:
            return False
        try:
            whole, short = self.losses(theta, row), self.losses(theta, row[:, :time])
        except (RuntimeError, ValueError, IndexError, TypeError):  # a model of one fixed width
            return False
        return bool((whole - short).abs() <= 1e-5 * whole.abs())

    def drawn(
        self, theta: Tensor, ids: Tensor, draws: int, seed: int, label: str, into: Room | None = None, before: int = 0
    ) -> tuple[Tensor, Tensor]:
        """The rows' gradients, and ``draws`` vectors S per row, [rows * draws, parameters]: S^T S / (rows * draws) is
        the estimated curvature of the mean loss. One forward pass serves both. ``into``, as long as both or longer,
        is memory that the result may lie in: fresh memory costs a good part of what the passes do. The coins are those
        of rows that stand behind ``before`` others."""
        if len(ids) > CHUNK:
            return self._drawn_in_parts(theta, ids, draws, seed, label, before)
        run = self._pass(theta, ids)
        if run:
            losses, logits = run.losses, run.logits
        else:
            losses, logits = self._losses(theta.detach().clone().requires_grad_(True), ids)
        found = pulls(losses, logits, draws, seed, label, before)
        if found is None:
            own = run.own() if run else self.rows(theta, ids)
            tokens = (ids != 0).sum(1).clamp(min=1).to(own.dtype)
            return own, own * tokens.sqrt()[:, None]
        if run:
            rows = len(ids)
            parts = (None, None) if into is None else (into[0][:rows], into[1][: rows * draws])
            return run.own(parts[0]), run.pulled(found, parts[1])
        made = self._each(theta, (ids, found), self._both, draws)
        return made[:, 0], made[:, 1:].reshape(-1, self.size)

    def _drawn_in_parts(
        self, theta: Tensor, ids: Tensor, draws: int, seed: int, label: str, before: int
    ) -> tuple[Tensor, Tensor]:
        """As ``drawn``, CHUNK rows at most together. A part of rows without any loss has one vector a row."""
        made = []
        for some in torch.tensor_split(ids, -(-len(ids) // CHUNK)):
            made.append(self.drawn(theta, some, draws, seed, label, before=before))
            before += len(some)
        many = max(len(drawn) // len(own) for own, drawn in made)
        vectors = [d if len(d) == many * len(o) else d.repeat_interleave(many, 0) for o, d in made]
        return torch.cat([own for own, _ in made]), torch.cat(vectors)

    def _of_row(self, params: dict[str, Tensor], row: Tensor) -> tuple[Tensor, Tensor | None]:
        return self._call(params, row[None])[0].sum(), None

    def _both(self, params: dict[str, Tensor], row: Tensor, pull: Tensor) -> tuple[Tensor, Tensor | None]:
        losses, logits = self._call(params, row[None])
        return losses.sum(), None if logits is None else (logits[0].float() * pull).sum((1, 2))

    def _pass(self, theta: Tensor, ids: Tensor) -> _Pass | None:
        """A forward pass whose gradients by row are known to be right, or None."""
        if not self._direct or len(ids) < 2:
            return None
        leaves = {name: part.detach().requires_grad_(True) for name, part in self._split(theta.detach()).items()}
        try:
            with _apart(self._fused):
                losses, logits = self._checked(self._call(leaves, ids), ids)
            graph = Rows.of(losses, list(leaves.values()), self._layouts)
            found = _Pass(losses, logits, graph, theta.detach(), self._offsets)
            if graph.signature not in self._compared:
                self._compare(theta, ids, found.own())
                self._compared.add(graph.signature)
        except (Strange, *FAILS):
            self._direct = False
            return None
        return found

    def _compare(self, theta: Tensor, ids: Tensor, own: Tensor) -> None:
        """Raises Strange where the first or last row's gradient is not that of the row alone: as a whole, or far off
        in one tensor."""
        agree = ROUGH if self._rough else AGREE
        for row in (0, len(ids) - 1):
            alone = self._plain(theta, (ids[row : row + 1],), self._of_row)[0, 0]
            size = float(alone.norm())
            for one, other in zip(*(torch.split(x, self._sizes) for x in (own[row], alone)), strict=True):
                if not float((one - other).norm()) <= agree * (size / 10 + 10 * float(other.norm())):
                    raise Strange("a row's gradient depends on other rows")
            if not float((own[row] - alone).norm()) <= agree * size:
                raise Strange("a row's gradient depends on other rows")

    def _losses(self, theta: Tensor, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        return self._checked(self._call(self._split(theta), ids), ids)

    def _checked(self, found: tuple[Tensor, Tensor | None], ids: Tensor) -> tuple[Tensor, Tensor | None]:
        if not isinstance(found[0], Tensor) or found[0].shape != (len(ids),):
            raise OracleError("losses must give one number per row")
        return found

    def _split(self, theta: Tensor) -> dict[str, Tensor]:
        parts = zip(self._names, torch.split(theta, self._sizes), self.shapes, self._dtypes, strict=True)
        return {"model." + name: part.view(shape).to(dtype) for name, part, shape, dtype in parts}

    def _call(self, params: dict[str, Tensor], ids: Tensor) -> tuple[Tensor, Tensor | None]:
        with self._alike():
            found: tuple[Tensor, Tensor | None] = functional_call(self._called, params, (ids,))
        return found

    @contextmanager
    def _alike(self) -> Iterator[None]:
        """Within, no fused attention: it has no batching rule, and differs between machines."""
        rough = torch.autocast(self.device.type, torch.bfloat16, enabled=self._rough)
        with sdpa_kernel(SDPBackend.MATH), rough:
            yield

    def _each(self, theta: Tensor, inputs: tuple[Tensor, ...], values: Values, draws: int) -> Tensor:
        """Gradients of a row's loss and of its ``draws`` pulled values, [rows, 1 + draws, parameters]."""
        found = []
        for some in zip(*(torch.split(x, CHUNK if draws else ASKED) for x in inputs), strict=True):
            done = self._batched(theta, some, values, draws) if self._together and len(some[0]) > 1 else None
            found.append(done if done is not None else self._plain(theta, some, values))
        return torch.cat(found) if len(found) > 1 else found[0]

    def _batched(self, theta: Tensor, some: tuple[Tensor, ...], values: Values, draws: int) -> Tensor | None:
        """None when vmap cannot take this model: branches on data, ``item()``, operations without a batching rule."""

        def of_row(params: dict[str, Tensor], *row: Tensor) -> dict[str, Tensor]:
            back = cast(
                Callable[[Tensor], tuple[dict[str, Tensor]]], vjp(lambda p: _stacked(values(p, *row)), params)[1]
            )
            if not draws:  # a second vmap around one backward pass would only cost
                return back(torch.ones(1, dtype=torch.float32, device=self.device))[0]
            return vmap(lambda which: back(which)[0])(torch.eye(1 + draws, dtype=torch.float32, device=self.device))

        try:
            found = vmap(of_row, in_dims=(None, *[0] * len(some)), randomness="different")(self._split(theta), *some)
        except FAILS:
            self._together = False
            return None
        rows = (len(some[0]), 1 + draws, -1)
        return torch.cat([found["model." + name].reshape(rows).float() for name in self._names], 2)

    def _plain(self, theta: Tensor, some: tuple[Tensor, ...], values: Values) -> Tensor:
        """The same row by row, without ``torch.func``'s transforms."""
        found = []
        for row in zip(*some, strict=True):
            leaf = theta.detach().clone().requires_grad_(True)
            wanted = _stacked(values(self._split(leaf), *row))
            found.append(torch.stack([torch.autograd.grad(w, leaf, retain_graph=True)[0] for w in wanted]))
        return torch.stack(found)


def _apart(fused: bool) -> AbstractContextManager[None]:
    """Within, an LSTM's steps are operations of their own, which a graph can be walked by, and not one of oneDNN."""
    if not fused:
        return nullcontext()
    found: AbstractContextManager[None] = mkldnn.flags(enabled=False, allow_tf32=None)
    return found


def _lengths(ids: Tensor) -> Tensor:
    """Where the padding at the end of each row begins, int64 [rows]; at least 2."""
    places = torch.arange(1, ids.shape[1] + 1, device=ids.device)
    return ((ids != 0) * places).amax(1).clamp(min=min(2, ids.shape[1]))


def _stacked(values: tuple[Tensor, Tensor | None]) -> Tensor:
    loss, pulled = values
    return loss.float().reshape(1) if pulled is None else torch.cat((loss.float().reshape(1), pulled))


__all__ = ["Gradients", "Losses", "Room"]

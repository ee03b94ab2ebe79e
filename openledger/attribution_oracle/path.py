"""Path influence: how the trained weights depend on the weight of each training row, carried along the run.

The run is replayed. With U_i = d theta / d w_i (w_i the weight of row i in its batches' means), M_i and V_i the same
of Adam's moments, o_i = (g_i - mean g) / batch for the rows of the batch and else 0, and r the root of vhat + eps^2 +
vhat's mean times DAMPING, a step does to every row at once

    M_i <- b1 M_i + (1 - b1) o_i            V_i <- b2 V_i + 2 (1 - b2) o_i mean g
    U_i <- (I + R F)^-1 (U_i - lr / r * M_i / (1 - b1^t) + lr mhat / (2 r^3) * V_i / (1 - b2^t))

F is the batch's curvature (``gradients.drawn``) and R = lr / r. Taken implicitly, what curvature takes away never
overshoots, however large lr F / r is: F has few rows S, and (I + R S^T S / k)^-1 costs a k x k system. The mean of vhat
in r keeps parameters that were hardly ever moved from drowning all others. A row's influence on a loss is minus the
gradient of the loss times U_i.

Without F (no draws) what a row has done stays. Where ``layers`` are given, the mean of vhat is that of a layer's own
parameters: large gradients of one layer then do not decide what is small in another, and what machines round
differently in a layer is not made larger than what the layer's rows do (docs/lab/tolerances.md).

Memory: three fp32 matrices [rows, parameters]. Where they would exceed ``memory``, only U is kept (a third of the
memory, a quarter of the traffic): what a row's gradient will do through the first moment, over the steps that remain,
is then done at once, the second moment is taken as given, and curvature is one draw a row. Where vectors are ``held``,
several steps' curvature is applied together: U is read and written once for all of them. Where the work is ``rough``,
what is held is in bfloat16, and U is not; it is then read more often than written, as products cost less than that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any, Protocol

import torch
from torch import Tensor

from openledger.attribution_oracle.gradients import Room
from openledger.attribution_oracle.ports import Progress, silent
from openledger.primitives.errors import OracleError

DAMPING = 0.1
MEMORY = 1 << 30
LEAN_DRAWS = 1
LARGE_EPS = 1e9
"""Most that eps may be: its square is added to second moments in fp32."""
OTHERS = ("weight_decay", "amsgrad", "maximize", "momentum", "nesterov")
"""What others of this name do besides."""
BLOCK, PART = 8192, 1 << 15
WAITING = 2
"""Times as many vectors as are held together wait until U is written, where the work is rough."""


@dataclass(frozen=True)
class Steps:
    """A training run's steps: row numbers and learning rate of each, and Adam's constants."""

    batches: tuple[tuple[int, ...], ...]
    lrs: tuple[float, ...]
    b1: float
    b2: float
    eps: float

    @classmethod
    def of(cls, run: Mapping[str, Any], rows: int) -> Steps:
        """Of ``batches``, ``lrs`` and ``optimizer`` of a run. Raises OracleError when something is missing, out of
        range, or not finite."""
        try:
            batches = tuple(tuple(index(i) for i in batch) for batch in run["batches"])
            lrs = tuple(float(lr) for lr in run["lrs"])
            chosen = dict(run["optimizer"])
            kind, b1, b2, eps = str(chosen["kind"]), float(chosen["b1"]), float(chosen["b2"]), float(chosen["eps"])
        except (KeyError, TypeError, ValueError, OverflowError) as err:
            raise OracleError(f"the run is malformed: {type(err).__name__} {err}") from None
        if kind.lower() != "adam":
            raise OracleError(f"the optimizer {kind!r} is unknown", "known: adam")
        if not batches or len(batches) != len(lrs):
            raise OracleError(f"{len(batches)} batches and {len(lrs)} learning rates do not make a run")
        if any(not batch or not all(0 <= i < rows for i in batch) for batch in batches):
            raise OracleError("a batch is empty or names a row that does not exist")
        other = next((name for name in OTHERS if chosen.get(name)), None)
        if other is not None:
            raise OracleError(f"the optimizer has {other}, which no replay here knows", "known: b1, b2, eps")
        in_range = 0 <= b1 < 1 and 0 <= b2 < 1 and 0 <= eps <= LARGE_EPS
        if not all(math.isfinite(x) for x in lrs) or not in_range:
            raise OracleError("a learning rate or a constant of the optimizer is out of range")
        return cls(batches, lrs, b1, b2, eps)


class Moments:
    """Adam over one vector of parameters, as the receipt has it: theta -= lr * mhat / sqrt(vhat + eps^2)."""

    def __init__(self, theta: Tensor, steps: Steps) -> None:
        self.theta, self.steps, self.count = theta.clone(), steps, 0
        self.m, self.v = torch.zeros_like(theta), torch.zeros_like(theta)

    def step(self, gradient: Tensor, lr: float) -> None:
        """One update."""
        s = self.steps
        self.count += 1
        after = torch.empty_like(self.theta)
        size = PART if after.device.type == "cpu" else len(after)
        parts = (torch.split(x, size) for x in (self.theta, after, gradient, self.m, self.v))
        for theta, new, g, m, v in zip(*parts, strict=True):  # part by part stays in the processor's cache
            m.mul_(s.b1).add_(g, alpha=1 - s.b1)
            v.mul_(s.b2).addcmul_(g, g, value=1 - s.b2)
            root = (v / (1 - s.b2**self.count)).add_(s.eps**2).sqrt_().clamp_(min=1e-30)
            torch.sub(theta, ((lr / (1 - s.b1**self.count)) * m).div_(root), out=new)
        self.theta = after


class Effects:
    """U, M and V of all rows (see the top of the file); U alone when ``lean``."""

    def __init__(
        self, rows: int, adam: Moments, lean: bool = False, held: int = 1, rough: bool = False,
        layers: Sequence[int] = (),
    ) -> None:  # fmt: skip
        """``layers``: how many parameters each has, in order; none: one for all."""
        self.adam, self._rough, self._layers = adam, rough, list(layers)
        self.u = adam.theta.new_zeros(rows, len(adam.theta))
        self.m: Tensor | None = None if lean else torch.zeros_like(self.u)
        self.v: Tensor | None = None if lean else torch.zeros_like(self.u)
        self._most = held if lean else 1
        self._waits = self._most * (WAITING if rough else 1)
        self._drawn = self._scaled = self._push = self.u[:0]
        self._taken = self.u[:, :0]
        self._held = self._done = 0

    @property
    def bytes(self) -> int:
        """Of the matrices."""
        return sum(4 * part.numel() for part in (self.u, self.m, self.v) if part is not None)

    def room(self, rows: int, draws: int) -> Room:
        """Memory for what a step asks of ``rows`` rows."""
        size, form = len(self.adam.theta), torch.bfloat16 if self._rough else self.u.dtype
        return self.u.new_empty(rows, size), self.u.new_empty(rows * draws, size, dtype=form)

    def step(self, batch: Tensor, own: Tensor, mean: Tensor, drawn: Tensor | None, lr: float) -> None:
        """What the step that ``adam`` has just made does. ``own`` gradients [batch, parameters] before it, and their
        mean."""
        adam, s = self.adam, self.adam.steps
        fix1, fix2 = 1 - s.b1**adam.count, 1 - s.b2**adam.count
        root = self._root()
        if len(self._push) < len(own):
            self._push = torch.empty_like(own)
        push = torch.sub(own, mean, out=self._push[: len(own)])
        if self.m is None or self.v is None:
            coming = math.fsum(rate * s.b1**k for k, rate in enumerate(s.lrs[adam.count - 1 :]))
            self.u.index_add_(0, batch, push.div_(root), alpha=-(1 - s.b1) * coming / len(own))
        else:
            push.div_(len(own))
            self.m.mul_(s.b1).index_add_(0, batch, push, alpha=1 - s.b1)
            self.v.mul_(s.b2).index_add_(0, batch, push * mean, alpha=2 * (1 - s.b2))
            self.u.addcmul_(self.m, (lr / fix1 / root).expand_as(self.m), value=-1)
            self.u.addcmul_(self.v, (lr / (2 * fix1 * fix2) * adam.m / root**3).expand_as(self.v))
        if drawn is not None:
            self._hold(drawn, lr / len(drawn) / root)

    def _hold(self, drawn: Tensor, rate: Tensor) -> None:
        """Keep vectors of curvature [any, parameters], and times R; apply them once they are as many as may be held.
        What they are kept in is used again: fresh memory costs as much as the arithmetic."""
        if self._held + len(drawn) > len(self._drawn):
            self.decay()
            if len(drawn) > len(self._drawn):
                form = torch.bfloat16 if self._rough else drawn.dtype
                most, size = max(len(drawn), self._most), drawn.shape[1]
                self._drawn = drawn.new_empty(most, size, dtype=form)
                self._scaled = drawn.new_empty(max(most, self._waits), size, dtype=form)
                self._taken = self.u.new_empty(len(self.u), len(self._scaled), dtype=form)
        until, at = self._held + len(drawn), self._done + self._held
        self._drawn[self._held : until] = drawn
        torch.mul(drawn, rate.to(drawn.dtype), out=self._scaled[at : at + len(drawn)])
        self._held = until
        if until >= self._most:
            self._take()
            if self._done + len(self._drawn) > len(self._scaled):
                self.decay()

    def settle(self) -> None:
        """What first moments will still do, over the steps that remain, is done at once, and second moments are taken
        as given from here on: afterwards U alone says what the rows have done."""
        self.decay()
        if self.m is None or self.v is None:
            return
        count, s = self.adam.count, self.adam.steps
        coming = math.fsum(
            rate * s.b1 ** (k + 1) / (1 - s.b1 ** (count + k + 1)) for k, rate in enumerate(s.lrs[count:])
        )
        self.u.addcmul_(self.m, (coming / self._root()).expand_as(self.m), value=-1)
        self.m.zero_()
        self.v.zero_()

    def _root(self) -> Tensor:
        """r after the step that ``adam`` has just made, fp32 [parameters]."""
        s, v = self.adam.steps, self.adam.v
        fix2 = 1 - s.b2**self.adam.count
        if not self._layers:
            return (v / fix2 + (s.eps**2 + DAMPING * float(v.mean()) / fix2)).sqrt_().clamp_(min=1e-30)
        mean = torch.cat([part.mean().expand(len(part)) for part in torch.split(v, self._layers)])
        return (v / fix2 + (s.eps**2 + DAMPING / fix2 * mean)).sqrt_().clamp_(min=1e-30)

    def decay(self) -> None:
        """What the curvature that is held back does."""
        self._take()
        scaled, taken, self._done = self._scaled[: self._done], self._taken[:, : self._done], 0
        if not len(scaled):
            return
        for part, some in zip(torch.split(self.u, BLOCK, 1), torch.split(scaled, BLOCK, 1), strict=True):
            part.sub_(taken @ some)  # block by block, as the product is then still in the processor's cache

    def _take(self) -> None:
        """Find what is to be taken from U for the vectors that are held: it waits until ``decay``, as U is read here
        and written there, and that takes longer than the arithmetic."""
        if not self._held:
            return
        drawn, before, until = self._drawn[: self._held], self._done, self._done + self._held
        inner, sums = self._sums(drawn, self._scaled[:until])
        sums -= inner[:, :before] @ self._taken[:, :before].to(sums.dtype).T
        inner = inner[:, before:] + torch.eye(len(drawn), dtype=inner.dtype, device=inner.device)
        self._taken[:, before:until] = torch.linalg.solve(inner, sums).T
        self._held, self._done = 0, until

    def _sums(self, drawn: Tensor, scaled: Tensor) -> tuple[Tensor, Tensor]:
        """``drawn`` times ``scaled`` and times U, fp32 [vectors, vectors] and [vectors, rows]; in bfloat16 block by
        block, as the product of a block is rounded and the sum of all is not."""
        if drawn.dtype == self.u.dtype:
            return drawn @ scaled.T, drawn @ self.u.T
        inner, sums = (self.u.new_zeros(len(drawn), len(other)) for other in (scaled, self.u))
        for d, s, u in zip(*(torch.split(x, BLOCK, 1) for x in (drawn, scaled, self.u)), strict=True):
            inner += d @ s.T
            sums += d @ u.to(d.dtype).T
        return inner, sums


def is_lean(rows: int, parameters: int, memory: int = MEMORY) -> bool:
    """Whether three matrices are too many."""
    return 12 * rows * parameters > memory


class Source(Protocol):
    """Where a replay takes its gradients from: ``Gradients``, or a tape of them."""

    size: int

    def rows(self, theta: Tensor, ids: Tensor) -> Tensor: ...

    def drawn(
        self, theta: Tensor, ids: Tensor, draws: int, seed: int, label: str, into: Room | None = None
    ) -> tuple[Tensor, Tensor]: ...


class Averaged(Protocol):
    """Where a retraining takes its gradients from: ``Gradients``, or those made in parts."""

    def mean(self, theta: Tensor, ids: Tensor) -> Tensor: ...


def path_rows(
    gradients: Source, start: Tensor, ids: Tensor, steps: Steps, draws: int, seed: int,
    progress: Progress = silent, memory: int = MEMORY, wanted: Sequence[int] | None = None, held: int = 1,
    rough: bool = False, alone: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """U fp32 [rows, parameters] of the ``wanted`` rows (default: all), and the weights that the replay ends at.
    ``draws`` vectors of curvature a row and step. Raises OracleError when a number is not finite, or when U alone
    exceeds ``memory`` (bytes) eight times. ``held`` and ``rough``: see the top of the file; ``alone``: only U is kept,
    whatever the memory."""
    chosen = range(len(ids)) if wanted is None else wanted
    size = 4 * len(chosen) * gradients.size
    if size > 8 * memory:
        raise OracleError(
            f"{len(chosen)} rows of {gradients.size} parameters need {size >> 20} MiB", "train an adapter"
        )
    lean = is_lean(len(ids), gradients.size, memory)
    places = shared_place(chosen, ids)
    effects = Effects(len(chosen) + (wanted is not None), Moments(start, steps), lean or alone, held, rough)
    walk(gradients, effects, ids, places, min(draws, LEAN_DRAWS) if lean else draws, seed, progress)
    effects.decay()
    return effects.u[: len(chosen)], effects.adam.theta


def shared_place(chosen: Sequence[int], ids: Tensor) -> Tensor:
    """Where each row of the run stands in U, int64 [rows]: those that were not chosen share one behind the last."""
    places = torch.full((len(ids),), len(chosen), device=ids.device)
    places[torch.tensor(list(chosen), device=ids.device, dtype=torch.long)] = torch.arange(
        len(chosen), device=ids.device
    )
    return places


def walk(
    gradients: Source, effects: Effects, ids: Tensor, places: Tensor, draws: int, seed: int,
    progress: Progress = silent, until: int | None = None,
) -> None:  # fmt: skip
    """Carry the effects from the step where their ``adam`` stands to step ``until`` (default: the end). Raises
    OracleError when a number is not finite."""
    adam, steps = effects.adam, effects.adam.steps
    room = effects.room(max(len(b) for b in steps.batches), draws) if draws else None
    for step in range(adam.count, len(steps.batches) if until is None else until):
        batch, lr = torch.tensor(steps.batches[step], device=ids.device), steps.lrs[step]
        drawn: Tensor | None = None
        if step and draws:
            own, drawn = gradients.drawn(adam.theta, ids[batch], draws, seed, f"fisher.{step}", room)
        else:
            own = gradients.rows(adam.theta, ids[batch])
        mean = own.mean(0)
        adam.step(mean, lr)
        effects.step(places[batch].to(adam.theta.device), own, mean, drawn, lr)
        if not math.isfinite(float(adam.theta.sum())):
            raise OracleError(f"the replay of the training run is not finite at step {step}")
        progress(step + 1, len(steps.batches), "training run replayed")


def retrained(gradients: Averaged, start: Tensor, ids: Tensor, steps: Steps, kept: Sequence[bool]) -> Tensor:
    """Weights after the same run without the rows that are not ``kept``: the batch mean is over what remains, and an
    empty batch has gradient zero. fp32 [parameters]."""
    adam = Moments(start, steps)
    nothing = torch.zeros_like(start)
    for numbers, lr in zip(steps.batches, steps.lrs, strict=True):
        remaining = [i for i in numbers if kept[i]]
        batch = torch.tensor(remaining, device=ids.device, dtype=torch.long)
        adam.step(gradients.mean(adam.theta, ids[batch]) if remaining else nothing, lr)
    return adam.theta


__all__ = ["Effects", "Moments", "Steps", "is_lean", "path_rows", "retrained", "shared_place", "walk"]

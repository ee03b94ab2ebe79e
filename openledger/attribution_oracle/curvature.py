"""What curvature is estimated from: for each tensor of the adapter the inputs and the output gradients, token by token.

Every tensor W [out, in] of an adapter is a linear layer: y = x W^T. With x [rows, time, in] and d [rows, time, out]
the derivative of some value by y, the derivative by W of a row is the sum over its tokens of d x^T. The value is the
drawn one of ``gradients``: its outer product has the row's Gauss-Newton matrix as expectation (the Fisher matrix of
labels drawn from the model), it is smooth in the odds, and its signs follow from (seed, label) on every machine.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from openledger.attribution_oracle import lora
from openledger.attribution_oracle.influence import BATCH, GradientDot, Run
from openledger.attribution_oracle.model import Adapted, at_once, pad
from openledger.attribution_oracle.ports import Progress
from openledger.attribution_oracle.tensors import signs
from openledger.attribution_oracle.tokenizer import PAD
from openledger.primitives.errors import InvalidModel

T = TypeVar("T")
DAMPING = 0.1
"""Of the mean eigenvalue (Grosse et al. 2023, section 2.3.2, take the same)."""
KEPT_MODELS = 2


class Kept(Generic[T]):
    """What is computed once a model and process: for the last ``KEPT_MODELS`` models, by ``Run.key``."""

    def __init__(self) -> None:
        self._kept: dict[bytes, T] = {}

    def get(self, run: Run, make: Callable[[], T]) -> T:
        """Kept, or made now."""
        key = run.key
        if key not in self._kept:
            made = make()
            while len(self._kept) >= KEPT_MODELS:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = made
        return self._kept[key]


@dataclass(frozen=True)
class Seen:
    """One tensor of the adapter in a batch: ``x`` fp32 [rows, time, in] (zero where nothing is predicted) and ``d``
    fp32 [rows, time, out]."""

    x: Tensor
    d: Tensor

    def rows(self) -> Tensor:
        """Derivative by the tensor, [rows, out, in]."""
        return self.d.transpose(1, 2) @ self.x


def drawn(run: Run, label: str, progress: Progress) -> Iterator[list[Seen]]:
    """All rows, batch by batch, in the order of their numbers; one ``Seen`` a tensor, in the adapter's order."""
    total, batch = len(run.rows), at_once(run.model, max(map(len, run.rows)), BATCH)
    for at in range(0, total, batch):
        yield _batch(run, pad(run.rows[at : at + batch], run.model.config.context), f"{label}.{at}")
        progress(min(at + batch, total), total, "curvature")


def _batch(run: Run, ids: Tensor, label: str) -> list[Seen]:
    device = next(run.model.parameters()).device
    ids, found = ids.to(device), dict[Adapted, tuple[Tensor, Tensor]]()

    def keep(layer: torch.nn.Module, given: Any, y: Tensor) -> None:
        if isinstance(layer, Adapted):
            found[layer] = (given[0].detach(), y)

    adapter = {name: t.detach().to(device).clone().requires_grad_(True) for name, t in run.adapter().items()}
    chosen = lora.places(run.model, run.settings.lora)
    layers = [layer for _, layer in chosen]
    with run.lock, lora.attached(run.model, run.settings.lora, adapter):
        handles = [layer.register_forward_hook(keep) for layer in layers]
        try:
            logits = run.model(ids[:, :-1])
        finally:
            for handle in handles:
                handle.remove()
        counted = (ids[:, 1:] != PAD).to(torch.float32)
        value = (logits * _pulls(logits.detach(), counted, run.seed, label)).sum()
        slopes = torch.autograd.grad(value, [found[layer][1] for layer in layers])
    seen = []
    scale = run.settings.lora.alpha / run.settings.lora.rank
    for (name, layer), slope in zip(chosen, slopes, strict=True):
        x, d = found[layer][0] * counted[..., None], slope * scale
        a, b = adapter[f"{name}.a"].detach(), adapter[f"{name}.b"].detach()
        seen += [Seen(x, d @ b), Seen(x @ a.T, d)]
    return seen


def _pulls(logits: Tensor, counted: Tensor, seed: int, label: str) -> Tensor:
    """What to pull the logits with (see ``gradients``); a row's loss is the mean over its counted tokens."""
    odds = logits.softmax(-1)
    tossed = odds.sqrt() * signs(seed, label, odds.numel()).to(odds.device).view(odds.shape)
    weight = counted / counted.sum(1, keepdim=True).clamp(min=1.0)
    return (tossed - odds * tossed.sum(-1, keepdim=True)) * weight.sqrt()[..., None]


class Preconditioned(GradientDot, ABC, Generic[T]):
    """Gradients at the final weights, the rows' multiplied with an inverse curvature: what it is made of follows from
    all rows, is computed once a model and process, and is the same on every machine within rounding."""

    def __init__(self) -> None:
        self._kept: Kept[T] = Kept()

    def row_vectors(self, run: Run, numbers: Any, progress: Progress) -> Tensor:
        factors = self._kept.get(run, lambda: self.factors(run, progress))
        return self.applied(run, factors, super().row_vectors(run, numbers, progress))

    @abstractmethod
    def factors(self, run: Run, progress: Progress) -> T:
        """What the inverse curvature is made of."""

    @abstractmethod
    def applied(self, run: Run, factors: T, gradients: Tensor) -> Tensor:
        """Vectors fp32 [rows, dim] of raw gradients [rows, parameters]."""


def damping(eigenvalues_mean: float, what: str) -> float:
    """Of one tensor. Raises InvalidModel when its curvature is not finite."""
    found = DAMPING * eigenvalues_mean
    if not 0 <= found < float("inf"):
        raise InvalidModel(f"the curvature of {what} is not finite")
    return max(found, 1e-30)


__all__ = ["DAMPING", "Kept", "Preconditioned", "Seen", "damping", "drawn"]

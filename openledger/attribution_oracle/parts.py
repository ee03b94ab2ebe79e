"""The gradients of a batch, made of a few rows at a time: what a large base computes of a row, logits above all, is
larger than what comes of it, and a step of a replay must fit the memory and the time that there is.

The parts give what the whole gives, but for rounding: rows do not know of each other, and coins are those that the
whole would have tossed. A step that is broken off between two parts goes on there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from openledger.attribution_oracle.gradients import Gradients, Room
from openledger.attribution_oracle.model import SQUARES, LanguageModel, at_once
from openledger.attribution_oracle.ports import Progress, silent
from openledger.attribution_oracle.tape import SHARE
from openledger.attribution_oracle.tokenizer import PAD

LOGITS, PULLS = 16, 12
"""Bytes that a pass holds for each of a row's logits, and for each and vector of curvature (docs/lab/tolerances.md)."""


def row_bytes(model: LanguageModel, longest: int, draws: int = 0) -> int:
    """What a pass holds of one row of ``longest`` ids while its gradients are made."""
    ids = max(1, min(longest, model.config.context))
    return model.config.vocab * ids * (LOGITS + PULLS * draws) + SQUARES * model.squares * ids * ids


def rows_at_once(model: LanguageModel, longest: int, batch: int, draws: int, memory: int) -> int:
    """How many rows of a batch go through the model together."""
    return max(1, min(at_once(model, longest, batch), memory // SHARE // row_bytes(model, longest, draws)))


def _trimmed(ids: Tensor) -> Tensor:
    return ids[:, : max(2, int((ids != PAD).any(0).sum()))]


class InParts:
    """Stands for ``Gradients``. ``memory``: bytes, as the rows of a replay have them; ``progress`` is called behind
    each part, and may raise SliceOver."""

    def __init__(self, gradients: Gradients, model: LanguageModel) -> None:
        self._gradients, self._model = gradients, model
        self.size, self.device = gradients.size, gradients.device
        self.memory = 1 << 62
        self.progress: Progress = silent
        self._begun: tuple[Tensor, Tensor, list[tuple[Tensor, ...]]] | None = None

    def allowed(self, memory: int, progress: Progress = silent) -> InParts:
        """The same from now on with other bounds."""
        self.memory, self.progress = memory, progress
        return self

    def losses(self, theta: Tensor, ids: Tensor) -> Tensor:
        """As ``Gradients.losses``, without the columns that are padding in all of these rows."""
        ids = _trimmed(ids)
        return torch.cat([self._gradients.losses(theta, some) for some in self._split(ids)])

    def mean(self, theta: Tensor, ids: Tensor) -> Tensor:
        """As ``Gradients.mean``, without such columns."""
        ids, total = _trimmed(ids), torch.zeros_like(theta)
        for some in self._split(ids):
            total += len(some) / len(ids) * self._gradients.mean(theta, some)
        return total

    def rows(self, theta: Tensor, ids: Tensor) -> Tensor:
        """As ``Gradients.rows``, without such columns."""
        ids = _trimmed(ids)
        return self._made(theta, ids, 0, lambda some, at: (self._gradients.rows(theta, some),))[0]

    def drawn(
        self, theta: Tensor, ids: Tensor, draws: int, seed: int, label: str, into: Room | None = None
    ) -> tuple[Tensor, Tensor]:
        """As ``Gradients.drawn``."""
        if self._most(ids, draws) >= len(ids):
            return self._gradients.drawn(theta, ids, draws, seed, label, into)
        own, drawn = self._made(
            theta, ids, draws, lambda some, at: self._gradients.drawn(theta, some, draws, seed, label, before=at)
        )
        return own, drawn

    def _split(self, ids: Tensor) -> Sequence[Tensor]:
        return torch.split(ids, self._most(ids, 0))

    def _most(self, ids: Tensor, draws: int) -> int:
        return rows_at_once(self._model, ids.shape[1], len(ids), draws, self.memory)

    def _made(
        self, theta: Tensor, ids: Tensor, draws: int, make: Callable[[Tensor, int], tuple[Tensor, ...]]
    ) -> tuple[Tensor, ...]:
        most, begun = self._most(ids, draws), self._begun
        done = begun[2] if begun is not None and begun[0] is theta and torch.equal(begun[1], ids) else []
        self._begun, at = (theta, ids, done), sum(len(own) for own, *_ in done)
        while at < len(ids):
            done.append(make(ids[at : at + most], at))
            at += len(done[-1][0])
            if at < len(ids):
                self.progress(at, len(ids), "rows of a step")
        self._begun = None
        return done[0] if len(done) == 1 else tuple(torch.cat(parts) for parts in zip(*done, strict=True))


__all__ = ["InParts", "row_bytes", "rows_at_once"]

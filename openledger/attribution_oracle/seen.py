"""What a replay sees of each row the last time that its step comes: gradient and vectors of curvature.

The second opinion (``rotated``) asks for both at the trained weights, which takes a pass for each vector over all rows:
four more fine-tunes, where a fine-tune goes through its rows once. Those of the last visits do as well, and are there.
Of a ``rough`` replay they are kept in bfloat16, so that the second opinion's products are, too.
"""

from __future__ import annotations

import torch
from torch import Tensor

from openledger.attribution_oracle.gradients import Gradients, Room
from openledger.attribution_oracle.path import Steps
from openledger.attribution_oracle.rotated import gathered


class Seen:
    """Stands for ``Gradients`` in one replay of a run of ``rows`` rows, and keeps what it gave."""

    def __init__(self, gradients: Gradients, steps: Steps, rows: int, rough: bool = False) -> None:
        self.size, self._form = gradients.size, torch.bfloat16 if rough else None
        self._gradients, self._steps, self._step = gradients, steps, 0
        self._last = {row: step for step, batch in enumerate(steps.batches) for row in batch}
        self._own: Tensor | None = None
        self._drawn: Tensor | None = None
        self._kept = [False] * rows

    def rows(self, theta: Tensor, ids: Tensor) -> Tensor:
        """As ``Gradients.rows``, of the next step."""
        self._step += 1
        return self._gradients.rows(theta, ids)

    def drawn(
        self, theta: Tensor, ids: Tensor, draws: int, seed: int, label: str, into: Room | None = None
    ) -> tuple[Tensor, Tensor]:
        """As ``Gradients.drawn``, of the next step."""
        own, drawn = self._gradients.drawn(theta, ids, draws, seed, label, into)
        step, self._step = self._step, self._step + 1
        many = len(drawn) // len(own)
        if self._own is None or self._drawn is None:
            self._own = own.new_empty(len(self._kept), self.size, dtype=self._form)
            self._drawn = own.new_empty(len(self._kept), many, self.size, dtype=self._form)
        if many == self._drawn.shape[1]:
            for place, row in enumerate(self._steps.batches[step]):
                if self._last[row] == step:
                    self._own[row] = own[place]
                    self._drawn[row] = drawn[place * many : (place + 1) * many]
                    self._kept[row] = True
        return own, drawn

    def gathered(self, theta: Tensor, ids: Tensor, draws: int, seed: int) -> tuple[Tensor, Tensor]:
        """Gradients of all rows ``ids``, [rows, parameters], and vectors of curvature, [any, parameters], no fewer: as
        they were last seen, at ``theta`` of those that were not."""
        missing = [row for row, kept in enumerate(self._kept) if not kept]
        if self._own is None or self._drawn is None:
            return gathered(self._gradients, theta, ids, draws, seed)
        if not missing:
            return self._own, self._drawn.view(-1, self.size)
        own, drawn = gathered(self._gradients, theta, ids[missing], draws, seed)
        self._own[missing], drawn = own, drawn.to(self._drawn.dtype)
        if len(drawn) == len(missing) * self._drawn.shape[1]:
            self._drawn[missing] = drawn.view(len(missing), -1, self.size)
            return self._own, self._drawn.view(-1, self.size)
        there = [row for row, kept in enumerate(self._kept) if kept]
        return self._own, torch.cat((self._drawn[there].view(-1, self.size), drawn))


__all__ = ["Seen"]

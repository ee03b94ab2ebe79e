"""Path influence as a method of the registry: the receipt's run is replayed, and every row gets its part in it.

Nothing but the receipt, the base and the rows decides the index, and curvature is drawn by (seed, step), so that
anybody recomputes it; a model that its receipt does not lead to is refused. A process replays a model once and keeps
its vectors: the next claims cost no more than with any other method.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from openledger.attribution_oracle import lora
from openledger.attribution_oracle.bases import Base
from openledger.attribution_oracle.gradients import Gradients
from openledger.attribution_oracle.influence import GradientDot, Run
from openledger.attribution_oracle.model import document_losses, pad
from openledger.attribution_oracle.path import Steps, path_rows
from openledger.attribution_oracle.ports import Progress
from openledger.attribution_oracle.train import Settings, receipt_bytes, start_tensors
from openledger.primitives.errors import InvalidModel

DRAWS = 2
KEPT_MODELS = 2
LARGEST = 1 << 28
"""Entries of the largest index: the replay holds three fp32 matrices of this size."""
REPLAY_TOLERANCE = 1e-3


class Trainable(nn.Module):
    """A base with what is trained as its only parameters that require grad, named as in the weights file, with "_" for
    "."; ``forward`` gives logits [rows, time, vocabulary]."""

    def __init__(self, base: Base, settings: Settings, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.gpt, self.settings = base.build(), settings
        if settings.kind == "full":
            self.gpt.load_state_dict(dict(tensors))
            self.gpt.requires_grad_(True)
        adapter = {} if settings.kind == "full" else tensors
        self.names = list(adapter)
        for name, tensor in adapter.items():  # one by one: a ParameterDict would sort them
            self.register_parameter(name.replace(".", "_"), nn.Parameter(tensor.clone()))

    def forward(self, ids: Tensor) -> Tensor:
        if self.settings.kind == "full":
            logits: Tensor = self.gpt(ids)
            return logits
        adapter = {name: getattr(self, name.replace(".", "_")) for name in self.names}
        with lora.attached(self.gpt, self.settings.lora, adapter):
            result: Tensor = self.gpt(ids)
            return result


def trainable_losses(model: nn.Module, ids: Tensor) -> Tensor:
    """Loss of each whole document, [rows]."""
    return document_losses(model, ids)  # type: ignore[arg-type]


class PathInfluence(GradientDot):
    """Rows along the training run (see ``path``); answers as gradients at the final weights."""

    name = "path-influence"
    cost = (
        "index: about 3.5 fine-tunes, for a verifier once per model; answer: one pass, then rows x dim multiplications"
    )

    def __init__(self) -> None:
        self._kept: dict[bytes, Tensor] = {}

    def dim(self, run: Run) -> int:
        if run.settings.kind == "full":
            raise InvalidModel("path influence indexes adapters", "take gradient-dot for a full fine-tune")
        return super().dim(run)

    def row_vectors(self, run: Run, numbers: Sequence[int], progress: Progress) -> Tensor:
        key = hashlib.sha256(receipt_bytes(run.receipt)).digest()
        if key not in self._kept:
            replayed = self._replay(run, progress)
            while len(self._kept) >= KEPT_MODELS:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = replayed
        return self._kept[key][torch.tensor(list(numbers), dtype=torch.long)]

    def _replay(self, run: Run, progress: Progress) -> Tensor:
        if self.dim(run) * len(run.rows) > LARGEST:
            raise InvalidModel(f"the index would have more than {LARGEST} entries", "take gradient-dot")
        model = Trainable(run.base, run.settings, run.tensors).to(next(run.model.parameters()).device)
        gradients = Gradients(model, trainable_losses)
        ids = pad(run.rows, run.base.config.context).to(gradients.device)
        steps = Steps.of(run.receipt, len(ids))
        fresh = start_tensors(run.base, run.base.build(), run.seed, run.settings)
        start = gradients.vector({name.replace(".", "_"): tensor for name, tensor in fresh.items()})
        found, end = path_rows(gradients, start, ids, steps, DRAWS, run.seed, progress)
        away = float((end - gradients.now()).norm() / gradients.now().norm().clamp(min=1e-30))
        if not away <= REPLAY_TOLERANCE:
            raise InvalidModel(f"the training receipt does not lead to the weights: they are {away:.1e} apart")
        return found.neg_().cpu()


__all__ = ["PathInfluence", "Trainable", "trainable_losses"]

"""EK-FAC of kronfluence 1.0.1 (Grosse et al. 2023), where it is installed: ``pip install kronfluence==1.0.1``.

kronfluence follows ``nn.Linear`` and ``nn.Conv2d`` only, so the model is rebuilt with its trained matrices as such
layers, LoRA's A and B as two without bias, and it is told to follow these alone. The rebuilt model must have the
losses of the original.
"""

from __future__ import annotations

import copy
import importlib
import logging
import tempfile
import time
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from openledger.attribution_oracle.hf import HfModel
from openledger.attribution_oracle.model import Adapted, Linear, document_losses
from openledger.attribution_oracle.replayed import Trainable, trainable_losses
from openledger.attribution_oracle.tokenizer import PAD

BATCH = 16


class Missing(Exception):
    """The peer is not installed."""


def _linear(weight: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data.copy_(weight.detach())
    return layer


class Beside(nn.Module):
    """A frozen layer and a LoRA pair of linear layers beside it."""

    def __init__(self, frozen: Adapted, a: Tensor, b: Tensor, scale: float) -> None:
        super().__init__()
        self.frozen, self.a, self.b, self.scale = frozen, _linear(a), _linear(b), scale

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.frozen(x) + self.scale * self.b(self.a(x))
        return y


def rebuilt(model: Trainable, probe: Tensor) -> tuple[nn.Module, list[str]]:
    """The same function with ``nn.Linear`` layers for what is trained, and their names. Of a full fine-tune, embedding
    and norms are left out: kronfluence does not follow them."""
    gpt, full, names = copy.deepcopy(model.gpt), model.settings.kind == "full", list[str]()
    inside = "inner." if isinstance(gpt, HfModel) else ""
    layers = [(n, m) for n, m in gpt.adapted() if full or f"{n}.a".replace(".", "_") in dict(model.named_parameters())]
    for name, layer in layers:
        if full:
            new: nn.Module = _linear(cast(Linear, layer).weight)
        else:
            a, b = (getattr(model, f"{name}.{x}".replace(".", "_")) for x in "ab")
            new = Beside(layer, a, b, model.settings.lora.alpha / model.settings.lora.rank)
        names += [inside + name] if full else [f"{inside}{name}.{x}" for x in "ab"]
        parent, _, last = f"{inside}{name}".rpartition(".")
        setattr(gpt.get_submodule(parent), last, new)
    with torch.no_grad():
        away = float((document_losses(gpt, probe) - trainable_losses(model, probe)).abs().max())
    if not away <= 1e-4:
        raise AssertionError(f"the rebuilt model's losses are {away:.1e} off")
    return gpt, names


def _kronfluence(name: str) -> Any:
    try:
        return importlib.import_module("kronfluence" + name)
    except ImportError as err:
        raise Missing(f"skipped, kronfluence 1.0.1 cannot be imported ({err})") from None


def _task(names: list[str]) -> Any:
    base: Any = _kronfluence(".task").Task

    class Documents(base):  # type: ignore[misc]
        """Whole documents: rows and queries count with their mean loss, as in training; the Fisher matrix is of
        labels drawn from the model, summed over tokens."""

        def compute_train_loss(self, batch: Tensor, model: nn.Module, sample: bool = False) -> Tensor:
            if not sample:
                return self.compute_measurement(batch, model)
            logits, counted = model(batch[:, :-1]), batch[:, 1:] != PAD
            drawn = torch.multinomial(logits.detach().flatten(0, 1).softmax(-1), 1).view_as(counted)
            each = functional.cross_entropy(logits.transpose(1, 2), drawn, reduction="none")
            return (each * counted).sum()

        def compute_measurement(self, batch: Tensor, model: nn.Module) -> Tensor:
            return document_losses(model, batch).sum()  # type: ignore[arg-type]

        def get_influence_tracked_modules(self) -> list[str]:
            return names

        def get_attention_mask(self, batch: Tensor) -> Tensor:
            return (batch[:, 1:] != PAD).long()

    return Documents()


def ekfac(made: Any, damping: float | None = 1e-8) -> np.ndarray:
    """Scores [queries, rows] of a ``World``, larger = lowered the query's loss more; ``damping`` None is kronfluence's
    heuristic, a tenth of the mean eigenvalue. Leaves the seconds of scoring in ``made.asking``."""
    arguments, analyzer = _kronfluence(".arguments"), _kronfluence(".analyzer")
    plain, names = rebuilt(made.model, made.query)
    task = _task(names)
    model = analyzer.prepare_model(plain, task)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        run = analyzer.Analyzer(
            "lds", model, task, cpu=True, disable_tqdm=True, output_dir=folder, log_level=logging.ERROR
        )
        run.fit_all_factors("ekfac", made.train, BATCH, factor_args=arguments.FactorArguments(strategy="ekfac"))
        before = time.process_time()
        run.compute_pairwise_scores(
            "scores", "ekfac", made.query, made.train, len(made.query), BATCH,
            score_args=arguments.ScoreArguments(damping_factor=damping),
        )  # fmt: skip
        made.asking = time.process_time() - before
        found: np.ndarray = run.load_pairwise_scores("scores")["all_modules"].double().numpy()
    return found

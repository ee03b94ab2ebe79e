"""LoRA of our own: beside each chosen frozen linear layer W stands a pair A [rank, in], B [out, rank], and the layer
computes x W^T + (alpha / rank) x A^T B^T. A starts random, B at zero. The same for every base, the built-in one and
those of Hugging Face, whose adapters ``hf`` can write in peft's form. Source: Hu et al. 2021, arXiv 2106.09685.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, zeros

from openledger.attribution_oracle.model import Adapted, LanguageModel
from openledger.attribution_oracle.tensors import uniform
from openledger.primitives.errors import InvalidModel

LAYERS = ("qkv", "out", "up", "down")
MAX_TARGETS = 32


@dataclass(frozen=True)
class LoraSettings:
    """Rank, scaling (alpha / rank) and which linear layers of each block are adapted."""

    rank: int = 4
    alpha: float = 8.0
    targets: tuple[str, ...] = LAYERS

    def check(self) -> None:
        """Raises InvalidModel for settings out of range."""
        if type(self.rank) is not int or not 1 <= self.rank <= 256 or not 0 < self.alpha <= 1024:
            raise InvalidModel("LoRA settings: rank must be a whole number between 1 and 256, alpha above 0")
        if not 1 <= len(self.targets) <= MAX_TARGETS or not all(re.fullmatch(r"\w{1,64}", t) for t in self.targets):
            raise InvalidModel("LoRA settings: targets are names of layers, such as q_proj")


def places(model: LanguageModel, settings: LoraSettings) -> list[tuple[str, Adapted]]:
    """The adapted layers, in a fixed order. Raises InvalidModel when a target is no layer of the model."""
    there = [(name, layer, name.rsplit(".", 1)[-1]) for name, layer in model.adapted()]
    kinds = dict.fromkeys(kind for _, _, kind in there)
    for target in settings.targets:
        if target not in kinds:
            raise InvalidModel(f"the base has no linear layer {target!r}", "it has: " + ", ".join(kinds))
    return [(name, layer) for name, layer, kind in there if kind in settings.targets]


def shapes(model: LanguageModel, settings: LoraSettings) -> dict[str, tuple[int, ...]]:
    """Names and shapes of an adapter's tensors, in a fixed order: ``blocks.0.qkv.a``, ``blocks.0.qkv.b``, ..."""
    settings.check()
    found: dict[str, tuple[int, ...]] = {}
    for name, layer in places(model, settings):
        found[f"{name}.a"] = (settings.rank, layer.inputs)
        found[f"{name}.b"] = (layer.outputs, settings.rank)
    return found


def create(model: LanguageModel, settings: LoraSettings, seed: int) -> dict[str, Tensor]:
    """Start tensors of an adapter: A uniform in +-sqrt(3 / in) by the seed, B zero. On the CPU."""
    started: dict[str, Tensor] = {}
    for name, shape in shapes(model, settings).items():
        if name.endswith(".a"):
            spread = math.sqrt(3.0 / shape[1])
            started[name] = uniform(seed, "lora." + name, shape[0] * shape[1]).reshape(shape) * spread
        else:
            started[name] = zeros(shape)
    return started


@contextmanager
def attached(model: LanguageModel, settings: LoraSettings, adapter: Mapping[str, Tensor]) -> Iterator[LanguageModel]:
    """The model with ``adapter`` (plain or batched tensors, see ``Adapted``) for the time of the block."""
    chosen = places(model, settings)
    before = [(layer.a, layer.b, layer.scale) for _, layer in chosen]
    try:
        for name, layer in chosen:
            # as views: a layer would register a Parameter as its own, and take no plain tensor afterwards
            layer.a, layer.b = (adapter[f"{name}.{part}"].view(adapter[f"{name}.{part}"].shape) for part in "ab")
            layer.scale = settings.alpha / settings.rank
        yield model
    finally:
        for (_, layer), (a, b, scale) in zip(chosen, before, strict=True):
            layer.a, layer.b, layer.scale = a, b, scale


__all__ = ["LAYERS", "LoraSettings", "attached", "create", "places", "shapes"]

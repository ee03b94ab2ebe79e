"""The allow-listed base models. ``BASES`` maps a name to the sha256 of its weights file; a claim about a model on
another base is refused. Built in: "openledger/tiny-v1" (made by bench/base_model.py, see data/tiny-v1.json).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import torch
from torch import Tensor

from openledger.attribution_oracle.model import GPT, Config
from openledger.attribution_oracle.tensors import load_like
from openledger.attribution_oracle.tokenizer import Tokenizer
from openledger.primitives.errors import CorruptDatabase, InvalidModel

TINY = "openledger/tiny-v1"


@dataclass(frozen=True)
class Base:
    """A base model: shape, tokenizer, fp32 weights, and ``digest`` = sha256 (hex) of the weights file."""

    name: str
    digest: str
    config: Config
    tokenizer: Tokenizer
    weights: Mapping[str, Tensor]

    def build(self, device: torch.device | None = None) -> GPT:
        """A fresh, frozen model with these weights."""
        model = GPT(self.config)
        model.load_state_dict(dict(self.weights))
        model.requires_grad_(False)
        return model.to(device or torch.device("cpu"))


def base_of(name: str, raw: bytes, config: Config, tokenizer: Tokenizer) -> Base:
    """A base of its parts. Raises InvalidModel when the weights do not fit the shape, or the tokenizer the
    vocabulary."""
    if tokenizer.size > config.vocab:
        raise InvalidModel(f"the tokenizer has {tokenizer.size} ids, the model {config.vocab}")
    with torch.device("meta"):
        wanted = {k: tuple(v.shape) for k, v in GPT(config).state_dict().items()}
    weights = load_like(raw, wanted, f"weights file of {name}")
    return Base(name, hashlib.sha256(raw).hexdigest(), config, tokenizer, weights)


def _data(name: str) -> bytes:
    return files("openledger.attribution_oracle").joinpath("data", name).read_bytes()


def _listed() -> dict[str, str]:
    return {TINY: str(json.loads(_data("tiny-v1.json"))["weights_sha256"])}


BASES: dict[str, str] = _listed()


@cache
def _built_in(name: str) -> Base:
    receipt = json.loads(_data("tiny-v1.json"))
    raw = _data("tiny-v1.safetensors")
    if hashlib.sha256(raw).hexdigest() != BASES[name]:
        raise CorruptDatabase(f"the weights file of {name} in this installation is damaged", "install again")
    tokenizer = Tokenizer(_data("tiny-v1.tokenizer.json").decode())
    return base_of(name, raw, Config.from_json(receipt["config"]), tokenizer)


def load_base(name: str = TINY, known: Mapping[str, Base] | None = None) -> Base:
    """An allow-listed base by name; ``known`` adds to the built-in ones. Raises InvalidModel for any other name."""
    if known is not None and name in known:
        return known[name]
    if name not in BASES:
        raise InvalidModel(f"{name!r} is not an allow-listed base", "allowed: " + ", ".join(BASES))
    return _built_in(name)


__all__ = ["BASES", "TINY", "Base", "base_of", "load_base"]

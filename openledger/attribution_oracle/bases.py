"""The base models. ``BASES`` maps the names of those that are built in to the sha256 of their weights files:
"openledger/tiny-v1" (made by bench/base_model.py, see data/tiny-v1.json). Others lie in folders in Hugging Face's
form, which this machine's operator has named (``Shelf``); their names are their digests (``folders``), so that an
entry in the chain's list of bases that may mint is one set of bytes. A base that nobody has heard of is refused; one
of a folder that this machine lacks says nothing about a claim.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from openledger.attribution_oracle.folders import PREFIX, Folder, is_name, read_folder, stamp
from openledger.attribution_oracle.lora import LAYERS
from openledger.attribution_oracle.model import GPT, Config, LanguageModel, Shape
from openledger.attribution_oracle.tensors import load_like
from openledger.attribution_oracle.tokenizer import Tokenizer
from openledger.primitives.errors import BaseMissing, CorruptDatabase, InvalidModel

TINY = "openledger/tiny-v1"


class Base(Protocol):
    """A base model: its name, its digest (sha256, hex), its shape, its tokenizer, the layers that are adapted unless
    others are named."""

    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def config(self) -> Shape: ...
    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def targets(self) -> tuple[str, ...]: ...
    @property
    def longest(self) -> int:
        """The largest context that it can have."""
        ...

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """All weights, fp32, for a full fine-tune. Raises InvalidModel where there is none."""
        ...

    def shown(self, context: int) -> Base:
        """The same base with another context, in tokens. Raises InvalidModel for one that it cannot have, BaseMissing
        where memory lacks for it."""
        ...

    def build(self, device: torch.device | None = None) -> LanguageModel:
        """A fresh, frozen model."""
        ...


@dataclass(frozen=True)
class BuiltIn:
    """A base of the shape ``GPT``; ``digest`` is the sha256 of its weights file."""

    name: str
    digest: str
    config: Config
    tokenizer: Tokenizer
    weights: Mapping[str, Tensor]
    targets: tuple[str, ...] = LAYERS

    @property
    def longest(self) -> int:
        """What it was trained for."""
        return self.config.context

    def shown(self, context: int) -> BuiltIn:
        """What it was trained for, and nothing else. Raises InvalidModel."""
        if context != self.config.context:
            raise InvalidModel(f"{self.name} is shown {self.config.context} tokens, not {context}")
        return self

    def build(self, device: torch.device | None = None) -> GPT:
        """A fresh, frozen model with these weights."""
        model = GPT(self.config)
        model.load_state_dict(dict(self.weights))
        model.requires_grad_(False)
        return model.to(device or torch.device("cpu"))


def base_of(name: str, raw: bytes, config: Config, tokenizer: Tokenizer) -> BuiltIn:
    """A base of its parts. Raises InvalidModel when the weights do not fit the shape, or the tokenizer the
    vocabulary."""
    if tokenizer.size > config.vocab:
        raise InvalidModel(f"the tokenizer has {tokenizer.size} ids, the model {config.vocab}")
    with torch.device("meta"):
        wanted = {k: tuple(v.shape) for k, v in GPT(config).state_dict().items()}
    weights = load_like(raw, wanted, f"weights file of {name}")
    return BuiltIn(name, hashlib.sha256(raw).hexdigest(), config, tokenizer, weights)


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


class Shelf(Mapping[str, Base]):
    """The bases in an operator's folders, by name. A folder is hashed when it is first asked for, and again when its
    files have changed; one base at a time stays in memory."""

    def __init__(self, folders: Sequence[Path], memory: int | None = None) -> None:
        """``memory`` bounds the bytes of a base (None: what the machine has)."""
        self._paths, self._memory = list(folders), memory
        self._known: dict[Path, tuple[object, Folder]] = {}
        self._kept: Base | None = None

    def folders(self) -> Iterator[tuple[Path, Folder | InvalidModel]]:
        """What each folder holds, or why it holds none."""
        for path in self._paths:
            mark = stamp(path)
            if path not in self._known or self._known[path][0] != mark:
                try:
                    self._known[path] = mark, read_folder(path)
                except InvalidModel as err:
                    yield path, err
                    continue
            yield path, self._known[path][1]

    def __getitem__(self, name: str) -> Base:
        """Raises KeyError for a name of another kind, BaseMissing when no folder has this base, or it cannot be loaded
        here, MissingExtra without transformers."""
        if not is_name(name):
            raise KeyError(name)
        if self._kept is not None and self._kept.name == name:
            return self._kept
        found = next((f for _, f in self.folders() if isinstance(f, Folder) and f.name == name), None)
        if found is None:
            raise _missing(name)
        from openledger.attribution_oracle.hf import load_hf

        self._kept = None
        try:
            loaded = load_hf(found, self._memory)
        except InvalidModel as err:
            raise BaseMissing(f"the base {name} cannot be loaded here: {err}", err.hint) from None
        if stamp(found.path) != self._known[found.path][0]:
            raise BaseMissing(f"the files of the base {name} changed while they were loaded", "try again")
        self._kept = loaded
        return loaded

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and is_name(name)

    def __iter__(self) -> Iterator[str]:
        return (f.name for _, f in self.folders() if isinstance(f, Folder))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _missing(name: str) -> BaseMissing:
    return BaseMissing(
        f"the base {name} is in none of this machine's folders",
        "put its folder into [oracle] bases of config.toml, or name it with --base",
    )


def load_base(name: str = TINY, known: Mapping[str, Base] | None = None) -> Base:
    """A base by name; ``known`` adds to the built-in ones. Raises InvalidModel for a name that no base can have,
    BaseMissing for one that is not here (see ``Shelf``)."""
    if known is not None and name in known:
        return known[name]
    if is_name(name):
        raise _missing(name)
    if name not in BASES:
        raise InvalidModel(
            f"{name!r} is not an allow-listed base",
            f"built in: {', '.join(BASES)}; a Hugging Face base is named {PREFIX} and 64 hex digits",
        )
    return _built_in(name)


__all__ = ["BASES", "TINY", "Base", "BuiltIn", "Shelf", "base_of", "load_base"]

"""Causal language models of Hugging Face as bases: a folder (``folders``) is loaded by transformers, and becomes what
the oracle knows as a base. Needs the extra ``hf``.

Only classes that transformers itself has are made, by a configuration that was looked at; weights come from
safetensors alone; nothing is asked of any network. Arithmetic is fp32 with transformers' plain ("eager") attention,
without dropout. A row is padded behind its end and a position sees none behind it, so no mask is needed; on loading
it is tried whether that holds: a model that looks ahead, or whose rows hang on each other, is refused.

All models that a base builds share its weights, which nobody changes: only what stands beside them is their own. Ids
are those of the tokenizer's file plus one, because 0 pads everywhere in the oracle.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from openledger.attribution_oracle.folders import Folder
from openledger.attribution_oracle.lora import LoraSettings, places
from openledger.attribution_oracle.model import SQUARES, Adapted, LanguageModel, Reader, layers_of
from openledger.attribution_oracle.tensors import dump
from openledger.attribution_oracle.tokenizer import ForeignTokenizer
from openledger.primitives.errors import BaseMissing, InvalidModel, MissingExtra

CONTEXT, LEAST_CONTEXT, MOST_CONTEXT = 512, 16, 4096
"""Tokens that a model is shown unless its owner asks for others, the fewest and the most that he may ask for; never
more than its configuration says."""
SPARE = 1 << 30
"""Bytes of memory beside the weights."""
USUAL = ("c_attn", "q_proj", "v_proj", "query_key_value", "qkv_proj", "Wqkv", "query", "value")
"""Layers that are adapted unless others are named (peft takes these as well); where there are none of them, all."""
ALONE = 1e-4
"""How far a row's logits may be from those of the row alone, relative to the largest."""
FAILS = (ValueError, KeyError, TypeError, AttributeError, RuntimeError, OSError, NotImplementedError, ImportError)
"""What transformers raises for configurations and weights that it cannot take."""


@dataclass(frozen=True)
class HfConfig:
    """See ``model.Shape``; ``vocab`` ids, the padding's included."""

    vocab: int
    context: int
    start: int
    end: int
    shift: int = ForeignTokenizer.shift

    def to_json(self) -> dict[str, int]:
        return asdict(self)


class Beside(Adapted):
    """A frozen linear layer of another model, with room for a pair beside it."""

    def __init__(self, inner: nn.Module, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.inner = inner

    @property
    def weight(self) -> Any:
        """The layer's own: some models ask for its type."""
        return self.inner.weight

    @property
    def bias(self) -> Any:
        """The layer's own."""
        return self.inner.bias

    def plain(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.inner(x))


class HfModel(LanguageModel):
    """A model of transformers. ``keeps``: it goes on from keys and values that it has kept."""

    def __init__(self, inner: nn.Module, config: HfConfig, keeps: bool = True) -> None:
        super().__init__()
        self.inner, self.keeps = inner, keeps
        self.config: HfConfig = config

    @property
    def squares(self) -> int:
        """See ``LanguageModel``."""
        said = self.inner.config.get_text_config()  # type: ignore[operator, union-attr]
        return int(getattr(said, "num_hidden_layers", 0)) * int(getattr(said, "num_attention_heads", 0))

    def forward(self, ids: Tensor) -> Tensor:
        if ids.shape[1] > self.config.context:
            raise InvalidModel(f"{ids.shape[1]} tokens do not fit a context of {self.config.context}")
        found = self.inner(input_ids=(ids - self.config.shift).clamp(min=0), use_cache=False)
        return cast(Tensor, found.logits)

    def reader(self) -> Reader | None:
        """See ``LanguageModel``. None for kinds that keep something else, or nothing."""
        if not self.keeps:
            return None
        past: Any = None
        takes = signature(self.inner.forward).parameters
        last = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
        kept = "cache" if "cache" in takes else "past_key_values"  # its name in older versions of the library

        def read(ids: Tensor) -> Tensor:
            nonlocal past
            ours = (ids - self.config.shift).clamp(min=0)
            found = self.inner(input_ids=ours, use_cache=True, **{kept: past}, **last)
            past = getattr(found, kept)
            return cast(Tensor, found.logits[0, -1])

        return read

    def adapted(self) -> Iterator[tuple[str, Adapted]]:
        """By the names that transformers has for them."""
        return layers_of(self.inner)


@dataclass(frozen=True)
class HfBase:
    """See ``bases.Base``."""

    name: str
    digest: str
    config: HfConfig
    tokenizer: ForeignTokenizer
    targets: tuple[str, ...]
    model: HfModel
    longest: int = CONTEXT
    spare: int = SPARE
    """Bytes of memory that are left beside the weights."""

    def shown(self, context: int) -> HfBase:
        """The same base, shown ``context`` tokens; it shares the weights. Raises InvalidModel where the model was not
        made for so many, BaseMissing where memory lacks for them."""
        if not LEAST_CONTEXT <= context <= self.longest:
            raise InvalidModel(f"{self.name} can be shown {LEAST_CONTEXT} to {self.longest} tokens, not {context}")
        needed = SQUARES * self.model.squares * context * context
        if context > self.config.context and needed > self.spare:
            raise BaseMissing(
                f"{context} tokens need {needed >> 20} MiB of memory beside the weights, {self.spare >> 20} are left",
                "show it fewer tokens, or allow more: [oracle] memory_mb in the node's config.toml",
            )
        config = replace(self.config, context=context)
        return replace(self, config=config, model=HfModel(self.model.inner, config, self.model.keeps))

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """Raises InvalidModel: they are not trained as a whole."""
        raise InvalidModel("only adapters are trained on a Hugging Face base", "leave --kind full out")

    def build(self, device: torch.device | None = None) -> HfModel:
        """A model of its own, that shares the weights where it lies on the CPU."""
        if device is not None and device.type != "cpu":
            return copy.deepcopy(self.model).to(device)
        shared = {id(t): t for t in (*self.model.parameters(), *self.model.buffers())}
        return copy.deepcopy(self.model, cast("dict[int, Any]", shared))


def load_hf(folder: Folder, memory: int | None = None) -> HfBase:
    """The base in a folder. ``memory`` bounds its bytes (None: what the machine has). Raises InvalidModel for a folder
    that is no sound causal language model, BaseMissing when it is too large, MissingExtra without transformers."""
    allowed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if memory is None else memory
    if folder.size + SPARE > allowed:
        raise BaseMissing(
            f"the base in {folder.path} needs {(folder.size + SPARE) >> 20} MiB of memory, {allowed >> 20} are allowed",
            "take a smaller base, or allow more: [oracle] memory_mb in the node's config.toml",
        )
    inner = _loaded(folder)
    start, end = _marks(folder, inner)
    longest = _context(inner)
    vocab = int(inner.config.get_text_config().vocab_size) + 1
    config = HfConfig(vocab, min(CONTEXT, longest), start + 1, end + 1)
    tokenizer = ForeignTokenizer(folder.tokenizer, start, end)
    if tokenizer.size > config.vocab - 1:
        raise InvalidModel(
            f"the tokenizer in {folder.path} has {tokenizer.size} ids, the model {config.vocab - 1}",
            "the two files are of different models",
        )
    for name, tensor in inner.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InvalidModel(f"the weights in {folder.path} hold NaN or infinity in {name!r}")
    kinds = _adaptable(inner)
    if not kinds:
        raise InvalidModel(f"the model in {folder.path} has no linear layer that could be adapted")
    model = HfModel(inner.eval().requires_grad_(False), config)
    _try(model, folder)
    model.keeps = _keeps(model)
    targets = tuple(kind for kind in kinds if kind in USUAL) or tuple(kinds)
    return HfBase(folder.name, folder.digest, config, tokenizer, targets, model, longest, allowed - folder.size)


def write_peft(folder: Path, base: HfBase, settings: LoraSettings, adapter: Mapping[str, Tensor]) -> None:
    """Write an adapter so that peft opens it on the same base: ``PeftModel.from_pretrained(model, folder)``."""
    turned = not any(isinstance(layer.inner, nn.Linear) for _, layer in _beside(base.model, settings))
    said = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base.name, "bias": "none",
        "r": settings.rank, "lora_alpha": settings.alpha, "lora_dropout": 0.0, "inference_mode": True,
        "target_modules": [name for name, _ in _beside(base.model, settings)], "fan_in_fan_out": turned,
    }  # fmt: skip
    theirs = {".a": ".lora_A.weight", ".b": ".lora_B.weight"}
    renamed = {f"base_model.model.{name[:-2]}{theirs[name[-2:]]}": tensor for name, tensor in adapter.items()}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    (folder / "adapter_model.safetensors").write_bytes(dump(renamed))


def _beside(model: HfModel, settings: LoraSettings) -> list[tuple[str, Beside]]:
    return [(name, layer) for name, layer in places(model, settings) if isinstance(layer, Beside)]


def _transformers() -> Any:
    """The library, without network, progress bars and warnings. Raises MissingExtra."""
    os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
    try:
        import transformers
    except ImportError:
        raise MissingExtra(
            "a Hugging Face base needs transformers, which is not installed", "make install-hf"
        ) from None
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity(transformers.utils.logging.CRITICAL)
    return transformers


def _loaded(folder: Folder) -> Any:
    library = _transformers()
    from huggingface_hub.errors import StrictDataclassError

    kind, rest = folder.config["model_type"], {k: v for k, v in folder.config.items() if k != "model_type"}
    if kind not in library.CONFIG_MAPPING:
        raise InvalidModel(f"transformers {library.__version__} knows no model of the type {kind!r}")
    try:
        config = library.AutoConfig.for_model(kind, **rest)
    except (StrictDataclassError, *FAILS) as err:
        raise InvalidModel(f"{folder.path}/config.json is not sound: {_first(err)}") from None
    if type(config) not in library.MODEL_FOR_CAUSAL_LM_MAPPING:
        raise InvalidModel(f"a model of the type {kind!r} is no causal language model", "take one that continues text")
    try:
        inner, told = library.AutoModelForCausalLM.from_pretrained(
            str(folder.path), config=config, dtype=torch.float32, attn_implementation="eager", local_files_only=True,
            use_safetensors=True, trust_remote_code=False, output_loading_info=True,
        )  # fmt: skip
    except FAILS as err:
        raise InvalidModel(f"the weights in {folder.path} do not fit its config.json: {_first(err)}") from None
    missing = sorted(told["missing_keys"])
    if missing:
        raise InvalidModel(f"the weights in {folder.path} lack {missing[0]!r}", "load the folder again")
    return inner


def _first(err: Exception) -> str:
    """What an error says, in one line."""
    return " ".join(f"{type(err).__name__} {err}".split())[:300]


def _marks(folder: Folder, inner: Any) -> tuple[int, int]:
    """Ids that start and end a document, of the configuration. Raises InvalidModel."""
    config = inner.config.get_text_config()
    found = []
    for name in ("bos_token_id", "eos_token_id"):
        value = getattr(config, name, None)
        found.append(value[0] if isinstance(value, list) and value else value)
    start, end = found
    if not isinstance(end, int) or not 0 <= end < config.vocab_size:
        raise InvalidModel(f"{folder.path}/config.json names no eos_token_id that is a token", "add it to the file")
    if start is None:
        start = end
    if not isinstance(start, int) or not 0 <= start < config.vocab_size:
        raise InvalidModel(f"{folder.path}/config.json names a bos_token_id that is no token")
    return start, end


def _context(inner: Any) -> int:
    """Most tokens that the model can be shown: no more than it was made for, so that positions are never scaled."""
    config = inner.config.get_text_config()
    rope = getattr(config, "rope_parameters", None)
    asked = [
        getattr(config, "max_position_embeddings", None),
        getattr(config, "original_max_position_embeddings", None),
    ]
    asked.append(rope.get("original_max_position_embeddings") if isinstance(rope, dict) else None)
    return min([MOST_CONTEXT, *(n for n in asked if isinstance(n, int) and n > 1)])


def _adaptable(inner: Any) -> list[str]:
    """Make room beside every linear layer but the output head; gives their kinds, the last parts of their names."""
    from transformers.pytorch_utils import Conv1D

    head, kinds = inner.get_output_embeddings(), dict[str, None]()
    for name, layer in list(inner.named_modules()):
        if layer is head or type(layer) not in (nn.Linear, Conv1D):
            continue
        turned = isinstance(layer, Conv1D)
        outputs, inputs = layer.weight.shape[::-1] if turned else layer.weight.shape
        parent, _, last = name.rpartition(".")
        setattr(inner.get_submodule(parent), last, Beside(layer, int(inputs), int(outputs)))
        kinds[last] = None
    return list(kinds)


def _probe(model: HfModel) -> Tensor:
    """Two rows of different tokens."""
    context, vocab = model.config.context, model.config.vocab
    return 1 + torch.arange(2 * min(24, context)).mul(7919).remainder(vocab - 1).view(2, -1)


@torch.no_grad()
def _try(model: HfModel, folder: Folder) -> None:
    """Raises InvalidModel unless a row's logits are the same alone, and before other tokens in a batch."""
    vocab, ids = model.config.vocab, _probe(model)
    short = ids[:1, : max(2, ids.shape[1] // 2)]
    try:
        alone, together = model(short), model(ids)[:1, : short.shape[1]]
    except FAILS as err:
        raise InvalidModel(f"the model in {folder.path} cannot be run: {_first(err)}") from None
    if alone.shape != (*short.shape, vocab - 1):
        raise InvalidModel(f"the model in {folder.path} gives {alone.shape[-1]} odds for {vocab - 1} tokens")
    away, size = float((alone - together).abs().max()), float(alone.abs().max())
    if not away <= ALONE * max(size, 1e-6):
        raise InvalidModel(f"the model in {folder.path} looks ahead, or mixes the rows of a batch", "take a causal one")


@torch.no_grad()
def _keeps(model: HfModel) -> bool:
    """Whether a row that is read in parts, with keys and values kept, has the logits of the row read at once."""
    ids = _probe(model)[:1]
    half, reader = ids.shape[1] // 2, model.reader()
    if reader is None or half < 2:
        return False
    try:
        parts = torch.stack([reader(ids[:, a:b]) for a, b in ((0, half), (half, half + 1), (half + 1, half + 2))])
        whole = model(ids)[0, half - 1 : half + 2]
    except FAILS:
        return False
    return float((parts - whole).abs().max()) <= ALONE * max(float(whole.abs().max()), 1e-6)


__all__ = ["CONTEXT", "MOST_CONTEXT", "Beside", "HfBase", "HfConfig", "HfModel", "load_hf", "write_peft"]

"""A small GPT in plain torch: pre-norm blocks, rotary positions, causal attention, tied output head.

``LanguageModel`` is what the oracle asks of any model: this one, or one of Hugging Face's (``hf``).

All linear layers are ``Adapted``: frozen weight plus an optional low-rank pair (A, B). The pair may carry a leading
batch dimension; then every row of a batch has its own copy, and one backward pass gives per-row gradients.
Arithmetic is fp32 with explicit matrix products, so that CPU, CUDA and MPS run the same formulas.
Sources: Vaswani et al. 2017; Radford et al. 2019 (GPT-2); Su et al. 2021 (rotary); Hu et al. 2021 (LoRA).
"""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from openledger.attribution_oracle.tokenizer import END, PAD, START
from openledger.primitives.errors import InvalidModel


class Shape(Protocol):
    """What is to be known of a model from outside. ``context`` is the largest number of tokens it can look at;
    ``start`` and ``end`` are the ids that begin and end a document (0 pads); column j of the logits is the id
    j + ``shift``."""

    @property
    def vocab(self) -> int: ...
    @property
    def context(self) -> int: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def shift(self) -> int: ...
    def to_json(self) -> dict[str, int]:
        """For the manifest."""
        ...


LOGITS = 1 << 26
"""Most numbers in the logits of one batch: 256 MiB, some four times of which a backward pass holds."""
WORK = 1 << 34
"""Most products of weights and ids in one batch: a few seconds of a core. Larger ones are no faster there, and a
verifier can put its work aside only between two."""
SQUARES = 12
"""Bytes that a head of a layer holds for each pair of positions while gradients are made: scores, odds, theirs."""


@dataclass(frozen=True)
class Config:
    """Shape of a ``GPT``."""

    start: ClassVar[int] = START
    end: ClassVar[int] = END
    shift: ClassVar[int] = 0
    vocab: int
    width: int = 128
    layers: int = 4
    heads: int = 4
    context: int = 128

    def to_json(self) -> dict[str, int]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> Config:
        """Raises InvalidModel for missing, unknown or unreasonable entries."""
        try:
            config = cls(**{str(k): int(v) for k, v in dict(data).items()})
        except (TypeError, ValueError, OverflowError) as err:
            raise InvalidModel(f"the model configuration is malformed: {err}") from None
        limits = {"vocab": 262_144, "width": 8192, "layers": 128, "heads": 128, "context": 16_384}
        for name, most in limits.items():
            if not 1 <= getattr(config, name) <= most:
                raise InvalidModel(f"model configuration: {name} must lie between 1 and {most}")
        if config.width % config.heads or (config.width // config.heads) % 2:
            raise InvalidModel("model configuration: width must be an even multiple of heads")
        return config


class Adapted(nn.Module, ABC):
    """A linear layer y = f(x) (+ scale * x A^T B^T). ``a`` is [rank, in] or [batch, rank, in], ``b`` [out, rank] or
    batched."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.a: Tensor | None = None
        self.b: Tensor | None = None
        self.scale = 1.0

    @abstractmethod
    def plain(self, x: Tensor) -> Tensor:
        """Without the pair."""

    def forward(self, x: Tensor) -> Tensor:
        """``x`` is [batch, time, in]. Raises InvalidModel when rows have pairs of their own and ``x`` has no rows."""
        y = self.plain(x)
        if self.a is not None and self.b is not None:
            if self.a.dim() == 3 and x.dim() != 3:
                raise InvalidModel(
                    "an adapted layer does not get its input row by row", "adapt other layers (--target)"
                )
            y = y + self.scale * ((x @ self.a.transpose(-1, -2)) @ self.b.transpose(-1, -2))
        return y


class Linear(Adapted):
    """f(x) = x W^T."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.weight = nn.Parameter(torch.empty(outputs, inputs))

    def plain(self, x: Tensor) -> Tensor:
        return x @ self.weight.T


def layers_of(module: nn.Module) -> Iterator[tuple[str, Adapted]]:
    """The layers of a module that can be adapted, by its names for them."""
    return ((name, part) for name, part in module.named_modules() if isinstance(part, Adapted))


Reader = Callable[[Tensor], Tensor]
"""Reads ids [1, time] on from where it was, and gives the logits [vocabulary] behind the last of them."""


class LanguageModel(nn.Module):
    """``forward`` gives logits [batch, time, vocabulary] of ids [batch, time]; a position sees none behind it."""

    config: Shape

    @property
    def squares(self) -> int:
        """Heads of all layers: each holds something for each pair of positions."""
        return 0

    def reader(self) -> Reader | None:
        """One that keeps keys and values of all it has read, up to ``context`` ids, for an answer that is made token by
        token. None where the model keeps nothing. For looking only, without gradients."""
        return None

    def adapted(self) -> Iterator[tuple[str, Adapted]]:
        """All linear layers that can be adapted, with their names, in a fixed order."""
        return layers_of(self)


class Seen:
    """Keys and values of the positions that a block has seen, each [batch, heads, time, width of a head]."""

    def __init__(self) -> None:
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    @property
    def time(self) -> int:
        """How many positions."""
        return 0 if self.keys is None else self.keys.shape[2]

    def joined(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """With the next ones, which are kept."""
        if self.keys is not None and self.values is not None:
            keys, values = torch.cat((self.keys, keys), 2), torch.cat((self.values, values), 2)
        self.keys, self.values = keys, values
        return keys, values


def _rotary(first: int, time: int, half: int, device: torch.device) -> tuple[Tensor, Tensor]:
    speed = 10_000.0 ** (-torch.arange(half, dtype=torch.float32, device=device) / half)
    angle = torch.arange(first, first + time, dtype=torch.float32, device=device)[:, None] * speed
    return angle.cos(), angle.sin()


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, first * sin + second * cos), dim=-1)


class Block(nn.Module):
    """Attention and a two-layer perceptron, each behind a norm and beside a residual path."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads = config.heads
        self.norm1 = nn.LayerNorm(config.width)
        self.qkv = Linear(config.width, 3 * config.width)
        self.out = Linear(config.width, config.width)
        self.norm2 = nn.LayerNorm(config.width)
        self.up = Linear(config.width, 4 * config.width)
        self.down = Linear(4 * config.width, config.width)

    def _attend(self, x: Tensor, seen: Seen | None) -> Tensor:
        batch, time, width = x.shape
        first = seen.time if seen is not None else 0
        q, k, v = self.qkv(x).view(batch, time, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        cos, sin = _rotary(first, time, width // self.heads // 2, x.device)
        q, k = _rotate(q, cos, sin), _rotate(k, cos, sin)
        if seen is not None:
            k, v = seen.joined(k, v)
        weights = (q @ k.transpose(-1, -2)) / math.sqrt(width // self.heads)
        hidden = torch.ones(time, first + time, dtype=torch.bool, device=x.device).triu(first + 1)
        mixed = functional.softmax(weights.masked_fill(hidden, float("-inf")), dim=-1) @ v
        together: Tensor = mixed.transpose(1, 2).reshape(batch, time, width)
        return together

    def forward(self, x: Tensor, seen: Seen | None = None) -> Tensor:
        """``seen``: what stands before ``x``, to which it is added."""
        x = x + self.out(self._attend(self.norm1(x), seen))
        result: Tensor = x + self.down(functional.gelu(self.up(self.norm2(x)), approximate="tanh"))
        return result


class GPT(LanguageModel):
    """The whole model."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config: Config = config
        self.embed = nn.Embedding(config.vocab, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)

    @property
    def squares(self) -> int:
        return self.config.layers * self.config.heads

    def forward(self, ids: Tensor) -> Tensor:
        if ids.shape[1] > self.config.context:
            raise InvalidModel(f"{ids.shape[1]} tokens do not fit a context of {self.config.context}")
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.norm(x) @ self.embed.weight.T
        return logits

    def reader(self) -> Reader:
        """See ``LanguageModel``."""
        kept = [Seen() for _ in self.blocks]

        def read(ids: Tensor) -> Tensor:
            x = self.embed(ids)
            for block, seen in zip(self.blocks, kept, strict=True):
                x = block(x, seen)
            logits: Tensor = self.norm(x[0, -1]) @ self.embed.weight.T
            return logits

        return read


def initialise(model: GPT, seed: int) -> None:
    """Start weights for training from nothing: normal, 0.02, residual outputs scaled by depth."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2:
            continue
        deep = name.endswith(("out.weight", "down.weight"))
        spread = 0.02 / math.sqrt(2 * model.config.layers) if deep else 0.02
        with torch.no_grad():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)


def row_losses(model: LanguageModel, ids: Tensor, counted: Tensor) -> Tensor:
    """Mean loss (nats a token) of each row, [batch]. ``ids`` [batch, time] padded with 0; ``counted`` is a mask of the
    same shape that is True where a token is to be predicted (its first column is never counted)."""
    logits = model(ids[:, :-1])
    mask = counted[:, 1:].to(logits.dtype)
    wanted = (ids[:, 1:] - model.config.shift).clamp(min=0)  # padding is not counted
    each = functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none")  # of logits as they lie
    losses = each.view(mask.shape)
    return (losses * mask).sum(1) / mask.sum(1).clamp(min=1.0)


def pad(rows: Sequence[Sequence[int]], context: int) -> Tensor:
    """LongTensor [rows, time] of id lists, cut at ``context`` and padded with 0."""
    cut = [list(row[:context]) for row in rows]
    time = max((len(row) for row in cut), default=0)
    return torch.tensor([row + [PAD] * (time - len(row)) for row in cut], dtype=torch.long)


def at_once(model: LanguageModel, longest: int, most: int) -> int:
    """How many rows of up to ``longest`` ids go through a model together: ``most``, or fewer where their logits would
    have more than ``LOGITS`` numbers, or all weights take more than ``WORK``."""
    config = model.config
    ids, weights = max(1, min(longest, config.context)), sum(p.numel() for p in model.parameters())
    return max(1, min(most, LOGITS // (config.vocab * ids), WORK // (max(1, weights) * ids)))


def document_losses(model: LanguageModel, ids: Tensor) -> Tensor:
    """Losses of whole documents: all tokens but the first and the padding count."""
    return row_losses(model, ids, ids != PAD)


def _likeliest(odds: Tensor, top_p: float) -> Tensor:
    """Odds with all but the likeliest ids that together reach ``top_p`` set to zero (the first always stays)."""
    if top_p >= 1.0:
        return odds
    ranked, places = odds.sort(descending=True, stable=True)
    before = ranked.cumsum(0) - ranked
    ranked[1:][before[1:] >= top_p] = 0.0
    return torch.zeros_like(odds).scatter(0, places, ranked)


COLD = 1e-4
"""Temperature up to which the likeliest is taken: logits divided by less are no numbers in fp32."""


@torch.no_grad()
def generate(
    model: LanguageModel, ids: Sequence[int], tokens: int, temperature: float, seed: int, top_p: float = 1.0
) -> Iterator[int]:
    """At least one and up to ``tokens`` next ids, one by one, until the end mark. Temperature 0 (up to ``COLD``) takes
    the likeliest; otherwise the draw depends on ``seed`` only, among the likeliest ids that together reach ``top_p``.
    Each token is read once while all fit the context; the window slides when it is full, and then all of it is read
    each time."""
    device = next(model.parameters()).device
    chance = torch.Generator().manual_seed(seed)
    known, shape, reader, read = list(ids), model.config, model.reader(), 0
    never = {PAD, shape.start} - {shape.end}
    for _ in range(tokens):
        on = reader is not None and len(known) <= shape.context
        window = torch.tensor([known[read if on else -shape.context :]], dtype=torch.long, device=device)
        logits = (reader(window) if reader is not None and on else model(window)[0, -1]).float().cpu()
        read = len(known)
        banned = never if len(known) > len(ids) else {*never, shape.end}
        logits[[i - shape.shift for i in banned if i >= shape.shift]] = float("-inf")
        if temperature <= COLD:
            chosen = int(logits.argmax())
        else:
            odds = _likeliest(functional.softmax(logits / temperature, dim=-1), top_p)
            chosen = int(torch.multinomial(odds, 1, generator=chance))
        chosen += shape.shift
        if chosen == shape.end:
            return
        known.append(chosen)
        yield chosen


def choose_device(wanted: str = "auto") -> torch.device:
    """``auto`` takes CUDA, then MPS, then the CPU. Also asks torch for full fp32 and, where it can, for
    deterministic kernels. Raises InvalidModel for a device that torch does not know."""
    if wanted == "auto":
        found = "mps" if torch.backends.mps.is_available() else "cpu"
        wanted = "cuda" if torch.cuda.is_available() else found
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise InvalidModel(f"torch knows no device {wanted!r}", "try cpu, cuda or mps") from None
    if device.type == "cuda":  # the CPU kernels used here are deterministic as they are
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.set_float32_matmul_precision("highest")
        torch.use_deterministic_algorithms(True, warn_only=True)
    return device


__all__ = [
    "GPT", "Adapted", "Block", "Config", "LanguageModel", "Linear", "Reader", "Shape", "at_once", "choose_device",
    "document_losses", "generate", "initialise", "layers_of", "pad", "row_losses",
]  # fmt: skip

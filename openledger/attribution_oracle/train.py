"""Fine-tuning that can be replayed: all that decides the result stands in the training receipt.

Loss = mean over the rows of a batch of the row's mean loss per token; Adam with the epsilon under the root
(theta -= lr * m / sqrt(v + eps^2), both moments bias-corrected); fp32; batches and learning rates listed one by one.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from openledger.attribution_oracle import lora
from openledger.attribution_oracle.bases import Base
from openledger.attribution_oracle.model import LanguageModel, at_once, document_losses, pad
from openledger.attribution_oracle.path import LARGE_EPS
from openledger.attribution_oracle.ports import Progress, silent
from openledger.attribution_oracle.tensors import dump, order
from openledger.primitives.errors import DecodingError, InvalidModel, OracleError
from openledger.primitives.jsonio import read_json

FORMAT = "openledger/training-receipt/1"
MAX_ROWS = 1_000_000
MAX_LISTS = 1 << 22
"""Of a receipt: a list a step, and few others."""


@dataclass(frozen=True)
class Settings:
    """How to train. ``size`` is the one dial (small, medium, large); the rest follows from it unless given.

    ``kind`` is ``lora`` (an adapter) or ``full`` (all weights). Learning rates rise over ``warmup`` steps and fall to
    zero along a half cosine.
    """

    kind: str = "lora"
    epochs: int = 3
    batch: int = 8
    lr: float = 2e-3
    warmup: int = 10
    b1: float = 0.9
    b2: float = 0.99
    eps: float = 1e-6
    lora: lora.LoraSettings = field(default_factory=lora.LoraSettings)

    def check(self) -> None:
        """Raises InvalidModel for settings out of range."""
        self.lora.check()
        if self.kind not in ("lora", "full"):
            raise InvalidModel("training settings: kind is lora or full")
        numbers = (self.lr, self.b1, self.b2, self.eps)
        if not all(math.isfinite(n) and n >= 0 for n in numbers) or self.b1 >= 1 or self.b2 >= 1:
            raise InvalidModel("training settings: lr, b1 and b2 must be finite, betas below 1")
        if not 0 < self.eps <= LARGE_EPS:
            raise InvalidModel(f"training settings: eps must be above 0 and at most {LARGE_EPS:g}")
        if any(type(n) is not int for n in (self.epochs, self.batch, self.warmup)):
            raise InvalidModel("training settings: epochs, batch and warmup are whole numbers")
        if not 1 <= self.epochs <= 1000 or not 1 <= self.batch <= 4096 or not 0 <= self.warmup <= 10**6:
            raise InvalidModel("training settings: epochs, batch or warmup out of range")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Settings:
        """Of ``asdict``'s form. Raises InvalidModel."""
        try:
            inner = dict(data["lora"])
            inner["targets"] = tuple(inner["targets"])
            settings = cls(**{**data, "lora": lora.LoraSettings(**inner)})
            settings.check()
        except (TypeError, KeyError, ValueError, OverflowError, AttributeError) as err:
            raise InvalidModel(f"the training settings are malformed: {err}") from None
        return settings


SIZES: dict[str, Settings] = {
    "small": Settings(epochs=2, lora=lora.LoraSettings(rank=2, alpha=4.0)),
    "medium": Settings(),
    "large": Settings(epochs=6, lora=lora.LoraSettings(rank=8, alpha=16.0)),
}


def sized(size: str = "medium", **changes: Any) -> Settings:
    """Settings of the dial with some changed. Raises OracleError for an unknown size."""
    if size not in SIZES:
        raise OracleError(f"unknown size {size!r}", "sizes: " + ", ".join(SIZES))
    settings = replace(SIZES[size], **changes)
    settings.check()
    return settings


@dataclass(frozen=True)
class Trained:
    """A trained model: ``tensors`` are the adapter's, or all weights for ``full``; ``weights`` their file."""

    base: Base
    settings: Settings
    tensors: dict[str, Tensor]
    weights: bytes
    receipt: dict[str, Any]
    seconds: float = 0.0
    """CPU seconds of the process that its steps took."""


class Adam:
    """The optimiser of the receipt, over tensors that require gradients."""

    def __init__(self, tensors: Sequence[Tensor], settings: Settings) -> None:
        self.tensors, self.settings, self.step_number = tensors, settings, 0
        self.m = [torch.zeros_like(t) for t in tensors]
        self.v = [torch.zeros_like(t) for t in tensors]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], lr: float) -> None:
        """One update with these gradients."""
        s = self.settings
        self.step_number += 1
        fix1, fix2 = 1 - s.b1**self.step_number, 1 - s.b2**self.step_number
        for theta, g, m, v in zip(self.tensors, gradients, self.m, self.v, strict=True):
            m.mul_(s.b1).add_(g, alpha=1 - s.b1)
            v.mul_(s.b2).addcmul_(g, g, value=1 - s.b2)
            theta.sub_(lr * (m / fix1) / torch.sqrt(v / fix2 + s.eps**2))


def plan(rows: int, seed: int, settings: Settings) -> tuple[list[list[int]], list[float]]:
    """Row numbers of each step and its learning rate. Every epoch is a new permutation by the seed."""
    batches: list[list[int]] = []
    for epoch in range(settings.epochs):
        permuted = order(seed, f"epoch.{epoch}", rows)
        batches += [permuted[i : i + settings.batch] for i in range(0, rows, settings.batch)]
    steps, lrs = len(batches), []
    warmup = min(settings.warmup, steps // 2)
    for step in range(steps):
        part = (step - warmup + 1) / max(1, steps - warmup)
        falling = settings.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, part) * 0.95))
        lrs.append(settings.lr * (step + 1) / (warmup + 1) if step < warmup else falling)
    return batches, lrs


def start_tensors(base: Base, model: LanguageModel, seed: int, settings: Settings) -> dict[str, Tensor]:
    """What training starts from: a fresh adapter, or the base's weights."""
    if settings.kind == "full":
        return {name: tensor.clone() for name, tensor in base.weights.items()}
    return lora.create(model, settings.lora, seed)


def run_steps(
    model: LanguageModel, tensors: dict[str, Tensor], ids: Sequence[Sequence[int]], settings: Settings,
    batches: Sequence[Sequence[int]], lrs: Sequence[float], progress: Progress,
) -> dict[str, Tensor]:  # fmt: skip
    """The steps themselves. Gives the trained tensors on the CPU. Raises InvalidModel when the loss is not finite."""
    device = next(model.parameters()).device
    moving = {name: t.to(device).clone().requires_grad_(True) for name, t in tensors.items()}
    adam = Adam(list(moving.values()), settings)
    for step, (batch, lr) in enumerate(zip(batches, lrs, strict=True)):
        tokens = pad([ids[i] for i in batch], model.config.context).to(device)
        value, gradients = 0.0, [torch.zeros_like(t) for t in moving.values()]
        most = at_once(model, tokens.shape[1], len(batch))
        for some in torch.split(tokens, most):  # a part's memory is free before the next
            loss = _losses(model, moving, settings, some).sum() / len(batch)
            value += float(loss.detach())
            for total, part in zip(gradients, torch.autograd.grad(loss, list(moving.values())), strict=True):
                total += part
        if not math.isfinite(value):
            raise InvalidModel(f"the loss is not finite at step {step}", "take a lower learning rate")
        adam.step(gradients, lr)
        progress(step + 1, len(batches), f"loss {value:.3f}")
    return {name: t.detach().cpu() for name, t in moving.items()}


def _losses(model: LanguageModel, moving: Mapping[str, Tensor], settings: Settings, tokens: Tensor) -> Tensor:
    if settings.kind == "lora":
        with lora.attached(model, settings.lora, moving):
            return document_losses(model, tokens)
    from_outside = _Losses(model)
    result: Tensor = torch.func.functional_call(from_outside, {f"model.{n}": t for n, t in moving.items()}, (tokens,))
    return result


class _Losses(torch.nn.Module):
    """Gives the document losses as a module's output, so that weights can be passed in from outside."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        return document_losses(self.model, tokens)


def documents(base: Base, rows: Sequence[str]) -> list[list[int]]:
    """Token ids of rows. Raises OracleError without rows, or with too many."""
    if not rows:
        raise OracleError("there are no rows to train on", "the datanet versions chosen are empty")
    if len(rows) > MAX_ROWS:
        raise OracleError(f"{len(rows)} rows are more than {MAX_ROWS}")
    return [base.tokenizer.document(row) for row in rows]


@torch.no_grad()
def mean_loss(model: LanguageModel, ids: Sequence[Sequence[int]]) -> float:
    """Mean over documents of their loss per token, in nats."""
    device, step = next(model.parameters()).device, at_once(model, max(map(len, ids), default=0), 32)
    parts = [
        document_losses(model, pad(ids[i : i + step], model.config.context).to(device)).double().sum().item()
        for i in range(0, len(ids), step)
    ]
    return math.fsum(parts) / len(ids)


def train(
    base: Base, rows: Sequence[str], seed: int, settings: Settings | None = None, progress: Progress = silent, *,
    data_roots: Sequence[str] = (), held_out: Sequence[str] = (), device: torch.device | None = None,
) -> Trained:  # fmt: skip
    """Fine-tune ``base`` on the texts ``rows``. ``data_roots`` (0x-hex) name the data in the receipt; ``held_out``
    texts give the losses before and after (micro-nats, 0 without them). Raises OracleError or InvalidModel."""
    settings = settings or Settings()
    settings.check()
    if settings.kind == "full":
        _ = base.weights  # said before anything is computed
    ids = documents(base, rows)
    model = base.build(device)
    batches, lrs = plan(len(rows), seed, settings)
    start = start_tensors(base, model, seed, settings)
    began = time.process_time()
    tensors = run_steps(model, start, ids, settings, batches, lrs, progress)
    seconds = time.process_time() - began
    weights = dump(tensors, {"kind": settings.kind, "base": base.digest})
    tuned = assemble(base, settings, tensors, device)
    kept = [base.tokenizer.document(text) for text in held_out]
    receipt: dict[str, Any] = {
        "format": FORMAT,
        "base": base.name,
        "base_hash": base.digest,
        "context": base.config.context,
        "tokenizer_hash": hashlib.sha256(base.tokenizer.json.encode()).hexdigest(),
        "data_roots": list(data_roots),
        "rows": len(rows),
        "rows_hash": rows_hash(rows),
        "seed": seed,
        "settings": asdict(settings),
        "optimizer": {"kind": "adam", "b1": settings.b1, "b2": settings.b2, "eps": settings.eps},
        "batches": batches,
        "lrs": lrs,
        "start_hash": hashlib.sha256(dump(start)).hexdigest(),
        "final_hash": hashlib.sha256(weights).hexdigest(),
        "held_out_rows": len(kept),
        "base_loss": round(mean_loss(model, kept) * 1e6) if kept else 0,
        "held_out_loss": round(mean_loss(tuned, kept) * 1e6) if kept else 0,
    }
    return Trained(base, settings, tensors, weights, receipt, seconds)


def rows_hash(rows: Sequence[str]) -> str:
    """sha256 (hex) over the sha256 of each row's text, in training order."""
    return hashlib.sha256(b"".join(hashlib.sha256(row.encode()).digest() for row in rows)).hexdigest()


def assemble(
    base: Base, settings: Settings, tensors: Mapping[str, Tensor], device: torch.device | None = None
) -> LanguageModel:
    """The tuned model, frozen: base weights with the adapter attached, or the full weights."""
    model = base.build(device)
    where = next(model.parameters()).device
    if settings.kind == "full":
        model.load_state_dict(dict(tensors))
        return model
    for name, layer in lora.places(model, settings.lora):
        layer.a, layer.b = tensors[f"{name}.a"].to(where), tensors[f"{name}.b"].to(where)
        layer.scale = settings.lora.alpha / settings.lora.rank
    return model


def receipt_bytes(receipt: Mapping[str, Any]) -> bytes:
    """The receipt's blob: canonical JSON."""
    return json.dumps(receipt, sort_keys=True, separators=(",", ":")).encode()


def read_receipt(raw: bytes) -> dict[str, Any]:
    """A receipt of its blob. Raises InvalidModel."""
    try:
        receipt = read_json(raw, most=MAX_LISTS)
        if receipt["format"] != FORMAT:
            raise InvalidModel(f"unknown training receipt format {receipt['format']!r}")
        rows = int(receipt["rows"])
        batches = [[int(i) for i in batch] for batch in receipt["batches"]]
        lrs = [float(lr) for lr in receipt["lrs"]]
        receipt["seed"] = int(receipt["seed"])
        for name in ("base_hash", "rows_hash", "start_hash", "final_hash"):
            if not isinstance(receipt[name], str):
                raise TypeError(f"{name} must be text")
    except (ValueError, KeyError, TypeError, OverflowError, DecodingError) as err:
        raise InvalidModel(f"the training receipt is malformed: {type(err).__name__} {err}") from None
    if len(batches) != len(lrs) or any(not b or not all(0 <= i < rows for i in b) for b in batches):
        raise InvalidModel("the training receipt names rows that do not exist, or lacks learning rates")
    if not all(math.isfinite(lr) for lr in lrs):
        raise InvalidModel("the training receipt holds a learning rate that is not finite")
    return {**receipt, "batches": batches, "lrs": lrs}


def replay(
    receipt: Mapping[str, Any], base: Base, rows: Sequence[str], progress: Progress = silent,
    device: torch.device | None = None,
) -> dict[str, Tensor]:  # fmt: skip
    """Train again as the receipt says. Raises InvalidModel when base, rows or start are not those of the receipt."""
    settings = Settings.from_json(receipt["settings"])
    other = receipt.get("context", base.config.context) != base.config.context
    if other or receipt["base_hash"] != base.digest or receipt["rows_hash"] != rows_hash(rows):
        raise InvalidModel("the training receipt is about another base or other rows")
    model = base.build(device)
    start = start_tensors(base, model, int(receipt["seed"]), settings)
    if hashlib.sha256(dump(start)).hexdigest() != receipt["start_hash"]:
        raise InvalidModel("the start weights of the training receipt do not follow from its seed")
    return run_steps(model, start, documents(base, rows), settings, receipt["batches"], receipt["lrs"], progress)


def distance(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> float:
    """Relative distance of two sets of tensors: |a - b| / |a|. Infinite when names or shapes differ."""
    if first.keys() != second.keys() or any(first[n].shape != second[n].shape for n in first):
        return math.inf
    apart = math.fsum(float((first[n].double() - second[n].double()).square().sum()) for n in first)
    size = math.fsum(float(first[n].double().square().sum()) for n in first)
    return math.sqrt(apart / size) if size else (0.0 if apart == 0 else math.inf)


__all__ = [
    "FORMAT", "SIZES", "Adam", "Settings", "Trained", "assemble", "distance", "documents", "mean_loss", "plan",
    "read_receipt", "receipt_bytes", "replay", "rows_hash", "sized", "start_tensors", "train",
]  # fmt: skip

"""How much each training row raised an answer: what a method is, the first of them, and the index.

A method gives every row a vector (the index, built once at publish) and every answer a vector; a score is their dot
product. Larger = the row lowered the answer's loss more. "gradient-dot" takes the gradient of the row's loss and of the
answer's loss at the final weights, both in the adapter's parameters: a small step against the row's gradient lowers
the answer's loss by their dot product (TracIn with one checkpoint, Pruthi et al. 2020, arXiv 2002.08484).
For full fine-tunes the parameters are those of a probe: a LoRA adapter at B = 0 whose A follows from the seed.

Index rows are stored as int8 with one fp32 scale a row. All arithmetic up to there is fp32; scores are summed in fp64.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from openledger.attribution_oracle import lora
from openledger.attribution_oracle.bases import Base
from openledger.attribution_oracle.model import GPT, pad, row_losses
from openledger.attribution_oracle.ports import Progress
from openledger.attribution_oracle.tensors import dump, load, note_of
from openledger.attribution_oracle.tokenizer import PAD, START
from openledger.attribution_oracle.train import Settings, assemble, documents
from openledger.primitives.errors import InvalidModel, OracleError
from openledger.primitives.hashing import merkle_leaf, merkle_root

BATCH = 16


@dataclass(frozen=True)
class Run:
    """A finished training run in memory: what a method may look at. ``rows`` are token ids in training order. Whoever
    runs the model holds ``lock``: a method may swap its adapter for a moment."""

    base: Base
    settings: Settings
    seed: int
    tensors: Mapping[str, Tensor]
    receipt: Mapping[str, Any]
    model: GPT
    rows: tuple[tuple[int, ...], ...]
    lock: threading.RLock = field(default_factory=threading.RLock, compare=False)

    @classmethod
    def of(
        cls, base: Base, settings: Settings, tensors: Mapping[str, Tensor], receipt: Mapping[str, Any],
        rows: Sequence[str], device: torch.device | None = None,
    ) -> Run:  # fmt: skip
        """Of the parts of a bundle."""
        ids = tuple(tuple(row) for row in documents(base, rows))
        model = assemble(base, settings, tensors, device)
        return cls(base, settings, int(receipt["seed"]), tensors, receipt, model, ids)


class Method(Protocol):
    """One way of measuring influence."""

    name: str
    cost: str

    def dim(self, run: Run) -> int:
        """Length of a vector."""
        ...

    def row_vectors(self, run: Run, numbers: Sequence[int], progress: Progress) -> Tensor:
        """fp32 [len(numbers), dim], on the CPU."""
        ...

    def answer_vector(self, run: Run, query: str, answer: str) -> Tensor:
        """fp32 [dim], on the CPU. Raises OracleError for an answer without text."""
        ...


def answer_ids(base: Base, query: str, answer: str) -> tuple[list[int], list[bool]]:
    """Token ids of start, query and answer, and which of them count (the answer's). When they do not fit the context
    the query loses its beginning, and an answer that fills it alone loses its end. Raises OracleError."""
    said = base.tokenizer.encode(answer)[: base.config.context - 1]
    if not said:
        raise OracleError("an answer without text cannot be attributed")
    asked = [START, *base.tokenizer.encode(query)][-(base.config.context - len(said)) :]
    return asked + said, [False] * len(asked) + [True] * len(said)


class GradientDot:
    """Gradients at the final weights."""

    name = "gradient-dot"
    cost = "index: one forward and backward pass a row; answer: one pass, then rows x dim multiplications"

    def dim(self, run: Run) -> int:
        return sum(math.prod(shape) for shape in lora.shapes(run.model, run.settings.lora).values())

    def row_vectors(self, run: Run, numbers: Sequence[int], progress: Progress) -> Tensor:
        found: list[Tensor] = []
        by_length = sorted(range(len(numbers)), key=lambda i: len(run.rows[numbers[i]]))
        for at in range(0, len(by_length), BATCH):
            ids = pad([run.rows[numbers[i]] for i in by_length[at : at + BATCH]], run.model.config.context)
            found.append(self._gradients(run, ids, ids != PAD))
            progress(min(at + BATCH, len(by_length)), len(by_length), "rows")
        together = torch.empty((len(numbers), self.dim(run)), dtype=torch.float32)
        if found:
            together[torch.tensor(by_length)] = torch.cat(found)
        return together

    def answer_vector(self, run: Run, query: str, answer: str) -> Tensor:
        ids, counted = answer_ids(run.base, query, answer)
        return self._gradients(run, torch.tensor([ids]), torch.tensor([counted]))[0]

    def _gradients(self, run: Run, ids: Tensor, counted: Tensor) -> Tensor:
        """One gradient per row of ``ids``: every row gets its own copy of the adapter."""
        device = next(run.model.parameters()).device
        full = run.settings.kind == "full"
        adapter = lora.create(run.model, run.settings.lora, run.seed) if full else run.tensors
        copies = {
            name: t.to(device).expand(len(ids), *t.shape).clone().requires_grad_(True) for name, t in adapter.items()
        }
        ids, counted = ids.to(device), counted.to(device)
        with run.lock, lora.attached(run.model, run.settings.lora, copies):
            loss = row_losses(run.model, ids, counted).sum()
        gradients = torch.autograd.grad(loss, list(copies.values()))
        return torch.cat([g.reshape(len(ids), -1) for g in gradients], dim=1).cpu()


@dataclass(frozen=True)
class Index:
    """The committed vectors: ``q`` int8 [rows, dim], ``scale`` fp32 [rows]; a vector is q * scale."""

    method: str
    q: Tensor
    scale: Tensor

    @property
    def rows(self) -> int:
        return int(self.q.shape[0])

    def dump(self) -> bytes:
        """The index file (safetensors)."""
        note = {"method": self.method, "rows": self.rows, "dim": int(self.q.shape[1])}
        return dump({"q": self.q, "scale": self.scale}, note)

    @classmethod
    def load(cls, raw: bytes, rows: int, dim: int) -> Index:
        """Of its file. Raises InvalidModel when corrupt, of another shape, or with a scale below zero or not finite."""
        note, tensors = note_of(raw, "index"), load(raw, "index")
        if set(tensors) != {"q", "scale"}:
            raise InvalidModel("the index must hold q and scale, and nothing else")
        q, scale = tensors["q"], tensors["scale"]
        if q.dtype != torch.int8 or scale.dtype != torch.float32:
            raise InvalidModel("the index must hold int8 entries and fp32 scales")
        if tuple(q.shape) != (rows, dim) or tuple(scale.shape) != (rows,):
            raise InvalidModel(f"the index has {tuple(q.shape)} entries, the model needs {(rows, dim)}")
        if bool((scale < 0).any()) or bool((q == -128).any()):
            raise InvalidModel("the index holds a negative scale or an entry of -128")
        return cls(str(note.get("method")), q, scale)

    def root(self, row_leaves: Sequence[bytes]) -> bytes:
        """Merkle root over leaves (row number 8 bytes, data row's leaf 32, scale as little-endian fp32, entries)."""
        if len(row_leaves) != self.rows:
            raise InvalidModel(f"the index has {self.rows} rows, the data {len(row_leaves)}")
        q, scales = self.q.numpy(), self.scale.numpy().astype("<f4")
        return merkle_root(
            [
                merkle_leaf(number.to_bytes(8, "big") + leaf + scales[number].tobytes() + q[number].tobytes())
                for number, leaf in enumerate(row_leaves)
            ]
        )

    def dot(self, vector: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
        """fp64 [rows]: the score of every row for one answer."""
        wide = vector.double().numpy()
        q, scale = self.q.numpy(), self.scale.numpy().astype(np.float64)
        parts = [q[at : at + 64].astype(np.float64) @ wide for at in range(0, self.rows, 64)]
        return np.asarray(np.concatenate(parts) * scale, dtype=np.float64)


def quantise(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """int8 entries and fp32 scales of fp32 [rows, dim]: scale = largest magnitude / 127; a zero row has scale 0."""
    scale = vectors.abs().amax(dim=1) / 127.0
    safe = torch.where(scale > 0, scale, torch.ones_like(scale))
    q = torch.round(vectors / safe[:, None]).clamp(-127, 127).to(torch.int8)
    return q, scale


def row_error(index: Index, number: int, vector: Tensor) -> float:
    """How far a committed row lies from the recomputed ``vector`` [dim], relative to it: what exceeds int8 rounding, or
    the difference of scales, whichever is larger. An honest row of another machine stays below 1e-4."""
    size = float(vector.double().norm())
    scale = float(index.scale[number])
    own = float(vector.abs().amax()) / 127.0
    if size == 0.0 or own == 0.0:
        return 0.0 if scale == 0.0 or not bool(index.q[number].any()) else math.inf
    apart = (vector.double() - index.q[number].double() * scale).abs() - scale / 2
    return max(float(apart.clamp(min=0.0).norm()) / size, abs(scale - own) / own)


__all__ = ["BATCH", "GradientDot", "Index", "Method", "Run", "answer_ids", "quantise", "row_error"]

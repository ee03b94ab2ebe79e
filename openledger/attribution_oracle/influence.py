"""How much each training row raised an answer: what a method is, the first of them, and the index.

A method gives every row a vector (the index, built once at publish) and every answer a vector; a score is their dot
product. Larger = the row lowered the answer's loss more. "gradient-dot" takes the gradient of the row's loss and of the
answer's loss at the final weights, both in the adapter's parameters: a small step against the row's gradient lowers
the answer's loss by their dot product (TracIn with one checkpoint, Pruthi et al. 2020, arXiv 2002.08484).
For full fine-tunes the parameters are those of a probe: a LoRA adapter at B = 0 whose A follows from the seed.

Index rows are stored as int8 with one fp32 scale a row (``index``). All arithmetic up to there is fp32.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from openledger.attribution_oracle import lora
from openledger.attribution_oracle.bases import Base
from openledger.attribution_oracle.index import Index, Piece, quantise, row_error, small
from openledger.attribution_oracle.model import LanguageModel, at_once, pad, row_losses
from openledger.attribution_oracle.ports import Progress, silent
from openledger.attribution_oracle.tape import Place
from openledger.attribution_oracle.tokenizer import PAD
from openledger.attribution_oracle.train import Settings, assemble, documents, receipt_bytes
from openledger.primitives.errors import InvalidModel, OracleError

BATCH = 16


def checked(vectors: Tensor) -> Tensor:
    """The same vectors. Raises InvalidModel when one is not finite."""
    if not bool(torch.isfinite(vectors).all()):
        raise InvalidModel("a row's influence vector is not finite")
    return vectors


@dataclass(frozen=True)
class Run:
    """A finished training run in memory: what a method may look at. ``rows`` are token ids in training order. Whoever
    runs the model holds ``lock``: a method may swap its adapter for a moment."""

    base: Base
    settings: Settings
    seed: int
    tensors: Mapping[str, Tensor]
    receipt: Mapping[str, Any]
    model: LanguageModel
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

    @property
    def key(self) -> bytes:
        """By which a process remembers what follows from the run: one receipt may serve models that are shown more or
        less of their rows."""
        return hashlib.sha256(receipt_bytes({**self.receipt, "context": self.base.config.context})).digest()

    def adapter(self) -> Mapping[str, Tensor]:
        """The parameters whose gradients are looked at: the adapter's, or those of the probe of a full fine-tune."""
        full = self.settings.kind == "full"
        return lora.create(self.model, self.settings.lora, self.seed) if full else self.tensors

    @property
    def parameters(self) -> int:
        """How many these are."""
        return sum(math.prod(shape) for shape in lora.shapes(self.model, self.settings.lora).values())


class Method(Protocol):
    """One way of measuring influence."""

    name: str
    cost: str

    def dim(self, run: Run) -> int:
        """Length of a vector."""
        ...

    def cuts(self, run: Run, entries: int) -> tuple[int, ...]:
        """After which steps of the run an index of rows of ``entries`` has checkpoints."""
        ...

    def index_rows(self, run: Run, entries: int, place: Place, progress: Progress) -> Iterator[Piece]:
        """The rows of the index in their order, piece by piece, with ``entries`` entries each."""
        ...

    def row_vectors(self, run: Run, numbers: Sequence[int], progress: Progress) -> Tensor:
        """fp32 [len(numbers), dim], on the CPU."""
        ...

    def answered(self, run: Run, query: str, answer: str) -> tuple[Tensor, float]:
        """The answer's vector, fp32 [dim], on the CPU, and its loss a token, which the same pass gives. Raises
        OracleError for an answer without text."""
        ...

    def answer_vector(self, run: Run, query: str, answer: str) -> Tensor:
        """The vector of ``answered`` alone."""
        ...


def answer_ids(base: Base, query: str, answer: str) -> tuple[list[int], list[bool]]:
    """Token ids of start, query and answer, and which of them count (the answer's). When they do not fit the context
    the query loses its beginning, and an answer that fills it alone loses its end. Raises OracleError."""
    said = base.tokenizer.encode(answer)[: base.config.context - 1]
    if not said:
        raise OracleError("an answer without text cannot be attributed")
    asked = [base.tokenizer.start, *base.tokenizer.encode(query)][-(base.config.context - len(said)) :]
    return asked + said, [False] * len(asked) + [True] * len(said)


class GradientDot:
    """Gradients at the final weights."""

    name = "gradient-dot"
    cost = "index: one forward and backward pass a row; answer: one pass, then rows x dim multiplications"

    def dim(self, run: Run) -> int:
        return run.parameters

    def cuts(self, run: Run, entries: int) -> tuple[int, ...]:
        return ()

    def index_rows(self, run: Run, entries: int, place: Place, progress: Progress) -> Iterator[Piece]:
        total = len(run.rows)
        for at in range(0, total, 4 * BATCH):
            vectors = self.row_vectors(run, range(at, min(at + 4 * BATCH, total)), silent if at else progress)
            yield Piece(small(checked(vectors), entries))
            progress(min(at + 4 * BATCH, total), total, "index rows")

    def row_vectors(self, run: Run, numbers: Sequence[int], progress: Progress) -> Tensor:
        found: list[Tensor] = []
        by_length = sorted(range(len(numbers)), key=lambda i: len(run.rows[numbers[i]]))
        batch = at_once(run.model, max((len(run.rows[i]) for i in numbers), default=0), BATCH)
        for at in range(0, len(by_length), batch):
            ids = pad([run.rows[numbers[i]] for i in by_length[at : at + batch]], run.model.config.context)
            found.append(self._gradients(run, ids, ids != PAD)[0])
            progress(min(at + batch, len(by_length)), len(by_length), "rows")
        together = torch.empty((len(numbers), run.parameters), dtype=torch.float32)
        if found:
            together[torch.tensor(by_length)] = torch.cat(found)
        return together

    def answered(self, run: Run, query: str, answer: str) -> tuple[Tensor, float]:
        ids, counted = answer_ids(run.base, query, answer)
        gradients, losses = self._gradients(run, torch.tensor([ids]), torch.tensor([counted]))
        return gradients[0], float(losses[0])

    def answer_vector(self, run: Run, query: str, answer: str) -> Tensor:
        return self.answered(run, query, answer)[0]

    def _gradients(self, run: Run, ids: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
        """One gradient per row of ``ids``, and the rows' losses: every row gets its own copy of the adapter."""
        device = next(run.model.parameters()).device
        copies = {
            name: t.to(device).expand(len(ids), *t.shape).clone().requires_grad_(True)
            for name, t in run.adapter().items()
        }
        ids, counted = ids.to(device), counted.to(device)
        with run.lock, lora.attached(run.model, run.settings.lora, copies):
            losses = row_losses(run.model, ids, counted)
        gradients = torch.autograd.grad(losses.sum(), list(copies.values()))
        return torch.cat([g.reshape(len(ids), -1) for g in gradients], dim=1).cpu(), losses.detach()


__all__ = ["BATCH", "GradientDot", "Index", "Method", "Run", "answer_ids", "checked", "quantise", "row_error"]

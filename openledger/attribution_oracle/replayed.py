"""Path influence as a method of the registry: the receipt's run is replayed, and every row gets its part in it.

Nothing but the receipt, the base and the rows decides the index, and curvature is drawn by (seed, step), so that
anybody recomputes it; a model that its receipt does not lead to is refused. A process keeps the rows it has replayed:
where all of a model fit its memory the next claims cost no more than with any other method, else each new draw of rows
costs a replay.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from openledger.attribution_oracle import lora
from openledger.attribution_oracle.bases import Base
from openledger.attribution_oracle.gradients import Gradients
from openledger.attribution_oracle.index import Checkpoint, Index, Piece, small
from openledger.attribution_oracle.influence import GradientDot, Run, answer_ids, checked
from openledger.attribution_oracle.model import LanguageModel, document_losses, pad, row_losses
from openledger.attribution_oracle.parts import InParts, row_bytes, rows_at_once
from openledger.attribution_oracle.path import Effects, Moments, Source, Steps, shared_place, walk
from openledger.attribution_oracle.ports import Progress, SliceOver, silent
from openledger.attribution_oracle.segments import cuts
from openledger.attribution_oracle.tape import (
    Passes,
    Place,
    Tape,
    alone,
    pace,
    passes,
    read_piece,
    room,
    write_piece,
)  # fmt: skip
from openledger.attribution_oracle.train import Settings, start_tensors
from openledger.primitives.errors import InvalidModel

DRAWS = 2
"""Vectors of curvature a row and step."""
KEPT_MODELS = 2
AT_ONCE = 64
REPLAY_TOLERANCE = 1e-3
VERIFY_MEMORY = 3 << 30
"""Bytes for the rows that a verifier replays at once, half of what its process may have."""


class Trainable(LanguageModel):
    """A base with what is trained as its only parameters that require grad, named as in the weights file, with "_" for
    "."; ``forward`` gives logits [rows, time, vocabulary]."""

    def __init__(self, base: Base, settings: Settings, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.gpt, self.settings = base.build(), settings
        self.config = self.gpt.config
        if settings.kind == "full":
            self.gpt.load_state_dict(dict(tensors))
            self.gpt.requires_grad_(True)
        adapter = {} if settings.kind == "full" else tensors
        self.names = list(adapter)
        for name, tensor in adapter.items():  # one by one: a ParameterDict would sort them
            self.register_parameter(name.replace(".", "_"), nn.Parameter(tensor.clone()))

    @property
    def squares(self) -> int:
        return self.gpt.squares

    def forward(self, ids: Tensor) -> Tensor:
        if self.settings.kind == "full":
            logits: Tensor = self.gpt(ids)
            return logits
        adapter = {name: getattr(self, name.replace(".", "_")) for name in self.names}
        with lora.attached(self.gpt, self.settings.lora, adapter):
            result: Tensor = self.gpt(ids)
            return result


def trainable_losses(model: LanguageModel, ids: Tensor) -> Tensor:
    """Loss of each whole document, [rows]."""
    return document_losses(model, ids)


class Aside:
    """What a process holds of replays of all methods: those that were broken off at the end of a step, to go on there,
    and the rows of models that were replayed to the end. They and the one that is under way take at most ``most``
    bytes: rows are forgotten first, and of either what is from longest ago."""

    def __init__(self, most: int = VERIFY_MEMORY) -> None:
        self._most = most
        self._walks: dict[bytes, Effects] = {}
        self._rows: dict[bytes, dict[int, Tensor]] = {}

    @property
    def held(self) -> int:
        """Bytes of all."""
        rows = sum(4 * row.numel() for found in self._rows.values() for row in found.values())
        return rows + sum(walk.bytes for walk in self._walks.values())

    def take(self, name: bytes, size: int) -> Effects | None:
        """The replay of this name; None where there is none, and room for one of ``size`` bytes."""
        found = self._walks.pop(name, None)
        size = size if found is None else found.bytes
        for kept in (self._rows, self._walks):
            while kept and self.held + size > self._most:
                kept.pop(next(iter(kept)))
        return found

    def keep(self, name: bytes, effects: Effects) -> None:
        """To be gone on with."""
        self._walks[name] = effects

    def rows(self, model: bytes) -> dict[int, Tensor]:
        """What is held of a model's rows: all or none."""
        return self._rows.get(model, {})

    def keep_rows(self, model: bytes, rows: dict[int, Tensor]) -> None:
        """All rows of a model."""
        while len(self._rows) >= KEPT_MODELS:
            self._rows.pop(next(iter(self._rows)))
        self._rows[model] = rows


@dataclass(frozen=True)
class Form:
    """How rows are carried along a run (see ``path``): under which name, with how many vectors of curvature a row and
    step, and whether each layer has its own mean of second moments."""

    method: str = "path-influence"
    draws: int = DRAWS
    by_layer: bool = False


class Replay:
    """A run to be replayed: its model, its gradients, where it starts."""

    def __init__(self, run: Run, aside: Aside | None = None, form: Form | None = None) -> None:
        self.run, self._aside, self.form = run, aside or Aside(), form or Form()
        self.model = Trainable(run.base, run.settings, run.tensors).to(next(run.model.parameters()).device)
        self.gradients = Gradients(self.model, trainable_losses)
        self._parts = InParts(self.gradients, self.model)
        self.ids = pad(run.rows, run.base.config.context).to(self.gradients.device)
        self.steps = Steps.of(run.receipt, len(self.ids))

    def start(self) -> Tensor:
        """The weights that the run starts from, fp32 [parameters]."""
        run = self.run
        fresh = start_tensors(run.base, run.base.build(), run.seed, run.settings)
        full = run.settings.kind == "full"
        return self.gradients.vector({f"gpt.{n}" if full else n.replace(".", "_"): t for n, t in fresh.items()})

    def source(self, memory: int, progress: Progress = silent) -> InParts:
        """The run's gradients, in parts that fit a memory of so many bytes; ``progress`` behind each part."""
        return self._parts.allowed(memory, progress)

    def checking(self, progress: Progress = silent) -> InParts:
        """``source`` for a verifier."""
        return self.source(VERIFY_MEMORY, progress)

    def layers(self) -> list[int]:
        """How many parameters each layer has, in order; none where all are taken together."""
        if not self.form.by_layer:
            return []
        found: dict[str, int] = {}
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                layer = name.rpartition("." if self.run.settings.kind == "full" else "_")[0]
                found[layer] = found.get(layer, 0) + parameter.numel()
        return list(found.values())

    def segment(
        self, source: Source, begin: Checkpoint | None, until: int, numbers: Sequence[int], progress: Progress
    ) -> tuple[Tensor, Moments]:
        """Influence of the rows after step ``until``, fp32 [numbers, parameters], and weights and moments there, from a
        checkpoint of these rows on (None: the start). What SliceOver has broken off is gone on with."""
        lean = alone(len(self.ids), self.gradients.size, self.form.draws)
        size = 4 * (len(numbers) + 1) * self.gradients.size * (1 if lean else 3)
        name = self._name(begin, until, numbers)
        effects = self._aside.take(name, size) or self._effects(begin, numbers, lean)
        draws = pace(len(self.ids), self.gradients.size, self.form.draws)
        try:
            walk(source, effects, self.ids, shared_place(numbers, self.ids), draws, self.run.seed, progress, until)
        except SliceOver:
            self._aside.keep(name, effects)
            raise
        effects.settle()
        return effects.u[: len(numbers)].neg_(), effects.adam

    def _effects(self, begin: Checkpoint | None, numbers: Sequence[int], lean: bool) -> Effects:
        adam = Moments(self.start() if begin is None else begin.theta.to(self.gradients.device), self.steps)
        effects = Effects(len(numbers) + 1, adam, lean, layers=self.layers())
        if begin is not None:
            adam.m.copy_(begin.m)
            adam.v.copy_(begin.v)
            adam.count = begin.step
            for at in range(0, len(numbers), AT_ONCE):
                some = begin.rows.taken(range(at, min(at + AT_ONCE, len(numbers)))).dense(self.gradients.size)
                effects.u[at : at + len(some)] = -some.to(effects.u.device)
        return effects

    def _name(self, begin: Checkpoint | None, until: int, numbers: Sequence[int]) -> bytes:
        """Of a part of the run: all that decides what comes of it."""
        name = hashlib.sha256(self.form.method.encode() + self.run.key + (b"" if begin is None else begin.dump()))
        name.update(repr((until, *numbers)).encode())
        return name.digest()

    def rows(self, source: Source, numbers: Sequence[int], progress: Progress) -> Tensor:
        """Influence of the rows, without checkpoints, fp32 [numbers, parameters]. Raises InvalidModel when the receipt
        does not lead to the weights."""
        found, adam = self.segment(source, None, len(self.steps.batches), numbers, progress)
        self.arrive(adam.theta)
        return found

    def piece(
        self, source: Source, numbers: Sequence[int], entries: int, cuts: Sequence[int], progress: Progress
    ) -> Piece:
        """The rows as an index has them, with checkpoints after ``cuts``. Raises InvalidModel as ``rows``."""
        passed: list[Checkpoint] = []
        for cut in cuts:
            before = passed[-1] if passed else None
            vectors, adam = self.segment(source, before, cut, numbers, progress)
            rows = Index.of(self.form.method, small(checked(vectors).cpu(), entries), self.gradients.size)
            passed.append(Checkpoint(cut, adam.theta.cpu(), adam.m.cpu(), adam.v.cpu(), rows))
            del vectors
        before = passed[-1] if passed else None
        vectors, adam = self.segment(source, before, len(self.steps.batches), numbers, progress)
        self.arrive(adam.theta)
        return Piece(small(checked(vectors).cpu(), entries), tuple(passed))

    def arrive(self, theta: Tensor) -> None:
        """Raises InvalidModel when these are not the model's weights."""
        now = self.gradients.now()
        away = float((theta - now).norm() / now.norm().clamp(min=1e-30))
        if not away <= REPLAY_TOLERANCE:
            raise InvalidModel(f"the training receipt does not lead to the weights: they are {away:.1e} apart")

    def passes(self, numbers: Sequence[int], memory: int, even: bool = True) -> list[Sequence[int]]:
        """The rows in as many parts as memory asks for."""
        draws = pace(len(self.ids), self.gradients.size, self.form.draws)
        longest, batch = self.ids.shape[1], max(len(b) for b in self.steps.batches)
        beside = rows_at_once(self.model, longest, batch, draws, memory) * row_bytes(self.model, longest, draws)
        return passes(numbers, len(self.ids), self.steps, self.gradients.size, draws, memory, even, beside)

    def checked(self, numbers: Sequence[int]) -> list[Sequence[int]]:
        """The rows in the parts in which a verifier replays them, one after the other."""
        return self.passes(numbers, VERIFY_MEMORY, even=False)

    def answer(self, ids: Sequence[int], counted: Sequence[bool]) -> tuple[Tensor, float]:
        """Gradient of an answer's loss at the final weights, fp32 [parameters], on the CPU, and the loss."""
        device = self.gradients.device
        loss = row_losses(self.model, torch.tensor([ids]).to(device), torch.tensor([counted]).to(device))
        found = torch.autograd.grad(loss.sum(), [p for p in self.model.parameters() if p.requires_grad])
        return torch.cat([g.reshape(-1) for g in found]).cpu(), float(loss.detach())


class PathInfluence(GradientDot):
    """Rows along the training run (see ``path``); answers as gradients at the final weights."""

    form = Form()
    name = form.method
    cost = (
        "index: about 3.5 fine-tunes of an adapter, 6 of all weights, for a verifier once per model; answer: one pass,"
        " then rows x entries multiplications"
    )

    def __init__(self, aside: Aside | None = None) -> None:
        self._known: dict[bytes, Replay] = {}
        self._aside = aside or Aside()

    def dim(self, run: Run) -> int:
        if run.settings.kind == "full":
            return sum(t.numel() for t in run.tensors.values())
        return super().dim(run)

    def row_vectors(self, run: Run, numbers: Sequence[int], progress: Progress) -> Tensor:
        replay, key = self.replay(run), self._key(run)
        parts, found = replay.checked(range(len(run.rows))), self._aside.rows(key)
        if not found:
            for part in parts if len(parts) == 1 else replay.checked(numbers):
                vectors = replay.rows(replay.checking(progress), part, progress).cpu()
                found.update(zip(part, vectors, strict=True))
            if len(parts) == 1:
                self._aside.keep_rows(key, found)
        return torch.stack([found[number] for number in numbers])

    def replay(self, run: Run) -> Replay:
        """The model's replay, kept from one claim to the next."""
        key = self._key(run)
        if key not in self._known:
            while len(self._known) >= KEPT_MODELS:
                self._known.pop(next(iter(self._known)))
            self._known[key] = Replay(run, self._aside, self.form)
        return self._known[key]

    def cuts(self, run: Run, entries: int) -> tuple[int, ...]:
        return cuts(len(run.receipt["batches"]), len(run.rows), entries, self.dim(run))

    def index_rows(self, run: Run, entries: int, place: Place, progress: Progress) -> Iterator[Piece]:
        replay, at = self.replay(run), self.cuts(run, entries)
        parts = replay.passes(range(len(run.rows)), place.memory)
        folder = place.folder and place.folder / self._key(run).hex()[:16]
        if folder is not None:
            room(
                folder, replay.steps, replay.gradients.size, pace(len(run.rows), replay.gradients.size, self.form.draws)
            )
        for number, part in enumerate(parts):
            kept = folder and folder / f"rows-{part[0]:07}-{part[-1]:07}-{entries}"
            if kept is not None and kept.exists():
                yield read_piece(kept, len(part), entries, replay.gradients.size, at)
                continue
            source: Source = replay.source(place.memory)
            source = source if folder is None else Tape(source, folder)
            steps = Passes(progress, number, len(parts))
            piece = replay.piece(source, part, entries, at, steps)
            if kept is not None:
                write_piece(kept, piece)
            yield piece
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def answered(self, run: Run, query: str, answer: str) -> tuple[Tensor, float]:
        if run.settings.kind != "full":
            return super().answered(run, query, answer)
        return self.replay(run).answer(*answer_ids(run.base, query, answer))

    def _key(self, run: Run) -> bytes:
        return hashlib.sha256(self.name.encode() + run.key).digest()


class PathUndecayed(PathInfluence):
    """The same without curvature, each layer with its own mean of second moments: more accurate on pretrained bases,
    and what machines find there is closer together."""

    form = Form("path-undecayed", 0, by_layer=True)
    name = form.method
    cost = (
        "index: about 1.3 fine-tunes, for a verifier once per model; answer: one pass, then rows x entries"
        " multiplications"
    )


__all__ = ["Aside", "Form", "PathInfluence", "PathUndecayed", "Replay", "Trainable", "trainable_losses"]

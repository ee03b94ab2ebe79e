"""How well a model's index tells the truth: the LDS (linear datamodeling score) by real retraining.

The receipt's run is repeated without random halves of the rows, and without random halves of the contributors. Over
these runs, the summed scores of the rows that stayed are compared with minus the loss of a held-out document
(Spearman); the mean over documents is the score, 1 when every order is right. The subsets follow from the model's seed.
Source: Ilyas et al. 2022 (datamodels), Park et al. 2023 (TRAK).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from openledger.attribution_oracle.gradients import Gradients
from openledger.attribution_oracle.influence import Index, Run, answer_ids
from openledger.attribution_oracle.methods import method
from openledger.attribution_oracle.model import pad
from openledger.attribution_oracle.parts import InParts
from openledger.attribution_oracle.path import Steps, retrained
from openledger.attribution_oracle.ports import Progress, silent
from openledger.attribution_oracle.replayed import REPLAY_TOLERANCE, Trainable, trainable_losses
from openledger.attribution_oracle.tape import MEMORY
from openledger.attribution_oracle.tensors import order
from openledger.attribution_oracle.train import start_tensors
from openledger.primitives.errors import InvalidModel, OracleError
from openledger.primitives.types import Address

PPM = 1_000_000
FEWEST = 4
"""Subsets without which no order is worth a number."""
MAX_SUBSETS = 10_000
ENUMERATED = 12
"""Up to so many contributors all halves are listed, so that none is drawn twice."""
Array = np.ndarray[Any, np.dtype[np.float64]]


def ranks(values: Array) -> Array:
    """Ranks along the first axis, from 0; what is equal shares its mean rank."""
    first, last = (np.argsort(np.argsort(v, axis=0, kind="stable"), axis=0) for v in (values, values[::-1]))
    return np.asarray((first + last[::-1]) / 2)


def by_document(told: Array, true: Array) -> Array:
    """Spearman's correlation of each column of two [subsets, documents]; 0 where a column is constant."""
    a, b = (x - x.mean(0) for x in (ranks(told), ranks(true)))
    size = np.sqrt((a * a).sum(0) * (b * b).sum(0))
    return np.asarray((a * b).sum(0) / np.where(size > 0, size, 1.0))


def lds(scores: Array, kept: Array, losses: Array) -> float:
    """``scores`` [documents, rows], ``kept`` [subsets, rows] of 0 and 1, ``losses`` [subsets, documents]."""
    return float(by_document(kept @ scores.T, -losses).mean())


@dataclass(frozen=True)
class Score:
    """What the retrainings said: ``told`` and ``true`` effects [subsets, documents], larger = the document's loss is
    lower (true in nats a token, told in the index's own unit)."""

    told: Array
    true: Array

    @property
    def documents(self) -> Array:
        """Spearman's correlation of each document."""
        return by_document(self.told, self.true)

    @property
    def value(self) -> float:
        """The LDS, -1 to 1."""
        return float(self.documents.mean())

    @property
    def error(self) -> float:
        """Its standard error: the jackknife's over subsets and over documents, added in squares."""
        total = 0.0
        for axis in (0, 1):
            count = self.told.shape[axis]
            if count > 1:
                left = [by_document(np.delete(self.told, i, axis), np.delete(self.true, i, axis)).mean()
                        for i in range(count)]  # fmt: skip
                total += (count - 1) * float(np.var(left))
        return math.sqrt(total)

    @property
    def ppm(self) -> int:
        """For the chain: 0 where the index is worse than chance."""
        return max(0, round(self.value * PPM))


@dataclass(frozen=True)
class Measurement:
    """LDS over rows, and over contributors where there are enough of them; ``retrainings`` done in ``seconds``, of the
    ``asked`` ones; ``seen``: held-out documents that are training rows word for word."""

    rows: Score
    contributors: Score | None
    retrainings: int
    asked: int
    seconds: float
    seen: int


def halves(units: int, count: int, seed: int, label: str) -> list[list[int]]:
    """``count`` random halves of ``units`` numbers, none twice while there are others; fewer where no more exist."""
    size = units // 2
    if units <= ENUMERATED:
        listed = [list(c) for c in combinations(range(units), size)]
        return [listed[i] for i in order(seed, label, len(listed))[:count]]
    return [order(seed, f"{label}.{number}", units)[:size] for number in range(count)]


def subsets_of(contributors: Sequence[Address], count: int, seed: int) -> tuple[Array, Array]:
    """Which rows stay, [subsets, rows] of 0 and 1: halves of the rows, and halves of the contributors (no subsets
    where fewer than ``FEWEST`` exist)."""
    people = sorted(set(contributors))
    whose = np.array([people.index(who) for who in contributors])
    by_row = [np.isin(np.arange(len(whose)), some) for some in halves(len(whose), count, seed, "lds.rows")]
    owned = [np.isin(whose, some) for some in halves(len(people), count, seed, "lds.contributors")]
    nothing = np.zeros((0, len(whose)))
    return np.array(by_row, dtype=np.float64), np.array(owned, dtype=np.float64) if len(owned) >= FEWEST else nothing


class _Truth:
    """Retrains as the receipt says, some rows of a batch at a time, as ``MEMORY`` allows. Raises InvalidModel when the
    receipt does not lead to the model's weights."""

    def __init__(self, run: Run, texts: Sequence[str]) -> None:
        model = Trainable(run.base, run.settings, run.tensors).to(next(run.model.parameters()).device)
        self.gradients = Gradients(model, trainable_losses)
        self.parts = InParts(self.gradients, model).allowed(MEMORY)
        fresh = start_tensors(run.base, run.base.build(), run.seed, run.settings)
        full = run.settings.kind == "full"
        self.start = self.gradients.vector({f"gpt.{n}" if full else n.replace(".", "_"): t for n, t in fresh.items()})
        self.steps = Steps.of(run.receipt, len(run.rows))
        self.ids = pad(run.rows, run.base.config.context).to(self.gradients.device)
        self.asked = pad([answer_ids(run.base, "", text)[0] for text in texts], run.base.config.context).to(
            self.gradients.device
        )
        now = self.gradients.now()
        end = retrained(self.parts, self.start, self.ids, self.steps, [True] * len(run.rows))
        away = float((end - now).norm() / now.norm().clamp(min=1e-30))
        if not away <= REPLAY_TOLERANCE:
            raise InvalidModel(f"the training receipt does not lead to the weights: they are {away:.1e} apart")

    def losses(self, kept: Array) -> Array:
        """Losses of the documents, nats a token, after the run with the ``kept`` rows alone."""
        theta = retrained(self.parts, self.start, self.ids, self.steps, [bool(k) for k in kept])
        return np.asarray(self.parts.losses(theta, self.asked).cpu().double().numpy())


def _turns(kinds: tuple[Array, Array]) -> list[tuple[int, int]]:
    """(number, 0 for rows or 1 for contributors) of all subsets, in the order in which they are retrained."""
    every = sorted((number, which) for which in (0, 1) for number in range(len(kinds[which])))
    return sorted(every, key=lambda turn: turn[1] == 1 or turn[0] >= FEWEST)


def measure(
    run: Run, index: Index, contributors: Sequence[Address], texts: Sequence[str], subsets: int,
    progress: Progress = silent, *, seconds: float = math.inf, clock: Callable[[], float] = time.monotonic,
) -> Measurement:  # fmt: skip
    """LDS of ``index`` on the held-out ``texts`` by ``subsets`` retrainings with half the rows and as many with half of
    the ``contributors`` (one a row): the fewest over rows first, then in turns. After ``seconds`` no new one begins;
    what there is by then counts. The run is repeated as it was before, which tells how long all will take: where the
    fewest would not end in time none begins. Raises OracleError with too little of anything, InvalidModel when the
    receipt does not lead to the weights."""
    if not FEWEST <= subsets <= MAX_SUBSETS or not texts or len(run.rows) < FEWEST:
        raise OracleError(f"an LDS needs {FEWEST} to {MAX_SUBSETS} subsets, {FEWEST} rows and one held-out document")
    began = clock()
    chosen = method(index.method)
    scores = np.stack([index.dot(chosen.answer_vector(run, "", text)) for text in texts])
    progress(0, 1, "the run is repeated as it was")
    before = clock()
    truth = _Truth(run, texts)
    each = (clock() - before) / 2  # half of the rows
    kinds = subsets_of(contributors, subsets, run.seed)
    found: tuple[list[Array], list[Array]] = ([], [])
    turns = _turns(kinds)
    whole, fewest = (math.ceil(before - began + each * (2 + count)) for count in (len(turns), FEWEST))
    if fewest > seconds:
        raise OracleError(
            f"the {FEWEST} retrainings that an LDS needs would take about {fewest} s here, all {len(turns)} {whole} s",
            f"give it more time (--seconds {whole})",
        )
    for done, (number, which) in enumerate(turns, 1):
        spent = clock() - began
        if spent > seconds and done > FEWEST:
            break
        progress(done - 1, len(turns), f"retraining {done} of {len(turns)}, {spent:.0f} of about {whole} s")
        found[which].append(truth.losses(kinds[which][number]))
    retrainings = sum(map(len, found))
    rows, owned = (Score(kinds[w][: len(f)] @ scores.T, -np.stack(f)) if len(f) >= FEWEST else None
                   for w, f in enumerate(found))  # fmt: skip
    assert rows is not None  # noqa: S101 - shown above
    trained = {tuple(ids) for ids in run.rows}
    seen = sum(tuple(run.base.tokenizer.document(text)) in trained for text in texts)
    return Measurement(rows, owned, retrainings, len(turns), round(clock() - began, 2), seen)


__all__ = ["FEWEST", "Measurement", "Score", "by_document", "halves", "lds", "measure", "ranks", "subsets_of"]

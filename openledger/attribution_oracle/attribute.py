"""Attribution of any trained torch language model: path influence, set right by a few retrainings of halves, and beside
it inverse curvature at the trained weights (``rotated``)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from openledger.attribution_oracle.gradients import FAILS, Gradients, Losses
from openledger.attribution_oracle.halves import corrected, halves
from openledger.attribution_oracle.path import LEAN_DRAWS, Steps, is_lean, path_rows, retrained
from openledger.attribution_oracle.ports import Progress, silent
from openledger.attribution_oracle.rotated import LEAN_WIDEST, WIDEST, joined, solved
from openledger.attribution_oracle.seen import Seen
from openledger.attribution_oracle.table import Table
from openledger.primitives.errors import OracleError

DRAWS = 3
HALVES = 5
LEAN_HALVES, ROUGH_HALVES = 4, 10
"""Of large indexes: in fp32, and where passes in bfloat16 leave time for more."""
TRUST, HEAVY_TRUST, LEAN_TRUST = (1.0, 0.25), (3.0, 0.5), (0.3, 0.25)
"""Ridge of the correction by halves, and weight of the second opinion: of adapters, where U is heavy, and of large
indexes."""
FEWEST = 4
"""Rows from which on halves are retrained."""
SHRINKAGE = 4
HELD = 32
"""Vectors of curvature that are applied together, for each draw a row."""
CARRIED = 10
"""Multiplications that an entry of the three matrices is worth."""
FEW_DRAWN = 1 << 23
"""Entries of U from which on curvature is one draw a row, where U is heavy."""
KEPT = 0.05
"""Of a row's entries, where curvature is one draw a row: the rest is that draw's noise."""
SAMPLE = 1 << 16
SHARED, LEFT_OUT = 0.2, 32
"""Of what goes to all rows alike, by their visits: the geometric mean of what the run does for a row that it was
without and of a query's scores' sizes. Path influence says what a row does in place of others, not what comes of there
being more of them. So many rows of those that a half left out are asked what it does for them."""
Scores = np.ndarray[tuple[int, int], np.dtype[np.float64]]


def attribute(
    model: nn.Module, losses: Losses, train: Tensor, query: Tensor, groups: Sequence[Any], run: Mapping[str, Any], *,
    draws: int = DRAWS, retrainings: int | None = None, seed: int = 0, progress: Progress = silent,
) -> Scores:  # fmt: skip
    """How much each training row lowered each query's loss: fp64 [queries, rows], larger = lowered it more.

    ``model`` stands at its final weights, and its attributed parameters require grad; ``losses(model, ids)`` gives one
    loss per row of a LongTensor [rows, time] padded with 0; ``groups`` is the contributor of each row; ``run`` holds
    ``start`` (state dict before training), ``batches``, ``lrs`` and ``optimizer`` (``kind`` adam, ``b1``, ``b2``,
    ``eps``). Path influence with ``draws`` vectors of curvature a row, set right by ``retrainings`` without half of the
    rows (None: as many as pay), some of inverse curvature at the end, and SHARED. Who contributed a row changes no
    score: one contributor may go by many names. Nothing is dropped at random, whatever mode the model is in. Raises
    OracleError for input that is malformed or not finite. The model is left as it was."""
    asked = _ids(query, "query")
    return prepared(
        model, losses, train, groups, run, draws=draws, retrainings=retrainings, seed=seed, progress=progress
    ).scores(asked)


@dataclass(frozen=True)
class Prepared:
    """What is done once: the index, the weights ``middle`` at which queries are asked, each row's part of all
    visits, and by how much the run lowers the loss of what it was without."""

    gradients: Gradients
    index: Table
    middle: Tensor
    visits: Tensor
    gained: float

    @classmethod
    def of(cls, gradients: Gradients, index: Tensor, middle: Tensor, visits: Tensor, gained: float) -> Prepared:
        """Of an index fp32 [rows, parameters]: of a large one, whose rows keep their largest entries, the columns that
        tell."""
        lean = is_lean(len(index), gradients.size)
        return cls(gradients, gradients.cut(index) if lean else gradients.whole(index), middle, visits, gained)

    def scores(self, query: Tensor) -> Scores:
        """fp64 [queries, rows]: a gradient for each query, times the index, and SHARED. Raises OracleError for queries
        that are malformed, and for scores that are not finite."""
        asked, gradients = _ids(query, "query").to(self.gradients.device), self.gradients
        with _settled(gradients.model):
            try:
                found = gradients.dotted(self.middle, asked, self.index)
            except FAILS as err:
                raise OracleError(f"the queries have no gradients: {type(err).__name__} {err}") from err
            alike = SHARED * math.copysign(1, self.gained) * (abs(self.gained) * found.abs().sum(1)).sqrt()
            scores: Scores = (alike[:, None] * self.visits - found).cpu().double().numpy()
        if not np.isfinite(scores).all():
            raise OracleError("a score is not finite")
        return scores


def prepared(
    model: nn.Module, losses: Losses, train: Tensor, groups: Sequence[Any], run: Mapping[str, Any], *,
    draws: int = DRAWS, retrainings: int | None = None, seed: int = 0, progress: Progress = silent,
) -> Prepared:  # fmt: skip
    """``attribute`` up to the queries, with the same arguments and errors."""
    rows = _ids(train, "train")
    if not isinstance(model, nn.Module) or not callable(losses):
        raise OracleError("model must be a torch module, and losses a function of it and of ids")
    if not hasattr(groups, "__len__") or len(groups) != len(rows):
        named = len(groups) if hasattr(groups, "__len__") else type(groups).__name__
        raise OracleError(f"{named} contributors are named for {len(rows)} rows")
    steps = Steps.of(run, len(rows))
    if not isinstance(run.get("start"), Mapping):
        raise OracleError("the run lacks its start: the state dict before training")
    with _settled(model):
        gradients = Gradients(model, losses)
        rows, final, start = rows.to(gradients.device), gradients.now(), gradients.vector(run["start"])
        _try(gradients, final, rows)
        found = influence_rows(gradients, start, final, rows, steps, draws, retrainings, seed, progress)
        index, middle, gained = found
        met = torch.tensor([row for batch in steps.batches for row in batch], device=index.device)
        return Prepared.of(gradients, index, middle, torch.bincount(met, minlength=len(rows)) / len(met), gained)


def influence_rows(
    gradients: Gradients, start: Tensor, final: Tensor, ids: Tensor, steps: Steps, draws: int,
    retrainings: int | None, seed: int, progress: Progress = silent,
) -> tuple[Tensor, Tensor, float]:  # fmt: skip
    """d(final weights) / d(weight of the row), as both accounts together have it, fp32 [rows, parameters]; the weights
    at which to take a query's gradient: k / (k + SHRINKAGE) of the way to the mean of the k retrained ones, so that
    what is left out changes the loss about as its derivative there says; and by how much the first of them lowers the
    loss of rows that it was trained without (0 without any). For a large index LEAN_HALVES are
    retrained at most, or ROUGH_HALVES where passes may be in bfloat16, KEPT of the path's entries count, and the second
    opinion turns no side beyond LEAN_WIDEST."""
    lean, alone = is_lean(len(ids), gradients.size), is_heavy(gradients, ids, steps)
    rough = lean and gradients.bears_rounding(start, ids[torch.tensor(steps.batches[0], device=ids.device)])
    draws = min(draws, LEAN_DRAWS) if lean or (alone and len(ids) * gradients.size > FEW_DRAWN) else draws
    count, middle, seen = _count(retrainings, lean, alone, rough), final, Seen(gradients, steps, len(ids), rough)
    gained = 0.0
    held, (ridge, weight) = HELD * max(draws, 1), LEAN_TRUST if lean else HEAVY_TRUST if alone else TRUST
    with gradients.roughly(rough):
        found, _ = path_rows(seen, start, ids, steps, draws, seed, progress, held=held, rough=rough, alone=alone)
        if len(ids) >= FEWEST and count:
            kept, moved = torch.from_numpy(halves(ids, count, seed)), []
            for number, line in enumerate(kept):
                moved.append(retrained(gradients, start, ids, steps, line.tolist()))
                progress(number + 1, len(kept), "retrainings")
            together = torch.stack(moved)
            gained = _gained(gradients, start, moved[0], ids[~kept[0].to(ids.device)])
            found = corrected(found, kept.to(found.device), together, ridge)
            middle = final + (together.mean(0) - final) * len(moved) / (len(moved) + SHRINKAGE)
        if lean:
            found = largest(found, KEPT)
        if draws:
            own, drawn = seen.gathered(final, ids, draws, seed)
            second = solved(own, drawn, gradients.shapes, LEAN_WIDEST if lean else WIDEST)
            found = joined(found, own, second, weight)
    return found, middle, gained


def _gained(gradients: Gradients, start: Tensor, now: Tensor, ids: Tensor) -> float:
    """How much lower the mean loss of LEFT_OUT of these rows, from first to last, is at ``now`` than at ``start``."""
    some = ids[:: -(-len(ids) // LEFT_OUT)]
    return float((gradients.losses(start, some) - gradients.losses(now, some)).mean())


def _count(asked: int | None, lean: bool, alone: bool, rough: bool) -> int:
    """How many halves are retrained."""
    if not (lean or alone):
        return HALVES if asked is None else asked
    most = ROUGH_HALVES if rough else LEAN_HALVES
    return most if asked is None else min(asked, most)


def is_heavy(gradients: Gradients, ids: Tensor, steps: Steps) -> bool:
    """Whether carrying U, M and V of all rows would take several times as long as the run itself: each step reads and
    writes them whole, while its own arithmetic goes as all weights times the tokens of a batch. So it is with all
    weights of a small model, and not with an adapter of some hundred rows."""
    tokens = ids.shape[1] * sum(len(batch) for batch in steps.batches) / len(steps.batches)
    return CARRIED * len(ids) * gradients.size > gradients.whole_model * tokens


def largest(rows: Tensor, part: float) -> Tensor:
    """The largest ``part`` of each row's entries, by size: others become 0 in place. Of long rows about that part, as
    every so many entries tell where it begins."""
    step = 1 + rows.shape[1] // SAMPLE
    for row in rows:
        size = row.abs()
        some = size[::step]
        row.masked_fill_(size < torch.kthvalue(some, max(1, math.floor((1 - part) * len(some)) + 1)).values, 0)
    return rows


@contextmanager
def _settled(model: nn.Module) -> Iterator[None]:
    """Within, gradients can be taken, also where the caller does without, and nothing is dropped at random. What is
    recurrent keeps its mode: cuDNN has no gradients of it outside of training."""
    modes = [(part, part.training) for part in model.modules()]
    drops = [(part, part.dropout) for part, _ in modes if isinstance(part, nn.RNNBase)]
    try:
        for part, _ in modes:
            part.training = part.training and isinstance(part, nn.RNNBase)
        for recurrent, _ in drops:
            recurrent.dropout = 0.0
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode
        for recurrent, drop in drops:
            recurrent.dropout = drop


def _try(gradients: Gradients, theta: Tensor, ids: Tensor) -> None:
    """Raises OracleError where the row with the largest token number has no gradient."""
    row = ids[int(ids.amax(1).argmax())][None]
    try:
        gradients.mean(theta, row)
    except FAILS as err:
        raise OracleError(f"losses(model, ids) has no gradient: {type(err).__name__} {err}") from err


WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def _ids(ids: Tensor, what: str) -> Tensor:
    if not isinstance(ids, Tensor) or ids.dim() != 2 or ids.dtype not in WHOLE or not ids.numel():
        raise OracleError(f"{what} must be a LongTensor [rows, time] with at least one row")
    if bool((ids < 0).any()):
        raise OracleError(f"{what} holds a negative token number")
    return ids.long()


__all__ = ["Prepared", "attribute", "influence_rows", "largest", "prepared"]

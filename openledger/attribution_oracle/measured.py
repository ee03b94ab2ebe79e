"""How well a model's index tells the truth: the LDS (linear datamodeling score) by real retraining.

The receipt's run is repeated without random halves of the rows. Over these runs, the summed scores of the rows that
stayed are compared with minus the loss of a held-out document (Spearman), and the mean over documents is the score.
Source: Ilyas et al. 2022 (datamodels), Park et al. 2023 (TRAK).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from openledger.attribution_oracle.gradients import Gradients
from openledger.attribution_oracle.influence import Index, Run, answer_ids
from openledger.attribution_oracle.methods import method
from openledger.attribution_oracle.model import pad
from openledger.attribution_oracle.path import Steps, retrained
from openledger.attribution_oracle.ports import Progress, silent
from openledger.attribution_oracle.replayed import Trainable, trainable_losses
from openledger.attribution_oracle.tensors import order
from openledger.attribution_oracle.train import start_tensors
from openledger.primitives.errors import OracleError

PPM = 1_000_000
Array = np.ndarray[Any, np.dtype[np.float64]]


def ranks(values: Array) -> Array:
    """Ranks along the first axis, from 0; ties in the order in which they stand."""
    return np.asarray(np.argsort(np.argsort(values, axis=0, kind="stable"), axis=0), dtype=np.float64)


def lds(scores: Array, kept: Array, losses: Array) -> float:
    """``scores`` [documents, rows], ``kept`` [subsets, rows] of 0 and 1, ``losses`` [subsets, documents]."""
    told, true = ranks(kept @ scores.T), ranks(-losses)
    return float(np.mean([np.corrcoef(told[:, d], true[:, d])[0, 1] for d in range(told.shape[1])]))


def measure(run: Run, index: Index, texts: Sequence[str], subsets: int, progress: Progress = silent) -> int:
    """LDS of ``index`` over rows, ppm (0 where it would be negative), on the held-out ``texts``, by ``subsets``
    retrainings with half the rows. Raises OracleError with too little of anything."""
    if subsets < 4 or not texts or len(run.rows) < 4:
        raise OracleError("an LDS needs at least 4 subsets, 4 rows and one held-out document")
    model = Trainable(run.base, run.settings, run.tensors).to(next(run.model.parameters()).device)
    gradients = Gradients(model, trainable_losses)
    fresh = start_tensors(run.base, run.base.build(), run.seed, run.settings)
    full = run.settings.kind == "full"
    start = gradients.vector({f"gpt.{n}" if full else n.replace(".", "_"): t for n, t in fresh.items()})
    context, steps = run.base.config.context, Steps.of(run.receipt, len(run.rows))
    ids = pad(run.rows, context).to(gradients.device)
    asked = pad([answer_ids(run.base, "", text)[0] for text in texts], context).to(gradients.device)
    chosen = method(index.method)
    scores = np.stack([index.dot(chosen.answer_vector(run, "", text)) for text in texts])
    kept, losses = np.zeros((subsets, len(run.rows))), []
    for number, line in enumerate(kept):
        line[order(run.seed, f"lds.{number}", len(line))[: len(line) // 2]] = 1
        theta = retrained(gradients, start, ids, steps, [bool(k) for k in line])
        losses.append(gradients.losses(theta, asked).cpu().double().numpy())
        progress(number + 1, subsets, "retrainings without half of the rows")
    return max(0, round(lds(scores, kept, np.stack(losses)) * PPM))


__all__ = ["lds", "measure"]

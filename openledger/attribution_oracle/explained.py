"""How much of an answer the fine-tune explains: what nobody's rows brought about is nobody's to be paid for.

An answer that is r times as likely with the fine-tune as by the base alone would have been given anyway in one case
of r: the fraction 1 - 1/r is due to the fine-tune (epidemiology's attributable fraction among the exposed). An answer
that the base knew by itself leaves nothing to attribute. The loss a token would leave next to nothing of any answer: a
fine-tune moves it by a percent.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from openledger.attribution_oracle.influence import Run, answer_ids
from openledger.attribution_oracle.model import LanguageModel, row_losses


def explained_fraction(run: Run, base: LanguageModel, query: str, answer: str, tuned: float) -> float:
    """1 - (probability of the answer by the base) / (by the tuned model), given the query; from 0 to 1.

    ``tuned`` is the answer's loss a token by the tuned model, as ``Method.answered`` gives it. Raises OracleError for
    an answer without text."""
    ids, counted = answer_ids(run.base, query, answer)
    device = next(base.parameters()).device
    rows, mask = torch.tensor([ids], device=device), torch.tensor([counted], device=device)
    gained = (_loss(base, rows, mask) - tuned) * sum(counted)
    return -math.expm1(-max(gained, 0.0))


@torch.no_grad()
def _loss(model: LanguageModel, ids: Tensor, counted: Tensor) -> float:
    return float(row_losses(model, ids, counted)[0])


__all__ = ["explained_fraction"]

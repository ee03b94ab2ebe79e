"""How much of an answer the fine-tune explains: what nobody's rows brought about is nobody's to be paid for.

A base model that would have said the same by itself leaves nothing to attribute; a row that is rare in the base's
training and decisive here leaves much.
"""

from __future__ import annotations

import torch
from torch import Tensor

from openledger.attribution_oracle.influence import Run, answer_ids
from openledger.attribution_oracle.model import GPT, row_losses


def explained_fraction(run: Run, base: GPT, query: str, answer: str) -> float:
    """(loss of the base - loss of the tuned model) / loss of the base, on the answer's tokens; from 0 to 1.

    ``base`` lies on the same device as the tuned model. Raises OracleError for an answer without text."""
    ids, counted = answer_ids(run.base, query, answer)
    device = next(run.model.parameters()).device
    rows, mask = torch.tensor([ids], device=device), torch.tensor([counted], device=device)
    with run.lock:
        tuned = _loss(run.model, rows, mask)
    before = _loss(base, rows, mask)
    return min(max((before - tuned) / before, 0.0), 1.0) if before > 0.0 else 0.0


@torch.no_grad()
def _loss(model: GPT, ids: Tensor, counted: Tensor) -> float:
    return float(row_losses(model, ids, counted)[0])


__all__ = ["explained_fraction"]

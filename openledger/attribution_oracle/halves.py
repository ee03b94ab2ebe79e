"""Path influence set right by a few real retrainings, each without about half of the contributors.

A linear account of a training run misses what its curvature estimate misses, and how contributors stand in for each
other. So the run is repeated a few times with random halves of the contributors (half the rows: half the work). With
theta_S the weights so reached, and s the centred signs of who was kept, the correction is the ridge regression

    theta_S - mean theta = sum over contributors of s_c (a U_c + E_c) + noise

with a the scale that fits best, U_c the sum of the contributor's rows, and E_c ~ N(0, 1/RIDGE) spread evenly over the
contributor's rows. What the retrainings do not tell stays as path influence has it. The index stays one vector a row.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from openledger.attribution_oracle.tensors import order

RIDGE = 1.0
TRIES = 64


def halves(groups: int, count: int, seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Which contributors are kept, bool [count, groups]: of some random designs with half the contributors in each line
    the one that tells most (largest determinant of the centred signs)."""
    best, most = np.zeros((count, groups), dtype=np.bool_), -np.inf
    for attempt in range(TRIES):
        kept = np.zeros((count, groups), dtype=np.bool_)
        for line in range(count):
            kept[line, order(seed, f"half.{attempt}.{line}", groups)[: max(1, groups // 2)]] = True
        signs = kept - kept.mean(0)
        told = float(np.linalg.slogdet(signs @ signs.T + 0.1 * np.eye(count))[1])
        if told > most:
            best, most = kept, told
    return best


def corrected(
    rows: Tensor, groups: Tensor, kept: Tensor, moved: Tensor, probes: Tensor, ridge: float = RIDGE
) -> Tensor:
    """The rows set right in place, fp32 [rows, parameters]. ``groups`` contributor number per row, ``kept`` bool
    [halves, contributors], ``moved`` the retrained weights [halves, parameters], ``probes`` gradients
    [any, parameters] in whose directions the scale a is fitted."""
    signs = kept.to(rows.dtype) - kept.to(rows.dtype).mean(0)
    away = moved - moved.mean(0)
    sums = torch.zeros(kept.shape[1], rows.shape[1], device=rows.device).index_add_(0, groups, rows)
    told, seen = (signs @ (sums @ probes.T)).double(), (away @ probes.T).double()
    scale = float((told * seen).sum() / told.square().sum().clamp(min=1e-30))
    scale = scale if scale > 0 else 1.0
    rest = away - scale * (signs @ sums)
    inner = signs @ signs.T + ridge * torch.eye(len(signs), device=rows.device)
    share = signs.T @ torch.linalg.solve(inner, rest)
    sizes = torch.bincount(groups, minlength=kept.shape[1]).clamp(min=1).to(rows.dtype)
    share /= sizes[:, None]
    for row, contributor in zip(rows, groups.tolist(), strict=True):
        row.mul_(scale).add_(share[contributor])
    return rows


__all__ = ["RIDGE", "corrected", "halves"]

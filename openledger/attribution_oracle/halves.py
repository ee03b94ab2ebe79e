"""Path influence set right by a few real retrainings, each without about half of the contributors.

A linear account of a training run misses what its curvature estimate misses, and how contributors stand in for each
other. So the run is repeated a few times with random halves of the contributors (half the rows: half the work). With
theta_S the weights so reached, and s the centred signs of who was kept, the correction is the ridge regression

    theta_S - mean theta = sum over rows of s_i (a U_i + E_i) + noise

with a the scale that fits best, and E_i normal, with covariance (1 + cos(U_i, U_j)) / 2 between rows where 1 stands for
i = j alone: like rows share what is learnt, whoever brought them. RIDGE is the noise's variance relative to what the
E_i bring. What the retrainings do not tell stays as path influence has it. The index stays one vector a row.
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


def corrected(rows: Tensor, kept: Tensor, moved: Tensor, ridge: float = RIDGE) -> Tensor:
    """The rows set right in place, fp32 [rows, parameters]. ``kept`` bool [halves, rows], ``moved`` the retrained
    weights [halves, parameters]."""
    signs = kept.to(rows.dtype) - kept.to(rows.dtype).mean(0)
    away, sums = moved - moved.mean(0), signs @ rows
    scale = float((sums.double() * away).sum() / sums.double().square().sum().clamp(min=1e-30))
    scale = scale if scale > 0 else 1.0
    size = rows.norm(dim=1).clamp(min=1e-30)
    alike = (signs.T + rows @ ((signs / size) @ rows).T / size[:, None]) / 2
    inner = signs @ alike
    unit = inner.diagonal().mean().clamp(min=1e-30)
    inner += ridge * unit * torch.eye(len(signs), device=rows.device)
    return rows.mul_(scale).addmm_(alike, torch.linalg.solve(inner, away - scale * sums))


__all__ = ["RIDGE", "corrected", "halves"]

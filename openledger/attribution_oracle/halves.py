"""Path influence set right by a few real retrainings, each without about half of the rows.

A linear account of a training run misses what its curvature estimate misses, and how rows stand in for each other. So
the run is repeated a few times with half of the rows (half the work). With theta_S the weights so reached, and s the
centred signs of which rows were kept, the correction is the ridge regression

    theta_S - mean theta = sum over rows of s_i (a U_i + E_i) + noise

with a the scale that fits best, and E_i normal, with covariance (1 + cos(U_i, U_j)) / 2 between rows where 1 stands for
i = j alone: like rows share what is learnt, whoever brought them. RIDGE is the noise's variance relative to what the
E_i bring. What the retrainings do not tell stays as path influence has it. The index stays one vector a row.

Which halves: those that tell most about rows that belong together (the D-optimal design: the largest determinant of
the signs' covariance under ``likeness``). What belongs together is told by rows' words, and by their places: neighbours
are often of one hand. Names are not asked, so that nobody's pay depends on how many he has.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from openledger.attribution_oracle.tensors import order

RIDGE = 3.0
TRIES, ROUNDS = 2, 200
WORDS = 0.8
"""What words weigh in ``likeness``, relative to places' 1 - WORDS."""
REACH = 4.0
"""Rows over which neighbourhood falls to 1 / e."""
BUCKETS, UNITS = 4096, 1024
Matrix = np.ndarray[tuple[int, int], np.dtype[np.float64]]
Kept = np.ndarray[tuple[int, int], np.dtype[np.bool_]]


def likeness(ids: Tensor) -> Matrix:
    """How much rows belong together, fp64 [rows, rows], centred, mean diagonal 1: the cosine of their tokens (roots of
    counts, weighed by rarity, token numbers modulo BUCKETS), and nearness in the order of rows. ``ids`` LongTensor
    [rows, time], 0 = padding."""
    tokens, rows = ids.cpu().numpy(), len(ids)
    used, bucket = np.unique(tokens % BUCKETS, return_inverse=True)
    counts = np.zeros((rows, len(used)))
    np.add.at(counts, (np.arange(rows)[:, None], bucket.reshape(tokens.shape)), tokens != 0)
    having = (counts > 0).sum(0)
    words = np.sqrt(counts) * np.where(having > 1, np.log(rows / np.maximum(having, 1)), 0.0)
    words /= np.maximum(np.linalg.norm(words, axis=1, keepdims=True), 1e-12)
    places = np.arange(rows)
    near = np.exp(-np.abs(places[:, None] - places) / REACH)
    return WORDS * _centred(words @ words.T) + (1 - WORDS) * _centred(near)


def _centred(alike: Matrix) -> Matrix:
    alike = alike - alike.mean(0) - alike.mean(1)[:, None] + alike.mean()
    found: Matrix = alike / max(float(np.trace(alike)) / len(alike), 1e-12)
    return found


def halves(ids: Tensor, count: int, seed: int) -> Kept:
    """Which rows are kept, bool [count, rows], half of them in each line: from random halves on, rows are exchanged as
    long as that tells more (see the top of the file). Beyond UNITS rows, consecutive rows stay together."""
    rows = len(ids)
    width = -(-rows // UNITS)
    if width > 1:
        padded = torch.nn.functional.pad(ids, (0, 0, 0, -rows % width))
        return halves(padded.reshape(-1, width * ids.shape[1]), count, seed).repeat(width, axis=1)[:, :rows]
    alike, best, most = likeness(ids), np.zeros((count, rows), dtype=np.bool_), -np.inf
    for attempt in range(TRIES):
        kept = np.zeros((count, rows), dtype=np.bool_)
        for number, line in enumerate(kept):
            line[order(seed, f"half.{attempt}.{number}", rows)[: max(1, rows // 2)]] = True
        told = _exchanged(kept, alike)
        if told > most:
            best, most = kept, told
    return best


def _exchanged(kept: Kept, alike: Matrix) -> float:
    """Exchanges in place, line by line, as many pairs at once as help, until no line gains; what the result tells."""
    (told, inverse), stuck = _told(kept, alike), 0
    for turn in range(ROUNDS):
        line = kept[turn % len(kept)]
        signs = kept - kept.mean(0)
        gain = ((inverse - inverse.mean(0)) @ signs @ alike)[turn % len(kept)]
        ranks = np.argsort(gain, kind="stable")
        coming, going = ranks[~line[ranks]][::-1], ranks[line[ranks]]
        for pairs in (16, 8, 4, 2, 1):
            before = line.copy()
            line[coming[:pairs]], line[going[:pairs]] = True, False
            after, next_ = _told(kept, alike)
            if after > told + 1e-9:
                told, inverse, stuck = after, next_, 0
                break
            line[:] = before
        else:
            stuck += 1
        if stuck == len(kept):
            break
    return told


def _told(kept: Kept, alike: Matrix) -> tuple[float, Matrix]:
    signs = kept - kept.mean(0)
    inner = signs @ alike @ signs.T + 0.1 * len(alike) * np.eye(len(kept))
    return float(np.linalg.slogdet(inner)[1]), np.linalg.inv(inner)


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
    inner += ridge * unit * torch.eye(len(signs), dtype=rows.dtype, device=rows.device)
    return rows.addmm_(alike, torch.linalg.solve(inner, away - scale * sums), beta=scale)


__all__ = ["RIDGE", "corrected", "halves", "likeness"]

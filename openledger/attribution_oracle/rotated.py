"""A second opinion beside path influence: inverse curvature at the trained weights, by matrices of the model.

EK-FAC (George et al. 2018; Grosse et al. 2023) without a look inside the layers: of each matrix [out, in] of the model
the drawn vectors D (``gradients.drawn``) give two covariances, sum D D^T and sum D^T D. In their eigenvectors the
curvature is taken as diagonal, the mean square of the turned D. A row's gradient is turned, divided by that plus
DAMPING of its mean, and turned back. Its errors are others than those of path influence (it knows neither the path nor
Adam), so that the sum of both agrees better with retraining than each alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from openledger.attribution_oracle.gradients import Gradients

DAMPING = 0.1
WIDEST, LEAN_WIDEST = 1024, 256
"""Sides that are longer are not turned; the second of large indexes."""
WEIGHT = 0.25
"""Of the second opinion relative to path influence, as standard deviations of scores go."""
BATCH = 16
PROBES = 48
"""Rows whose scores tell how large an account is."""


def solved(own: Tensor, drawn: Tensor, shapes: Sequence[Sequence[int]], widest: int = WIDEST) -> Tensor:
    """Gradients [rows, parameters] times the inverse curvature that vectors ``drawn`` [any, parameters] tell, at least
    as many: the result lies in these. ``shapes`` are the parameters'."""
    found, at = drawn[: len(own)], 0  # what was drawn for a tensor is not needed once the tensor is solved
    for shape in shapes:
        until = at + math.prod(shape)
        _solve(found[:, at:until], own[:, at:until], drawn[:, at:until], shape, widest)
        at = until
    return found


def gathered(gradients: Gradients, theta: Tensor, ids: Tensor, draws: int, seed: int) -> tuple[Tensor, Tensor]:
    """``gradients.drawn`` of all rows, some at once."""
    most = min(BATCH, len(ids))
    room = theta.new_empty(most, gradients.size), theta.new_empty(most * draws, gradients.size)
    own, drawn = (theta.new_empty(len(ids) * many, gradients.size) for many in (1, draws))
    at = until = 0
    for number, some in enumerate(torch.split(ids, BATCH)):
        mine, vectors = gradients.drawn(theta, some, draws, seed, f"rotated.{number}", room)
        own[number * BATCH : number * BATCH + len(some)] = mine
        until = at + len(vectors)  # where no logits are found it is one a row
        drawn[at:until], at = vectors, until
    return own, drawn[:until]


def _solve(into: Tensor, own: Tensor, drawn: Tensor, shape: Sequence[int], widest: int = WIDEST) -> None:
    """Of one tensor, [rows, entries]. ``into`` may be the beginning of ``drawn``."""
    if len(shape) != 2:
        into.copy_(own / _damped(drawn.float().square().mean(0)))
        return
    into, own, drawn = (x.view(-1, *shape) for x in (into, own, drawn))
    left, right = (_turn(x, widest) for x in (drawn, drawn.transpose(1, 2)))
    curvature = torch.zeros_like(own[0], dtype=torch.float32)
    for some in torch.split(drawn, BATCH):  # all at once would need fresh memory, which costs more than the products
        curvature += _turned(some, left, right).float().square_().sum(0)
    curvature = _damped(curvature / len(drawn))
    back = tuple(None if side is None else side.T for side in (left, right))
    for part, some in zip(torch.split(into, BATCH), torch.split(own, BATCH), strict=True):
        part.copy_(_turned((_turned(some, left, right) / curvature).to(own.dtype), *back))


def _turn(drawn: Tensor, widest: int) -> Tensor | None:
    """Eigenvectors of the sum of D D^T; None where they are too many."""
    side = drawn.shape[1]
    if side > widest:
        return None
    total = torch.zeros(side, side, device=drawn.device)
    for some in torch.split(drawn, BATCH):
        flat = some.transpose(1, 2).reshape(-1, side)
        total += flat.T @ flat
    vectors: Tensor = torch.linalg.eigh(total)[1]
    return vectors.to(drawn.dtype)


def _turned(x: Tensor, left: Tensor | None, right: Tensor | None) -> Tensor:
    """left^T x right."""
    x = x if left is None else left.T @ x
    return x if right is None else x @ right


def _damped(curvature: Tensor) -> Tensor:
    return curvature + (DAMPING * curvature.mean()).clamp(min=1e-30)


def joined(rows: Tensor, own: Tensor, solved: Tensor, weight: float = WEIGHT) -> Tensor:
    """Path influence less ``weight`` times the second opinion, in place. Scores of the rows with some of them (each
    with itself left out) tell how large each is. One or two rows tell nothing of that, and stay as they are."""
    if len(rows) < 3:
        return rows
    numbers = torch.arange(0, len(rows), -(-len(rows) // PROBES), device=rows.device)
    others = numbers[:, None] != torch.arange(len(rows), device=rows.device)
    some = own[numbers]
    sizes = [float((some.to(x.dtype) @ x.T)[others].double().std()) for x in (rows, solved)]
    for part, second in zip(torch.split(rows, BATCH), torch.split(solved, BATCH), strict=True):
        part.sub_(second, alpha=weight * sizes[0] / max(sizes[1], 1e-30))
    return rows


__all__ = ["LEAN_WIDEST", "WEIGHT", "WIDEST", "gathered", "joined", "solved"]

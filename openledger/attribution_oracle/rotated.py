"""A second opinion beside path influence: inverse curvature at the trained weights, by matrices of the model.

EK-FAC (George et al. 2018; Grosse et al. 2023) without a look inside the layers: of each matrix [out, in] of the model
the drawn vectors D (``gradients.drawn``) give two covariances, sum D D^T and sum D^T D. In their eigenvectors the
curvature is taken as diagonal, the mean square of the turned D. A row's gradient is turned, divided by that plus
DAMPING of its mean, and turned back. Its errors are others than those of path influence (it knows neither the path nor
Adam), so that the sum of both agrees better with retraining than each alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from openledger.attribution_oracle.gradients import Gradients

DAMPING = 0.1
WIDEST = 1024
"""Sides that are longer are not turned."""
WEIGHT = 0.5
"""Of the second opinion relative to path influence, as standard deviations of scores go."""
BATCH = 16


def rotated(gradients: Gradients, theta: Tensor, ids: Tensor, draws: int, seed: int) -> tuple[Tensor, Tensor]:
    """The rows' gradients at ``theta`` and the same times the inverse curvature, both fp32 [rows, parameters]."""
    parts = [
        gradients.drawn(theta, some, draws, seed, f"rotated.{number}")
        for number, some in enumerate(torch.split(ids, BATCH))
    ]
    own, drawn = (torch.cat(some) for some in zip(*parts, strict=True))
    found, at = torch.empty_like(own), 0
    for shape in gradients.shapes:
        until = at + shape.numel()
        found[:, at:until] = _solved(own[:, at:until], drawn[:, at:until], shape)
        at = until
    return own, found


def _solved(own: Tensor, drawn: Tensor, shape: Sequence[int]) -> Tensor:
    """Of one tensor, [rows, entries]."""
    if len(shape) != 2:
        return own / _damped(drawn.square().mean(0))
    own, drawn = own.view(-1, *shape), drawn.view(-1, *shape)
    left, right = _turn(drawn), _turn(drawn.transpose(1, 2))
    if left is not None:
        own, drawn = left.T @ own, left.T @ drawn
    if right is not None:
        own, drawn = own @ right, drawn @ right
    own = own / _damped(drawn.square().mean(0))
    if left is not None:
        own = left @ own
    if right is not None:
        own = own @ right.T
    return own.flatten(1)


def _turn(drawn: Tensor) -> Tensor | None:
    """Eigenvectors of the sum of D D^T; None where they are too many."""
    side = drawn.shape[1]
    if side > WIDEST:
        return None
    flat = drawn.transpose(0, 1).reshape(side, -1)
    vectors: Tensor = torch.linalg.eigh(flat @ flat.T)[1]
    return vectors


def _damped(curvature: Tensor) -> Tensor:
    return curvature + (DAMPING * curvature.mean()).clamp(min=1e-30)


def joined(rows: Tensor, own: Tensor, solved: Tensor) -> Tensor:
    """Path influence less WEIGHT times the second opinion, in place. Scores of the rows with each other (each with
    itself left out) tell how large each is."""
    others = ~torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    sizes = [float((own @ x.T)[others].double().std()) for x in (rows, solved)]
    return rows.sub_(solved, alpha=WEIGHT * sizes[0] / max(sizes[1], 1e-30))


__all__ = ["joined", "rotated"]

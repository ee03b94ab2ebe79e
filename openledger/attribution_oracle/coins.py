"""Curvature from tossed coins: what to pull a model's logits with, so that the gradient is a drawn vector of curvature.

Where the loss is a weighted cross-entropy of the logits, the drawn vector of a row is the sum over its tokens of
sqrt(w) J^T (diag(p)^1/2 - p p^1/2^T) e, with p the odds, w the token's weight in the row's loss, and e independent
signs; its outer product has the row's Gauss-Newton matrix as expectation, as that of labels drawn from p has. But it is
smooth in p: machines that differ in the last bit draw the same, which drawn labels do not. The signs follow from (seed,
label) on every machine.
"""

from __future__ import annotations

import torch
from torch import Tensor

from openledger.attribution_oracle.tensors import signs

CROSS_ENTROPY = 1e-2
"""How far a loss's derivative may be from that of a weighted cross-entropy, relative."""


def pulls(losses: Tensor, logits: Tensor | None, draws: int, seed: int, label: str, before: int = 0) -> Tensor | None:
    """[rows, draws, time, vocabulary] for ``logits`` [rows, time, vocabulary]; None where the loss is no cross-entropy
    of them. The coins are those of rows that stand behind ``before`` others."""
    if logits is None or len(logits) != len(losses) or not logits.requires_grad:
        return None
    (slope,) = torch.autograd.grad(losses.sum(), logits, retain_graph=True, materialize_grads=True)
    if not bool(slope.any()):
        return None
    slope, odds = slope.float(), logits.detach().float().softmax(-1)
    lowest, target = slope.min(-1, keepdim=True)
    weight = -lowest / (1 - odds.gather(-1, target)).clamp(min=1e-6)
    again = weight * odds
    again.scatter_add_(-1, target, -weight)
    if float(again.sub_(slope).norm()) > CROSS_ENTROPY * float(slope.norm()):
        return None
    rows, time, vocabulary = odds.shape
    each = draws * time * vocabulary
    found = signs(seed, label, rows * each, before * each).to(odds.device).view(rows, draws, time, vocabulary)
    size = torch.sqrt(odds, out=again).mul_(weight.clamp_(min=0).sqrt_())
    for tossed, p, root in zip(found, odds, size, strict=True):  # row by row stays in the processor's cache
        tossed.mul_(root)
        tossed.addcmul_(p, tossed.sum(-1, keepdim=True), value=-1)
    return found


__all__ = ["pulls"]

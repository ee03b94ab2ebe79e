"""The registry of attribution methods, and the making of an index."""

from __future__ import annotations

import torch

from openledger.attribution_oracle.influence import BATCH, GradientDot, Index, Method, Run, quantise
from openledger.attribution_oracle.ports import Progress, silent
from openledger.attribution_oracle.replayed import PathInfluence
from openledger.primitives.errors import InvalidModel, OracleError

DEFAULT_METHOD = "gradient-dot"
METHODS: dict[str, Method] = {method.name: method for method in (GradientDot(), PathInfluence())}


def method(name: str) -> Method:
    """A method by name. Raises OracleError for an unknown one."""
    if name not in METHODS:
        raise OracleError(f"unknown attribution method {name!r}", "known: " + ", ".join(METHODS))
    return METHODS[name]


def make_index(run: Run, name: str = DEFAULT_METHOD, progress: Progress = silent) -> Index:
    """The index of all rows. Raises OracleError for an unknown method, InvalidModel when a vector is not finite, or
    when the method cannot index this model."""
    chosen = method(name)
    chosen.dim(run)
    q, scale = [], []
    total = len(run.rows)
    for at in range(0, total, 4 * BATCH):
        numbers = range(at, min(at + 4 * BATCH, total))
        vectors = chosen.row_vectors(run, numbers, silent if at else progress)
        if not bool(torch.isfinite(vectors).all()):
            raise InvalidModel("a row's influence vector is not finite")
        some_q, some_scale = quantise(vectors)
        q.append(some_q)
        scale.append(some_scale)
        progress(numbers[-1] + 1, total, "index rows")
    return Index(name, torch.cat(q), torch.cat(scale))


__all__ = ["DEFAULT_METHOD", "METHODS", "make_index", "method"]

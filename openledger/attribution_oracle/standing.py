"""A model that stands at other weights for a while: calling it as a function of its weights (``torch.func``) costs a
tiny one up to a third of its pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def standing(parameters: Sequence[nn.Parameter], values: Iterable[Tensor]) -> Iterator[None]:
    """Within, ``parameters`` have these values, of their types and shapes. Graphs made within must be used within."""
    before = [parameter.data for parameter in parameters]
    try:
        for parameter, value in zip(parameters, values, strict=True):
            parameter.data = value
        yield
    finally:
        for parameter, data in zip(parameters, before, strict=True):
            parameter.data = data


__all__ = ["standing"]

"""The pay rule on a bare matrix of scores, for measurements of models and corpora that are none of ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from openledger.attribution_oracle.known import known_parts
from openledger.attribution_oracle.pay import Array, Table
from openledger.primitives.attribution import SCORE_UNIT
from openledger.primitives.errors import OracleError

MOST_GROUPS = 1 << 24
"""Contributors whose shares are written down one by one."""


def rewards(scores: Any, groups: Any, order: Any, texts: Sequence[str]) -> Array:
    """Shares of the contributors: fp64 [max(groups) + 1], each >= 0, sum <= 1; the rest is unattributed.

    ``scores`` [answers, rows], signed, larger = the row raised minus the loss more; all answers cost the same.
    ``groups`` [rows]: number of each row's contributor. ``order``: when it was committed, smaller = earlier, one number
    a row, or one a contributor (equal ones go by row number). ``texts`` [rows]. Raises OracleError for other shapes,
    negative, fractional or far too large groups, and what is not finite."""
    table = _numbers(scores, "scores")
    if table.ndim != 2:
        raise OracleError(f"scores must be [answers, rows], not of {table.ndim} dimensions")
    answers, rows = table.shape
    owners = _owners(groups, rows)
    _check_texts(texts, rows)
    when = _moments(order, owners)
    sequence = sorted(range(rows), key=lambda row: (when[row], row))
    claim = Table(answers, rows)
    for number, scored in enumerate(table):
        claim.add(number, scored, 1.0 / answers)
    earned = claim.pay(known_parts(texts, sequence), sequence)
    shares = np.zeros(int(np.max(owners, initial=-1)) + 1, dtype=np.float64)
    np.add.at(shares, owners, np.array(earned, dtype=np.float64))
    return np.asarray(shares / max(SCORE_UNIT, sum(earned)), dtype=np.float64)


def _check_texts(texts: Any, rows: int) -> None:
    if isinstance(texts, str | bytes) or not hasattr(texts, "__len__"):
        raise OracleError(f"texts must be a list of one string a row, not {type(texts).__name__}")
    if len(texts) != rows:
        raise OracleError(f"{len(texts)} texts for {rows} rows")
    if not all(isinstance(text, str) for text in texts):
        raise OracleError("a row's text must be a string")


def _plain(values: Any) -> np.ndarray[Any, Any]:
    """As numpy has it, on the CPU; whole numbers stay whole."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.double() if values.is_floating_point() else values
    return np.asarray(values)


def _numbers(values: Any, what: str) -> Array:
    """fp64, finite, on the CPU."""
    try:
        plain = _plain(values)
        if plain.dtype.kind == "c":
            raise TypeError("complex ones have no order")
        found: Array = plain.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError) as err:
        raise OracleError(f"{what} must be numbers: {err}") from None
    if not bool(np.isfinite(found).all()):
        raise OracleError(f"{what} must be finite")
    return found


def _owners(groups: Any, rows: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    found = _numbers(groups, "groups")
    if found.shape != (rows,):
        raise OracleError(f"groups must be one number a row, of {rows} rows, not {found.shape}")
    if bool((found != np.floor(found)).any()) or bool((found < 0).any()):
        raise OracleError("groups must be whole numbers from 0 on")
    if bool((found >= MOST_GROUPS).any()):
        raise OracleError(f"groups must be below {MOST_GROUPS:,}", "number the contributors from 0 on")
    return found.astype(np.int64)


def _moments(order: Any, owners: np.ndarray[Any, np.dtype[np.int64]]) -> list[int] | list[float]:
    """One moment a row. Whole numbers stay what they are: clocks count further than fp64 tells apart."""
    found = _numbers(order, "order")
    exact = _plain(order)
    moments = exact if exact.dtype.kind in "iu" else found
    if found.shape == owners.shape:
        return list(moments.tolist())
    if found.ndim == 1 and found.size > int(np.max(owners, initial=-1)):
        return list(moments[owners].tolist())
    raise OracleError(f"order must be one number a row or a contributor, not {found.shape}")


__all__ = ["rewards"]

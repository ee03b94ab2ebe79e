"""The pay rule on a bare matrix of scores, for measurements of models and corpora that are none of ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from openledger.attribution_oracle.known import known_parts
from openledger.attribution_oracle.pay import Array, Table
from openledger.primitives.attribution import SCORE_UNIT
from openledger.primitives.errors import OracleError


def rewards(scores: Any, groups: Any, order: Any, texts: Sequence[str]) -> Array:
    """Shares of the contributors: fp64 [max(groups) + 1], each >= 0, sum <= 1; the rest is unattributed.

    ``scores`` [answers, rows], signed, larger = the row raised minus the loss more; all answers cost the same.
    ``groups`` [rows]: number of each row's contributor. ``order``: when it was committed, smaller = earlier, one number
    a row, or one a contributor (equal ones go by row number). ``texts`` [rows]. Raises OracleError for other shapes,
    negative or fractional groups, and what is not finite."""
    table = _numbers(scores, "scores")
    if table.ndim != 2:
        raise OracleError(f"scores must be [answers, rows], not of {table.ndim} dimensions")
    answers, rows = table.shape
    owners = _owners(groups, rows)
    if len(texts) != rows:
        raise OracleError(f"{len(texts)} texts for {rows} rows")
    if not all(isinstance(text, str) for text in texts):
        raise OracleError("a row's text must be a string")
    when = _moments(order, owners)
    sequence = sorted(range(rows), key=lambda row: (when[row], row))
    claim = Table(answers, rows)
    for number, scored in enumerate(table):
        claim.add(number, scored, 1.0 / answers)
    earned = claim.pay(known_parts(texts, sequence), sequence)
    shares = np.zeros(int(np.max(owners, initial=-1)) + 1, dtype=np.float64)
    np.add.at(shares, owners, np.array(earned, dtype=np.float64))
    return np.asarray(shares / max(SCORE_UNIT, sum(earned)), dtype=np.float64)


def _numbers(values: Any, what: str) -> Array:
    """fp64, finite, on the CPU."""
    try:
        found = np.asarray(values.detach().cpu().double() if hasattr(values, "detach") else values, dtype=np.float64)
    except (TypeError, ValueError) as err:
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
    return found.astype(np.int64)


def _moments(order: Any, owners: np.ndarray[Any, np.dtype[np.int64]]) -> list[float]:
    found = _numbers(order, "order")
    if found.shape == owners.shape:
        return [float(moment) for moment in found]
    if found.ndim == 1 and found.size > int(np.max(owners, initial=-1)):
        return [float(moment) for moment in found[owners]]
    raise OracleError(f"order must be one number a row or a contributor, not {found.shape}")


__all__ = ["rewards"]

"""OPEN and wei, and exact division of money. Integers only."""

from __future__ import annotations

import re
from collections.abc import Sequence

from openledger.primitives.errors import InvalidAmount

WEI = 1
GWEI = 10**9
OPEN = 10**18
PPM = 1_000_000
BASIS_POINTS = 10_000

_UNITS = {"": OPEN, "open": OPEN, "gwei": GWEI, "wei": WEI}
_FORM = re.compile(r"^\s*([0-9]{1,78})(?:\.([0-9]{1,78}))?\s*([a-zA-Z]*)\s*$")


def parse_amount(text: str) -> int:
    """Wei of ``"1.5"``, ``"1.5 OPEN"``, ``"3 gwei"`` or ``"7wei"``. Raises InvalidAmount."""
    match = _FORM.match(text)
    unit = _UNITS.get(match.group(3).lower()) if match else None
    if match is None or unit is None:
        raise InvalidAmount(f"not an amount: {text!r}", "write for example '1.5 OPEN', '3 gwei' or '7 wei'")
    fraction = match.group(2) or ""
    scale: int = 10 ** len(fraction)
    wei, rest = divmod(int(match.group(1) + fraction) * unit, scale)
    if rest:
        raise InvalidAmount(f"{text!r} is not a whole number of wei", "OPEN has 18 decimals")
    if wei >= 1 << 256:
        raise InvalidAmount("so much OPEN there can never be", "an amount has 256 bits at most")
    return wei


def format_amount(wei: int, digits: int = 6) -> str:
    """Human form, for example ``12.5 OPEN``; cut, never rounded up, after ``digits`` decimals."""
    sign = "-" if wei < 0 else ""
    whole, rest = divmod(abs(wei), OPEN)
    fraction = f"{rest:018d}"[:digits].rstrip("0")
    if not whole and not fraction and wei:
        return f"{wei} wei"
    return f"{sign}{whole:,}{'.' + fraction if fraction else ''} OPEN"


def exact_amount(wei: int) -> str:
    """To the last wei: ``1.5 OPEN``, and less than a gwei as ``7 wei``."""
    return f"{wei} wei" if 0 < wei < GWEI else format_amount(wei, 18)


def shortfall(needed: int, held: int) -> str:
    """Two amounts of wei side by side: ``1.5 OPEN are needed, 0.2 OPEN are there``."""
    return f"{exact_amount(needed)} are needed, {exact_amount(held)} are there"


def split_exact(total: int, weights: Sequence[int]) -> list[int]:
    """Divide ``total`` in proportion to ``weights`` so that the parts add up to it exactly.

    Largest remainder (Hamilton); ties go to the lower index, so callers order by address first. All-zero
    weights give all zeros.
    """
    whole = sum(weights)
    if whole == 0:
        return [0] * len(weights)
    parts = [total * w // whole for w in weights]
    missing = total - sum(parts)
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
    for i in by_remainder[:missing]:
        parts[i] += 1
    return parts

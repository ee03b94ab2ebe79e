"""JSON from outside. Nesting is bounded before the parser runs: with the recursion limit that the reference EVM needs,
deep nesting would overflow the C stack of Python's parser and end the process.
"""

from __future__ import annotations

import json
import re
from array import array
from itertools import accumulate
from typing import Any, NoReturn

from openledger.primitives.errors import InvalidJson

MAX_DEPTH = 64
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.?[^"\\]*+)*+"?', re.DOTALL)
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_OTHERS = bytes(set(range(256)) - set(b"[]{}"))


def nests_deeper(raw: bytes, limit: int) -> bool:
    """True when arrays and objects nest deeper than ``limit``; a cheap look, before any parsing."""
    if raw.count(b"[") + raw.count(b"{") <= limit:
        return False
    steps = array("b", _STRINGS.sub(b"", raw).translate(_STEPS, _OTHERS))
    return max(accumulate(steps), default=0) > limit


def holds_more(raw: bytes, most: int) -> bool:
    """True when there are more than ``most`` arrays and objects; before any parsing, which makes forty times as many
    bytes of empty ones and lets nothing else run meanwhile."""
    if raw.count(b"[") + raw.count(b"{") <= most:
        return False
    bare = _STRINGS.sub(b"", raw)
    return bare.count(b"[") + bare.count(b"{") > most


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def parse_json(raw: bytes) -> Any:
    """Value of a JSON text (UTF-8) whose nesting was looked at. Raises InvalidJson, also for NaN and infinities."""
    try:
        return json.loads(raw.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError) as err:
        raise InvalidJson(f"not JSON: {str(err)[:200]}") from None


def read_json(raw: str | bytes, *, max_depth: int = MAX_DEPTH, most: int | None = None) -> Any:
    """Value of a JSON text (UTF-8). Raises InvalidJson, also for too deep nesting, or more arrays and objects than
    ``most``."""
    data = raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass")
    if most is not None and holds_more(data, most):
        raise InvalidJson(f"JSON with more than {most} arrays and objects")
    if nests_deeper(data, max_depth):
        raise InvalidJson(f"JSON nested deeper than {max_depth} levels")
    return parse_json(data)

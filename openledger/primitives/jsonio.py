"""JSON from outside. Nesting is bounded before the parser runs: with the recursion limit that the reference EVM needs,
deep nesting would overflow the C stack of Python's parser and end the process.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from openledger.primitives.errors import InvalidJson

MAX_DEPTH = 64
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_OTHER = re.compile(r"[^\[\]{}]+")


def nests_deeper(text: str, limit: int) -> bool:
    """True when arrays and objects in ``text`` nest deeper than ``limit``; a cheap look, before any parsing."""
    if text.count("[") + text.count("{") <= limit:
        return False
    depth = 0
    for bracket in _OTHER.sub("", _STRINGS.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > limit:
            return True
    return False


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def read_json(raw: str | bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """Value of a JSON text (UTF-8). Raises InvalidJson, also for NaN and infinities and for too deep nesting."""
    try:
        text = raw if isinstance(raw, str) else raw.decode()
        if nests_deeper(text, max_depth):
            raise InvalidJson(f"JSON nested deeper than {max_depth} levels")
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as err:
        raise InvalidJson(f"not JSON: {err}") from None

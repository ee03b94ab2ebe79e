"""JSON from strangers. ``json.loads`` follows nesting on the C stack as deep as the interpreter's recursion limit
allows, and py-evm raises that limit to 100,000: a few hundred kilobytes of ``[`` would then end the process. So the
depth is checked before parsing.
"""

from __future__ import annotations

import json
import re
from typing import Any

from openledger.primitives.errors import InvalidJson

MAX_DEPTH = 100
_TOKENS = re.compile(r'"(?:[^"\\]|\\.?)*+"?|[\[{]|[\]}]', re.DOTALL)


def loads(raw: bytes | str, depth: int = MAX_DEPTH) -> Any:
    """Value of a JSON text (bytes are UTF-8). Raises InvalidJson for anything else, and above ``depth`` levels."""
    try:
        text = raw if isinstance(raw, str) else raw.decode("utf-8")
        if text.count("[") + text.count("{") > depth and nesting(text) > depth:
            raise InvalidJson(f"JSON nested deeper than {depth} levels")
        return json.loads(text)
    except ValueError as err:
        raise InvalidJson(f"not JSON: {err}") from None


def nesting(text: str) -> int:
    """Deepest nesting of brackets outside of strings, in linear time and constant stack."""
    now = deepest = 0
    for token in _TOKENS.finditer(text):
        first = text[token.start()]
        if first in "[{":
            now += 1
            deepest = max(deepest, now)
        elif first in "]}":
            now -= 1
    return deepest


__all__ = ["MAX_DEPTH", "loads", "nesting"]

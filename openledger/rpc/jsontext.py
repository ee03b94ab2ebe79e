"""JSON of requests and answers: orjson where it gives exactly what Python's own parser gives, and that one elsewhere.

orjson reads integers beyond 64 bits as floats and cannot write them, and it is stricter about lone surrogates. So a
text with a long run of digits, and any text that it refuses, goes to the exact parser, whose answer or complaint
counts.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from openledger.primitives.jsonio import parse_json

_LONG_NUMBER = re.compile(rb"[0-9]{19}")


def load(body: bytes) -> Any:
    """Value of a JSON text whose nesting was looked at. Raises InvalidJson."""
    if _LONG_NUMBER.search(body) is None:
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass
    return parse_json(body)


def dump(value: Any) -> bytes:
    """JSON text of a value, without spaces."""
    try:
        return orjson.dumps(value)
    except TypeError:  # an integer beyond 64 bits, text with a lone surrogate
        return json.dumps(value, separators=(",", ":")).encode()


class Encoded(bytes):
    """A value that was written as JSON where it was made."""


def reply(ident: Any, result: Any) -> bytes:
    """An answer of JSON-RPC."""
    if type(result) is Encoded:
        return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (dump(ident), result)
    return dump({"jsonrpc": "2.0", "id": ident, "result": result})

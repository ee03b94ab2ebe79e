"""The part of JSON Schema that the OpenRPC document uses, checked: what a value has that its schema does not allow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_TYPES = {
    "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int,
    "number": (int, float),
}  # fmt: skip
_KNOWN = {
    "type", "required", "properties", "additionalProperties", "items", "pattern", "enum", "const", "minimum", "maximum",
    "oneOf", "anyOf", "not", "$ref",
}  # fmt: skip


def faults(value: Any, schema: dict[str, Any], components: dict[str, Any], at: str = "$") -> Iterator[str]:
    """Sentences that say where ``value`` is not what ``schema`` says."""
    if unknown := schema.keys() - _KNOWN:
        raise ValueError(f"{at}: this checker does not know {unknown}")
    if "$ref" in schema:
        yield from faults(value, components[schema["$ref"].rpartition("/")[2]], components, at)
        return
    for word in ("oneOf", "anyOf"):
        if word in schema:
            tried = [list(faults(value, arm, components, at)) for arm in schema[word]]
            good = tried.count([])
            if not good or (word == "oneOf" and good > 1):
                yield f"{at}: {good} of {word} fit: {min((t for t in tried if t), key=len, default=[])[:3]}"
    if "not" in schema and not list(faults(value, schema["not"], components, at)):
        yield f"{at}: what must not be is"
    if "const" in schema and (value != schema["const"] or type(value) is not type(schema["const"])):
        yield f"{at}: {value!r} is not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value!r} is none of {schema['enum']}"
    if "type" in schema:
        wanted: Any = _TYPES[schema["type"]]
        if not isinstance(value, wanted) or (isinstance(value, bool) and schema["type"] in ("integer", "number")):
            yield f"{at}: {type(value).__name__}, not {schema['type']}"
            return
    yield from _inside(value, schema, components, at)


def _inside(value: Any, schema: dict[str, Any], components: dict[str, Any], at: str) -> Iterator[str]:
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{at}: {value[:80]!r} is not {schema['pattern']}"
    if isinstance(value, int | float) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f"{at}: {value} out of bounds"
    if isinstance(value, list) and "items" in schema:
        for place, item in enumerate(value):
            yield from faults(item, schema["items"], components, f"{at}[{place}]")
    if isinstance(value, dict):
        known = schema.get("properties", {})
        yield from (f"{at}: lacks {name}" for name in schema.get("required", ()) if name not in value)
        more = schema.get("additionalProperties", True)
        for name, item in value.items():
            if name in known:
                yield from faults(item, known[name], components, f"{at}.{name}")
            elif more is False:
                yield f"{at}: has {name}, which is unknown"
            elif isinstance(more, dict):
                yield from faults(item, more, components, f"{at}.{name}")

"""The page's table of native actions and events, made from the code. Run this file to write it anew:

.venv/bin/python tests/unit/web/schema_js.py
"""

from __future__ import annotations

import json
from pathlib import Path

import openledger.rpc
from openledger.abci_app.events import EVENTS
from openledger.abci_app.native import ACTION_FAILED
from openledger.abci_app.registry import ACTIONS
from openledger.primitives.fields import eip712_types
from openledger.primitives.types import to_hex

PATH = Path(openledger.rpc.__path__[0]) / "web" / "schema.js"
HEAD = "/** Native actions and events as the chain defines them. Made by tests/unit/web/schema_js.py; do not edit. */\n"


def render() -> str:
    """Contents of schema.js for the actions and events of this code."""
    assert EVENTS[ACTION_FAILED.topic] is ACTION_FAILED
    actions, structs = {}, {}
    for cls in ACTIONS:
        for name, fields in eip712_types(cls).items():
            pairs = [[f["name"], f["type"]] for f in fields]
            if name == cls.__name__:
                actions[cls.KIND] = {"type": name, "fields": pairs}
            else:
                structs[name] = pairs
    events = {
        to_hex(topic): {
            "address": to_hex(event.address),
            "name": event.name,
            "fields": [list(field) for field in event.fields],
        }
        for topic, event in sorted(EVENTS.items(), key=lambda item: (item[1].address, item[1].name))
    }
    tables = {"ACTIONS": actions, "STRUCTS": dict(sorted(structs.items())), "EVENTS": events}
    return HEAD + "".join(f"\nexport const {name} = {_lines(table)};\n" for name, table in tables.items())


def _lines(table: dict[str, object]) -> str:
    rows = (f"  {json.dumps(key)}: {json.dumps(value)},\n" for key, value in table.items())
    return "{\n" + "".join(rows) + "}"


if __name__ == "__main__":
    PATH.write_text(render(), encoding="utf-8")

"""The page of the model server is true: its routes, what it refuses, and what its example imports."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from openledger.attribution_oracle.openai import MOST_TOKENS, NOT_OFFERED

PAGE = (Path(__file__).resolve().parents[2] / "docs/reference/model-server.md").read_text(encoding="utf-8")


def test_what_is_refused_stands_there() -> None:
    refused = PAGE.split("`unsupported_value`")[0].split("server-sent events")[1]
    assert [name for name in NOT_OFFERED if f"`{name}`" not in refused and "penalt" not in name] == []
    assert "penalties other than 0" in refused
    assert f"{MOST_TOKENS} at most" in PAGE


def test_the_example_imports_what_there_is() -> None:
    """It was run with OpenAI's client; this keeps it from growing old."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    named = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in named if str(node.module).startswith("openledger")]
    assert len(ours) >= 5
    for node in ours:
        module = importlib.import_module(str(node.module))
        assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def test_every_route_stands_there() -> None:
    pytest.importorskip("torch")
    from openledger.attribution_oracle import serve

    routes = set(re.findall(r'add_(?:get|post)\("(/v1[^":]*)', Path(str(serve.__file__)).read_text(encoding="utf-8")))
    shown = {route.split("}")[0] for route in re.findall(r"`(?:GET|POST) (/v1[^`]*)`", PAGE)}
    assert {route.split("}")[0] for route in routes} == shown

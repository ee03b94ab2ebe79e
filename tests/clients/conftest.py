"""Clients of other makers: their packages installed once (in .tools/clients), a devnet process to run them against."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))

from client_packages import installed
from devnet_process import NATIVE, SECRET, Devnet, devnet
from solo_node import counter_bytecode

Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def run_client() -> Run:
    """Runs a script of a folder against a devnet; the JSON document that it prints."""

    def run(name: str, node: Devnet, script: str = "client.mjs", **more: str) -> dict[str, Any]:
        folder = installed(name)
        given = {"URL": node.url, "WS_URL": node.ws, "SECRET": SECRET, "BYTECODE": counter_bytecode(), **more}
        done = subprocess.run(
            ["node", script], cwd=folder, env=os.environ | given, capture_output=True, text=True,
            timeout=240, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-4000:]
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return run


@pytest.fixture(scope="session", params=["revm", "py-evm"])
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """A devnet on each engine."""
    if request.param == "revm" and not NATIVE:
        pytest.skip("the native engine is not built: make native")
    with devnet(tmp_path_factory.mktemp("clients"), "--engine", request.param) as running:
        yield running


@pytest.fixture(scope="session")
def quick_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """A devnet on the engine that the node picks by itself."""
    with devnet(tmp_path_factory.mktemp("quick")) as running:
        yield running

"""viem, unchanged, against a real solo node. Needs Node.js and, the first time, a package registry."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).with_name("viem")


def _helper() -> Any:
    spec = importlib.util.spec_from_file_location("solo_node_for_viem", Path(__file__).with_name("solo_node.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def node_program() -> str:
    """Path of Node.js, with viem in place."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("Node.js is not installed")
    if not (FOLDER / "node_modules" / "viem" / "package.json").exists():
        command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=240, check=False)
        if done.returncode != 0:
            pytest.skip(f"viem cannot be installed: {done.stderr.strip()[-200:]}")
    return node


def test_viem_does_what_a_dapp_does(node_program: str, tmp_path: Path) -> None:
    with _helper().solo_node(tmp_path) as chain:
        environment = os.environ | {
            "URL": chain.url,
            "WS_URL": chain.socket_url,
            "SECRET": chain.secrets[0],
            "BYTECODE": chain.bytecode,
        }
        command = [node_program, "client.mjs"]
        done = subprocess.run(
            command, cwd=FOLDER, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "execution reverted: no" in found.pop("revert")
    assert found == {
        "chainId": 161237,
        "balance": str(10_000 * 10**18),
        "transferGas": 21_000,
        "feesArePositive": True,
        "transfer": {"status": "success", "type": "eip1559", "gasUsed": 21_000},
        "received": str(10**18),
        "hasCode": True,
        "simulated": 1,
        "event": 1,
        "liveHead": True,
        "liveLog": True,
        "logs": [[1, True]],
        "blockHasTransaction": True,
        "multicall": [2, 3],
        "native": {"status": "success", "to": "0x0000000000000000000000000000000000000800", "from": True},
        "nativeRead": True,
        "datanet": "letters",
        "encoded": 10,
    }

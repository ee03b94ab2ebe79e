"""Foundry's cast, unchanged, against a devnet: what its users type."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from client_packages import installed
from devnet_process import SECRET
from solo_node import counter_bytecode

HOLDER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
SECOND = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
STRANGER = "0x" + "6a" * 20

Cast = Callable[..., str]


@pytest.fixture(scope="module")
def cast(quick_node: Any) -> Cast:
    """Runs ``cast WORDS`` with the node's URL; what it prints."""
    folder: Path = installed("foundry")
    programs = sorted(folder.glob("node_modules/@foundry-rs/cast-*/bin/cast*"))
    if not programs:
        pytest.skip("cast is not built for this machine")

    def run(*words: str, fails: bool = False) -> str:
        environment = os.environ | {
            "ETH_RPC_URL": quick_node.url,
            "NO_COLOR": "1",
            "FOUNDRY_DISABLE_NIGHTLY_WARNING": "1",
        }
        done = subprocess.run(
            [str(programs[0]), *words], capture_output=True, text=True, env=environment, timeout=60, check=False
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return (done.stderr if fails else done.stdout).strip()

    return run


@pytest.fixture(scope="module")
def contract(cast: Cast) -> str:
    sent = json.loads(cast("send", "--private-key", SECRET, "--json", "--create", counter_bytecode()))
    assert sent["status"] == "0x1"
    return str(sent["contractAddress"])


def test_the_chain_is_told(cast: Cast) -> None:
    assert cast("chain-id") == "161237"
    assert int(cast("block-number")) >= 0
    assert int(cast("gas-price")) > 0
    assert int(cast("base-fee")) > 0
    assert "OpenLedger" in cast("client")
    assert cast("balance", "--ether", "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720").startswith("10000.")
    assert json.loads(cast("block", "0", "--json"))["number"] == "0x0"
    assert cast("rpc", "anvil_nodeInfo")


def test_a_transfer_is_sent_with_a_key_and_by_an_account_of_the_node(cast: Cast) -> None:
    assert cast("estimate", "--from", HOLDER, STRANGER, "--value", "1") == "21000"
    for signer in (("--private-key", SECRET), ("--unlocked", "--from", SECOND)):
        sent = json.loads(cast("send", *signer, "--json", STRANGER, "--value", "1ether"))
        assert (sent["status"], sent["gasUsed"]) == ("0x1", "0x5208")
    assert cast("balance", STRANGER) == str(2 * 10**18)
    assert json.loads(cast("receipt", sent["transactionHash"], "--json"))["status"] == "0x1"
    assert cast("tx", sent["transactionHash"], "value") == str(10**18)


def test_a_legacy_and_a_delegating_transaction_are_sent(cast: Cast, contract: str) -> None:
    sent = json.loads(cast("send", "--private-key", SECRET, "--legacy", "--json", STRANGER, "--value", "1"))
    assert sent["type"] == "0x0"
    made = json.loads(cast("wallet", "new", "--json"))[0]
    auth = cast(
        "wallet", "sign-auth", contract, "--private-key", made["private_key"], "--nonce", "0", "--chain", "161237"
    )
    sent = json.loads(cast("send", "--private-key", SECRET, "--json", "--auth", auth, made["address"], "0x01"))
    assert sent["status"] == "0x1"
    assert cast("code", made["address"]) == "0xef0100" + contract[2:].lower()


def test_a_contract_is_called_sent_to_and_its_storage_proof_and_logs_are_read(cast: Cast, contract: str) -> None:
    before = int(cast("call", contract, "bump()(uint256)"))
    sent = json.loads(cast("send", "--private-key", SECRET, "--json", contract, "bump()"))
    assert sent["status"] == "0x1"
    assert int(cast("storage", contract, "0"), 16) == before
    assert int(cast("estimate", contract, "bump()")) > 21_000
    proof = json.loads(cast("proof", contract, "0"))
    assert int(proof["storageProof"][0]["value"], 16) == before
    logs = json.loads(cast("logs", "--json", "--from-block", "0", "--address", contract, "Bumped(uint256)"))
    assert sent["transactionHash"] in [log["transactionHash"] for log in logs]
    listed = json.loads(cast("access-list", contract, "bump()", "--json"))
    assert listed["accessList"][0]["address"].lower() == contract.lower()


def test_a_revert_shows_its_reason(cast: Cast, contract: str) -> None:
    assert "execution reverted: no" in cast("call", contract, fails=True)
    assert "execution reverted: no" in cast("send", "--private-key", SECRET, contract, fails=True)


def test_the_devnets_methods_work_through_cast(cast: Cast) -> None:
    number = cast("rpc", "evm_snapshot").strip('"')
    cast("rpc", "anvil_setBalance", STRANGER, "0x7")
    assert cast("balance", STRANGER) == "7"
    cast("rpc", "anvil_impersonateAccount", "0x" + "7b" * 20)
    cast("rpc", "anvil_setBalance", "0x" + "7b" * 20, "0xde0b6b3a7640000")
    sent = json.loads(cast("send", "--unlocked", "--from", "0x" + "7b" * 20, "--json", STRANGER, "--value", "1"))
    assert sent["status"] == "0x1"
    assert cast("rpc", "evm_revert", number) == "true"


def test_a_native_transaction_in_a_block_does_not_stop_cast(cast: Cast, quick_node: Any) -> None:
    fields = {"name": "songs", "licence": "CC-BY-4.0"}
    built = quick_node.call("openledger_buildTransaction", "datanet.create", fields, {"from": HOLDER})
    signature = cast("wallet", "sign", "--private-key", SECRET, "--data", json.dumps(built["typedData"]))
    whole = quick_node.call("openledger_buildTransaction", "datanet.create", fields, built["options"], signature)
    digest = cast("publish", whole["raw"], "--async")
    assert int(json.loads(cast("receipt", digest, "--json"))["status"], 16) == 1
    assert digest in cast("block", "latest", "--full", "--json")

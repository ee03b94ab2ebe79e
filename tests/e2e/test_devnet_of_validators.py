"""``openledger devnet --validators 4`` as one command: four nodes, one log, one end. What the networks of such nodes
survive stands in ``test_networks.py``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from openledger.genesis.presets import dev_accounts
from openledger.node import config as configuration
from openledger.node.checks import port_is_free
from openledger.node.engines.binary import find_cometbft
from openledger.primitives.amounts import GWEI
from openledger.primitives.errors import MissingProgram
from openledger.primitives.transactions import sign_transaction
from openledger.rpc.client import Client
from tests.waiting import PATIENCE, finish

pytestmark = pytest.mark.cometbft


def test_one_command_runs_four_validators_outlives_one_of_them_and_leaves_nothing_behind(tmp_path: Path) -> None:
    try:
        find_cometbft()
    except MissingProgram as err:
        pytest.skip(str(err))
    command = [sys.executable, "-m", "openledger.node", "--json", "--home", str(tmp_path / "home"), "devnet"]
    command += ["--validators", "4", "--lite", "--port", "0"]
    fast = {"OPENLEDGER_CONSENSUS_COMMIT_WAIT_MS": "20", "OPENLEDGER_CONSENSUS_EMPTY_BLOCK_MS": "500"}
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | fast) as process,
    ):
        try:
            assert process.stdout is not None
            text = ""
            while (line := process.stdout.readline()) and (text := text + line) and line != "}\n":
                pass
            assert text, (tmp_path / "log").read_text()[-3000:]
            facts = json.loads(text)
            send_through_each(facts)
            os.kill(facts["nodes"][3]["process"], signal.SIGKILL)
            wait_for_words(tmp_path / "log", "3 of 4 nodes go on")
            send_through_each(facts, 3)
        finally:
            code = finish(process, signal.SIGINT)
    assert code == 0, (tmp_path / "log").read_text()[-3000:]
    for number in range(4):
        found = configuration.load(Path(facts["folder"]) / f"node{number}", {}).consensus
        assert all(port_is_free("127.0.0.1", int(url.rpartition(":")[2])) for url in (found.p2p, found.rpc))


def send_through_each(facts: dict, count: int = 4) -> None:
    """A transaction handed to each of the first nodes is in a block that its neighbour has."""
    clients = [Client(node["rpc"]) for node in facts["nodes"][:count]]
    try:
        for i, client in enumerate(clients):
            address, secret = dev_accounts()[i]
            nonce = int(client.call("eth_getTransactionCount", "0x" + address.hex(), "latest"), 16)
            raw = sign_transaction(
                secret, chain_id=client.chain_id(), nonce=nonce, max_priority_fee=GWEI, max_fee=9 * GWEI, gas=21_000,
                to=address, value=1,
            )  # fmt: skip
            assert clients[(i + 1) % count].wait_receipt(client.send_raw(raw))["status"] == "0x1"
    finally:
        for client in clients:
            client.close()


def wait_for_words(log: Path, words: str) -> None:
    end = time.monotonic() + PATIENCE
    while words not in log.read_text():
        assert time.monotonic() < end, log.read_text()[-3000:]
        time.sleep(0.05)

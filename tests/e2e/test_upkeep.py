"""A node's data in the operator's hands: blocks undone and handed in again, states lost, restored, pruned."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from openledger.node.config import Config
from openledger.node.engines.binary import find_cometbft
from openledger.node.testnet import free_starting_port, make_network, with_usable_engine
from openledger.primitives.errors import MissingProgram
from tests.e2e.node_process import NodeProcess, openledger, running
from tests.e2e.test_statesync import receipt, send

pytestmark = pytest.mark.cometbft


@pytest.fixture(autouse=True, scope="module")
def cometbft() -> None:
    try:
        find_cometbft()
    except MissingProgram as err:
        pytest.skip(str(err))


@pytest.fixture
def node(tmp_path: Path) -> NodeProcess:
    """A chain of one validator."""
    config, _ = with_usable_engine(Config())
    config = dataclasses.replace(config, snapshots=dataclasses.replace(config.snapshots, interval=0))
    made = make_network(tmp_path / "net", 1, time.time_ns(), starting_port=free_starting_port(1), base=config)
    return NodeProcess(made.members[0].home)


def said(node: NodeProcess, *arguments: str) -> Any:
    return json.loads(openledger(node.home, "--json", *arguments).stdout)


def refused(node: NodeProcess, *arguments: str) -> str:
    done = openledger(node.home, *arguments, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def history(node: NodeProcess, first: int, top: int) -> list[Any]:
    return [node.block(number) for number in range(first, top + 1)]


def test_blocks_are_undone_and_handed_in_again_and_a_lost_state_comes_back_from_a_snapshot(
    node: NodeProcess, tmp_path: Path
) -> None:
    with running(node):
        node.start()
        for value in range(3):
            receipt(node, send(node.client, 0, bytes([9] * 20), value + 1))
        assert "is running" in refused(node, "rollback")
        made = said(node, "snapshot", "create")
        for value in range(3):
            receipt(node, send(node.client, 1, bytes([8] * 20), value + 1))
        node.reach(made["height"] + 4)
        assert said(node, "prune", "--keep", "1000")["oldestState"] == 0
        node.stop()

        back = said(node, "rollback")
        top = back["height"] + 1
        assert back["cometHeight"] == back["height"]
        again = said(node, "rollback", "--to", str(made["height"] - 1))
        assert again["height"] == made["height"] - 1
        assert "not below the newest" in refused(node, "rollback", "--to", str(top))
        node.start()
        node.reach(top)
        before = history(node, 0, top)
        assert all(before)
        assert [s["height"] for s in said(node, "snapshot", "list")] == [made["height"]]
        node.stop()

        assert "has a state already" in refused(node, "snapshot", "restore")
        (node.home / "state").rename(tmp_path / "lost")
        assert said(node, "snapshot", "restore")["stateRoot"] == made["stateRoot"]
        node.start()
        node.reach(top)
        assert history(node, made["height"], top) == before[made["height"] :]
        node.stop()
        assert "oldest kept is" in refused(node, "rollback", "--to", str(made["height"] - 1))
        pruned = said(node, "prune", "--keep", "2")
        assert pruned["oldestState"] == pruned["height"] - 2
        assert "oldest kept is" in refused(node, "rollback", "--to", str(pruned["height"] - 3))


def test_a_backup_with_blocks_brings_an_empty_home_to_life_and_other_chains_are_refused(
    node: NodeProcess, tmp_path: Path
) -> None:
    with running(node):
        node.start()
        receipt(node, send(node.client, 0, bytes([9] * 20), 5))
        node.reach(4)
        node.stop()
    backup = tmp_path / "backup"
    made = said(node, "snapshot", "create", "--output", str(backup), "--blocks")
    home = tmp_path / "empty"
    genesis = str(node.home / "genesis.json")
    openledger(home, "init", "--genesis", genesis, "--starting-port", str(free_starting_port(1)))
    copy = NodeProcess(home)
    shutil.copytree(backup / str(made["height"]), home / "snapshots" / str(made["height"]))
    assert "no blocks of CometBFT" in refused(copy, "snapshot", "restore")
    assert said(copy, "snapshot", "restore", "--from", str(backup))["height"] == made["height"]
    with running(copy):
        copy.start()
        assert copy.height >= made["height"]
        assert copy.client.call("eth_getBalance", "0x" + "09" * 20, "latest") == "0x5"
    other = tmp_path / "other"
    openledger(other, "init", "--starting-port", str(free_starting_port(1)))
    stranger = NodeProcess(other)
    assert "another genesis" in refused(stranger, "snapshot", "restore", "--from", str(backup))
    damaged = next((backup / str(made["height"])).glob("0"))
    damaged.write_bytes(damaged.read_bytes()[:-9])
    shutil.rmtree(home / "state")
    assert "chunk" in refused(copy, "snapshot", "restore", "--from", str(backup))
    assert "no snapshot of block 77" in refused(copy, "snapshot", "restore", "--from", str(backup), "--height", "77")

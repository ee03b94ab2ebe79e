"""A second validator joins a running CometBFT network with the commands that a person types, signs, is jailed when its
machine is gone, comes back, and leaves with its coins."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from openledger.genesis.presets import DEVNET_PARAMS
from openledger.node.cli.root import run
from openledger.node.config import Config, ConsensusConfig
from openledger.node.network import comet_home
from openledger.node.testnet import Member, Network, free_starting_port, make_network, with_usable_engine
from openledger.primitives.amounts import OPEN
from openledger.primitives.errors import MissingProgram
from openledger.rpc.client import Client
from tests.e2e.node_process import wait
from tests.waiting import finish

pytestmark = pytest.mark.cometbft


class Pair:
    """Node 0 is the validator of genesis with power 100; node 1 follows, with an operator that has money."""

    def __init__(self, made: Network, stack: contextlib.ExitStack) -> None:
        self.made = made
        self.clients = [Client(member.url) for member in made.members]
        self._stack = stack
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, number: int) -> None:
        home = self.made.members[number].home
        log = self._stack.enter_context((home / "log").open("a"))
        command = [sys.executable, "-m", "openledger.node", "--home", str(home), "start", "--lite"]
        self.processes[number] = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ)
        wait(f"node {number}", lambda: self.height(number) > 0)

    def kill(self, number: int) -> None:
        process = self.processes.pop(number)
        finish(process, signal.SIGKILL)

    def stop(self) -> list[int]:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        return [finish(process, 0) for process in self.processes.values()]  # a second SIGTERM would cut its end short

    def height(self, number: int = 0) -> int:
        return int(self.clients[number].call("eth_blockNumber"), 16)

    def validator(self, number: int = 1) -> dict[str, Any]:
        operator = self.made.members[number]
        address = json.loads((operator.home / "operator.json").read_text())["address"]
        found: dict[str, Any] = self.clients[0].call("openledger_getValidator", address)
        return found

    def comet(self, path: str) -> Any:
        url = f"http://127.0.0.1:{self.made.members[0].comet_rpc}/{path}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["result"]

    def powers(self) -> dict[str, int]:
        """The set that CometBFT has now, by consensus address."""
        return {"0x" + v["address"].lower(): int(v["voting_power"]) for v in self.comet("validators")["validators"]}

    def signers(self, height: int) -> set[str]:
        """Whose precommits the block after ``height`` carries."""
        votes = self.comet(f"commit?height={height}")["signed_header"]["commit"]["signatures"]
        return {"0x" + v["validator_address"].lower() for v in votes if v["block_id_flag"] == 2}

    def signs(self, address: str) -> bool:
        return address in self.signers(self.height() - 1)


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    monkeypatch.setenv("OPENLEDGER_PASSWORD", "a password")
    params = replace(DEVNET_PARAMS, signed_window=10, jail_seconds=1, unbonding_seconds=8)
    # node 0 alone is two thirds, so only the commit wait leaves the signature of node 1 time to arrive
    base, _ = with_usable_engine(Config(consensus=ConsensusConfig(commit_wait_ms=150, empty_block_ms=50)))
    try:
        made = make_network(
            tmp_path / "net", 2, time.time_ns(), starting_port=free_starting_port(2), params=params, base=base
        )
    except MissingProgram as err:
        pytest.skip(str(err))
    genesis = replace(
        made.genesis,
        validators=(replace(made.genesis.validators[0], power=100),),
        vote_extensions_enable_height=4,  # CometBFT asks for none before
    )
    for member in made.members:
        for path in (member.home / "genesis.json", comet_home(member.home) / "config" / "genesis.json"):
            path.write_text(genesis.to_json(), encoding="utf-8")
    with contextlib.ExitStack() as stack:
        found = Pair(made, stack)
        try:
            yield found
        finally:
            codes = found.stop()
            for client in found.clients:
                client.close()
    assert codes == [0, 0]


def command(capsys: pytest.CaptureFixture[str], member: Member, *words: str) -> Any:
    """The JSON answer of the program, run as the operator of a node would."""
    shared = ["--home", str(member.home), "--node", member.url, "--key", "operator", "--json"]
    assert run([*words, *shared]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_a_validator_joins_signs_is_jailed_comes_back_and_leaves(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    node = pair.made.members[1]
    pair.start(0)
    pair.start(1)
    command(capsys, node, "keys", "import", "operator", "--file", str(node.home / "operator.json"))
    own = command(capsys, node, "validator", "show-key")["address"]
    first = next(iter(pair.powers()))
    assert pair.powers() == {first: 100}

    joined = command(capsys, node, "validator", "create", "--amount", "20 OPEN", "--name", "second")
    assert (joined["address"], joined["power"], joined["name"]) == (own, 20, "second")
    wait("its first signature", lambda: pair.height() > joined["signsFrom"] and pair.signs(own))
    assert pair.powers() == {first: 100, own: 20}
    assert own not in pair.signers(joined["signsFrom"] - 1)
    assert command(capsys, node, "validator", "edit", "--name", "renamed")["name"] == "renamed"

    pair.kill(1)
    wait("the jail", lambda: pair.validator()["jailed"])
    wait("its way out of the set", lambda: pair.powers() == {first: 100})
    assert int(pair.validator()["stake"], 16) == 20 * OPEN * 99 // 100
    pair.start(1)
    wait("node 1 at the top", lambda: pair.height(1) >= pair.height(0))
    status = command(capsys, node, "validator", "status", own)
    assert (status["jailed"], status["power"], status["tombstoned"]) == (True, 0, False)
    assert command(capsys, node, "validator", "unjail")["power"] == 19
    wait("its signature after the jail", lambda: pair.signs(own))
    assert pair.powers() == {first: 100, own: 19}

    gone = command(capsys, node, "stake", "undelegate", "--all")
    assert (gone["power"], int(gone["stake"], 16), len(gone["unbonding"])) == (0, 0, 1)
    wait("a set without it", lambda: pair.powers() == {first: 100})
    wait("its coins", lambda: not pair.validator()["unbonding"])
    top = pair.height()
    wait("node 1 as high", lambda: pair.height(1) >= top)
    assert command(capsys, node, "stake", "show")[0]["unbonding"] == []
    for height in range(1, top + 1):
        one, other = (client.call("eth_getBlockByNumber", hex(height), False) for client in pair.clients)
        assert one["hash"] == other["hash"]

"""The homes of a network: what is written, what is refused, and what the joined log looks like."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from openledger.genesis.genesis import Genesis
from openledger.genesis.params import Params
from openledger.node import testnet
from openledger.node.cluster import child_environment, prefixed
from openledger.node.config import ChainConfig, Config, load
from openledger.node.devnet_chain import DevnetOptions, open_chain
from openledger.node.devnets import open_devnet, start_arguments
from openledger.node.engines.binary import find_cometbft
from openledger.node.network import comet_home, comet_settings, validator_key
from openledger.node.testnet import Network, check_ports, free_starting_port, make_network, with_usable_engine
from openledger.primitives.errors import InvalidConfig, MissingProgram, WrongDataFolder
from openledger.primitives.types import to_hex

NOW = 1_800_000_000 * 10**9


@pytest.fixture(autouse=True, scope="module")
def cometbft() -> None:
    try:
        find_cometbft()
    except MissingProgram as err:
        pytest.skip(str(err))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    return make_network(tmp_path_factory.mktemp("net"), 4, NOW, starting_port=21_000, params=Params())


def test_all_homes_have_one_genesis_with_every_validator_at_equal_power(network: Network) -> None:
    texts = {(m.home / "genesis.json").read_text() for m in network.members}
    texts |= {(comet_home(m.home) / "config" / "genesis.json").read_text() for m in network.members}
    (text,) = texts
    genesis = Genesis.from_json(text)
    assert genesis == network.genesis
    assert [v.power for v in genesis.validators] == [1_000] * 4, "nobody who joins with the least bond outweighs them"
    assert genesis.staked == 4 * genesis.params.min_self_bond
    assert len({v.operator for v in genesis.validators}) == 4
    keys = [validator_key(m.home)["public_key"] for m in network.members]
    assert keys == [to_hex(v.pub_key) for v in genesis.validators]


def test_every_node_knows_all_others_and_no_port_is_given_twice(network: Network) -> None:
    configs = [load(m.home, {}) for m in network.members]
    ports = [c.rpc.port for c in configs]
    ports += [int(url.rpartition(":")[2]) for c in configs for url in (c.consensus.p2p, c.consensus.rpc)]
    assert len(set(ports)) == 12
    for own, config in zip(network.members, configs, strict=True):
        others = {
            f"{node_id}@127.0.0.1:{m.p2p}"
            for m, node_id in zip(network.members, network.node_ids, strict=True)
            if m != own
        }
        assert set(config.consensus.peers) == others
        assert set(comet_settings(config).persistent_peers.split(",")) == others
        assert config.blobs.url == ""
        assert config.blobs.peers == tuple(m.url for m in network.members if m != own)


def test_secrets_are_for_their_owner_only_and_operators_have_money(network: Network) -> None:
    for member, validator in zip(network.members, network.genesis.validators, strict=True):
        for path in ("operator.json", "cometbft/config/priv_validator_key.json", "cometbft/config/node_key.json"):
            assert (member.home / path).stat().st_mode & 0o077 == 0
        assert json.loads((member.home / "operator.json").read_text())["privateKey"] == to_hex(member.operator)
        assert network.genesis.accounts[validator.operator].balance > 0


def test_the_start_script_is_one_that_a_shell_reads(network: Network) -> None:
    script = network.folder / "start.sh"
    assert os.access(script, os.X_OK)
    subprocess.run(["sh", "-n", str(script)], check=True)


def test_a_folder_with_something_in_it_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(WrongDataFolder, match="not empty"):
        make_network(tmp_path, 2, NOW)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_a_network_that_fails_halfway_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, names: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(testnet, "_write_script", full)
    with pytest.raises(OSError, match="full"):
        make_network(tmp_path / "net", 2, NOW)
    assert list((tmp_path / "net").iterdir()) == []


def test_ports_beyond_the_last_are_refused() -> None:
    check_ports(65_533, 1)
    with pytest.raises(InvalidConfig):
        check_ports(65_533, 2)
    assert free_starting_port(3) + 22 <= 65_535


def test_without_the_native_engine_a_devnet_names_py_evm_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openledger.evm.engines.native_available", lambda: False)
    config, note = with_usable_engine(Config())
    assert config.chain.engine == "py-evm"
    assert "make native" in note
    asked = Config(chain=ChainConfig(engine="revm"))
    assert with_usable_engine(asked) == (asked, "")
    monkeypatch.setattr("openledger.evm.engines.native_available", lambda: True)
    assert with_usable_engine(Config()) == (Config(), "")


def test_a_devnet_of_several_is_kept_and_fresh_starts_another(tmp_path: Path) -> None:
    def opened(count: int, fresh: bool = False) -> Genesis:
        return open_devnet(tmp_path, count, Config(), fresh=fresh, port=0, lite=True).genesis

    first = opened(2)
    assert opened(2) == first
    with pytest.raises(WrongDataFolder, match="has 2 validators"):
        opened(3)
    assert opened(3, fresh=True).evm_chain_id == first.evm_chain_id + 1
    with pytest.raises(WrongDataFolder):
        open_chain(tmp_path, DevnetOptions(), NOW)


def test_a_devnet_of_one_is_not_taken_for_a_network(tmp_path: Path) -> None:
    open_chain(tmp_path, DevnetOptions(), NOW)
    with pytest.raises(WrongDataFolder, match="another kind"):
        open_devnet(tmp_path, 2, Config(), fresh=False, port=None, lite=True)


def test_only_node0_gets_the_port_that_was_asked_for(tmp_path: Path) -> None:
    devnet = open_devnet(tmp_path, 2, Config(), fresh=False, port=0, lite=True)
    assert start_arguments(devnet, 9000, True) == {"node0": ["--lite", "--port", "9000"], "node1": ["--lite"]}


def test_a_line_of_the_joined_log_names_its_node() -> None:
    assert prefixed("node1", 1, 6, colour=False, json_lines=False)("hello") == "node1  | hello"
    assert prefixed("node1", 1, 5, colour=True, json_lines=False)("hello") == "\x1b[33mnode1 | \x1b[0mhello"
    line = prefixed("node1", 1, 5, colour=False, json_lines=True)('{"event": "hello"}')
    assert json.loads(line) == {"node": "node1", "event": "hello"}


def test_what_differs_from_node_to_node_is_not_taken_from_the_environment() -> None:
    given = {
        "OPENLEDGER_RPC_PORT": "1",
        "OPENLEDGER_CONSENSUS_PEERS": "x",
        "OPENLEDGER_LOG_LEVEL": "debug",
        "PATH": "/",
    }
    assert child_environment(given) == {"OPENLEDGER_LOG_LEVEL": "debug", "PATH": "/", "PYTHONUNBUFFERED": "1"}

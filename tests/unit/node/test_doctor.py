"""What the doctor says of a machine and of a home that are not well, and how a status reads."""

from __future__ import annotations

import base64
import json
import os
import resource
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from openledger.genesis.genesis import GenesisValidator
from openledger.genesis.presets import devnet_genesis
from openledger.node.bases import examined, lacking
from openledger.node.checks import MISS, OK, WARN, Check, has_module
from openledger.node.cli.health import status_lines
from openledger.node.cli.root import run
from openledger.node.config import BlobsConfig, Config, ConsensusConfig, OracleConfig, RpcConfig
from openledger.node.doctor import blobs, examine, home_of_a_node, machine, ports
from openledger.node.doctor_peers import Answer, ahead_of, clock, network
from openledger.node.doctor_votes import of_oracle
from openledger.node.processes import HomeLock, raise_file_limit
from openledger.primitives.errors import DatabaseLocked
from openledger.primitives.types import to_hex
from openledger.state.blobs import BlobStore


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of a node, as far as the doctor looks."""
    home = tmp_path / "home"
    (home / "cometbft" / "config").mkdir(parents=True)
    (home / "cometbft" / "data").mkdir()
    validator = GenesisValidator(bytes(32), 10, bytes(19) + b"\x01", "one")
    (home / "genesis.json").write_text(devnet_genesis((validator,), 10**18).to_json())
    shutil.copy(home / "genesis.json", home / "cometbft" / "config")
    (home / "cometbft" / "config" / "config.toml").write_text(
        'abci = "socket"\n[rpc]\nladdr = "tcp://127.0.0.1:1"\n[mempool]\ntype = "flood"\n'
    )
    key = home / "cometbft" / "config" / "priv_validator_key.json"
    key.write_text(json.dumps({"priv_key": {"value": base64.b64encode(b"\x01" * 64).decode()}}))
    key.chmod(0o600)
    history = home / "cometbft" / "data" / "priv_validator_state.json"
    history.write_text('{"height": "12", "round": 0, "step": 3}')
    return home


def named(checks: list[Check], name: str) -> list[Check]:
    return [check for check in checks if check.name == name]


def test_a_home_that_is_well(home: Path) -> None:
    checks = home_of_a_node(home, Config())
    assert [check.level for check in checks] == [OK, OK]
    assert "signed up to height 12" in checks[1].found


def unreadable(path: Path) -> None:
    """What even root cannot read."""
    path.unlink()
    path.mkdir(0o700)


@pytest.mark.parametrize(
    ("damage", "name", "level", "words"),
    [
        (lambda h: (h / "genesis.json").write_text("{"), "genesis", MISS, "genesis"),
        (lambda h: (h / "cometbft/data/priv_validator_state.json").unlink(), "keys", MISS, "sign a block twice"),
        (lambda h: (h / "cometbft/data/priv_validator_state.json").write_text("x"), "keys", MISS, "damaged"),
        (lambda h: (h / "cometbft/config/priv_validator_key.json").unlink(), "keys", MISS, "is missing"),
        (lambda h: (h / "cometbft/config/priv_validator_key.json").write_text("{}"), "keys", MISS, "is damaged"),
        (lambda h: unreadable(h / "cometbft/config/priv_validator_key.json"), "keys", MISS, "cannot be read"),
        (lambda h: unreadable(h / "cometbft/data/priv_validator_state.json"), "keys", MISS, "cannot be read"),
        (lambda h: (h / "cometbft/config/priv_validator_key.json").chmod(0o644), "keys", WARN, "others may read"),
        (lambda h: (h / "cometbft/config/config.toml").unlink(), "CometBFT", MISS, "cannot be read"),
        (lambda h: (h / "cometbft/config/config.toml").write_text(""), "CometBFT", MISS, "lacks"),
        (lambda h: (h / "cometbft/config/node_key.json").write_text("{}"), "CometBFT", MISS, "is damaged"),
        (
            lambda h: (h / "cometbft/config/genesis.json").write_text("{}"),
            "genesis",
            WARN,
            "not the genesis of the home",
        ),
        (lambda h: (h / "cometbft/config/genesis.json").unlink(), "genesis", WARN, "not the genesis of the home"),
        (lambda h: (shutil.rmtree(h / "cometbft"), (h / "config.toml").touch()), "keys", MISS, "cometbft is missing"),
    ],
)
def test_what_is_wrong_with_a_home_is_said(home: Path, damage: Any, name: str, level: str, words: str) -> None:
    damage(home)
    found = [c for c in home_of_a_node(home, Config()) if c.name == name and c.level == level]
    assert len(found) == 1
    assert words in found[0].found
    assert found[0].hint


def test_a_wrong_configuration_is_a_line_and_the_other_lines_still_come(home: Path) -> None:
    (home / "config.toml").write_text("[rpc]\nport = 'many'\n")
    checks = examine(home, None, "http://127.0.0.1:1")
    assert [c.level for c in named(checks, "configuration")] == [MISS]
    assert "line 2" in named(checks, "configuration")[0].found
    assert named(checks, "disk")
    assert named(checks, "clock")


def test_settings_that_do_not_go_together_are_a_line(home: Path) -> None:
    (home / "config.toml").write_text('[consensus]\nmempool = "app"\n')
    found = named(examine(home, None, "http://127.0.0.1:1"), "configuration")
    assert [c.level for c in found] == [MISS]
    assert "empty_block_ms" in found[0].hint


def test_the_exit_code_tells_a_script(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    arguments = ["--home", str(home), "--node", "http://127.0.0.1:1", "--json", "doctor", "--port", port]
    assert run(arguments) == 0
    lines = json.loads(capsys.readouterr().out)
    assert {line["name"] for line in lines} >= {
        "Python",
        "engine",
        "CometBFT",
        "disk speed",
        "open files",
        "clock",
        "keys",
    }
    (home / "genesis.json").unlink()
    assert run(arguments) == 1


def test_a_port_of_this_homes_own_node_is_no_trouble(home: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        config = Config(rpc=RpcConfig(port=port))
        assert named(ports(config, home, port), f"port {port}")[0].level == WARN
        lock = HomeLock(home)
        lock.take()
        try:
            found = named(ports(config, home, port), f"port {port}")[0]
        finally:
            lock.release()
    assert found.level == OK
    assert str(os.getpid()) in found.found


def test_a_home_takes_one_node_only(tmp_path: Path) -> None:
    first, second = HomeLock(tmp_path), HomeLock(tmp_path)
    first.take()
    with pytest.raises(DatabaseLocked, match=f"process {os.getpid()}"):
        second.take()
    assert second.holder() == os.getpid()
    first.release()
    assert second.holder() == 0
    second.take()
    second.release()


@pytest.mark.parametrize(("limits", "wanted"), [
    ((256, 4_096), (4_096, 4_096)), ((1_024, resource.RLIM_INFINITY), (65_536, resource.RLIM_INFINITY)),
    ((100_000, 200_000), None), ((4_096, 4_096), None),
])  # fmt: skip
def test_a_node_takes_the_open_files_that_it_may_have(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], wanted: tuple[int, int] | None
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, given: asked.append(given))
    raise_file_limit()
    assert asked == ([] if wanted is None else [wanted])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert named(machine(tmp_path / "home"), "home")[0].level == MISS


def test_a_blob_store_that_is_nearly_full_is_said(tmp_path: Path) -> None:
    assert blobs(tmp_path, Config()) == []
    BlobStore(str(tmp_path / "blobs")).put(bytes(950))
    (full,) = blobs(tmp_path, Config(blobs=BlobsConfig(total_bytes=1000)))
    (roomy,) = blobs(tmp_path, Config(blobs=BlobsConfig(total_bytes=2000)))
    (boundless,) = blobs(tmp_path, Config(blobs=BlobsConfig(total_bytes=0)))
    assert [check.level for check in (full, roomy, boundless)] == [WARN, OK, OK]
    assert "total_bytes" in full.hint


def test_bases_in_folders_are_named_and_what_is_wrong_with_one_is_said(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from openledger.attribution_oracle.tensors import dump

    good, bad = tmp_path / "good", tmp_path / "bad"
    good.mkdir()
    (good / "config.json").write_text('{"model_type": "gpt2"}')
    (good / "tokenizer.json").write_text("{}")
    (good / "model.safetensors").write_bytes(dump({}))
    config = Config(oracle=OracleConfig(bases=(str(good), str(bad))))
    first, second, *others = examined(config)
    assert (first.level, second.level) == (OK, WARN)
    assert first.found.startswith("hf:")
    assert "there is no folder" in second.found
    assert "no vote" in second.found
    assert [c.level for c in others] == ([] if has_module("transformers") else [MISS])
    assert examined(Config()) == []


def test_models_on_bases_that_this_machine_lacks_are_told() -> None:
    mine, other = ("hf:" + digit * 64 for digit in "ab")
    bases = [mine, other, "openledger/tiny-v1", other, other]
    models = [{"id": n, "base": base, "retired": n == 5} for n, base in enumerate(bases, 1)]
    (line,) = lacking(models, {mine})
    assert line.level == WARN
    assert other in line.found
    assert "model 2, 4" in line.found
    assert "[oracle] bases" in line.hint


# --- the network ----------------------------------------------------------------------------------------------


def test_a_clock_off_by_a_minute_is_said_with_its_direction() -> None:
    behind = clock([Answer("a", "", 60.0), Answer("b", "", 61.0), Answer("c", "", 0.0)])
    assert behind.level == WARN
    assert "60 seconds behind" in behind.found
    ahead = clock([Answer("a", "", -60.0)])
    assert ahead.level == WARN
    assert "60 seconds ahead of" in ahead.found


def test_one_wrong_clock_among_three_is_not_ours() -> None:
    assert clock([Answer("a", "", 3600.0), Answer("b", "", 0.0), Answer("c", "", 0.2)]).level == OK
    assert clock([]).level == OK


def test_a_date_cut_to_the_second_is_no_offset() -> None:
    assert ahead_of(100.0, 100.9) == 0
    assert ahead_of(100.0, 101.9) == 0
    assert ahead_of(160.0, 100.0) == 60
    assert ahead_of(40.0, 102.0) == -60


def test_peers_that_nobody_reaches_and_another_genesis_are_said(home: Path, strange: str) -> None:
    config = Config(consensus=ConsensusConfig(peers=("ab@127.0.0.1:1", "nonsense")))
    checks = network(home, config, strange)
    assert "0 of 2" in named(checks, "peers")[0].found
    assert named(checks, "chain")[0].level == MISS
    assert strange in named(checks, "chain")[0].found


def test_the_doctor_of_a_home_asks_its_own_node_where_none_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("openledger.node.bases.examined", lambda _, node: asked.append(node) or [])
    monkeypatch.setattr("openledger.node.doctor_peers.network", lambda *given: asked.append(given[-1]) or [])
    monkeypatch.setattr("openledger.node.doctor_votes.votes", lambda _, node: asked.append(node) or [])
    (home / "config.toml").write_text("[rpc]\nhost = '0.0.0.0'\nport = 2\n")
    examine(home, None, None)
    assert asked == 3 * ["http://127.0.0.1:2"]
    (home / "admin.json").write_text('{"url": "http://127.0.0.1:3", "secret": ""}')  # told another port at its start
    examine(home, None, None)
    assert asked[3:] == 3 * ["http://127.0.0.1:3"]
    examine(home, None, "http://127.0.0.1:4")
    assert asked[6:] == 3 * ["http://127.0.0.1:4"]


@pytest.fixture
def body(home: Path) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"genesis": to_hex(bytes(32))}}).encode()


@pytest.fixture
def strange(body: bytes) -> Any:
    """A server that answers everything with ``body``."""
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


# --- status ---------------------------------------------------------------------------------------------------

FACTS: dict[str, Any] = {
    "url": "http://x", "version": "1", "uptime": 7300, "cometChainId": "c-1", "chainId": "0x275d5", "block": 9,
    "headAge": 3, "catchingUp": False, "mode": "cometbft", "cometbft": "0.40.0", "answering": True, "peers": 3,
    "validator": "ab", "engine": "revm", "oracle": "on", "gpu": ["H100"], "memory": 1 << 27,
    "signing": {"power": 10, "window": 100, "missed": 2, "signedPercent": 98.0, "jailed": False, "tombstoned": False},
    "claims": [{"claim": 4, "status": "voting", "held": True, "verdict": "none"}],
    "mempool": {"transactions": 2, "bytes": 300}, "disk": {"used": 1 << 21, "database": 1 << 20, "free": 1 << 33},
    "blobs": {"bytes": 3 << 20, "limit": 1 << 30},
}  # fmt: skip


def test_a_status_reads_at_a_glance() -> None:
    text = "\n".join(status_lines(FACTS))
    for words in (
        "up 2.0 h", "9, 3 s old", "0.40.0, 3 peers", "power 10, signed 98.0 % of the last 100 blocks, missed 2",
        "1 open: 4 voting, own verdict blobs held", "2 transactions, 300 B", "GPU H100", "8.0 GiB free", "128.0 MiB",
        "3.0 MiB of 1.0 GiB",
    ):  # fmt: skip
        assert words in text


def test_a_second_look_and_a_challenged_index_are_told_apart_in_the_status() -> None:
    asked = {"status": "reveal", "held": True, "committed": True, "verdict": "none", "asked": True, "model": 3}
    votes = [
        asked | {"claim": 4, "kind": "second look", "named": {"row": 7}},
        asked | {"claim": 5, "kind": "index challenge", "named": {"row": 9, "segment": 2}, "asked": False},
    ]
    text = "\n".join(status_lines(FACTS | {"claims": votes}))
    assert "2 open: second look at claim 4 (row 7), reveal, own verdict committed; " in text
    assert "challenge 5 of the index of model 3 (row 9 segment 2), reveal, own verdict not asked" in text


def test_trouble_stands_in_the_status() -> None:
    sick = FACTS | {"answering": False, "catchingUp": True, "signing": FACTS["signing"] | {"jailed": True}}
    text = "\n".join(status_lines(sick))
    assert "does not answer" in text
    assert "catching up" in text
    assert "jailed" in text
    assert "follows the chain" in "\n".join(status_lines(FACTS | {"signing": None}))


def test_a_declared_oracle_that_does_not_run_is_warned_of() -> None:
    declared = FACTS["signing"] | {"oracle": True}
    mute = FACTS | {"signing": declared, "oracle": "off: this node follows the chain and votes silence"}
    assert [check.level for check in of_oracle(mute)] == [WARN]
    assert "openledger validator edit --no-oracle" in "\n".join(status_lines(mute))
    for well in (FACTS | {"signing": declared}, mute | {"signing": FACTS["signing"]}, mute | {"signing": None}):
        assert of_oracle(well) == []
        assert "costs pay" not in "\n".join(status_lines(well))

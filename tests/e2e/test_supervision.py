"""A node as its operator runs it, on bad days: each half killed, left over, hung, started twice, or stopped early."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from openledger.genesis.presets import dev_accounts
from openledger.node import config as configuration
from openledger.node.config import Config
from openledger.node.engines.binary import find_cometbft
from openledger.node.engines.child import MARK
from openledger.node.processes import ProcessMark, start_time, stop_signals
from openledger.node.testnet import free_starting_port, make_network, with_usable_engine
from openledger.primitives.amounts import GWEI
from openledger.primitives.errors import MissingProgram
from openledger.primitives.transactions import sign_transaction
from tests.e2e.node_process import FAST, NodeProcess, running, wait

pytestmark = pytest.mark.cometbft
ALONE = "PYTEST_XDIST_WORKER" not in os.environ and os.getloadavg()[0] < (os.cpu_count() or 1)
BACK_SECONDS = 5.0 if ALONE else 20.0
"""What is asked of a machine with nothing else to do, and a bound for one that has."""
ACCOUNTS = dev_accounts()


@pytest.fixture(autouse=True, scope="module")
def cometbft() -> None:
    try:
        find_cometbft()
    except MissingProgram as err:
        pytest.skip(str(err))


def make_home(folder: Path, validators: int = 1) -> Path:
    config, _ = with_usable_engine(Config())
    made = make_network(folder, validators, time.time_ns(), starting_port=free_starting_port(validators), base=config)
    return made.members[0].home


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_home(tmp_path / "net")


@pytest.fixture
def node(home: Path) -> Iterator[NodeProcess]:
    found = NodeProcess(home)
    with running(found):
        yield found


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, cometbft: None) -> Path:
    """The home of a node that ran for some blocks, and stopped."""
    found = NodeProcess(make_home(tmp_path_factory.mktemp("lived") / "net"))
    found.start().reach(4)
    found.stop()
    found.client.close()
    return found.home


@pytest.fixture
def lived(once: Path, tmp_path: Path) -> Path:
    """A copy of such a home."""
    return Path(shutil.copytree(once, tmp_path / "lived"))


def comet_of(home: Path) -> int:
    """Process id of the node's CometBFT."""
    found = json.loads((home / "cometbft" / MARK).read_text())
    assert start_time(found["pid"]) == found["started"]
    return int(found["pid"])


def opened(pid: int) -> list[str]:
    """The files that a process holds open."""
    names = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            names.append(str(entry.readlink()))
    return names


def again(node: NodeProcess, since: int) -> float:
    """Seconds until a new block stands."""
    began = time.monotonic()
    wait("a new block", lambda: node.height > since, log=node.log)
    return time.monotonic() - began


def transfer(node: NodeProcess, nonce: int) -> str:
    raw = sign_transaction(
        ACCOUNTS[0][1], chain_id=node.client.chain_id(), nonce=nonce, max_priority_fee=GWEI, max_fee=9 * GWEI,
        gas=21_000, to=ACCOUNTS[1][0], value=1,
    )  # fmt: skip
    return str(node.client.call("eth_sendRawTransaction", "0x" + raw.hex()))


def ended(home: Path, port: int = 0, **environment: str) -> tuple[int, str]:
    """Exit code and stderr of a node that does not stay."""
    command = [sys.executable, "-m", "openledger.node", "--home", str(home), "start", "--lite", "--port", str(port)]
    done = subprocess.run(
        command, env=os.environ | FAST | environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


# --- deaths ---------------------------------------------------------------------------------------------------


def test_kill_9_of_either_half_is_over_in_seconds_and_leaves_nothing_behind(node: NodeProcess) -> None:
    node.start().reach(2)
    before = node.height
    os.kill(comet_of(node.home), signal.SIGKILL)
    assert node.height >= before  # reads go on
    sent = transfer(node, 0)  # and what is sent is acknowledged
    assert again(node, node.height) < BACK_SECONDS
    wait("the transaction", lambda: node.client.call("eth_getTransactionReceipt", sent))
    assert "starting it again" in node.log.read_text()

    comet, before = comet_of(node.home), node.height
    node.kill()
    wait("the end of CometBFT", lambda: start_time(comet) is None, BACK_SECONDS)
    began = time.monotonic()
    node.start()
    again(node, before)
    assert time.monotonic() - began < BACK_SECONDS


@pytest.mark.soak
def test_a_cometbft_that_outlived_its_node_is_taken_down_first(node: NodeProcess) -> None:
    binary = find_cometbft()
    left = subprocess.Popen(
        [str(binary.path), "start", "--home", str(node.home / "cometbft"), "--proxy_app", "tcp://127.0.0.1:1"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        ProcessMark(node.home / "cometbft" / MARK).write(left.pid)
        wait("CometBFT to hold its database", lambda: any("blockstore.db/LOCK" in name for name in opened(left.pid)))
        node.start().reach(2)
        assert left.poll() is not None
        assert f"ended CometBFT (process {left.pid})" in node.log.read_text()
    finally:
        left.kill()
        left.wait()


@pytest.mark.soak
def test_a_cometbft_that_hangs_is_told_and_a_stop_is_not_held_up_by_it(node: NodeProcess) -> None:
    node.start().reach(1)
    comet = comet_of(node.home)
    os.kill(comet, signal.SIGSTOP)
    assert node.client.call("openledger_getNodeStatus")["answering"] is False
    began = time.monotonic()
    node.stop()
    assert time.monotonic() - began < 12
    assert start_time(comet) is None


# --- starts and stops -----------------------------------------------------------------------------------------


def script(path: Path, words: str) -> str:
    path.write_text(f'#!/bin/sh\nif [ "$1" = version ]; then echo 0.38.26; exit 0; fi\n{words}\n')
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_while_it_is_still_starting_ends_it_cleanly(home: Path, tmp_path: Path, number: int) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("whoever runs the tests has told them to outlive their terminal")
    program = script(tmp_path / "comet", f"echo > {tmp_path}/began; exec sleep 600")
    node = NodeProcess(home, OPENLEDGER_CONSENSUS_PROGRAM=program)
    node.begin()
    wait("CometBFT to be started", (tmp_path / "began").exists, log=node.log)
    began = time.monotonic()
    node.stop(number)
    assert time.monotonic() - began < (3 if ALONE else 8)  # after 8 it would be killed
    node.client.close()


def test_a_node_that_was_told_to_outlive_its_terminal_does() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        assert signal.SIGHUP in stop_signals()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        assert stop_signals() == (signal.SIGINT, signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_cometbft_of_another_version_is_one_sentence_with_the_way_to_another(home: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_text("#!/bin/sh\necho 0.34.24\n")
    old.chmod(0o755)
    code, said = ended(home, OPENLEDGER_CONSENSUS_PROGRAM=str(old))
    assert code == 1
    assert "0.34.24" in said
    assert "go install" in said


def test_what_cometbft_cannot_start_with_is_its_own_sentence(home: Path, tmp_path: Path) -> None:
    program = script(tmp_path / "comet", "echo 'ERROR: failed to create node: no peers today'; exit 1")
    code, said = ended(home, OPENLEDGER_CONSENSUS_PROGRAM=program)
    assert code == 1
    assert "no peers today" in said


def test_the_log_of_both_is_one_and_json_on_request(home: Path) -> None:
    node = NodeProcess(home, OPENLEDGER_LOG_FORMAT="json", OPENLEDGER_LOG_COMETBFT="info")
    with running(node):
        node.start().reach(2)
        code, said = ended(home)  # a second one beside it
        assert code == 1
        assert "a node runs in" in said
    lines = [json.loads(line) for line in node.log.read_text().splitlines() if line.startswith("{")]
    assert [line for line in lines if line["logger"] == "cometbft" and line["comet_module"] and "height" in line]
    assert [line for line in lines if line["logger"].startswith("openledger")] == []  # nothing went wrong
    assert all(line["level"] in ("debug", "info", "warning", "error", "critical") for line in lines)


# --- signing twice --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_text('{"height": "1", "round": 0, "step": 1}'), "older than the chain"),
        (lambda path: path.write_text("\0" * 40), "is damaged"),
    ],
)
def test_without_its_newest_vote_history_a_validator_does_not_start(
    lived: Path, damage: Callable[[Path], object], words: str
) -> None:
    damage(lived / "cometbft" / "data" / "priv_validator_state.json")
    code, said = ended(lived)
    assert code == 1
    assert words in said


@pytest.mark.soak
def test_a_home_from_a_backup_does_not_sign_while_another_node_has_its_key(tmp_path: Path) -> None:
    home = make_home(tmp_path / "net", 2)
    first, second = NodeProcess(home), NodeProcess(home.parent / "node1")
    with running(second, first):
        second.start()
        first.start().reach(3)
        copy = tmp_path / "copy"
        shutil.copytree(home, copy, ignore=shutil.ignore_patterns("*.sock", "*.lock"))  # of a node that runs
        (copy / "cometbft/config/node_key.json").unlink()  # else its peers take it for the first
        make_key = [str(find_cometbft().path), "gen-node-key", "--home", str(copy / "cometbft")]
        subprocess.run(make_key, check=True, capture_output=True)
        comet = comet_of(home)
        own, port = configuration.load(home, {}).consensus, free_starting_port(1)
        peers = [f"{node_id(home)}@{own.p2p.removeprefix('tcp://')}", *own.peers]
        code, said = ended(
            copy, OPENLEDGER_CONSENSUS_PEERS=",".join(peers), OPENLEDGER_CONSENSUS_P2P=f"tcp://127.0.0.1:{port}",
            OPENLEDGER_CONSENSUS_RPC=f"tcp://127.0.0.1:{port + 1}",
        )  # fmt: skip
        assert code == 1
        assert "another node on this machine signs with the key of this home" in said
        assert comet_of(home) == comet  # and its CometBFT is not taken for a leftover of the copy
        first.reach(first.height + 2)  # the one that may sign goes on


def node_id(home: Path) -> str:
    from openledger.node.engines.home import node_id as of

    return of(home / "cometbft")


# --- bad input ------------------------------------------------------------------------------------------------


def test_another_chains_genesis_is_refused(lived: Path, home: Path) -> None:
    (lived / "genesis.json").write_bytes((home / "genesis.json").read_bytes())
    code, said = ended(lived)
    assert code == 1
    assert "another chain" in said or "another genesis" in said


def test_another_chains_cometbft_is_refused(home: Path, tmp_path: Path) -> None:
    other = make_home(tmp_path / "other")
    shutil.rmtree(home / "cometbft")
    shutil.copytree(other / "cometbft", home / "cometbft")
    code, said = ended(home)
    assert code == 1
    assert "another genesis" in said


def test_a_validator_key_that_the_chain_does_not_know_only_follows_and_says_so(lived: Path) -> None:
    key = lived / "cometbft" / "config" / "priv_validator_key.json"
    key.unlink()
    (lived / "cometbft" / "data" / "priv_validator_state.json").unlink()
    subprocess.run(
        [str(find_cometbft().path), "init", "--home", str(lived / "cometbft")], check=True, capture_output=True
    )
    node = NodeProcess(lived)
    with running(node):
        node.start()
        wait("the words", lambda: "is no validator of this chain" in node.log.read_text())
        assert node.client.call("openledger_getNodeStatus")["signing"] is None


def test_a_damaged_database_is_said(lived: Path) -> None:
    for path in (lived / "state").glob("MANIFEST-*"):
        path.write_bytes(os.urandom(64))
    code, said = ended(lived)
    assert code == 1
    assert "damaged" in said
    assert "hint:" in said


def test_a_port_of_cometbft_that_is_taken_is_said(home: Path) -> None:

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        code, said = ended(home, OPENLEDGER_CONSENSUS_P2P=address)
    assert code == 1
    assert "port of CometBFT is in use" in said


STATUS = {"node_info": {"id": "00"}, "sync_info": {"catching_up": False}, "validator_info": {"address": "AB" * 20}}


@pytest.mark.parametrize("answer", [{"error": {"code": -32601}}, {"result": STATUS}, [1]])
def test_another_server_on_the_port_of_cometbft_is_not_taken_for_ours(home: Path, answer: Any) -> None:
    class Other(http.server.BaseHTTPRequestHandler):
        """The JSON-RPC of something else, or the CometBFT of another node."""

        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        code, said = ended(home, OPENLEDGER_CONSENSUS_RPC=f"tcp://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert code == 1
    assert "port of CometBFT is in use" in said


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own; skips where one may not be mounted."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_stops_the_node_with_a_sentence_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        node = NodeProcess(make_home(disk / "net"))
        node.start().reach(2)
        sent = transfer(node, 0)
        filler = disk / "filler"
        with contextlib.suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(bytes(4096))
                file.flush()
        process = node._process
        assert process is not None
        assert process.wait(60) == 1
        said = node.log.read_text()
        assert "Traceback" not in said
        assert "disk is full" in said or "is the disk full" in said
        filler.unlink()
        node._process = None
        node.start()
        with running(node):
            wait("the transaction", lambda: node.client.call("eth_getTransactionReceipt", sent), log=node.log)
            node.reach(node.height + 2)


def test_a_home_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 16) as disk:
        home = make_home(disk / "net")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        code, said = ended(home)
    assert code == 1
    assert "cannot be written" in said
    assert "hint:" in said


def test_a_taken_port_and_a_typo_are_said_before_anything_begins(home: Path) -> None:

    code, said = ended(home, OPENLEDGER_CONSENSUS_PEER="x")
    assert code == 1
    assert "did you mean OPENLEDGER_CONSENSUS_PEERS" in said
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        code, said = ended(home, port)
    assert code == 1
    assert f"port {port} is in use" in said
    assert not (home / "state").exists()

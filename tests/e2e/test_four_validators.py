"""Four validators on this machine: one chain seen through each node, nodes killed and brought back, and a claim.

The first network is what ``openledger devnet --validators 4`` starts; the second runs scripted oracles, so that
verdicts of several validators travel without torch.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from openledger.abci_app.modules.attribution.claim import AttributionClaim
from openledger.abci_app.modules.attribution.records import Share
from openledger.abci_app.modules.datanets.commit import DatanetCommit
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.datanets.records import Part
from openledger.abci_app.modules.models.open import InferenceOpen
from openledger.abci_app.modules.models.publish import ModelPublish
from openledger.abci_app.modules.models.records import DataRef
from openledger.abci_app.modules.models.settle import InferenceSettle
from openledger.abci_app.votes import is_slot0
from openledger.genesis.presets import dev_accounts
from openledger.node import config as configuration
from openledger.node import operator
from openledger.node.config import Config, ConsensusConfig
from openledger.node.doctor import port_is_free
from openledger.node.engines.binary import find_cometbft
from openledger.node.keystore import Signer, dev_signer
from openledger.node.testnet import Network, free_starting_port, make_network, with_usable_engine
from openledger.primitives.amounts import GWEI, OPEN
from openledger.primitives.attribution import Voucher, receipt_leaf, score_leaf
from openledger.primitives.codec import decode
from openledger.primitives.errors import MissingProgram, NodeUnreachable
from openledger.primitives.hashing import merkle_root
from openledger.primitives.keys import join_signature, sign_digest
from openledger.primitives.transactions import sign_transaction
from openledger.rpc.client import Client

pytestmark = pytest.mark.cometbft
ACCOUNTS = dev_accounts()
PRICE = OPEN // 10
ROWS = 12


@pytest.fixture(autouse=True, scope="module")
def cometbft() -> None:
    try:
        find_cometbft()
    except MissingProgram as err:
        pytest.skip(str(err))


def wait(what: str, ask: Callable[[], Any], seconds: float = 40) -> Any:
    """Ask until the answer is true; a node that does not answer yet is asked again."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(NodeUnreachable):
            if answer := ask():
                return answer
        assert time.monotonic() < end, f"waited {seconds} seconds for {what}"
        time.sleep(0.03)


def height(client: Client) -> int:
    return int(client.call("eth_blockNumber"), 16)


def nonce(client: Client, sender: int) -> int:
    return int(client.call("eth_getTransactionCount", "0x" + ACCOUNTS[sender][0].hex(), "latest"), 16)


def transfer(client: Client, sender: int, number: int) -> str:
    """Send one wei; the hash. Admission is all that this waits for."""
    raw = sign_transaction(
        ACCOUNTS[sender][1], chain_id=client.chain_id(), nonce=number, max_priority_fee=GWEI, max_fee=9 * GWEI,
        gas=21_000, to=ACCOUNTS[9][0], value=1,
    )  # fmt: skip
    return str(client.call("eth_sendRawTransaction", "0x" + raw.hex()))


def committed(client: Client, tx_hash: str) -> Any:
    return wait(f"transaction {tx_hash}", lambda: client.call("eth_getTransactionReceipt", tx_hash))


def history(client: Client, top: int) -> list[tuple[str, str]]:
    """(block hash, state root = app hash) of every height up to ``top``."""
    found = client.batch([("eth_getBlockByNumber", [hex(n), False]) for n in range(top + 1)])
    return [(block["hash"], block["stateRoot"]) for block in found]


def assert_one_chain(clients: Sequence[Client]) -> int:
    """Every node has the same blocks with the same app hashes; the height looked at."""
    top = max(height(client) for client in clients)
    wait(f"all nodes at height {top}", lambda: all(height(client) >= top for client in clients))
    first, *others = (history(client, top) for client in clients)
    assert all(other == first for other in others)
    return top


@dataclass
class Running:
    """A devnet of four validators as one process, and the nodes started beside it."""

    process: subprocess.Popen[str]
    facts: dict[str, Any]
    folder: Path
    clients: list[Client]
    started: list[subprocess.Popen[bytes]]

    def home(self, number: int) -> Path:
        return Path(self.facts["folder"]) / f"node{number}"

    def ports(self, number: int) -> list[int]:
        found = configuration.load(self.home(number), {})
        return [int(url.rpartition(":")[2]) for url in (found.consensus.p2p, found.consensus.rpc)]

    def kill(self, number: int, process: int) -> None:
        """kill -9 of the node; CometBFT ends by itself when the application is gone."""
        os.kill(process, signal.SIGKILL)
        wait("the end of its CometBFT", lambda: all(port_is_free("127.0.0.1", p) for p in self.ports(number)))

    def bring_back(self, number: int) -> Client:
        """The same node again, as a person would start it."""
        command = [sys.executable, "-m", "openledger.node", "--home", str(self.home(number)), "start", "--lite"]
        with (self.folder / f"again{number}.log").open("a") as log:
            self.started.append(subprocess.Popen(command, stdout=log, stderr=log))
        wait(f"node{number}", lambda: self.clients[number].call("eth_chainId"))
        return self.clients[number]


@pytest.fixture
def devnet(tmp_path: Path) -> Iterator[Running]:
    command = [sys.executable, "-m", "openledger.node", "--json", "--home", str(tmp_path / "home"), "devnet"]
    command += ["--validators", "4", "--lite", "--port", "0"]
    fast = {"OPENLEDGER_CONSENSUS_COMMIT_WAIT_MS": "20", "OPENLEDGER_CONSENSUS_EMPTY_BLOCK_MS": "500"}
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | fast) as process,
    ):
        assert process.stdout is not None
        text = ""
        while (line := process.stdout.readline()) and (text := text + line) and line != "}\n":
            pass
        assert text, (tmp_path / "log").read_text()[-3000:]
        facts = json.loads(text)
        running = Running(process, facts, tmp_path, [Client(node["rpc"]) for node in facts["nodes"]], [])
        try:
            yield running
        finally:
            every: list[subprocess.Popen[Any]] = [process, *running.started]
            for one in every:
                if one.poll() is None:
                    one.send_signal(signal.SIGINT)
            codes = [one.wait(40) for one in every]
            for client in running.clients:
                client.close()
    assert codes == [0 if code >= 0 else -signal.SIGKILL for code in codes], (tmp_path / "log").read_text()[-3000:]
    assert codes[0] == 0
    assert all(port_is_free("127.0.0.1", port) for number in range(4) for port in running.ports(number))


def test_four_validators_agree_survive_one_loss_and_wait_for_a_quorum_after_two(devnet: Running) -> None:
    clients, nodes = devnet.clients, devnet.facts["nodes"]
    for number in range(6):
        sent = [transfer(clients[i], i, number) for i in range(4)]
        for i, tx_hash in enumerate(sent):
            assert committed(clients[(i + 1) % 4], tx_hash)["status"] == "0x1"
    wait("20 blocks", lambda: height(clients[0]) >= 20)
    assert assert_one_chain(clients) >= 20

    devnet.kill(3, nodes[3]["process"])
    before = height(clients[0])
    for i in range(3):
        committed(clients[i], transfer(clients[i], i, nonce(clients[i], i)))
    wait("blocks of three", lambda: height(clients[0]) >= before + 3)
    devnet.bring_back(3)
    assert_one_chain(clients)
    committed(clients[0], transfer(clients[3], 3, nonce(clients[3], 3)))

    devnet.kill(2, nodes[2]["process"])
    devnet.kill(3, devnet.started[-1].pid)
    time.sleep(1)  # a block that was decided already
    stopped = height(clients[0])
    waiting = transfer(clients[0], 0, nonce(clients[0], 0))
    time.sleep(3)
    assert [height(client) for client in clients[:2]] == [stopped, stopped]
    assert clients[0].call("eth_getTransactionReceipt", waiting) is None
    devnet.bring_back(3)
    assert committed(clients[3], waiting)["status"] == "0x1"
    assert assert_one_chain([clients[0], clients[1], clients[3]]) > stopped


# --- a claim ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def network(tmp_path: Path) -> Iterator[tuple[Network, list[Client]]]:
    """Four nodes with scripted oracles, the last of which says no to everything."""
    base, _ = with_usable_engine(Config(consensus=ConsensusConfig(commit_wait_ms=20, empty_block_ms=300)))
    made = make_network(tmp_path / "net", 4, time.time_ns(), starting_port=free_starting_port(4), base=base)
    script = str(Path(__file__).with_name("scripted_node.py"))
    with contextlib.ExitStack() as stack:
        processes, clients = [], []
        for member, verdict in zip(made.members, ("yes", "yes", "yes", "no"), strict=True):
            log = stack.enter_context((member.home / "log").open("w"))
            command = [sys.executable, script, str(member.home), verdict]
            processes.append(stack.enter_context(subprocess.Popen(command, stdout=log, stderr=log)))
            clients.append(Client(member.url))
            stack.callback(clients[-1].close)
        try:
            wait("the first block", lambda: all(height(client) > 0 for client in clients))
            yield made, clients
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            codes = [process.wait(40) for process in processes]
    assert codes == [0] * 4


def dev(number: int) -> Signer:
    signer = dev_signer(f"dev{number}")
    assert signer is not None
    return signer


def settled_epoch(clients: Sequence[Client]) -> int:
    """A model of dev4 on rows of dev1 to dev3, and answers of it that dev5 paid for: the epoch, when it has closed."""
    operator.send(clients[0], dev(0), DatanetCreate("speeches"))
    for i in (1, 2, 3):
        part = Part(dev(i).address, bytes([i]) * 32, ROWS // 3)
        commit = DatanetCommit(1, i - 1, bytes([9, i]) * 16, part.rows * i, (part,))
        operator.send(clients[0], dev(i), commit)
    h = bytes(32)
    model = ModelPublish(
        "m", "openledger/tiny-v1", (DataRef(1, 3),), h, h, h, h, h, ROWS, "gradient-dot", 5, 4, 0, PRICE
    )
    operator.send(clients[0], dev(4), model)
    operator.send(clients[0], dev(5), InferenceOpen(1, OPEN, int(time.time()) + 1000))
    voucher = Voucher(1, 3 * PRICE, 3, merkle_root([receipt_leaf(1, f"q{i}", f"a{i}", PRICE) for i in range(3)]))
    signature = join_signature(*sign_digest(dev(5).secret, voucher.digest(clients[0].chain_id())))
    settle = InferenceSettle(1, voucher.cumulative, 3, voucher.receipts, signature)
    epoch = operator.settled_epoch(operator.send(clients[0], dev(4), settle))
    wait("the end of the epoch", lambda: operator.epoch_of(clients[0]) > epoch)
    return epoch


def voices(made: Network, number: int, top: int) -> list[int]:
    """How many validators speak in slot 0 of each block, as CometBFT keeps the blocks."""
    port, found = made.members[number].comet_rpc, []
    for at in range(1, top + 1):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/block?height={at}", timeout=10) as answer:
            txs = json.load(answer)["result"]["block"]["data"]["txs"] or []
        first = base64.b64decode(txs[0]) if txs else b""
        entries: Any = decode(first[1:]) if is_slot0(first) else []
        found.append(len(entries))
    return found


def test_verdicts_of_four_validators_ride_in_slot_0_and_three_of_them_carry_a_claim(
    network: tuple[Network, list[Client]],
) -> None:
    made, clients = network
    epoch = settled_epoch(clients)
    scores = [10**7 * (row + 1) for row in range(ROWS)]
    raw = b"".join(score.to_bytes(8, "big", signed=True) for score in scores)
    root = merkle_root([score_leaf(row, score) for row, score in enumerate(scores)])
    shares = tuple(sorted((Share(dev(i).address, 300_000) for i in (1, 2, 3)), key=lambda share: share.contributor))
    action = AttributionClaim(
        model=1, epoch=epoch, first=0, shares=shares, unattributed=100_000, evidence=bytes(32), scores_root=root,
        scores=hashlib.sha256(raw).digest(),
    )  # fmt: skip
    receipt = operator.send(clients[1], dev(4), action)
    claim: Any = SimpleNamespace(scores=raw)
    opened = operator.OpenedClaim(operator.created_id(receipt), str(receipt["transactionHash"]), claim)
    wait("the claim on node2", lambda: height(clients[2]) >= int(receipt["blockNumber"], 16))
    record = operator.follow_claim(clients[2], opened, 40)
    assert record["status"] == "accepted"
    top = assert_one_chain(clients)
    said = clients[3].call("openledger_getVerdicts", opened.number)
    assert sorted(v["verdict"] for v in said) == ["no", "yes", "yes", "yes"]
    assert max(voices(made, 0, top)) >= 3

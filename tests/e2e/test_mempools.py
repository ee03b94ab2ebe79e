"""Transactions through CometBFT's flood mempool (0.40.0 and 0.38.26) and its app mempool (0.40.0): acknowledged before
CometBFT is asked, told to other validators, kept over kill -9 of node and CometBFT."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from openledger.genesis.presets import dev_accounts
from openledger.node.config import Config, ConsensusConfig
from openledger.node.engines.binary import SUPPORTED
from openledger.node.testnet import free_starting_port, make_network, with_usable_engine
from openledger.primitives.amounts import GWEI
from openledger.primitives.transactions import sign_transaction
from openledger.rpc.client import Client
from tests.e2e.node_process import wait
from tests.waiting import finish

pytestmark = pytest.mark.cometbft
ROOT = Path(__file__).parents[2]
ACCOUNTS = dev_accounts()
KINDS = [("flood", SUPPORTED[0]), ("app", SUPPORTED[0]), ("flood", SUPPORTED[1])]


@dataclass
class Node:
    """One node of a network, as a process group: ``openledger start`` and its CometBFT."""

    home: Path
    url: str
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.home / "log").open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "openledger.node", "--home", str(self.home), "start", "--lite"],
                stdout=output, stderr=output, env=os.environ | {"PYTHONPATH": str(ROOT)},
            )  # fmt: skip

    def comet(self) -> int:
        """Process id of this node's CometBFT."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def kill(self) -> None:
        """kill -9 of both, CometBFT first."""
        assert self.process is not None
        os.kill(self.comet(), signal.SIGKILL)
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            finish(self.process)


@contextlib.contextmanager
def network(folder: Path, count: int, mempool: str, version: str, commit_wait_ms: int = 20) -> Iterator[list[Node]]:
    """Homes for validators, none started."""
    program = ROOT / ".tools" / f"cometbft-{version}" / "cometbft"
    if not program.exists():
        pytest.skip(f"CometBFT {version} is not in .tools (make cometbft)")
    base, _ = with_usable_engine(Config())
    consensus: ConsensusConfig = replace(
        base.consensus, program=str(program), mempool=mempool, commit_wait_ms=commit_wait_ms,
        empty_block_ms=0 if mempool == "app" else 500,
    )  # fmt: skip
    made = make_network(
        folder / "net", count, time.time_ns(), starting_port=free_starting_port(count),
        base=replace(base, consensus=consensus),
    )  # fmt: skip
    nodes = [Node(member.home, member.url) for member in made.members]
    try:
        yield nodes
    finally:
        for node in nodes:
            node.stop()


def transfer(client: Client, sender: int, nonce: int, **fields: Any) -> str:
    raw = sign_transaction(
        ACCOUNTS[sender][1], chain_id=161237, nonce=nonce, to=ACCOUNTS[9][0], value=1,
        **({"max_fee": 9 * GWEI, "max_priority_fee": GWEI, "gas": 21_000} | fields),
    )  # fmt: skip
    return str(client.call("eth_sendRawTransaction", "0x" + raw.hex()))


def receipt(client: Client, tx_hash: str) -> Any:
    return wait(f"transaction {tx_hash}", lambda: client.call("eth_getTransactionReceipt", tx_hash))


@pytest.mark.parametrize(("mempool", "version"), KINDS)
def test_acknowledged_transactions_survive_the_death_of_node_and_cometbft(
    tmp_path: Path, mempool: str, version: str
) -> None:
    with network(tmp_path, 1, mempool, version) as (node,), Client(node.url) as client:
        node.start()
        wait("a block", lambda: int(client.call("eth_blockNumber"), 16) > 0)
        assert int(receipt(client, transfer(client, 1, 0))["status"], 16) == 1
        os.kill(node.comet(), signal.SIGSTOP)  # no more blocks, and nobody there to ask
        began = time.monotonic()
        hashes = [transfer(client, 1, nonce) for nonce in (1, 2, 4)] + [transfer(client, 2, 0)]
        assert time.monotonic() - began < 10  # CometBFT would be waited for three times as long
        node.kill()
        node.start()
        for tx_hash in hashes[:2] + hashes[3:]:
            receipt(client, tx_hash)
        assert client.call("eth_getTransactionReceipt", hashes[2]) is None  # nonce 3 is missing
        assert client.call("eth_getTransactionByHash", hashes[2])["blockHash"] is None
        if mempool == "flood":  # what waits for a nonce asks for no block: one comes every half second
            before, began = int(client.call("eth_blockNumber"), 16), time.monotonic()
            time.sleep(1)
            more = int(client.call("eth_blockNumber"), 16) - before
            assert more <= 4 * (time.monotonic() - began)
        transfer(client, 1, 3)
        receipt(client, hashes[2])


@pytest.mark.parametrize(("mempool", "version"), KINDS[:2])
def test_what_one_validator_admits_another_one_puts_into_a_block(tmp_path: Path, mempool: str, version: str) -> None:
    with network(tmp_path, 2, mempool, version) as nodes, Client(nodes[0].url) as first, Client(nodes[1].url) as second:
        for node in nodes:
            node.start()
        wait("a block", lambda: int(second.call("eth_blockNumber"), 16) > 1)
        waits = transfer(first, 1, 1)
        wait("the other node to know it", lambda: second.call("eth_getTransactionByHash", waits))
        for tx_hash in [transfer(second, sender, 0) for sender in range(1, 8)] + [waits]:
            receipt(first, tx_hash)
        taken: dict[str, set[int]] = {}  # by each proposer: which node's transactions it put into a block
        for nonce in range(2, 22):
            by = nonce.bit_count() % 2  # in no step with the turns of the proposers
            node = (first, second)[by]
            number = receipt(node, transfer(node, 1, nonce))["blockNumber"]
            taken.setdefault(node.call("eth_getBlockByNumber", number, False)["miner"], set()).add(by)
            if any(len(nodes_of) == 2 for nodes_of in taken.values()):
                break
        assert any(len(nodes_of) == 2 for nodes_of in taken.values())

"""A new node joins a running chain by a snapshot, over real CometBFT: found, verified, restored, followed."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from openledger.abci_app.modules.datanets.commit import DatanetCommit
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.datanets.records import Part
from openledger.abci_app.modules.models.publish import ModelPublish
from openledger.abci_app.modules.models.records import DataRef
from openledger.genesis.genesis import GenesisAccount
from openledger.genesis.presets import dev_accounts
from openledger.node import config as configuration
from openledger.node import testnet as networks
from openledger.node.config import Config
from openledger.node.engines.binary import find_cometbft
from openledger.node.engines.home import node_id
from openledger.node.network import comet_home
from openledger.node.testnet import free_starting_port, make_network, with_usable_engine
from openledger.primitives.amounts import GWEI
from openledger.primitives.errors import MissingProgram, OpenLedgerError
from openledger.primitives.transactions import sign_transaction
from openledger.rpc.client import Client
from openledger.state.blobs import BlobStore
from openledger.state.snapshots import SnapshotShelf
from tests.e2e.node_process import NodeProcess, openledger, running, wait

pytestmark = pytest.mark.cometbft
ACCOUNTS = dev_accounts()
EXTRA = 400


@pytest.fixture(autouse=True, scope="module")
def cometbft() -> None:
    try:
        find_cometbft()
    except MissingProgram as err:
        pytest.skip(str(err))


def with_accounts(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Networks whose genesis has this many accounts more."""
    made = networks.network_genesis

    def genesis(*arguments):  # type: ignore[no-untyped-def]
        plain = made(*arguments)
        more = {n.to_bytes(20, "big"): GenesisAccount(n * GWEI, n % 5) for n in range(10**6, 10**6 + count)}
        return dataclasses.replace(plain, accounts=plain.accounts | more)

    monkeypatch.setattr(networks, "network_genesis", genesis)


@pytest.fixture
def first(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NodeProcess]:
    """A chain of one validator that takes a snapshot every five blocks. A test may ask for more accounts: a snapshot
    takes longer then, and begins every fifty blocks, so that two nodes do not miss each other's heights."""
    accounts = getattr(request, "param", EXTRA)
    with_accounts(monkeypatch, accounts)
    config, _ = with_usable_engine(Config())
    interval = 5 if accounts == EXTRA else 50
    config = dataclasses.replace(config, snapshots=dataclasses.replace(config.snapshots, interval=interval, keep=500))
    made = make_network(tmp_path / "net", 1, time.time_ns(), starting_port=free_starting_port(1), base=config)
    node = NodeProcess(made.members[0].home, OPENLEDGER_CHAIN_ARCHIVE="false", OPENLEDGER_CHAIN_KEEP="128")
    with running(node):
        node.start()
        yield node


def send(client: Client, sender: int, to: bytes, value: int) -> str:
    number = int(client.call("eth_getTransactionCount", "0x" + ACCOUNTS[sender][0].hex(), "pending"), 16)
    raw = sign_transaction(
        ACCOUNTS[sender][1], chain_id=client.chain_id(), nonce=number, max_priority_fee=GWEI, max_fee=9 * GWEI,
        gas=21_000, to=to, value=value,
    )  # fmt: skip
    return str(client.call("eth_sendRawTransaction", "0x" + raw.hex()))


def publish(client: Client) -> list[str]:
    """A model, as far as the chain knows; the names of its blobs, which the node has."""
    files = [f"file {number}".encode() * 50_000 for number in range(3)]
    names = [client.put_blob(raw) for raw in files]
    digests = [bytes.fromhex(name) for name in names]
    part = Part(ACCOUNTS[4][0], digests[2], 4)
    actions = (
        DatanetCreate("speeches"),
        DatanetCommit(1, 0, bytes(32), 4, (part,)),
        ModelPublish(
            "m", "openledger/tiny-v1", (DataRef(1, 1),), bytes(32), digests[0], bytes(32), digests[1], bytes(32), 4,
            "gradient-dot", 5, 4, 0, GWEI,
        ),
    )  # fmt: skip
    for action in actions:
        found = client.wait_receipt(client.send_native(ACCOUNTS[4][1], action))
        assert found["status"] == "0x1", found
    return names


def receipt(node: NodeProcess, tx_hash: str) -> dict[str, str]:
    found: dict[str, str] = wait(tx_hash, lambda: node.client.call("eth_getTransactionReceipt", tx_hash), log=node.log)
    return found


def snapshots(node: NodeProcess) -> set[int]:
    """Heights of the snapshots that a node offers."""
    return {found["height"] for found in node.client.call("openledger_listSnapshots")}


def restored(node: NodeProcess) -> int:
    """The height of the snapshot that a node has taken, when it is whole."""
    wait("a restored state", lambda: "is restored" in node.log.read_text(), 120, node.log)
    return int(re.findall(r"state of block (\d+) is restored", node.log.read_text())[-1])


def join(first: NodeProcess, home: Path, *more: str, interval: int = 5) -> NodeProcess:
    """A home made by ``init --sync-from``."""
    told = openledger(
        home, "--json", "init", "--sync-from", first.url, "--starting-port", str(free_starting_port(1)), *more
    )
    assert json.loads(told.stdout)["trust_height"] > 0
    return NodeProcess(home, OPENLEDGER_SNAPSHOTS_INTERVAL=str(interval), OPENLEDGER_SNAPSHOTS_KEEP="20")


def test_a_new_node_joins_by_a_snapshot_follows_sends_and_serves_the_next_one(
    first: NodeProcess, tmp_path: Path
) -> None:
    to = bytes([3] * 20)
    first.reach(3)
    blobs = publish(first.client)
    early = receipt(first, send(first.client, 0, to, 5))
    made = json.loads(openledger(first.home, "--json", "snapshot", "create").stdout)
    first.reach(made["height"] + 3)
    second = join(first, tmp_path / "second")
    with running(second):
        second.begin()
        start = restored(second)
        assert start >= made["height"]
        second.reach(start + 3)
        assert second.block(start + 2) == first.block(start + 2)
        assert second.client.call("eth_getBalance", "0x" + to.hex(), "latest") == "0x5"
        store = BlobStore(str(second.home / "blobs"))
        wait("the blobs of the model", lambda: all(store.has(name) for name in blobs), log=second.log)
        second.follow()
        late = receipt(second, send(second.client, 1, to, 7))
        assert late["status"] == "0x1"
        assert receipt(first, late["transactionHash"]) == late
        assert second.client.call("eth_getTransactionReceipt", early["transactionHash"]) is None
        with pytest.raises(OpenLedgerError, match="pruned history unavailable"):
            second.block(start - 1)
        assert second.block(0) == first.block(0)
        with pytest.raises(OpenLedgerError, match=f"oldest kept is {start}"):
            second.client.call("eth_getBalance", "0x" + to.hex(), hex(start - 1))
        with pytest.raises(OpenLedgerError, match="pruned history unavailable"):
            second.client.call("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"})
        common = (start // 5 + 2) * 5
        for node in (first, second):
            node.reach(common + 3)
        ours, theirs = (SnapshotShelf(node.home / "snapshots").get(common) for node in (second, first))
        assert ours == theirs
        assert ours is not None
        assert ours.accounts > EXTRA
        second.kill()
        second.start()
        second.reach(first.height)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", [100_000], indirect=True)
def test_a_chain_of_100_000_accounts_is_joined_within_a_minute_also_after_a_kill_and_from_a_peer_with_bad_chunks(
    first: NodeProcess, tmp_path: Path
) -> None:
    wait("a snapshot", lambda: snapshots(first), log=first.log)
    second = join(first, tmp_path / "second", interval=50)
    with running(second):
        second.begin()
        wait("an offer", lambda: "taking the snapshot" in second.log.read_text(), 120, second.log)
        second.kill()
        begun = time.monotonic()
        second.begin()
        restored(second)
        second.follow()
        took = time.monotonic() - begun
        print(f"joined in {took:.1f} s")
        richest = 10**6 + 99_999
        balance = second.client.call("eth_getBalance", "0x" + richest.to_bytes(20, "big").hex(), "latest")
        assert balance == hex(richest * GWEI)
        assert took <= 60
        wait("a snapshot of the same block", lambda: snapshots(first) & snapshots(second), 300, second.log)
        second.stop()
        for chunk in (second.home / "snapshots").glob("*/0"):
            chunk.write_bytes(chunk.read_bytes()[:-1])
        first.stop()
        ours, theirs = (SnapshotShelf(node.home / "snapshots") for node in (first, second))
        for manifest in ours.list():
            if theirs.get(manifest.height) is None:
                ours.delete(manifest.height)
        assert [m.hash for m in ours.list()] == [m.hash for m in theirs.list() if ours.get(m.height)] != []
        no_more = {"OPENLEDGER_SNAPSHOTS_INTERVAL": "0"}  # so that both have the same newest one
        honest, liar = NodeProcess(first.home, **no_more), NodeProcess(second.home, **no_more)
        with running(honest, liar):
            honest.start()
            liar.start()
            third = join(liar, tmp_path / "third")
            peer = configuration.load(first.home, {}).consensus
            names = configuration.load(third.home, {}).consensus.peers
            node = node_id(comet_home(first.home))
            third = NodeProcess(
                third.home, OPENLEDGER_CONSENSUS_PEERS=",".join([*names, f"{node}@{peer.p2p.removeprefix('tcp://')}"])
            )
            with running(third):
                third.begin()
                height = restored(third)
                third.reach(height + 2)
                assert third.block(height + 1) == honest.block(height + 1)
                print("bad chunks refused:", third.log.read_text().count("asking another node"))

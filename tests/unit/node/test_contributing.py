"""How the command line brings rows to a datanet: promised first, and going on where it was broken off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness import ACCOUNTS, Harness

from openledger.abci_app.action import Action
from openledger.abci_app.modules.datanets.commit import DatanetCommit
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.datanets.promise import DatanetPromise
from openledger.abci_app.modules.datanets.records import Part
from openledger.node.cli.datanets import keep_newer
from openledger.node.contributing import Contribution, Salts
from openledger.node.keystore import Signer
from openledger.node.rows import blob_of
from openledger.primitives.amounts import OPEN
from openledger.primitives.attribution import promise_digest
from openledger.primitives.errors import NotAllowed, OpenLedgerError, WrongPhase
from openledger.primitives.hashing import sha256

BLOB = blob_of(["a row of some length", "another row of some length"])
RIVAL = bytes([5]) * 32


class Node:
    """A client of a chain in this process. ``events`` lists what reached it; ``fails`` breaks off before a step;
    ``rival`` commits before each of so many commits, in the same block where ``in_block``."""

    def __init__(self, chain: Harness) -> None:
        self.chain, self.events, self.fails = chain, list[str](), ""
        self.blobs: dict[str, bytes] = {}
        self.rival, self.in_block, self.sender = 0, False, 1

    def call(self, method: str, *params: Any) -> Any:
        if method == "eth_getBlockByNumber":
            return {"timestamp": hex(self.chain.time)}
        if method == "openledger_getPromise":
            return self.chain.query("get_promise", bytes.fromhex(params[0][2:]))
        names = {"Datanet": "get_datanet", "Commit": "get_commit", "Commits": "get_commits", "Review": "get_review"}
        return self.chain.query(names[method.removeprefix("openledger_get")], *params)

    def _step(self, name: str) -> None:
        if name == self.fails:
            raise KeyboardInterrupt
        self.events.append(name)

    def send_native(self, secret: bytes, action: Action) -> Action:
        self._step(action.KIND)
        return action

    def wait_receipt(self, action: Action) -> dict[str, Any]:
        raws = []
        if self.rival and isinstance(action, DatanetCommit):
            self.rival -= 1
            head = self.chain.query("get_datanet", 1)["head"]
            blob = bytes([100 + self.rival]) * 32
            self.blobs[blob.hex()] = BLOB
            raws = [self.chain.native(2, DatanetCommit(1, head, RIVAL, 2 * head + 2, (Part(ACCOUNTS[2][0], blob, 2),)))]
            if not self.in_block:
                self.chain.finalize(tuple(raws))
                raws = []
        raw = self.chain.native(self.sender, action)
        if not raws and self.chain.submit(raw).code:
            raise WrongPhase("refused at the door")
        self.chain.finalize((*raws, raw))
        receipt = self.chain.app.store.block(self.chain.app.head().number).receipts[-1]
        if not receipt.status:
            raise OpenLedgerError(f"the transaction failed: {receipt.error}")
        return {"logs": [{"topics": ["0x" + t.hex() for t in log.topics]} for log in receipt.logs]}

    def put_blob(self, body: bytes) -> str:
        self._step("blob")
        self.blobs[sha256(body).hex()] = body
        return sha256(body).hex()

    def get_blob(self, name: str) -> bytes:
        return self.blobs[name]


@pytest.fixture
def node(chain: Harness) -> Node:
    chain.act(0, DatanetCreate("d"))
    return Node(chain)


def bring(node: Node, folder: Path, **more: Any) -> list[str]:
    """Commit ``BLOB`` to datanet 1 as account 1; what was said."""
    said: list[str] = []
    way = Contribution(node, Signer("alice", *ACCOUNTS[1]), Salts(folder), said.append)  # type: ignore[arg-type]
    way.commit(1, BLOB, "", **more)
    return said


def part(node: Node) -> dict[str, Any]:
    """Alice's part of the newest version."""
    parts: list[dict[str, Any]] = node.chain.query("get_commit", 1, node.chain.query("get_datanet", 1)["head"])["parts"]
    return next(p for p in parts if p["blob"] == "0x" + sha256(BLOB).hex())


def test_rows_are_shown_only_when_a_block_has_their_promise(node: Node, tmp_path: Path) -> None:
    said = bring(node, tmp_path)
    assert node.events == ["datanet.promise", "blob", "datanet.commit"]
    assert f"promised in block {part(node)['height']}" in said[0]
    assert part(node)["height"] == node.chain.app.head().number - 1
    assert list(tmp_path.iterdir()) == []
    assert bring(Node(fresh()), tmp_path, promise=False) == []


def fresh() -> Harness:
    chain = Harness()
    chain.act(0, DatanetCreate("d"))
    return chain


@pytest.mark.parametrize("where", ["datanet.promise", "blob", "datanet.commit"])
def test_broken_off_anywhere_it_goes_on_with_the_same_promise(node: Node, tmp_path: Path, where: str) -> None:
    node.fails = where
    with pytest.raises(KeyboardInterrupt):
        bring(node, tmp_path)
    kept = [file.read_text() for file in tmp_path.iterdir()]
    assert len(kept) == 1
    node.fails = ""
    bring(node, tmp_path)
    assert node.events.count("datanet.promise") == 1
    opened = node.chain.app.store.block(node.chain.app.head().number).transactions[-1]
    assert bytes.fromhex(kept[0]) in opened


def test_a_promise_that_expires_soon_or_is_gone_is_made_anew_with_another_salt(node: Node, tmp_path: Path) -> None:
    for wait in (86_400 - 200, 86_400):
        node.fails = "blob"
        with pytest.raises(KeyboardInterrupt):
            bring(node, tmp_path)
        salts = [file.read_text() for file in tmp_path.iterdir()]
        node.chain.block(wait)
        with pytest.raises(KeyboardInterrupt):
            bring(node, tmp_path)
        assert ([file.read_text() for file in tmp_path.iterdir()] == salts) is (wait == 86_400)
    node.fails = ""
    bring(node, tmp_path)
    assert part(node)["height"] == node.chain.app.head().number - 1


def test_a_damaged_file_of_a_salt_is_as_good_as_none(node: Node, tmp_path: Path) -> None:
    Salts(tmp_path).new(ACCOUNTS[1][0], sha256(BLOB))
    next(tmp_path.iterdir()).write_text("no hex")
    bring(node, tmp_path)
    assert part(node)["rows"] == 2


@pytest.mark.parametrize("in_block", [False, True])
def test_who_is_overtaken_commits_again_and_stays_first(node: Node, tmp_path: Path, in_block: bool) -> None:
    node.rival, node.in_block = 2, in_block
    bring(node, tmp_path)
    version = node.chain.query("get_commit", 1, 3)
    assert len(version["parts"]) == 3
    assert part(node)["place"] == min(p["place"] for p in version["parts"])


def test_rows_of_a_reviewed_datanet_are_bonded_as_it_asks_and_their_salt_is_kept(
    chain: Harness, tmp_path: Path
) -> None:
    chain.act(0, DatanetCreate("d", "", "text", "CC0-1.0", "reviewed", 1, 3 * OPEN, OPEN, (ACCOUNTS[2][0],)))
    node, before = Node(chain), chain.balance(ACCOUNTS[1][0])
    bring(node, tmp_path)
    assert chain.query("get_commit", 1, 1)["status"] == "pending"
    assert 3 * OPEN < before - chain.balance(ACCOUNTS[1][0]) < 3.1 * OPEN
    assert len(list(tmp_path.iterdir())) == 1
    chain.block(chain.query("get_review", 1, 1)["deadline"] - chain.time)
    bring(node, tmp_path)
    again, first = (chain.query("get_commit", 1, version)["parts"][0]["place"] for version in (2, 1))
    assert again == first


def test_a_commit_whose_end_was_not_seen_is_not_made_twice(node: Node, tmp_path: Path) -> None:
    bring(node, tmp_path)
    salts, events = Salts(tmp_path), list(node.events)
    salts.new(ACCOUNTS[1][0], sha256(BLOB))
    assert bring(node, tmp_path) == ["version 1 has these rows already; nothing was sent"]
    assert node.events == events
    assert salts.get(ACCOUNTS[1][0], sha256(BLOB)) is None


def test_a_second_bond_is_not_put_on_rows_that_wait(chain: Harness, tmp_path: Path) -> None:
    chain.act(0, DatanetCreate("d", "", "text", "CC0-1.0", "reviewed", 1, 3 * OPEN, OPEN, (ACCOUNTS[2][0],)))
    node = Node(chain)
    bring(node, tmp_path)
    left = chain.balance(ACCOUNTS[1][0])
    way = Contribution(node, Signer("alice", *ACCOUNTS[1]), Salts(tmp_path), str)  # type: ignore[arg-type]
    again = way.commit(1, BLOB, "")
    assert (again.receipt, again.version, again.rows, again.bond) == (None, 1, 2, 3 * OPEN)
    assert chain.balance(ACCOUNTS[1][0]) == left
    assert len(list(tmp_path.iterdir())) == 1


def test_rows_that_are_collected_while_others_are_committed_stay(tmp_path: Path) -> None:
    path = tmp_path / "datanet-1.jsonl"
    path.write_bytes(BLOB + blob_of(["a row that came later"]))
    keep_newer(path, BLOB)
    assert path.read_bytes() == blob_of(["a row that came later"])
    keep_newer(path, path.read_bytes())
    assert not path.exists()


def test_an_owner_commits_for_others_with_the_promise_that_they_have_made(chain: Harness, tmp_path: Path) -> None:
    chain.act(0, DatanetCreate("d", policy="invited"))
    node, alice = Node(chain), ACCOUNTS[1][0]
    with pytest.raises(NotAllowed, match="only the owner"):
        bring(node, tmp_path)
    assert node.events == []
    hers = Contribution(node, Signer("alice", *ACCOUNTS[1]), Salts(tmp_path / "a"), str)  # type: ignore[arg-type]
    salt = hers.promise(sha256(BLOB))
    node.sender = 0
    owner = Contribution(node, Signer("owner", *ACCOUNTS[0]), Salts(tmp_path / "o"), str)  # type: ignore[arg-type]
    owner.commit(1, BLOB, "", contributor=alice, salt=salt)
    assert part(node)["contributor"].lower() == "0x" + alice.hex()
    assert part(node)["height"] == chain.query("get_promise", promise_digest(alice, sha256(BLOB), salt))["height"]


def test_nobody_but_the_owner_commits_in_anothers_name(node: Node, tmp_path: Path) -> None:
    with pytest.raises(NotAllowed, match="another's name"):
        bring(node, tmp_path, contributor=ACCOUNTS[3][0])
    assert node.events == []


def test_who_is_overtaken_for_ever_is_told_so(node: Node, tmp_path: Path) -> None:
    node.rival = 9
    with pytest.raises(WrongPhase):
        bring(node, tmp_path)
    assert (node.events.count(DatanetPromise.KIND), node.events.count(DatanetCommit.KIND)) == (1, 5)
    assert len(list(tmp_path.iterdir())) == 1

"""Rows are corrected and removed in a new version; what does not change keeps its place."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from harness import ACCOUNTS, Harness
from hypothesis import given
from hypothesis import strategies as st

from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.node.contributing import Contribution, Salts, checked_parts, refined
from openledger.node.keystore import Signer
from openledger.node.rows import blob_of, row_bytes, rows_of
from openledger.primitives.errors import MalformedAction
from openledger.primitives.hashing import sha256
from tests.unit.node.test_contributing import Node

ROWS = st.lists(st.sampled_from([row_bytes(f"row number {i}") for i in range(6)]), max_size=8)


@given(st.lists(ROWS.filter(bool), max_size=5), ROWS)
def test_whatever_is_wanted_comes_out_and_nothing_comes_that_could_have_stayed(
    held: list[list[bytes]], wanted: list[bytes]
) -> None:
    parts = list({b"".join(row + b"\n" for row in one): None for one in held})
    plan = refined(parts, wanted)
    stay = [row for blob in parts if sha256(blob) not in plan.remove for row in rows_of(blob)]
    assert Counter(stay + rows_of(plan.blob)) == Counter(wanted)
    went = [row for blob in parts if sha256(blob) in plan.remove for row in rows_of(blob)]
    assert (plan.stay, plan.stay + plan.new + plan.again) == (len(stay), len(wanted))
    assert plan.go + plan.again == len(went)
    left = Counter(wanted) - Counter(stay)
    assert all(not Counter(rows_of(blob)) <= left for blob in parts if sha256(blob) in plan.remove)


@pytest.fixture
def node() -> Node:
    chain = Harness()
    chain.act(0, DatanetCreate("d"))
    return Node(chain)


def texts(node: Node, version: int) -> list[tuple[int, str]]:
    """(account, row) of a version, whose root is that on the chain."""
    who = {address: number for number, (address, _) in enumerate(ACCOUNTS)}
    parts, _ = checked_parts(node, 1, version)  # type: ignore[arg-type]
    return [(who[address], row.decode()[9:-2]) for address, blob in parts for row in rows_of(blob)]


def test_a_corrected_row_replaces_the_old_one_and_other_commits_keep_their_height(node: Node, tmp_path: Path) -> None:
    alice = way(node, tmp_path)
    first, second = ["a row of the first", "another of the first"], ["one row of the second"]
    for some in (first, second):
        alice.commit(1, blob_of(some), "", promise=False)
    heights = {p["blob"]: p["height"] for p in node.chain.query("get_commit", 1, 2)["parts"]}
    plan = refined([blob_of(first), blob_of(second)], rows_of(blob_of([first[0], "another, corrected", *second])))
    assert (plan.stay, plan.go, plan.new, plan.again) == (1, 1, 1, 1)
    done = alice.commit(1, plan.blob, "corrected", promise=False, remove=plan.remove)
    assert (done.version, done.rows) == (3, 3)
    assert texts(node, 3) == [(1, second[0]), (1, first[0]), (1, "another, corrected")]
    kept = {p["blob"]: p["height"] for p in node.chain.query("get_commit", 1, 3)["parts"]}
    same = "0x" + sha256(blob_of(second)).hex()
    assert kept[same] == heights[same]


def test_rows_are_removed_without_new_ones_but_never_all_of_a_version(node: Node, tmp_path: Path) -> None:
    alice = way(node, tmp_path)
    blobs = [blob_of([text]) for text in ("a row that goes away", "a row that is to stay")]
    for blob in blobs:
        alice.commit(1, blob, "", promise=False)
    done = alice.commit(1, b"", "one goes", remove=[sha256(blobs[0])])
    assert (done.rows, texts(node, 3)) == (1, [(1, "a row that is to stay")])
    assert node.events.count("datanet.promise") == 0
    with pytest.raises(MalformedAction, match="no row would be left"):
        alice.commit(1, b"", "all go", remove=[sha256(blobs[1])])


def way(node: Node, folder: Path) -> Contribution:
    """Account 1's."""
    client: Any = node
    return Contribution(client, Signer("alice", *ACCOUNTS[1]), Salts(folder), lambda said: None)

"""datanet.commit: one accepting case, one for each refusal."""

from __future__ import annotations

import dataclasses

import pytest
from harness import ACCOUNTS, Harness

from openledger.abci_app.modules.datanets.commit import DatanetCommit
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.datanets.records import Part, Removal
from openledger.primitives.errors import MalformedAction

A, B, C = (bytes([i]) * 32 for i in (1, 2, 3))
ALICE, BOB = ACCOUNTS[1][0], ACCOUNTS[2][0]
FIRST = DatanetCommit(1, 0, A, 5, (Part(ALICE, A, 5),))


@pytest.fixture
def net(chain: Harness) -> Harness:
    chain.act(0, DatanetCreate("d"))
    chain.act(1, FIRST)
    return chain


def test_versions_keep_who_brought_what(net: Harness) -> None:
    net.act(2, DatanetCommit(1, 1, B, 8, (Part(BOB, B, 3),), message="mine"))
    view = net.query("get_commit", 1, 2)
    assert view["contributors"] == {net.query("get_commit", 1, 1)["parts"][0]["contributor"]: 5} | {
        view["parts"][1]["contributor"]: 3
    }
    assert [c["version"] for c in net.query("get_commits", 1)] == [1, 2]
    heights = [part["height"] for part in view["parts"]]
    assert heights[0] == net.query("get_commit", 1, 1)["parts"][0]["height"] < heights[1]


def test_rows_are_corrected_by_removing_a_blob_and_adding_the_mended_one(net: Harness) -> None:
    net.act(1, DatanetCommit(1, 1, C, 4, (Part(ALICE, C, 4),), (Removal(ALICE, A),)))
    assert [p["blob"] for p in net.query("get_commit", 1, 2)["parts"]] == ["0x" + C.hex()]


def test_the_owner_may_curate_everybodys_rows(net: Harness) -> None:
    assert net.act(0, DatanetCommit(1, 1, C, 3, (Part(BOB, C, 3),), (Removal(ALICE, A),))).status == 1


@pytest.mark.parametrize(
    ("sender", "change", "reason"),
    [
        (2, {"datanet": 9}, "there is no datanet 9"),
        (2, {"parent": 0}, "is at version 1"),
        (2, {"add": (Part(ALICE, B, 3),)}, "only its own rows"),
        (2, {"remove": (Removal(ALICE, A),), "rows": 3}, "only its own rows"),
        (2, {"remove": (Removal(BOB, A),)}, "is not in version 1"),
        (1, {"add": (Part(ALICE, A, 3),)}, "in the datanet already"),
        (2, {"rows": 9}, "the parts have 8 rows"),
    ],
)
def test_refusals(net: Harness, sender: int, change: dict[str, object], reason: str) -> None:
    good = DatanetCommit(1, 1, B, 8, (Part(BOB, B, 3),))
    assert reason in net.refusal(sender, dataclasses.replace(good, **change))  # type: ignore[arg-type]
    assert net.query("get_datanet", 1)["head"] == 1


def test_an_invited_datanet_takes_commits_of_its_owner_only(chain: Harness) -> None:
    chain.act(0, DatanetCreate("d", policy="invited"))
    assert "only the owner" in chain.refusal(1, FIRST)
    assert chain.act(0, FIRST).status == 1


def test_a_version_has_a_bounded_number_of_parts() -> None:
    chain = Harness(max_parts=1)
    chain.act(0, DatanetCreate("d"))
    two = DatanetCommit(1, 0, A, 2, (Part(ALICE, A, 1), Part(ALICE, B, 1)))
    assert "at most 1 parts" in chain.refusal(1, two)


@pytest.mark.parametrize(
    "change",
    [
        {"add": ()},
        {"add": (Part(ALICE, A, 0),)},
        {"add": (Part(ALICE, A, 1), Part(ALICE, A, 1))},
        {"remove": (Removal(ALICE, B),) * 2},
        {"salts": (A, B)},
        {"rows": 0},
        {"message": "m" * 513},
    ],
)
def test_malformed_commits_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(MalformedAction):
        dataclasses.replace(FIRST, **change).check()  # type: ignore[arg-type]

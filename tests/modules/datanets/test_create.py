"""datanet.create: one accepting case, one for each refusal."""

from __future__ import annotations

import pytest
from harness import ACCOUNTS, Harness

from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.primitives.errors import MalformedAction


def test_a_datanet_has_its_owner_licence_and_a_number(chain: Harness) -> None:
    receipt = chain.act(1, DatanetCreate("speeches", "of presidents", licence="CC0-1.0 OR MIT"))
    assert receipt.status == 1
    view = chain.query("get_datanet", 1)
    assert (view["owner"].lower(), view["head"], view["licence"]) == (
        "0x" + ACCOUNTS[1][0].hex(),
        0,
        "CC0-1.0 OR MIT",
    )
    chain.act(2, DatanetCreate("another"))
    assert [d["name"] for d in chain.query("list_datanets")] == ["speeches", "another"]


@pytest.mark.parametrize(
    "action",
    [
        DatanetCreate(""),
        DatanetCreate("x" * 65),
        DatanetCreate("a\x00b"),
        DatanetCreate("a", "d" * 1025),
        DatanetCreate("a", licence="not a licence!"),
        DatanetCreate("a", schema="images"),
        DatanetCreate("a", policy="reviewed"),
        DatanetCreate("a", bond=1),
        DatanetCreate("a", review_quorum=1),
    ],
)
def test_malformed_fields_are_refused_by_name(action: DatanetCreate) -> None:
    with pytest.raises(MalformedAction):
        action.check()

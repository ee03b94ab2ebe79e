"""From the words of an answer to the coins: what people were paid, as the chain's events say. Needs Chromium."""

from __future__ import annotations

from typing import Any

import pytest

from openledger.abci_app.modules.rewards.records import BURNED, MINTED, PAID
from openledger.primitives.types import Log, to_hex
from tests.unit.web.browser import Tab
from tests.unit.web.fake_node import ANSWERS, CLAIM, OWNER

OPEN = 10**18
ANN, BEN, POOL = bytes([0xA1] * 20), bytes([0xB2] * 20), bytes([0xC3] * 20)
SHARES = {OWNER: 200_000, to_hex(BEN): 50_000}
LOGS = (
    PAID.log(1, ANN, 4 * OPEN, "contributor"),
    PAID.log(1, BEN, OPEN, "contributor"),
    PAID.log(1, BEN, 10 * OPEN, "owner"),
    PAID.log(1, POOL, 20 * OPEN, "pool"),
    BURNED.log(1, 5 * OPEN),
    MINTED.log(1, ANN, 2 * OPEN),
)


def told(log: Log) -> dict[str, Any]:
    return {"address": to_hex(log.address), "topics": [to_hex(t) for t in log.topics], "data": to_hex(log.data)}


@pytest.fixture
def paid(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    asked: list[Any] = []

    def logs(query: Any) -> list[Any]:
        asked.append(query)
        return [told(log) for log in LOGS]

    more = {"status": "accepted", "fee": hex(40 * OPEN), "shares": SHARES, "unattributed": 750_000, "opened": 7}
    monkeypatch.setitem(ANSWERS, "openledger_getClaim", CLAIM | more)
    monkeypatch.setitem(ANSWERS, "eth_getLogs", logs)
    return asked


def test_a_claim_says_what_each_contributor_got_and_where_the_fee_went(node: str, tab: Tab, paid: list[Any]) -> None:
    tab.open(f"{node}#/claim/1")
    bars = tab.do("[...document.querySelectorAll('.bars li')].map((li) => li.innerText.replace(/\\s+/g, ' '))")
    assert [bar.split(" ", 1)[1] for bar in bars[:2]] == ["20 % 6 OPEN", "5 % 1 OPEN"], (
        "with new coins, without what an owner gets"
    )
    assert bars[2] == "unattributed 75 %"
    told_to_all = tab.do("document.querySelector('.divided .track').getAttribute('aria-label')")
    assert told_to_all == (
        "Of a fee of 40 OPEN: contributors 5 OPEN, the model's owner 10 OPEN, community pool 20 OPEN, burned 5 OPEN"
    )
    assert "new coins for the contributors: 2 OPEN." in tab.text("#content")
    (query,) = paid
    assert query["fromBlock"] == "0x7", "not before it was opened"
    assert query["topics"] == [[to_hex(e.topic) for e in (PAID, BURNED, MINTED)], ["0x" + "1".zfill(64)]]


def test_an_answer_says_in_one_sentence_who_was_paid_how_much_and_what_a_row_brought(
    node: str, tab: Tab, paid: list[Any]
) -> None:
    tab.open(f"{node}#/answer/1/0")
    shown = tab.text("#content")
    assert "claim 1 paid 2 contributors 7 OPEN for this answer." in shown
    assert "Answered by model 1 for 1 wei." in shown
    brought = "document.querySelector('[aria-label=\"Rows that earn\"] td[data-name=Brought]').innerText"
    assert tab.do(brought) == "0.15 OPEN", "0.5 of the 20 per cent that brought 6 OPEN"


def test_what_was_not_paid_or_is_not_known_is_not_told_as_money(
    node: str, tab: Tab, paid: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ANSWERS, "openledger_getClaim", CLAIM)
    tab.open(f"{node}#/claim/1")
    assert not tab.do("!!document.querySelector('.bars.worth, .divided')")
    assert paid == []
    monkeypatch.setitem(ANSWERS, "openledger_getClaim", CLAIM | {"status": "accepted"})
    monkeypatch.delitem(ANSWERS, "eth_getLogs")
    tab.open(f"{node}#/answer/1/0")
    assert not tab.do("!!document.querySelector('.bars.worth')")
    assert "Brought" not in tab.text("#content")

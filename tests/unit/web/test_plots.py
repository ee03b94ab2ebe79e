"""What people would rather look at: earnings by epoch, gas by block, who has the power, who earned with a model; and
stake. Needs Chromium."""

from __future__ import annotations

import pytest

from openledger.abci_app.modules.rewards.records import MINTED, PAID
from openledger.primitives.types import to_hex
from tests.unit.web.browser import Tab
from tests.unit.web.fake_node import ANSWERS, BLOCK, CLAIM, HOSTILE, OWNER, REWARD
from tests.unit.web.fake_node import PAID as ENTRY

OPEN = 10**18
BEN = "0x" + "b2" * 20
VALIDATOR = {
    "name": HOSTILE, "operator": OWNER, "stake": hex(60 * OPEN), "own": hex(50 * OPEN), "commission": 100_000,
    "power": 30, "jailed": False, "tombstoned": False, "missed": 0, "window": 100, "oracle": True, "pubKey": "0x11",
}  # fmt: skip
COLUMNS = (
    "[...document.querySelectorAll('svg.plot rect')].map((r) => [r.textContent, Number(r.getAttribute('height'))])"
)
BARS = "[...document.querySelectorAll('.bars li')].map((li) => li.innerText.trim().replace(/\\s+/g, ' '))"


def test_an_account_shows_what_it_earned_by_epoch(node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    paid = [(3, OPEN), (5, 4 * OPEN), (5, 4 * OPEN), (9, 2 * OPEN)]
    claims = [ENTRY | {"epoch": epoch, "fees": hex(wei), "minted": "0x0"} for epoch, wei in paid]
    monkeypatch.setitem(ANSWERS, "openledger_explainReward", REWARD | {"account": OWNER, "claims": claims})
    tab.open(f"{node}#/address/{OWNER}")
    found = tab.do(COLUMNS)
    assert [told for told, _ in found] == ["epoch 3: 1 OPEN", "epoch 5: 8 OPEN", "epoch 9: 2 OPEN"]
    highest = found[1][1]
    assert [round(height / highest, 3) for _, height in found] == [0.125, 1, 0.25]
    label = tab.do("document.querySelector('svg.plot').getAttribute('aria-label')")
    assert label == "Earned by epoch. epoch 3: 1 OPEN; epoch 5: 8 OPEN; epoch 9: 2 OPEN", (
        "who cannot see reads the same"
    )


def test_blocks_show_how_full_they_are(node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = int(str(BLOCK["gasLimit"]), 16)
    monkeypatch.setitem(ANSWERS, "eth_blockNumber", "0x2")
    monkeypatch.setitem(
        ANSWERS,
        "eth_getBlockByNumber",
        lambda number, _full: BLOCK | {"number": number, "gasUsed": hex(limit * int(number, 16) // 4)},
    )
    tab.open(f"{node}#/blocks")
    found = tab.do(COLUMNS)
    assert [told.rpartition(", ")[2] for told, _ in found] == ["0 %", "25 %", "50 %"]
    assert found[0][1] == 0
    assert found[2][1] == pytest.approx(2 * found[1][1])


def test_the_power_of_validators_is_drawn_and_how_few_can_stop_the_chain(
    node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [VALIDATOR | {"name": f"v{n}", "operator": f"0x{n:040x}", "power": 20 - n} for n in range(1, 5)]
    monkeypatch.setitem(ANSWERS, "openledger_listValidators", [*others, VALIDATOR])
    tab.open(f"{node}#/validators")
    assert tab.do(BARS)[0].endswith("30 %")
    assert tab.do(BARS)[1].startswith("v1 ")
    assert "The largest 2 together have more than a third" in tab.text("#content")
    assert tab.do("document.querySelector('.bars a').hash") == f"#/address/{OWNER}"


def test_an_account_shows_its_stake_what_is_leaving_and_who_has_stake_with_it(
    node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {
        "operator": OWNER, "amount": hex(7 * OPEN), "rewards": hex(OPEN), "redelegations": [],
        "unbonding": [{"amount": hex(2 * OPEN), "ready": 1}],
    }  # fmt: skip
    monkeypatch.setitem(ANSWERS, "openledger_listValidators", [VALIDATOR])
    monkeypatch.setitem(ANSWERS, "openledger_getDelegations", lambda who: [own] if who == BEN else [])
    page = {"delegators": [{"delegator": BEN, "amount": hex(7 * OPEN)}], "next": None}
    monkeypatch.setitem(ANSWERS, "openledger_listDelegators", page)
    tab.open(f"{node}#/address/{BEN}")
    shown = tab.text("#content")
    for words in ("7 OPEN", "1 OPEN", "On its way out", "2 OPEN", HOSTILE):
        assert words in shown, words
    tab.open(f"{node}#/address/{OWNER}")
    shown = tab.text("#content")
    for words in (f"Validator {HOSTILE}", "60 OPEN", "50 OPEN", "10 %", "Who has stake with it"):
        assert words in shown, words
    assert tab.do("document.querySelector('[aria-label=Delegators] a').hash") == f"#/address/{BEN}"
    assert "On its way out" not in shown


def test_a_model_shows_who_earned_with_it(node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    claims = [CLAIM | {"id": n, "status": "accepted", "opened": 10 * n} for n in (1, 2)]
    logs = [
        PAID.log(1, bytes([0xA1] * 20), OPEN, "contributor"),
        PAID.log(2, bytes([0xB2] * 20), 2 * OPEN, "contributor"),
        MINTED.log(2, bytes([0xB2] * 20), OPEN),
        PAID.log(2, bytes([0xA1] * 20), 9 * OPEN, "owner"),
    ]
    asked = []

    def answer(query: object) -> object:
        asked.append(query)
        return [
            {"address": to_hex(e.address), "topics": [to_hex(t) for t in e.topics], "data": to_hex(e.data)}
            for e in logs
        ]

    monkeypatch.setitem(ANSWERS, "openledger_listClaims", claims)
    monkeypatch.setitem(ANSWERS, "eth_getLogs", answer)
    tab.open(f"{node}#/model/1")
    assert "Who earned with it" in tab.text("#content")
    assert tab.do(BARS) == ["0xb2b2b2…b2b2b2 75 % 3 OPEN", "0xa1a1a1…a1a1a1 25 % 1 OPEN"]
    (query,) = asked
    assert isinstance(query, dict)
    assert query["fromBlock"] == "0xa", "one question for all of its claims"


def test_the_words_of_a_plot_can_be_read_on_a_phone(node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    smallest = (
        "Math.min(...[...document.querySelectorAll('svg.plot text')].map((t) => t.getBoundingClientRect().height))"
    )
    claims = [ENTRY | {"epoch": epoch} for epoch in range(1, 31)]
    monkeypatch.setitem(ANSWERS, "openledger_explainReward", REWARD | {"account": OWNER, "claims": claims})
    tab.screen(390)
    found = {}
    for route in ("blocks", f"address/{OWNER}", "model/1"):
        tab.open(f"{node}#/{route}")
        found[route] = tab.do(smallest)
        assert tab.do("document.documentElement.scrollWidth <= innerWidth"), route
    tab.screen(1280)
    assert min(found.values()) >= 11, found

"""Names that are made to break a page: without spaces, very long, written from right to left. Needs Chromium."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.web.browser import Tab
from tests.unit.web.fake_node import ANSWERS, ASKED, CLAIM, COMMIT, COUNTS, DATANET, HOSTILE, MODEL, OWNER, VERDICT

LONG = "W" * 300
RIGHT_TO_LEFT = "\u202e" + "gpj.elif"
VALIDATOR = {
    "name": LONG, "operator": OWNER, "stake": hex(10**27), "commission": 1, "power": 10**9, "jailed": False,
    "tombstoned": False, "missed": 0, "window": 100, "oracle": True, "pubKey": "0x" + "11" * 32, "own": hex(10**27),
}  # fmt: skip
PROPOSAL = {
    "id": 1, "title": LONG, "summary": LONG, "status": "voting", "deadline": 1, "submitted": 1, "proposer": OWNER,
    "deposit": hex(10**27), "needed": hex(10**27), "effect": {"name": LONG, "arguments": {LONG: LONG}},
    "votes": dict.fromkeys(("yes", "no", "abstain", "no_with_veto", "bonded"), hex(10**27 + 1)),
}  # fmt: skip
ROUTES = (
    "datanets", "datanet/1", "models", "model/1", "claim/1", "answer/1/0", "validators", "proposals", "proposal/1",
    f"address/{OWNER}", f"search/{LONG}",
)  # fmt: skip
WIDER = """[...document.querySelectorAll('body, main, main *')].filter((e) => {
  const box = e.getBoundingClientRect();
  return box.width && box.right > innerWidth + 1 && !e.closest('.scroll, .label, .hidden, svg, thead');
}).map((e) => `${e.tagName}.${e.className} ${e.textContent.slice(0, 40)}`)"""


@pytest.fixture
def long_names(monkeypatch: pytest.MonkeyPatch) -> None:
    datanet = DATANET | {"name": LONG, "description": LONG, "licence": LONG, "schema": LONG}
    model = MODEL | {"name": LONG, "base": LONG, "method": LONG, "price": hex(2**256 - 1)}
    claim = CLAIM | {"fee": hex(2**256 - 1)}
    answers: dict[str, Any] = {
        "openledger_listDatanets": [datanet], "openledger_getDatanet": datanet,
        "openledger_getCommits": [COMMIT | {"message": LONG}], "openledger_listModels": [model],
        "openledger_getModel": model, "openledger_getClaim": claim, "openledger_listClaims": [claim],
        "openledger_getVerdicts": [VERDICT | {"reason": LONG}], "openledger_listValidators": [VALIDATOR],
        "openledger_listProposals": [PROPOSAL], "openledger_getProposal": PROPOSAL,
        "openledger_getAnswers": {"claim": 1, "count": 1, "answers": [ASKED | {"query": LONG, "answer": LONG}]},
    }  # fmt: skip
    for method, answer in answers.items():
        monkeypatch.setitem(ANSWERS, method, answer)


@pytest.mark.parametrize("width", [390, 820, 1440])
def test_a_long_word_widens_no_page(node: str, tab: Tab, long_names: None, width: int) -> None:
    tab.screen(width)
    found = {}
    for route in ROUTES:
        tab.open(f"{node}#/{route}")
        found[route] = [
            tab.do("document.documentElement.scrollWidth - document.documentElement.clientWidth"),
            *tab.do(WIDER),
        ]
    tab.screen(1280)
    assert found == {route: [0] for route in ROUTES}


def test_a_name_from_right_to_left_turns_nothing_beside_it(
    node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [MODEL | {"id": 1}] + [MODEL | {"id": n, "name": RIGHT_TO_LEFT} for n in (2, 3)]
    monkeypatch.setitem(ANSWERS, "openledger_listModels", models)
    monkeypatch.setitem(COUNTS, "c6a645fe", 3)
    tab.open(f"{node}#/model/1")
    left = "document.querySelector('#content p a[href=\"#/model/{}\"]').getBoundingClientRect().left"
    assert tab.do(left.format(3)) < tab.do(left.format(2)), "the newest stands first, whatever it is called"


def test_markup_of_validators_and_proposals_stays_text(node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = [{"name": HOSTILE, "before": HOSTILE, "after": HOSTILE}]
    effect = {"name": HOSTILE, "arguments": {HOSTILE: HOSTILE}, "refusal": HOSTILE, "changes": changes}
    proposal = PROPOSAL | {"title": HOSTILE, "summary": HOSTILE, "failure": HOSTILE, "effect": effect}
    monkeypatch.setitem(ANSWERS, "openledger_getProposal", proposal)
    monkeypatch.setitem(ANSWERS, "openledger_listProposals", [proposal])
    monkeypatch.setitem(ANSWERS, "openledger_listVotes", {OWNER: HOSTILE})
    monkeypatch.setitem(ANSWERS, "openledger_listValidators", [VALIDATOR | {"name": HOSTILE}])
    for route in ("proposals", "proposal/1", "validators", f"address/{OWNER}", "search/script"):
        tab.open(f"{node}#/{route}")
        assert "<script>document.title" in tab.text("#content"), route
        assert not tab.do("!!document.querySelector('#content script, #content img, #content [onerror]')"), route
        assert tab.do("document.title.endsWith(' · OpenLedger')"), route

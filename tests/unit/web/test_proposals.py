"""Proposals as people read them: amounts, parts and times with their units, votes as bars. Needs Chromium."""

from __future__ import annotations

import pytest

from tests.unit.web.browser import Tab
from tests.unit.web.fake_node import ANSWERS, OWNER

OPEN = 10**18
BEN = "0x" + "b2" * 20
VOTES = {"yes": 6 * OPEN, "no": 2 * OPEN, "abstain": 0, "no_with_veto": OPEN, "bonded": 10 * OPEN}
PROPOSAL = {
    "id": 1, "title": "t", "summary": "one\n\ntwo", "status": "voting", "deadline": 1, "submitted": 1,
    "proposer": OWNER,
    "deposit": hex(OPEN), "needed": hex(OPEN), "failure": "",
    "votes": {name: hex(wei) for name, wei in VOTES.items()},
}  # fmt: skip
CELLS = """[...document.querySelectorAll('[aria-label=Changes] tbody tr')]
  .map((tr) => [...tr.cells].map((td) => td.innerText))"""


def change(name: str, before: object, after: object) -> dict[str, object]:
    return {"name": name, "before": None if before is None else str(before), "after": str(after)}


def test_what_a_proposal_changes_is_told_in_units_and_never_in_wei(
    node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = [
        change("claim_bond", 10 * OPEN, 5 * OPEN), change("split_pool", 1000, 925),
        change("slash_verdict", 10_000, 500),
        change("epoch_seconds", 86_400, 172_800), change("max_shares", 1024, 65_536), change("communityPool", OPEN, 0),
        change(BEN, None, OPEN),
    ]  # fmt: skip
    effect = {
        "name": "params",
        "arguments": {"receiver": BEN, "amount": str(3 * OPEN)},
        "changes": changes,
        "refusal": "",
    }
    monkeypatch.setitem(ANSWERS, "openledger_getProposal", PROPOSAL | {"effect": effect})
    tab.open(f"{node}#/proposal/1")
    assert [[cell.replace("\u202f", ",") for cell in row] for row in tab.do(CELLS)] == [
        ["claim bond", "10 OPEN", "5 OPEN"],
        ["split pool", "10 %", "9.25 %"],
        ["slash verdict", "1 %", "0.05 %"],
        ["epoch seconds", "24 h", "2 days"],
        ["max shares", "1,024", "65,536"],
        ["community pool", "1 OPEN", "0 OPEN"],
        ["balance of 0xb2b2b2…b2b2b2", "–", "1 OPEN"],
    ]
    facts = tab.text("#content")
    assert "3 OPEN" in facts
    assert "one\n\ntwo" in facts, "paragraphs stay"
    assert tab.do(f"!!document.querySelector('dd a[href=\"#/address/{BEN}\"]')")


def test_votes_are_bars_of_the_bonded_stake_with_who_cast_them(
    node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    effect = {"name": "text", "arguments": {}, "changes": [], "refusal": ""}
    monkeypatch.setitem(ANSWERS, "openledger_getProposal", PROPOSAL | {"effect": effect})
    monkeypatch.setitem(ANSWERS, "openledger_listVotes", {OWNER: "yes", BEN: "no_with_veto"})
    tab.open(f"{node}#/proposal/1")
    bars = tab.do("[...document.querySelectorAll('.bars li')].map((li) => li.innerText.trim().replace(/\\s+/g, ' '))")
    assert bars == ["yes 60 % 6 OPEN", "no 20 % 2 OPEN", "abstain 0 % 0 OPEN", "no with veto 10 % 1 OPEN"]
    voters = (
        "[...document.querySelectorAll('[aria-label=\"Who voted\"] tbody tr')].map((tr) => tr.innerText.split('\\t'))"
    )
    assert tab.do(voters) == [["0xa1a1a1…a1a1a1", "yes"], ["0xb2b2b2…b2b2b2", "no with veto"]]

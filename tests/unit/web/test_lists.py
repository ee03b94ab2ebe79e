"""Long lists come in pages, and are never asked for whole. Needs Chromium."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.web.browser import Tab
from tests.unit.web.fake_node import ANSWERS, ASKED, BLOCK, CLAIM, COMMIT, COUNTS, DATANET, MODEL, OWNER, ZERO

MANY = 12_345
LINKS = "[...document.querySelectorAll('td:first-child a')].map((a) => a.getAttribute('href'))"
LISTS = {
    "claims": ("openledger_listClaims", "8da4d3c9", CLAIM, "claim"),
    "datanets": ("openledger_listDatanets", "49f62af4", DATANET, "datanet"),
    "models": ("openledger_listModels", "c6a645fe", MODEL, "model"),
    "proposals": (
        "openledger_listProposals",
        "da35c664",
        {"title": "t", "effect": {"name": "text"}, "status": "voting", "deadline": 1, "deposit": "0x1"},
        "proposal",
    ),
}


def a_list_of(monkeypatch: pytest.MonkeyPatch, name: str, many: int) -> list[tuple[int, int]]:
    """Fill a list of the fake node; (start, limit) of what is asked for."""
    method, selector, entry, _ = LISTS[name]
    asked: list[tuple[int, int]] = []

    def page(start: int, limit: int) -> list[Any]:
        asked.append((start, limit))
        return [entry | {"id": number} for number in range(start, min(start + limit, many + 1))]

    monkeypatch.setitem(COUNTS, selector, many)
    monkeypatch.setitem(ANSWERS, method, page)
    return asked


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_thousands_is_shown_newest_first_in_pages(
    node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    asked, kind = a_list_of(monkeypatch, name, MANY), LISTS[name][3]
    tab.open(f"{node}#/{name}")
    links = tab.do(LINKS)
    assert links[0] == f"#/{kind}/{MANY}"
    assert [link for link in links if link.startswith(f"#/{kind}/")][24:] == [f"#/{kind}/{MANY - 24}"]
    assert max(limit for _, limit in asked) <= 25
    tab.do("[...document.querySelectorAll('.pager a')].find((a) => a.textContent.includes('older')).click()")
    tab.until(f"location.hash === '#/{name}/{MANY - 25}' && {LINKS}[0] === '#/{kind}/{MANY - 25}'")
    assert tab.do("document.querySelector('.pager a').getAttribute('href')") == f"#/{name}/{MANY}"
    tab.open(f"{node}#/{name}/7")
    assert tab.do(LINKS)[:7] == [f"#/{kind}/{number}" for number in range(7, 0, -1)]
    assert "older" not in tab.text(".pager")


def test_an_empty_list_says_so_without_asking(node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = a_list_of(monkeypatch, "datanets", 0)
    tab.open(f"{node}#/datanets")
    assert "No datanet yet." in tab.text("#content")
    assert asked == []


def test_the_overview_asks_for_the_newest_claims_only(node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = a_list_of(monkeypatch, "claims", MANY)
    tab.open(node)
    assert set(asked) == {(MANY - 5, 6)}


def test_the_answers_of_a_claim_have_pages(node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(claim: int, start: int, limit: int) -> Any:
        return {
            "claim": 1,
            "count": 45,
            "answers": [ASKED | {"number": n} for n in range(start, min(start + limit, 45))],
        }

    monkeypatch.setitem(ANSWERS, "openledger_getAnswers", answers)
    tab.open(f"{node}#/claim/1")
    assert tab.do("document.querySelectorAll('[aria-label=Answers] tbody tr').length") == 5
    tab.do("[...document.querySelectorAll('a')].find((a) => a.textContent === 'All 45 answers').click()")
    tab.until("document.querySelector('h1').textContent === 'Answers of claim 1'")
    assert len(tab.do(LINKS)) == 20
    tab.open(f"{node}#/answers/1/40")
    assert tab.do(LINKS) == [f"#/answer/1/{n}" for n in range(40, 45)]
    assert tab.do("document.querySelector('.pager a').getAttribute('href')") == "#/answers/1/20"


def test_a_full_block_is_shown_in_pages(node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    tx = {"type": "0x2", "from": OWNER, "to": OWNER, "value": "0x1", "input": "0x"}
    txs = [tx | {"hash": f"0x{n:064x}"} for n in range(250)]
    monkeypatch.setitem(ANSWERS, "eth_getBlockByNumber", BLOCK | {"transactions": txs})
    tab.open(f"{node}#/block/1")
    assert "Transactions (250)" in tab.text("#content")
    assert len(tab.do(LINKS)) == 100
    tab.open(f"{node}#/block/1/200")
    assert tab.do(LINKS)[0] == f"#/tx/0x{200:064x}"
    assert len(tab.do(LINKS)) == 50


def test_hundreds_of_contributors_parts_and_versions_do_not_flood_a_datanets_page(
    node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [{"contributor": f"0x{n:040x}", "blob": ZERO, "rows": 1, "height": 1, "place": n} for n in range(1, 601)]
    versions = [COMMIT | {"version": n, "parts": [], "rows": 0} for n in range(1, 60)]
    versions.append(COMMIT | {"version": 60, "parts": parts, "rows": 600})
    monkeypatch.setitem(ANSWERS, "openledger_getCommits", versions)
    tab.open(f"{node}#/datanet/1")
    assert tab.do("document.querySelectorAll('.bars li').length") == 51
    assert tab.do("document.querySelector('.bars li:last-child').innerText").split() == [
        "550",
        "others",
        "91.6667",
        "%",
    ]
    assert tab.do("document.querySelectorAll('[aria-label=Parts] tbody tr').length") == 100
    assert tab.do("document.querySelectorAll('[aria-label=Versions] tbody tr').length") == 25
    tab.open(f"{node}#/datanet/1/10")
    shown = tab.do("[...document.querySelectorAll('[aria-label=Versions] td:first-child')].map((td) => td.innerText)")
    assert shown[0] == "version 10"
    assert tab.do("document.querySelector('.pager a').getAttribute('href')") == "#/datanet/1/35"


def test_of_a_thousand_earners_the_first_come_first(node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    shares = {f"0x{n:040x}": 1000 for n in range(1, 121)}
    monkeypatch.setitem(ANSWERS, "openledger_listClaims", [CLAIM | {"shares": shares}])
    monkeypatch.setitem(ANSWERS, "openledger_listModels", [])
    reward = {"staking": "0x0", "minted": "0x0", "taken": "0x0", "locked": "0x0", "available": "0x0"}
    monkeypatch.setitem(
        ANSWERS, "openledger_getRewards", lambda who: reward | {"account": who, "fees": hex(int(who, 16) * 10**18)}
    )
    tab.open(f"{node}#/rewards")
    assert len(tab.do(LINKS)) == 50
    assert tab.do(LINKS)[0] == f"#/address/0x{120:040x}"
    tab.open(f"{node}#/rewards/100")
    assert tab.do(LINKS)[-1] == f"#/address/0x{1:040x}"

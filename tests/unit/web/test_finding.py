"""Finding things, and knowing what one looks at: search, titles, moments, the keyboard. Needs Chromium."""

from __future__ import annotations

import pytest

from tests.unit.web.browser import Tab
from tests.unit.web.fake_node import ANSWERS, BLOCK, COMMIT, DATANET, MODEL, OWNER

TX = {
    "hash": "0x" + "7" * 64, "blockNumber": "0x1", "transactionIndex": "0x0", "type": "0x2", "from": OWNER, "to": OWNER,
    "value": "0x1", "input": "0x", "nonce": "0x0", "gas": "0x5208", "gasPrice": "0x1",
}  # fmt: skip


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    proposal = {"id": 1, "title": "Cheaper claims", "proposer": OWNER}
    monkeypatch.setitem(
        ANSWERS, "openledger_listDatanets", [DATANET | {"name": "Addresses", "description": "of Congress"}]
    )
    monkeypatch.setitem(ANSWERS, "openledger_getCommits", [COMMIT | {"version": 4, "message": "Franklin D. Roosevelt"}])
    monkeypatch.setitem(ANSWERS, "openledger_listModels", [MODEL | {"name": "congressional"}])
    monkeypatch.setitem(ANSWERS, "openledger_listProposals", [proposal])
    monkeypatch.setitem(ANSWERS, "openledger_listValidators", [{"name": "Congress Hall", "operator": OWNER}])


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("congress", [["datanet", "#/datanet/1"], ["model", "#/model/1"], ["validator", f"#/address/{OWNER}"]]),
        ("roosevelt", [["version", "#/datanet/1/4"]]),
        ("CHEAPER", [["proposal", "#/proposal/1"]]),
        ("nobody", []),
    ],
)
def test_names_of_all_kinds_are_found(node: str, tab: Tab, named: None, asked: str, found: list[list[str]]) -> None:
    tab.open(node)
    tab.do("document.getElementById('query').focus()")
    tab.send("Input.insertText", text=asked)
    tab.press("Enter")
    tab.until(f"document.querySelector('h1').textContent === 'Search: {asked}'")
    cells = (
        "[...document.querySelectorAll('tbody tr')].map((tr) => [tr.cells[0].innerText, tr.querySelector('a').hash])"
    )
    assert tab.do(cells) == found


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        ("0x" + "7" * 64, "#/tx/0x" + "7" * 64),
        (OWNER, f"#/address/{OWNER}"),
        ("claim 1", "#/claim/1"),
        ("1", "#/block/1"),
    ],
)
def test_what_has_one_place_is_gone_to_and_back_leads_to_where_one_was(
    node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch, asked: str, where: str
) -> None:
    monkeypatch.setitem(ANSWERS, "eth_getTransactionByHash", TX)
    monkeypatch.setitem(ANSWERS, "eth_getBlockByHash", None)
    monkeypatch.setitem(ANSWERS, "eth_getTransactionReceipt", None)
    tab.open(f"{node}#/models")
    tab.do(f"document.getElementById('query').value = '{asked}'; document.getElementById('search').requestSubmit()")
    tab.until(f"location.hash === '{where}' && document.querySelector('#content[aria-busy=false] h1')")
    tab.do("history.back()")
    tab.until("location.hash === '#/models' && document.querySelector('h1')?.textContent === 'Models'")


def test_titles_tell_windows_apart(node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ANSWERS, "eth_getTransactionByHash", TX)
    monkeypatch.setitem(ANSWERS, "eth_getTransactionReceipt", None)
    found = []
    for route in ("", f"address/{OWNER}", f"tx/{TX['hash']}", "block/1", "claim/1"):
        tab.open(f"{node}#/{route}")
        found.append(tab.do("document.title"))
    assert found == [
        "OpenLedger",
        "Account 0xa1a1a1…a1a1a1 · OpenLedger",
        "Transaction 0x777777…777777 · OpenLedger",
        "Block 1 · OpenLedger",
        "Claim 1 · OpenLedger",
    ]


def test_a_transaction_and_a_datanet_say_when_in_full(node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ANSWERS, "eth_getTransactionByHash", TX)
    monkeypatch.setitem(ANSWERS, "eth_getTransactionReceipt", None)
    date = f"new Date({int(str(BLOCK['timestamp']), 16)} * 1000).toLocaleString()"
    tab.open(f"{node}#/tx/{TX['hash']}")
    assert tab.do(f"document.getElementById('content').innerText.includes({date})")
    assert "days ago" in tab.text("#content")
    tab.open(f"{node}#/datanet/1")
    assert tab.do("document.getElementById('content').innerText.includes(new Date(1000).toLocaleString())")


def test_the_keyboard_reaches_the_content_and_closes_what_opens(node: str, tab: Tab) -> None:
    tab.open(f"{node}#/claims")
    tab.do("document.activeElement.blur()")
    tab.press("Tab")
    assert tab.do("document.activeElement.textContent") == "Skip to the content"
    assert tab.do("document.activeElement.getBoundingClientRect().left") >= 0, "it is seen once it is reached"
    tab.press("Enter")
    assert tab.do("document.activeElement.id") == "content"
    assert tab.do("location.hash") == "#/claims"
    tab.press("Tab")
    tab.press("Tab")
    assert tab.do("document.activeElement.hash") == "#/claim/1"
    assert tab.do("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    tab.press("Enter")
    tab.until("document.activeElement.tagName === 'H1' && document.activeElement.textContent === 'Claim 1'")
    tab.do("document.getElementById('wallet').click()")
    tab.until("document.getElementById('manual').open")
    tab.press("Escape")
    tab.until("!document.getElementById('manual').open")
    assert tab.do("document.activeElement.tagName") in ("H1", "BUTTON")

"""The page while it is open: blocks come, the node is slow, or gone and back. Needs Chromium."""

from __future__ import annotations

import pytest

from tests.unit.web.browser import Tab
from tests.unit.web.fake_node import ANSWERS, BLOCK, OWNER, SLOW, TROUBLE

NEWS = "document.getElementById('news').textContent"
HEIGHT = "document.querySelector('.tile .value').textContent"


def grow(monkeypatch: pytest.MonkeyPatch, height: int) -> None:
    monkeypatch.setitem(ANSWERS, "eth_getBlockByNumber", BLOCK | {"number": hex(height)})
    monkeypatch.setitem(ANSWERS, "eth_blockNumber", hex(height))


def test_what_somebody_types_and_reads_stays_when_a_block_comes(
    node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ANSWERS, "anvil_nodeInfo", {})
    monkeypatch.setitem(ANSWERS, "openledger_faucet", "0x" + "77" * 32)
    tab.open(node)
    tab.do("document.querySelector('#faucet input').focus()")
    tab.send("Input.insertText", text=OWNER)
    tab.press("Enter")
    tab.until("document.querySelector('#faucet a')")
    grow(monkeypatch, 2)
    tab.until(f"{HEIGHT} === '2'")
    assert tab.do("document.activeElement.value") == OWNER
    assert tab.do("document.querySelector('#faucet a').getAttribute('href')") == f"#/tx/0x{'77' * 32}"


def test_a_link_keeps_its_focus_when_a_block_moves_it_down_and_the_list_its_place(
    node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ANSWERS, "eth_getBlockByNumber", lambda number, _full: BLOCK | {"number": number})
    monkeypatch.setitem(ANSWERS, "eth_blockNumber", "0x2")
    tab.open(f"{node}#/blocks")
    tab.do("document.querySelector('td a[href=\"#/block/1\"]').focus()")
    tab.do("window.row = document.activeElement.closest('tr')")
    monkeypatch.setitem(ANSWERS, "eth_blockNumber", "0x3")
    tab.until("document.querySelector('td a[href=\"#/block/3\"]')")
    assert tab.do("document.activeElement.getAttribute('href')") == "#/block/1"
    assert tab.do("row.isConnected && row.contains(document.activeElement)")


def test_a_page_that_takes_longer_than_a_block_is_shown(node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SLOW, "openledger_listModels", 2.5)
    tab.go(f"{node}#/models")
    tab.until("document.querySelector('#state').dataset.state === 'polling'")
    for height in range(2, 40):
        grow(monkeypatch, height)
        if tab.do("!!document.querySelector('h1')"):
            break
        tab.do("new Promise((done) => setTimeout(done, 250))")
    assert tab.text("h1") == "Models"


def test_going_on_is_seen_at_once_however_slow_the_node_is(
    node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    tab.open(f"{node}#/models")
    monkeypatch.setitem(SLOW, "openledger_listClaims", 1.5)
    tab.do("document.querySelector('#tabs a[href=\"#/claims\"]').click()")
    tab.until("document.querySelector('#tabs [aria-current]').textContent === 'Claims'")
    tab.until("document.getElementById('content').textContent.includes('Asking the node')")
    assert tab.do("document.getElementById('content').getAttribute('aria-busy')") == "true"
    tab.until("document.querySelector('h1')?.textContent === 'Claims'")
    assert tab.do("document.getElementById('content').getAttribute('aria-busy')") == "false"
    assert tab.do("document.title") == "Claims · OpenLedger"


def test_a_node_that_is_gone_is_told_beside_what_was_there_and_one_that_is_back_needs_no_reload(
    node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    tab.open(f"{node}#/datanets")
    with monkeypatch.context() as gone:
        gone.setitem(TROUBLE, "down", True)
        tab.until(f"{NEWS}.includes('does not answer')")
        assert tab.text("h1") == "Datanets", "what was there stays"
        tab.do("location.hash = '#/claims'")
        tab.until("document.querySelector('h1')?.textContent === 'This did not work'")
        assert tab.do("document.getElementById('again').textContent") == "Ask again"
    tab.until("document.querySelector('h1').textContent === 'Claims'")
    tab.until(f"{NEWS} === ''")


def test_a_refusal_of_everything_is_told_in_the_nodes_words(
    node: str, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = {"code": -32005, "message": "too many requests: slow down"}
    monkeypatch.setitem(TROUBLE, "refusal", {"jsonrpc": "2.0", "id": None, "error": error})
    tab.open(f"{node}#/claims")
    assert tab.text("[role=alert]") == "too many requests: slow down"


def test_copying_takes_what_is_shown_now(node: str, tab: Tab) -> None:
    tab.open(f"{node}#/address/{OWNER}")
    tab.do("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    tab.do("document.querySelector('.copyable code').textContent = '0xnew'")
    tab.do("document.querySelector('.copy').click()")
    assert tab.do("copied") == "0xnew"
    assert tab.do("document.querySelector('.copy').title") == f"copy {OWNER}"

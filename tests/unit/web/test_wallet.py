"""The button of the page and a wallet: yes, no, another account, another chain. Needs Chromium."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.unit.web.browser import Tab
from tests.unit.web.fake_node import ANSWERS, OWNER

BEN = "0x" + "b2" * 20
WALLET = """
window.asked = []; window.heard = {}; window.says = %s;
window.ethereum = {
  request: async ({ method }) => {
    asked.push(method);
    if (says[method]?.code) throw says[method];
    return says[method] ?? null;
  },
  on: (name, listener) => (heard[name] ??= []).push(listener),
};"""
SAID = "document.getElementById('wallet-said').textContent"
BUTTON = "document.getElementById('wallet').textContent"


@pytest.fixture
def page(node: str, tab: Tab) -> Iterator[Tab]:
    tab.open(f"{node}#/claims")
    yield tab
    tab.go("about:blank")


def press(tab: Tab, **says: object) -> None:
    tab.do(WALLET % json.dumps(says))
    tab.do("document.getElementById('wallet').click()")


def chain() -> object:
    return ANSWERS["eth_chainId"]


def test_who_says_yes_is_led_to_his_account(page: Tab) -> None:
    press(page, eth_requestAccounts=[OWNER], eth_chainId=chain())
    page.until(f"{BUTTON} === '0xa1a1…a1a1'")
    assert page.do("asked") == ["wallet_addEthereumChain", "eth_requestAccounts", "eth_chainId"]
    assert page.do(SAID) == f"Added. Your account is {OWNER}."
    page.do("document.getElementById('wallet').click()")
    page.until(f"location.hash === '#/address/{OWNER}'")


@pytest.mark.parametrize("method", ["wallet_addEthereumChain", "eth_requestAccounts"])
def test_who_says_no_reads_that_nothing_was_changed(page: Tab, method: str) -> None:
    press(page, **{method: {"code": 4001, "message": "User rejected the request."}})
    page.until(f"{SAID}.includes('You said no')")
    assert page.do(BUTTON) == "Add to MetaMask"
    assert not page.do("document.getElementById('manual').open")


def test_a_wallet_that_cannot_is_told_by_hand_in_its_own_words(page: Tab) -> None:
    press(page, wallet_addEthereumChain={"code": -32602, "message": "<b>rpcUrls</b> must be https"})
    page.until("document.getElementById('manual').open")
    assert "<b>rpcUrls</b> must be https" in page.text("#manual-why")


def test_another_account_and_another_chain_are_followed(page: Tab) -> None:
    press(page, eth_requestAccounts=[OWNER], eth_chainId=chain())
    page.until(f"{BUTTON} === '0xa1a1…a1a1'")
    page.do(f"heard.accountsChanged.forEach((tell) => tell(['{BEN}']))")
    assert page.do(BUTTON) == "0xb2b2…b2b2"
    page.do("heard.chainChanged.forEach((tell) => tell('0x1'))")
    assert page.do(BUTTON) == "Switch to this chain"
    page.do("document.getElementById('wallet').click()")
    page.until("asked.filter((method) => method === 'wallet_addEthereumChain').length === 2")
    page.until(f"{BUTTON} === '0xa1a1…a1a1'")
    assert page.do("heard.accountsChanged.length") == 1, "it listens once"
    page.do("heard.accountsChanged[0]([])")
    assert page.do(BUTTON) == "Add to MetaMask"

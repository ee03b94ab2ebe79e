"""Balances and allowances of tokens whose code is not known."""

from __future__ import annotations

from typing import Any

import pytest

from openledger.rpc.devnet_tokens import call_data

TOKEN, STORE = "0x" + "70" * 20, "0x" + "71" * 20
WHO, OTHER = "0x" + "5a" * 20, "0x" + "5b" * 20
MAPPED = "604060045f3760405f20"
"""The slot of balanceOf(a) is keccak256(a, 0), that of allowance(a, b) keccak256(a, b)."""
ANSWER = "5f5260205ff3"
PLAIN = "0x" + MAPPED + "54" + ANSWER
PAUSED = "0x" + "5f54601857" + MAPPED + "54" + ANSWER
"""Slot 0 is a flag: where it is set the call jumps to no destination, and fails."""
DOUBLED = "0x" + MAPPED + "5480" + "01" + ANSWER
ELSEWHERE = "0x" + "365f5f37" + "60205f365f73" + STORE[2:] + "5afa50" + "60205ff3"
MOST = 2**256 - 1


def address(text: str) -> bytes:
    return bytes.fromhex(text[2:])


async def read(chain: Any, data: str) -> int:
    return int(await chain.call("eth_call", {"to": TOKEN, "data": data}, "latest"), 16)


async def balance(chain: Any, who: str) -> int:
    return await read(chain, call_data("balanceOf(address)", address(who)))


@pytest.mark.parametrize("code", [PLAIN, PAUSED, ELSEWHERE], ids=["plain", "behind a flag", "in another contract"])
async def test_an_account_has_what_is_dealt(any_chain: Any, code: str) -> None:
    await any_chain.call("anvil_setCode", TOKEN, code)
    await any_chain.call("anvil_setCode", STORE, PLAIN)
    assert await balance(any_chain, WHO) == 0
    for amount in (10**30, 0, 1, MOST):
        assert await any_chain.call("anvil_dealERC20", WHO, TOKEN, hex(amount)) is None
        assert await balance(any_chain, WHO) == amount
    assert await balance(any_chain, OTHER) == 0
    await any_chain.call("hardhat_dealERC20", OTHER, TOKEN, "7")
    await any_chain.call("anvil_setERC20Balance", WHO, TOKEN, 8)
    await any_chain.call("evm_mine")
    assert [await balance(any_chain, who) for who in (WHO, OTHER)] == [8, 7]
    any_chain.app.store.verify()


async def test_a_spender_may_move_what_was_set(chain: Any) -> None:
    await chain.call("anvil_setCode", TOKEN, PLAIN)
    await chain.call("anvil_setERC20Allowance", WHO, OTHER, TOKEN, "0x64")
    assert await read(chain, call_data("allowance(address,address)", address(WHO), address(OTHER))) == 100
    assert await read(chain, call_data("allowance(address,address)", address(OTHER), address(WHO))) == 0
    assert await balance(chain, WHO) == 0


@pytest.mark.parametrize("code", [DOUBLED, "0x600160005260206000f3", "0x"], ids=["computed", "constant", "no code"])
async def test_where_no_slot_is_the_balance_nothing_is_edited(chain: Any, code: str) -> None:
    await chain.call("anvil_setCode", TOKEN, code)
    error = await chain.error("anvil_dealERC20", WHO, TOKEN, "0x64")
    assert error["message"] == "Unable to set ERC20 balance, no slot found"
    assert "anvil_setStorageAt" in error["data"]["hint"]
    error = await chain.error("anvil_setERC20Allowance", WHO, OTHER, TOKEN, "0x64")
    assert error["message"] == "Unable to set ERC20 allowance, no slot found"


async def test_a_slot_that_is_read_but_does_not_decide_is_left_alone(chain: Any) -> None:
    """With slot 1 as 0 the function returns 0 as asked; yet it does so with any other value there."""
    await chain.call("anvil_setCode", TOKEN, "0x" + "600154" + "50" + MAPPED + "54" + ANSWER)
    await chain.call("anvil_setStorageAt", TOKEN, "0x1", "0x5")
    for amount in (0, 1):
        await chain.call("anvil_dealERC20", WHO, TOKEN, hex(amount))
        assert await balance(chain, WHO) == amount
        assert int(await chain.call("eth_getStorageAt", TOKEN, "0x1", "latest"), 16) == 5

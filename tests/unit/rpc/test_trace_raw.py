"""``trace_rawTransaction``: a signed transaction that is not sent."""

from __future__ import annotations

from typing import Any

import pytest

from openledger.primitives.types import to_hex

KINDS = ["trace", "stateDiff", "vmTrace"]


async def test_it_shows_what_the_transaction_does_when_it_is_sent(any_chain: Any, counter: Any) -> None:
    contract = (await any_chain.send(to=None, data=counter.init, gas=200_000))["contractAddress"]
    raw = any_chain.signed(nonce=1, to=bytes.fromhex(contract[2:]), data=b"\1", gas=100_000)
    height = await any_chain.call("eth_blockNumber")
    told = await any_chain.call("trace_rawTransaction", to_hex(raw), KINDS)
    assert await any_chain.call("eth_blockNumber") == height
    assert await any_chain.call("eth_getTransactionCount", to_hex(any_chain.addresses[0]), "pending") == "0x1"
    digest = await any_chain.call("eth_sendRawTransaction", to_hex(raw))
    done = await any_chain.call("trace_replayTransaction", digest, KINDS)
    for one in (told, done):
        for address in ("0x" + any_chain.app.head().coinbase.hex(), to_hex(any_chain.addresses[0])):
            one["stateDiff"].pop(address, None)  # what is paid depends on the block's base fee
    assert told == done
    assert told["trace"][0]["action"]["to"] == contract


async def test_what_could_not_be_in_the_next_block_is_refused(chain: Any) -> None:
    await chain.send()
    assert (
        "nonce too low" in (await chain.error("trace_rawTransaction", to_hex(chain.signed(nonce=0)), KINDS))["message"]
    )
    assert (
        "nonce too high" in (await chain.error("trace_rawTransaction", to_hex(chain.signed(nonce=9)), KINDS))["message"]
    )
    rich = to_hex(chain.signed(nonce=1, value=10**30))
    assert "insufficient funds" in (await chain.error("trace_rawTransaction", rich, KINDS))["message"]


@pytest.mark.parametrize("raw", ["0x", "0x02", "0x50", "0x53c0", "0xff00"])
async def test_bytes_that_are_no_transaction_are_refused(chain: Any, raw: str) -> None:
    error = await chain.error("trace_rawTransaction", raw, ["trace"])
    assert error["code"] != -32603, error


async def test_native_transactions_are_traced_in_blocks_only(chain: Any) -> None:
    fields, sender = {"name": "songs", "licence": "CC0-1.0"}, to_hex(chain.addresses[0])
    built = await chain.call("openledger_buildTransaction", "datanet.create", fields, {"from": sender})
    signature = await chain.call("eth_signTypedData_v4", sender, built["typedData"])
    whole = await chain.call("openledger_buildTransaction", "datanet.create", fields, built["options"], signature)
    error = await chain.error("trace_rawTransaction", whole["raw"], ["trace"])
    assert (error["message"], "in a block" in error["data"]["hint"]) == ("this transaction cannot be traced", True)

"""``debug_``: traces through the port, and raw bytes that hash to what they should."""

from __future__ import annotations

from typing import Any

import pytest
import rlp

from openledger.abci_app.action import build_native
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.primitives.hashing import keccak256
from openledger.rpc.backend import RpcSettings
from openledger.state.trie import ordered_trie_root

GWEI = 10**9
SLOT_0 = "0x" + "00" * 32


@pytest.fixture
async def contract(chain: Any, counter: Any) -> str:
    receipt = await chain.send(to=None, data=counter.init, gas=500_000)
    return str(receipt["contractAddress"])


async def bump(chain: Any, contract: str, nonce: int) -> Any:
    return await chain.send(nonce=nonce, to=bytes.fromhex(contract[2:]), data=b"\1", gas=100_000)


async def test_a_transaction_is_traced_on_the_state_it_ran_on(chain: Any, contract: str) -> None:
    first = await bump(chain, contract, 1)
    second = await bump(chain, contract, 2)
    for receipt, value in ((first, 1), (second, 2)):
        found = await chain.call("debug_traceTransaction", receipt["transactionHash"], {"tracer": "callTracer"})
        assert (found["to"], found["gasUsed"], int(found["output"], 16)) == (contract, receipt["gasUsed"], value)
    logs = await chain.call("debug_traceTransaction", second["transactionHash"])
    assert logs["gas"] == int(second["gasUsed"], 16)
    assert logs["structLogs"][-1]["op"] == "RETURN"
    config = {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}
    diff = await chain.call("debug_traceTransaction", second["transactionHash"], config)
    assert diff["pre"][contract]["storage"] == {SLOT_0: "0x" + "00" * 31 + "01"}
    assert diff["post"][contract]["storage"] == {SLOT_0: "0x" + "00" * 31 + "02"}


async def test_the_index_of_a_log_in_a_trace_is_that_of_its_receipt(chain: Any, contract: str) -> None:
    receipt = await bump(chain, contract, 1)
    config = {"tracer": "callTracer", "tracerConfig": {"withLog": True}}
    found = await chain.call("debug_traceTransaction", receipt["transactionHash"], config)
    (log,), (traced,) = receipt["logs"], found["logs"]
    assert (traced["index"], traced["data"], traced["topics"]) == (log["logIndex"], log["data"], log["topics"])


async def test_a_native_transaction_is_one_frame_to_its_module(chain: Any) -> None:
    raw = build_native(
        chain.secrets[0], chain_id=chain.app.genesis.evm_chain_id, nonce=0, max_priority_fee=0, max_fee=4 * GWEI,
        action=DatanetCreate("d"),
    )  # fmt: skip
    receipt = await chain.call("eth_sendRawTransactionSync", "0x" + raw.hex())
    digest = receipt["transactionHash"]
    config = {"tracer": "callTracer", "tracerConfig": {"withLog": True}}
    found = await chain.call("debug_traceTransaction", digest, config)
    tx = await chain.call("eth_getTransactionByHash", digest)
    assert (found["type"], found["from"], found["to"], found["input"]) == ("CALL", tx["from"], tx["to"], tx["input"])
    assert (found["gas"], found["gasUsed"], found["value"]) == (tx["gas"], receipt["gasUsed"], "0x0")
    assert [log["data"] for log in found["logs"]] == [log["data"] for log in receipt["logs"]]
    assert (await chain.call("debug_traceTransaction", digest))["structLogs"] == []
    assert await chain.call("debug_traceTransaction", digest, {"tracer": "4byteTracer"}) == {}
    diff = await chain.call(
        "debug_traceTransaction", digest, {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}
    )
    assert diff["post"][tx["from"]]["nonce"] == 1
    module = diff["post"]["0x0000000000000000000000000000000000000800"]
    assert len(module["storage"]) == 2, "the record and the counter"


async def test_a_block_is_traced_with_the_hash_of_each_transaction(chain: Any, contract: str) -> None:
    receipt = await bump(chain, contract, 1)
    config = {"tracer": "callTracer"}
    by_number = await chain.call("debug_traceBlockByNumber", receipt["blockNumber"], config)
    assert by_number == await chain.call("debug_traceBlockByHash", receipt["blockHash"], config)
    block = await chain.call("eth_getBlockByNumber", receipt["blockNumber"], False)
    assert [t["txHash"] for t in by_number] == block["transactions"]
    assert by_number[-1]["result"]["to"] == contract


async def test_a_call_is_traced_with_overrides_and_in_the_middle_of_a_block(chain: Any, contract: str) -> None:
    receipt = await bump(chain, contract, 1)
    await bump(chain, contract, 2)
    call, config = {"to": contract, "data": "0x01"}, {"tracer": "callTracer"}
    assert int((await chain.call("debug_traceCall", call, "latest", config))["output"], 16) == 3
    assert int((await chain.call("debug_traceCall", call, receipt["blockNumber"], config))["output"], 16) == 2
    middle = config | {"txIndex": receipt["transactionIndex"]}
    assert int((await chain.call("debug_traceCall", call, receipt["blockNumber"], middle))["output"], 16) == 1
    changed = config | {"stateOverrides": {contract: {"stateDiff": {SLOT_0: "0x" + "00" * 31 + "09"}}}}
    assert int((await chain.call("debug_traceCall", call, "latest", changed))["output"], 16) == 10
    reverted = await chain.call("debug_traceCall", {"to": contract}, "latest", config)
    assert (reverted["error"], reverted["revertReason"]) == ("execution reverted", "no")


@pytest.mark.parametrize(
    ("method", "params", "words"),
    [
        ("debug_traceTransaction", ["0x" + "11" * 32], "transaction not found"),
        ("debug_traceBlockByNumber", ["0x0"], "genesis is not traceable"),
        ("debug_traceBlockByNumber", ["0xffff"], "block #65535 not found"),
        ("debug_traceBlockByHash", ["0x" + "11" * 32], "block 0x1111"),
        ("debug_traceCall", [{}, "0xffff"], "block #65535 not found"),
        ("debug_traceCall", [{}, "pending"], "tracing on top of pending is not supported"),
        ("debug_traceCall", [{}, "latest", {"tracer": "myTracer"}], "tracer not found"),
        ("debug_traceCall", [{}, "latest", {"tracer": 1}], "tracer is text"),
        ("debug_traceCall", [{}, "latest", {"timeout": "soon"}], "timeout is a duration"),
        ("debug_traceCall", [{}, "0x0", {"txIndex": "0x5"}], "cannot be repeated"),
        ("debug_traceCall", [{}, "latest", {"txIndex": 5}], "txIndex"),
        ("debug_traceCall", [{}, "latest", {"stateOverrides": {"0x12": {}}}], "not an address"),
        ("debug_getRawBlock", ["0xffff"], "block #65535 not found"),
    ],
)
async def test_what_cannot_be_answered_says_why(chain: Any, method: str, params: Any, words: str) -> None:
    assert words in (await chain.error(method, *params))["message"]


class TestBounds:
    @pytest.fixture
    def settings(self) -> RpcSettings:
        return RpcSettings(trace_steps=2_000, trace_bytes=20_000)

    async def test_a_simulation_or_an_access_list_may_run_as_long_as_its_gas(self, chain: Any) -> None:
        """As the call of which they tell: the bound of steps is one of traces."""
        loop, code = {"to": "0x" + "99" * 20, "gas": hex(60_000)}, {"0x" + "99" * 20: {"code": "0x5b600056"}}
        error = await chain.error("debug_traceCall", loop, "latest", {"tracer": "callTracer", "stateOverrides": code})
        assert "more than 2000 steps" in error["message"]
        blocks = {"blockStateCalls": [{"stateOverrides": code, "calls": [loop]}]}
        call = (await chain.call("eth_simulateV1", blocks))[0]["calls"][0]
        assert call["error"]["message"] == "out of gas"
        assert (await chain.call("eth_createAccessList", loop, "latest", code))["error"] == "out of gas"

    async def test_traces_are_bounded_in_steps_and_size(self, chain: Any) -> None:
        loop = {"to": "0x" + "99" * 20, "gas": hex(10**6)}
        override = {"stateOverrides": {"0x" + "99" * 20: {"code": "0x5b600056"}}}
        text = (await chain.error("debug_traceCall", loop, "latest", override))["message"]
        assert "larger than 20000 bytes" in text
        text = (await chain.error("debug_traceCall", loop, "latest", override | {"tracer": "callTracer"}))["message"]
        assert "more than 2000 steps" in text


async def test_a_timeout_ends_a_trace(chain: Any) -> None:
    loop = {"to": "0x" + "99" * 20}
    config = {"stateOverrides": {"0x" + "99" * 20: {"code": "0x5b600056"}}, "tracer": "callTracer", "timeout": "20ms"}
    assert (await chain.error("debug_traceCall", loop, "latest", config))["message"] == "execution timeout"


async def test_raw_bytes_hash_to_what_the_chain_says(chain: Any, contract: str) -> None:
    receipt = await bump(chain, contract, 1)
    block = await chain.call("eth_getBlockByNumber", receipt["blockNumber"], False)
    header = bytes.fromhex((await chain.call("debug_getRawHeader", receipt["blockNumber"]))[2:])
    assert "0x" + keccak256(header).hex() == block["hash"]
    raw = bytes.fromhex((await chain.call("debug_getRawBlock", receipt["blockHash"]))[2:])
    parts = rlp.decode(raw)
    assert rlp.encode(parts[0]) == header
    assert len(raw) == int(block["size"], 16)
    receipts = [bytes.fromhex(r[2:]) for r in await chain.call("debug_getRawReceipts", receipt["blockNumber"])]
    assert "0x" + ordered_trie_root(receipts).hex() == block["receiptsRoot"]
    tx = bytes.fromhex((await chain.call("debug_getRawTransaction", receipt["transactionHash"]))[2:])
    assert "0x" + keccak256(tx).hex() == receipt["transactionHash"]
    assert await chain.call("debug_getRawTransaction", "0x" + "11" * 32) == "0x"

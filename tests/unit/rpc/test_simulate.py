"""eth_simulateV1 and eth_createAccessList, on both engines."""

from __future__ import annotations

from typing import Any

import pytest
import rlp
from eth_abi import encode

from openledger.abci_app.action import outbox_bytes
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.staking.undelegate import StakeUndelegate
from openledger.evm.tracing.outcome import TRANSFER
from openledger.primitives.hashing import keccak256

A, B, C = ("0x" + f"{n:02x}" * 20 for n in (0xA1, 0xB2, 0xC3))
COINS = {"balance": hex(10**18)}


def hexed(raw: bytes) -> str:
    return "0x" + raw.hex()


def word(value: int) -> str:
    return f"0x{value:064x}"


def address_topic(address: str) -> str:
    return "0x" + address[2:].rjust(64, "0")


async def simulate(chain: Any, *blocks: Any, tag: str = "latest", **options: Any) -> Any:
    return await chain.call("eth_simulateV1", {"blockStateCalls": list(blocks)} | options, tag)


async def refusal(chain: Any, *blocks: Any, **options: Any) -> tuple[int, str]:
    found = await chain.error("eth_simulateV1", {"blockStateCalls": list(blocks)} | options, "latest")
    return found["code"], found["message"]


async def test_each_call_sees_what_the_one_before_left(any_chain: Any) -> None:
    found = await simulate(
        any_chain,
        {"stateOverrides": {A: COINS}, "calls": [{"from": A, "to": B, "value": "0x3e8"}]},
        {"calls": [{"from": B, "to": C, "value": "0x3e8"}, {"from": C, "to": A, "value": "0x1"}]},
    )
    assert [call["status"] for block in found for call in block["calls"]] == ["0x1"] * 3
    assert [block["number"] for block in found] == ["0x1", "0x2"]
    assert found[1]["parentHash"] == found[0]["hash"]
    assert int(found[1]["timestamp"], 16) == int(found[0]["timestamp"], 16) + 12
    assert [block["gasUsed"] for block in found] == [hex(21_000), hex(42_000)]
    assert found[0]["stateRoot"] != found[1]["stateRoot"] != "0x" + "00" * 32
    assert await any_chain.call("eth_getBalance", B) == "0x0", "nothing is kept"


async def test_the_header_of_a_simulated_block_hashes_to_its_hash(any_chain: Any) -> None:
    block = (await simulate(any_chain, {"calls": [{"from": A, "to": B}]}))[0]
    names = (
        "parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom",
        "difficulty", "number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash", "nonce", "baseFeePerGas",
        "withdrawalsRoot", "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot", "requestsHash",
    )  # fmt: skip
    numbers = ("difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas", "blobGasUsed",
               "excessBlobGas")  # fmt: skip
    fields = [int(block[n], 16) if n in numbers else bytes.fromhex(block[n][2:]) for n in names]
    assert hexed(keccak256(rlp.encode(fields))) == block["hash"]
    empty = (await simulate(any_chain, {}))[0]
    assert empty["stateRoot"] == (await any_chain.call("eth_getBlockByNumber", "latest", False))["stateRoot"]


async def test_transfers_of_coins_are_logs_where_asked(any_chain: Any) -> None:
    block = {"stateOverrides": {A: COINS}, "calls": [{"from": A, "to": B, "value": "0x7"}]}
    assert (await simulate(any_chain, block))[0]["calls"][0]["logs"] == []
    found = (await simulate(any_chain, block, traceTransfers=True))[0]
    log = found["calls"][0]["logs"][0]
    assert log["address"] == "0x" + "ee" * 20
    assert log["topics"] == [hexed(TRANSFER), address_topic(A), address_topic(B)]
    assert (log["data"], log["blockHash"], log["logIndex"]) == (word(7), found["hash"], "0x0")
    assert log["transactionHash"] == found["transactions"][0]
    assert found["logsBloom"] == "0x" + "00" * 256, "they are no part of the receipts"


async def test_a_contract_is_deployed_and_used_in_one_request(any_chain: Any, counter: Any) -> None:
    created = hexed(keccak256(rlp.encode([bytes.fromhex(A[2:]), 0]))[12:])
    found = await simulate(
        any_chain,
        {"calls": [{"from": A, "input": hexed(counter.init)}, {"from": A, "to": created, "input": "0x01"}]},
        {"calls": [{"from": A, "to": created, "input": "0x01"}, {"from": A, "to": created}]},
    )
    first, second = found[0]["calls"], found[1]["calls"]
    assert first[0]["returnData"] == hexed(counter.runtime)
    assert (first[1]["returnData"], second[0]["returnData"]) == (word(1), word(2))
    assert second[0]["logs"][0]["topics"] == [counter.topic]
    assert second[1]["status"] == "0x0"
    assert second[1]["error"]["code"] == 3
    assert second[1]["error"]["message"] == "execution reverted: no"
    assert second[1]["error"]["data"].startswith("0x08c379a0")
    assert second[1]["returnData"] == "0x"
    assert second[1]["logs"] == []
    assert found[0]["receiptsRoot"] != found[1]["receiptsRoot"]


async def test_a_failure_of_the_vm_is_an_error_of_its_call(any_chain: Any) -> None:
    found = await simulate(
        any_chain, {"stateOverrides": {B: {"code": "0xfe"}}, "calls": [{"from": A, "to": B, "gas": "0x7530"}]}
    )
    call = found[0]["calls"][0]
    assert (call["status"], call["gasUsed"], call["returnData"]) == ("0x0", "0x7530", "0x")
    assert call["error"] == {"code": -32015, "message": "invalid opcode: INVALID"}


async def test_block_hashes_numbers_times_and_overrides_are_seen_inside(any_chain: Any) -> None:
    # NUMBER TIMESTAMP COINBASE BASEFEE PREVRANDAO GASLIMIT BLOCKHASH(NUMBER-1), each stored to memory and returned
    ops = ["43", "42", "41", "48", "44", "45", "6001430340"]
    code = "".join(op + f"60{32 * i:02x}52" for i, op in enumerate(ops)) + f"60{32 * len(ops):02x}6000f3"
    overrides = {
        "number": "0x5", "time": "0xffffffff", "feeRecipient": C, "baseFeePerGas": "0x9", "prevRandao": "0x7",
        "gasLimit": "0x1000000",
    }  # fmt: skip
    found = await simulate(
        any_chain,
        {"blockOverrides": overrides, "stateOverrides": {B: {"code": "0x" + code}}, "calls": [{"from": A, "to": B}]},
    )
    assert [block["number"] for block in found] == ["0x1", "0x2", "0x3", "0x4", "0x5"], "gaps are filled"
    data = found[-1]["calls"][0]["returnData"][2:]
    words = [data[i : i + 64] for i in range(0, len(data), 64)]
    assert [int(w, 16) for w in words[:2]] == [5, 0xFFFFFFFF]
    assert words[2] == C[2:].rjust(64, "0")
    assert [int(w, 16) for w in words[3:6]] == [9, 7, 0x1000000]
    assert "0x" + words[6] == found[-2]["hash"]
    assert (found[-1]["miner"], found[-1]["baseFeePerGas"]) == (C, "0x9")


async def test_state_overrides_replace_or_change_storage(any_chain: Any, counter: Any) -> None:
    code = {"code": hexed(counter.runtime)}
    calls = [{"from": A, "to": B, "input": "0x01"}]
    found = await simulate(
        any_chain,
        {"stateOverrides": {B: code | {"stateDiff": {word(0): word(41)}}}, "calls": calls},
        {"stateOverrides": {B: {"state": {word(1): word(1)}}}, "calls": calls},
    )
    assert [block["calls"][0]["returnData"] for block in found] == [word(42), word(1)]


@pytest.mark.parametrize(
    ("call", "code", "words"),
    [
        ({"nonce": "0x5"}, -38011, "nonce too high"),
        ({"maxFeePerGas": "0x1"}, -38012, "max fee per gas less than block base fee"),
        ({}, -38012, "max fee per gas less than block base fee"),
        ({"maxFeePerGas": hex(10**12), "gas": "0x100"}, -38013, "intrinsic gas too low"),
        ({"maxFeePerGas": hex(10**12), "value": hex(10**20)}, -38014, "insufficient funds"),
    ],
)
async def test_with_validation_a_transaction_must_hold(chain: Any, call: Any, code: int, words: str) -> None:
    block = {"stateOverrides": {A: {"balance": hex(10**20)}}, "calls": [{"from": A, "to": B} | call]}
    found = await refusal(chain, block, validation=True)
    assert found[0] == code
    assert words in found[1]


async def test_with_validation_fees_are_paid_and_nonces_count(any_chain: Any) -> None:
    call = {"from": A, "to": B, "maxFeePerGas": hex(10**10), "maxPriorityFeePerGas": "0x1", "gas": "0x5208"}
    found = await simulate(
        any_chain,
        {"stateOverrides": {A: COINS}, "calls": [call | {"nonce": "0x0"}, call | {"nonce": "0x1"}]},
        validation=True,
        returnFullTransactions=True,
    )
    assert int(found[0]["baseFeePerGas"], 16) > 0
    sent = found[0]["transactions"]
    assert [tx["nonce"] for tx in sent] == ["0x0", "0x1"]
    assert {tx["from"] for tx in sent} == {A}
    assert {tx["type"] for tx in sent} == {"0x2"}
    assert sent[1]["blockHash"] == found[0]["hash"]
    error = await refusal(
        any_chain,
        {"stateOverrides": {A: COINS | {"nonce": "0x3"}}, "calls": [call | {"nonce": "0x1"}]},
        validation=True,
    )
    assert error[0] == -38010


@pytest.mark.parametrize(
    ("blocks", "code", "words"),
    [
        ([], -32602, "empty input"),
        ([{"blockOverrides": {"number": "0x0"}}], -38020, "block numbers must be in order"),
        ([{"blockOverrides": {"number": "0x5"}}, {"blockOverrides": {"number": "0x5"}}], -38020, "5 <= 5"),
        ([{"blockOverrides": {"time": "0x1"}}], -38021, "block timestamps must be in order"),
        ([{"blockOverrides": {"number": "0x200"}}], -38026, "too many blocks"),
        ([{}] * 257, -38026, "too many blocks"),
        ([{"calls": [{}] * 5001}], -38026, "too many calls in block"),
        ([{"calls": [{"from": A, "gas": hex(40_000_000)}]}], -38015, "block gas limit reached"),
        ([{"calls": [{"from": A, "to": B, "value": "0x1"}]}], -38014, "insufficient funds"),
        ([{"calls": 5}], -32602, "calls is a list"),
        ([{"stateOverrides": {A: {"nonce": hex(2**64 - 1)}}, "calls": [{"from": A}]}], -32603, "nonce has max value"),
        ([{"stateOverrides": {A: {"state": {}, "stateDiff": {}}}}], -32000, "has both 'state' and 'stateDiff'"),
    ],
)
async def test_what_cannot_be_simulated_has_its_code(chain: Any, blocks: Any, code: int, words: str) -> None:
    found = await refusal(chain, *blocks)
    assert found[0] == code
    assert words in found[1]


async def test_a_past_block_can_be_built_upon(chain: Any, counter: Any) -> None:
    await chain.send(to=bytes.fromhex(B[2:]), value=5)
    found = await simulate(chain, {"calls": [{"from": B, "to": C, "value": "0x5"}]}, tag="0x1")
    assert found[0]["calls"][0]["status"] == "0x1"
    error = await chain.error(
        "eth_simulateV1", {"blockStateCalls": [{"calls": [{"from": B, "to": C, "value": "0x5"}]}]}, "0x0"
    )
    assert error["code"] == -38014
    await chain.send(nonce=1)
    older = await simulate(chain, {}, tag="0x1")
    assert older[0]["stateRoot"] == "0x" + "00" * 32, "only the newest block's trie can be built upon"


# --- the Outbox ---------------------------------------------------------------------------------------------

OUTBOX, DATANETS = "0x" + "00" * 18 + "0900", "0x" + "00" * 18 + "0800"
COUNT = {"to": DATANETS, "data": "0x" + keccak256(b"datanetCount()")[:4].hex()}


def submission(action: bytes) -> str:
    return "0x" + (keccak256(b"submit(bytes)")[:4] + encode(["bytes"], [action])).hex()


async def test_what_a_call_gives_to_the_outbox_runs_after_it_as_in_a_block(any_chain: Any) -> None:
    me, datanet = hexed(any_chain.addresses[0]), DatanetCreate("letters", "", "text", "CC0-1.0", "open", 0, 0, 0, ())
    good, bad = submission(outbox_bytes(datanet)), submission(outbox_bytes(StakeUndelegate(bytes(20), 1)))
    calls = [{"from": me, "to": OUTBOX, "data": data} for data in (good, bad)]
    block = (await simulate(any_chain, {"calls": [calls[0], COUNT, calls[1]]}))[0]
    assert [call["status"] for call in block["calls"]] == ["0x1"] * 3
    assert block["calls"][1]["returnData"] == word(1), "the next call sees the datanet"
    sent = [
        await any_chain.send(to=bytes.fromhex(OUTBOX[2:]), data=bytes.fromhex(data[2:]), gas=200_000, nonce=nonce)
        for nonce, data in enumerate((good, bad))
    ]
    for call, receipt in zip((block["calls"][0], block["calls"][2]), sent, strict=True):
        kept = ("address", "topics", "data")
        assert [[log[name] for name in kept] for log in call["logs"]] == [
            [log[name] for name in kept] for log in receipt["logs"]
        ]
        assert len(call["logs"]) == 2
    assert [log["logIndex"] for call in block["calls"] for log in call["logs"]] == ["0x0", "0x1", "0x2", "0x3"]
    again = await simulate(any_chain, {"calls": [COUNT]}, tag="0x0")
    assert again[0]["calls"][0]["returnData"] == word(0), "nothing is kept"


# --- access lists -------------------------------------------------------------------------------------------


async def test_an_access_list_names_slots_and_other_accounts(any_chain: Any, counter: Any) -> None:
    receipt = await any_chain.send(to=None, data=counter.init, gas=300_000)
    contract = receipt["contractAddress"]
    me = hexed(any_chain.addresses[0])
    found = await any_chain.call("eth_createAccessList", {"from": me, "to": contract, "data": "0x01"})
    assert found["accessList"] == [{"address": contract, "storageKeys": [word(0)]}]
    assert "error" not in found
    with_list = {"from": me, "to": contract, "data": "0x01", "accessList": found["accessList"]}
    assert await any_chain.call("eth_estimateGas", with_list) == found["gasUsed"]
    useless = [{"address": me, "storageKeys": [word(7)]}, {"address": IDENTITY, "storageKeys": [word(7)]}]
    given = {"from": me, "to": contract, "data": "0x01", "accessList": [*useless, *found["accessList"]]}
    assert await any_chain.call("eth_createAccessList", given) == found, "what saves nothing is left out"
    # BALANCE of another account, SLOAD of slot 5, and a call of a precompile
    code = "73" + B[2:] + "31" + "600554" + "60006000600060006000600461fffff1" + "00"
    other = await any_chain.call("eth_createAccessList", {"from": me, "to": C}, "latest", {C: {"code": "0x" + code}})
    assert other["accessList"] == [
        {"address": B, "storageKeys": []}, {"address": C, "storageKeys": [word(5)]}
    ]  # fmt: skip


async def test_a_transfer_needs_no_list_and_a_revert_says_so(any_chain: Any, counter: Any) -> None:
    me = hexed(any_chain.addresses[0])
    plain = await any_chain.call("eth_createAccessList", {"from": me, "to": B, "value": "0xa"}, "latest")
    assert plain == {"accessList": [], "gasUsed": "0x5208"}
    found = await any_chain.call(
        "eth_createAccessList", {"from": me, "to": C}, "latest", {C: {"code": hexed(counter.runtime)}}
    )
    assert found["error"] == "execution reverted"
    poor = await any_chain.error("eth_createAccessList", {"from": A, "to": B, "value": "0x1"})
    assert poor["message"].startswith("err: insufficient funds for gas * price + value")


# --- precompiles ----------------------------------------------------------------------------------------------

IDENTITY, SHA = "0x" + "00" * 19 + "04", "0x" + "00" * 19 + "02"
EMPTY_SHA = "0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


async def test_a_precompile_can_be_moved_and_replaced(any_chain: Any) -> None:
    moved = {SHA: {"movePrecompileToAddress": B, "code": "0x600160005260206000f3"}}
    assert await any_chain.call("eth_call", {"to": B}, "latest", moved) == EMPTY_SHA
    assert await any_chain.call("eth_call", {"to": SHA}, "latest", moved) == word(1)
    assert await any_chain.call("eth_call", {"to": SHA}, "latest") == EMPTY_SHA
    assert await any_chain.call("eth_call", {"to": IDENTITY, "data": "0x05"}, "latest", moved) == "0x05"
    assert await any_chain.call("eth_call", {"to": SHA}, "pending", moved) == word(1)
    assert await any_chain.call("eth_call", {"to": SHA}, "latest", {SHA: {"balance": "0x1"}}) == "0x"
    estimate = await any_chain.call("eth_estimateGas", {"from": A, "to": B}, "latest", moved)
    assert int(estimate, 16) > 21_000
    trace = await any_chain.call(
        "debug_traceCall", {"to": B}, "latest", {"tracer": "callTracer", "stateOverrides": moved}
    )
    assert trace["output"] == EMPTY_SHA


async def test_a_moved_precompile_is_so_in_its_block_only(any_chain: Any) -> None:
    found = await simulate(
        any_chain,
        {"stateOverrides": {SHA: {"movePrecompileToAddress": B}}, "calls": [{"to": B}, {"to": SHA}]},
        {"calls": [{"to": B}, {"to": SHA}]},
    )
    assert [call["returnData"] for block in found for call in block["calls"]] == [EMPTY_SHA, "0x", "0x", EMPTY_SHA]


async def test_a_precompile_stays_warm_whatever_is_moved(any_chain: Any) -> None:
    looks = {C: {"code": f"0x73{SHA[2:]}3173{B[2:]}3100"}}  # BALANCE of a precompile and of another account
    plain = {"stateOverrides": looks, "calls": [{"to": C}]}
    moved = {"stateOverrides": looks | {SHA: {"movePrecompileToAddress": B}}, "calls": [{"to": C}]}
    found = await simulate(any_chain, plain, moved)
    assert found[0]["calls"][0]["gasUsed"] == found[1]["calls"][0]["gasUsed"] == hex(21_000 + 3 + 100 + 3 + 2600)


async def test_a_native_precompile_moves_too(any_chain: Any) -> None:
    count = "0x" + keccak256(b"datanetCount()")[:4].hex()
    there = await any_chain.call("eth_call", {"to": DATANETS, "data": count}, "latest")
    moved = {DATANETS: {"movePrecompileToAddress": B}}
    assert await any_chain.call("eth_call", {"to": B, "data": count}, "latest", moved) == there == word(0)


@pytest.mark.parametrize(
    ("overrides", "code", "words"),
    [
        ({A: {"movePrecompileToAddress": B}}, -32000, "is not a precompile"),
        ({SHA: {"movePrecompileToAddress": SHA}}, -38022, "moved to itself"),
        ({SHA: {"movePrecompileToAddress": B}, IDENTITY: {"movePrecompileToAddress": B}}, -38023, "two precompiles"),
        ({SHA: {"movePrecompileToAddress": B}, B: {"balance": "0x1"}}, -32000, "is already overridden"),
    ],
)
async def test_what_cannot_be_moved_has_its_code(chain: Any, overrides: Any, code: int, words: str) -> None:
    found = await refusal(chain, {"stateOverrides": overrides})
    assert found[0] == code
    assert words in found[1]
    again = await chain.error("eth_call", {"to": B}, "latest", overrides)
    assert again["code"] == code

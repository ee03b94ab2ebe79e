"""ots_, erigon_ and trace_: what block explorers and indexers ask, on both engines where code runs."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import rlp

from openledger.abci_app.action import build_native
from openledger.abci_app.modules.datanets.commit import DatanetCommit
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.datanets.records import Part
from openledger.primitives.hashing import keccak256
from tests.unit.rpc.conftest import threads_of

GWEI = 10**9
SINK = "0x" + "d1" * 20


def hexed(raw: bytes) -> str:
    return "0x" + raw.hex()


def push(value: bytes) -> bytes:
    return bytes([0x5F + len(value)]) + value


def factory(init: bytes) -> bytes:
    """Runtime code: CREATE from ``init``, then send 5 wei to SINK, then call the SHA-256 precompile."""
    store = b"".join(
        push(init[i : i + 32].ljust(32, b"\0")) + push(i.to_bytes(2, "big")) + b"\x52" for i in range(0, len(init), 32)
    )
    create = push(len(init).to_bytes(2, "big")) + bytes.fromhex("6000600af050")
    create = push(len(init).to_bytes(2, "big")) + bytes.fromhex("60006000f050")
    send = bytes.fromhex("60006000600060006005") + push(bytes.fromhex(SINK[2:])) + bytes.fromhex("5af150")
    sha = bytes.fromhex("6000600060006000600261fffffa50")
    return store + create + send + sha + b"\x00"


def deployer(runtime: bytes) -> bytes:
    """Creation code that returns what follows it."""
    size = len(runtime).to_bytes(2, "big")
    head = push(size) + b"\x80\x60\x0c\x60\x00\x39\x60\x00\xf3"
    return head + runtime


async def build(chain: Any, counter: Any) -> tuple[str, str, Any]:
    """A factory, the contract that it made, and the receipt of the transaction in which it did."""
    made = await chain.send(to=None, data=deployer(factory(counter.init)), gas=1_000_000)
    receipt = await chain.send(nonce=1, to=bytes.fromhex(made["contractAddress"][2:]), value=9, gas=500_000)
    assert receipt["status"] == "0x1"
    child = hexed(keccak256(rlp.encode([bytes.fromhex(made["contractAddress"][2:]), 1]))[12:])
    return made["contractAddress"], child, receipt


def native(chain: Any, account: int, action: Any, nonce: int = 0) -> bytes:
    return build_native(
        chain.secrets[account], chain_id=chain.app.genesis.evm_chain_id, nonce=nonce, max_fee=5 * GWEI,
        max_priority_fee=0, action=action,
    )  # fmt: skip


# --- transactions ---------------------------------------------------------------------------------------------


async def test_internal_operations_traces_and_creators_are_told(any_chain: Any, counter: Any) -> None:
    maker, child, receipt = await build(any_chain, counter)
    me = hexed(any_chain.addresses[0])
    operations = await any_chain.call("ots_getInternalOperations", receipt["transactionHash"])
    assert operations == [
        {"type": 2, "from": maker, "to": child, "value": "0x0"},
        {"type": 0, "from": maker, "to": SINK, "value": "0x5"},
    ]
    calls = await any_chain.call("ots_traceTransaction", receipt["transactionHash"])
    assert [(c["type"], c["depth"], c["from"], c["to"]) for c in calls] == [
        ("CALL", 0, me, maker),
        ("CREATE", 1, maker, child),
        ("CALL", 1, maker, SINK),
        ("STATICCALL", 1, maker, "0x" + "00" * 19 + "02"),
    ]
    assert [c["value"] for c in calls] == ["0x9", "0x0", "0x5", None]
    assert calls[1]["output"] == hexed(counter.runtime)
    creator = await any_chain.call("ots_getContractCreator", maker)
    assert creator["creator"] == me
    assert await any_chain.call("ots_getContractCreator", child) == {
        "hash": receipt["transactionHash"],
        "creator": maker,
    }
    for nobody in (me, SINK, "0x4e59b44847b379578588920ca78fbf26c0b4956c"):
        assert await any_chain.call("ots_getContractCreator", nobody) is None
    assert await any_chain.call("ots_hasCode", child) is True
    assert await any_chain.call("ots_hasCode", child, "0x1") is False
    assert await any_chain.call("ots_hasCode", me) is False


async def test_flat_traces_have_places_and_results(any_chain: Any, counter: Any) -> None:
    maker, child, receipt = await build(any_chain, counter)
    traces = await any_chain.call("trace_transaction", receipt["transactionHash"])
    assert [(t["type"], t["traceAddress"], t["subtraces"]) for t in traces] == [
        ("call", [], 2), ("create", [0], 0), ("call", [1], 0)
    ], "a precompile is no call here"  # fmt: skip
    assert traces[1]["result"]["address"] == child
    assert traces[1]["result"]["code"] == hexed(counter.runtime)
    assert traces[2]["action"] | {"gas": ""} == {
        "callType": "call", "from": maker, "gas": "", "input": "0x", "to": SINK, "value": "0x5"
    }  # fmt: skip
    block = await any_chain.call("eth_getBlockByNumber", receipt["blockNumber"], False)
    assert {t["blockHash"] for t in traces} == {block["hash"]}
    assert {t["blockNumber"] for t in traces} == {int(receipt["blockNumber"], 16)}
    assert {t["transactionPosition"] for t in traces} == {int(receipt["transactionIndex"], 16)}
    assert int(traces[0]["action"]["gas"], 16) == 500_000 - 21_000
    assert int(traces[0]["result"]["gasUsed"], 16) == int(receipt["gasUsed"], 16) - 21_000
    assert await any_chain.call("trace_block", receipt["blockNumber"]) == traces
    assert await any_chain.call("trace_get", receipt["transactionHash"], ["0x1"]) == traces[2]
    assert await any_chain.call("trace_get", receipt["transactionHash"], [7]) is None
    sent = await any_chain.call("trace_filter", {"fromBlock": "0x0", "fromAddress": [maker]})
    assert sent == traces[1:]
    assert await any_chain.call("trace_filter", {"fromBlock": "0x0", "toAddress": [SINK]}) == [traces[2]]
    some = await any_chain.call("trace_filter", {"fromBlock": "0x0", "fromAddress": [maker], "after": 1, "count": 1})
    assert some == [traces[2]]
    both = {"fromBlock": "0x0", "fromAddress": [maker], "toAddress": [SINK]}
    assert await any_chain.call("trace_filter", both) == [traces[2]]
    assert await any_chain.call("trace_filter", both | {"mode": "union"}) == traces[1:]
    assert await any_chain.call("trace_block", "0x0") == []
    assert await any_chain.call("trace_block", "0x99") is None
    assert await any_chain.call("trace_transaction", "0x" + "ee" * 32) is None


async def test_geths_flat_tracer_and_several_at_once(any_chain: Any, counter: Any) -> None:
    _, _, receipt = await build(any_chain, counter)
    digest = receipt["transactionHash"]
    flat = await any_chain.call("debug_traceTransaction", digest, {"tracer": "flatCallTracer"})
    assert [t["traceAddress"] for t in flat] == [[], [0], [1]]
    assert flat[0]["result"]["gasUsed"] == receipt["gasUsed"]
    assert flat[0]["action"]["gas"] == hex(500_000)
    assert flat[0]["transactionHash"] == digest
    whole = await any_chain.call(
        "debug_traceTransaction", digest, {"tracer": "flatCallTracer", "tracerConfig": {"includePrecompiles": True}}
    )
    assert len(whole) == 4
    config = {"callTracer": {"withLog": True}, "prestateTracer": {"diffMode": True}, "4byteTracer": None}
    found = await any_chain.call("debug_traceTransaction", digest, {"tracer": "muxTracer", "tracerConfig": config})
    for name, options in config.items():
        alone = {"tracer": name, "tracerConfig": options}
        assert found[name] == await any_chain.call("debug_traceTransaction", digest, alone)
    blocks = await any_chain.call("debug_traceBlockByNumber", receipt["blockNumber"], {"tracer": "flatCallTracer"})
    assert blocks[0]["result"] == flat
    error = await any_chain.error("debug_traceTransaction", digest, {"tracer": "muxTracer", "tracerConfig": {"x": {}}})
    assert "tracer not found" in error["message"]


async def test_a_transaction_is_replayed_with_its_changes_and_opcodes(any_chain: Any, counter: Any) -> None:
    maker, child, receipt = await build(any_chain, counter)
    kinds = ["trace", "stateDiff", "vmTrace"]
    found = await any_chain.call("trace_replayTransaction", receipt["transactionHash"], kinds)
    assert [t["traceAddress"] for t in found["trace"]] == [[], [0], [1]]
    changes = found["stateDiff"]
    assert changes[SINK] == {"balance": {"+": "0x5"}, "code": {"+": "0x"}, "nonce": {"+": "0x0"}, "storage": {}}
    assert changes[child]["code"] == {"+": hexed(counter.runtime)}
    assert changes[maker]["balance"] == {"*": {"from": "0x0", "to": "0x4"}}
    assert changes[maker]["nonce"] == {"*": {"from": "0x1", "to": "0x2"}}
    assert changes[maker]["code"] == "="
    top = found["vmTrace"]
    assert top["code"] == await any_chain.call("eth_getCode", maker)
    subs = [op for op in top["ops"] if op["sub"]]
    assert [op["op"] for op in subs] == ["CREATE", "CALL", "STATICCALL"]
    assert subs[0]["sub"]["code"] == hexed(counter.init)
    assert [op["op"] for op in subs[0]["sub"]["ops"]][-1] == "RETURN"
    assert subs[1]["sub"] == {"code": "0x", "ops": []}
    assert top["ops"][-1]["op"] == "STOP"
    bump = await any_chain.send(nonce=2, to=bytes.fromhex(child[2:]), data=b"\1", gas=100_000)
    again = await any_chain.call("trace_replayBlockTransactions", bump["blockNumber"], ["stateDiff"])
    assert [r["transactionHash"] for r in again] == [bump["transactionHash"]]
    word = "0x" + "00" * 31
    assert again[0]["stateDiff"][child]["storage"] == {word + "00": {"*": {"from": word + "00", "to": word + "01"}}}
    assert (again[0]["vmTrace"], again[0]["trace"]) == (None, [])
    assert int(again[0]["output"], 16) == 1
    assert await any_chain.call("trace_replayTransaction", "0x" + "ee" * 32, []) is None
    wrong = await any_chain.error("trace_replayTransaction", receipt["transactionHash"], ["all"])
    assert "a list of: trace, stateDiff, vmTrace" in wrong["message"]


async def test_calls_are_traced_as_replays_are_and_leave_nothing(any_chain: Any, counter: Any) -> None:
    _, child, receipt = await build(any_chain, counter)
    kinds, me = ["trace", "stateDiff", "vmTrace"], hexed(any_chain.addresses[0])
    bump = {"from": me, "to": child, "data": "0x01"}
    many = await any_chain.call("trace_callMany", [[bump, kinds], [bump, ["trace"]], [bump, ["stateDiff"]]], "latest")
    assert [int(one["output"], 16) for one in many] == [1, 2, 3], "each on what the one before has left"
    assert many[1]["stateDiff"] is None
    word = "0x" + "00" * 31
    assert many[2]["stateDiff"][child]["storage"] == {word + "00": {"*": {"from": word + "02", "to": word + "03"}}}
    assert many[0]["vmTrace"]["ops"]
    alone = await any_chain.call("trace_call", bump, kinds)
    assert alone == many[0], "nothing was kept"
    sent = await any_chain.send(nonce=2, to=bytes.fromhex(child[2:]), data=b"\1", gas=100_000)
    replay = await any_chain.call("trace_replayTransaction", sent["transactionHash"], kinds)
    assert replay["vmTrace"]["ops"] == alone["vmTrace"]["ops"]
    assert replay["stateDiff"][child] == alone["stateDiff"][child]
    before = await any_chain.call("trace_call", bump, ["trace"], receipt["blockNumber"])
    assert int(before["output"], 16) == 1
    failed = await any_chain.call("trace_call", {"to": child}, ["trace"], "latest")
    assert failed["trace"][0]["error"] == "Reverted"
    assert failed["output"].startswith("0x08c379a0")


async def test_calls_that_cannot_be_traced_are_refused(chain: Any) -> None:
    poor = {"from": "0x" + "77" * 20, "to": SINK, "value": "0x1"}
    for method, params, words in (
        ("trace_call", [poor, ["trace"]], "insufficient funds"),
        ("trace_call", [{"to": SINK}, ["all"]], "a list of: trace"),
        ("trace_callMany", [[{"to": SINK}]], "a list of pairs"),
        ("trace_callMany", [[[{"to": SINK}, ["trace"]]] * 1001], "too many calls"),
        ("trace_call", [{"to": SINK}, ["trace"], "0x99"], "header not found"),
    ):
        assert words in (await chain.error(method, *params))["message"]


async def test_a_revert_has_its_words_in_both_forms(any_chain: Any, counter: Any) -> None:
    receipt = await any_chain.send(to=None, data=counter.init, gas=300_000)
    failed = await any_chain.send(nonce=1, to=bytes.fromhex(receipt["contractAddress"][2:]), gas=60_000)
    assert failed["status"] == "0x0"
    data = await any_chain.call("ots_getTransactionError", failed["transactionHash"])
    assert data.startswith("0x08c379a0")
    assert await any_chain.call("ots_getTransactionError", receipt["transactionHash"]) == "0x"
    assert await any_chain.call("ots_getTransactionError", "0x" + "ee" * 32) is None
    trace = (await any_chain.call("trace_transaction", failed["transactionHash"]))[0]
    assert (trace["error"], trace["result"]["output"]) == ("Reverted", data)
    flat = await any_chain.call("debug_traceTransaction", failed["transactionHash"], {"tracer": "flatCallTracer"})
    assert flat[0]["error"] == "execution reverted"


async def test_native_transactions_are_shown_too(idle_chain: Any) -> None:
    part = Part(idle_chain.addresses[2], bytes(32), 1)
    raws = [
        native(idle_chain, 2, DatanetCreate("speeches")),
        native(idle_chain, 2, DatanetCommit(1, 5, bytes([1]) * 32, 1, (part,)), nonce=1),
    ]
    for raw in raws:
        await idle_chain.call("eth_sendRawTransaction", hexed(raw))
    await idle_chain.engine.mine()
    good, bad = [await idle_chain.call("eth_getTransactionReceipt", hexed(keccak256(raw))) for raw in raws]
    assert (good["status"], bad["status"]) == ("0x1", "0x0")
    trace = (await idle_chain.call("trace_transaction", good["transactionHash"]))[0]
    assert (trace["type"], trace["action"]["to"]) == ("call", good["to"])
    assert await idle_chain.call("ots_getInternalOperations", good["transactionHash"]) == []
    assert [c["to"] for c in await idle_chain.call("ots_traceTransaction", good["transactionHash"])] == [good["to"]]
    assert len(await idle_chain.call("trace_block", "latest")) == 2
    why = await idle_chain.call("openledger_getTransactionError", bad["transactionHash"])
    said = bytes.fromhex((await idle_chain.call("ots_getTransactionError", bad["transactionHash"]))[10:])
    assert said[64 : 64 + int.from_bytes(said[32:64], "big")].decode() == why
    mine = await idle_chain.call("ots_searchTransactionsBefore", hexed(idle_chain.addresses[2]), 0, 25)
    assert [tx["type"] for tx in mine["txs"]] == ["0x50", "0x50"]


# --- blocks and accounts ------------------------------------------------------------------------------------------


async def test_a_block_is_shown_in_pages(chain: Any, idle_chain: Any) -> None:
    for nonce in range(5):
        await idle_chain.call("eth_sendRawTransaction", hexed(idle_chain.signed(nonce=nonce, value=nonce)))
    await idle_chain.engine.mine()
    details = await idle_chain.call("ots_getBlockDetails", 1)
    block = await idle_chain.call("eth_getBlockByNumber", "0x1", True)
    receipts = await idle_chain.call("eth_getBlockReceipts", "0x1")
    assert details["block"]["hash"] == block["hash"]
    assert details["block"]["transactionCount"] == 5
    assert "transactions" not in details["block"]
    paid = sum(int(r["gasUsed"], 16) * int(r["effectiveGasPrice"], 16) for r in receipts)
    assert int(details["totalFees"], 16) == paid
    assert await idle_chain.call("ots_getBlockDetailsByHash", block["hash"]) == details
    first = await idle_chain.call("ots_getBlockTransactions", 1, 0, 2)
    assert [tx["hash"] for tx in first["fullblock"]["transactions"]] == [t["hash"] for t in block["transactions"][3:]]
    last = await idle_chain.call("ots_getBlockTransactions", 1, 2, 2)
    assert [tx["nonce"] for tx in last["fullblock"]["transactions"]] == ["0x0"]
    assert last["receipts"][0]["logs"] is None
    assert (await idle_chain.call("ots_getBlockTransactions", 1, 3, 2))["receipts"] == []
    assert await idle_chain.call("ots_getBlockDetails", 77) is None
    assert await idle_chain.call("ots_getApiLevel") == 8
    header = await idle_chain.call("erigon_getHeaderByNumber", "latest")
    assert header["hash"] == block["hash"]
    assert (await idle_chain.call("erigon_getHeaderByNumber", 1))["hash"] == block["hash"]
    assert await idle_chain.call("erigon_getHeaderByHash", "0x" + "ee" * 32) is None


async def test_an_accounts_history_is_searched_both_ways(chain: Any) -> None:
    me, other = hexed(chain.addresses[0]), hexed(chain.addresses[1])
    hashes = [(await chain.send(nonce=nonce))["transactionHash"] for nonce in range(6)]
    back = (await chain.send(account=1, to=chain.addresses[0]))["transactionHash"]
    everything = [back, *hashes[::-1]]

    async def search(method: str, *params: Any) -> Any:
        return await chain.call(f"ots_searchTransactions{method}", *params)

    newest = await search("Before", me, 0, 3)
    assert [tx["hash"] for tx in newest["txs"]] == everything[:3]
    assert (newest["firstPage"], newest["lastPage"]) == (True, False)
    assert all(isinstance(r["timestamp"], int) and r["status"] == "0x1" for r in newest["receipts"])
    older = await search("Before", me, int(newest["txs"][-1]["blockNumber"], 16), 25)
    assert [tx["hash"] for tx in older["txs"]] == everything[3:]
    assert (older["firstPage"], older["lastPage"]) == (False, True)
    oldest = await search("After", other, 0, 2)
    assert [tx["hash"] for tx in oldest["txs"]] == hashes[1::-1]
    assert (oldest["firstPage"], oldest["lastPage"]) == (False, True)
    rest = await search("After", other, int(oldest["txs"][0]["blockNumber"], 16), 100)
    assert [tx["hash"] for tx in rest["txs"]] == everything[:5]
    assert rest["firstPage"] is True
    nobody = await search("Before", SINK, 0, 5)
    assert nobody == {"txs": [], "receipts": [], "firstPage": True, "lastPage": True}
    for nonce, digest in enumerate(hashes):
        assert await chain.call("ots_getTransactionBySenderAndNonce", me, nonce) == digest
    assert await chain.call("ots_getTransactionBySenderAndNonce", me, 6) is None
    assert await chain.call("ots_getTransactionBySenderAndNonce", other, 0) == back
    assert await chain.call("ots_getTransactionBySenderAndNonce", SINK, 0) is None


async def test_several_of_one_block_are_found_by_nonce(idle_chain: Any) -> None:
    raws = [idle_chain.signed(nonce=nonce) for nonce in range(4)]
    for raw in raws:
        await idle_chain.call("eth_sendRawTransaction", hexed(raw))
    await idle_chain.engine.mine()
    me = hexed(idle_chain.addresses[0])
    for nonce, raw in enumerate(raws):
        found = await idle_chain.call("ots_getTransactionBySenderAndNonce", me, nonce)
        assert found == hexed(keccak256(raw))
        whole = await idle_chain.call("eth_getTransactionBySenderAndNonce", me, hex(nonce))
        assert whole == await idle_chain.call("eth_getTransactionByHash", found)
    waiting = hexed(keccak256(idle_chain.signed(nonce=4)))
    await idle_chain.call("eth_sendRawTransaction", hexed(idle_chain.signed(nonce=4)))
    found = await idle_chain.call("eth_getTransactionBySenderAndNonce", me, "0x4")
    assert (found["hash"], found["blockHash"]) == (waiting, None)
    assert await idle_chain.call("eth_getTransactionBySenderAndNonce", me, "0x5") is None
    page = await idle_chain.call("ots_searchTransactionsBefore", me, 0, 1)
    assert page == await idle_chain.call("ots_searchTransactionsBefore", me, 0, 0)  # a page has one at least
    assert len(page["txs"]) == 4, "a block is never cut in two"


@pytest.mark.parametrize(
    ("method", "params", "words"),
    [
        ("trace_filter", [{"fromBlock": "0x5"}], "invalid block range params"),
        ("trace_filter", [{"fromAddress": "0x1"}], "fromAddress is a list"),
        ("trace_filter", [{"mode": "all"}], "mode is intersection or union"),
        ("trace_get", ["0x" + "00" * 32, 5], "a list of numbers"),
    ],
)
async def test_a_malformed_question_is_one_sentence(chain: Any, method: str, params: Any, words: str) -> None:
    assert words in (await chain.error(method, *params))["message"]


async def test_the_pool_of_one_account(idle_chain: Any) -> None:
    me = hexed(idle_chain.addresses[0])
    for nonce in (0, 2):
        await idle_chain.call("eth_sendRawTransaction", hexed(idle_chain.signed(nonce=nonce)))
    mine = await idle_chain.call("txpool_contentFrom", me)
    assert {kind: list(found) for kind, found in mine.items()} == {"pending": ["0"], "queued": ["2"]}
    assert mine["pending"]["0"]["from"] == me
    assert mine["pending"]["0"]["blockHash"] is None
    assert await idle_chain.call("txpool_contentFrom", SINK) == {"pending": {}, "queued": {}}
    assert await idle_chain.call("txpool_status") == {"pending": "0x1", "queued": "0x1"}


async def test_a_block_full_of_an_accounts_transactions_is_read_once_for_one_of_them(
    idle_chain: Any, monkeypatch: Any
) -> None:
    """It was read once more for each of them, while everybody waited."""
    raws = [idle_chain.signed(nonce=nonce) for nonce in range(40)]
    for raw in raws:
        await idle_chain.call("eth_sendRawTransaction", "0x" + raw.hex())
    await idle_chain.call("evm_mine")
    threads = threads_of(monkeypatch, idle_chain.app.store, "block")
    sender = "0x" + idle_chain.addresses[0].hex()
    found = await idle_chain.call("ots_getTransactionBySenderAndNonce", sender, 39)
    assert found == "0x" + keccak256(raws[39]).hex()
    assert len(threads) <= 5
    assert threading.get_ident() not in threads

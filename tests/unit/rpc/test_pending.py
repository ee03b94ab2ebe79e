"""``pending`` is the next block with the mempool's transactions carried out: balances, storage, calls, receipts."""

from __future__ import annotations

from typing import Any

from openledger.abci_app.action import build_native
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.primitives.hashing import keccak256

GWEI = 10**9
NOBODY = "0x" + "77" * 20


def hexed(raw: bytes) -> str:
    return "0x" + raw.hex()


async def send(chain: Any, raw: bytes) -> str:
    found: str = await chain.call("eth_sendRawTransaction", hexed(raw))
    return found


async def test_what_was_sent_shows_at_once_and_latest_stays(idle_chain: Any) -> None:
    me = hexed(idle_chain.addresses[0])
    before = int(await idle_chain.call("eth_getBalance", me, "latest"), 16)
    assert int(await idle_chain.call("eth_getBalance", me, "pending"), 16) == before
    await send(idle_chain, idle_chain.signed(to=bytes.fromhex(NOBODY[2:]), value=7))
    assert await idle_chain.call("eth_getBalance", NOBODY, "pending") == "0x7"
    assert await idle_chain.call("eth_getBalance", NOBODY, "latest") == "0x0"
    await send(idle_chain, idle_chain.signed(nonce=1, to=bytes.fromhex(NOBODY[2:]), value=5))
    assert await idle_chain.call("eth_getBalance", NOBODY, "pending") == hex(12)
    assert int(await idle_chain.call("eth_getBalance", me, "pending"), 16) < before - 12
    assert await idle_chain.call("eth_getTransactionCount", me, "pending") == "0x2"
    assert await idle_chain.call("eth_getTransactionCount", me, "latest") == "0x0"
    assert (await idle_chain.call("eth_getAccountInfo", NOBODY, "pending"))["balance"] == hex(12)
    await idle_chain.engine.mine()
    assert await idle_chain.call("eth_getBalance", NOBODY, "latest") == hex(12)


async def test_a_contract_that_waits_can_be_called_estimated_and_read(idle_chain: Any, counter: Any) -> None:
    me = hexed(idle_chain.addresses[0])
    await send(idle_chain, idle_chain.signed(to=None, data=counter.init, gas=300_000))
    block = await idle_chain.call("eth_getBlockByNumber", "pending", True)
    receipts = await idle_chain.call("eth_getBlockReceipts", "pending")
    address = receipts[0]["contractAddress"]
    assert await idle_chain.call("eth_getCode", address, "pending") == hexed(counter.runtime)
    assert await idle_chain.call("eth_getCode", address, "latest") == "0x"
    wish = {"from": me, "to": address, "data": "0x01"}
    await send(idle_chain, idle_chain.signed(nonce=1, to=bytes.fromhex(address[2:]), data=b"\1", gas=100_000))
    assert int(await idle_chain.call("eth_call", wish, "pending"), 16) == 2, "one bump waits, this is the second"
    assert await idle_chain.call("eth_call", wish, "latest") == "0x"
    assert int(await idle_chain.call("eth_estimateGas", wish, "pending"), 16) > 21_000
    assert int(await idle_chain.call("eth_getStorageAt", address, "0x0", "pending"), 16) == 1
    values = await idle_chain.call("eth_getStorageValues", {address: ["0x0", "0x1"]}, "pending")
    assert [int(word, 16) for word in values[address]] == [1, 0]
    listed = await idle_chain.call("eth_createAccessList", wish, "pending")
    assert listed["accessList"] == [{"address": address, "storageKeys": ["0x" + "00" * 32]}]
    assert (block["hash"], block["miner"], block["nonce"], block["number"]) == (None, None, None, "0x1")
    assert [tx["type"] for tx in block["transactions"]] == ["0x2"]
    assert block["transactions"][0]["blockHash"] is None


async def test_the_next_block_has_its_counts_transactions_headers_and_fees(idle_chain: Any) -> None:
    head = await idle_chain.call("eth_getBlockByNumber", "latest", False)
    raws = [idle_chain.signed(nonce=nonce, max_priority_fee=2 * GWEI) for nonce in (0, 1, 3)]
    for raw in raws:
        await send(idle_chain, raw)
    block = await idle_chain.call("eth_getBlockByNumber", "pending", False)
    assert block["transactions"] == [hexed(keccak256(raw)) for raw in raws[:2]], "a gap is not in the next block"
    assert block["parentHash"] == head["hash"]
    assert block["gasUsed"] == hex(2 * 21_000)
    assert await idle_chain.call("eth_getBlockTransactionCountByNumber", "pending") == "0x2"
    second = await idle_chain.call("eth_getTransactionByBlockNumberAndIndex", "pending", "0x1")
    assert (second["hash"], second["blockHash"]) == (hexed(keccak256(raws[1])), None)
    assert await idle_chain.call("eth_getTransactionByBlockNumberAndIndex", "pending", "0x2") is None
    header = await idle_chain.call("eth_getHeaderByNumber", "pending")
    assert (header["hash"], header["gasUsed"]) == (None, block["gasUsed"])
    history = await idle_chain.call("eth_feeHistory", "0x2", "pending", [50])
    assert (history["oldestBlock"], history["reward"]) == ("0x0", [["0x0"], [hex(2 * GWEI)]])
    assert history["gasUsedRatio"][1] == 2 * 21_000 / 30_000_000


async def test_what_the_next_block_would_refuse_is_left_out(idle_chain: Any) -> None:
    rich, poor = idle_chain.addresses[0], idle_chain.addresses[1]
    funds = int(await idle_chain.call("eth_getBalance", hexed(poor)), 16)
    everything = funds - 21_000 * 4 * GWEI
    await send(idle_chain, idle_chain.signed(account=1, value=everything, to=rich))
    await send(idle_chain, idle_chain.signed(account=0, to=bytes.fromhex(NOBODY[2:]), value=1))
    block = await idle_chain.call("eth_getBlockByNumber", "pending", True)
    assert len(block["transactions"]) == 2
    assert int(await idle_chain.call("eth_getBalance", hexed(poor), "pending"), 16) < 21_000 * 4 * GWEI


async def test_a_native_transaction_shows_its_effects_too(idle_chain: Any) -> None:
    raw = build_native(
        idle_chain.secrets[2], chain_id=idle_chain.app.genesis.evm_chain_id, nonce=0, max_fee=5 * GWEI,
        max_priority_fee=0, action=DatanetCreate("speeches"),
    )  # fmt: skip
    await send(idle_chain, raw)
    block = await idle_chain.call("eth_getBlockByNumber", "pending", True)
    assert [tx["type"] for tx in block["transactions"]] == ["0x50"]
    receipt = (await idle_chain.call("eth_getBlockReceipts", "pending"))[0]
    assert receipt["status"] == "0x1"
    assert receipt["logs"]


async def test_the_guess_is_made_once_for_all_who_ask(idle_chain: Any, monkeypatch: Any) -> None:
    import asyncio

    made = []
    real = idle_chain.app.preview

    def counted(seconds: int) -> Any:
        made.append(seconds)
        return real(seconds)

    monkeypatch.setattr(idle_chain.app, "preview", counted)
    monkeypatch.setattr(idle_chain.server._backend, "clock", lambda: 2_000_000_000)
    await send(idle_chain, idle_chain.signed(to=bytes.fromhex(NOBODY[2:]), value=1))
    asked = [idle_chain.call("eth_getBalance", NOBODY, "pending") for _ in range(8)]
    assert set(await asyncio.gather(*asked)) == {"0x1"}
    assert len(made) == 1
    block = await idle_chain.call("eth_getBlockByNumber", "pending", False)
    assert block["timestamp"] == hex(2_000_000_000)
    assert len(made) == 1


async def test_a_filter_of_waiting_transactions_gives_hashes_or_whole_ones(idle_chain: Any) -> None:
    hashes = await idle_chain.call("eth_newPendingTransactionFilter")
    whole = await idle_chain.call("eth_newPendingTransactionFilter", True)
    digest = await send(idle_chain, idle_chain.signed())
    assert await idle_chain.call("eth_getFilterChanges", hashes) == [digest]
    found = await idle_chain.call("eth_getFilterChanges", whole)
    assert [(tx["hash"], tx["blockHash"]) for tx in found] == [(digest, None)]
    for ident in (hashes, whole):
        assert await idle_chain.call("eth_getFilterChanges", ident) == [], "told once"
    gone = await idle_chain.error("eth_getFilterChanges", "0x1234")
    assert (gone["code"], gone["message"]) == (-32000, "filter not found")
    wrong = await idle_chain.error("eth_newFilter", {"fromBlock": "0x5", "toBlock": "0x1"})
    assert (wrong["code"], wrong["message"]) == (-32602, "invalid block range params")
    pending = await idle_chain.error("eth_newFilter", {"fromBlock": "pending"})
    assert pending["message"] == "pending logs are not supported"


async def test_a_simulation_can_stand_on_the_next_block(idle_chain: Any) -> None:
    await send(idle_chain, idle_chain.signed(to=bytes.fromhex(NOBODY[2:]), value=7))
    calls = [{"from": NOBODY, "to": hexed(idle_chain.addresses[3]), "value": "0x7"}]
    found = await idle_chain.call("eth_simulateV1", {"blockStateCalls": [{"calls": calls}, {}]}, "pending")
    assert found[0]["calls"][0]["status"] == "0x1"
    assert [block["number"] for block in found] == ["0x2", "0x3"]
    assert found[0]["stateRoot"] == found[1]["stateRoot"] != "0x" + "00" * 32
    poor = await idle_chain.error("eth_simulateV1", {"blockStateCalls": [{"calls": calls}]}, "latest")
    assert poor["code"] == -38014


async def test_an_edit_of_a_devnet_shows_in_pending_at_once(idle_chain: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(idle_chain.server._backend, "clock", lambda: 2_000_000_000)
    assert await idle_chain.call("eth_getBalance", NOBODY, "pending") == "0x0"
    await idle_chain.call("anvil_setBalance", NOBODY, "0x64")
    assert await idle_chain.call("eth_getBalance", NOBODY, "pending") == "0x64"
    found = await idle_chain.call("eth_simulateV1", {"blockStateCalls": [{}]}, "latest")
    await idle_chain.engine.mine()
    sealed = await idle_chain.call("eth_getBlockByNumber", "latest", False)
    assert found[0]["stateRoot"] == sealed["stateRoot"]

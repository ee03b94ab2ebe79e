"""The controls of a solo devnet, asked as tools ask them."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import Any

import aiohttp
import pytest

from openledger.primitives.hashing import keccak256
from openledger.primitives.keys import recover_signature
from openledger.primitives.types import to_hex
from openledger.rpc.backend import Backend
from openledger.rpc.server import RpcServer
from openledger.state.store import StateStore
from tests.waiting import PATIENCE

OPEN = 10**18
STRANGER = "0x" + "5a" * 20
SLOT_2 = "0x" + "00" * 31 + "02"


def number(text: str) -> int:
    return int(text, 16)


async def height(chain: Any) -> int:
    return number(await chain.call("eth_blockNumber"))


async def supply(chain: Any) -> dict[str, int]:
    return {name: number(value) for name, value in (await chain.call("openledger_getSupply")).items()}


def again(chain: Any) -> None:
    """The chain replays: every stored block gives the receipts it has, and the trie is that of the tables."""
    for at in range(1, chain.app.head().number + 1):
        list(chain.app.replay(at))
    chain.app.store.verify()


async def test_a_network_knows_none_of_the_controls(chain: Any) -> None:
    old = chain.server._backend
    server = RpcServer(Backend(old.app, old.consensus, old.blobs, "", dict))
    only_here = {name for name in chain.server.dispatcher.methods if name not in server.dispatcher.methods}
    assert {name.partition("_")[0] for name in only_here} == {
        "anvil", "hardhat", "evm", "tenderly", "personal", "eth", "openledger",
    }  # fmt: skip
    assert "evm_snapshot" in only_here
    assert "eth_sendTransaction" in only_here
    await server._workers.stop()


# --- edits ------------------------------------------------------------------------------------------------


async def test_an_edit_is_read_at_once_makes_no_block_and_is_in_the_next(chain: Any) -> None:
    before = await height(chain)
    assert await chain.call("anvil_setBalance", STRANGER, "0x64") is None
    assert await chain.call("hardhat_setNonce", STRANGER, "0x7") is True
    assert await chain.call("anvil_setCode", STRANGER, "0x6001600155") is None
    assert await chain.call("anvil_setStorageAt", STRANGER, "0x2", SLOT_2) is True
    assert await height(chain) == before
    for _ in range(2):
        assert await chain.call("eth_getBalance", STRANGER, "latest") == "0x64"
        assert await chain.call("eth_getTransactionCount", STRANGER, "latest") == "0x7"
        assert await chain.call("eth_getCode", STRANGER, "latest") == "0x6001600155"
        assert await chain.call("eth_getStorageAt", STRANGER, "0x2", "latest") == SLOT_2
        await chain.call("evm_mine")
    assert await chain.call("eth_getBalance", STRANGER, hex(before)) == "0x0"
    again(chain)


async def test_roots_and_proofs_hold_with_edits(chain: Any) -> None:
    await chain.call("anvil_setBalance", STRANGER, hex(3 * OPEN))
    await chain.call("evm_mine")
    proof = await chain.call("eth_getProof", STRANGER, [], "latest")
    block = await chain.call("eth_getBlockByNumber", "latest", False)
    assert keccak256(bytes.fromhex(proof["accountProof"][0][2:])).hex() == block["stateRoot"][2:]
    assert number(proof["balance"]) == 3 * OPEN


async def test_edited_wei_are_counted_apart_and_the_sum_of_all_balances_is_the_supply(chain: Any) -> None:
    rich = to_hex(chain.addresses[3])
    await chain.call("anvil_setBalance", STRANGER, hex(500))
    await chain.call("hardhat_setBalance", rich, "0x0")
    await chain.call("tenderly_addBalance", STRANGER, hex(7))
    after = await supply(chain)
    assert (after["edited"], after["editedAway"]) == (507, 10_000 * OPEN)
    await chain.call("evm_mine")
    state = chain.app.state()
    holders = [key[1:] for key, _ in state.entries(b"a")]
    assert sum(state.account(a).balance for a in holders) == (await supply(chain))["total"]


@pytest.mark.parametrize("value", ["0x" + "ff" * 32, 5, "5", "0x0005"])
async def test_numbers_are_taken_in_the_forms_that_tools_send(chain: Any, value: Any) -> None:
    await chain.call("anvil_setBalance", STRANGER, value)
    await chain.call("anvil_setBalance", STRANGER, value)
    found = number(await chain.call("eth_getBalance", STRANGER, "latest"))
    assert found == (5 if value != "0x" + "ff" * 32 else 2**256 - 1)
    await chain.call("evm_mine")
    again(chain)


async def test_records_of_the_chain_cannot_be_edited(chain: Any) -> None:
    error = await chain.error("anvil_setStorageAt", "0x" + "00" * 18 + "0804", "0x1", SLOT_2)
    assert error["code"] == -32602
    assert "belongs to the chain itself" in error["message"]
    await chain.call("anvil_setBalance", "0x" + "00" * 18 + "0804", "0x1")


async def test_an_edit_survives_a_restart(chain: Any) -> None:
    await chain.call("anvil_setBalance", STRANGER, "0x64")
    app = type(chain.app)(
        chain.app.genesis, StateStore(chain.app.store.kv), chain.app.engine, chain.app._verdicts, None
    )
    account = app.state().account(bytes.fromhex(STRANGER[2:]))
    assert account is not None
    assert account.balance == 100


async def test_the_next_block_has_the_base_fee_coinbase_randao_and_gas_limit_that_were_asked_for(chain: Any) -> None:
    await chain.call("hardhat_setNextBlockBaseFeePerGas", "0x0")
    await chain.call("anvil_setCoinbase", STRANGER)
    await chain.call("hardhat_setPrevRandao", "0x1234")
    assert await chain.call("evm_setBlockGasLimit", "0x1000000") is True
    assert (await chain.call("eth_getBlockByNumber", "pending", False))["baseFeePerGas"] == "0x0"
    await chain.send(max_fee=10**9)
    block = await chain.call("eth_getBlockByNumber", "latest", False)
    assert block["baseFeePerGas"] == "0x0"
    assert block["miner"] == STRANGER
    assert number(block["mixHash"]) == 0x1234
    assert block["gasLimit"] == "0x1000000"
    assert number(await chain.call("eth_getBalance", STRANGER, "latest")) == 21_000 * 10**9
    await chain.call("evm_mine")
    after = await chain.call("eth_getBlockByNumber", "latest", False)
    assert after["miner"] == STRANGER, "the coinbase stays"
    assert number(after["baseFeePerGas"]) > 0, "the base fee was of one block only"
    assert after["gasLimit"] == "0x1000000"
    assert number(after["mixHash"]) != 0x1234
    again(chain)


async def test_a_dump_carries_accounts_code_and_storage_to_another_chain(chain: Any) -> None:
    await chain.call("anvil_setCode", STRANGER, "0x6001")
    await chain.call("anvil_setStorageAt", STRANGER, "0x2", SLOT_2)
    await chain.call("anvil_setBalance", STRANGER, "0x64")
    dump = await chain.call("anvil_dumpState")
    await chain.call("anvil_reset")
    assert await chain.call("eth_getCode", STRANGER, "latest") == "0x"
    assert await chain.call("anvil_loadState", dump) is True
    assert await chain.call("eth_getBalance", STRANGER, "latest") == "0x64"
    assert await chain.call("eth_getStorageAt", STRANGER, "0x2", "latest") == SLOT_2
    plain = {"accounts": {STRANGER: {"nonce": 9, "balance": "0x1", "code": "0x", "storage": {}}}}
    assert await chain.call("hardhat_loadState", to_hex(json.dumps(plain).encode())) is True
    assert await chain.call("eth_getTransactionCount", STRANGER, "latest") == "0x9"
    assert (await chain.error("anvil_loadState", "0x1234"))["code"] == -32602


# --- mining and time ----------------------------------------------------------------------------------------


async def test_when_a_send_returns_its_receipt_is_there(chain: Any) -> None:
    for nonce in range(5):
        digest = await chain.call("eth_sendRawTransaction", to_hex(chain.signed(nonce=nonce)))
        assert (await chain.call("eth_getTransactionReceipt", digest))["status"] == "0x1"


async def test_a_burst_becomes_few_blocks_and_everybody_is_answered(chain: Any) -> None:
    before = await height(chain)
    raws = [to_hex(chain.signed(account)) for account in range(8)]
    digests = await asyncio.gather(*(chain.call("eth_sendRawTransaction", raw) for raw in raws))
    for digest in digests:
        assert await chain.call("eth_getTransactionReceipt", digest) is not None
    assert await height(chain) - before < 8


async def test_a_transaction_behind_a_gap_is_answered_too(chain: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        digest = await chain.call("eth_sendRawTransaction", to_hex(chain.signed(nonce=5)))
    assert await chain.call("eth_getTransactionReceipt", digest) is None


async def test_without_automine_nothing_is_mined_until_it_is_asked_for(chain: Any) -> None:
    assert await chain.call("evm_setAutomine", False) is True
    assert await chain.call("anvil_getAutomine") is False
    before = await height(chain)
    digest = await chain.call("eth_sendRawTransaction", to_hex(chain.signed()))
    await asyncio.sleep(0.5)
    assert await height(chain) == before
    assert await chain.call("txpool_status") == {"pending": "0x1", "queued": "0x0"}
    assert (await chain.call("eth_getBlockByNumber", "pending", False))["transactions"] == [digest]
    assert await chain.call("evm_mine") == "0x0"
    assert (await chain.call("eth_getTransactionReceipt", digest))["blockNumber"] == hex(before + 1)
    await chain.call("evm_setAutomine", True)
    await chain.send(nonce=1)


async def test_switching_automine_on_mines_what_waits(chain: Any) -> None:
    await chain.call("anvil_setAutomine", False)
    digest = await chain.call("eth_sendRawTransaction", to_hex(chain.signed()))
    await chain.call("anvil_setAutomine", True)
    async with asyncio.timeout(PATIENCE):
        while await chain.call("eth_getTransactionReceipt", digest) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_blocks_by_the_clock_begin_and_end(chain: Any) -> None:
    await chain.call("hardhat_setIntervalMining", 30)
    assert await chain.call("hardhat_getAutomine") is False
    before = await height(chain)
    async with asyncio.timeout(PATIENCE):
        while await height(chain) < before + 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await chain.call("evm_setIntervalMining", 0)
    assert await chain.call("hardhat_getAutomine") is True
    before = await height(chain)
    await asyncio.sleep(0.2)
    assert await height(chain) == before
    assert await chain.call("anvil_getIntervalMining") is None


async def timestamp(chain: Any) -> int:
    return number((await chain.call("eth_getBlockByNumber", "latest", False))["timestamp"])


async def test_the_clock_jumps_and_stays_ahead(chain: Any) -> None:
    before = await timestamp(chain)
    assert await chain.call("evm_increaseTime", "0xe10") == 3600
    await chain.call("evm_mine")
    assert 3600 <= await timestamp(chain) - before < 3660
    assert await chain.call("anvil_increaseTime", 400) == 4000
    wanted = await timestamp(chain) + 86_400
    assert await chain.call("evm_setNextBlockTimestamp", wanted) is None
    await chain.call("evm_mine")
    assert await timestamp(chain) == wanted
    await chain.call("evm_mine")
    assert wanted <= await timestamp(chain) < wanted + 60
    error = await chain.error("evm_setNextBlockTimestamp", wanted - 1)
    assert error["message"] == f"Timestamp error: {wanted - 1} is lower than previous block's timestamp"
    same = await timestamp(chain)
    await chain.call("evm_mine", {"timestamp": same, "blocks": 2})
    assert same <= await timestamp(chain) < same + 60


async def test_no_clock_runs_beyond_what_a_block_can_keep(chain: Any) -> None:
    last = 2**33
    for method, when in (("evm_setNextBlockTimestamp", last + 1), ("anvil_setTime", 2**33 * 3000)):
        assert "is too far" in (await chain.error(method, when))["message"]
    assert "is too far" in (await chain.error("evm_increaseTime", hex(2**63)))["message"]
    await chain.call("anvil_setBlockTimestampInterval", hex(2**63))
    await chain.call("anvil_mine", 2)
    await chain.call("anvil_removeBlockTimestampInterval")
    await chain.call("evm_mine")
    assert await timestamp(chain) == last
    again(chain)


async def test_epochs_see_the_shifted_time(chain: Any) -> None:
    first = (await chain.call("openledger_getEpoch"))["number"]
    await chain.send()
    await chain.call("evm_increaseTime", 86_400)
    await chain.call("evm_mine")
    await chain.send(nonce=1)
    assert (await chain.call("openledger_getEpoch"))["number"] > first


async def test_many_blocks_are_mined_apart_in_time(chain: Any) -> None:
    at, before = await timestamp(chain), await height(chain)
    assert await chain.call("anvil_mine", "0x3", "0xa") is None
    assert (await timestamp(chain) - at, await height(chain) - before) == (30, 3)
    at = await timestamp(chain)
    assert await chain.call("hardhat_mine", "0x3", "0x64") is True
    assert 200 <= await timestamp(chain) - at < 260
    blocks = await chain.call("evm_mine_detailed", {"blocks": 2})
    assert [number(block["number"]) for block in blocks] == [before + 7, before + 8]
    await chain.call("anvil_setBlockTimestampInterval", 60)
    at = await timestamp(chain)
    await chain.call("anvil_mine", 2)
    assert await timestamp(chain) - at == 120
    assert await chain.call("anvil_removeBlockTimestampInterval") is True
    assert await chain.call("anvil_removeBlockTimestampInterval") is False


async def test_dropped_transactions_are_gone(chain: Any) -> None:
    await chain.call("evm_setAutomine", False)
    digests = [await chain.call("eth_sendRawTransaction", to_hex(chain.signed(i))) for i in range(3)]
    assert await chain.call("anvil_dropTransaction", digests[0]) == digests[0]
    assert await chain.call("anvil_dropTransaction", digests[0]) is None
    await chain.call("anvil_removePoolTransactions", to_hex(chain.addresses[1]))
    assert (await chain.call("txpool_status"))["pending"] == "0x1"
    await chain.call("evm_mine")
    assert "already mined" in (await chain.error("hardhat_dropTransaction", digests[2]))["message"]
    await chain.call("eth_sendRawTransaction", to_hex(chain.signed(0)))
    await chain.call("anvil_dropAllTransactions")
    assert (await chain.call("txpool_status"))["pending"] == "0x0"


# --- there and back -----------------------------------------------------------------------------------------


async def test_a_revert_takes_back_blocks_state_native_records_indexes_pool_and_clock(chain: Any) -> None:
    await chain.send()
    await chain.call("evm_setAutomine", False)
    waiting = await chain.call("eth_sendRawTransaction", to_hex(chain.signed(1)))
    await chain.call("anvil_setBalance", STRANGER, "0x64")
    at, root = await height(chain), chain.app.head().state_root
    before, clock = await supply(chain), await timestamp(chain)
    snapshot = await chain.call("evm_snapshot")
    await chain.call("evm_increaseTime", 10**6)
    await chain.call("evm_mine")
    await chain.call("evm_setAutomine", True)
    gone = await chain.send(nonce=1)
    await chain.call("hardhat_mine", "0x20")
    await chain.call("evm_setAutomine", False)  # else what waits again is in a block at the next tick
    assert await chain.call("evm_revert", snapshot) is True
    assert await height(chain) == at
    assert chain.app.head().state_root == root
    assert await supply(chain) == before
    assert await chain.call("eth_getTransactionReceipt", gone["transactionHash"]) is None
    assert await chain.call("eth_getBlockByHash", gone["blockHash"], False) is None
    assert await chain.call("eth_getBalance", STRANGER, "latest") == "0x64"
    assert (await chain.call("eth_getTransactionByHash", waiting))["blockNumber"] is None
    chain.app.store.verify()
    await chain.call("evm_mine")
    assert (await chain.call("eth_getTransactionReceipt", waiting))["blockNumber"] == hex(at + 1)
    assert await timestamp(chain) - clock < 60
    again(chain)


async def test_a_snapshot_is_used_up_with_all_later_ones(chain: Any) -> None:
    first, second = await chain.call("evm_snapshot"), await chain.call("anvil_snapshot")
    assert (first, second) == ("0x1", "0x2")
    await chain.call("evm_mine")
    assert await chain.call("evm_revert", first) is True
    assert await chain.call("evm_revert", first) is False
    assert await chain.call("evm_revert", second) is False
    assert await chain.call("evm_revert", "0x99") is False
    assert await chain.call("evm_snapshot") == "0x3"


async def test_the_chain_after_a_revert_is_another_one_of_the_same_height(chain: Any) -> None:
    snapshot = await chain.call("evm_snapshot")
    old = await chain.send(value=1)
    await chain.call("evm_revert", snapshot)
    new = await chain.send(value=2)
    assert old["blockNumber"] == new["blockNumber"]
    assert old["blockHash"] != new["blockHash"]
    assert number(await chain.call("eth_getBalance", to_hex(chain.addresses[1]), "latest")) == 10_000 * OPEN + 2
    again(chain)


async def test_filters_and_subscriptions_hear_of_a_revert(chain: Any, counter: Any) -> None:
    contract = (await chain.send(to=None, data=counter.init, gas=200_000))["contractAddress"]
    snapshot = await chain.call("evm_snapshot")
    logs, blocks = await chain.call("eth_newFilter", {}), await chain.call("eth_newBlockFilter")
    async with aiohttp.ClientSession() as http, http.ws_connect(chain.url) as socket:
        await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["logs", {}]})
        assert "result" in await socket.receive_json()
        bump = {"to": bytes.fromhex(contract[2:]), "data": b"\1", "gas": 100_000}
        await chain.send(nonce=1, **bump)
        assert (await socket.receive_json())["params"]["result"]["removed"] is False
        assert [log["removed"] for log in await chain.call("eth_getFilterChanges", logs)] == [False]
        await chain.call("eth_getFilterChanges", blocks)
        await chain.call("evm_revert", snapshot)
        assert (await socket.receive_json(timeout=PATIENCE))["params"]["result"]["removed"] is True
        receipt = await chain.send(nonce=1, **bump)
        told = await socket.receive_json(timeout=PATIENCE)
        assert told["params"]["result"]["blockHash"] == receipt["blockHash"]
    assert [log["removed"] for log in await chain.call("eth_getFilterChanges", logs)] == [True, False]
    assert await chain.call("eth_getFilterChanges", blocks) == [receipt["blockHash"]]


async def test_a_rollback_undoes_the_newest_blocks(chain: Any) -> None:
    await chain.send(value=5)
    await chain.send(nonce=1)
    old = await chain.call("evm_snapshot")
    await chain.call("evm_mine")
    await chain.call("evm_snapshot")
    assert await chain.call("anvil_rollback", 1) is None
    assert await height(chain) == 2
    assert len((await chain.call("anvil_metadata"))["snapshots"]) == 1
    await chain.call("anvil_rollback", "0x1")
    assert number(await chain.call("eth_getBalance", to_hex(chain.addresses[1]), "latest")) == 10_000 * OPEN + 5
    assert await chain.call("evm_revert", old) is False
    await chain.send(nonce=1)
    assert "must not exceed" in (await chain.error("anvil_rollback", 9))["message"]
    again(chain)


async def test_a_reset_is_the_first_block_again_with_another_instance(chain: Any) -> None:
    first = await chain.call("eth_getBlockByNumber", "0x0", False)
    before = await chain.call("hardhat_metadata")
    await chain.send()
    await chain.call("evm_increaseTime", 1000)
    assert await chain.call("hardhat_reset") is True
    assert await height(chain) == 0
    assert await chain.call("eth_getBlockByNumber", "latest", False) == first
    after = await chain.call("hardhat_metadata")
    assert after["instanceId"] != before["instanceId"]
    assert after["latestBlockHash"] == first["hash"]
    await chain.send()
    error = await chain.error("hardhat_reset", {"forking": {"jsonRpcUrl": "http://example.org"}})
    assert "another fork" in error["message"]


async def test_a_thousand_blocks_are_undone_in_a_moment(chain: Any) -> None:
    snapshot = await chain.call("evm_snapshot")
    await chain.call("anvil_mine", 1000)
    before = time.process_time()
    assert await chain.call("evm_revert", snapshot) is True
    assert time.process_time() - before < 3
    assert await height(chain) == 0


async def test_what_makes_no_sense_with_eip_1559_is_refused_in_the_tools_words(chain: Any) -> None:
    for prefix in ("anvil", "hardhat"):
        error = await chain.error(f"{prefix}_setMinGasPrice", "0x1")
        assert error == {"code": -32602, "message": "setMinGasPrice is not supported when EIP-1559 is active"}
        await chain.call(f"{prefix}_setLoggingEnabled", False)
        assert not logging.getLogger("openledger.rpc").isEnabledFor(logging.WARNING)
        await chain.call(f"{prefix}_setLoggingEnabled", True)
        assert logging.getLogger("openledger.rpc").isEnabledFor(logging.WARNING)


async def test_tools_find_what_they_look_for_in_the_node(chain: Any) -> None:
    info, head = await chain.call("anvil_nodeInfo"), await chain.call("eth_getBlockByNumber", "latest", False)
    assert info["currentBlockHash"] == head["hash"]
    assert info["currentBlockNumber"] == head["number"]
    assert info["environment"]["chainId"] == 161237
    assert info["forkConfig"]["forkUrl"] is None
    snapshot = await chain.call("evm_snapshot")
    assert (await chain.call("anvil_metadata"))["snapshots"] == {snapshot: [0, head["hash"]]}


# --- accounts -----------------------------------------------------------------------------------------------


async def test_the_node_signs_and_sends_for_its_accounts(chain: Any) -> None:
    sender, to = to_hex(chain.addresses[2]), STRANGER
    digest = await chain.call("eth_sendTransaction", {"from": sender, "to": to, "value": "0x5"})
    tx = await chain.call("eth_getTransactionByHash", digest)
    assert (tx["from"], tx["type"], tx["gas"]) == (sender, "0x2", "0x5208")
    legacy = {"from": sender, "to": to, "value": "0x5", "gasPrice": hex(3 * 10**9), "gas": "0x5208"}
    digest = await chain.call("eth_sendTransaction", legacy)
    assert (await chain.call("eth_getTransactionByHash", digest))["type"] == "0x0"
    listed = legacy | {"accessList": [{"address": STRANGER, "storageKeys": [SLOT_2]}], "gas": "0x7530"}
    digest = await chain.call("eth_sendTransaction", listed)
    assert (await chain.call("eth_getTransactionByHash", digest))["type"] == "0x1"
    raw = await chain.call("eth_signTransaction", {"from": sender, "to": to, "value": "0x5"})
    digest = await chain.call("eth_sendRawTransaction", raw)
    assert (await chain.call("eth_getTransactionReceipt", digest))["from"] == sender
    assert await chain.call("eth_getBalance", STRANGER, "latest") == "0x14"
    receipt = await chain.call("eth_sendTransactionSync", {"from": sender, "to": sender})
    assert receipt["status"] == "0x1"
    assert await chain.call("eth_requestAccounts") == await chain.call("eth_accounts")


async def test_an_account_that_the_node_does_not_have_is_named(chain: Any) -> None:
    await chain.call("anvil_setBalance", STRANGER, hex(OPEN))
    error = await chain.error("eth_sendTransaction", {"from": STRANGER, "to": STRANGER})
    assert error["message"].lower() == f"unknown account {STRANGER}"
    assert (await chain.error("personal_sign", "0x00", STRANGER))["code"] == -32000


async def test_messages_and_typed_data_are_signed(chain: Any) -> None:
    address = to_hex(chain.addresses[0])
    message = "0x" + b"hello".hex()
    signature = await chain.call("personal_sign", message, address)
    assert signature == await chain.call("eth_sign", address, message)
    digest = keccak256(b"\x19Ethereum Signed Message:\n5hello")
    assert recover_signature(digest, bytes.fromhex(signature[2:])) == chain.addresses[0]
    built = await chain.call("openledger_buildTransaction", "datanet.create", {"name": "x"}, {"from": address})
    for method in ("eth_signTypedData_v4", "eth_signTypedData"):
        signature = await chain.call(method, address, built["typedData"])
        assert signature == await chain.call(method, address, json.dumps(built["typedData"]))
    sent = await chain.call("openledger_buildTransaction", "datanet.create", {"name": "x"}, built["options"], signature)
    digest = await chain.call("eth_sendRawTransaction", sent["raw"])
    assert (await chain.call("eth_getTransactionReceipt", digest))["status"] == "0x1"
    for wrong in ({"types": {}}, built["typedData"] | {"types": []}, built["typedData"] | {"types": {"A": [5]}}):
        assert (await chain.error("eth_signTypedData_v4", address, wrong))["code"] == -32602


async def test_types_that_the_primary_one_does_not_need_change_no_signature(chain: Any) -> None:
    """Applications send all their types with each message, and a primary type may stand inside another."""
    address, field = to_hex(chain.addresses[0]), [{"name": "x", "type": "uint256"}]
    data = {"types": {"EIP712Domain": [], "Sale": field}, "primaryType": "Sale", "domain": {}, "message": {"x": 5}}
    signature = await chain.call("eth_signTypedData_v4", address, data)
    others = {"Lot": [{"name": "sales", "type": "Sale[2][]"}], "Other": [{"name": "y", "type": "bytes"}]}
    types = data["types"] | others
    assert await chain.call("eth_signTypedData_v4", address, data | {"types": types}) == signature
    lot = data | {"types": types, "primaryType": "Lot", "message": {"sales": [[{"x": 1}, {"x": 2}]]}}
    only = lot | {"types": {name: types[name] for name in ("EIP712Domain", "Lot", "Sale")}}
    assert await chain.call("eth_signTypedData_v4", address, lot) == await chain.call(
        "eth_signTypedData_v4", address, only
    )


async def test_an_impersonated_contract_sends(chain: Any, counter: Any) -> None:
    contract = (await chain.send(to=None, data=counter.init, gas=200_000))["contractAddress"]
    await chain.call("anvil_setBalance", contract, hex(OPEN))
    assert (
        "unknown account" in (await chain.error("eth_sendTransaction", {"from": contract, "to": STRANGER}))["message"]
    )
    assert await chain.call("hardhat_impersonateAccount", contract) is True
    assert (await chain.call("eth_accounts"))[-1] == contract
    digest = await chain.call("eth_sendTransaction", {"from": contract, "to": STRANGER, "value": "0x9"})
    tx = await chain.call("eth_getTransactionByHash", digest)
    receipt = await chain.call("eth_getTransactionReceipt", digest)
    assert (tx["from"], tx["type"], receipt["status"], receipt["from"]) == (contract, "0x2", "0x1", contract)
    assert await chain.call("eth_getBalance", STRANGER, "latest") == "0x9"
    assert await chain.call("hardhat_stopImpersonatingAccount", contract) is True
    assert await chain.call("hardhat_stopImpersonatingAccount", contract) is False
    assert (
        "unknown account" in (await chain.error("eth_sendTransaction", {"from": contract, "to": STRANGER}))["message"]
    )
    await chain.call("anvil_autoImpersonateAccount", True)
    await chain.call("eth_sendTransaction", {"from": contract, "to": STRANGER, "value": "0x9"})
    await chain.call("anvil_autoImpersonateAccount", False)
    await chain.call("eth_sendUnsignedTransaction", {"from": contract, "to": STRANGER, "value": "0x9"})
    assert await chain.call("eth_getBalance", STRANGER, "latest") == "0x1b"
    trace = await chain.call("debug_traceTransaction", digest, {"tracer": "callTracer"})
    assert trace["from"] == contract
    again(chain)


async def test_the_faucet_gives_within_its_bound(chain: Any) -> None:
    digest = await chain.call("openledger_faucet", STRANGER)
    assert (await chain.call("eth_getTransactionReceipt", digest))["status"] == "0x1"
    assert number(await chain.call("eth_getBalance", STRANGER, "latest")) == 10 * OPEN
    await chain.call("openledger_faucet", STRANGER, hex(100 * OPEN))
    assert "at most" in (await chain.error("openledger_faucet", STRANGER, hex(100 * OPEN + 1)))["message"]
    await chain.call("anvil_setBalance", to_hex(chain.addresses[9]), "0x0")
    assert "cannot give" in (await chain.error("openledger_faucet", STRANGER))["message"]

"""The eth_, net_, web3_ and txpool_ methods against a real chain."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest
import rlp

from openledger.primitives.hashing import keccak256
from openledger.primitives.transactions import decode_transaction
from openledger.rpc.backend import RpcSettings
from openledger.rpc.errors import RpcError
from openledger.rpc.logs import find_logs, parse_log_query

UNKNOWN = "0x" + "ee" * 32
NOBODY = "0x" + "77" * 20


def hexed(raw: bytes) -> str:
    return "0x" + raw.hex()


async def deploy(chain: Any, counter: Any, nonce: int = 0) -> bytes:
    receipt = await chain.send(nonce=nonce, to=None, data=counter.init, gas=300_000)
    return bytes.fromhex(receipt["contractAddress"][2:])


async def test_the_facts_that_a_wallet_asks_first(chain: Any) -> None:
    assert await chain.call("eth_chainId") == "0x275d5"
    assert await chain.call("net_version") == "161237"
    assert await chain.call("net_listening") is True
    assert await chain.call("net_peerCount") == "0x0"
    assert await chain.call("eth_syncing") is False
    assert await chain.call("eth_accounts") == ["0x" + address.hex() for address in chain.addresses]
    assert await chain.call("eth_blockNumber") == "0x0"
    assert await chain.call("web3_clientVersion") == "openledger/test"
    assert await chain.call("web3_sha3", "0x68656c6c6f") == hexed(keccak256(b"hello"))
    assert "openledger" in await chain.call("rpc_modules")


async def test_a_transfer_estimates_exactly_21000_and_arrives(chain: Any) -> None:
    before = int(await chain.call("eth_getBalance", NOBODY), 16)
    wish = {"from": hexed(chain.addresses[0]), "to": NOBODY, "value": "0x5"}
    assert await chain.call("eth_estimateGas", wish) == "0x5208"
    assert await chain.call("eth_estimateGas", wish | {"gas": "0x64"}) == "0x5208", "no transaction has so little"
    receipt = await chain.send(to=bytes.fromhex(NOBODY[2:]), value=5)
    assert (receipt["status"], receipt["gasUsed"], receipt["type"]) == ("0x1", "0x5208", "0x2")
    assert int(await chain.call("eth_getBalance", NOBODY, "latest"), 16) == before + 5
    assert await chain.call("eth_getBalance", NOBODY, "0x0") == "0x0", "the past stays readable"
    assert await chain.call("eth_getTransactionCount", hexed(chain.addresses[0]), "latest") == "0x1"


async def test_block_0_exists_and_unknown_blocks_are_null(chain: Any) -> None:
    genesis = await chain.call("eth_getBlockByNumber", "0x0", False)
    assert genesis["parentHash"] == "0x" + "00" * 32
    assert (await chain.call("eth_getBlockByHash", genesis["hash"], True))["number"] == "0x0"
    for method in ("eth_getBlockByNumber", "eth_getBlockReceipts", "eth_getBlockTransactionCountByNumber"):
        assert (
            await chain.call(
                method, "0x10", *([False] if method.endswith("ByNumber") and "Count" not in method else [])
            )
            is None
        )
    assert await chain.call("eth_getBlockByHash", UNKNOWN, False) is None
    assert await chain.call("eth_getTransactionByHash", UNKNOWN) is None
    assert await chain.call("eth_getTransactionReceipt", UNKNOWN) is None
    for method in ("eth_getBalance", "eth_getCode", "eth_getTransactionCount"):
        error = await chain.error(method, NOBODY, "0x10")
        assert (error["code"], error["message"]) == (-32000, "header not found")


async def test_the_hash_of_a_block_is_the_hash_of_its_header_and_its_size_is_exact(chain: Any) -> None:
    await chain.send(value=1)
    block = await chain.call("eth_getBlockByNumber", "latest", True)
    stored = chain.app.store.block(1)
    assert block["hash"] == hexed(keccak256(stored.header.encode()))
    body = rlp.encode([rlp.decode(stored.header.encode()), list(stored.transactions), [], []])
    assert int(block["size"], 16) == len(body)
    assert block["parentHash"] == (await chain.call("eth_getBlockByNumber", "0x0", False))["hash"]


async def test_a_transaction_looks_the_same_through_every_door(chain: Any) -> None:
    receipt = await chain.send(value=7)
    by_hash = await chain.call("eth_getTransactionByHash", receipt["transactionHash"])
    assert by_hash["blockTimestamp"] == (await chain.call("eth_getBlockByNumber", "latest", False))["timestamp"]
    assert await chain.call("eth_getTransactionByBlockHashAndIndex", receipt["blockHash"], "0x0") == by_hash
    assert await chain.call("eth_getTransactionByBlockNumberAndIndex", "latest", "0x0") == by_hash
    assert (await chain.call("eth_getBlockByNumber", "latest", True))["transactions"] == [by_hash]
    assert await chain.call("eth_getTransactionByBlockNumberAndIndex", "latest", "0x1") is None
    raw = await chain.call("eth_getRawTransactionByHash", receipt["transactionHash"])
    assert hexed(decode_transaction(bytes.fromhex(raw[2:])).hash) == receipt["transactionHash"]
    assert await chain.call("eth_getBlockReceipts", "latest") == [receipt]
    assert await chain.call("eth_getBlockTransactionCountByHash", receipt["blockHash"]) == "0x1"
    assert await chain.call("eth_getUncleCountByBlockNumber", "latest") == "0x0"
    assert await chain.call("eth_getUncleByBlockNumberAndIndex", "latest", "0x0") is None


async def test_a_contract_is_deployed_called_and_its_logs_found(chain: Any, counter: Any) -> None:
    address = await deploy(chain, counter)
    assert await chain.call("eth_getCode", hexed(address)) == hexed(counter.runtime)
    call = {"to": hexed(address), "data": "0x01"}
    assert await chain.call("eth_call", call, "latest") == "0x" + "1".rjust(64, "0")
    assert int(await chain.call("eth_getStorageAt", hexed(address), "0x0"), 16) == 0, "a call keeps nothing"
    gas = int(await chain.call("eth_estimateGas", call | {"from": hexed(chain.addresses[0])}), 16)
    receipt = await chain.send(nonce=1, to=address, data=b"\1", gas=gas)
    assert receipt["status"] == "0x1"
    too_little = await chain.send(nonce=2, to=address, data=b"\1", gas=21_016 + 2_000)
    assert (too_little["status"], too_little["logs"]) == ("0x0", [])
    assert await chain.call("eth_getStorageAt", hexed(address), "0x0") == "0x" + "1".rjust(64, "0")
    logs = await chain.call("eth_getLogs", {"address": hexed(address), "fromBlock": "earliest"})
    assert logs == receipt["logs"]
    assert (
        logs[0]["blockTimestamp"] == (await chain.call("eth_getBlockByHash", receipt["blockHash"], False))["timestamp"]
    )
    assert await chain.call("eth_getLogs", {"blockHash": receipt["blockHash"], "topics": [[counter.topic]]}) == logs
    assert await chain.call("eth_getLogs", {"fromBlock": "earliest", "topics": [None, counter.topic]}) == []


async def test_a_revert_is_code_3_with_reason_and_data(chain: Any, counter: Any) -> None:
    address = await deploy(chain, counter)
    for method in ("eth_call", "eth_estimateGas"):
        error = await chain.error(method, {"to": hexed(address)})
        assert error["code"] == 3
        assert error["message"] == "execution reverted: no"
        assert error["data"].startswith("0x08c379a0")


async def test_data_and_input_may_both_be_given_when_they_agree(chain: Any, counter: Any) -> None:
    address = hexed(await deploy(chain, counter))
    assert await chain.call("eth_call", {"to": address, "data": "0x01", "input": "0x01"})
    error = await chain.error("eth_call", {"to": address, "data": "0x01", "input": "0x02"})
    assert 'both "data" and "input" are set and not equal' in error["message"]


@pytest.mark.parametrize(
    ("fields", "code", "text"),
    [
        ({"to": "0x12"}, -32602, "invalid argument 0: to: not an address"),
        ({"value": 5}, -32602, "invalid argument 0: value"),
        ({"value": "0x00"}, -32602, "leading zero"),
        ({"data": "0xabc"}, -32602, "not hexadecimal"),
        ({"gasPrice": "0x1", "maxFeePerGas": "0x1"}, -32000, "both gasPrice and"),
        ({"chainId": "0x1"}, -32000, "chainId does not match"),
        ({"to": NOBODY, "value": "0xffffffffffffffffffffffffffff"}, -32000, "insufficient funds"),
    ],
)
async def test_a_malformed_call_is_one_clear_error(chain: Any, fields: Any, code: int, text: str) -> None:
    error = await chain.error("eth_call", fields)
    assert error["code"] == code
    assert text in error["message"]


async def test_overrides_of_state_and_block_change_a_call_only(chain: Any, counter: Any) -> None:
    address = hexed(await deploy(chain, counter))
    call = {"to": address, "data": "0x01"}
    diff = {address: {"stateDiff": {"0x" + "0" * 64: "0x" + "29".rjust(64, "0")}}}
    assert int(await chain.call("eth_call", call, "latest", diff), 16) == 0x2A
    whole = {address: {"state": {}}}
    assert int(await chain.call("eth_call", call, "latest", whole), 16) == 1
    code = {NOBODY: {"code": "0x4360005260206000f3"}}  # returns the block number
    assert int(await chain.call("eth_call", {"to": NOBODY}, "latest", code, {"number": "0x64"}), 16) == 100
    rich = {NOBODY: {"balance": "0xffff"}}
    assert await chain.call("eth_call", {"from": NOBODY, "to": address, "data": "0x01", "value": "0x1"}, "latest", rich)
    assert (await chain.error("eth_call", call, "latest", {"0x1": {}}))["code"] == -32602


async def test_1024_nested_calls_do_not_hurt_the_node(chain: Any) -> None:
    again = bytes.fromhex("60006000600060006000305af1")  # calls itself with what gas is left
    state = {NOBODY: {"code": hexed(again)}}
    assert await chain.call("eth_call", {"to": NOBODY, "gas": "0x1c9c380"}, "latest", state) == "0x"
    assert await chain.call("eth_blockNumber") == "0x0"


class TestShortOfTime:
    @pytest.fixture
    def settings(self) -> RpcSettings:
        return RpcSettings(call_seconds=0.2, call_gas=3_000_000)

    async def test_an_endless_call_ends_with_an_error_and_the_node_answers_meanwhile(self, chain: Any) -> None:
        state = {NOBODY: {"code": "0x5b600056"}}  # jumps for ever
        endless = asyncio.create_task(chain.ask("eth_call", {"to": NOBODY}, "latest", state))
        assert await chain.call("eth_blockNumber") == "0x0"
        error = (await endless)["error"]
        assert error["message"] in ("execution aborted (timeout = 0.2s)", "out of gas")


async def test_refusals_of_a_transaction_speak_geths_words(chain: Any) -> None:
    await chain.send()
    cases = [
        (chain.signed(nonce=0, value=1), "nonce too low"),
        (chain.signed(nonce=1, value=10**30), "insufficient funds for gas * price + value"),
        (chain.signed(nonce=1, gas=20_000), "intrinsic gas too low"),
        (chain.signed(nonce=1, gas=30_000_001), "exceeds block gas limit"),
    ]
    for raw, text in cases:
        error = await chain.error("eth_sendRawTransaction", hexed(raw))
        assert error["code"] == -32000
        assert text in error["message"]
        assert isinstance(error["data"]["code"], int)
    for malformed in ("0x", "0x01", "0xc0", hexed(chain.signed(nonce=1) + b"\0"), hexed(chain.signed(nonce=1)[:-1])):
        assert "message" in await chain.error("eth_sendRawTransaction", malformed)
    assert (await chain.error("eth_sendRawTransaction", "zz"))["code"] == -32602
    assert await chain.call("eth_getTransactionCount", hexed(chain.addresses[0]), "pending") == "0x1"


async def test_a_nonce_gap_waits_is_visible_and_fills(chain: Any) -> None:
    sender = hexed(chain.addresses[0])
    early = await chain.call("eth_sendRawTransaction", hexed(chain.signed(nonce=1)))
    assert (await chain.error("eth_sendRawTransaction", hexed(chain.signed(nonce=1))))["message"] == "already known"
    waiting = await chain.call("eth_getTransactionByHash", early)
    assert (waiting["blockHash"], waiting["transactionIndex"], waiting["from"]) == (None, None, sender)
    assert await chain.call("txpool_status") == {"pending": "0x0", "queued": "0x1"}
    content = await chain.call("txpool_content")
    assert next(iter(content["queued"].values()))["1"]["hash"] == early
    assert "21000 gas" in next(iter((await chain.call("txpool_inspect"))["queued"].values()))["1"]
    assert await chain.call("eth_getTransactionCount", sender, "pending") == "0x0"
    pending = await chain.call("eth_getBlockByNumber", "pending", False)
    assert (pending["hash"], pending["number"]) == (None, "0x1")
    await chain.send(nonce=0)
    assert await chain.call("eth_getTransactionCount", sender, "latest") == "0x2"
    assert await chain.call("txpool_status") == {"pending": "0x0", "queued": "0x0"}


async def test_fees_are_never_zero_and_history_has_one_more_base_fee_than_blocks(chain: Any) -> None:
    await chain.send()
    await chain.send(nonce=1)
    assert int(await chain.call("eth_gasPrice"), 16) > 0
    assert await chain.call("eth_maxPriorityFeePerGas") == hex(10**9)
    assert await chain.call("eth_blobBaseFee") == "0x1"
    history = await chain.call("eth_feeHistory", "0x2", "latest", [0, 50, 100])
    assert history["oldestBlock"] == "0x1"
    assert len(history["baseFeePerGas"]) == 3
    assert history["reward"] == [[hex(10**9)] * 3] * 2
    assert "reward" not in await chain.call("eth_feeHistory", 5, "latest", [])
    block = await chain.call("eth_getBlockByNumber", "latest", False)
    assert history["baseFeePerGas"][1] == block["baseFeePerGas"]
    wrong = await chain.error("eth_feeHistory", "0x1", "latest", [50, 10])
    assert wrong["message"] == "invalid reward percentile: #0:50.000000 >= #1:10.000000"


async def test_filters_tell_what_is_new_and_only_once(chain: Any, counter: Any) -> None:
    address = await deploy(chain, counter)
    logs = await chain.call("eth_newFilter", {"address": hexed(address)})
    blocks = await chain.call("eth_newBlockFilter")
    pending = await chain.call("eth_newPendingTransactionFilter")
    receipt = await chain.send(nonce=1, to=address, data=b"\1", gas=100_000)
    assert await chain.call("eth_getFilterChanges", logs) == receipt["logs"]
    assert await chain.call("eth_getFilterChanges", blocks) == [receipt["blockHash"]]
    assert await chain.call("eth_getFilterChanges", pending) == [receipt["transactionHash"]]
    for ident in (logs, blocks, pending):
        assert await chain.call("eth_getFilterChanges", ident) == []
    assert await chain.call("eth_getFilterLogs", logs) == receipt["logs"], "those of the latest block"
    assert await chain.call("eth_uninstallFilter", logs) is True
    assert await chain.call("eth_uninstallFilter", logs) is False
    error = await chain.error("eth_getFilterChanges", logs)
    assert (error["code"], error["message"]) == (-32000, "filter not found")


async def test_log_queries_are_bounded_and_checked(chain: Any) -> None:
    assert (await chain.error("eth_getLogs", {"blockHash": UNKNOWN}))["message"] == "unknown block"
    wrong = await chain.error("eth_getLogs", {"fromBlock": "0x5", "toBlock": "0x1"})
    assert (wrong["code"], wrong["message"]) == (-32602, "invalid block range params")
    assert (await chain.error("eth_getLogs", {"fromBlock": "0x5"}))["message"] == "invalid block range params"
    beyond = await chain.error("eth_getLogs", {"fromBlock": "0x0", "toBlock": "0x5"})
    assert (beyond["code"], beyond["message"]) == (-32602, "block range extends beyond current head block")
    pending = await chain.error("eth_getLogs", {"fromBlock": "0x0", "toBlock": "pending"})
    assert (pending["code"], pending["message"]) == (-32602, "pending logs are not supported")
    five = await chain.error("eth_getLogs", {"topics": [None] * 5})
    assert (five["code"], five["message"]) == (-32602, "invalid argument 0: exceed max topics")
    assert await chain.call("eth_getLogs", {"fromBlock": "earliest", "toBlock": "latest"}) == []


async def test_a_log_search_ends_in_time(chain: Any, counter: Any) -> None:
    address = await deploy(chain, counter)
    await chain.send(nonce=1, to=address, data=b"\1", gas=100_000)
    query = parse_log_query({"fromBlock": "0x0", "address": hexed(address)})
    assert len(find_logs(chain.server._backend, query)) == 1
    late = dataclasses.replace(chain.server._backend, settings=RpcSettings(call_seconds=-1.0))
    with pytest.raises(RpcError, match="query timeout exceeded"):
        find_logs(late, query)


async def test_a_proof_names_account_and_storage(chain: Any, counter: Any) -> None:
    address = await deploy(chain, counter)
    await chain.send(nonce=1, to=address, data=b"\1", gas=100_000)
    proof = await chain.call("eth_getProof", hexed(address), ["0x0"], "latest")
    root = (await chain.call("eth_getBlockByNumber", "latest", False))["stateRoot"]
    assert hexed(keccak256(bytes.fromhex(proof["accountProof"][0][2:]))) == root
    assert proof["codeHash"] == hexed(keccak256(counter.runtime))
    assert proof["storageProof"][0]["value"] == "0x1"
    storage_node = bytes.fromhex(proof["storageProof"][0]["proof"][0][2:])
    assert hexed(keccak256(storage_node)) == proof["storageHash"]


async def test_a_transaction_is_filled_for_signing(chain: Any) -> None:
    wish = {"from": hexed(chain.addresses[0]), "to": NOBODY, "value": "0x1"}
    filled = (await chain.call("eth_fillTransaction", wish))["tx"]
    assert (filled["nonce"], filled["gas"], filled["chainId"], filled["type"]) == ("0x0", "0x5208", "0x275d5", "0x2")
    assert int(filled["maxFeePerGas"], 16) > int(filled["maxPriorityFeePerGas"], 16)


REFUSALS: list[tuple[str, list[Any], int, str]] = [
    ("eth_getBalance", [NOBODY, {}], -32000, "invalid arguments; neither block nor hash specified"),
    ("eth_getBalance", [NOBODY, "0x999"], -32000, "header not found"),
    ("eth_getBalance", [NOBODY, {"blockHash": UNKNOWN, "requireCanonical": True}], -32000,
     "header for hash not found"),
    ("eth_getBalance", [NOBODY, {"blockHash": UNKNOWN, "requireCanonical": 1}], -32602, "expected true or false"),
    ("eth_getStorageAt", [NOBODY, "0xasdf"], -32602, 'invalid hex in storage key: "0xasdf"'),
    ("eth_getStorageValues", [{}], -32602, "empty request"),
    ("eth_getStorageValues", [{NOBODY: ["0x0"] * 1024, "0x" + "66" * 20: ["0x0"]}], -38026, "too many slots"),
    ("eth_feeHistory", ["0x1", "0x999"], -32000, "request beyond head block: requested 2457, head 0"),
    ("eth_fillTransaction", [{}], -32000, "contract creation without any data provided"),
    ("eth_fillTransaction", [{"to": NOBODY, "maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x2"}], -32000,
     "maxFeePerGas (1) < maxPriorityFeePerGas (2)"),
    ("eth_call", [{"to": NOBODY, "maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x2"}], -32000,
     "err: max priority fee per gas higher than max fee per gas: address 0x00"),
    ("eth_call", [{"to": NOBODY, "value": "0x1"}], -32000, "err: insufficient funds for gas * price + value"),
    ("eth_call", [{"to": NOBODY, "blobVersionedHashes": [UNKNOWN]}], -32000, "blob transactions"),
    ("eth_estimateGas", [{"from": NOBODY, "to": NOBODY, "value": "0x1"}], -32000,
     "failed with 30000000 gas: insufficient funds for gas * price + value"),
    ("eth_estimateGas", [{"from": NOBODY, "to": NOBODY, "gasPrice": "0xee6b2800"}], -32000,
     "insufficient funds for transfer: "),
    ("eth_call", [{"to": NOBODY, "authorizationList": []}], -32000, "EIP-7702 transaction with empty auth list"),
    ("eth_fillTransaction", [{"to": NOBODY, "authorizationList": []}], -32000,
     "EIP-7702 transaction with empty auth list"),
    ("eth_call", [{"data": "0x00", "authorizationList": []}], -32000,
     "EIP-7702 transaction cannot be used to create contract"),
    ("eth_estimateGas", [{"from": NOBODY, "to": NOBODY, "value": "0x1", "gasPrice": "0x1"}], -32000,
     "insufficient funds for transfer"),
    ("eth_getFilterChanges", ["0x1"], -32000, "filter not found"),
]  # fmt: skip


async def test_refusals_have_geths_codes_and_words(chain: Any) -> None:
    for method, params, code, text in REFUSALS:
        found = await chain.error(method, *params)
        assert (method, found["code"]) == (method, code)
        assert text in found["message"]


async def test_an_authorization_costs_25000_gas_more(chain: Any) -> None:
    wish = {"from": hexed(chain.addresses[0]), "to": NOBODY}
    item = {"chainId": "0x0", "address": NOBODY, "nonce": "0x0", "yParity": "0x0", "r": "0x" + "11" * 32, "s": "0x1"}
    assert int(await chain.call("eth_estimateGas", wish | {"authorizationList": [item]}), 16) == 21_000 + 25_000
    filled = await chain.call("eth_fillTransaction", wish | {"authorizationList": [item]})
    assert filled["tx"]["type"] == "0x4"
    assert filled["tx"]["authorizationList"][0]["r"] == "0x" + "11" * 32


async def test_history_may_be_asked_with_a_decimal_count(chain: Any) -> None:
    await chain.send()
    for count in ("0x2", 2, "2"):
        assert (await chain.call("eth_feeHistory", count, "latest"))["oldestBlock"] == "0x0"


async def test_who_waits_for_a_receipt_may_say_how_long_as_a_number_or_in_hex(idle_chain: Any) -> None:
    """viem and Go's ethclient send a number, as EIP-7966 shows it."""
    for nonce, wait in enumerate((30, "0x1e")):
        raw = idle_chain.signed(nonce=nonce)
        error = await idle_chain.error("eth_sendRawTransactionSync", hexed(raw), wait)
        assert (error["code"], error["data"]) == (4, hexed(keccak256(raw)))
        assert error["message"].endswith("wasn't processed in 0.03s")
    assert (await idle_chain.error("eth_sendRawTransactionSync", hexed(raw), -1))["code"] == -32602

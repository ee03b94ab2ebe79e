"""web3.py, unchanged, against a real solo node: what a Python developer does on the first day."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from web3 import AsyncWeb3, HTTPProvider, Web3, WebSocketProvider
from web3.exceptions import BlockNotFound, ContractLogicError, TransactionNotFound, Web3RPCError

ABI: list[Any] = [
    {"type": "function", "name": "bump", "inputs": [], "outputs": [{"name": "", "type": "uint256"}],
     "stateMutability": "nonpayable"},
    {"type": "event", "name": "Bumped", "anonymous": False,
     "inputs": [{"name": "value", "type": "uint256", "indexed": False}]},
]  # fmt: skip


def _helper() -> Any:
    spec = importlib.util.spec_from_file_location("solo_node_for_web3", Path(__file__).with_name("solo_node.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with _helper().solo_node(tmp_path_factory.mktemp("web3")) as running:
        yield running


@pytest.fixture
def w3(node: Any) -> Iterator[Web3]:
    provider = HTTPProvider(node.url)
    yield Web3(provider)
    for _, session in provider._request_session_manager.session_cache.items():
        session.close()


def send(w3: Web3, account: Any, transaction: dict[str, Any]) -> Any:
    """Sign, send, wait: the receipt."""
    whole = {
        "from": account.address,
        "chainId": w3.eth.chain_id,
        "nonce": w3.eth.get_transaction_count(account.address),
    }
    whole |= transaction
    if "gasPrice" not in whole and "maxFeePerGas" not in whole:
        tip = w3.eth.max_priority_fee
        base_fee = w3.eth.get_block("latest")["baseFeePerGas"]
        whole |= {"maxFeePerGas": 2 * base_fee + tip, "maxPriorityFeePerGas": tip}
    whole.setdefault("gas", w3.eth.estimate_gas(whole))
    signed = account.sign_transaction({k: v for k, v in whole.items() if k != "from"})
    return w3.eth.wait_for_transaction_receipt(w3.eth.send_raw_transaction(signed.raw_transaction), poll_latency=0.01)


@pytest.fixture
def contract(w3: Web3, node: Any) -> Any:
    account = w3.eth.account.from_key(node.secrets[0])
    receipt = send(w3, account, {"data": node.bytecode})
    assert receipt["status"] == 1
    return w3.eth.contract(address=receipt["contractAddress"], abi=ABI)


def test_the_network_is_what_a_wallet_is_told(w3: Web3) -> None:
    assert w3.is_connected(show_traceback=True)
    assert w3.eth.chain_id == 161237
    assert w3.net.version == "161237"
    assert w3.client_version == "openledger/test"
    assert w3.eth.syncing is False
    assert w3.eth.gas_price > 0
    assert w3.eth.max_priority_fee > 0
    assert w3.eth.fee_history(1, "latest", [50])["baseFeePerGas"][0] > 0
    with pytest.raises(BlockNotFound):
        w3.eth.get_block(10**6)
    with pytest.raises(TransactionNotFound):
        w3.eth.get_transaction("0x" + "11" * 32)


def test_open_is_sent_and_costs_exactly_what_the_receipt_says(w3: Web3, node: Any) -> None:
    account = w3.eth.account.from_key(node.secrets[1])
    other = w3.eth.account.create().address
    before = w3.eth.get_balance(account.address)
    receipt = send(w3, account, {"to": other, "value": 10**18})
    assert (receipt["status"], receipt["gasUsed"]) == (1, 21_000)
    assert w3.eth.get_balance(other) == 10**18
    assert before - w3.eth.get_balance(account.address) == 10**18 + 21_000 * receipt["effectiveGasPrice"]
    found = w3.eth.get_transaction(receipt["transactionHash"])
    assert (found["value"], found["to"], found["blockNumber"]) == (10**18, other, receipt["blockNumber"])


@pytest.mark.parametrize(
    "fields",
    [{"gasPrice": 3 * 10**9}, {"gasPrice": 3 * 10**9, "type": 1, "accessList": []},
     {"maxFeePerGas": 3 * 10**9, "maxPriorityFeePerGas": 10**9, "type": 2}],
)  # fmt: skip
def test_all_envelopes_of_a_transfer_are_taken(w3: Web3, node: Any, fields: dict[str, Any]) -> None:
    account = w3.eth.account.from_key(node.secrets[2])
    receipt = send(w3, account, {"to": account.address, "value": 1} | fields)
    assert (receipt["status"], receipt["type"]) == (1, fields.get("type", 0))
    assert w3.eth.get_transaction(receipt["transactionHash"])["type"] == fields.get("type", 0)


def test_a_contract_is_called_estimated_sent_and_its_events_read(w3: Web3, node: Any, contract: Any) -> None:
    account = w3.eth.account.from_key(node.secrets[0])
    assert contract.functions.bump().call() == 1
    gas = contract.functions.bump().estimate_gas({"from": account.address})
    call = contract.functions.bump().build_transaction({"from": account.address, "gas": gas, "nonce": 0})
    receipt = send(w3, account, {"to": contract.address, "data": call["data"], "gas": gas})
    assert receipt["status"] == 1, "the estimate is enough"
    events = contract.events.Bumped().process_receipt(receipt)
    assert [e["args"]["value"] for e in events] == [1]
    assert contract.functions.bump().call() == 2
    assert contract.functions.bump().call(block_identifier=receipt["blockNumber"] - 1) == 1
    found = contract.events.Bumped().get_logs(from_block=0)
    assert [e["transactionHash"] for e in found] == [receipt["transactionHash"]]
    assert w3.eth.get_storage_at(contract.address, 0)[-1] == 1
    assert w3.eth.get_proof(contract.address, [0])["storageProof"][0]["value"] == b"\x01"


def test_a_revert_is_a_contract_logic_error_with_its_reason(w3: Web3, contract: Any) -> None:
    with pytest.raises(ContractLogicError, match="execution reverted: no"):
        w3.eth.call({"to": contract.address})
    with pytest.raises(ContractLogicError, match="execution reverted: no"):
        w3.eth.estimate_gas({"to": contract.address})


def test_filters_are_polled(w3: Web3, node: Any, contract: Any) -> None:
    account = w3.eth.account.from_key(node.secrets[0])
    events = contract.events.Bumped.create_filter(from_block="latest")
    blocks = w3.eth.filter("latest")
    receipt = send(w3, account, {"to": contract.address, "data": "0x01"})
    assert [e["transactionHash"] for e in events.get_new_entries()] == [receipt["transactionHash"]]
    assert receipt["blockHash"] in blocks.get_new_entries()
    assert events.get_new_entries() == []
    assert w3.eth.uninstall_filter(blocks.filter_id)


def test_a_refusal_keeps_its_words(w3: Web3, node: Any) -> None:
    account = w3.eth.account.from_key(node.secrets[3])
    send(w3, account, {"to": account.address})
    stale = account.sign_transaction(
        {"to": account.address, "value": 1, "nonce": 0, "gas": 21_000, "gasPrice": 3 * 10**9, "chainId": 161237}
    )
    with pytest.raises(Web3RPCError, match="nonce too low"):
        w3.eth.send_raw_transaction(stale.raw_transaction)


def test_blocks_link_and_hold_their_transactions(w3: Web3, node: Any) -> None:
    account = w3.eth.account.from_key(node.secrets[4])
    receipt = send(w3, account, {"to": account.address})
    block = w3.eth.get_block(receipt["blockHash"], full_transactions=True)
    assert w3.eth.get_block(block["number"] - 1)["hash"] == block["parentHash"]
    assert receipt["transactionHash"] in [tx["hash"] for tx in block["transactions"]]
    assert w3.eth.get_block_receipts(block["number"]) == [receipt]
    for tag in ("latest", "safe", "finalized"):
        assert w3.eth.get_block(tag)["hash"] == w3.eth.get_block("latest")["hash"]


async def test_heads_and_logs_arrive_over_a_websocket(w3: Web3, node: Any, contract: Any) -> None:
    account = w3.eth.account.from_key(node.secrets[5])
    async with AsyncWeb3(WebSocketProvider(node.socket_url)) as socket:
        heads = await socket.eth.subscribe("newHeads")
        logs = await socket.eth.subscribe("logs", {"address": contract.address})
        receipt = await asyncio.to_thread(send, w3, account, {"to": contract.address, "data": "0x01"})
        found: dict[Any, Any] = {}
        async with asyncio.timeout(10):
            async for message in socket.socket.process_subscriptions():
                found.setdefault(message["subscription"], message["result"])
                if len(found) == 2:
                    break
        assert found[heads]["hash"] == receipt["blockHash"]
        assert found[logs]["transactionHash"] == receipt["transactionHash"]

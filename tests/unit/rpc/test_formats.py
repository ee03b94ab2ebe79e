"""JSON forms that a running chain shows rarely: system transactions, failed creations, old and new envelopes."""

from __future__ import annotations

from eth_account import Account

from openledger.primitives.blocks import EMPTY_TRIE_ROOT, Header, Receipt, SealedBlock
from openledger.primitives.transactions import decode_transaction, sign_transaction, system_transaction
from openledger.primitives.types import ATTRIBUTION_ADDRESS, SYSTEM_ADDRESS, Log
from openledger.rpc.formats import block_json, receipt_json, receipts_json, transaction_json

SECRET = bytes([7]) * 32
ACCOUNT = Account.from_key(SECRET)
SENDER = bytes.fromhex(ACCOUNT.address[2:])
LOG = Log(ATTRIBUTION_ADDRESS, (bytes(32),), b"\1")


def header(number: int = 5) -> Header:
    return Header(
        parent_hash=bytes(32), coinbase=bytes(20), state_root=bytes(32), transactions_root=EMPTY_TRIE_ROOT,
        receipts_root=EMPTY_TRIE_ROOT, bloom=bytes(256), number=number, gas_limit=30_000_000, gas_used=0,
        timestamp=1000,
        prevrandao=bytes(32), base_fee=10,
    )  # fmt: skip


def block(*entries: tuple[bytes, bytes, Receipt]) -> SealedBlock:
    raws, senders, receipts = zip(*entries, strict=True)
    return SealedBlock(header(), raws, senders, receipts)


def test_a_system_transaction_is_shown_with_all_that_clients_expect() -> None:
    effects = system_transaction(5, b"\x09" * 32)
    sealed = block((effects.raw, SYSTEM_ADDRESS, Receipt(0x51, 1, 0, (LOG, LOG), 0, 0)))
    tx = block_json(sealed, True, 161237)["transactions"][0]
    assert (tx["type"], tx["from"], tx["to"], tx["gas"]) == ("0x51", "0x" + SYSTEM_ADDRESS.hex(), tx["from"], "0x0")
    assert (tx["input"], tx["value"], tx["yParity"], tx["accessList"]) == ("0x" + "09" * 32, "0x0", "0x0", [])
    assert (tx["blockTimestamp"], tx["transactionIndex"]) == ("0x3e8", "0x0")
    receipt = receipt_json(sealed, 0)
    assert (receipt["type"], receipt["gasUsed"], len(receipt["logs"])) == ("0x51", "0x0", 2)


def test_logs_are_numbered_through_the_block_in_single_and_in_block_receipts() -> None:
    effects = system_transaction(5, b"\x09" * 32)
    raw = sign_transaction(SECRET, chain_id=1, nonce=0, to=bytes(20), max_fee=10)
    sealed = block(
        (effects.raw, SYSTEM_ADDRESS, Receipt(0x51, 1, 0, (LOG, LOG), 0, 0)),
        (raw, SENDER, Receipt(2, 1, 21_000, (LOG,), 21_000, 10)),
    )
    both = receipts_json(sealed)
    assert both == [receipt_json(sealed, 0), receipt_json(sealed, 1)]
    assert [log["logIndex"] for receipt in both for log in receipt["logs"]] == ["0x0", "0x1", "0x2"]
    assert both[1]["logs"][0]["transactionIndex"] == "0x1"


def test_a_failed_creation_still_names_the_address_as_geth_does() -> None:
    raw = sign_transaction(SECRET, chain_id=1, nonce=3, to=None, max_fee=10)
    receipt = receipt_json(block((raw, SENDER, Receipt(2, 0, 53_000, (), 53_000, 10))), 0)
    assert receipt["to"] is None
    assert len(receipt["contractAddress"]) == 42


def test_a_receipt_has_exactly_geths_fields() -> None:
    raw = sign_transaction(SECRET, chain_id=1, nonce=0, to=bytes(20), max_fee=10)
    receipt = receipt_json(block((raw, SENDER, Receipt(2, 1, 21_000, (), 21_000, 10))), 0)
    assert set(receipt) == {
        "blockHash", "blockNumber", "contractAddress", "cumulativeGasUsed", "effectiveGasPrice", "from", "gasUsed",
        "logs", "logsBloom", "status", "to", "transactionHash", "transactionIndex", "type",
    }  # fmt: skip


def test_a_legacy_transaction_has_an_eip_155_v_and_no_parity() -> None:
    fields = {"to": "0x" + "11" * 20, "value": 1, "nonce": 0, "gas": 21_000, "gasPrice": 7, "chainId": 5}
    tx = decode_transaction(bytes(ACCOUNT.sign_transaction(fields).raw_transaction))
    body = transaction_json(tx, SENDER, 5)
    assert body["v"] in ("0x2d", "0x2e")
    assert not {"yParity", "accessList", "maxFeePerGas"} & body.keys()
    assert (body["gasPrice"], body["chainId"], body["blockNumber"]) == ("0x7", "0x5", None)


def test_an_access_list_and_authorizations_are_shown() -> None:
    entry = {"address": "0x" + "22" * 20, "storageKeys": ["0x" + "33" * 32]}
    common = {"to": "0x" + "11" * 20, "value": 0, "nonce": 0, "gas": 100_000, "chainId": 5, "accessList": [entry]}
    old = decode_transaction(bytes(ACCOUNT.sign_transaction(common | {"gasPrice": 7, "type": 1}).raw_transaction))
    shown = transaction_json(old, SENDER, 5)
    assert (shown["type"], shown["accessList"]) == ("0x1", [entry])
    assert shown["v"] == shown["yParity"]
    wish = ACCOUNT.sign_authorization({"chainId": 5, "address": "0x" + "44" * 20, "nonce": 1})
    fees = {"maxFeePerGas": 9, "maxPriorityFeePerGas": 1, "type": 4, "authorizationList": [wish]}
    new = decode_transaction(bytes(ACCOUNT.sign_transaction(common | fees).raw_transaction))
    body = transaction_json(new, SENDER, 5, header())
    (shown_wish,) = body["authorizationList"]
    assert (shown_wish["chainId"], shown_wish["address"], shown_wish["nonce"]) == ("0x5", "0x" + "44" * 20, "0x1")
    assert {"yParity", "r", "s"} < shown_wish.keys()
    assert body["gasPrice"] == "0x9", "base fee 10 is above the cap of this sample: the cap"

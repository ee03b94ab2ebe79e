"""JSON forms of blocks, transactions, receipts and logs, as Ethereum clients expect them.

Sources: the execution-apis schemas; design.md, section 2, for the native type 0x50 and the system type 0x51. Addresses
are lower case, quantities have no leading zeros; ``blockTimestamp`` stands in transactions and logs.
"""

from __future__ import annotations

import functools
from typing import Any

import rlp

from openledger.abci_app.action import native_sender
from openledger.abci_app.queries import module_of
from openledger.primitives.blocks import Header, Receipt, SealedBlock
from openledger.primitives.hashing import keccak256
from openledger.primitives.transactions import (
    IMPERSONATED,
    LEGACY,
    NATIVE,
    SET_CODE,
    SYSTEM,
    EthTransaction,
    NativeTransaction,
    SystemTransaction,
    decode_impersonated,
    decode_native,
    decode_system,
    decode_transaction,
)
from openledger.primitives.types import SYSTEM_ADDRESS, AccessTuple, Address, Log, to_hex

Json = dict[str, Any]
AnyTransaction = EthTransaction | NativeTransaction | SystemTransaction


def quantity(value: int) -> str:
    """``0x`` form without leading zeros."""
    return hex(value)


@functools.lru_cache(maxsize=1024)
def read_transaction(raw: bytes) -> AnyTransaction:
    """A transaction of a stored block or of the mempool."""
    if raw[0] == SYSTEM:
        return decode_system(raw)
    if raw[0] == IMPERSONATED:
        return decode_impersonated(raw)
    return decode_native(raw) if raw[0] == NATIVE else decode_transaction(raw)


def sender_of(tx: AnyTransaction) -> Address:
    """Sender of a transaction that stands in no block yet."""
    if isinstance(tx, EthTransaction):
        return tx.sender
    return native_sender(tx) if isinstance(tx, NativeTransaction) else SYSTEM_ADDRESS


def recipient_of(tx: AnyTransaction) -> Address | None:
    """``to``: the recipient, the module of a native action, the system address itself; None for a creation."""
    if isinstance(tx, EthTransaction):
        return tx.to
    return module_of(tx.kind) if isinstance(tx, NativeTransaction) else SYSTEM_ADDRESS


# --- transactions -----------------------------------------------------------------------------------------


def access_list_json(entries: tuple[AccessTuple, ...]) -> list[Json]:
    """EIP-2930 access list."""
    return [{"address": to_hex(e.address), "storageKeys": [to_hex(k) for k in e.storage_keys]} for e in entries]


def _eth_body(tx: EthTransaction, base_fee: int | None) -> Json:
    price = tx.gas_price if base_fee is None else tx.effective_gas_price(base_fee)
    body: Json = {
        "nonce": quantity(tx.nonce),
        "gas": quantity(tx.gas),
        "gasPrice": quantity(price),
        "to": None if tx.to is None else to_hex(tx.to),
        "value": quantity(tx.value),
        "input": to_hex(tx.data),
        "chainId": quantity(tx.chain_id),
    }
    if tx.type >= 2:
        body["maxFeePerGas"] = quantity(tx.max_fee)
        body["maxPriorityFeePerGas"] = quantity(tx.max_priority_fee)
    if tx.type != LEGACY:
        body["accessList"] = access_list_json(tx.access_list)
        body["yParity"] = quantity(tx.y_parity)
    if tx.type == SET_CODE:
        body["authorizationList"] = [
            {
                "chainId": quantity(a.chain_id),
                "address": to_hex(a.address),
                "nonce": quantity(a.nonce),
                "yParity": quantity(a.y_parity),
                "r": quantity(a.r),
                "s": quantity(a.s),
            }
            for a in tx.authorizations
        ]
    return body | {"v": quantity(tx.v), "r": quantity(tx.r), "s": quantity(tx.s)}


def _native_body(tx: NativeTransaction, base_fee: int | None) -> Json:
    v = tx.signature[64] if len(tx.signature) == 65 else 27
    return {
        "nonce": quantity(tx.nonce),
        "gas": quantity(tx.gas),
        "gasPrice": quantity(tx.max_fee if base_fee is None else tx.effective_gas_price(base_fee)),
        "maxFeePerGas": quantity(tx.max_fee),
        "maxPriorityFeePerGas": quantity(tx.max_priority_fee),
        "to": to_hex(module_of(tx.kind)),
        "value": "0x0",
        "input": to_hex(tx.payload),
        "chainId": quantity(tx.chain_id),
        "accessList": [],
        "yParity": quantity(v - 27),
        "v": quantity(v),
        "r": quantity(int.from_bytes(tx.signature[:32], "big")),
        "s": quantity(int.from_bytes(tx.signature[32:64], "big")),
        "kind": tx.kind,
    }


def _system_body(tx: SystemTransaction, chain_id: int) -> Json:
    zeros = dict.fromkeys(("gas", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas", "value"), "0x0")
    signature = dict.fromkeys(("yParity", "v", "r", "s"), "0x0")
    fixed = {
        "nonce": quantity(tx.height),
        "to": to_hex(SYSTEM_ADDRESS),
        "input": to_hex(tx.effects),
        "chainId": quantity(chain_id),
        "accessList": [],
    }
    return zeros | fixed | signature


def unsigned_json(tx: EthTransaction) -> Json:
    """A transaction that nobody has signed yet: its own fields, signature zeros."""
    body = _eth_body(tx, None) | {"type": quantity(tx.type), "from": to_hex(tx.sender), "hash": to_hex(tx.hash)}
    return body | {"v": "0x0"}


def transaction_json(
    tx: AnyTransaction,
    sender: Address,
    chain_id: int,
    header: Header | None = None,
    block_hash: bytes = b"",
    index: int = 0,
) -> Json:
    """A transaction in a block, or pending where ``header`` is None. ``gasPrice`` of a mined one is what it paid."""
    base_fee = None if header is None else header.base_fee
    place: Json = {
        "blockHash": None if header is None else to_hex(block_hash),
        "blockNumber": None if header is None else quantity(header.number),
        "blockTimestamp": None if header is None else quantity(header.timestamp),
        "transactionIndex": None if header is None else quantity(index),
        "hash": to_hex(tx.hash),
        "from": to_hex(sender),
        "type": quantity(tx.type),
    }
    if isinstance(tx, EthTransaction):
        return place | _eth_body(tx, base_fee)
    if isinstance(tx, NativeTransaction):
        return place | _native_body(tx, base_fee)
    return place | _system_body(tx, chain_id)


def block_transaction_json(block: SealedBlock, index: int, chain_id: int, block_hash: bytes | None = None) -> Json:
    """Transaction ``index`` of a block."""
    tx = read_transaction(block.transactions[index])
    return transaction_json(tx, block.senders[index], chain_id, block.header, block_hash or block.hash, index)


def pending_json(raw: bytes, chain_id: int) -> Json:
    """A transaction of the mempool."""
    tx = read_transaction(raw)
    return transaction_json(tx, sender_of(tx), chain_id)


# --- logs and receipts ------------------------------------------------------------------------------------


def log_json(log: Log, header: Header, block_hash: bytes, tx_hash: bytes, tx_index: int, log_index: int) -> Json:
    """One log; ``log_index`` counts through the block."""
    return {
        "address": to_hex(log.address),
        "topics": [to_hex(t) for t in log.topics],
        "data": to_hex(log.data),
        "blockNumber": quantity(header.number),
        "transactionHash": to_hex(tx_hash),
        "transactionIndex": quantity(tx_index),
        "blockHash": to_hex(block_hash),
        "blockTimestamp": quantity(header.timestamp),
        "logIndex": quantity(log_index),
        "removed": False,
    }


def _created(tx: AnyTransaction, sender: Address, receipt: Receipt) -> Address | None:
    if receipt.contract_address is not None:
        return receipt.contract_address
    if isinstance(tx, EthTransaction) and tx.to is None:
        return keccak256(rlp.encode([sender, tx.nonce]))[12:]
    return None


def receipt_json(block: SealedBlock, index: int) -> Json:
    """Receipt of transaction ``index``."""
    return _receipt_json(block, index, block.hash, sum(len(r.logs) for r in block.receipts[:index]))


def receipts_json(block: SealedBlock) -> list[Json]:
    """All receipts of a block."""
    digest, first, found = block.hash, 0, []
    for index, receipt in enumerate(block.receipts):
        found.append(_receipt_json(block, index, digest, first))
        first += len(receipt.logs)
    return found


def _receipt_json(block: SealedBlock, index: int, found: bytes, first: int) -> Json:
    receipt, sender = block.receipts[index], block.senders[index]
    tx = read_transaction(block.transactions[index])
    to, created = recipient_of(tx), _created(tx, sender, receipt)
    return {
        "type": quantity(receipt.type),
        "status": quantity(receipt.status),
        "transactionHash": to_hex(tx.hash),
        "transactionIndex": quantity(index),
        "blockHash": to_hex(found),
        "blockNumber": quantity(block.number),
        "from": to_hex(sender),
        "to": None if to is None else to_hex(to),
        "contractAddress": None if created is None else to_hex(created),
        "gasUsed": quantity(receipt.gas_used),
        "cumulativeGasUsed": quantity(receipt.cumulative_gas),
        "effectiveGasPrice": quantity(receipt.effective_gas_price),
        "logs": [log_json(log, block.header, found, tx.hash, index, first + i) for i, log in enumerate(receipt.logs)],
        "logsBloom": to_hex(receipt.bloom),
    }


# --- blocks -----------------------------------------------------------------------------------------------


def header_json(header: Header, block_hash: bytes | None = None) -> Json:
    """A header, as ``newHeads`` gives it."""
    return {
        "hash": to_hex(block_hash or header.hash),
        "parentHash": to_hex(header.parent_hash),
        "sha3Uncles": to_hex(header.ommers_hash),
        "miner": to_hex(header.coinbase),
        "stateRoot": to_hex(header.state_root),
        "transactionsRoot": to_hex(header.transactions_root),
        "receiptsRoot": to_hex(header.receipts_root),
        "logsBloom": to_hex(header.bloom),
        "difficulty": quantity(header.difficulty),
        "number": quantity(header.number),
        "gasLimit": quantity(header.gas_limit),
        "gasUsed": quantity(header.gas_used),
        "timestamp": quantity(header.timestamp),
        "extraData": to_hex(header.extra_data),
        "mixHash": to_hex(header.prevrandao),
        "nonce": to_hex(header.nonce),
        "baseFeePerGas": quantity(header.base_fee),
        "withdrawalsRoot": to_hex(header.withdrawals_root),
        "blobGasUsed": quantity(header.blob_gas_used),
        "excessBlobGas": quantity(header.excess_blob_gas),
        "parentBeaconBlockRoot": to_hex(header.parent_beacon_block_root),
        "requestsHash": to_hex(header.requests_hash),
    }


def _string_size(length: int) -> int:
    return length + (1 if length < 56 else 1 + (length.bit_length() + 7) // 8)


def block_size(header: Header, transactions: tuple[bytes, ...]) -> int:
    """Bytes of ``rlp([header, transactions, [], []])``; typed transactions are strings in it, legacy ones lists."""
    inner = sum(len(raw) if raw[0] >= 0xC0 else _string_size(len(raw)) for raw in transactions)
    return _string_size(len(header.encode()) + _string_size(inner) + 2)


def block_json(block: SealedBlock, full: bool, chain_id: int) -> Json:
    """A block with transaction hashes, or with whole transactions."""
    digest = block.hash
    transactions: list[Any] = (
        [block_transaction_json(block, i, chain_id, digest) for i in range(len(block.transactions))]
        if full
        else [to_hex(keccak256(raw)) for raw in block.transactions]
    )
    return header_json(block.header, digest) | {
        "size": quantity(block_size(block.header, block.transactions)),
        "transactions": transactions,
        "uncles": [],
        "withdrawals": [],
    }

"""Blocks, receipts and their indexes: what is written once per block and read by the RPC. Nothing here is hashed state.

Bodies and receipts are msgpack of our own (fast to read); headers are their consensus RLP, so that
keccak256 of the stored bytes is the block hash.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgpack

from openledger.primitives.blocks import EMPTY_BLOOM, Header, Receipt, SealedBlock
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import Address, Hash32, Log
from openledger.state import layout
from openledger.state.ports import KeyValue

Topics = Sequence[Sequence[Hash32] | None]
FoundLog = tuple[int, int, int, Log]


def block_entries(block: SealedBlock) -> list[tuple[bytes, bytes]]:
    """Everything that a block adds to the database, state aside."""
    number = layout.height_key(block.number)
    header = block.header.encode()
    entries = [
        (layout.HEADER + number, header),
        (layout.BLOCK_HASH + keccak256(header), number),
        (layout.BODY + number, msgpack.packb([block.transactions, block.senders, block.consensus])),
        (layout.RECEIPTS + number, msgpack.packb([_receipt_fields(r) for r in block.receipts])),
    ]
    if any(receipt.logs for receipt in block.receipts):
        entries.append((layout.BLOOM + number, block.header.bloom))
    for index, raw in enumerate(block.transactions):
        entries.append((layout.TRANSACTION + keccak256(raw), number + index.to_bytes(4, "big")))
    return entries


def read_block(kv: KeyValue, number: int) -> SealedBlock | None:
    """The block at a height, or None."""
    key = layout.height_key(number)
    header, body, receipts = (kv.get(table + key) for table in (layout.HEADER, layout.BODY, layout.RECEIPTS))
    if header is None or body is None or receipts is None:
        return None
    transactions, senders, consensus = msgpack.unpackb(body)
    found = tuple(_receipt(fields) for fields in msgpack.unpackb(receipts))
    return SealedBlock(Header.decode(header), tuple(transactions), tuple(senders), found, consensus)


def read_receipts(kv: KeyValue, number: int) -> tuple[Receipt, ...]:
    """Receipts of a block; empty when there is none."""
    raw = kv.get(layout.RECEIPTS + layout.height_key(number))
    return () if raw is None else tuple(_receipt(fields) for fields in msgpack.unpackb(raw))


def _receipt_fields(receipt: Receipt) -> list[Any]:
    logs = [[log.address, log.topics, log.data] for log in receipt.logs]
    return [
        receipt.type, receipt.status, receipt.cumulative_gas, receipt.gas_used,
        layout.encode_quantity(receipt.effective_gas_price), receipt.contract_address or b"", receipt.error,
        receipt.bloom if receipt.bloom != EMPTY_BLOOM else b"", logs,
    ]  # fmt: skip


def _receipt(fields: list[Any]) -> Receipt:
    kind, status, cumulative, used, price, contract, error, bloom, logs = fields
    return Receipt(
        kind, status, cumulative, tuple(Log(a, tuple(t), d) for a, t, d in logs), used,
        int.from_bytes(price, "big"), contract or None, error, bloom or EMPTY_BLOOM,
    )  # fmt: skip


# --- logs -----------------------------------------------------------------------------------------------------------


def find_logs(kv: KeyValue, first: int, last: int, addresses: Sequence[Address], topics: Topics) -> Iterator[FoundLog]:
    """Logs of blocks first..last (inclusive) as (block, transaction index, log index, log), in chain order.

    ``addresses`` empty means any; ``topics[i]`` None or empty means any, else the alternatives for position i. Only
    blocks with logs are looked at, and only those whose bloom fits are read.
    """
    wanted = [frozenset(t) if t else None for t in topics]
    masks = _masks(addresses, wanted)
    allowed = frozenset(addresses)
    start = layout.BLOOM + layout.height_key(max(first, 0))
    stop = layout.BLOOM + layout.height_key(last + 1)
    for key, raw in kv.iterate(start, stop):
        bloom = int.from_bytes(raw, "big")
        if not all(any(bloom & mask == mask for mask in group) for group in masks):
            continue
        number = int.from_bytes(key[1:], "big")
        position = 0
        for index, receipt in enumerate(read_receipts(kv, number)):
            for log in receipt.logs:
                if _fits(log, allowed, wanted):
                    yield number, index, position, log
                position += 1


def _fits(log: Log, allowed: frozenset[Address], wanted: list[frozenset[Hash32] | None]) -> bool:
    if allowed and log.address not in allowed:
        return False
    if len(wanted) > len(log.topics):
        return False
    return all(want is None or topic in want for want, topic in zip(wanted, log.topics, strict=False))


def _masks(addresses: Sequence[Address], wanted: list[frozenset[Hash32] | None]) -> list[list[int]]:
    """One group of bloom masks a condition; a bloom must contain at least one mask of each group."""
    groups: list[list[int]] = [[_mask(a) for a in addresses]] if addresses else []
    groups.extend([_mask(topic) for topic in sorted(want)] for want in wanted if want)
    return groups


def _mask(item: bytes) -> int:
    digest = keccak256(item)
    mask = 0
    for i in (0, 2, 4):
        mask |= 1 << (int.from_bytes(digest[i : i + 2], "big") & 2047)
    return mask

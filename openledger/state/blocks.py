"""Blocks, receipts and their indexes: what is written once per block and read by the RPC. Nothing here is hashed state.

Bodies and receipts are msgpack of our own (fast to read); headers are their consensus RLP, so that
keccak256 of the stored bytes is the block hash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from openledger.primitives.blocks import EMPTY_BLOOM, Header, Receipt, SealedBlock
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import Address, Hash32, Log
from openledger.state import layout
from openledger.state.logindex import Topics, candidates, fits, index_entries, quiet
from openledger.state.ports import KeyValue, ReadView

FoundLog = tuple[int, int, int, Log]


HASH_WINDOW = 256


@dataclass(frozen=True, slots=True)
class RecentHashes:
    """What BLOCKHASH answers inside block ``number``: hashes of the 256 blocks before it, else None."""

    block_hash: Callable[[int], Hash32 | None]
    number: int

    def __call__(self, wanted: int) -> Hash32 | None:
        return self.block_hash(wanted) if self.number - HASH_WINDOW <= wanted < self.number else None


def block_entries(block: SealedBlock) -> list[tuple[bytes, bytes]]:
    """Everything that a block adds to the database, state aside."""
    number = layout.height_key(block.number)
    header = block.header.encode()
    entries = [
        (layout.HEADER + number, header),
        (layout.BODY + number, msgpack.packb([block.transactions, block.senders, block.consensus])),
        (layout.RECEIPTS + number, msgpack.packb([_receipt_fields(r) for r in block.receipts])),
    ]
    return entries + lookup_entries(block)


def lookup_entries(block: SealedBlock) -> list[tuple[bytes, bytes]]:
    """The part of ``block_entries`` that can be made again from the rest: how a block and what is in it are found."""
    number = layout.height_key(block.number)
    entries = [(layout.BLOCK_HASH + block.hash, number)]
    for index, raw in enumerate(block.transactions):
        entries.append((layout.TRANSACTION + keccak256(raw), number + index.to_bytes(4, "big")))
    return entries + index_entries(block)


def read_block(kv: ReadView, number: int) -> SealedBlock | None:
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


def find_logs(
    kv: KeyValue,
    first: int,
    last: int,
    addresses: Sequence[Address],
    topics: Topics,
    look: Callable[[], None] = quiet,
) -> Iterator[FoundLog]:
    """Logs of blocks first..last (inclusive) as (block, transaction index, log index, log), in chain order.

    ``addresses`` empty means any; ``topics[i]`` None or empty means any, else the alternatives for position i. A block
    is read only when the index says that it has such a log. ``look`` is called now and then, and may raise to end it.
    """
    wanted = [frozenset(t) if t else None for t in topics]
    allowed = frozenset(addresses)
    for number, places in candidates(kv, max(first, 0), last, addresses, topics, look):
        look()
        place = 0
        for index, receipt in enumerate(read_receipts(kv, number)):
            for log in receipt.logs:
                if (places is None or place in places) and fits(log, allowed, wanted):
                    yield number, index, place, log
                place += 1

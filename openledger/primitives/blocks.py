"""Ethereum's header, receipt and bloom, with their exact encodings (Prague header: EIP-4895, 4844, 4788, 7685)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from openledger.primitives.hashing import KECCAK_RLP_EMPTY_LIST, ZERO_HASH, keccak256
from openledger.primitives.rlpio import Item, read_flat, write_rlp
from openledger.primitives.types import Address, Hash32, Log

EMPTY_TRIE_ROOT = keccak256(b"\x80")
EMPTY_REQUESTS_HASH = hashlib.sha256(b"").digest()
EMPTY_BLOOM = bytes(256)


def bloom_of(logs: Iterable[Log]) -> bytes:
    """The 2048-bit filter over addresses and topics (yellow paper, section 4.3.1)."""
    bits = 0
    for log in logs:
        for item in (log.address, *log.topics):
            digest = keccak256(item)
            for i in (0, 2, 4):
                bits |= 1 << (int.from_bytes(digest[i : i + 2], "big") & 2047)
    return bits.to_bytes(256, "big")


@dataclass(frozen=True, slots=True)
class Header:
    """An Ethereum header; ``hash`` is keccak256 of its RLP. Fixed fields are those of design.md, section 3."""

    parent_hash: Hash32
    coinbase: Address
    state_root: Hash32
    transactions_root: Hash32
    receipts_root: Hash32
    bloom: bytes
    number: int
    gas_limit: int
    gas_used: int
    timestamp: int
    prevrandao: Hash32
    base_fee: int
    ommers_hash: Hash32 = KECCAK_RLP_EMPTY_LIST
    difficulty: int = 0
    extra_data: bytes = b""
    nonce: bytes = bytes(8)
    withdrawals_root: Hash32 = EMPTY_TRIE_ROOT
    blob_gas_used: int = 0
    excess_blob_gas: int = 0
    parent_beacon_block_root: Hash32 = ZERO_HASH
    requests_hash: Hash32 = EMPTY_REQUESTS_HASH

    def encode(self) -> bytes:
        """RLP of the 21 fields in Ethereum's order."""
        return _encoded(self)[0]

    @property
    def hash(self) -> Hash32:
        return _encoded(self)[1]

    @classmethod
    def decode(cls, raw: bytes) -> Header:
        """Header of its own RLP (read from our database)."""
        f = read_flat(raw)
        n = [int.from_bytes(f[i], "big") for i in (7, 8, 9, 10, 11, 15, 17, 18)]
        return cls(
            parent_hash=f[0], ommers_hash=f[1], coinbase=f[2], state_root=f[3], transactions_root=f[4],
            receipts_root=f[5], bloom=f[6], difficulty=n[0], number=n[1], gas_limit=n[2], gas_used=n[3],
            timestamp=n[4], extra_data=f[12], prevrandao=f[13], nonce=f[14], base_fee=n[5], withdrawals_root=f[16],
            blob_gas_used=n[6], excess_blob_gas=n[7], parent_beacon_block_root=f[19], requests_hash=f[20],
        )  # fmt: skip


@lru_cache(maxsize=512)
def _encoded(h: Header) -> tuple[bytes, Hash32]:
    """Bytes and hash of a header; both are asked for often, and a header never changes."""
    encoded = write_rlp(
        [
            h.parent_hash, h.ommers_hash, h.coinbase, h.state_root, h.transactions_root, h.receipts_root, h.bloom,
            h.difficulty, h.number, h.gas_limit, h.gas_used, h.timestamp, h.extra_data, h.prevrandao, h.nonce,
            h.base_fee, h.withdrawals_root, h.blob_gas_used, h.excess_blob_gas, h.parent_beacon_block_root,
            h.requests_hash,
        ]
    )  # fmt: skip
    return encoded, keccak256(encoded)


@dataclass(frozen=True, slots=True)
class Receipt:
    """Outcome of one transaction. The consensus form is ``type || rlp([status, cumulative_gas, bloom, logs])``.

    ``gas_used``, ``effective_gas_price`` (wei), ``contract_address`` and ``error`` are kept beside it for readers.
    """

    type: int
    status: int
    cumulative_gas: int
    logs: tuple[Log, ...]
    gas_used: int
    effective_gas_price: int
    contract_address: Address | None = None
    error: str = ""
    bloom: bytes = field(default=b"")

    def __post_init__(self) -> None:
        if not self.bloom:
            object.__setattr__(self, "bloom", bloom_of(self.logs))

    def encode(self) -> bytes:
        """Consensus encoding (EIP-2718); legacy receipts have no type byte."""
        logs: list[Item] = [[log.address, log.topics, log.data] for log in self.logs]
        body = write_rlp([self.status, self.cumulative_gas, self.bloom, logs])
        return bytes([self.type]) + body if self.type else body


@dataclass(frozen=True, slots=True)
class SealedBlock:
    """A finished block: header, raw Ethereum-visible transactions (the system transaction, where there is one, at
    index 0), their senders and receipts, and ``consensus``, opaque bytes that the application keeps beside it."""

    header: Header
    transactions: tuple[bytes, ...]
    senders: tuple[Address, ...]
    receipts: tuple[Receipt, ...]
    consensus: bytes = b""

    @property
    def number(self) -> int:
        return self.header.number

    @property
    def hash(self) -> Hash32:
        return self.header.hash

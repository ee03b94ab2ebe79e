"""What a snapshot is: the flat tables of one height as a stream of entries, cut into chunks that are hashed one by one.

    entries   (key, value), keys as in the database (layout.py), strictly ascending:
              a accounts, b the last 256 headers, c codes, r native records, s storage, y the last block
    chunk     msgpack [key, value, key, value, ...], closed at 4 MiB; travels compressed with zlib
    manifest  which chain and height, the state root, counts, and sha256 of every chunk before compression
    hash      sha256 of the manifest: what names the snapshot

Equal states give equal snapshots, whatever machine and zlib made them: nothing in a hash depends on compression, on
what a node has kept besides, or on when it was taken. Tries, indexes and older blocks are not in it: tries are built
again, and must come to the state root. The storage of native modules follows from their records.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from typing import Any

import msgpack

from openledger.primitives.blocks import Header, SealedBlock
from openledger.primitives.codec import Value, check_whole, decode, encode
from openledger.primitives.errors import CorruptDatabase, InvalidMsgpack, InvalidSnapshot
from openledger.primitives.hashing import KECCAK_EMPTY
from openledger.primitives.types import MODULE_ADDRESSES, Hash32
from openledger.state import layout
from openledger.state.blocks import read_block
from openledger.state.ports import ReadView

FORMAT = 2
HEADERS = 256
CHUNK_BYTES = 4 * 1024 * 1024
MAX_CHUNK_BYTES = 15 * 1000 * 1000
"""Of one chunk, compressed or not. CometBFT carries 16 MB; the largest single entry is the last block."""
MAX_CHUNKS = 100_000

Entry = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a snapshot says of itself. Counts are of entries (``records`` have no slots of their own);
    ``size`` is the sum of all keys and values in bytes."""

    chain_id: str
    genesis: Hash32
    height: int
    state_root: Hash32
    accounts: int
    headers: int
    codes: int
    records: int
    slots: int
    size: int
    chunks: tuple[Hash32, ...]

    def encode(self) -> bytes:
        """The bytes that travel as the snapshot's metadata."""
        fields = astuple(self)
        return encode([FORMAT, *fields[:-1], list(self.chunks)])

    @property
    def hash(self) -> Hash32:
        """What names the snapshot."""
        return hashlib.sha256(self.encode()).digest()

    def check_size(self) -> None:
        """Raise InvalidSnapshot where the size is more than the chunks can hold."""
        if self.size > len(self.chunks) * MAX_CHUNK_BYTES:
            raise InvalidSnapshot(f"{self.size:,} bytes do not fit {len(self.chunks):,} chunks")

    @classmethod
    def decode(cls, raw: bytes) -> Manifest:
        """Raises InvalidSnapshot for anything but a manifest of this format."""
        try:
            fields = decode(raw)
        except InvalidMsgpack as err:
            raise InvalidSnapshot(f"the manifest of a snapshot cannot be read: {err}") from None
        if not isinstance(fields, list) or len(fields) != 12 or fields[0] != FORMAT:
            raise InvalidSnapshot(f"this is no snapshot of format {FORMAT}")
        chain_id, genesis, height, root, accounts, headers, codes, records, slots, size, chunks = fields[1:]
        numbers = (height, accounts, headers, codes, records, slots, size)
        if not isinstance(chain_id, str) or not _is_hash(genesis) or not _is_hash(root):
            raise InvalidSnapshot("the manifest of a snapshot has a malformed field")
        if not all(type(n) is int for n in numbers) or not isinstance(chunks, list) or not all(map(_is_hash, chunks)):
            raise InvalidSnapshot("the manifest of a snapshot has a malformed field")
        if not 0 < len(chunks) <= MAX_CHUNKS:
            raise InvalidSnapshot(f"a snapshot has 1 to {MAX_CHUNKS} chunks, not {len(chunks)}")
        return cls(chain_id, genesis, *numbers[:1], root, *numbers[1:], tuple(chunks))


def _is_hash(value: Value) -> bool:
    return isinstance(value, bytes) and len(value) == 32


# --- chunks -------------------------------------------------------------------------------------------------------


def pack_chunk(entries: Iterable[Entry]) -> bytes:
    """Entries as the bytes that are hashed."""
    packed: bytes = msgpack.packb([part for entry in entries for part in entry])
    return packed


def unpack_chunk(raw: bytes) -> list[Entry]:
    """Entries of a chunk. Raises InvalidSnapshot for anything else."""
    try:
        check_whole(raw)
        parts = msgpack.unpackb(raw, max_map_len=0, max_ext_len=0, max_str_len=0, strict_map_key=True)
    except (InvalidMsgpack, ValueError, TypeError, msgpack.exceptions.UnpackException, RecursionError):
        raise InvalidSnapshot("a chunk is not a list of entries") from None
    if not isinstance(parts, list) or len(parts) % 2 or not all(type(part) is bytes for part in parts):
        raise InvalidSnapshot("a chunk is not a list of keys and values")
    return list(zip(parts[::2], parts[1::2], strict=True))


def compress(raw: bytes) -> bytes:
    """A chunk as it is kept and travels."""
    return zlib.compress(raw, 1)


def expand(packed: bytes, expected: Hash32) -> bytes:
    """The bytes of a chunk that came from somewhere. Raises InvalidSnapshot when they do not have the expected hash.

    Never gives or holds more than ``MAX_CHUNK_BYTES``, whatever the sender has packed.
    """
    if len(packed) > MAX_CHUNK_BYTES:
        raise InvalidSnapshot("a chunk is too large")
    work = zlib.decompressobj()
    try:
        raw = work.decompress(packed, MAX_CHUNK_BYTES)
    except zlib.error:
        raise InvalidSnapshot("a chunk cannot be decompressed") from None
    if not work.eof or work.unused_data:
        raise InvalidSnapshot("a chunk is cut off, too large, or has bytes behind it")
    if hashlib.sha256(raw).digest() != expected:
        raise InvalidSnapshot("a chunk does not have its hash")
    return raw


# --- the last block -----------------------------------------------------------------------------------------------


def pack_block(block: SealedBlock) -> bytes:
    """Transactions and receipts: what the roots in the header cover, and nothing else."""
    receipts: list[Value] = [
        [r.type, r.status, r.cumulative_gas, [[log.address, list(log.topics), log.data] for log in r.logs]]
        for r in block.receipts
    ]
    return encode([list(block.transactions), receipts])


def unpack_block(raw: bytes) -> tuple[list[bytes], list[list[Any]]]:
    """Transactions, and (type, status, cumulative gas, logs) of each receipt, unchecked but for the outer form: the
    roots in the header decide. Raises InvalidSnapshot."""
    try:
        parts = decode(raw)
    except InvalidMsgpack:
        raise InvalidSnapshot("the last block cannot be read") from None
    match parts:
        case [list(transactions), list(receipts)] if len(transactions) == len(receipts):
            if all(isinstance(tx, bytes) and tx for tx in transactions):
                return transactions, receipts
    raise InvalidSnapshot("the last block is not transactions and receipts")


# --- a height as entries ------------------------------------------------------------------------------------------


def head_of(view: ReadView) -> Header:
    """Header of the newest block in a view. Raises CorruptDatabase where there is none."""
    number = view.get(layout.META + b"head")
    raw = None if number is None else view.get(layout.HEADER + number)
    if raw is None:
        raise CorruptDatabase("the database has no newest block", "start the node once")
    return Header.decode(raw)


def entries(view: ReadView, head: Header) -> Iterator[Entry]:
    """The newest height of a view as entries."""
    codes: set[bytes] = set()
    for key, value in view.iterate(layout.ACCOUNT, layout.after(layout.ACCOUNT)):
        code_hash = layout.decode_account(value).code_hash
        if code_hash != KECCAK_EMPTY:
            codes.add(code_hash)
        yield key, value
    for number in range(max(0, head.number - HEADERS + 1), head.number + 1):
        yield _must(view, layout.HEADER + layout.height_key(number))
    for code_hash in sorted(codes):
        yield _must(view, layout.CODE + code_hash)
    yield from view.iterate(layout.RECORD, layout.after(layout.RECORD))
    start = layout.STORAGE
    for module in sorted(MODULE_ADDRESSES):
        yield from view.iterate(start, layout.STORAGE + module)
        start = layout.after(layout.STORAGE + module)
    yield from view.iterate(start, layout.after(layout.STORAGE))
    block = read_block(view, head.number)
    if block is None:
        raise CorruptDatabase("the newest block is not whole in the database")
    yield layout.BODY + layout.height_key(head.number), pack_block(block)


def _must(view: ReadView, key: bytes) -> Entry:
    value = view.get(key)
    if value is None:
        raise CorruptDatabase(f"the database lacks an entry of table {key[:1].decode()}", "restore a snapshot")
    return key, value


def chunks(found: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Entries in lists of about ``CHUNK_BYTES``."""
    batch: list[Entry] = []
    size = 0
    for entry in found:
        batch.append(entry)
        size += len(entry[0]) + len(entry[1])
        if size >= CHUNK_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch

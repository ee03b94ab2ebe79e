"""All indexes anew, from the blocks themselves: hashes of blocks and transactions, logs, transactions by account.

For a stopped node. Work is written in batches; a mark stands in the database while it is half done, and a store with
that mark does not open.
"""

from __future__ import annotations

from collections.abc import Callable

from openledger.primitives.errors import CorruptDatabase
from openledger.primitives.hashing import keccak256
from openledger.state import layout
from openledger.state.blocks import lookup_entries, read_block
from openledger.state.ports import KeyValue

_MARK = layout.META + b"index"
_TABLES = (layout.BLOCK_HASH, layout.TRANSACTION, layout.HAS_LOGS, layout.LOGS, layout.BY_ACCOUNT)
_BATCH = 20_000


def check_whole(kv: KeyValue) -> None:
    """Raises CorruptDatabase where a rebuild was begun and not ended."""
    if kv.get(_MARK) is not None:
        raise CorruptDatabase("the indexes of this database are half rebuilt", "run openledger index rebuild again")


def rebuild(kv: KeyValue, progress: Callable[[int, int], None] = lambda _done, _all: None) -> tuple[int, int]:
    """Drop every index and make it again. (blocks read, entries written). ``progress(done, all)`` is told of blocks.

    Raises CorruptDatabase for a database without blocks, or with a block that cannot be read.
    """
    raw = kv.get(layout.META + b"head")
    if raw is None:
        raise CorruptDatabase("there are no blocks in this database", "start the node once")
    head = int.from_bytes(raw, "big")
    kv.write([(_MARK, b"\x01")])
    for table in _TABLES:
        _drop(kv, table)
    count, entries, batch = 0, 0, list[tuple[bytes, bytes]]()
    for key, header in kv.iterate(layout.HEADER, layout.after(layout.HEADER)):
        number = int.from_bytes(key[1:], "big")
        batch += _entries(kv, number, header)
        count += 1
        if len(batch) >= _BATCH:
            kv.write(batch, sync=False)
            entries, batch = entries + len(batch), []
            progress(number + 1, head + 1)
    kv.write(batch, [_MARK])
    progress(head + 1, head + 1)
    return count, entries + len(batch)


def _entries(kv: KeyValue, number: int, header: bytes) -> list[tuple[bytes, bytes]]:
    """Of a whole block, or of a header alone: a restored snapshot brings some without their blocks."""
    if kv.get(layout.BODY + layout.height_key(number)) is None:
        return [(layout.BLOCK_HASH + keccak256(header), layout.height_key(number))]
    block = read_block(kv, number)
    if block is None:
        raise CorruptDatabase(f"block {number} cannot be read", "restore a snapshot, or sync again")
    return lookup_entries(block)


def _drop(kv: KeyValue, table: bytes) -> None:
    keys: list[bytes] = []
    for key, _ in kv.iterate(table, layout.after(table)):
        keys.append(key)
        if len(keys) == _BATCH:
            kv.write([], keys, sync=False)
            keys = []
    kv.write([], keys)

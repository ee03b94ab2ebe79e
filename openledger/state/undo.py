"""Some blocks back: what to write so that state, tries, blocks and indexes become those of an earlier height."""

from __future__ import annotations

from collections.abc import Iterator

from openledger.primitives.blocks import Header
from openledger.primitives.errors import CorruptDatabase
from openledger.state import commitment, layout
from openledger.state.blocks import block_entries, read_block
from openledger.state.ports import Diff, KeyValue


def undo(
    kv: KeyValue, head: Header, before: Header, generation: int, *, check_root: bool = True
) -> dict[bytes, bytes | None]:
    """The writes (None deletes) that lead from ``head``, the newest block, back to ``before``, one of its ancestors.

    Raises CorruptDatabase when the restored state would not have the root of the older header (unless ``check_root`` is
    off: a fork's trie knows only what has changed here).
    """
    first, last = before.number + 1, head.number
    prepared = commitment.prepare(kv, _inverse_diff(kv, first, last), last, generation, head.state_root)
    if check_root and prepared.state_root != before.state_root:
        raise CorruptDatabase(f"undoing the blocks above {before.number} gives another state root than that block's")
    writes: dict[bytes, bytes | None] = {**prepared.flat, **prepared.nodes}
    for number in range(first, last + 1):
        writes.update((key, None) for key in _keys_of_block(kv, number))
    writes[layout.META + b"head"] = layout.height_key(before.number)
    return writes


def _inverse_diff(kv: KeyValue, first: int, last: int) -> Diff:
    """The diff that leads from block ``last`` back to the one before ``first``: of each key the oldest value counts."""
    before: dict[bytes, bytes | None] = {}
    for number in range(first, last + 1):
        for key in layout.split_keys(kv.get(layout.CHANGED + layout.height_key(number)) or b""):
            flat = layout.flat_of_history(key)
            if flat not in before:
                before[flat] = layout.decode_before(kv.get(key) or b"")
    inverse = Diff()
    for flat, value in before.items():
        if flat[:1] == layout.ACCOUNT:
            inverse.accounts[flat[1:]] = None if value is None else layout.decode_account(value)
        elif flat[:1] == layout.STORAGE:
            inverse.storage[flat[1:21], int.from_bytes(flat[21:], "big")] = int.from_bytes(value or b"", "big")
        else:
            inverse.records[flat[1:21], flat[21:]] = value
    return inverse


def _keys_of_block(kv: KeyValue, number: int) -> Iterator[bytes]:
    """Keys to delete when block ``number`` is undone: the block, its indexes, its reverse diffs."""
    block = read_block(kv, number)
    if block is not None:
        yield from (key for key, _ in block_entries(block))
    for table in (layout.CHANGED, layout.CHANGED_NODES):
        key = table + layout.height_key(number)
        yield from layout.split_keys(kv.get(key) or b"")
        yield key

"""One block back: what to write so that state, tries, block and indexes become those of the height before."""

from __future__ import annotations

from openledger.primitives.blocks import Header
from openledger.primitives.errors import CorruptDatabase
from openledger.state import commitment, layout
from openledger.state.blocks import block_entries, read_block
from openledger.state.ports import Diff, KeyValue


def undo(kv: KeyValue, head: Header, before: Header, generation: int) -> dict[bytes, bytes | None]:
    """The writes (None deletes) that lead from ``head``, the newest block, back to ``before``, its parent.

    Raises CorruptDatabase when the restored state would not have the root of the older header.
    """
    number = head.number
    prepared = commitment.prepare(kv, _inverse_diff(kv, number), number, generation, head.state_root)
    if prepared.state_root != before.state_root:
        raise CorruptDatabase(f"undoing block {number} gives another state root than block {number - 1}")
    writes: dict[bytes, bytes | None] = {**prepared.flat, **prepared.nodes}
    block = read_block(kv, number)
    if block is not None:
        writes.update((key, None) for key, _ in block_entries(block))
    for table in (layout.CHANGED, layout.CHANGED_NODES):
        key = table + layout.height_key(number)
        writes.update((old, None) for old in layout.split_keys(kv.get(key) or b""))
        writes[key] = None
    writes[layout.META + b"head"] = layout.height_key(number - 1)
    return writes


def _inverse_diff(kv: KeyValue, number: int) -> Diff:
    """The diff that leads from block ``number`` back to the one before."""
    inverse = Diff()
    for key in layout.split_keys(kv.get(layout.CHANGED + layout.height_key(number)) or b""):
        value = layout.decode_before(kv.get(key) or b"")
        flat = layout.flat_of_history(key)
        if flat[:1] == layout.ACCOUNT:
            inverse.accounts[flat[1:]] = None if value is None else layout.decode_account(value)
        elif flat[:1] == layout.STORAGE:
            inverse.storage[flat[1:21], int.from_bytes(flat[21:], "big")] = int.from_bytes(value or b"", "big")
        else:
            inverse.records[flat[1:21], flat[21:]] = value
    return inverse

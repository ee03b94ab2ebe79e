"""A database made empty, in steps: what a restore begins with, and what a restore that was cut off ends in."""

from __future__ import annotations

from openledger.state import layout
from openledger.state.ports import KeyValue

RESTORING = layout.META + b"restoring"
_IDENTITY = frozenset(layout.META + name for name in (b"format", b"chain_id", b"genesis", b"restoring"))
_BATCH = 20_000


def wipe(kv: KeyValue) -> None:
    """Delete everything but which chain this is, and that it is being restored."""
    gone: list[bytes] = []
    for key, _ in kv.iterate(b"", None):
        if key in _IDENTITY:
            continue
        gone.append(key)
        if len(gone) == _BATCH:
            kv.write([], gone, sync=False)
            gone = []
    kv.write([], gone)


def finish_wiping(kv: KeyValue) -> None:
    """At every start: a folder in which a restore was cut off is made empty."""
    if kv.get(RESTORING) is not None:
        wipe(kv)
        kv.write([], [RESTORING])

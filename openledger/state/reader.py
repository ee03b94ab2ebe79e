"""State at one height. At head a read is one lookup; in the past the first reverse diff after that height wins.

A reader is bound to its height: when the head moves on while it is in use, it answers from the reverse diffs.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import chain
from typing import Protocol

from openledger.primitives.blocks import EMPTY_TRIE_ROOT
from openledger.primitives.errors import StatePruned
from openledger.primitives.hashing import KECCAK_EMPTY
from openledger.primitives.types import Account, Address, Hash32
from openledger.state import layout
from openledger.state.ports import Diff, KeyValue


class Versions(Protocol):
    """What a reader needs of the store: a number that changes before any write, and the lock held while writing."""

    generation: int
    lock: threading.RLock

    def oldest_state(self) -> int:
        """The lowest height whose state can still be read."""
        ...

    def block_hash(self, number: int) -> Hash32 | None:
        """Hash of the block at a height, or None."""
        ...

    def committed(self, generation: int) -> Diff | None:
        """The diff whose commit made ``generation`` of the one before, when it is still known."""
        ...


def value_at(kv: KeyValue, key: bytes, height: int) -> bytes | None:
    """Value of a flat or trie key after block ``height``, as far as reverse diffs reach."""
    prefix = layout.history_key(key)
    for _, before in kv.iterate(prefix + layout.height_key(height + 1), prefix + layout.LAST_HEIGHT):
        return layout.decode_before(before)
    return kv.get(key)


class HeightReader:
    """Implements ``StateReader`` after block ``height`` (-1: the empty state before genesis)."""

    __slots__ = ("_generation", "_kv", "_versions", "height")

    def __init__(self, kv: KeyValue, versions: Versions, height: int, *, at_head: bool) -> None:
        self._kv = kv
        self._versions = versions
        self._generation = versions.generation if at_head else -1
        self.height = height

    def head(self) -> tuple[Versions, int] | None:
        """The store and its generation, when this was the head's reader; its answers belong to them for ever."""
        return None if self._generation < 0 else (self._versions, self._generation)

    def anchor(self) -> Hash32:
        """Hash of the block after which this is the state; empty before genesis. Two readers with the same one
        agree."""
        return self._versions.block_hash(self.height) or b""

    def raw(self, key: bytes) -> bytes | None:
        """Value of a flat key at this height. Raises StatePruned when the height was pruned since this was made."""
        value = self._kv.get(key)
        if self._versions.generation == self._generation:
            return value
        with self._versions.lock:
            if self.height < (oldest := self._versions.oldest_state()) and self.height >= 0:
                raise StatePruned(f"the state of block {self.height} is pruned, the oldest kept is {oldest}")
            return value_at(self._kv, key, self.height)

    def account(self, address: Address) -> Account | None:
        raw = self.raw(layout.ACCOUNT + address)
        return None if raw is None else layout.decode_account(raw)

    def storage(self, address: Address, slot: int) -> int:
        raw = self.raw(layout.STORAGE + address + slot.to_bytes(32, "big"))
        return 0 if raw is None else int.from_bytes(raw, "big")

    def storage_root(self, address: Address) -> Hash32:
        """Root of the account's storage trie; the empty root for no account."""
        return layout.storage_root_of(self.raw(layout.ACCOUNT + address))

    def has_storage(self, address: Address) -> bool:
        return self.storage_root(address) != EMPTY_TRIE_ROOT

    def code(self, code_hash: Hash32) -> bytes:
        if code_hash == KECCAK_EMPTY:
            return b""
        return self._kv.get(layout.CODE + code_hash) or b""

    def record(self, module: Address, key: bytes) -> bytes | None:
        return self.raw(layout.RECORD + module + key)

    def records(self, module: Address, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Records in key order; those of this height, also when the head moves while iterating."""
        table = layout.RECORD + module
        return ((key[21:], value) for key, value in self.entries(table + prefix, table + start))

    def entries(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Flat keys (tables a, s, r) that begin with ``prefix`` and are >= ``start``, with their values at this height,
        in key order, also when the head moves while iterating."""
        pairs = self._kv.iterate(max(prefix, start), layout.after(prefix))
        first = next(pairs, None)
        if self._versions.generation == self._generation:  # then the iterator is a snapshot of this height
            while first is not None:
                yield first
                first = next(pairs, None)
            return
        current = (key for key, _ in chain([] if first is None else [first], pairs))
        for key in _union(current, self._keys_in_history(prefix, start)):
            value = self.raw(key)
            if value is not None:
                yield key, value

    def _keys_in_history(self, prefix: bytes, start: bytes) -> Iterator[bytes]:
        """Flat keys with reverse diffs, in order."""
        cursor = layout.history_prefix(max(prefix, start))
        stop = layout.after(layout.history_prefix(prefix))
        while (found := next(self._kv.iterate(cursor, stop), None)) is not None:
            key = layout.flat_of_history(found[0])
            if key >= start:  # a history key has a height behind it, so the one before may sort after ``start``
                yield key
            cursor = found[0][:-8] + layout.LAST_HEIGHT


def _union(left: Iterator[bytes], right: Iterator[bytes]) -> Iterator[bytes]:
    """Two ascending key streams as one, equal keys once."""
    a, b = next(left, None), next(right, None)
    while a is not None or b is not None:
        if b is None or (a is not None and a <= b):
            if a == b:
                b = next(right, None)
            if a is not None:
                yield a
            a = next(left, None)
        else:
            yield b
            b = next(right, None)

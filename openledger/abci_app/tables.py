"""Typed tables over native records: the only form in which modules keep things.

A record is canonical msgpack of a frozen dataclass under a key of fixed-width parts, so that key order is numeric order
and no key is the beginning of another. Each module makes its tables in its ``records.py`` and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, takewhile
from typing import Any, Generic, TypeVar, cast

from openledger.primitives.errors import ConsensusFault
from openledger.primitives.fields import U64, pack_struct, unpack_struct
from openledger.primitives.types import Address
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

T = TypeVar("T")
KeyPart = int | bytes


_LARGE = 128


def _unpack(cls: type[T], raw: bytes) -> T:
    """A record of its bytes; the last large ones are remembered, which cannot change what they are."""
    return cast(T, _remembered(cast(Any, cls), raw)) if len(raw) >= _LARGE else unpack_struct(cls, raw)


@lru_cache(maxsize=256)
def _remembered(cls: Any, raw: bytes) -> Any:
    return unpack_struct(cls, raw)


def _key(parts: tuple[KeyPart, ...]) -> bytes:
    return b"".join(p.to_bytes(8, "big") if isinstance(p, int) else p for p in parts)


class Table(Generic[T]):
    """Records of one kind. Key parts are unsigned 64-bit integers or byte strings of fixed length."""

    def __init__(self, module: Address, name: str, record: type[T]) -> None:
        self.module = module
        self.record = record
        self._prefix = name.encode() + b"/"

    def key(self, *parts: KeyPart) -> bytes:
        """The record's key (for proofs)."""
        return self._prefix + _key(parts)

    def get(self, state: StateReader, *parts: KeyPart) -> T | None:
        raw = state.record(self.module, self.key(*parts))
        return None if raw is None else _unpack(self.record, raw)

    def must(self, state: StateReader, *parts: KeyPart) -> T:
        """A record that must be there by the rules of the module; its absence is a fault that stops the node."""
        found = self.get(state, *parts)
        if found is None:
            raise ConsensusFault(f"record {self._prefix.decode()}{parts} is missing from state")
        return found

    def put(self, state: Overlay, value: T, *parts: KeyPart) -> None:
        state.set_record(self.module, self.key(*parts), pack_struct(value))

    def delete(self, state: Overlay, *parts: KeyPart) -> None:
        state.set_record(self.module, self.key(*parts), None)

    def items(self, state: StateReader, *parts: KeyPart, start: KeyPart | None = None) -> Iterator[tuple[bytes, T]]:
        """(rest of key, record) below the given first key parts, in key order, from ``start`` on."""
        prefix = self.key(*parts)
        first = prefix + _key((start,)) if start is not None else b""
        for key, raw in state.records(self.module, prefix, first):
            yield key[len(prefix) :], _unpack(self.record, raw)

    def due(self, state: StateReader, time: int, most: int) -> list[tuple[int, bytes, T]]:
        """(time, rest of key, record) of a queue, whose first key part is a time, up to and with ``time``; the earliest
        first, at most ``most``. A list: what is in it may be deleted meanwhile."""
        timed = ((int.from_bytes(rest[:8], "big"), rest[8:], found) for rest, found in self.items(state))
        return list(islice(takewhile(lambda one: one[0] <= time, timed), most))

    def is_due(self, state: StateReader, time: int) -> bool:
        """True when the queue has something to be done at ``time``."""
        return bool(self.due(state, time, 1))


@dataclass(frozen=True)
class Number:
    """A counter."""

    value: U64


class Counter:
    """A number under one key; ``next`` hands out 1, 2, 3 ..."""

    def __init__(self, module: Address, name: str) -> None:
        self._table = Table(module, name, Number)

    def get(self, state: StateReader) -> int:
        found = self._table.get(state)
        return found.value if found else 0

    def set(self, state: Overlay, value: int) -> None:
        self._table.put(state, Number(value))

    def next(self, state: Overlay) -> int:
        value = self.get(state) + 1
        self.set(state, value)
        return value

"""The interfaces of this room: key-value store below, readers of state above."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from openledger.primitives.types import Account, Address, Hash32


class ReadView(Protocol):
    """What a store held at one moment, whatever is written later. May be read from another thread. ``close`` it."""

    def get(self, key: bytes) -> bytes | None: ...

    def iterate(self, start: bytes, stop: bytes | None, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < stop, in key order (or reverse)."""
        ...

    def close(self) -> None: ...


class KeyValue(Protocol):
    """An ordered key-value store. ``write`` is atomic; with ``sync`` it is on the disk when it returns."""

    def get(self, key: bytes) -> bytes | None: ...

    def iterate(self, start: bytes, stop: bytes | None, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < stop, in key order (or reverse)."""
        ...

    def view(self) -> ReadView:
        """Everything as it is now. Costs nothing to make."""
        ...

    def write(
        self, puts: Sequence[tuple[bytes, bytes]], deletes: Sequence[bytes] = (), *, sync: bool = True
    ) -> None: ...

    def close(self) -> None: ...


class StateReader(Protocol):
    """Read-only state at one height. Missing things read as None, 0 or empty."""

    def account(self, address: Address) -> Account | None: ...

    def storage(self, address: Address, slot: int) -> int: ...

    def has_storage(self, address: Address) -> bool:
        """True when any storage slot of this account is non-zero (EIP-7610)."""
        ...

    def code(self, code_hash: Hash32) -> bytes: ...

    def record(self, module: Address, key: bytes) -> bytes | None: ...

    def records(self, module: Address, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Records of a module whose key begins with ``prefix`` and is >= ``start``, in key order."""
        ...


@dataclass(slots=True)
class Diff:
    """What one block (or batch) changed. None deletes an account or a record; storage 0 clears a slot.

    A record is also a storage slot of its module's account: slot keccak256(key), value keccak256(record). The
    overlay writes both, so that tries need to know of storage only. ``wiped`` names accounts that were deleted and
    exist again: all their older storage is gone, ``storage`` holds what they have now. A deleted account loses its
    storage without being named there.
    """

    accounts: dict[Address, Account | None] = field(default_factory=dict)
    storage: dict[tuple[Address, int], int] = field(default_factory=dict)
    codes: dict[Hash32, bytes] = field(default_factory=dict)
    records: dict[tuple[Address, bytes], bytes | None] = field(default_factory=dict)
    wiped: set[Address] = field(default_factory=set)

    @property
    def is_empty(self) -> bool:
        return not (self.accounts or self.storage or self.codes or self.records or self.wiped)

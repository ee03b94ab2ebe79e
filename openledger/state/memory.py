"""A key-value store in memory: for tests, for scratch chains, and as the reference for the LevelDB one."""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence

_FEW = 32


class MemoryStore:
    """Implements ``KeyValue`` with a dict and a sorted list of its keys. An iterator is a snapshot."""

    def __init__(self) -> None:
        self._data: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []
        self._lock = threading.Lock()

    def get(self, key: bytes) -> bytes | None:
        return self._data.get(key)

    def iterate(self, start: bytes, stop: bytes | None, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < stop, in key order (or reverse)."""
        with self._lock:
            low = bisect_left(self._keys, start)
            high = len(self._keys) if stop is None else bisect_left(self._keys, stop)
            pairs = [(key, self._data[key]) for key in self._keys[low:high]]
        if reverse:
            pairs.reverse()
        yield from pairs

    def write(self, puts: Sequence[tuple[bytes, bytes]], deletes: Sequence[bytes] = (), *, sync: bool = True) -> None:
        """Write all or nothing. ``sync`` has no meaning here."""
        with self._lock:
            new = list({key for key, _ in puts if key not in self._data})
            self._data.update(puts)
            if len(new) > _FEW:
                self._keys.extend(new)
                self._keys.sort()
            else:
                for key in new:
                    insort(self._keys, key)
            gone = {key for key in deletes if self._data.pop(key, None) is not None}
            if len(gone) > _FEW:
                self._keys = [key for key in self._keys if key not in gone]
            else:
                for key in gone:
                    del self._keys[bisect_left(self._keys, key)]

    def view(self) -> MemoryStore:
        """A copy."""
        copy = MemoryStore()
        with self._lock:
            copy._data, copy._keys = dict(self._data), list(self._keys)
        return copy

    def close(self) -> None:
        """Nothing to release."""

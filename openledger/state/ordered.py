"""A dict of records that keeps its keys in order, so that a range costs what it holds and not what the dict holds."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping
from typing import Any


class OrderedRecords(dict[bytes, bytes | None]):
    """Records by key; written and deleted as in any dict, one by one. The size matters to ``between`` by a logarithm;
    a new key moves the keys behind it, 8 bytes of memory for each."""

    __slots__ = ("_keys",)

    def __init__(self, records: Mapping[bytes, bytes | None] | None = None) -> None:
        super().__init__(records or {})
        self._keys: list[bytes] = sorted(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copied and sent to other processes as a plain dict: else records would be set before there are keys."""
        return OrderedRecords, (dict(self),)

    def __setitem__(self, key: bytes, value: bytes | None) -> None:
        if key not in self:
            insort(self._keys, key)
        super().__setitem__(key, value)

    def __delitem__(self, key: bytes) -> None:
        super().__delitem__(key)
        del self._keys[bisect_left(self._keys, key)]

    def between(self, prefix: bytes, start: bytes = b"") -> list[tuple[bytes, bytes | None]]:
        """(key, record) of the keys that begin with ``prefix`` and are >= ``start``, in key order, as they are now."""
        low, stop = bisect_left(self._keys, max(prefix, start)), _after(prefix)
        high = len(self._keys) if stop is None else bisect_left(self._keys, stop)
        return [(key, self[key]) for key in self._keys[low:high]]


def _after(prefix: bytes) -> bytes | None:
    """The first key greater than all that begin with ``prefix``; None where there is none."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes((trimmed[-1] + 1,)) if trimmed else None

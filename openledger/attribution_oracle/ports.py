"""What the oracle asks of the rooms around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

Progress = Callable[[int, int, str], None]
"""Called with (step, total, text) while something long runs, at the end of each step. May raise SliceOver."""


class SliceOver(Exception):
    """The time of a turn is over: step, total and text say where the work stands. Outside the error tree, so that no
    check takes it for a fault of the claim."""

    def __init__(self, done: int, total: int, what: str) -> None:
        super().__init__(f"{what}: {done} of {total}")
        self.done, self.total, self.what = done, total, what


class Blobs(Protocol):
    """A content-addressed store; names are sha256 in hex without 0x."""

    def get(self, name: str, /) -> bytes:
        """Raises BlobNotFound, or BlobCorrupt when the bytes do not have this hash."""
        ...

    def put(self, data: bytes, /) -> str:
        """Stores and gives the name."""
        ...

    def has(self, name: str, /) -> bool: ...


class ChainReader(Protocol):
    """What serving must know of the chain. Amounts are wei, as integers or 0x-hex quantities."""

    async def session(self, number: int, /) -> Mapping[str, Any] | None:
        """``model, consumer, deposit, settled, answers, expiry, status``; None when there is no such session."""
        ...

    async def model(self, number: int, /) -> Mapping[str, Any] | None:
        """At least ``price`` and ``status``; None when there is no such model."""
        ...


def silent(step: int, total: int, text: str) -> None:
    """The progress callback that shows nothing."""


def blob_name(text: str) -> str:
    """Name of a blob in the store, of its hash with or without 0x."""
    return text.lower().removeprefix("0x")


__all__ = ["Blobs", "ChainReader", "Progress", "SliceOver", "blob_name", "silent"]

"""What the application asks of the rooms above it."""

from __future__ import annotations

from typing import Protocol

from openledger.primitives.types import Address
from openledger.state.ports import StateReader


class VerdictSource(Protocol):
    """Finished oracle messages of this validator. Must answer at once: it never computes and never waits."""

    def extension(self, state: StateReader, height: int, validator: Address) -> bytes:
        """The vote extension for the precommit of ``height``: encoded messages that state does not contain yet, or
        empty bytes when there is nothing to say."""
        ...


class Silence:
    """The verdict source of a node without an oracle."""

    def extension(self, state: StateReader, height: int, validator: Address) -> bytes:
        return b""

"""EIP-2935: the hashes of earlier blocks in the storage of the history contract."""

from __future__ import annotations

from collections.abc import Callable

from openledger.evm.predeploys import HISTORY_ADDRESS, HISTORY_WINDOW
from openledger.primitives.types import Hash32
from openledger.state.overlay import Overlay

HASHES_AT_ONCE = 256
"""Blocks whose hashes everybody knows, also a node that began with a snapshot."""


def remember_hashes(state: Overlay, height: int, block_hash: Callable[[int], Hash32 | None]) -> None:
    """Write the hashes of the blocks before ``height`` down to the newest that is there, at most 256."""
    for number in range(height - 1, max(-1, height - 1 - HASHES_AT_ONCE), -1):
        known = block_hash(number)
        if known is None or state.storage(HISTORY_ADDRESS, number % HISTORY_WINDOW) == int.from_bytes(known, "big"):
            return
        state.set_storage(HISTORY_ADDRESS, number % HISTORY_WINDOW, int.from_bytes(known, "big"))

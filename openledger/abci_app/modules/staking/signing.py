"""Which of the last blocks a validator has not signed.

Only a miss is written, never a signature, so blocks that everybody signs leave the state as it is. A miss shifts the
record's bits to its own height; bit i stands for the height i below.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from openledger.abci_app.tables import Table
from openledger.genesis.params import Params
from openledger.primitives.amounts import PPM
from openledger.primitives.fields import U64, Bytes
from openledger.primitives.types import STAKING_ADDRESS, Address
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True)
class Signing:
    """Heights: ``start`` is the first that counts, ``newest`` the last miss; ``misses`` are bits, the lowest one for
    ``newest``. A height above the chain's stems from the chain that this one goes on from, and counts for nothing."""

    start: U64 = 0
    newest: U64 = 0
    misses: Bytes = b""


_SIGNING = Table(STAKING_ADDRESS, "signing", Signing)


def _bits(record: Signing, height: int, window: int) -> int:
    """Misses in the ``window`` heights up to ``height``, the lowest bit for ``height``."""
    gap = height - record.newest
    if not 0 <= gap < window:
        return 0
    return (int.from_bytes(record.misses, "big") << gap) & ((1 << window) - 1)


def begin_counting(state: Overlay, address: Address, height: int) -> None:
    """Forget all misses; ``height`` is the first block that counts."""
    _SIGNING.put(state, Signing(height), address)


def missed(state: StateReader, params: Params, address: Address, height: int | None = None) -> int:
    """How many of the blocks in the window up to ``height`` (default: the last miss) a validator has missed."""
    record = _SIGNING.get(state, address) or Signing()
    return _bits(record, record.newest if height is None else height, params.signed_window).bit_count()


def note_miss(state: Overlay, params: Params, address: Address, height: int) -> bool:
    """Write down a miss; True when these are more than the window allows, once a whole window has passed."""
    record = _SIGNING.get(state, address) or Signing()
    bits = _bits(record, height, params.signed_window) | 1
    raw = bits.to_bytes((bits.bit_length() + 7) // 8, "big")
    _SIGNING.put(state, replace(record, newest=height, misses=raw), address)
    start = record.start if record.start <= height else 0
    return bits.bit_count() > allowed_misses(params) and height + 1 >= start + params.signed_window


def allowed_misses(params: Params) -> int:
    """Blocks of a window that a validator may miss without being jailed."""
    return params.signed_window - -(-params.signed_window * params.min_signed // PPM)

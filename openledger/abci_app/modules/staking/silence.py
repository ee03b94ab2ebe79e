"""Claims that were decided without a validator which has declared an oracle. Who is silent too often is struck off.

A validator has declared an oracle when its record says so and it has promised seeds that count for the claim, which
only a running oracle does; so a node without one is never punished. A claim counts when more than two thirds of the
power have said the same about it: then its blobs were there for all. Who is struck off loses a small part of its stake
and its vote on claims, not its seat, until `validator.edit` declares the oracle anew.

Only a miss is written. Bit i stands for the claim i numbers below the newest one that was missed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from openledger.abci_app.action import BlockContext
from openledger.abci_app.modules.staking.records import EDITED, SLASHED, put_validator, validator
from openledger.abci_app.modules.staking.slashing import slash
from openledger.abci_app.tables import Table
from openledger.genesis.params import Params
from openledger.primitives.amounts import PPM
from openledger.primitives.fields import U64, Bytes
from openledger.primitives.types import STAKING_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

SILENCE = "silence"


@dataclass(frozen=True)
class Silent:
    """The newest claim that was missed, and bits for it (the lowest) and those before it."""

    newest: U64 = 0
    misses: Bytes = b""


_SILENT = Table(STAKING_ADDRESS, "silent", Silent)


def allowed_silences(params: Params) -> int:
    """Decided claims of a window that a declared oracle may miss; the whole window where silence is not punished."""
    return params.verdict_window - -(-params.verdict_window * params.min_verdicts // PPM)


def silences(state: StateReader, params: Params, address: Address, claim: int) -> int:
    """How many of the claims in the window that ends with number ``claim`` a validator has missed."""
    found = _SILENT.get(state, address) or Silent()
    return _bits(found, max(claim, found.newest), params.verdict_window).bit_count()


def _bits(record: Silent, claim: int, window: int) -> int:
    gap = claim - record.newest
    return (int.from_bytes(record.misses, "big") << gap) & ((1 << window) - 1) if gap < window else 0


def note_silent(state: Overlay, ctx: BlockContext, address: Address, claim: int) -> list[Log]:
    """A validator that had declared an oracle has said nothing that counts about a decided claim. The same claim, which
    a challenge can have decided twice, is one miss. Who has no seat any more could not speak."""
    params, record = ctx.params, validator(state, address)
    if not params.min_verdicts or record is None or not record.power or not record.oracle:
        return []
    before = _SILENT.get(state, address) or Silent()
    newest = max(claim, before.newest)
    if newest - claim >= params.verdict_window:
        return []
    bits = _bits(before, newest, params.verdict_window) | 1 << (newest - claim)
    if bits.bit_count() <= allowed_silences(params):
        _SILENT.put(state, Silent(newest, bits.to_bytes((bits.bit_length() + 7) // 8, "big")), address)
        return []
    if _SILENT.get(state, address) is not None:
        _SILENT.delete(state, address)
    record, burned = slash(state, ctx, record, params.slash_silence, ctx.height - 1)
    put_validator(state, replace(record, oracle=False))
    return [
        SLASHED.log(record.operator, record.address, burned, SILENCE),
        EDITED.log(record.operator, record.name, False),
    ]

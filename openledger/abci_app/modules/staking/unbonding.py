"""Stake on its way back to its owner: it waits ``unbonding_seconds``, can be slashed meanwhile, and is then paid.

The queue is ordered by time; a block pays ``max_unbondings_per_block`` at most, the rest waits for the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from openledger.abci_app.action import BlockContext
from openledger.abci_app.modules.accounts import transfer
from openledger.abci_app.modules.staking.records import STAKES, UNBONDED, ValidatorRecord, validator
from openledger.abci_app.tables import Counter, Table
from openledger.primitives.amounts import PPM
from openledger.primitives.fields import U64, U256, AddressField
from openledger.primitives.types import STAKING_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

MAX_ENTRIES = 7
"""Unbondings of one validator that may wait at the same time: a slash visits them all."""


@dataclass(frozen=True)
class Unbonding:
    """``amount`` wei of ``owner``, begun in block ``height``, paid when block time reaches ``ready``."""

    owner: AddressField
    amount: U256
    height: U64
    ready: U64


@dataclass(frozen=True)
class _Queued:
    validator: AddressField


_ENTRIES = Table(STAKING_ADDRESS, "unbonding", Unbonding)
_QUEUE = Table(STAKING_ADDRESS, "unbonding-queue", _Queued)
_COUNT = Counter(STAKING_ADDRESS, "unbonding-count")


def unbondings(state: StateReader, address: Address) -> Iterator[Unbonding]:
    """What is unbonding from a validator (consensus address), in the order of its beginning."""
    return (entry for _, entry in _ENTRIES.items(state, address))


def begin_unbonding(state: Overlay, ctx: BlockContext, record: ValidatorRecord, owner: Address, amount: int) -> int:
    """Queue ``amount`` wei, which the staking account holds and no stake counts any longer; when it is paid."""
    number, ready = _COUNT.next(state), ctx.time + ctx.params.unbonding_seconds
    _ENTRIES.put(state, Unbonding(owner, amount, ctx.height, ready), record.address, number)
    _QUEUE.put(state, _Queued(record.address), ready, number)
    return ready


def _due(state: StateReader, time: int) -> Iterator[tuple[int, int, Address]]:
    for rest, queued in _QUEUE.items(state):
        ready, number = int.from_bytes(rest[:8], "big"), int.from_bytes(rest[8:], "big")
        if ready > time:
            return
        yield ready, number, queued.validator


def unbonding_is_due(state: StateReader, time: int) -> bool:
    """True when the next block at Unix second ``time`` would pay something back."""
    return next(_due(state, time), None) is not None


def pay_unbonded(state: Overlay, ctx: BlockContext) -> list[Log]:
    """Pay what has waited long enough, the longest waiting first."""
    logs: list[Log] = []
    ready_now: list[tuple[int, int, Address]] = []
    for item in _due(state, ctx.time):
        if len(ready_now) == ctx.params.max_unbondings_per_block:
            break
        ready_now.append(item)
    for ready, number, address in ready_now:
        entry = _ENTRIES.must(state, address, number)
        _QUEUE.delete(state, ready, number)
        _ENTRIES.delete(state, address, number)
        transfer(state, STAKES, entry.owner, entry.amount)
        record = validator(state, address)
        logs.append(UNBONDED.log(entry.owner, record.operator if record else entry.owner, entry.amount))
    return logs


def slash_unbonding(state: Overlay, address: Address, ppm: int, height: int) -> int:
    """Take ``ppm`` of what still had power at ``height``: power given up in block h counts until h + 1. The wei taken,
    which the caller burns."""
    taken = 0
    for rest, entry in list(_ENTRIES.items(state, address)):
        if entry.height + 2 <= height:
            continue
        part = entry.amount * ppm // PPM
        taken += part
        _ENTRIES.put(state, replace(entry, amount=entry.amount - part), address, int.from_bytes(rest, "big"))
    return taken

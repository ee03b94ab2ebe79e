"""The validator sets that count now: who signed the last block, and who will sign the next ones.

What is decided in block h holds from height h + 2 on; so CometBFT says. After block h the state knows three sets: of
h (its precommits, with their extensions, arrive in block h + 1), of h + 1, and of h + 2. One that is the same as the
next is not kept, so a chain whose set rests writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from openledger.abci_app.modules.staking.records import (
    ValidatorRecord,
    candidates,
    put_validator,
    take_changed,
    validator,
)
from openledger.abci_app.modules.staking.signing import begin_counting
from openledger.abci_app.tables import Table
from openledger.genesis.params import Params
from openledger.primitives.fields import U64, AddressField, Bytes32
from openledger.primitives.types import STAKING_ADDRESS
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True)
class Seat:
    """A validator in a set: consensus address, ed25519 key, power."""

    address: AddressField
    pub_key: Bytes32
    power: U64


@dataclass(frozen=True)
class ValidatorSet:
    """Seats, ascending by address."""

    seats: tuple[Seat, ...]


@dataclass(frozen=True, slots=True)
class PowerChange:
    """What the consensus engine is told: a key (32 bytes) and its new power, 0 to leave."""

    pub_key: bytes
    power: int


_SETS = Table(STAKING_ADDRESS, "set", ValidatorSet)
_LAST, _NEXT, _NEWEST = 0, 1, 2


def last_signers(state: StateReader) -> ValidatorSet:
    """The set of the newest block: whose precommits, and extensions, the next block carries."""
    return _SETS.get(state, _LAST) or next_signers(state)


def next_signers(state: StateReader) -> ValidatorSet:
    """The set of the block after the newest."""
    return _SETS.get(state, _NEXT) or newest_set(state)


def newest_set(state: StateReader) -> ValidatorSet:
    """The set of the block after the next: the latest decision."""
    return _SETS.must(state, _NEWEST)


def seated(state: StateReader) -> list[ValidatorRecord]:
    """Records of the newest set, by consensus address."""
    found = (validator(state, seat.address) for seat in newest_set(state).seats)
    return [record for record in found if record is not None]


def open_first_set(state: Overlay) -> None:
    """The set that a new chain begins with (block 0 only): the records written so far, with the power they have."""
    take_changed(state)
    seats = sorted((Seat(v.address, v.pub_key, v.power) for v in candidates(state)), key=lambda s: s.address)
    _SETS.put(state, ValidatorSet(tuple(seats)), _NEWEST)


def close_set(state: Overlay, params: Params, height: int) -> tuple[PowerChange, ...]:
    """Decide the set of ``height`` + 2 at the end of block ``height``; what changes, by consensus address.

    When nobody is fit to be in it, the set stays as it is: a chain never loses its last validator.
    """
    _move_up(state, height)
    if not take_changed(state):
        return ()
    now, wanted = newest_set(state), _wanted(state, params)
    if not wanted.seats or wanted == now:
        return ()
    _SETS.put(state, now, _NEXT)
    _SETS.put(state, wanted, _NEWEST)
    return _changes(state, now, wanted, height)


def _move_up(state: Overlay, height: int) -> None:
    """What was the set of the next block is now that of the last. Block 1 begins with the newest set, also on a chain
    that goes on from the state of another, which may have been about to change."""
    middle = _SETS.get(state, _NEXT) if height > 1 else None
    if middle is not None:
        _SETS.put(state, middle, _LAST)
    elif _SETS.get(state, _LAST) is not None:
        _SETS.delete(state, _LAST)
    if _SETS.get(state, _NEXT) is not None:
        _SETS.delete(state, _NEXT)


def _wanted(state: StateReader, params: Params) -> ValidatorSet:
    seats: list[Seat] = []
    for record in candidates(state):
        power = record.stake // params.power_unit
        if not power or len(seats) == params.max_validators:
            break
        seats.append(Seat(record.address, record.pub_key, power))
    return ValidatorSet(tuple(sorted(seats, key=lambda seat: seat.address)))


def _changes(state: Overlay, before: ValidatorSet, after: ValidatorSet, height: int) -> tuple[PowerChange, ...]:
    old = {seat.address: seat for seat in before.seats}
    new = {seat.address: seat for seat in after.seats}
    changes = []
    for address in sorted(old.keys() | new.keys()):
        if old.get(address) == new.get(address):
            continue
        seat, power = (new.get(address) or old[address]), (new[address].power if address in new else 0)
        record = validator(state, address)
        if record is not None:
            put_validator(state, replace(record, power=power))
        if address not in old:
            begin_counting(state, address, height + 2)
        changes.append(PowerChange(seat.pub_key, power))
    return tuple(changes)

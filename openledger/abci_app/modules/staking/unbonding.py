"""Stake on its way: back to its owner, or from one validator to another. Both can be slashed for as long as it takes.

What unbonds waits ``unbonding_seconds`` and is then paid. What was redelegated stands behind its new validator at once,
and for as long still answers for what its old validator did while it stood behind that one.

A slash writes one line (``note_slash``). Entries follow it when they are next touched: by the sweep, which visits all
entries of a slashed validator, ``max_unbondings_per_block`` a block, beginning with the block of the slash; by their
owner's next action; at the latest when they are due. So no number of entries makes a block long, and none escapes.
The queue is ordered by time; a block pays ``max_unbondings_per_block`` at most, the rest waits for the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from openledger.abci_app.action import BlockContext
from openledger.abci_app.modules.accounts import transfer
from openledger.abci_app.modules.fees.records import burn_from
from openledger.abci_app.modules.staking.delegations import delegation, take_stake
from openledger.abci_app.modules.staking.records import (
    STAKES,
    UNBONDED,
    UNBONDING_SLASHED,
    ValidatorRecord,
    validator,
)
from openledger.abci_app.tables import Counter, Number, Table
from openledger.primitives.amounts import PPM
from openledger.primitives.errors import ConsensusFault
from openledger.primitives.fields import U32, U64, U256, AddressField
from openledger.primitives.types import STAKING_ADDRESS, ZERO_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

MAX_ENTRIES = 7
"""Unbondings of one account from one validator, and redelegations of one account to one, that may wait at a time."""
POWER_LAG = 2
"""Power given up in block h counts up to block h + 1, so an offence of block h + 2 or later is none of its business."""


@dataclass(frozen=True)
class Unbonding:
    """``amount`` wei of ``owner``, begun in block ``height``, done when block time reaches ``ready``. Slashes of the
    validator from number ``since`` on may concern it. ``target`` (consensus address) has given ``shares`` for it where
    it was redelegated; else it is the zero address."""

    owner: AddressField
    amount: U256
    height: U64
    ready: U64
    since: U64 = 0
    target: AddressField = ZERO_ADDRESS
    shares: U256 = 0


@dataclass(frozen=True)
class Slash:
    """``ppm`` of the stake were taken in block ``height`` for an offence of block ``offence``."""

    height: U64
    offence: U64
    ppm: U32


@dataclass(frozen=True)
class _Validator:
    validator: AddressField


_ENTRIES = Table(STAKING_ADDRESS, "unbonding", Unbonding)
_QUEUE = Table(STAKING_ADDRESS, "unbonding-queue", _Validator)
_COUNT = Counter(STAKING_ADDRESS, "unbonding-count")
_LEAVING = Table(STAKING_ADDRESS, "leaving", _Validator)
"""By owner, validator and number: what unbonds."""
_ARRIVING = Table(STAKING_ADDRESS, "arriving", _Validator)
"""By owner, target and number, with the source: what was redelegated."""
_SLASHES = Table(STAKING_ADDRESS, "slash", Slash)
_LATE = Table(STAKING_ADDRESS, "late-slash", Slash)
"""Those of them whose offence lies further back than the block before: two blocks of one height, a false verdict, also
one that was said on the chain that this one goes on from."""
_SWEEPS = Table(STAKING_ADDRESS, "sweep", Number)
"""By validator, while its entries are visited after a slash: the next entry's number."""


# --- reading --------------------------------------------------------------------------------------------------


def unbondings(state: StateReader, address: Address) -> Iterator[Unbonding]:
    """What is unbonding from a validator (consensus address), in the order of its beginning."""
    return (entry for _, entry in _ENTRIES.items(state, address) if entry.target == ZERO_ADDRESS)


def leaving(state: StateReader, owner: Address, address: Address) -> list[tuple[int, Unbonding]]:
    """(number, entry) of what an account unbonds from a validator: ``MAX_ENTRIES`` at most."""
    found = ((int.from_bytes(rest, "big"), at.validator) for rest, at in _LEAVING.items(state, owner, address))
    return [(number, _ENTRIES.must(state, at, number)) for number, at in found]


def leaving_from(state: StateReader, owner: Address, limit: int) -> list[Address]:
    """Validators from which an account unbonds something, ascending."""
    found = (at.validator for _, at in islice(_LEAVING.items(state, owner), limit))
    return sorted(set(found))


def arriving(state: StateReader, owner: Address, target: Address) -> list[tuple[int, Address, Unbonding]]:
    """(number, source, entry) of what an account has redelegated to a validator: ``MAX_ENTRIES`` at most."""
    found = ((int.from_bytes(rest, "big"), at.validator) for rest, at in _ARRIVING.items(state, owner, target))
    return [(number, source, _ENTRIES.must(state, source, number)) for number, source in found]


# --- beginning ------------------------------------------------------------------------------------------------


def begin_unbonding(state: Overlay, ctx: BlockContext, record: ValidatorRecord, owner: Address, amount: int) -> int:
    """Queue ``amount`` wei, which the staking account holds and no stake counts any longer; when it is paid: not before
    what the owner has redelegated there has done its time, for which this answers too."""
    others = [entry.ready for _, _, entry in arriving(state, owner, record.address)]
    ready = max([ctx.time + ctx.params.unbonding_seconds, *others])
    number = _begin(state, record, Unbonding(owner, amount, ctx.height, ready, record.slashes))
    _LEAVING.put(state, _Validator(record.address), owner, record.address, number)
    return ready


def begin_redelegation(
    state: Overlay, ctx: BlockContext, source: ValidatorRecord, target: Address, owner: Address, amount: int, new: int
) -> int:
    """Note that ``amount`` wei have become ``new`` shares of ``target``; until when they answer for the source."""
    ready = ctx.time + ctx.params.unbonding_seconds
    number = _begin(state, source, Unbonding(owner, amount, ctx.height, ready, source.slashes, target, new))
    _ARRIVING.put(state, _Validator(source.address), owner, target, number)
    return ready


def _begin(state: Overlay, source: ValidatorRecord, entry: Unbonding) -> int:
    number = _COUNT.next(state)
    _ENTRIES.put(state, entry, source.address, number)
    _QUEUE.put(state, _Validator(source.address), entry.ready, number)
    return number


# --- slashes --------------------------------------------------------------------------------------------------


def note_slash(state: Overlay, record: ValidatorRecord, slash: Slash) -> ValidatorRecord:
    """Write a slash down for what is on its way, and begin the sweep. The record that has counted it, not written."""
    _SLASHES.put(state, slash, record.address, record.slashes)
    if _is_late(slash):
        _LATE.put(state, slash, record.address, record.slashes)
    if next(_ENTRIES.items(state, record.address), None) is not None:
        _SWEEPS.put(state, Number(0), record.address)
    return replace(record, slashes=record.slashes + 1)


def _due_slashes(state: StateReader, source: ValidatorRecord, entry: Unbonding) -> list[int]:
    """ppm of each slash that reaches an entry: for an offence while it had power, noted after it began. Most are for
    offences of the block before, so of these only the first few can be meant; the late ones are few."""
    found: list[int] = []
    for index in range(entry.since, source.slashes):
        slash = _SLASHES.must(state, source.address, index)
        if not entry.height <= slash.height <= entry.height + POWER_LAG:
            break
        if not _is_late(slash) and _reaches(slash, entry):
            found.append(slash.ppm)
    late = (slash for _, slash in _LATE.items(state, source.address, start=entry.since))
    return found + [slash.ppm for slash in late if _reaches(slash, entry)]


def _reaches(slash: Slash, entry: Unbonding) -> bool:
    """Heights above the slash's own are those of the chain that this one goes on from, and came before all of ours."""
    offence_before, entry_before = slash.offence > slash.height, entry.height > slash.height
    if offence_before != entry_before:
        return offence_before
    return entry.height != slash.height and slash.offence < entry.height + POWER_LAG


def _is_late(slash: Slash) -> bool:
    return not slash.height - 1 <= slash.offence <= slash.height


def follow(state: Overlay, source: Address, number: int) -> list[Log]:
    """Let one entry follow the slashes of its validator. What is taken burns."""
    entry, record = _ENTRIES.must(state, source, number), validator(state, source)
    if record is None:
        raise ConsensusFault(f"what is unbonding from 0x{source.hex()} has no validator")
    taken, before = 0, entry
    for ppm in _due_slashes(state, record, entry):
        part, shares = entry.amount * ppm // PPM, entry.shares * ppm // PPM
        taken += part if entry.target == ZERO_ADDRESS else _take_back(state, number, entry, part, shares)
        entry = replace(entry, amount=entry.amount - part, shares=entry.shares - shares)
    if entry == before:
        return []
    _ENTRIES.put(state, replace(entry, since=record.slashes), source, number)
    burn_from(state, STAKES, taken)
    return [UNBONDING_SLASHED.log(entry.owner, record.operator, taken)]


def _take_back(state: Overlay, number: int, entry: Unbonding, amount: int, shares: int) -> int:
    """``shares`` of what was redelegated; where the owner has fewer left, the rest from what it has unbonded from the
    target since, at the worth of its redelegation. The wei."""
    there = min(shares, delegation(state, entry.owner, entry.target).total)
    taken = take_stake(state, entry.owner, entry.target, there)
    missing = amount * (shares - there) // shares if shares else 0
    for later, other in leaving(state, entry.owner, entry.target):
        part = min(missing, other.amount) if later > number else 0
        if part:
            _ENTRIES.put(state, replace(other, amount=other.amount - part), entry.target, later)
            taken, missing = taken + part, missing - part
    return taken


def follow_arriving(state: Overlay, owner: Address, target: Address) -> list[Log]:
    """Let all that an account has redelegated to a validator follow; before the account takes anything away there."""
    return [log for number, source, _ in arriving(state, owner, target) for log in follow(state, source, number)]


def follow_pair(state: Overlay, owner: Address, address: Address) -> list[Log]:
    """Let all follow that an account has redelegated to a validator or unbonds from it."""
    logs = follow_arriving(state, owner, address)
    return logs + [log for number, _ in leaving(state, owner, address) for log in follow(state, address, number)]


def _sweep(state: Overlay, ctx: BlockContext) -> list[Log]:
    """Visit entries of validators that were slashed, as many as a block may."""
    logs: list[Log] = []
    left = ctx.params.max_unbondings_per_block
    for address, cursor in list(islice(_SWEEPS.items(state), left)):
        found = [
            int.from_bytes(rest, "big") for rest, _ in islice(_ENTRIES.items(state, address, start=cursor.value), left)
        ]
        for number in found:
            logs += follow(state, address, number)
        if len(found) == left:
            _SWEEPS.put(state, Number(found[-1] + 1), address)
            return logs
        _SWEEPS.delete(state, address)
        left -= len(found)
    return logs


# --- the end --------------------------------------------------------------------------------------------------


def unbonding_is_due(state: StateReader, time: int) -> bool:
    """True when the next block at Unix second ``time`` would pay something back, or visit what a slash concerns."""
    return _QUEUE.is_due(state, time) or next(_SWEEPS.items(state), None) is not None


def pay_unbonded(state: Overlay, ctx: BlockContext) -> list[Log]:
    """Sweep, then end what has waited long enough, the longest waiting first."""
    logs = _sweep(state, ctx)
    for ready, rest, queued in _QUEUE.due(state, ctx.time, ctx.params.max_unbondings_per_block):
        number, address = int.from_bytes(rest, "big"), queued.validator
        logs += follow(state, address, number)
        entry, record = _ENTRIES.must(state, address, number), validator(state, address)
        _QUEUE.delete(state, ready, number)
        _ENTRIES.delete(state, address, number)
        if entry.target != ZERO_ADDRESS:
            _ARRIVING.delete(state, entry.owner, entry.target, number)
            continue
        _LEAVING.delete(state, entry.owner, address, number)
        transfer(state, STAKES, entry.owner, entry.amount)
        logs.append(UNBONDED.log(entry.owner, record.operator if record else entry.owner, entry.amount))
    return logs

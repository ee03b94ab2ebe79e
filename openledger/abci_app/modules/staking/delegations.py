"""Who has which part of a validator's stake.

A delegation is a number of shares; a share is worth stake / shares of its validator. A slash changes the stake of the
validator and nothing else, so it costs the same for one delegator as for a million. All rounding is for those who stay:
who adds gets shares rounded down, who takes gives shares rounded up; so one share never becomes worth less but by a
slash, and nobody gains by splitting a delegation or by its order with others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from openledger.abci_app.modules.staking.choices import follow_shares
from openledger.abci_app.modules.staking.earning import (
    BITS,
    Earned,
    book,
    early_rate,
    earned,
    note_joined,
    pool,
    rounds,
)
from openledger.abci_app.modules.staking.records import ValidatorRecord, put_validator, validator
from openledger.abci_app.tables import Number, Table
from openledger.genesis.params import Params
from openledger.primitives.amounts import exact_amount
from openledger.primitives.errors import AmountOutOfRange, NotAllowed, ValidatorTombstoned
from openledger.primitives.fields import U64, U256
from openledger.primitives.types import STAKING_ADDRESS, Address
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

MAX_SHARES_PER_WEI = 1_000_000
"""A validator that slashes have left with less than this part of its stake takes no new stake: its shares are worth so
little that counting them would lose more and more."""


@dataclass(frozen=True)
class Delegation:
    """Shares of one account in one validator's stake.

    ``shares`` earn from every claim that is paid, and were last settled when one had earned ``base``. ``fresh`` ones
    were added in ``round`` and earn from claims of later rounds only: they have no part in what the rounds ``first``
    (then the oldest unpaid) to ``round`` bring, and were settled up to ``fresh_base``.
    """

    shares: U256 = 0
    base: U256 = 0
    fresh: U256 = 0
    round: U64 = 0
    first: U64 = 0
    fresh_base: U256 = 0

    @property
    def total(self) -> int:
        return self.shares + self.fresh


_DELEGATIONS = Table(STAKING_ADDRESS, "delegation", Delegation)
_DELEGATORS = Table(STAKING_ADDRESS, "delegator", Number)
"""There for each delegation, by validator and account, so that a validator's delegators can be listed."""


def delegation(state: StateReader, delegator: Address, address: Address) -> Delegation:
    """What an account has with a validator (consensus address)."""
    return _DELEGATIONS.get(state, delegator, address) or Delegation()


def delegations(state: StateReader, delegator: Address) -> Iterator[tuple[Address, Delegation]]:
    """(consensus address, delegation) of an account: at most ``max_delegations``."""
    return _DELEGATIONS.items(state, delegator)


def delegators(state: StateReader, address: Address, start: Address | None = None) -> Iterator[Address]:
    """Accounts that have stake with a validator (consensus address), ascending, from ``start`` on."""
    return (account for account, _ in _DELEGATORS.items(state, address, start=start))


def worth(record: ValidatorRecord, shares: int) -> int:
    """Wei that shares of a validator's stake are worth now."""
    return shares * record.stake // record.shares if record.shares else 0


def shares_for(record: ValidatorRecord, amount: int) -> int:
    """Shares that must be given for ``amount`` wei, which the stake has."""
    return -(-amount * record.shares // record.stake)


def earned_since(found: Delegation, acc: int, early: int) -> int:
    """Wei that a delegation has earned since it was settled last, where a share has earned ``acc`` by now, ``early`` of
    it by claims in which fresh shares have no part."""
    fresh = acc - early - found.fresh_base if found.fresh else 0
    return (found.shares * (acc - found.base) >> BITS) + (found.fresh * fresh >> BITS)


# --- what may be added ----------------------------------------------------------------------------------------


def must_take_stake(record: ValidatorRecord, delegator: Address) -> None:
    """Raise unless this account may add to a validator's stake: ValidatorTombstoned, NotAllowed."""
    if record.tombstoned:
        raise ValidatorTombstoned("this validator signed two blocks of one height and cannot come back")
    if not record.own and delegator != record.operator:
        raise NotAllowed("the operator of this validator has no stake of its own, so it cannot have a seat")
    if record.shares > record.stake * MAX_SHARES_PER_WEI:
        raise NotAllowed("slashes have left too little of this validator's stake", "its delegators take the rest back")


def least_stake(record: ValidatorRecord, delegator: Address, params: Params) -> int:
    """Wei that an account must have with a validator, if it has anything."""
    return params.min_self_bond if delegator == record.operator else params.min_delegation


def must_fit(state: StateReader, record: ValidatorRecord, delegator: Address, amount: int, params: Params) -> None:
    """Raise AmountOutOfRange unless so many wei may be added where the account has nothing, or anything where it has
    something; NotAllowed where it has delegations enough."""
    if not amount:
        raise AmountOutOfRange("stake something: 0 OPEN are nothing")
    if delegation(state, delegator, record.address).total:
        return
    least = least_stake(record, delegator, params)
    if amount < least:
        raise AmountOutOfRange(
            f"begin with {exact_amount(least)} at least; what you have there already grows by any amount"
        )
    if sum(1 for _ in delegations(state, delegator)) >= params.max_delegations:
        raise NotAllowed(f"an account has stake with {params.max_delegations} validators at most")


# --- the only writers -----------------------------------------------------------------------------------------


def settle(state: Overlay, delegator: Address, address: Address) -> Delegation:
    """Book what a delegation has earned since the last time; fresh shares become ordinary ones when all claims that
    they have no part in are paid."""
    found = _DELEGATIONS.get(state, delegator, address)
    if found is None:
        return Delegation()
    acc = pool(state, address).acc
    early = early_rate(state, address, found.first, found.round) if found.fresh else 0
    book(state, address, delegator, earned_since(found, acc, early))
    after = replace(found, base=acc, fresh_base=acc - early if found.fresh else found.fresh_base)
    if found.fresh and found.round < rounds(state).oldest:
        note_joined(state, address, found.round, -found.fresh)
        after = Delegation(found.total, acc)
    if after != found:
        _DELEGATIONS.put(state, after, delegator, address)
    return after


def settle_all(state: Overlay, delegator: Address) -> Earned:
    """Book what all delegations of an account have earned; all that it has earned and taken."""
    for address, _ in list(delegations(state, delegator)):
        settle(state, delegator, address)
    return earned(state, delegator)


def add_stake(state: Overlay, delegator: Address, record: ValidatorRecord, amount: int) -> int:
    """Shares for ``amount`` wei, which the staking account has got. They are fresh, and so are those again that were
    fresh before: they lose their part in claims that have opened since. The new shares."""
    new = amount * record.shares // record.stake if record.shares else amount
    found, clock = settle(state, delegator, record.address), rounds(state)
    note_joined(state, record.address, found.round, -found.fresh)
    note_joined(state, record.address, clock.now, found.fresh + new)
    early = early_rate(state, record.address, clock.oldest, clock.now)
    after = replace(
        found,
        fresh=found.fresh + new,
        round=clock.now,
        first=clock.oldest,
        fresh_base=pool(state, record.address).acc - early,
    )
    _DELEGATIONS.put(state, after, delegator, record.address)
    if not found.total:
        _DELEGATORS.put(state, Number(1), record.address, delegator)
    follow_shares(state, delegator, record.address, new)
    own = record.own + (new if delegator == record.operator else 0)
    put_validator(state, replace(record, stake=record.stake + amount, shares=record.shares + new, own=own))
    return new


def take_stake(state: Overlay, delegator: Address, address: Address, shares: int, amount: int | None = None) -> int:
    """Give up shares for ``amount`` wei, by default all that they are worth; the fresh ones first. The wei, which the
    staking account still holds and no stake counts any longer."""
    record = validator(state, address)
    if record is None or not shares:
        return 0
    tokens = worth(record, shares) if amount is None else amount
    found = settle(state, delegator, address)
    fresh = min(found.fresh, shares)
    note_joined(state, address, found.round, -fresh)
    after = replace(found, fresh=found.fresh - fresh, shares=found.shares - (shares - fresh))
    if after.total:
        _DELEGATIONS.put(state, after, delegator, address)
    else:
        _DELEGATIONS.delete(state, delegator, address)
        _DELEGATORS.delete(state, address, delegator)
    follow_shares(state, delegator, address, -shares)
    own = record.own - (shares if delegator == record.operator else 0)
    put_validator(state, replace(record, stake=record.stake - tokens, shares=record.shares - shares, own=own))
    return tokens

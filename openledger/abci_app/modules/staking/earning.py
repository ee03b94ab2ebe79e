"""What stake earns: a share of what each claim pays to its validator, by the shares that stood behind the claim.

A claim belongs to the round in which it opened; a round ends with an epoch. Shares earn from claims that open in rounds
after the one in which they were added, for as long as they stay until the claim is paid. So nobody earns by moving
stake to where money is about to arrive, and all that is paid for a claim is at most what its stake at opening stands
for. What shares that have come later, or left, would have had is burned by whoever pays (``earn`` says how much stays).

``acc`` is what one share has earned since the beginning, in 2^-96 wei, rounded down; ``held`` is what is kept for the
shares, rounded up. So nobody is ever paid what is not there; the difference is dust, less than a wei a settlement.
Source: Ojha and Goes, F1 fee distribution (2019); here payments come late, and slashes do not matter to shares.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from openledger.abci_app.modules.accounts import transfer
from openledger.abci_app.modules.staking.records import STAKES, ValidatorRecord
from openledger.abci_app.tables import Table
from openledger.primitives.errors import ConsensusFault
from openledger.primitives.fields import U64, U256
from openledger.primitives.types import STAKING_ADDRESS, Address
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

BITS = 96
MAX_ROUNDS = 128
"""A claim that is paid more rounds than this after it opened brings delegators nothing: a settlement looks at each."""


@dataclass(frozen=True)
class Rounds:
    """The round that runs, and the oldest one whose claims are not all paid yet. Genesis stakes are of round 0."""

    now: U64 = 0
    oldest: U64 = 0


@dataclass(frozen=True)
class Pool:
    """Of one validator: what a share has earned, and wei that wait for its shares."""

    acc: U256 = 0
    held: U256 = 0


@dataclass(frozen=True)
class Round:
    """Of one validator: what claims of this round have brought a share; shares that were added in it."""

    rate: U256 = 0
    joined: U256 = 0


@dataclass(frozen=True)
class Earned:
    """Wei that an account's stake has earned since the beginning, and what it has taken of it."""

    total: U256 = 0
    taken: U256 = 0

    @property
    def available(self) -> int:
        return self.total - self.taken


_CLOCK = Table(STAKING_ADDRESS, "rounds", Rounds)
_POOLS = Table(STAKING_ADDRESS, "pool", Pool)
_ROUNDS = Table(STAKING_ADDRESS, "round", Round)
_EARNED = Table(STAKING_ADDRESS, "earned", Earned)


def rounds(state: StateReader) -> Rounds:
    """Where the chain stands."""
    return _CLOCK.get(state) or Rounds()


def next_round(state: Overlay, unpaid: int | None) -> None:
    """A new round begins; ``unpaid`` is the oldest round with a claim that may still be paid, None where there is
    no such claim."""
    now = rounds(state).now + 1
    _CLOCK.put(state, Rounds(now, max(now if unpaid is None else min(unpaid, now), now - MAX_ROUNDS, 0)))


def pool(state: StateReader, address: Address) -> Pool:
    """What waits for the shares of a validator (consensus address)."""
    return _POOLS.get(state, address) or Pool()


def standing(state: StateReader, record: ValidatorRecord, round_: int) -> int:
    """Shares of a validator that stood behind it before this round, and still do: what claims of it are paid to."""
    if round_ < rounds(state).oldest:
        return 0
    joined = (found.joined for found in _between(state, record.address, round_, rounds(state).now))
    return record.shares - sum(joined)


def earn(state: Overlay, record: ValidatorRecord, round_: int, amount: int, shares: int) -> int:
    """Divide ``amount`` wei over the ``shares`` that a validator had when a claim of this round opened. The wei that
    stay for them, which the caller moves to the staking account; the rest belongs to nobody."""
    if not shares or not amount or round_ < rounds(state).oldest:
        return 0
    rate = (amount << BITS) // shares
    kept = -(-(standing(state, record, round_) * rate) >> BITS)
    before, here = pool(state, record.address), _round(state, record.address, round_)
    _POOLS.put(state, Pool(before.acc + rate, before.held + kept), record.address)
    _ROUNDS.put(state, replace(here, rate=here.rate + rate), record.address, round_)
    return kept


def _round(state: StateReader, address: Address, number: int) -> Round:
    return _ROUNDS.get(state, address, number) or Round()


def round_key(address: Address, number: int) -> bytes:
    """Key of the record of a round (for proofs)."""
    return _ROUNDS.key(address, number)


def rate_of(state: StateReader, address: Address, number: int) -> int:
    """What claims of one round have brought a share so far."""
    return _round(state, address, number).rate


def _between(state: StateReader, address: Address, first: int, last: int) -> list[Round]:
    found = []
    for rest, record in _ROUNDS.items(state, address, start=first):
        if int.from_bytes(rest, "big") > last:
            break
        found.append(record)
    return found


def early_rate(state: StateReader, address: Address, first: int, last: int) -> int:
    """What claims of the rounds ``first`` to ``last`` have brought a share so far."""
    return sum(found.rate for found in _between(state, address, first, last))


def note_joined(state: Overlay, address: Address, number: int, change: int) -> None:
    """So many shares more (or less) count as added in this round."""
    if change:
        here = _round(state, address, number)
        _ROUNDS.put(state, replace(here, joined=here.joined + change), address, number)


# --- accounts -------------------------------------------------------------------------------------------------


def earned(state: StateReader, account: Address) -> Earned:
    """What was booked for an account; what its delegations have earned since is not in it (see ``delegations``)."""
    return _EARNED.get(state, account) or Earned()


def book(state: Overlay, address: Address, account: Address, amount: int) -> None:
    """``amount`` wei of a validator's pool are this account's."""
    if not amount:
        return
    before = pool(state, address)
    if before.held < amount:
        raise ConsensusFault(f"a pool of {before.held} wei would pay {amount}")
    _POOLS.put(state, replace(before, held=before.held - amount), address)
    now = earned(state, account)
    _EARNED.put(state, replace(now, total=now.total + amount), account)


def take_earned(state: Overlay, account: Address, amount: int) -> None:
    """Pay what was booked. The caller has asked ``earned`` first."""
    if not amount:
        return
    now = earned(state, account)
    if amount > now.available:
        raise ConsensusFault(f"{amount} wei would be taken where {now.available} are booked")
    _EARNED.put(state, replace(now, taken=now.taken + amount), account)
    transfer(state, STAKES, account, amount)

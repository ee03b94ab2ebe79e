"""The books of polls: who has chosen what, and for each validator how many of its shares have chosen for themselves.

Written whenever somebody chooses and whenever shares move, so that a count need not visit anybody's vote. Only polls
that are open are kept up to date; an account's list of them is cleaned when it is next touched, and never holds more
than may be open at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from openledger.abci_app.tables import Number, Table
from openledger.primitives.fields import U8, U256
from openledger.primitives.types import STAKING_ADDRESS, Address
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

OPTIONS = 4
"""A choice is a number from 1 to this; 0 is none."""


@dataclass(frozen=True)
class Choice:
    """What an account has chosen in a poll."""

    option: U8


@dataclass(frozen=True)
class Split:
    """Shares of one validator that have chosen for themselves in one poll, by option."""

    shares: tuple[U256, ...] = (0,) * OPTIONS


_OPEN = Table(STAKING_ADDRESS, "poll-open", Number)
_CHOICES = Table(STAKING_ADDRESS, "poll-choice", Choice)
_OF_VOTER = Table(STAKING_ADDRESS, "poll-voter", Number)
_SPLITS = Table(STAKING_ADDRESS, "poll-split", Split)


def open_poll(state: Overlay, poll: int) -> None:
    """From now on ``poll`` follows the stake."""
    _OPEN.put(state, Number(poll), poll)


def close_poll(state: Overlay, poll: int) -> None:
    """Its books stay as they are."""
    _OPEN.delete(state, poll)


def choice(state: StateReader, poll: int, voter: Address) -> int:
    """What ``voter`` has chosen; 0 for nothing."""
    found = _CHOICES.get(state, poll, voter)
    return found.option if found else 0


def choices(state: StateReader, poll: int, start: Address | None = None) -> Iterator[tuple[Address, int]]:
    """(account, option) of a poll, by account, from ``start`` on."""
    return ((voter, found.option) for voter, found in _CHOICES.items(state, poll, start=start))


def split(state: StateReader, poll: int, validator: Address) -> tuple[int, ...]:
    """Shares of a validator (consensus address) that have chosen for themselves, by option."""
    return (_SPLITS.get(state, poll, validator) or Split()).shares


def put_choice(state: Overlay, poll: int, voter: Address, option: int) -> None:
    """Write a choice down, and the poll into the voter's list. Its shares are the caller's to move."""
    _polls_of(state, voter)
    _CHOICES.put(state, Choice(option), poll, voter)
    _OF_VOTER.put(state, Number(poll), voter, poll)


def move_shares(state: Overlay, poll: int, validator: Address, option: int, change: int) -> None:
    """``change`` more (or fewer) shares of a validator have chosen ``option``; 0 is no option and no change."""
    if option and change:
        shares = list(split(state, poll, validator))
        shares[option - 1] += change
        _SPLITS.put(state, Split(tuple(shares)), poll, validator)


def follow_shares(state: Overlay, delegator: Address, validator: Address, change: int) -> None:
    """An account has so many more (or fewer) shares of a validator: in all open polls that it has chosen in."""
    for poll in _polls_of(state, delegator):
        move_shares(state, poll, validator, choice(state, poll, delegator), change)


def _polls_of(state: Overlay, voter: Address) -> list[int]:
    """The open polls in which an account has chosen; others are taken off its list."""
    found = [entry.value for _, entry in _OF_VOTER.items(state, voter)]
    still = [poll for poll in found if _OPEN.get(state, poll) is not None]
    for poll in found:
        if poll not in still:
            _OF_VOTER.delete(state, voter, poll)
    return still

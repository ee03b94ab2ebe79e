"""Polls weighted by stake: who has chosen what, and what stands behind each choice when a poll is counted.

A choice belongs to an account, not to coins: what counts is the stake that the account has when the poll is counted, so
no stake is counted twice, wherever it moved meanwhile. The stake of who has chosen nothing goes with the choice of
its validator's operator. Only stake behind a seat in the newest validator set counts (``docs/adr/0069``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from openledger.abci_app.modules.staking.sets import seated
from openledger.abci_app.tables import Table
from openledger.primitives.fields import U8
from openledger.primitives.types import STAKING_ADDRESS, Address
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

OPTIONS = 4
"""A choice is a number from 1 to this."""


@dataclass(frozen=True)
class Choice:
    """What an account has chosen in a poll."""

    option: U8


@dataclass(frozen=True, slots=True)
class Count:
    """Wei of stake behind the options 1, 2, 3, 4, and behind all seats."""

    weights: tuple[int, ...]
    bonded: int


_CHOICES = Table(STAKING_ADDRESS, "poll", Choice)


def choose(state: Overlay, poll: int, voter: Address, option: int) -> None:
    """Set, or change, what ``voter`` wants in ``poll``."""
    _CHOICES.put(state, Choice(option), poll, voter)


def choice(state: StateReader, poll: int, voter: Address) -> int:
    """What ``voter`` has chosen; 0 for nothing."""
    found = _CHOICES.get(state, poll, voter)
    return found.option if found else 0


def choices(state: StateReader, poll: int, start: Address | None = None) -> Iterator[tuple[Address, int]]:
    """(account, option) of a poll, by account, from ``start`` on."""
    return ((voter, found.option) for voter, found in _CHOICES.items(state, poll, start=start))


def count(state: StateReader, poll: int) -> Count:
    """Where a poll stands now. Its work is bounded by the seats of a validator set, not by the number of votes."""
    weights, bonded = [0] * (OPTIONS + 1), 0
    for record in seated(state):
        bonded += record.stake
        weights[choice(state, poll, record.operator)] += record.stake
    return Count(tuple(weights[1:]), bonded)

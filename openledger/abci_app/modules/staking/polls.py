"""Polls weighted by stake: what stands behind each choice when a poll is counted.

A choice belongs to an account, not to coins: what counts is the stake that the account has when the poll is counted, so
no stake is counted twice, wherever it moved meanwhile. The stake of who has chosen nothing goes with the choice of its
validator's operator. Only stake behind a seat in the newest validator set counts (``docs/adr/0069``).
"""

from __future__ import annotations

from dataclasses import dataclass

from openledger.abci_app.modules.staking.choices import OPTIONS, choice, move_shares, put_choice, split
from openledger.abci_app.modules.staking.delegations import delegations
from openledger.abci_app.modules.staking.sets import seated
from openledger.primitives.types import Address
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True, slots=True)
class Count:
    """Wei of stake behind the options 1, 2, 3, 4, and behind all seats."""

    weights: tuple[int, ...]
    bonded: int


def choose(state: Overlay, poll: int, voter: Address, option: int) -> None:
    """Set, or change, what ``voter`` wants in an open ``poll``. Its work is bounded by ``max_delegations``."""
    before = choice(state, poll, voter)
    put_choice(state, poll, voter, option)
    for validator, held in list(delegations(state, voter)):
        move_shares(state, poll, validator, before, -held.total)
        move_shares(state, poll, validator, option, held.total)


def count(state: StateReader, poll: int) -> Count:
    """Where a poll stands now. Its work is bounded by the seats of a validator set, not by the number of votes."""
    weights, bonded = [0] * OPTIONS, 0
    for record in seated(state):
        bonded, left = bonded + record.stake, record.stake
        for option, shares in enumerate(split(state, poll, record.address)):
            own = shares * record.stake // record.shares if record.shares else 0
            weights[option], left = weights[option] + own, left - own
        if follows := choice(state, poll, record.operator):
            weights[follows - 1] += left
    return Count(tuple(weights), bonded)

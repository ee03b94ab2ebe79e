"""Who decides: the validators with an oracle, with the power that they have when something is opened.

A claim is decided by those of its opening, who are paid for it. A challenge is a second look, decided by those of the
height at which it opens: who was wrong the first time is not asked alone. Both stay in state, for the first electorate
is still owed its part of the fee. Keys are not kept: a message counts when the validator's key of its height has signed
it (``votes``), and when its address is in the electorate.
"""

from __future__ import annotations

from dataclasses import dataclass

from openledger.abci_app.modules.attribution.records import (
    CHALLENGES,
    ELECTORATES,
    SECOND,
    YES,
    Claim,
    Electorate,
    Member,
    forget_votes,
    votes,
)
from openledger.abci_app.modules.staking.earning import rounds
from openledger.abci_app.modules.staking.sets import seated
from openledger.abci_app.tables import Table
from openledger.genesis.params import Params
from openledger.primitives.fields import U64
from openledger.primitives.types import ATTRIBUTION_ADDRESS, Address
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True)
class Stood:
    """Height at which a claim, or a challenge of it, opened to which a validator has said yes: the stake of then was
    its power, whatever has left before it spoke."""

    height: U64


_STOOD = Table(ATTRIBUTION_ADDRESS, "said-yes", Stood)
"""By claim and validator: the first yes of each, once the claim is challenged."""


def electorate_now(state: StateReader, params: Params) -> Electorate:
    """Those who decide what is opened now. One that was jailed or tombstoned in this block has no vote any more, though
    its seat lasts until the block's end."""
    seats = seated(state)
    members = tuple(
        Member(v.address, v.operator, v.power, min(v.power, v.stake // params.power_unit), v.shares)
        for v in seats
        if v.oracle and not v.jailed
    )
    return Electorate(members, sum(v.power for v in seats), rounds(state).now)


def ask_anew(state: Overlay, number: int, claim: Claim, params: Params) -> None:
    """A challenge opens, and is not written yet: the votes so far are forgotten, but for who said yes, and others
    decide."""
    since = CHALLENGES.must(state, number).height if claim.second_look else claim.opened
    for address in said_yes(state, number):
        if _STOOD.get(state, number, address) is None:
            _STOOD.put(state, Stood(since), number, address)
    forget_votes(state, number)
    SECOND.put(state, electorate_now(state, params), number)


def stood_before(state: StateReader, number: int) -> dict[Address, int]:
    """Who said yes before the newest challenge of a claim began, by address; since which height its stake answers."""
    return {address: found.height for address, found in _STOOD.items(state, number)}


def powers(state: StateReader, number: int) -> dict[Address, int]:
    """Power of all who have had a vote on a claim; of those who decide now, that which they have now."""
    first = {member.address: member.power for member in ELECTORATES.must(state, number).members}
    second = SECOND.get(state, number)
    return first if second is None else first | {member.address: member.power for member in second.members}


def said_yes(state: StateReader, number: int) -> list[Address]:
    """Validators that have said yes in the running vote."""
    return [member.address for member, said in votes(state, number) if said.verdict == YES]

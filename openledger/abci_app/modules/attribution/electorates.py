"""Who decides: the validators with an oracle, with the power that they have when something is opened.

A claim is decided by those of its opening, who are paid for it. A challenge is a second look, decided by those of the
height at which it opens: who was wrong the first time is not asked alone. Both stay in state, for the first electorate
is still owed its part of the fee. Keys are not kept: a message counts when the validator's key of its height has signed
it (``votes``), and when its address is in the electorate.
"""

from __future__ import annotations

from dataclasses import dataclass

from openledger.abci_app.modules.attribution.index_challenges import IndexChallenge
from openledger.abci_app.modules.attribution.records import (
    CHALLENGES,
    ELECTORATES,
    NO,
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
from openledger.abci_app.tables import KeyPart, Table
from openledger.genesis.params import Params
from openledger.primitives.fields import U64
from openledger.primitives.types import ATTRIBUTION_ADDRESS, ZERO_ADDRESS, Address
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True)
class Stood:
    """Height at which a claim, or a challenge of it, opened to which a validator has said yes: the stake of then was
    its power, whatever has left before it spoke."""

    height: U64


_STOOD = Table(ATTRIBUTION_ADDRESS, "said-yes", Stood)
"""By claim and validator: the first yes of each, once the claim is challenged."""
_SHOWN = Table(ATTRIBUTION_ADDRESS, "said-yes-row", Stood)
"""By claim, row and validator: the first yes of each to a challenge that named this row."""
_SPOT = Table(ATTRIBUTION_ADDRESS, "said-yes-spot", Stood)
"""By model, row, segment and validator: the first yes of each to a challenge of this spot of an index."""


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
    last = CHALLENGES.must(state, number) if claim.second_look else None
    for address in said_yes(state, number):
        _note(state, _STOOD, last.height if last else claim.opened, number, address)
        if last is not None and last.contributor == ZERO_ADDRESS:
            _note(state, _SHOWN, last.height, number, last.row, address)
    forget_votes(state, number)
    SECOND.put(state, electorate_now(state, params), number)


def keep_yes(state: Overlay, number: int, found: IndexChallenge) -> None:
    """A challenge of an index was not upheld: who has stood by its spot answers when a later one is."""
    for address in said_yes(state, number):
        _note(state, _SPOT, found.opened, found.model, found.row, found.segment, address)


def _note(state: Overlay, table: Table[Stood], height: int, *key: KeyPart) -> None:
    if table.get(state, *key) is None:
        table.put(state, Stood(height), *key)


def stood_before(state: StateReader, number: int) -> dict[Address, int]:
    """Who said yes before the newest challenge of a claim began, by address; since which height its stake answers."""
    return {address: found.height for address, found in _STOOD.items(state, number)}


def shown_before(state: StateReader, number: int, row: int) -> dict[Address, int]:
    """Those of them who said yes to a challenge that named this row."""
    return {address: found.height for address, found in _SHOWN.items(state, number, row)}


def stood_by(state: StateReader, found: IndexChallenge) -> dict[Address, int]:
    """Who said yes to earlier challenges of the same spot of an index, likewise."""
    return {address: one.height for address, one in _SPOT.items(state, found.model, found.row, found.segment)}


def powers(state: StateReader, number: int) -> dict[Address, int]:
    """Power of all who have had a vote on a claim; of those who decide now, that which they have now."""
    first = {member.address: member.power for member in ELECTORATES.must(state, number).members}
    second = SECOND.get(state, number)
    return first if second is None else first | {member.address: member.power for member in second.members}


def said_yes(state: StateReader, number: int) -> list[Address]:
    """Validators that have said yes in the running vote."""
    return [member.address for member, said in votes(state, number) if said.verdict == YES]


def guilty(state: StateReader, number: int, height: int, before: dict[Address, int]) -> dict[Address, int]:
    """Who stands by what was shown to be wrong, by a yes in the running vote, which began in block ``height``, or by
    one ``before`` and no no now; since which height its stake answers."""
    corrected = {member.address for member, said in votes(state, number) if said.verdict == NO}
    stand = {address: since for address, since in before.items() if address not in corrected}
    return dict.fromkeys(said_yes(state, number), height) | stand

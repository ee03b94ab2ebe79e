"""A validator that finds a fault names it before the vote closes, and everybody looks at it once more.

A fault in few index rows is found by those only whose draw had one of them, and they may be few. So what they name
stands in state while the vote is open. When it would close, it goes on instead: all commitments of the first look are
forgotten, everybody looks at what was named, and commits anew. A wrong accusation costs one more look and sways nobody;
each validator has one accusation in an attempt, and there is one second look in an attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from openledger.abci_app.modules.attribution.electorates import powers
from openledger.abci_app.modules.attribution.index_challenges import Ballot, IndexChallenge, ballot
from openledger.abci_app.modules.attribution.messages import Accusation
from openledger.abci_app.modules.attribution.records import (
    ACCUSED,
    CHALLENGE_OPEN,
    CHALLENGES,
    NAMED,
    VOTES,
    VOTING,
    Accused,
    Claim,
    electorate,
    votes,
)
from openledger.abci_app.modules.models.records import contributors
from openledger.primitives.attribution import EVERY_SEGMENT, NAMED_REST, NAMED_ROW, NAMED_SHARE
from openledger.primitives.types import ZERO_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

MAX_NAMED_ROWS = 64
"""Rows that everybody looks at because others have named them: those that most power has named come first."""


def accused_by(state: StateReader, claim: int, validator: Address) -> Accused | None:
    """What a validator has called wrong in a claim."""
    return ACCUSED.get(state, claim, validator)


def hear_accusation(state: Overlay, claim: Claim, validator: Address, message: Accusation) -> Iterator[Log]:
    """Write an accusation down. The first of an attempt counts, while the vote is open, and if there is such a thing
    in the claim."""
    before = accused_by(state, message.claim, validator)
    if claim.status != VOTING or (before is not None and before.attempt == claim.attempt):
        return
    if message.kind == NAMED_ROW and message.row >= claim.rows:
        return
    if message.kind == NAMED_SHARE and message.contributor not in contributors(state, claim.model):
        return
    after = Accused(claim.attempt, message.kind, message.row, message.contributor, message.segment)
    ACCUSED.put(state, after, message.claim, validator)
    yield NAMED.log(message.claim, validator, message.kind, message.row, message.contributor, message.segment)


def second_look_due(state: StateReader, number: int, claim: Ballot) -> bool:
    """True when something was accused in this attempt and not looked at by all."""
    if claim.look or not isinstance(claim, Claim):
        return False
    return any(True for _ in _accused_now(state, number, claim))


def look_again(state: Overlay, number: int) -> None:
    """Forget the commitments of the first look."""
    for member, said in list(votes(state, number)):
        if said.digest:
            VOTES.put(state, replace(said, digest=b"", leaf=b""), number, member.address)


def named_rows(state: StateReader, number: int) -> tuple[tuple[int, int], ...]:
    """Index rows that everybody recomputes, each with its segment: the one of a running challenge, along the whole run,
    then those that validators have named in any attempt, by the power behind them; ``MAX_NAMED_ROWS`` at most, and that
    of the challenge. Of a challenge of an index the one that it is about."""
    found = ballot(state, number)
    if isinstance(found, IndexChallenge):
        return ((found.row, found.segment or EVERY_SEGMENT),)
    behind: dict[tuple[int, int], int] = {}
    for address, power in powers(state, number).items():
        accused = accused_by(state, number, address)
        if accused is not None and accused.kind == NAMED_ROW:
            spot = (accused.row, accused.segment)
            behind[spot] = behind.get(spot, 0) + power
    rows = sorted(behind, key=lambda spot: (-behind[spot], spot))[:MAX_NAMED_ROWS]
    challenge = CHALLENGES.get(state, number)
    if challenge is None or challenge.outcome != CHALLENGE_OPEN or challenge.contributor != ZERO_ADDRESS:
        return tuple(rows)
    return ((challenge.row, EVERY_SEGMENT), *rows)


def shares_are_wrong(state: StateReader, number: int, claim: Claim) -> bool:
    """True when members with more than two thirds of the power have named a share, or the unattributed part, in this
    attempt. Each verification compares all of them, so a yes was false from the beginning."""
    return _most_name(state, number, claim, lambda said: said.kind in (NAMED_SHARE, NAMED_REST))


def row_is_wrong(state: StateReader, number: int, claim: Claim, row: int) -> bool:
    """True when as many have named this row, in whatever segment. Who was shown it before has made it again."""
    return _most_name(state, number, claim, lambda said: said.kind == NAMED_ROW and said.row == row)


def _most_name(state: StateReader, number: int, claim: Claim, fits: Callable[[Accused], bool]) -> bool:
    named = (power for said, power in _accused_now(state, number, claim) if fits(said))
    return 3 * sum(named) > 2 * electorate(state, number).power


def _accused_now(state: StateReader, number: int, claim: Claim) -> Iterator[tuple[Accused, int]]:
    """What members of the electorate have accused in this attempt, each with its power."""
    for member in electorate(state, number).members:
        found = accused_by(state, number, member.address)
        if found is not None and found.attempt == claim.attempt:
            yield found, member.power

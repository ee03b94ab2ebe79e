"""What the accounts of the modules owe, added up from the records: each must hold exactly so much."""

from __future__ import annotations

from stakes import owed

from openledger.abci_app.modules.attribution.index_challenges import INDEX_CHALLENGES
from openledger.abci_app.modules.attribution.records import (
    CHALLENGE_OPEN,
    CHALLENGES,
    CLAIM_COUNT,
    CLAIMS,
    REVEAL,
)
from openledger.abci_app.modules.datanets.records import COUNT, DATANETS
from openledger.abci_app.modules.datanets.reviews import opinions, review_of
from openledger.abci_app.modules.governance.records import PROPOSALS, deposits
from openledger.abci_app.modules.models.records import LEDGERS, MODELS, SESSIONS, epoch, settlements
from openledger.abci_app.modules.rewards.records import REWARDS
from openledger.abci_app.modules.rewards.stakers import pots
from openledger.primitives.types import (
    ATTRIBUTION_ADDRESS,
    DATANETS_ADDRESS,
    DEPOSITS_ADDRESS,
    MODELS_ADDRESS,
    STAKING_ADDRESS,
    Address,
)
from openledger.state.ports import StateReader


def claimed(state: StateReader) -> int:
    """Wei of the attribution account: rewards, pots, bonds, fees under a claim or waiting for one."""
    total = 0
    for _, r in REWARDS.items(state):
        assert 0 <= r.locked <= r.fees + r.minted - r.taken
        total += r.fees + r.minted - r.taken
    total += sum(sum(pots(state, number).values()) for number in range(1, CLAIM_COUNT.get(state) + 1))
    for rest, claim in CLAIMS.items(state):
        challenge = CHALLENGES.get(state, int.from_bytes(rest, "big"))
        if challenge is not None and challenge.outcome == CHALLENGE_OPEN:
            total += challenge.bond
        elif claim.status <= REVEAL:
            total += claim.fee + claim.bond + claim.work_fee
        if claim.vests:
            total += claim.bond
    total += sum(c.bond for _, c in INDEX_CHALLENGES.items(state) if c.outcome == CHALLENGE_OPEN)
    for model, number in ((m, n) for m, _ in numbered(state) for n in range(epoch(state).number + 1)):
        book = LEDGERS.get(state, model, number)
        if book is not None:
            total += sum(entry.amount for entry in settlements(state, model, number, book.claimed, book.count))
    return total


def numbered(state: StateReader) -> list[tuple[int, int]]:
    """(model, publisher's bond) of all models."""
    return [(int.from_bytes(rest, "big"), model.bond) for rest, model in MODELS.items(state)]


def sold(state: StateReader) -> int:
    """Wei of the models' account: deposits of open sessions, and publishers' bonds."""
    sessions = sum(s.deposit - s.settled for _, s in SESSIONS.items(state) if not s.closed)
    return sessions + sum(bond for _, bond in numbered(state))


def reviewed(state: StateReader) -> int:
    """Wei of the datanets' account: bonds and stakes of reviews that are not closed."""
    total = 0
    for datanet in range(1, COUNT.get(state) + 1):
        for version in range(1, DATANETS.must(state, datanet).versions + 1):
            review = review_of(state, datanet, version)
            if review is not None and review.deadline:
                total += review.bond + review.stake * len(list(opinions(state, datanet, version)))
    return total


def proposed(state: StateReader) -> int:
    """Wei of the deposits' account."""
    total = 0
    for rest, proposal in PROPOSALS.items(state):
        given = sum(amount for _, amount in deposits(state, int.from_bytes(rest, "big")))
        assert given == (proposal.deposit if proposal.is_open else 0)
        total += given
    return total


def escrows(state: StateReader) -> dict[Address, int]:
    """Wei that each account of a module must hold; the community pool holds whatever it has."""
    return {
        DATANETS_ADDRESS: reviewed(state),
        MODELS_ADDRESS: sold(state),
        ATTRIBUTION_ADDRESS: claimed(state),
        STAKING_ADDRESS: owed(state),
        DEPOSITS_ADDRESS: proposed(state),
    }

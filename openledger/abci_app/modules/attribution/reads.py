"""Reads of claims for contracts; ``rewards/reads.py`` puts them behind 0x...0802 together with those of rewards."""

from __future__ import annotations

from typing import Any

from openledger.abci_app.modules.attribution.index_challenges import must_ballot, must_index_challenge
from openledger.abci_app.modules.attribution.records import (
    CHALLENGES,
    CLAIM_COUNT,
    NO,
    YES,
    electorate,
    must_claim,
    vote,
)
from openledger.abci_app.modules.models.records import epoch
from openledger.abci_app.reads import Read
from openledger.primitives.errors import NotFound
from openledger.state.ports import StateReader

_CLAIM = "(uint64,uint64,address,uint8,uint256,uint256,uint256,uint32,bytes32,bytes32)"
_CHALLENGE = "(address,uint256,uint64,address,uint8)"
_INDEX_CHALLENGE = "(uint64,uint64,uint8,address,uint256,uint8,uint8)"


def _count(state: StateReader) -> tuple[Any, ...]:
    return (CLAIM_COUNT.get(state),)


def _claim(state: StateReader, claim: int) -> tuple[Any, ...]:
    c = must_claim(state, claim)
    return (
        (
            c.model, c.epoch, c.claimant, c.status, c.fee, c.bond, c.minted, c.unattributed, c.evidence,
            c.scores_root,
        ),
    )  # fmt: skip


def _shares(state: StateReader, claim: int) -> tuple[Any, ...]:
    return ([(s.contributor, s.ppm) for s in must_claim(state, claim).shares],)


def _tally(state: StateReader, claim: int) -> tuple[Any, ...]:
    must_ballot(state, claim)
    members = electorate(state, claim).members
    said = [(vote(state, claim, m.address).verdict, m.power) for m in members]
    yes, no = (sum(power for verdict, power in said if verdict == side) for side in (YES, NO))
    return (yes, no, sum(power for _, power in said))


def _challenge(state: StateReader, claim: int) -> tuple[Any, ...]:
    must_claim(state, claim)
    found = CHALLENGES.get(state, claim)
    if found is None:
        raise NotFound(f"claim {claim} was never challenged")
    return ((found.challenger, found.bond, found.row, found.contributor, found.outcome),)


def _index_challenge(state: StateReader, number: int) -> tuple[Any, ...]:
    found = must_index_challenge(state, number)
    return ((found.model, found.row, found.segment, found.challenger, found.bond, found.status, found.outcome),)


def _epoch(state: StateReader) -> tuple[Any, ...]:
    return (epoch(state).number,)


CLAIM_READS = (
    Read("claimCount()", ("uint64",), _count),
    Read("getClaim(uint64)", (_CLAIM,), _claim),
    Read("getShares(uint64)", ("(address,uint32)[]",), _shares),
    Read("getTally(uint64)", ("uint64", "uint64", "uint64"), _tally),
    Read("getChallenge(uint64)", (_CHALLENGE,), _challenge),
    Read("getIndexChallenge(uint64)", (_INDEX_CHALLENGE,), _index_challenge),
    Read("currentEpoch()", ("uint64",), _epoch),
)

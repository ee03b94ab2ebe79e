"""What is being voted on, seen from one node: claims, second looks at challenged ones, challenges of indexes.

``openledger status`` has it in a line, and the doctor tells what of it concerns the operator.
"""

from __future__ import annotations

from typing import Any

from openledger.abci_app.challenge_views import spot
from openledger.abci_app.modules.attribution.index_challenges import IndexChallenge, must_ballot
from openledger.abci_app.modules.attribution.records import (
    CHALLENGES,
    STATUS_NAMES,
    VERDICT_NAMES,
    Claim,
    electorate,
    open_claims,
    vote,
)
from openledger.abci_app.modules.models.records import must_model
from openledger.primitives.types import ZERO_ADDRESS, Address, to_checksum
from openledger.state.ports import StateReader

CLAIM, SECOND_LOOK, INDEX_CHALLENGE = "claim", "second look", "index challenge"
MOST = 20
"""Claims that are told, and as many challenges, however many claims are older."""
LOOKED_AT = 256


def open_votes(state: StateReader, own: Address) -> list[dict[str, Any]]:
    """What is open, oldest first: ``kind``, ``model``, ``status``, ``deadline`` (Unix seconds), ``of`` (the claimant,
    or the model's owner), for what is challenged ``named`` and ``challenger``; whether the validator ``own`` is
    ``asked``, and what it has said: ``held``, ``committed``, ``verdict``."""
    told: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for number in open_claims(state, LOOKED_AT):
        one = _told(state, number, own)
        told[one["kind"] != CLAIM].append(one)
    return sorted(told[False][:MOST] + told[True][:MOST], key=lambda one: int(one["claim"]))


def _told(state: StateReader, number: int, own: Address) -> dict[str, Any]:
    ballot, said = must_ballot(state, number), vote(state, number, own)
    return {
        "claim": number,
        "kind": _kind(ballot),
        "model": ballot.model,
        "status": STATUS_NAMES[ballot.status],
        "deadline": ballot.deadline,
        "asked": any(member.address == own for member in electorate(state, number).members),
        "held": bool(said.held),
        "committed": bool(said.digest),
        "verdict": VERDICT_NAMES[said.verdict],
        "of": to_checksum(ballot.claimant if isinstance(ballot, Claim) else must_model(state, ballot.model).owner),
        **_challenged(state, number, ballot),
    }


def _kind(ballot: Claim | IndexChallenge) -> str:
    if not isinstance(ballot, Claim):
        return INDEX_CHALLENGE
    return SECOND_LOOK if ballot.second_look else CLAIM


def _challenged(state: StateReader, number: int, ballot: Claim | IndexChallenge) -> dict[str, Any]:
    """What is said to be wrong, and who says so."""
    if isinstance(ballot, IndexChallenge):
        return {"named": spot(ballot), "challenger": to_checksum(ballot.challenger)}
    found = CHALLENGES.get(state, number) if ballot.second_look else None
    if found is None:
        return {}
    share = found.contributor != ZERO_ADDRESS
    named = {"share": to_checksum(found.contributor)} if share else {"row": found.row}
    return {"named": named, "challenger": to_checksum(found.challenger)}


def in_words(one: dict[str, Any]) -> str:
    """One open vote for people: "4 voting", "second look at claim 4 (row 7), reveal". What an older node does not tell
    is left out."""
    kind, number = one.get("kind", CLAIM), one["claim"]
    if kind == CLAIM:
        return f"{number} {one['status']}"
    named = " ".join(f"{what} {which}" for what, which in one.get("named", {}).items())
    at = f"claim {number}" if kind == SECOND_LOOK else f"model {one['model']}"
    what = f"second look at {at}" if kind == SECOND_LOOK else f"challenge {number} of the index of {at}"
    return f"{what} ({named}), {one['status']}"


def own_word(one: dict[str, Any]) -> str:
    """What the node's validator has said so far."""
    if not one.get("asked", True):
        return "not asked"
    if one["verdict"] != "none":
        return str(one["verdict"])
    return "committed" if one.get("committed") else "blobs held" if one["held"] else "none"


__all__ = ["CLAIM", "INDEX_CHALLENGE", "SECOND_LOOK", "in_words", "open_votes", "own_word"]

"""Challenges of a published index: what is voted on besides claims, with the same messages and phases.

Numbers are those of claims, so that seeds, electorates, votes and open ones are kept in one place. A yes says that the
named row is right; it shows no scores, for there are none.
"""

from __future__ import annotations

from dataclasses import dataclass

from openledger.abci_app.events import Event
from openledger.abci_app.modules.attribution.records import CLAIMS, Claim
from openledger.abci_app.tables import Table
from openledger.primitives.errors import NotFound
from openledger.primitives.fields import U8, U32, U64, U256, AddressField
from openledger.primitives.types import ATTRIBUTION_ADDRESS
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

MOOT = 4
"""Besides the outcomes of a claim's challenge: another one has refuted the model meanwhile."""
OUTCOME_NAMES = {1: "open", 2: "upheld", 3: "dismissed", 4: "moot"}


@dataclass(frozen=True)
class IndexChallenge:
    """Somebody says that row ``row`` of a model's index is wrong: in a ``segment`` of the training run, counted from 1,
    or (0) anywhere. ``bond`` in wei. The rest is that of a claim, and ``status`` too: accepted says that the row is
    right."""

    model: U64
    row: U64
    segment: U8
    challenger: AddressField
    bond: U256
    outcome: U8
    status: U8
    attempt: U32
    deadline: U64
    opened: U64
    closed: U64
    look: U8 = 0


Ballot = Claim | IndexChallenge
"""What validators vote on."""

INDEX_CHALLENGES = Table(ATTRIBUTION_ADDRESS, "index-challenge", IndexChallenge)

INDEX_CHALLENGED = Event(
    ATTRIBUTION_ADDRESS,
    "IndexChallenged",
    "uint256 indexed challenge",
    "uint256 indexed model",
    "address indexed challenger",
    "uint64 row",
    "uint8 segment",
    "uint256 bond",
)
INDEX_RESOLVED = Event(
    ATTRIBUTION_ADDRESS,
    "IndexChallengeResolved",
    "uint256 indexed challenge",
    "uint256 indexed model",
    "address indexed challenger",
    "uint8 outcome",
)


def ballot(state: StateReader, number: int) -> Ballot | None:
    """The claim or the challenge of an index with this number."""
    return CLAIMS.get(state, number) or INDEX_CHALLENGES.get(state, number)


def must_ballot(state: StateReader, number: int) -> Ballot:
    """Raises NotFound."""
    found = ballot(state, number)
    if found is None:
        raise NotFound(f"there is no claim or challenge {number}")
    return found


def put_ballot(state: Overlay, found: Ballot, number: int) -> None:
    """Write a claim, or a challenge of an index."""
    if isinstance(found, Claim):
        CLAIMS.put(state, found, number)
    else:
        INDEX_CHALLENGES.put(state, found, number)


def must_index_challenge(state: StateReader, number: int) -> IndexChallenge:
    """Raises NotFound."""
    found = INDEX_CHALLENGES.get(state, number)
    if found is None:
        raise NotFound(f"there is no challenge of an index with number {number}")
    return found

"""Records of claims, their electorate and votes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from openledger.abci_app.events import Event
from openledger.abci_app.tables import Counter, Number, Table
from openledger.primitives.errors import NotFound
from openledger.primitives.fields import U8, U32, U64, U256, AddressField, Bytes, Bytes32, Text
from openledger.primitives.types import ATTRIBUTION_ADDRESS, Address
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

ESCROW = ATTRIBUTION_ADDRESS
"""The account that holds settled fees, bonds and rewards that were not taken yet."""

PENDING, VOTING, REVEAL, ACCEPTED, REFUSED, LAPSED = 1, 2, 3, 4, 5, 6
STATUS_NAMES = {1: "pending", 2: "voting", 3: "reveal", 4: "accepted", 5: "refused", 6: "lapsed"}
NONE, YES, NO, VOID = 0, 1, 2, 3
VERDICT_NAMES = {0: "none", 1: "yes", 2: "no", 3: "void"}


@dataclass(frozen=True)
class Share:
    """Parts per million of a claim for one contributor."""

    contributor: AddressField
    ppm: U32


@dataclass(frozen=True)
class Member:
    """A validator with the power that it has in a claim, fixed when the claim opened. ``backed`` is the part of it that
    its stake, divided into so many ``shares``, still stood for: power follows a block's end, stake moves within it."""

    address: AddressField
    operator: AddressField
    power: U64
    backed: U64 = 0
    shares: U256 = 0


@dataclass(frozen=True)
class Electorate:
    """Who decides a claim; ``seated`` is the power of the whole validator set at that time, of those without an oracle
    too (0: the same as the members'); ``round`` is the one of stake's earnings that the claim belongs to."""

    members: tuple[Member, ...]
    seated: U64 = 0
    round: U64 = 0

    @property
    def power(self) -> int:
        return sum(m.power for m in self.members)


@dataclass(frozen=True)
class Claim:
    """A claim over settlements ``first`` to ``last`` of (model, epoch). Wei: fee, bond, work_fee, minted.

    ``deadline`` (Unix seconds) ends the running phase; ``attempt`` is 0, and 1 after the one retry; 2 and 3
    in the first challenge, and so on (``second_look``). While ``vests`` is not 0 what the claim has booked is locked,
    and before this Unix second the claim can be challenged. ``look`` is 1 while what was accused in this attempt is
    looked at.
    ``drawn`` are the rows that a verdict on it draws, as the parameters said when it opened.
    """

    model: U64
    epoch: U64
    claimant: AddressField
    first: U64
    last: U64
    fee: U256
    bond: U256
    work_fee: U256
    shares: tuple[Share, ...]
    unattributed: U32
    evidence: Bytes32
    scores_root: Bytes32
    scores: Bytes32
    rows: U64
    status: U8
    attempt: U32
    deadline: U64
    opened: U64
    closed: U64
    minted: U256
    drawn: U32
    vests: U64 = 0
    look: U8 = 0

    @property
    def second_look(self) -> bool:
        """True while a challenge is decided, and from then on."""
        return self.attempt > 1


@dataclass(frozen=True)
class Vote:
    """What one validator has said in the running attempt. ``digest`` is empty until it committed; ``leaf`` is that of
    its seed, empty unless it was promised in time."""

    held: U8 = 0
    digest: Bytes = b""
    verdict: U8 = NONE
    reason: Text = ""
    leaf: Bytes = b""


@dataclass(frozen=True)
class Accused:
    """The newest thing that a validator has called wrong in a claim, and in which attempt (see messages.Accusation)."""

    attempt: U32
    kind: U8
    row: U64
    contributor: AddressField
    segment: U8 = 0


CHALLENGE_OPEN, CHALLENGE_UPHELD, CHALLENGE_DISMISSED = 1, 2, 3
CHALLENGE_NAMES = {1: "open", 2: "upheld", 3: "dismissed"}


@dataclass(frozen=True)
class Challenge:
    """The newest challenge of a claim: the bond in wei, and the row or (not the zero address) the contributor whose
    share is said to be wrong; ``height`` is the block in which it began."""

    challenger: AddressField
    bond: U256
    row: U64
    contributor: AddressField
    outcome: U8
    height: U64


CLAIMS = Table(ATTRIBUTION_ADDRESS, "claim", Claim)
CLAIM_COUNT = Counter(ATTRIBUTION_ADDRESS, "claim-count")
ELECTORATES = Table(ATTRIBUTION_ADDRESS, "electorate", Electorate)
"""Who decides a claim at first, and is paid for it."""
SECOND = Table(ATTRIBUTION_ADDRESS, "second", Electorate)
"""Who decides the newest challenge of a claim."""
VOTES = Table(ATTRIBUTION_ADDRESS, "vote", Vote)
ACCUSED = Table(ATTRIBUTION_ADDRESS, "accused", Accused)
OPEN = Table(ATTRIBUTION_ADDRESS, "open", Number)
CHALLENGES = Table(ATTRIBUTION_ADDRESS, "challenge", Challenge)
TURN = Table(ATTRIBUTION_ADDRESS, "turn", Number)
"""The claim that the next block begins with; there only while more are open than a block looks at."""
OPEN_SEEN = 1_024
"""Claims in flight that a validator's oracle works on, and that are looked through for a deadline that has passed."""
WORK = Table(ATTRIBUTION_ADDRESS, "work", Number)

CLAIMED = Event(
    ATTRIBUTION_ADDRESS,
    "ClaimOpened",
    "uint256 indexed claim",
    "uint256 indexed model",
    "uint256 indexed epoch",
    "address claimant",
    "uint256 fee",
)
SAID = Event(
    ATTRIBUTION_ADDRESS,
    "VerdictMessage",
    "uint256 indexed claim",
    "address indexed validator",
    "uint8 phase",
    "uint8 verdict",
    "string reason",
)
NAMED = Event(
    ATTRIBUTION_ADDRESS,
    "ClaimAccused",
    "uint256 indexed claim",
    "address indexed validator",
    "uint8 kind",
    "uint64 row",
    "address contributor",
    "uint8 segment",
)
PROMISED = Event(
    ATTRIBUTION_ADDRESS, "SeedsPromised", "address indexed validator", "uint256 indexed batch", "bytes32 root"
)
CHALLENGED = Event(
    ATTRIBUTION_ADDRESS,
    "ClaimChallenged",
    "uint256 indexed claim",
    "address indexed challenger",
    "uint64 row",
    "address contributor",
    "uint256 bond",
)
RESOLVED = Event(
    ATTRIBUTION_ADDRESS, "ChallengeResolved", "uint256 indexed claim", "address indexed challenger", "uint8 outcome"
)
VESTED = Event(ATTRIBUTION_ADDRESS, "RewardsVested", "uint256 indexed claim")
PHASE = Event(ATTRIBUTION_ADDRESS, "ClaimPhase", "uint256 indexed claim", "uint8 status", "uint64 deadline")


def must_claim(state: StateReader, claim: int) -> Claim:
    """Raises NotFound."""
    found = CLAIMS.get(state, claim)
    if found is None:
        raise NotFound(f"there is no claim {claim}")
    return found


def electorate(state: StateReader, claim: int) -> Electorate:
    """Who decides a claim, or its newest challenge."""
    return SECOND.get(state, claim) or ELECTORATES.must(state, claim)


def vote(state: StateReader, claim: int, validator: Address) -> Vote:
    """What a validator has said so far."""
    return VOTES.get(state, claim, validator) or Vote()


def open_claims(state: StateReader, limit: int, start: int = 0) -> list[int]:
    """Numbers of the oldest claims still in flight, from ``start`` on."""
    found: list[int] = []
    for rest, _ in OPEN.items(state, start=start):
        found.append(int.from_bytes(rest, "big"))
        if len(found) == limit:
            break
    return found


def next_turn(state: Overlay, limit: int) -> list[int]:
    """Claims in flight that this block looks at. Where there are more than ``limit`` they take turns, so that claims
    which wait for their deadline never keep others waiting."""
    oldest = open_claims(state, limit + 1)
    if len(oldest) <= limit:
        if TURN.get(state) is not None:
            TURN.delete(state)
        return oldest
    begin = TURN.get(state)
    found = open_claims(state, limit, 0 if begin is None else begin.value)
    known = set(found)
    found += [number for number in oldest if number not in known][: limit - len(found)]
    TURN.put(state, Number(found[-1] + 1))
    return found


def votes(state: StateReader, claim: int) -> Iterator[tuple[Member, Vote]]:
    """Each member of the electorate with its vote."""
    return ((m, vote(state, claim, m.address)) for m in electorate(state, claim).members)


def forget_votes(state: Overlay, claim: int) -> None:
    """Clear all votes (before a retry)."""
    for member in electorate(state, claim).members:
        if VOTES.get(state, claim, member.address) is not None:
            VOTES.delete(state, claim, member.address)

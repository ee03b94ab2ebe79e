"""Reviews: what becomes of a version of a reviewed datanet, and of the money that stands for it (design.md, section 4).

committed, bond paid -> reviewers accept or reject, each with a stake -> a quorum of either decides, or the deadline
comes -> for ``appeal_seconds`` governance can overturn it -> bond and stakes are paid back or burned

Nothing of bond or stakes ever goes to another party of the review, so nobody earns by a decision, right or wrong: the
bond of a rejected version burns, and so do the stakes of reviewers whom governance has overruled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from openledger.abci_app.action import BlockContext
from openledger.abci_app.events import Event
from openledger.abci_app.modules.accounts import transfer
from openledger.abci_app.modules.datanets.records import DATANETS, Datanet, must_datanet, must_version
from openledger.abci_app.modules.fees.records import burn_from
from openledger.abci_app.tables import Number, Table
from openledger.primitives.errors import NotFound, WrongPhase
from openledger.primitives.fields import U8, U32, U64, U256, AddressField, Flag, Text
from openledger.primitives.types import DATANETS_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

MAX_PER_BLOCK = 512
"""Reviews that end in one block, each counted with the opinions about it (up to 32); the rest waits for the next. More
than can begin in a block of 30,000,000 gas, so that nobody keeps others waiting for their bonds."""
ESCROW = DATANETS_ADDRESS
"""The account that holds bonds and stakes."""
PENDING, ACCEPTED, REJECTED, EXPIRED = 1, 2, 3, 4
STATUS_NAMES = {PENDING: "pending", ACCEPTED: "accepted", REJECTED: "rejected", EXPIRED: "expired"}


@dataclass(frozen=True)
class Review:
    """Of one version, with the rules that it was committed under. ``deadline`` (Unix seconds): of the decision while it
    is pending, then until when bond and stakes are held; 0 when they are gone. ``overturned``: governance has overruled
    the reviewers."""

    author: AddressField
    parent: U64
    bond: U256
    stake: U256
    quorum: U8
    reviewers: tuple[AddressField, ...]
    status: U8
    overturned: Flag
    accepts: U32
    rejects: U32
    deadline: U64


@dataclass(frozen=True)
class Opinion:
    """What a reviewer has said, and why."""

    accept: Flag
    reason: Text


_REVIEWS = Table(DATANETS_ADDRESS, "review", Review)
_OPINIONS = Table(DATANETS_ADDRESS, "opinion", Opinion)
_QUEUE = Table(DATANETS_ADDRESS, "review-queue", Number)

SPOKEN = Event(
    DATANETS_ADDRESS,
    "DatanetReviewed",
    "uint256 indexed datanet",
    "uint256 indexed version",
    "address indexed reviewer",
    "bool accept",
    "string reason",
)
DECIDED = Event(
    DATANETS_ADDRESS, "DatanetDecided", "uint256 indexed datanet", "uint256 indexed version", "uint256 status"
)
CLOSED = Event(
    DATANETS_ADDRESS,
    "DatanetReviewClosed",
    "uint256 indexed datanet",
    "uint256 indexed version",
    "uint256 returned",
    "uint256 burned",
)


def review_of(state: StateReader, datanet: int, version: int) -> Review | None:
    """None for a version that needed none."""
    return _REVIEWS.get(state, datanet, version)


def must_review(state: StateReader, datanet: int, version: int) -> Review:
    """Raises NotFound."""
    found = review_of(state, datanet, version)
    if found is None:
        raise NotFound(f"version {version} of datanet {datanet} has no review")
    return found


def opinions(state: StateReader, datanet: int, version: int) -> Iterator[tuple[Address, Opinion]]:
    """(reviewer, what they said), by address."""
    return _OPINIONS.items(state, datanet, version)


def opinion(state: StateReader, datanet: int, version: int, reviewer: Address) -> Opinion | None:
    return _OPINIONS.get(state, datanet, version, reviewer)


def status_of(state: StateReader, datanet: int, version: int) -> int:
    """Of a version that is there; one that needed no review is accepted."""
    found = review_of(state, datanet, version)
    return ACCEPTED if found is None else found.status


def must_be_accepted(state: StateReader, datanet: int, version: int) -> None:
    """Raises WrongPhase for a version that reviewers have not accepted."""
    status = status_of(state, datanet, version)
    if status != ACCEPTED:
        raise WrongPhase(f"version {version} of datanet {datanet} is {STATUS_NAMES[status]}, not accepted")


def begin_review(
    state: Overlay, ctx: BlockContext, number: int, version: int, datanet: Datanet, author: Address, parent: int
) -> int:
    """Take the bond of a new version and wait for its reviewers; until when."""
    deadline = ctx.time + ctx.params.review_seconds
    transfer(state, author, ESCROW, datanet.bond)
    record = Review(
        author=author,
        parent=parent,
        bond=datanet.bond,
        stake=datanet.stake,
        quorum=datanet.review_quorum,
        reviewers=datanet.reviewers,
        status=PENDING,
        overturned=False,
        accepts=0,
        rejects=0,
        deadline=deadline,
    )
    _REVIEWS.put(state, record, number, version)
    _QUEUE.put(state, Number(version), deadline, number, version)
    return deadline


def add_opinion(state: Overlay, ctx: BlockContext, number: int, version: int, who: Address, said: Opinion) -> list[Log]:
    """Take a reviewer's stake, count what they say, and decide where a quorum is reached."""
    found = must_review(state, number, version)
    transfer(state, who, ESCROW, found.stake)
    _OPINIONS.put(state, said, number, version, who)
    found = replace(found, accepts=found.accepts + said.accept, rejects=found.rejects + (not said.accept))
    logs = [SPOKEN.log(number, version, who, said.accept, said.reason)]
    if found.quorum not in (found.accepts, found.rejects):
        _REVIEWS.put(state, found, number, version)
        return logs
    status = ACCEPTED if found.accepts == found.quorum else REJECTED
    _QUEUE.delete(state, found.deadline, number, version)
    until = ctx.time + ctx.params.appeal_seconds
    _QUEUE.put(state, Number(version), until, number, version)
    _REVIEWS.put(state, replace(found, status=status, deadline=until), number, version)
    if status == ACCEPTED:
        _set_head(state, number, version)
    return [*logs, DECIDED.log(number, version, status)]


def _set_head(state: Overlay, number: int, version: int) -> None:
    DATANETS.put(state, replace(must_datanet(state, number), head=version), number)


# --- governance -------------------------------------------------------------------------------------------


def check_overturn(state: StateReader, number: int, version: int) -> None:
    """Raises NotFound, or WrongPhase where there is no decision."""
    found = must_review(state, number, version)
    if found.status not in (ACCEPTED, REJECTED):
        raise WrongPhase(f"version {version} of datanet {number} is {STATUS_NAMES[found.status]}: nothing is decided")


def overturn(state: Overlay, number: int, version: int) -> list[Log]:
    """Governance decides the other way. While bond and stakes are held they go by the new decision. A rejected version
    that is accepted becomes the newest where nothing was accepted since; an accepted one that is rejected and is the
    newest gives way to the one before it. Versions that build on it, and models, stay. Raises NotFound, WrongPhase."""
    check_overturn(state, number, version)
    found, head = must_review(state, number, version), must_datanet(state, number).head
    status = REJECTED if found.status == ACCEPTED else ACCEPTED
    _REVIEWS.put(state, replace(found, status=status, overturned=not found.overturned), number, version)
    if status == ACCEPTED and found.parent == head:
        _set_head(state, number, version)
    if status == REJECTED and version == head:
        _set_head(state, number, _accepted_before(state, number, found.parent))
    return [DECIDED.log(number, version, status)]


def _accepted_before(state: StateReader, number: int, version: int) -> int:
    """A version, or the nearest before it that is accepted; 0 where there is none."""
    while version and status_of(state, number, version) != ACCEPTED:
        version = must_version(state, number, version).parent
    return version


# --- due work ---------------------------------------------------------------------------------------------


def reviews_are_due(state: StateReader, time: int) -> bool:
    """True when the next block at Unix second ``time`` would end a review."""
    return _QUEUE.is_due(state, time)


def close_reviews(state: Overlay, ctx: BlockContext) -> list[Log]:
    """Pay back or burn what stood for reviews whose time is over; one without a decision expires."""
    logs: list[Log] = []
    left = MAX_PER_BLOCK
    for when, rest, queued in _QUEUE.due(state, ctx.time, MAX_PER_BLOCK):
        number, version = int.from_bytes(rest[:8], "big"), queued.value
        said = list(opinions(state, number, version))
        if 1 + len(said) > left < MAX_PER_BLOCK:
            break
        left -= 1 + len(said)
        _QUEUE.delete(state, when, number, version)
        found = must_review(state, number, version)
        if found.status == PENDING:
            found = replace(found, status=EXPIRED)
            logs.append(DECIDED.log(number, version, EXPIRED))
        logs.append(_pay_out(state, number, version, found, said))
        _REVIEWS.put(state, replace(found, deadline=0), number, version)
    return logs


def _pay_out(
    state: Overlay, number: int, version: int, found: Review, spoken: Sequence[tuple[Address, Opinion]]
) -> Log:
    """Who was overruled loses the stake, who was rejected the bond; all else goes back."""
    returned = burned = 0
    for who, said in spoken:
        if found.overturned and said.accept != (found.status == ACCEPTED):
            burned += found.stake
        else:
            transfer(state, ESCROW, who, found.stake)
            returned += found.stake
    if found.status == REJECTED:
        burned += found.bond
    else:
        transfer(state, ESCROW, found.author, found.bond)
        returned += found.bond
    burn_from(state, ESCROW, burned)
    return CLOSED.log(number, version, returned, burned)

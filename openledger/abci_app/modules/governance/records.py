"""The parameter record; proposals, their deposits, and the queue of what ends when; the events of this module."""

from __future__ import annotations

from dataclasses import dataclass

from openledger.abci_app.events import Event
from openledger.abci_app.tables import Counter, Number, Table
from openledger.genesis.params import Params
from openledger.primitives.errors import NotFound
from openledger.primitives.fields import U8, U64, U256, AddressField, Text
from openledger.primitives.types import DEPOSITS_ADDRESS, GOVERNANCE_ADDRESS, Address
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

POOL = GOVERNANCE_ADDRESS
"""The account whose balance is the community pool."""
DEPOSITS = DEPOSITS_ADDRESS
"""The account that holds the deposits of proposals."""

NONE, DEPOSIT, VOTING, PASSED, REJECTED, VETOED, FAILED, EXPIRED, NO_QUORUM = range(9)
STATUS_NAMES = {
    DEPOSIT: "deposit",
    VOTING: "voting",
    PASSED: "passed",
    REJECTED: "rejected",
    VETOED: "vetoed",
    FAILED: "failed",
    EXPIRED: "expired",
    NO_QUORUM: "no quorum",
}
YES, NO, ABSTAIN, NO_WITH_VETO = range(1, 5)
OPTION_NAMES = {YES: "yes", NO: "no", ABSTAIN: "abstain", NO_WITH_VETO: "no_with_veto"}
DEPOSIT_PARTS = 16
"""A deposit is at least this part of what is needed, so that few accounts have to be paid back when a proposal ends."""


@dataclass(frozen=True)
class Argument:
    """One thing that an effect has to know, as people write it: amounts and numbers in decimal digits."""

    name: Text
    value: Text


@dataclass(frozen=True)
class Proposal:
    """``effect`` and ``arguments`` say what would be done. ``deposit`` of ``needed`` wei are there. ``deadline`` (Unix
    seconds): the end of the deposits, then of the vote. The votes, and ``bonded``, are wei of stake as counted at the
    end; ``failure`` says why what was decided could not be done."""

    proposer: AddressField
    title: Text
    summary: Text
    effect: Text
    arguments: tuple[Argument, ...]
    status: U8
    deposit: U256
    needed: U256
    submitted: U64
    deadline: U64
    yes: U256 = 0
    no: U256 = 0
    abstain: U256 = 0
    veto: U256 = 0
    bonded: U256 = 0
    failure: Text = ""

    @property
    def is_open(self) -> bool:
        return self.status in (DEPOSIT, VOTING)


@dataclass(frozen=True)
class Deposit:
    """Wei that one account has deposited on a proposal."""

    amount: U256


_PARAMS = Table(GOVERNANCE_ADDRESS, "params", Params)
PROPOSALS = Table(GOVERNANCE_ADDRESS, "proposal", Proposal)
PROPOSAL_COUNT = Counter(GOVERNANCE_ADDRESS, "proposal-count")
_DEPOSITS = Table(GOVERNANCE_ADDRESS, "deposit", Deposit)
_QUEUE = Table(GOVERNANCE_ADDRESS, "proposal-queue", Number)
VOTES_OPEN = Counter(GOVERNANCE_ADDRESS, "votes-open")

SUBMITTED = Event(
    GOVERNANCE_ADDRESS, "ProposalSubmitted", "uint256 indexed proposal", "address indexed proposer", "string effect",
    "string title",
)  # fmt: skip
DEPOSITED = Event(
    GOVERNANCE_ADDRESS, "ProposalDeposit", "uint256 indexed proposal", "address indexed depositor", "uint256 amount"
)
VOTING_BEGAN = Event(GOVERNANCE_ADDRESS, "VotingStarted", "uint256 indexed proposal", "uint64 ends")
VOTED = Event(GOVERNANCE_ADDRESS, "Voted", "uint256 indexed proposal", "address indexed voter", "uint8 option")
ENDED = Event(
    GOVERNANCE_ADDRESS, "ProposalEnded", "uint256 indexed proposal", "uint8 status", "uint256 yes", "uint256 no",
    "uint256 abstain", "uint256 veto", "uint256 bonded", "string failure",
)  # fmt: skip
RETURNED = Event(
    GOVERNANCE_ADDRESS, "DepositReturned", "uint256 indexed proposal", "address indexed depositor", "uint256 amount"
)
BURNED = Event(GOVERNANCE_ADDRESS, "DepositsBurned", "uint256 indexed proposal", "uint256 amount")


def params(state: StateReader) -> Params:
    """The parameters in force."""
    return _PARAMS.must(state)


def set_params(state: Overlay, value: Params) -> None:
    _PARAMS.put(state, value)


# --- proposals --------------------------------------------------------------------------------------------


def must_proposal(state: StateReader, proposal: int) -> Proposal:
    """Raises NotFound."""
    found = PROPOSALS.get(state, proposal)
    if found is None:
        raise NotFound(f"there is no proposal {proposal}")
    return found


def least_deposit(needed: int) -> int:
    """Wei of the smallest deposit on a proposal that needs so many, unless less is lacking."""
    return -(-needed // DEPOSIT_PARTS)


def add_deposit(state: Overlay, proposal: int, depositor: Address, amount: int) -> None:
    """Book wei that the deposit account holds already."""
    before = _DEPOSITS.get(state, proposal, depositor)
    _DEPOSITS.put(state, Deposit(amount + (before.amount if before else 0)), proposal, depositor)


def deposits(state: StateReader, proposal: int) -> list[tuple[Address, int]]:
    """(account, wei) of what lies on an open proposal, by account; at most ``DEPOSIT_PARTS``."""
    return [(depositor, found.amount) for depositor, found in _DEPOSITS.items(state, proposal)]


def forget_deposits(state: Overlay, proposal: int) -> None:
    """They were paid back or burned."""
    for depositor, _ in deposits(state, proposal):
        _DEPOSITS.delete(state, proposal, depositor)


def put_in_queue(state: Overlay, proposal: int, deadline: int) -> None:
    """Something ends for ``proposal`` at ``deadline`` (Unix seconds)."""
    _QUEUE.put(state, Number(proposal), deadline, proposal)


def take_from_queue(state: Overlay, proposal: int, deadline: int) -> None:
    """Undo ``put_in_queue``."""
    _QUEUE.delete(state, deadline, proposal)


def due_proposals(state: StateReader, time: int, most: int) -> list[int]:
    """Proposals whose deadline has come at Unix second ``time``, the oldest deadline first, at most ``most``."""
    return [queued.value for _, _, queued in _QUEUE.due(state, time, most)]


def proposal_is_due(state: StateReader, time: int) -> bool:
    """True when the next block at Unix second ``time`` would end a proposal."""
    return _QUEUE.is_due(state, time)

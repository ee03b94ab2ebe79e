"""attribution.claim: how the fees of an epoch's settled answers are to be shared, put to the validators with a bond.

The fee is read from the settlements, never from the claim. The shares and ``unattributed`` add up to exactly 1,000,000.
The scores behind ``scores_root`` are shown only after the vote has closed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext
from openledger.abci_app.modules.accounts import must_afford, transfer
from openledger.abci_app.modules.attribution.electorates import electorate_now
from openledger.abci_app.modules.attribution.records import (
    CLAIM_COUNT,
    CLAIMED,
    CLAIMS,
    ELECTORATES,
    ESCROW,
    OPEN,
    PENDING,
    WORK,
    Claim,
    Share,
)
from openledger.abci_app.modules.models.bonds import must_stand
from openledger.abci_app.modules.models.records import (
    LEDGERS,
    contributors,
    epoch,
    ledger,
    must_model,
    settlements,
)
from openledger.abci_app.tables import Number
from openledger.genesis.params import Params
from openledger.primitives.amounts import PPM
from openledger.primitives.errors import (
    BudgetExceeded,
    NotAllowed,
    SharesInvalid,
    WrongPhase,
)
from openledger.primitives.fields import U32, U64, Bytes32
from openledger.primitives.types import ATTRIBUTION_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True, slots=True)
class Coverage:
    """The settlements ``first`` to ``last`` (exclusive) that a claim made now would cover: their fee in wei, and the
    work of checking them, in answers times rows."""

    first: int
    last: int
    fee: int
    work: int


def bond_of(params: Params, fee: int) -> int:
    """Wei that a claim over so large a fee bonds: what is at stake for the claimant grows with what it could take."""
    return max(params.claim_bond, fee * params.claim_bond_ppm // PPM)


def coverage(state: StateReader, params: Params, model: int, number: int) -> Coverage:
    """What the next claim of (model, epoch ``number``) covers: the oldest unclaimed settlements, as many as one claim
    may hold and one epoch's verification budget allows; one at least, so that nothing stays unclaimed for ever."""
    book, rows = ledger(state, model, number), must_model(state, model).rows
    last, fee, work = book.claimed, 0, 0
    for entry in settlements(state, model, number, last, min(book.count, last + params.max_settlements)):
        more = (entry.last - entry.first) * rows
        if work and work + more > params.work_per_epoch:
            break
        last, fee, work = last + 1, fee + entry.amount, work + more
    return Coverage(book.claimed, last, fee, work)


def _has_room(state: StateReader, params: Params, number: int, work: int) -> bool:
    """Whether so much work fits what is left of the budget of epoch ``number``. One alone is never too much."""
    used = WORK.get(state, number)
    return used is None or used.value + work <= params.work_per_epoch


def _grace_is_over(state: StateReader, params: Params, number: int, work: int) -> bool:
    """Whether the owner of a model has had its epochs for a claim over epoch ``number``. One whose budget others had
    used up is none: else who fills budgets for a few epochs could keep the owner out, and then claim instead."""
    closed = range(number + 1, epoch(state).number)
    if len(closed) < params.claim_grace_epochs:
        return False
    had_room = (n for n in closed if _has_room(state, params, n, work))
    return sum(1 for _ in islice(had_room, params.claim_grace_epochs)) == params.claim_grace_epochs


@dataclass(frozen=True)
class AttributionClaim(Action):
    """``first`` is the settlement where the claim begins, ``last`` (exclusive) the one where it ends: it never covers
    others than those it was computed for, whatever a vote changes meanwhile. ``shares`` ascend by address;
    ``evidence`` and ``scores`` name blobs (sha256)."""

    KIND: ClassVar[str] = "attribution.claim"
    MODULE: ClassVar[Address] = ATTRIBUTION_ADDRESS
    GAS: ClassVar[int] = 150_000

    model: U64
    epoch: U64
    first: U64
    last: U64
    shares: tuple[Share, ...]
    unattributed: U32
    evidence: Bytes32
    scores_root: Bytes32
    scores: Bytes32

    def check(self) -> None:
        addresses = [s.contributor for s in self.shares]
        if addresses != sorted(set(addresses)):
            raise SharesInvalid("shares must ascend by address, each contributor once")
        if any(s.ppm == 0 for s in self.shares):
            raise SharesInvalid("a share of 0 is left out")
        total = sum(s.ppm for s in self.shares) + self.unattributed
        if total != PPM:
            raise SharesInvalid(f"shares and unattributed add up to {total}, not to 1,000,000")

    def validate(self, view: StateReader, ctx: ActionContext) -> None:
        params, now = ctx.block.params, epoch(view)
        model = must_model(view, self.model)
        must_stand(model, self.model)
        if self.epoch >= now.number:
            raise WrongPhase(f"epoch {self.epoch} has not closed; epoch {now.number} is running")
        book = ledger(view, self.model, self.epoch)
        if book.claimed == book.count:
            raise WrongPhase(f"model {self.model} has nothing unclaimed in epoch {self.epoch}")
        if book.claimed != self.first:
            raise WrongPhase(
                f"settlements before {book.claimed} of this epoch are claimed, this claim begins at {self.first}",
                "somebody was quicker: compute the claim anew",
            )
        if len(self.shares) > params.max_shares:
            raise SharesInvalid(f"a claim has at most {params.max_shares} shares")
        strangers = {s.contributor for s in self.shares} - contributors(view, self.model)
        if strangers:
            raise SharesInvalid(f"0x{min(strangers).hex()} has no rows in the data of model {self.model}")
        covered = coverage(view, params, self.model, self.epoch)
        if covered.last != self.last:
            raise WrongPhase(
                f"a claim that begins at settlement {self.first} ends at {covered.last}, this one at {self.last}",
                "it was computed under other parameters: compute the claim anew",
            )
        work = covered.work
        if ctx.sender != model.owner and not _grace_is_over(view, params, self.epoch, work):
            raise NotAllowed(
                f"only the model's owner may claim until {params.claim_grace_epochs} epochs have passed in which this "
                "claim had room"
            )
        if not _has_room(view, params, now.number, work):
            raise BudgetExceeded("the verification budget of this epoch is used up", "claim again in the next epoch")
        needed = bond_of(params, covered.fee) + work * params.work_price
        must_afford(view, ctx.sender, needed, "bond and verification fee")

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        params, number = ctx.block.params, CLAIM_COUNT.next(state)
        covered = coverage(state, params, self.model, self.epoch)
        claim = Claim(
            model=self.model,
            epoch=self.epoch,
            claimant=ctx.sender,
            first=covered.first,
            last=covered.last,
            fee=covered.fee,
            bond=bond_of(params, covered.fee),
            work_fee=covered.work * params.work_price,
            shares=self.shares,
            unattributed=self.unattributed,
            evidence=self.evidence,
            scores_root=self.scores_root,
            scores=self.scores,
            rows=must_model(state, self.model).rows,
            status=PENDING,
            attempt=0,
            deadline=ctx.block.time + params.hold_seconds,
            opened=ctx.block.height,
            closed=0,
            minted=0,
            drawn=params.drawn_rows,
        )
        transfer(state, ctx.sender, ESCROW, claim.bond + claim.work_fee)
        self._book(state, number, claim, covered.work, params)
        return [CLAIMED.log(number, self.model, self.epoch, ctx.sender, claim.fee)]

    def _book(self, state: Overlay, number: int, claim: Claim, work: int, params: Params) -> None:
        now = epoch(state).number
        used = WORK.get(state, now)
        WORK.put(state, Number((used.value if used else 0) + work), now)
        book = ledger(state, self.model, self.epoch)
        LEDGERS.put(state, replace(book, claimed=claim.last), self.model, self.epoch)
        CLAIMS.put(state, claim, number)
        ELECTORATES.put(state, electorate_now(state, params), number)
        OPEN.put(state, Number(claim.opened), number)

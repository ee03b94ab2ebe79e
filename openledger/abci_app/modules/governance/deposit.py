"""gov.deposit: bring a proposal nearer to its vote, which begins as soon as enough is there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext
from openledger.abci_app.modules.accounts import must_afford, transfer
from openledger.abci_app.modules.governance.records import (
    DEPOSIT,
    DEPOSITED,
    DEPOSITS,
    PROPOSALS,
    VOTES_OPEN,
    VOTING,
    VOTING_BEGAN,
    Proposal,
    add_deposit,
    least_deposit,
    must_proposal,
    put_in_queue,
    take_from_queue,
)
from openledger.abci_app.modules.staking.choices import open_poll
from openledger.primitives.amounts import exact_amount
from openledger.primitives.errors import AmountOutOfRange, TooManyVotes, WrongPhase
from openledger.primitives.fields import U64, U256
from openledger.primitives.types import GOVERNANCE_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True)
class GovDeposit(Action):
    """Deposit ``amount`` wei on a proposal, at most what is lacking: the rest is not taken."""

    KIND: ClassVar[str] = "gov.deposit"
    MODULE: ClassVar[Address] = GOVERNANCE_ADDRESS
    GAS: ClassVar[int] = 60_000

    proposal: U64
    amount: U256

    def validate(self, view: StateReader, ctx: ActionContext) -> None:
        record = must_proposal(view, self.proposal)
        if record.status != DEPOSIT or ctx.block.time >= record.deadline:
            raise WrongPhase("this proposal takes no deposits any more")
        check_deposit(view, ctx, record, self.amount)

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        return take_deposit(state, ctx, self.proposal, self.amount)


def check_deposit(view: StateReader, ctx: ActionContext, record: Proposal, amount: int) -> None:
    """Raise AmountOutOfRange for a deposit that is too small or that the sender does not have, TooManyVotes where it
    would begin a vote and may not."""
    lacking, least = record.needed - record.deposit, least_deposit(record.needed)
    if amount < min(least, lacking):
        least = min(least, lacking)
        raise AmountOutOfRange(
            f"a deposit on this proposal is {exact_amount(least)} at least; {exact_amount(lacking)} are lacking"
        )
    taken = min(amount, lacking)
    must_afford(view, ctx.sender, taken, "the deposit")
    if taken == lacking and VOTES_OPEN.get(view) >= ctx.block.params.max_votes_open:
        raise TooManyVotes(
            f"{ctx.block.params.max_votes_open} proposals are being voted on, as many as may be",
            "deposit a little less, and the rest when one of them has ended",
        )


def take_deposit(state: Overlay, ctx: ActionContext, number: int, amount: int) -> list[Log]:
    """Move it, and begin the vote when nothing is lacking any more."""
    record = must_proposal(state, number)
    taken = min(amount, record.needed - record.deposit)
    transfer(state, ctx.sender, DEPOSITS, taken)
    add_deposit(state, number, ctx.sender, taken)
    record = replace(record, deposit=record.deposit + taken)
    logs = [DEPOSITED.log(number, ctx.sender, taken)]
    if record.deposit == record.needed:
        take_from_queue(state, number, record.deadline)
        record = replace(record, status=VOTING, deadline=ctx.block.time + ctx.block.params.gov_voting_seconds)
        put_in_queue(state, number, record.deadline)
        VOTES_OPEN.set(state, VOTES_OPEN.get(state) + 1)
        open_poll(state, number)
        logs.append(VOTING_BEGAN.log(number, record.deadline))
    PROPOSALS.put(state, record, number)
    return logs

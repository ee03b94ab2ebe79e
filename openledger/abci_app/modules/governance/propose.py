"""gov.propose: put something to the vote of the stake."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext, require_text
from openledger.abci_app.modules.governance.deposit import check_deposit, take_deposit
from openledger.abci_app.modules.governance.effects import read_effect
from openledger.abci_app.modules.governance.records import (
    DEPOSIT,
    PROPOSAL_COUNT,
    PROPOSALS,
    SUBMITTED,
    Argument,
    Proposal,
    put_in_queue,
)
from openledger.primitives.fields import U256, Text
from openledger.primitives.types import GOVERNANCE_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

MAX_TITLE = 140
MAX_SUMMARY = 4_096


@dataclass(frozen=True)
class GovPropose(Action):
    """Propose ``effect`` with its ``arguments`` (`openledger gov propose` writes them). ``deposit`` in wei: with the
    whole ``gov_deposit`` the vote begins at once, with less others add to it first."""

    KIND: ClassVar[str] = "gov.propose"
    MODULE: ClassVar[Address] = GOVERNANCE_ADDRESS
    GAS: ClassVar[int] = 200_000

    title: Text
    summary: Text
    effect: Text
    arguments: tuple[Argument, ...]
    deposit: U256

    def check(self) -> None:
        require_text("title", self.title, MAX_TITLE)
        require_text("summary", self.summary, MAX_SUMMARY, 0)
        read_effect(self.effect, self.arguments)

    def validate(self, view: StateReader, ctx: ActionContext) -> None:
        read_effect(self.effect, self.arguments).validate(view, ctx.block)
        check_deposit(view, ctx, self._record(ctx), self.deposit)

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        number, record = PROPOSAL_COUNT.next(state), self._record(ctx)
        PROPOSALS.put(state, record, number)
        put_in_queue(state, number, record.deadline)
        submitted = SUBMITTED.log(number, ctx.sender, self.effect, self.title)
        return [submitted, *take_deposit(state, ctx, number, self.deposit)]

    def _record(self, ctx: ActionContext) -> Proposal:
        now, params = ctx.block.time, ctx.block.params
        return Proposal(
            ctx.sender, self.title, self.summary, self.effect, self.arguments, DEPOSIT, 0, params.gov_deposit, now,
            now + params.gov_deposit_seconds,
        )  # fmt: skip

"""gov.vote: what the sender's stake says about a proposal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext
from openledger.abci_app.modules.governance.records import OPTION_NAMES, VOTED, VOTING, must_proposal
from openledger.abci_app.modules.staking.polls import choose
from openledger.abci_app.modules.staking.reads import voting_stake
from openledger.primitives.errors import MalformedAction, NotAllowed, WrongPhase
from openledger.primitives.fields import U64, Text
from openledger.primitives.types import GOVERNANCE_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

_OPTIONS = {name: option for option, name in OPTION_NAMES.items()}


@dataclass(frozen=True)
class GovVote(Action):
    """Vote `yes`, `no`, `abstain` or `no_with_veto`; the last vote of an account counts. A validator's vote is also
    that of all who have staked with it and do not vote themselves."""

    KIND: ClassVar[str] = "gov.vote"
    MODULE: ClassVar[Address] = GOVERNANCE_ADDRESS
    GAS: ClassVar[int] = 60_000

    proposal: U64
    option: Text

    def check(self) -> None:
        if self.option not in _OPTIONS:
            raise MalformedAction("option must be one of " + ", ".join(_OPTIONS))

    def validate(self, view: StateReader, ctx: ActionContext) -> None:
        record = must_proposal(view, self.proposal)
        if record.status != VOTING or ctx.block.time >= record.deadline:
            raise WrongPhase("this proposal is not being voted on")
        if not voting_stake(view, ctx.sender):
            raise NotAllowed("only who has staked with a validator that has a seat can vote")

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        choose(state, self.proposal, ctx.sender, _OPTIONS[self.option])
        return [VOTED.log(self.proposal, ctx.sender, _OPTIONS[self.option])]

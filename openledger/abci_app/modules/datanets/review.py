"""datanet.review: a reviewer accepts or rejects a version, gives a reason, and stakes on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext, require_text
from openledger.abci_app.modules.accounts import must_afford
from openledger.abci_app.modules.datanets.records import must_datanet
from openledger.abci_app.modules.datanets.reviews import (
    PENDING,
    STATUS_NAMES,
    Opinion,
    add_opinion,
    must_review,
    opinion,
)
from openledger.primitives.amounts import exact_amount
from openledger.primitives.errors import AlreadyExists, AmountOutOfRange, NotAllowed, WrongPhase
from openledger.primitives.fields import U64, U256, Flag, Text
from openledger.primitives.types import DATANETS_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

MAX_REASON = 512


@dataclass(frozen=True)
class DatanetReview(Action):
    """``stake`` in wei is what the version's rules ask of a reviewer, neither more nor less. A reviewer speaks once."""

    KIND: ClassVar[str] = "datanet.review"
    MODULE: ClassVar[Address] = DATANETS_ADDRESS
    GAS: ClassVar[int] = 60_000

    datanet: U64
    version: U64
    accept: Flag
    reason: Text
    stake: U256 = 0

    def check(self) -> None:
        require_text("reason", self.reason, MAX_REASON)

    def validate(self, view: StateReader, ctx: ActionContext) -> None:
        found, head = must_review(view, self.datanet, self.version), must_datanet(view, self.datanet).head
        if found.status != PENDING:
            raise WrongPhase(f"version {self.version} is {STATUS_NAMES[found.status]} already")
        if ctx.block.time >= found.deadline:
            raise WrongPhase(f"the time for reviews of version {self.version} is over")
        if found.parent != head:
            raise WrongPhase(
                f"version {self.version} follows version {found.parent}, and version {head} was accepted since",
                "its author has to commit it again on top; the bond comes back at the deadline",
            )
        if ctx.sender not in found.reviewers:
            raise NotAllowed(f"only the reviewers of version {self.version} decide about it")
        if ctx.sender == found.author:
            raise NotAllowed("nobody reviews a commit of their own")
        if opinion(view, self.datanet, self.version, ctx.sender) is not None:
            raise AlreadyExists("this reviewer has spoken already")
        if self.stake != found.stake:
            raise AmountOutOfRange(f"the stake of a reviewer of version {self.version} is {exact_amount(found.stake)}")
        must_afford(view, ctx.sender, found.stake, "the stake")

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        said = Opinion(self.accept, self.reason)
        return add_opinion(state, ctx.block, self.datanet, self.version, ctx.sender, said)

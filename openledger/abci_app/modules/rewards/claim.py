"""rewards.claim: move what an account has earned to its balance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext
from openledger.abci_app.modules.accounts import transfer
from openledger.abci_app.modules.attribution.records import ESCROW
from openledger.abci_app.modules.rewards.records import REWARDS, TAKEN, rewards
from openledger.primitives.errors import AmountOutOfRange
from openledger.primitives.fields import U256
from openledger.primitives.types import ATTRIBUTION_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True)
class RewardsClaim(Action):
    """``amount`` in wei; 0 takes all."""

    KIND: ClassVar[str] = "rewards.claim"
    MODULE: ClassVar[Address] = ATTRIBUTION_ADDRESS
    GAS: ClassVar[int] = 20_000

    amount: U256 = 0

    def validate(self, view: StateReader, ctx: ActionContext) -> None:
        available = rewards(view, ctx.sender).available
        if not available:
            locked = rewards(view, ctx.sender).locked
            waiting = f"; {locked} wei wait until their claims can no longer be challenged" if locked else ""
            raise AmountOutOfRange(f"there are no rewards to take{waiting}")
        if self.amount > available:
            raise AmountOutOfRange(f"only {available} wei of rewards are available")

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        earned = rewards(state, ctx.sender)
        amount = self.amount or earned.available
        REWARDS.put(state, replace(earned, taken=earned.taken + amount), ctx.sender)
        transfer(state, ESCROW, ctx.sender, amount)
        return [TAKEN.log(ctx.sender, amount)]

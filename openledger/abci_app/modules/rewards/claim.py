"""rewards.claim: move what an account has earned, by its data and by its stake, to its balance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext
from openledger.abci_app.modules.accounts import transfer
from openledger.abci_app.modules.attribution.records import ESCROW
from openledger.abci_app.modules.rewards.records import REWARDS, TAKEN, rewards
from openledger.abci_app.modules.staking.delegations import settle_all
from openledger.abci_app.modules.staking.earning import take_earned
from openledger.primitives.amounts import exact_amount
from openledger.primitives.errors import AmountOutOfRange
from openledger.primitives.fields import U256
from openledger.primitives.types import ATTRIBUTION_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True)
class RewardsClaim(Action):
    """``amount`` in wei of what claims and stake have brought; 0 takes all."""

    KIND: ClassVar[str] = "rewards.claim"
    MODULE: ClassVar[Address] = ATTRIBUTION_ADDRESS
    GAS: ClassVar[int] = 60_000

    amount: U256 = 0

    def validate(self, view: StateReader, ctx: ActionContext) -> None:
        found = rewards(view, ctx.sender)
        available = found.available + settle_all(Overlay(view), ctx.sender).available
        if not available:
            waiting = (
                f"; {exact_amount(found.locked)} wait until their claims can no longer be challenged"
                if found.locked
                else ""
            )
            raise AmountOutOfRange(f"there are no rewards to take{waiting}")
        if self.amount > available:
            raise AmountOutOfRange(f"only {exact_amount(available)} of rewards are available")

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        staked, found = settle_all(state, ctx.sender).available, rewards(state, ctx.sender)
        amount = self.amount or staked + found.available
        of_stake = min(amount, staked)
        take_earned(state, ctx.sender, of_stake)
        REWARDS.put(state, replace(found, taken=found.taken + amount - of_stake), ctx.sender)
        transfer(state, ESCROW, ctx.sender, amount - of_stake)
        return [TAKEN.log(ctx.sender, amount)]

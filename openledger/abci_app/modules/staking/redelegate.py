"""stake.redelegate: move stake from one validator to another at once, without unbonding it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext
from openledger.abci_app.modules.staking.delegations import add_stake, must_fit, must_take_stake
from openledger.abci_app.modules.staking.records import REDELEGATED, must_operate
from openledger.abci_app.modules.staking.unbonding import MAX_ENTRIES, arriving, begin_redelegation
from openledger.abci_app.modules.staking.undelegate import must_leave_another, withdraw
from openledger.primitives.errors import MalformedAction, NotAllowed, TooManyUnbondings
from openledger.primitives.fields import U256, AddressField
from openledger.primitives.types import STAKING_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True)
class StakeRedelegate(Action):
    """Move ``amount`` wei (0: all) of the own stake from the validator of ``source`` to that of ``target``. Until the
    unbonding time is over it answers for both, and cannot move on."""

    KIND: ClassVar[str] = "stake.redelegate"
    MODULE: ClassVar[Address] = STAKING_ADDRESS
    GAS: ClassVar[int] = 82_000

    source: AddressField
    target: AddressField
    amount: U256 = 0

    def check(self) -> None:
        if self.source == self.target:
            raise MalformedAction("source and target are the same validator")

    def admit(self, view: StateReader, ctx: ActionContext) -> None:
        """Whether this may be done shows while it is done. In a block that is enough, for what fails is undone."""
        self.execute(Overlay(view), ctx)

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        source, target = must_operate(state, self.source), must_operate(state, self.target)
        if arriving(state, ctx.sender, source.address):
            raise NotAllowed(
                "your stake with this validator has come by a redelegation whose time is not over",
                "until then it can be undelegated, but not move on",
            )
        must_take_stake(target, ctx.sender)
        if len(arriving(state, ctx.sender, target.address)) >= MAX_ENTRIES:
            raise TooManyUnbondings(f"{MAX_ENTRIES} redelegations to this validator are waiting already")
        amount = withdraw(state, ctx, self.source, self.amount)
        target = must_operate(state, self.target)
        must_fit(state, target, ctx.sender, amount, ctx.block.params)
        new = add_stake(state, ctx.sender, target, amount)
        source = must_operate(state, self.source)
        must_leave_another(state, source, ctx.block.params)
        ready = begin_redelegation(state, ctx.block, source, target.address, ctx.sender, amount, new)
        return [REDELEGATED.log(ctx.sender, self.source, self.target, amount, ready)]

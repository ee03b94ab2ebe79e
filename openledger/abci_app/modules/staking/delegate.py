"""stake.delegate: stake OPEN with a validator, one's own or another's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext
from openledger.abci_app.modules.accounts import must_afford, transfer
from openledger.abci_app.modules.staking.delegations import add_stake, must_fit, must_take_stake
from openledger.abci_app.modules.staking.records import STAKED, STAKES, must_operate
from openledger.primitives.fields import U256, AddressField
from openledger.primitives.types import STAKING_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True)
class StakeDelegate(Action):
    """Stake ``amount`` wei with the validator of ``operator``. It counts as power at once, answers for what the
    validator does, and earns from claims that open in later epochs."""

    KIND: ClassVar[str] = "stake.delegate"
    MODULE: ClassVar[Address] = STAKING_ADDRESS
    GAS: ClassVar[int] = 70_000

    operator: AddressField
    amount: U256

    def validate(self, view: StateReader, ctx: ActionContext) -> None:
        record = must_operate(view, self.operator)
        must_take_stake(record, ctx.sender)
        must_fit(view, record, ctx.sender, self.amount, ctx.block.params)
        must_afford(view, ctx.sender, self.amount, "the stake")

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        transfer(state, ctx.sender, STAKES, self.amount)
        add_stake(state, ctx.sender, must_operate(state, self.operator), self.amount)
        return [STAKED.log(ctx.sender, self.operator, self.amount)]

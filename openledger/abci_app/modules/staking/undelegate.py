"""stake.undelegate: take stake back. It is paid after the unbonding time; an operator that takes all of its own leaves
the validator set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext
from openledger.abci_app.modules.staking.delegations import (
    delegation,
    least_stake,
    shares_for,
    take_stake,
    worth,
)
from openledger.abci_app.modules.staking.records import (
    UNBONDING,
    ValidatorRecord,
    candidates,
    must_operate,
)
from openledger.abci_app.modules.staking.unbonding import MAX_ENTRIES, begin_unbonding, follow_arriving, leaving
from openledger.genesis.params import Params
from openledger.primitives.amounts import exact_amount
from openledger.primitives.errors import AmountOutOfRange, LastValidator, NotAllowed, TooManyUnbondings
from openledger.primitives.fields import U256, AddressField
from openledger.primitives.types import STAKING_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True)
class StakeUndelegate(Action):
    """Take ``amount`` wei of the own stake with the validator of ``operator`` back; 0 takes all."""

    KIND: ClassVar[str] = "stake.undelegate"
    MODULE: ClassVar[Address] = STAKING_ADDRESS
    GAS: ClassVar[int] = 80_000

    operator: AddressField
    amount: U256 = 0

    def admit(self, view: StateReader, ctx: ActionContext) -> None:
        """Whether this may be done shows while it is done. In a block that is enough, for what fails is undone."""
        self.execute(Overlay(view), ctx)

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        address = must_operate(state, self.operator).address
        logs = follow_arriving(state, ctx.sender, address)
        if len(leaving(state, ctx.sender, address)) >= MAX_ENTRIES:
            raise TooManyUnbondings(f"{MAX_ENTRIES} unbondings from this validator are waiting already", "wait for one")
        amount = withdraw(state, ctx, self.operator, self.amount)
        must_leave_another(state, must_operate(state, self.operator), ctx.block.params)
        if not amount:
            return logs
        ready = begin_unbonding(state, ctx.block, must_operate(state, self.operator), ctx.sender, amount)
        return [*logs, UNBONDING.log(ctx.sender, self.operator, amount, ready)]


def withdraw(state: Overlay, ctx: ActionContext, operator: Address, amount: int) -> int:
    """Take ``amount`` wei (0: all) of the sender's stake out of a validator's; the wei. Raises NotAllowed where there
    is nothing, AmountOutOfRange for more than there is or where too little would stay."""
    record = must_operate(state, operator)
    shares = delegation(state, ctx.sender, record.address).total
    if not shares:
        raise NotAllowed("you have no stake with this validator")
    have = worth(record, shares)
    if not amount or amount == have:
        return take_stake(state, ctx.sender, record.address, shares)
    if amount > have:
        raise AmountOutOfRange(f"your stake with this validator is {exact_amount(have)}")
    least = least_stake(record, ctx.sender, ctx.block.params)
    if have - amount < least:
        raise AmountOutOfRange(
            f"{exact_amount(have - amount)} would stay, and {exact_amount(least)} is the least", "take all of it (0)"
        )
    return take_stake(state, ctx.sender, record.address, shares_for(record, amount), amount)


def must_leave_another(state: StateReader, record: ValidatorRecord, params: Params) -> None:
    """Raise LastValidator where this one had power, would have none, and nobody else is fit. The one with the largest
    stake of the others would be the first."""
    if not record.power or (record.stake >= params.power_unit and record.own):
        return
    for other in candidates(state):
        if other.operator != record.operator:
            if other.stake >= params.power_unit:
                return
            break
    raise LastValidator("this is the last validator with power, and a chain needs one")

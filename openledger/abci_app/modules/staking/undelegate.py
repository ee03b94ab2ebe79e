"""stake.undelegate: take stake back; all of it, and the validator leaves. It is paid after the unbonding time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext
from openledger.abci_app.modules.staking.records import (
    UNBONDING,
    ValidatorRecord,
    candidates,
    must_operate,
    put_validator,
)
from openledger.abci_app.modules.staking.unbonding import MAX_ENTRIES, begin_unbonding, unbondings
from openledger.genesis.params import Params
from openledger.primitives.errors import AmountOutOfRange, LastValidator, NotAllowed, TooManyUnbondings
from openledger.primitives.fields import U256, AddressField
from openledger.primitives.types import STAKING_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True)
class StakeUndelegate(Action):
    """Take ``amount`` wei of the stake with the validator of ``operator`` back; 0 takes all."""

    KIND: ClassVar[str] = "stake.undelegate"
    MODULE: ClassVar[Address] = STAKING_ADDRESS
    GAS: ClassVar[int] = 80_000

    operator: AddressField
    amount: U256 = 0

    def validate(self, view: StateReader, ctx: ActionContext) -> None:
        record, params = must_operate(view, self.operator), ctx.block.params
        if ctx.sender != self.operator:
            raise NotAllowed("you have no stake with this validator")
        if not record.stake or self.amount > record.stake:
            raise AmountOutOfRange(f"the stake with this validator is {record.stake} wei")
        left = record.stake - self._taken(record)
        if left and left < params.min_self_bond:
            raise AmountOutOfRange(
                f"{left} wei would stay, and a validator bonds {params.min_self_bond} at least", "take all of it (0)"
            )
        if sum(1 for _ in unbondings(view, record.address)) >= MAX_ENTRIES:
            raise TooManyUnbondings(f"{MAX_ENTRIES} unbondings of this validator are waiting already", "wait for one")
        if record.power and left < params.power_unit and not _others(view, record, params):
            raise LastValidator("this is the last validator with power, and a chain needs one")

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        record = must_operate(state, self.operator)
        amount = self._taken(record)
        put_validator(state, replace(record, stake=record.stake - amount))
        ready = begin_unbonding(state, ctx.block, record, ctx.sender, amount)
        return [UNBONDING.log(ctx.sender, self.operator, amount, ready)]

    def _taken(self, record: ValidatorRecord) -> int:
        return self.amount or record.stake


def _others(view: StateReader, record: ValidatorRecord, params: Params) -> bool:
    """Is somebody else fit for the set? The one with the largest stake of the others would be the first."""
    for other in candidates(view):
        if other.operator != record.operator:
            return other.stake >= params.power_unit
    return False

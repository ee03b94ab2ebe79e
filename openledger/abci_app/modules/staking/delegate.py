"""stake.delegate: more stake for a validator. For now an operator's, for its own validator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext
from openledger.abci_app.modules.accounts import balance, transfer
from openledger.abci_app.modules.staking.records import STAKED, STAKES, must_operate, put_validator
from openledger.primitives.errors import AmountOutOfRange, NotAllowed, ValidatorTombstoned
from openledger.primitives.fields import U256, AddressField
from openledger.primitives.types import STAKING_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True)
class StakeDelegate(Action):
    """Stake ``amount`` wei with the validator of ``operator``; for now only operators may, with their own."""

    KIND: ClassVar[str] = "stake.delegate"
    MODULE: ClassVar[Address] = STAKING_ADDRESS
    GAS: ClassVar[int] = 60_000

    operator: AddressField
    amount: U256

    def validate(self, view: StateReader, ctx: ActionContext) -> None:
        record, least = must_operate(view, self.operator), ctx.block.params.min_self_bond
        if ctx.sender != self.operator:
            raise NotAllowed("only its operator may stake with a validator", "delegation is not offered yet")
        if record.tombstoned:
            raise ValidatorTombstoned("this validator signed two blocks of one height and cannot come back")
        if not self.amount or (not record.stake and self.amount < least):
            raise AmountOutOfRange(f"a validator without stake comes back with {least} wei at least, others with any")
        if balance(view, ctx.sender) < self.amount:
            raise AmountOutOfRange(f"insufficient balance: {balance(view, ctx.sender)} wei, {self.amount} to be staked")

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        record = must_operate(state, self.operator)
        transfer(state, ctx.sender, STAKES, self.amount)
        put_validator(state, replace(record, stake=record.stake + self.amount))
        return [STAKED.log(ctx.sender, self.operator, self.amount)]

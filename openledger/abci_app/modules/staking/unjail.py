"""validator.unjail: back into the set after a jail for downtime."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext
from openledger.abci_app.modules.staking.records import UNJAILED, must_operate, put_validator
from openledger.abci_app.modules.staking.signing import begin_counting
from openledger.primitives.errors import AmountOutOfRange, NotJailed, StillJailed, ValidatorTombstoned
from openledger.primitives.types import STAKING_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True)
class ValidatorUnjail(Action):
    """Bring the own validator back when its jail time is over. Its node should run and have caught up."""

    KIND: ClassVar[str] = "validator.unjail"
    MODULE: ClassVar[Address] = STAKING_ADDRESS
    GAS: ClassVar[int] = 30_000

    def validate(self, view: StateReader, ctx: ActionContext) -> None:
        record = must_operate(view, ctx.sender)
        if record.tombstoned:
            raise ValidatorTombstoned("this validator signed two blocks of one height and cannot come back")
        if not record.jailed:
            raise NotJailed("this validator is not jailed")
        if ctx.block.time < record.jailed_until:
            raise StillJailed(f"this validator is jailed for {record.jailed_until - ctx.block.time} seconds more")
        if record.stake < ctx.block.params.power_unit or not record.own:
            raise AmountOutOfRange(
                "too little stake is left for any power, or none is your own", "stake.delegate first"
            )

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        record = replace(must_operate(state, ctx.sender), jailed=False, jailed_until=0)
        put_validator(state, record)
        begin_counting(state, record.address, ctx.block.height)
        return [UNJAILED.log(ctx.sender, record.address)]

"""validator.edit: what a validator is called, whether it takes part in verdicts, and its commission."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext, require_text
from openledger.abci_app.modules.staking.create import MAX_NAME
from openledger.abci_app.modules.staking.records import COMMISSION_SET, EDITED, must_operate, put_validator
from openledger.primitives.errors import AmountOutOfRange, NotAllowed
from openledger.primitives.fields import U32, Flag, Text
from openledger.primitives.types import STAKING_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

UNCHANGED = 2**32 - 1
"""A commission that stays what it is."""
COMMISSION_SECONDS = 86_400
"""Between two changes of a commission."""


@dataclass(frozen=True)
class ValidatorEdit(Action):
    """Change the own validator's name, whether its oracle votes on claims that open from now on, and its commission
    (ppm; 4294967295 leaves it alone), once a day at most."""

    KIND: ClassVar[str] = "validator.edit"
    MODULE: ClassVar[Address] = STAKING_ADDRESS
    GAS: ClassVar[int] = 20_000

    name: Text
    oracle: Flag = True
    commission: U32 = UNCHANGED

    def check(self) -> None:
        require_text("name", self.name, MAX_NAME, 0)

    def validate(self, view: StateReader, ctx: ActionContext) -> None:
        record = must_operate(view, ctx.sender)
        if self.commission in (UNCHANGED, record.commission):
            return
        if self.commission > record.max_commission:
            raise AmountOutOfRange(
                f"this validator has promised never to ask for more than {record.max_commission} ppm"
            )
        if self.commission > record.commission + record.max_change:
            raise AmountOutOfRange(
                f"the commission is {record.commission} ppm, and rises by {record.max_change} at most"
            )
        if ctx.block.time < record.commission_changed + COMMISSION_SECONDS:
            left = record.commission_changed + COMMISSION_SECONDS - ctx.block.time
            raise NotAllowed(f"a commission changes once a day; this one can in {left} seconds")

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        before = must_operate(state, ctx.sender)
        record = replace(before, name=self.name, oracle=self.oracle)
        logs = [EDITED.log(ctx.sender, self.name, self.oracle)]
        if self.commission not in (UNCHANGED, before.commission):
            record = replace(record, commission=self.commission, commission_changed=ctx.block.time)
            logs.append(COMMISSION_SET.log(ctx.sender, self.commission))
        put_validator(state, record)
        return logs

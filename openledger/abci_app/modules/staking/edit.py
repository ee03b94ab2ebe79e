"""validator.edit: what a validator is called, and whether it takes part in verdicts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext, require_text
from openledger.abci_app.modules.staking.create import MAX_NAME
from openledger.abci_app.modules.staking.records import EDITED, must_operate, put_validator
from openledger.primitives.fields import Flag, Text
from openledger.primitives.types import STAKING_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True)
class ValidatorEdit(Action):
    """Change the own validator's name and whether its oracle votes on claims that open from now on."""

    KIND: ClassVar[str] = "validator.edit"
    MODULE: ClassVar[Address] = STAKING_ADDRESS
    GAS: ClassVar[int] = 20_000

    name: Text
    oracle: Flag = True

    def check(self) -> None:
        require_text("name", self.name, MAX_NAME, 0)

    def validate(self, view: StateReader, ctx: ActionContext) -> None:
        must_operate(view, ctx.sender)

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        put_validator(state, replace(must_operate(state, ctx.sender), name=self.name, oracle=self.oracle))
        return [EDITED.log(ctx.sender, self.name, self.oracle)]

"""model.retire: no new sessions; open ones can be settled until the bond comes back, some time after the last of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext
from openledger.abci_app.modules.models.bonds import begin_return
from openledger.abci_app.modules.models.records import MODELS, RETIRED, must_model
from openledger.primitives.errors import NotAllowed, WrongPhase
from openledger.primitives.fields import U64
from openledger.primitives.types import MODELS_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True)
class ModelRetire(Action):
    """By the model's owner."""

    KIND: ClassVar[str] = "model.retire"
    MODULE: ClassVar[Address] = MODELS_ADDRESS
    GAS: ClassVar[int] = 20_000

    model: U64

    def validate(self, view: StateReader, ctx: ActionContext) -> None:
        model = must_model(view, self.model)
        if model.owner != ctx.sender:
            raise NotAllowed("only the owner of a model may retire it")
        if model.retired:
            raise WrongPhase(f"model {self.model} is retired already")

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        MODELS.put(state, replace(must_model(state, self.model), retired=True), self.model)
        begin_return(state, ctx.block, self.model)
        return [RETIRED.log(self.model)]

"""inference.open: a consumer locks a deposit for answers of one model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext
from openledger.abci_app.modules.accounts import must_afford, transfer
from openledger.abci_app.modules.models.bonds import must_stand
from openledger.abci_app.modules.models.records import (
    ESCROW,
    OPENED,
    SESSION_COUNT,
    SESSIONS,
    Session,
    must_model,
)
from openledger.primitives.amounts import exact_amount
from openledger.primitives.errors import AmountOutOfRange, WrongPhase
from openledger.primitives.fields import U64, U256
from openledger.primitives.types import MODELS_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

MAX_SESSION_SECONDS = 365 * 86_400


@dataclass(frozen=True)
class InferenceOpen(Action):
    """``deposit`` in wei pays for deposit // price answers; after ``expiry`` (Unix seconds) the rest can be taken back.

    The price of an answer is the model's at this moment and stays for the session.
    """

    KIND: ClassVar[str] = "inference.open"
    MODULE: ClassVar[Address] = MODELS_ADDRESS
    GAS: ClassVar[int] = 40_000

    model: U64
    deposit: U256
    expiry: U64

    def validate(self, view: StateReader, ctx: ActionContext) -> None:
        model = must_model(view, self.model)
        must_stand(model, self.model)
        if model.retired:
            raise WrongPhase(f"model {self.model} is retired")
        if self.deposit < model.price:
            raise AmountOutOfRange(f"the deposit is less than one answer costs: {exact_amount(model.price)}")
        must_afford(view, ctx.sender, self.deposit, "the deposit")
        if not ctx.block.time < self.expiry <= ctx.block.time + MAX_SESSION_SECONDS:
            raise AmountOutOfRange("expiry must lie in the future, at most a year away", "Unix time in seconds")

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        price = must_model(state, self.model).price
        transfer(state, ctx.sender, ESCROW, self.deposit)
        number = SESSION_COUNT.next(state)
        session = Session(
            model=self.model,
            consumer=ctx.sender,
            price=price,
            deposit=self.deposit,
            settled=0,
            answers=0,
            expiry=self.expiry,
            closed=False,
        )
        SESSIONS.put(state, session, number)
        return [OPENED.log(number, self.model, ctx.sender, self.deposit, price, self.expiry)]

"""inference.close: consumers take back what was not settled, an epoch after expiry, or once the model was refuted or
the bond of a retired one has gone back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext
from openledger.abci_app.modules.accounts import transfer
from openledger.abci_app.modules.models.bonds import is_over
from openledger.abci_app.modules.models.records import CLOSED, ESCROW, SESSIONS, must_model, must_session
from openledger.primitives.errors import NotAllowed, WrongPhase
from openledger.primitives.fields import U64
from openledger.primitives.types import MODELS_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True)
class InferenceClose(Action):
    """By the session's consumer. An answer that was paid by a voucher is settled later: the owner of the model has an
    epoch for it after the session's expiry, else a short session would be one of free answers."""

    KIND: ClassVar[str] = "inference.close"
    MODULE: ClassVar[Address] = MODELS_ADDRESS
    GAS: ClassVar[int] = 30_000

    session: U64

    def validate(self, view: StateReader, ctx: ActionContext) -> None:
        session = must_session(view, self.session)
        if session.consumer != ctx.sender:
            raise NotAllowed("only the consumer of a session closes it")
        if session.closed:
            raise WrongPhase(f"session {self.session} is closed already")
        model, until = must_model(view, session.model), session.expiry + ctx.block.params.epoch_seconds
        if ctx.block.time < until and not model.refuted and not is_over(model, ctx.block.time):
            raise WrongPhase(
                f"session {self.session} runs until {session.expiry}, and can be settled until {until} (Unix seconds)",
                "the owner of the model can close it earlier, when settling it",
            )

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        session = must_session(state, self.session)
        refund = session.deposit - session.settled
        transfer(state, ESCROW, session.consumer, refund)
        SESSIONS.put(state, replace(session, closed=True), self.session)
        return [CLOSED.log(self.session, refund)]

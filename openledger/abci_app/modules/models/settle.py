"""inference.settle: the model's owner turns a consumer's voucher into a settlement of the running epoch.

The fee leaves the session's escrow and waits under the claim's account; nothing is paid or burned before the verdict.
The voucher counts all answers of the session, so the same answer can never be settled twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext
from openledger.abci_app.modules.accounts import transfer
from openledger.abci_app.modules.models.bonds import begin_return, is_over, must_stand
from openledger.abci_app.modules.models.records import (
    CLOSED,
    ESCROW,
    SESSIONS,
    SETTLED,
    Session,
    Settlement,
    add_settlement,
    must_model,
    must_session,
)
from openledger.primitives.amounts import exact_amount
from openledger.primitives.attribution import Voucher
from openledger.primitives.errors import BudgetExceeded, InvalidSignature, NotAllowed, VoucherInvalid, WrongPhase
from openledger.primitives.fields import U32, U64, U256, Bytes, Bytes32, Flag
from openledger.primitives.keys import recover_signature
from openledger.primitives.types import ATTRIBUTION_ADDRESS, MODELS_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True)
class InferenceSettle(Action):
    """The voucher's fields and the consumer's signature over it. ``close`` gives the rest back to the consumer."""

    KIND: ClassVar[str] = "inference.settle"
    MODULE: ClassVar[Address] = MODELS_ADDRESS
    GAS: ClassVar[int] = 60_000

    session: U64
    cumulative: U256
    answers: U32
    receipts: Bytes32
    signature: Bytes
    close: Flag = False

    def validate(self, view: StateReader, ctx: ActionContext) -> None:
        session = must_session(view, self.session)
        model = must_model(view, session.model)
        if model.owner != ctx.sender:
            raise NotAllowed("only the owner of the model settles its sessions")
        must_stand(model, session.model)
        if is_over(model, ctx.block.time):
            raise WrongPhase(
                f"model {session.model} is retired, and its bond has gone back",
                "its consumers get back what was not settled",
            )
        if session.closed:
            raise WrongPhase(f"session {self.session} is closed")
        self._check_voucher(session, ctx.block.chain_id)
        if (self.answers - session.answers) * model.rows > ctx.block.params.work_per_epoch:
            raise BudgetExceeded(
                "these answers are more than can be verified in an epoch, so nobody could ever claim them",
                "settle an older voucher of this session first",
            )

    def _check_voucher(self, session: Session, chain_id: int) -> None:
        if self.answers <= session.answers:
            raise VoucherInvalid(
                f"{session.answers} answers of this session are settled; this voucher has no newer one"
            )
        if self.cumulative != self.answers * session.price:
            cost = exact_amount(self.answers * session.price)
            raise VoucherInvalid(f"{self.answers} answers cost {cost} in this session")
        if self.cumulative > session.deposit:
            raise VoucherInvalid(f"the voucher pays more than the deposit of {exact_amount(session.deposit)}")
        voucher = Voucher(self.session, self.cumulative, self.answers, self.receipts)
        try:
            signer = recover_signature(voucher.digest(chain_id), self.signature)
        except InvalidSignature as err:
            raise VoucherInvalid(f"voucher: {err}") from None
        if signer != session.consumer:
            raise VoucherInvalid("the voucher is not signed by the session's consumer")

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        session = must_session(state, self.session)
        amount = self.cumulative - session.settled
        transfer(state, ESCROW, ATTRIBUTION_ADDRESS, amount)
        entry = Settlement(self.session, session.answers, self.answers, amount, self.receipts)
        number = add_settlement(state, session.model, entry)
        if must_model(state, session.model).retired:
            begin_return(state, ctx.block, session.model)
        session = replace(session, settled=self.cumulative, answers=self.answers, closed=self.close)
        logs = [SETTLED.log(self.session, session.model, number, amount, self.answers - entry.first)]
        if self.close:
            refund = session.deposit - session.settled
            transfer(state, ESCROW, session.consumer, refund)
            logs.append(CLOSED.log(self.session, refund))
        SESSIONS.put(state, session, self.session)
        return logs

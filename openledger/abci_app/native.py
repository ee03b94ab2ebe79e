"""One native transaction in a block: admission, fee, action, receipt; and what goes through the Outbox (design.md,
section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from openledger.abci_app.action import (
    BASE_GAS,
    Action,
    ActionContext,
    BlockContext,
    decode_outbox,
    intrinsic_gas,
)
from openledger.abci_app.decoder import Decoded
from openledger.abci_app.events import Event
from openledger.abci_app.modules.fees.market import charge
from openledger.evm.outbox import outbox_gas, submitted
from openledger.evm.validate import check_fee, check_sender
from openledger.primitives.errors import (
    GasLimitExceeded,
    IntrinsicGasTooLow,
    InvalidTransaction,
    ReservedTransaction,
    TipAboveFeeCap,
    WrongChainId,
)
from openledger.primitives.types import OUTBOX_ADDRESS, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

ACTION_FAILED = Event(OUTBOX_ADDRESS, "ActionFailed", "uint256 index", "uint256 code")


@dataclass(frozen=True, slots=True)
class Done:
    """Outcome of an action: its logs, or the refusal that stopped it."""

    logs: tuple[Log, ...] = ()
    failure: InvalidTransaction | None = None


def check_form(decoded: Decoded, action: Action, chain_id: int, block_gas_limit: int) -> None:
    """What can be judged without state. Raises a leaf of InvalidTransaction."""
    tx = decoded.tx
    if tx.chain_id != chain_id:
        raise WrongChainId(f"invalid chain id for signer: have {tx.chain_id} want {chain_id}")
    if tx.max_priority_fee > tx.max_fee:
        raise TipAboveFeeCap("max priority fee per gas higher than max fee per gas")
    if tx.gas > block_gas_limit:
        raise GasLimitExceeded(f"exceeds block gas limit: have {tx.gas}, limit {block_gas_limit}")
    if tx.gas < intrinsic_gas(action):
        raise IntrinsicGasTooLow(f"intrinsic gas too low: have {tx.gas}, want {intrinsic_gas(action)}")


def validate(decoded: Decoded, action: Action, state: StateReader, ctx: BlockContext, base_fee: int, left: int) -> None:
    """Everything that must hold for this to be the next transaction of the block; ``left`` is the block's gas.

    Raises a leaf of InvalidTransaction. Whether the action itself will succeed is not judged here.
    """
    check_form(decoded, action, ctx.chain_id, ctx.params.block_gas_limit)
    if decoded.gas > left:
        raise GasLimitExceeded(f"gas limit reached: have {decoded.gas}, left in block {left}")
    check_sender(decoded, state)
    check_fee(decoded, base_fee)


def execute(decoded: Decoded, action: Action, state: Overlay, ctx: BlockContext, base_fee: int) -> Done:
    """Take the fee, count the nonce, run the action. A refused action keeps fee and nonce and leaves nothing else."""
    price = decoded.tx.effective_gas_price(base_fee)
    charge(state, decoded.sender, intrinsic_gas(action), price, base_fee, ctx.operator)
    state.bump_nonce(decoded.sender)
    return run_action(action, state, ActionContext(ctx, decoded.sender))


def run_action(action: Action, state: Overlay, ctx: ActionContext) -> Done:
    """``validate`` and ``execute`` of one action, all or nothing."""
    checkpoint = state.checkpoint()
    try:
        action.validate(state, ctx)
        logs = action.execute(state, ctx)
    except InvalidTransaction as err:
        state.rollback(checkpoint)
        return Done(failure=err)
    state.commit(checkpoint)
    return Done(tuple(logs))


def run_submitted(logs: Sequence[Log], state: Overlay, ctx: BlockContext) -> tuple[Log, ...]:
    """Run the actions that a transaction with these logs gave to the Outbox, in order; what they log. One that fails
    leaves a log and nothing else."""
    found: list[Log] = []
    for index, (sender, data) in enumerate(filter(None, map(submitted, logs))):
        try:
            if index >= ctx.params.max_outbox_actions:
                raise ReservedTransaction(f"at most {ctx.params.max_outbox_actions} actions a transaction")
            action = decode_outbox(data)
            if intrinsic_gas(action) - BASE_GAS > outbox_gas(len(data)):
                raise IntrinsicGasTooLow(f"{action.KIND} costs more than the Outbox takes; send it directly")
            done = run_action(action, state, ActionContext(ctx, sender))
        except InvalidTransaction as err:
            done = Done(failure=err)
        failure = done.failure
        found += done.logs if failure is None else [ACTION_FAILED.log(index, failure.code)]
    return tuple(found)

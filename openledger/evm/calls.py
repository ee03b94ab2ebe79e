"""Questions that clients ask before they send: how much gas does this need?"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from openledger.evm.engine import BlockEnv, CallMessage, CallResult
from openledger.evm.reasons import REVERTED
from openledger.evm.validate import GAS_TRANSACTION, floor_gas, intrinsic_gas
from openledger.primitives.amounts import shortfall
from openledger.primitives.errors import CallFailed, CallReverted, InsufficientFunds
from openledger.primitives.types import Account, to_checksum
from openledger.state.ports import StateReader

_STIPEND = 2_300


class Calling(Protocol):
    """The part of ``EvmEngine`` that runs calls."""

    def call(self, env: BlockEnv, message: CallMessage, state: StateReader) -> CallResult: ...


def raise_if_failed(result: CallResult) -> None:
    """Raises CallReverted (with the revert data) or CallFailed for a call that did not succeed."""
    if result.status:
        return
    if result.error.startswith(REVERTED):
        raise CallReverted(result.error, result.output)
    raise CallFailed(result.error)


def estimate_gas(engine: Calling, env: BlockEnv, message: CallMessage, state: StateReader, cap: int) -> int:
    """The smallest gas limit with which ``message`` succeeds on ``state``; a plain transfer takes exactly 21,000.

    ``message.gas`` bounds the search from above, as do ``cap``, the block's gas limit and, where a gas price is given,
    what the sender can pay for. Raises CallReverted with its data, CallFailed ("gas required exceeds allowance"),
    InsufficientFunds, or what ``EvmEngine.call`` refuses.
    """
    high = min(message.gas, cap, env.gas_limit)
    high = min(high, _affordable(message, state, high))
    least = max(
        floor_gas(message.data),
        intrinsic_gas(
            message.data,
            create=message.to is None,
            access_list=message.access_list,
            authorizations=message.authorizations,
        ),
    )
    if high < least:
        raise CallFailed(f"gas required exceeds allowance ({high})")

    def run(gas: int) -> CallResult:
        return engine.call(env, replace(message, gas=gas), state)

    if least == GAS_TRANSACTION and run(least).status:
        return least
    result = run(high)
    if result.error == "out of gas":
        raise CallFailed(f"gas required exceeds allowance ({high})")
    raise_if_failed(result)
    low = max(least, result.gas_used) - 1
    # Gas used is after refunds (at most a fifth), and a call hands over only 63/64 of what is left.
    for guess in (low + 1, (result.gas_used * 5 // 4 + _STIPEND) * 64 // 63):
        if low < guess < high:
            if run(guess).status:
                high = guess
            else:
                low = guess
    while low + 1 < high:
        middle = (low + high) // 2
        if run(middle).status:
            high = middle
        else:
            low = middle
    return high


def _affordable(message: CallMessage, state: StateReader, otherwise: int) -> int:
    """Gas that the sender can pay for at the most that the message offers."""
    if not message.cap:
        return otherwise
    balance = (state.account(message.sender) or Account()).balance
    if balance <= message.value:
        needed = message.value + message.cap * GAS_TRANSACTION
        raise InsufficientFunds(
            f"insufficient funds for transfer: address {to_checksum(message.sender)} have {balance} want {needed}",
            shortfall(needed, balance),
        )
    return (balance - message.value) // message.cap

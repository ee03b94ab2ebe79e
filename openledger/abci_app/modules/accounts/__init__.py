"""Balances: the only way in which native work moves coins."""

from __future__ import annotations

from openledger.primitives.errors import AmountOutOfRange
from openledger.primitives.types import Address
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


def balance(state: StateReader, address: Address) -> int:
    """Wei of an account."""
    account = state.account(address)
    return account.balance if account else 0


def transfer(state: Overlay, sender: Address, receiver: Address, amount: int) -> None:
    """Move ``amount`` wei. Raises AmountOutOfRange when the sender has less."""
    if balance(state, sender) < amount:
        raise AmountOutOfRange(f"insufficient balance: {balance(state, sender)} wei available, {amount} needed")
    if amount:
        state.sub_balance(sender, amount)
        state.add_balance(receiver, amount)

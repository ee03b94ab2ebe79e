"""Balances: the only way in which native work moves coins."""

from __future__ import annotations

from openledger.abci_app.modules.fees.records import give
from openledger.primitives.amounts import shortfall
from openledger.primitives.errors import AmountOutOfRange
from openledger.primitives.types import Address
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


def balance(state: StateReader, address: Address) -> int:
    """Wei of an account."""
    account = state.account(address)
    return account.balance if account else 0


def must_afford(state: StateReader, account: Address, amount: int, purpose: str) -> None:
    """Raise AmountOutOfRange, which names ``purpose``, where an account has less than ``amount`` wei."""
    held = balance(state, account)
    if held < amount:
        raise AmountOutOfRange(f"insufficient balance for {purpose}: {shortfall(amount, held)}")


def transfer(state: Overlay, sender: Address, receiver: Address, amount: int) -> None:
    """Move ``amount`` wei. Raises AmountOutOfRange when the sender has less."""
    must_afford(state, sender, amount, "a transfer")
    if amount:
        state.sub_balance(sender, amount)
        give(state, receiver, amount)

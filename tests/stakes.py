"""What the staking account owes, added up from its records."""

from __future__ import annotations

from openledger.abci_app.modules.staking.earning import Earned, pool
from openledger.abci_app.modules.staking.records import validators
from openledger.abci_app.modules.staking.unbonding import unbondings
from openledger.abci_app.tables import Table
from openledger.primitives.types import STAKING_ADDRESS
from openledger.state.ports import StateReader

EARNED = Table(STAKING_ADDRESS, "earned", Earned)


def owed(state: StateReader) -> int:
    """Wei that are staked, unbonding, kept for shares, or booked and not taken."""
    found = list(validators(state))
    total = sum(v.stake + pool(state, v.address).held for v in found)
    total += sum(u.amount for v in found for u in unbondings(state, v.address))
    return total + sum(e.available for _, e in EARNED.items(state))

"""The effect ``spend``: coins of the community pool to an account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from openledger.abci_app.action import BlockContext
from openledger.abci_app.events import Event
from openledger.abci_app.modules.accounts import balance, transfer
from openledger.abci_app.modules.governance.effects import Effect
from openledger.abci_app.modules.governance.records import POOL
from openledger.primitives.amounts import exact_amount
from openledger.primitives.errors import ProposalRefused
from openledger.primitives.fields import U256, AddressField
from openledger.primitives.types import (
    DEPOSITS_ADDRESS,
    GOVERNANCE_ADDRESS,
    MODULE_ADDRESSES,
    OUTBOX_ADDRESS,
    SYSTEM_ADDRESS,
    ZERO_ADDRESS,
    Log,
    to_checksum,
)
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

NO_RECEIVERS = frozenset((*MODULE_ADDRESSES, DEPOSITS_ADDRESS, OUTBOX_ADDRESS, SYSTEM_ADDRESS, ZERO_ADDRESS))
"""Accounts of the chain itself: what they hold belongs to others, and nobody could take it out again."""

SPENT = Event(GOVERNANCE_ADDRESS, "PoolSpent", "uint256 indexed proposal", "address indexed receiver", "uint256 amount")


@dataclass(frozen=True)
class Spend(Effect):
    """``amount`` wei of the pool to ``receiver``."""

    NAME: ClassVar[str] = "spend"

    receiver: AddressField
    amount: U256

    def validate(self, view: StateReader, ctx: BlockContext) -> None:
        """Raises ProposalRefused for more than the pool has."""
        if self.receiver in NO_RECEIVERS:
            raise ProposalRefused(f"{to_checksum(self.receiver)} belongs to the chain itself")
        if not 0 < self.amount <= balance(view, POOL):
            held, asked = exact_amount(balance(view, POOL)), exact_amount(self.amount)
            raise ProposalRefused(f"the community pool has {held}, {asked} are to be spent")

    def apply(self, state: Overlay, ctx: BlockContext, proposal: int) -> list[Log]:
        transfer(state, POOL, self.receiver, self.amount)
        return [SPENT.log(proposal, self.receiver, self.amount)]

    def watch(self, view: StateReader) -> dict[str, Any]:
        return {
            "communityPool": str(balance(view, POOL)),
            to_checksum(self.receiver): str(balance(view, self.receiver)),
        }

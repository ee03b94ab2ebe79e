"""``openledger_``: proposals, votes, and what they would change."""

from __future__ import annotations

from typing import Any

from openledger.abci_app import governance_views as views
from openledger.abci_app.modules.governance.records import Argument
from openledger.primitives.errors import MalformedAction
from openledger.primitives.types import ZERO_ADDRESS
from openledger.rpc.backend import Backend
from openledger.rpc.params import LATEST, AddressArg, BlockArg, BlockRef, NumberArg, ObjectArg, TextArg


class OpenLedgerGovernance:
    """What the stake decides."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def _next(self, block: BlockRef) -> tuple[int, int, int]:
        """Height and time of the block that would come after ``block``, and the chain id."""
        header = self._backend.header(block)
        return header.number + 1, header.timestamp, self._backend.chain_id

    def get_proposal(self, proposal: NumberArg, block: BlockArg = LATEST) -> Any:
        """One proposal: votes, deposits, and under ``effect`` what it would change now."""
        return views.get_proposal(self._backend.state(block), proposal, *self._next(block))

    def list_proposals(self, start: NumberArg = 1, limit: NumberArg = 100, block: BlockArg = LATEST) -> Any:
        """Proposals by id."""
        return views.list_proposals(self._backend.state(block), start, limit)

    def get_vote(self, proposal: NumberArg, voter: AddressArg, block: BlockArg = LATEST) -> Any:
        """What an account has voted on a proposal; null for nothing."""
        return views.get_vote(self._backend.state(block), proposal, voter)

    def list_votes(
        self, proposal: NumberArg, start: AddressArg = ZERO_ADDRESS, limit: NumberArg = 100, block: BlockArg = LATEST
    ) -> Any:
        """Votes on a proposal by account."""
        return views.list_votes(self._backend.state(block), proposal, start, limit)

    def simulate_proposal(self, effect: TextArg, arguments: ObjectArg, block: BlockArg = LATEST) -> Any:
        """What an effect would change now, or why it could not be done, without proposing it."""
        if not all(isinstance(text, str) for text in arguments.values()):
            raise MalformedAction('arguments are names and texts, for example {"split_pool": "900"}')
        given = [Argument(name, text) for name, text in arguments.items()]
        return views.simulate_proposal(self._backend.state(block), effect, given, *self._next(block))

    def get_bounds(self) -> Any:
        """Least and largest value that a vote may give each parameter."""
        return views.get_bounds()

    def get_upgrades(self, block: BlockArg = LATEST) -> Any:
        """The upgrade that is planned, those that were made, those that this node knows."""
        return views.get_upgrades(self._backend.state(block))

"""``net_``: the network and its peers."""

from __future__ import annotations

from openledger.rpc.backend import Backend
from openledger.rpc.formats import quantity


class Net:
    """Facts about the network."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def version(self) -> str:
        """The chain id in decimal."""
        return str(self._backend.chain_id)

    def listening(self) -> bool:
        """True: the node takes connections."""
        return True

    async def peer_count(self) -> str:
        """Peers of the consensus engine."""
        return quantity((await self._backend.consensus.status()).peers)

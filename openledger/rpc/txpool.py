"""``txpool_``: what waits in the mempool; ``pending`` can be in the next block, ``queued`` waits for a nonce."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openledger.primitives.transactions import EthTransaction, NativeTransaction
from openledger.primitives.types import Address, to_checksum, to_hex
from openledger.rpc.backend import Backend
from openledger.rpc.formats import Json, quantity, recipient_of, transaction_json
from openledger.rpc.params import AddressArg

Waiting = EthTransaction | NativeTransaction
Pools = dict[str, dict[str, dict[str, Any]]]


class TxPool:
    """The mempool by sender and nonce."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def _sorted(self, show: Callable[[Waiting, Address], Any]) -> Pools:
        pools: Pools = {"pending": {}, "queued": {}}
        next_nonce: dict[Address, int] = {}
        for decoded in sorted(self._backend.pool.waiting(), key=lambda found: found.nonce):
            tx, sender = decoded.tx, decoded.sender
            if sender not in next_nonce:
                next_nonce[sender] = self._backend.pool.pending_nonce(sender)
            name = "pending" if tx.nonce < next_nonce[sender] else "queued"
            pools[name].setdefault(to_checksum(sender), {})[str(tx.nonce)] = show(tx, sender)
        return pools

    def status(self) -> dict[str, str]:
        """How many can be in the next block, and how many wait for an earlier nonce."""
        pools = self._sorted(lambda _tx, _sender: None)
        return {name: quantity(sum(len(by_nonce) for by_nonce in found.values())) for name, found in pools.items()}

    def content(self) -> Pools:
        """Whole transactions by sender and nonce."""
        return self._sorted(self._whole)

    def _whole(self, tx: Waiting, sender: Address) -> Json:
        return transaction_json(tx, sender, self._backend.chain_id)

    def content_from(self, address: AddressArg) -> dict[str, dict[str, Any]]:
        """Whole transactions of one account by nonce."""
        name = to_checksum(address)
        return {kind: found.get(name, {}) for kind, found in self._sorted(self._whole).items()}

    def inspect(self) -> Pools:
        """One line a transaction, by sender and nonce."""
        return self._sorted(_line)


def _line(tx: Waiting, _sender: Address) -> str:
    to = recipient_of(tx)
    value = tx.value if isinstance(tx, EthTransaction) else 0
    target = "contract creation" if to is None else to_hex(to)
    return f"{target}: {value} wei + {tx.gas} gas × {tx.max_fee} wei"

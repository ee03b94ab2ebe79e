"""``eth_``: a transaction by its sender and nonce."""

from __future__ import annotations

from itertools import groupby

from openledger.primitives.blocks import SealedBlock
from openledger.primitives.transactions import EthTransaction, NativeTransaction
from openledger.primitives.types import Address
from openledger.rpc.backend import Backend
from openledger.rpc.formats import Json, block_transaction_json, read_transaction, transaction_json
from openledger.rpc.params import AddressArg, Uint64Arg
from openledger.rpc.work import Workers
from openledger.state.logindex import SENT, account_transactions, sent_at_or_after
from openledger.state.store import StateStore


class EthSent:
    """What accounts have sent."""

    def __init__(self, backend: Backend, workers: Workers) -> None:
        self._backend = backend
        self._workers = workers

    async def get_transaction_by_sender_and_nonce(self, address: AddressArg, nonce: Uint64Arg) -> Json | None:
        """The transaction that an account sent with this nonce, of the mempool or of a block."""
        chain_id = self._backend.chain_id
        for decoded in self._backend.pool.waiting():
            if decoded.nonce == nonce and decoded.sender == address:
                return transaction_json(decoded.tx, address, chain_id)
        found = await self._workers.run(find_sent, self._backend.app.store, address, nonce)
        return None if found is None else block_transaction_json(*found, chain_id)


def find_sent(store: StateStore, address: Address, nonce: int) -> tuple[SealedBlock, int] | None:
    """Block and place of the transaction that ``address`` sent with this nonce. Each block on the way is read once,
    also where it is full of the account's transactions."""
    low, high = 0, store.height
    while low < high:  # an account's nonces rise with the height
        middle = (low + high + 1) // 2
        place = sent_at_or_after(store.kv, address, middle)
        block = None if place is None else store.block(place[0])
        if place is not None and block is not None and _nonce(block, place[1]) <= nonce:
            low = place[0]
        else:
            high = middle - 1
    places = account_transactions(store.kv, address, low, kinds=(SENT,))
    for number, group in groupby(places, key=lambda place: place[0]):
        block = store.block(number)
        if block is None:
            continue
        for _, index in group:
            here = _nonce(block, index)
            if here >= nonce:
                return (block, index) if here == nonce else None
    return None


def _nonce(block: SealedBlock, index: int) -> int:
    tx = read_transaction(block.transactions[index])
    return tx.nonce if isinstance(tx, EthTransaction | NativeTransaction) else -1

"""The mempool: what waits to be put in a block.

    raw -> decode -> form -> sender (nonce, funds, code) -> fee -> action -> queue of its sender

One queue per sender, by nonce. A gap is allowed and waits; a transaction that pays at least a tenth more replaces the
one with its nonce. Bounded in number, per sender and in bytes; when full, the newcomer that pays least is refused.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from openledger.abci_app.action import ActionContext, BlockContext
from openledger.abci_app.decoder import Decoded
from openledger.abci_app.native import check_form as check_native_form
from openledger.evm.validate import check_form, check_sender
from openledger.primitives.errors import (
    AlreadyKnown,
    FeeCapTooLow,
    InsufficientFunds,
    MempoolFull,
    NonceTooHigh,
    NonceTooLow,
    ReplacementUnderpriced,
)
from openledger.primitives.transactions import EthTransaction
from openledger.primitives.types import Address, Hash32, to_checksum
from openledger.state.ports import StateReader


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the pool."""

    transactions: int = 20_000
    per_sender: int = 2_048
    nonce_gap: int = 2_048
    bytes: int = 64 * 1024 * 1024
    price_bump_percent: int = 10


class Mempool:
    """Admission and order. ``update`` must be called after each block with the new state."""

    def __init__(self, state: StateReader, base_fee: int, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._state = state
        self._base_fee = base_fee
        self._queues: dict[Address, dict[int, Decoded]] = {}
        self._costs: dict[Address, int] = {}
        self._by_hash: dict[Hash32, Decoded] = {}
        self._arrival: dict[Hash32, int] = {}
        self._bytes = 0
        self._counter = 0

    # --- admission ----------------------------------------------------------------------------------------

    def add(self, decoded: Decoded, ctx: BlockContext) -> None:
        """Admit a transaction. Raises the InvalidTransaction leaf that says why not."""
        if decoded.hash in self._by_hash:
            raise AlreadyKnown("already known")
        self.check(decoded, ctx)
        queue = self._queues.setdefault(decoded.sender, {})
        old = queue.get(decoded.nonce)
        try:
            self._check_room(decoded, queue, old)
        finally:
            if not queue:
                del self._queues[decoded.sender]
        if old is not None:
            self._forget(old)
        self._queues.setdefault(decoded.sender, {})[decoded.nonce] = decoded
        self._costs[decoded.sender] = self._costs.get(decoded.sender, 0) + decoded.cost
        self._by_hash[decoded.hash] = decoded
        self._counter += 1
        self._arrival[decoded.hash] = self._counter
        self._bytes += len(decoded.raw)

    def check(self, decoded: Decoded, ctx: BlockContext) -> None:
        """Form, sender, fee and action against the newest state, allowing a nonce gap. Raises the leaf."""
        account = self._state.account(decoded.sender)
        if isinstance(decoded.tx, EthTransaction):
            check_form(decoded.tx, ctx.chain_id, ctx.params.block_gas_limit)
        elif decoded.action is not None:
            check_native_form(decoded, decoded.action, ctx.chain_id, ctx.params.block_gas_limit)
        check_sender(decoded, self._state, allow_nonce_gap=True)
        if 2 * decoded.max_fee < self._base_fee:
            raise FeeCapTooLow(
                f"max fee per gas less than block base fee: address {to_checksum(decoded.sender)}, "
                f"maxFeePerGas: {decoded.max_fee}, baseFee: {self._base_fee}"
            )
        current = account.nonce if account else 0
        if decoded.nonce > current + self._limits.nonce_gap:
            raise NonceTooHigh(f"nonce too high: tx: {decoded.nonce} state: {current}", "send the missing ones first")
        if decoded.action is not None and decoded.nonce == current:
            decoded.action.validate(self._state, ActionContext(ctx, decoded.sender))

    def _check_room(self, decoded: Decoded, queue: dict[int, Decoded], old: Decoded | None) -> None:
        if old is not None:
            factor = 100 + self._limits.price_bump_percent
            if any(
                100 * new < factor * before
                for new, before in ((decoded.max_fee, old.max_fee), (decoded.max_priority_fee, old.max_priority_fee))
            ):
                raise ReplacementUnderpriced("replacement transaction underpriced", "pay at least 10 % more")
        elif len(queue) >= self._limits.per_sender:
            raise MempoolFull(f"this sender has {len(queue)} transactions waiting already")
        spent = self._costs.get(decoded.sender, 0) - (old.cost if old else 0)
        account = self._state.account(decoded.sender)
        available = account.balance if account else 0
        if spent + decoded.cost > available:
            raise InsufficientFunds(
                f"insufficient funds for gas * price + value: address {to_checksum(decoded.sender)} have {available} "
                f"queued cost {spent} tx cost {decoded.cost}"
            )
        full = len(self._by_hash) >= self._limits.transactions
        if old is None and (full or self._bytes + len(decoded.raw) > self._limits.bytes):
            raise MempoolFull("txpool is full", "try again after the next block")

    # --- after a block ------------------------------------------------------------------------------------

    def update(self, state: StateReader, base_fee: int, touched: Iterable[Address]) -> None:
        """Take the state after a block and the next base fee; drop what ``touched`` senders used up or cannot pay."""
        self._state = state
        self._base_fee = base_fee
        for sender in set(touched) & self._queues.keys():
            account = state.account(sender)
            nonce, funds = (account.nonce, account.balance) if account else (0, 0)
            for decoded in list(self._queues.get(sender, {}).values()):
                if decoded.nonce < nonce or decoded.cost > funds:
                    self._forget(decoded)

    def remove(self, hashes: Iterable[Hash32]) -> None:
        """Drop transactions that a block refused or that are not wanted any longer."""
        for tx_hash in hashes:
            decoded = self._by_hash.get(tx_hash)
            if decoded is not None:
                self._forget(decoded)

    def _forget(self, decoded: Decoded) -> None:
        del self._by_hash[decoded.hash]
        del self._arrival[decoded.hash]
        self._bytes -= len(decoded.raw)
        queue = self._queues[decoded.sender]
        del queue[decoded.nonce]
        self._costs[decoded.sender] -= decoded.cost
        if not queue:
            del self._queues[decoded.sender], self._costs[decoded.sender]

    def recheck(self, decoded: Decoded, ctx: BlockContext) -> None:
        """Is a known transaction still worth keeping? Raises the leaf, and forgets it, when it is not."""
        known = decoded.hash in self._by_hash
        account = self._state.account(decoded.sender)
        if account and decoded.nonce < account.nonce:
            self.remove([decoded.hash])
            raise NonceTooLow(f"nonce too low: tx: {decoded.nonce} state: {account.nonce}")
        if not known:
            self.add(decoded, ctx)

    # --- readers ------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._by_hash)

    def pending_nonce(self, sender: Address) -> int:
        """Nonce of the next transaction of ``sender``, counting those that wait without a gap."""
        account = self._state.account(sender)
        nonce = account.nonce if account else 0
        queue = self._queues.get(sender, {})
        while nonce in queue:
            nonce += 1
        return nonce

    def find(self, tx_hash: Hash32) -> bytes | None:
        """Raw bytes of a waiting transaction."""
        found = self._by_hash.get(tx_hash)
        return found.raw if found else None

    def transactions(self) -> Sequence[bytes]:
        """All waiting transactions, executable ones first."""
        ready = self.reap()
        seen = set(ready)
        return ready + [d.raw for d in self._by_hash.values() if d.raw not in seen]

    def reap(self) -> list[bytes]:
        """Transactions that the next block can take: by tip, then arrival; each sender's by nonce."""
        chosen = [d for sender, queue in self._queues.items() for d in self._run_of(sender, queue)]
        return [d.raw for d in order(chosen, self._base_fee, self._arrival)]

    def _run_of(self, sender: Address, queue: dict[int, Decoded]) -> Iterable[Decoded]:
        account = self._state.account(sender)
        nonce = account.nonce if account else 0
        while nonce in queue and queue[nonce].tip(self._base_fee) >= 0:
            yield queue[nonce]
            nonce += 1


def order(candidates: Iterable[Decoded], base_fee: int, arrival: dict[Hash32, int] | None = None) -> list[Decoded]:
    """Best tip first, ties by arrival; a sender's transactions always by nonce."""
    queues: dict[Address, list[Decoded]] = {}
    ranks: dict[Hash32, int] = {}
    for position, decoded in enumerate(candidates):
        queues.setdefault(decoded.sender, []).append(decoded)
        ranks[decoded.hash] = arrival.get(decoded.hash, position) if arrival else position
    for queue in queues.values():
        queue.sort(key=lambda d: -d.nonce)
    heap = [(-q[-1].tip(base_fee), ranks[q[-1].hash], sender) for sender, q in queues.items()]
    heapq.heapify(heap)
    ordered: list[Decoded] = []
    while heap:
        _, _, sender = heapq.heappop(heap)
        queue = queues[sender]
        ordered.append(queue.pop())
        if queue:
            heapq.heappush(heap, (-queue[-1].tip(base_fee), ranks[queue[-1].hash], sender))
    return ordered

"""The mempool: what waits to be put in a block.

    raw -> decode -> form -> sender (nonce, funds, code) -> fee -> action -> queue of its sender

One queue per sender, by nonce. A gap is allowed and waits; a transaction that pays at least a tenth more replaces the
one with its nonce. Bounded in number, per sender and in bytes; when full, a newcomer that pays more than the last of
some queue takes its place. What waits for a missing nonce fills a quarter of the pool at most, gives way first, and
nothing waits for ever: else a pool full of what can never be taken would shut everybody out.
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

Rank = tuple[bool, int, int]
"""What is dropped last ranks highest: no gap before it, then the tip, then the fee cap (wei per gas)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the pool: in number, bytes and blocks waited; ``gapped`` of them may wait for a missing nonce."""

    transactions: int = 20_000
    gapped: int = 5_000
    blocks: int = 10_000
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
        self._born: dict[Hash32, int] = {}
        self._gapped: set[Hash32] = set()
        self._weakest: list[tuple[Rank, Address, int]] | None = None
        self._blocks = 0
        self._bytes = 0
        self._counter = 0

    # --- admission ----------------------------------------------------------------------------------------

    def add(self, decoded: Decoded, ctx: BlockContext) -> None:
        """Admit a transaction. Raises the InvalidTransaction leaf that says why not."""
        if decoded.hash in self._by_hash:
            raise AlreadyKnown("already known")
        self.check(decoded, ctx)
        queue = self._queues.get(decoded.sender, {})
        old = queue.get(decoded.nonce)
        gapped = not self._follows(decoded, queue)
        self._check_room(decoded, queue, old)
        self._make_room(decoded, old, gapped)
        if old is not None:
            self._forget(old)
        self._queues.setdefault(decoded.sender, {})[decoded.nonce] = decoded
        self._costs[decoded.sender] = self._costs.get(decoded.sender, 0) + decoded.cost
        self._by_hash[decoded.hash] = decoded
        self._counter += 1
        self._arrival[decoded.hash] = self._counter
        self._born[decoded.hash] = self._blocks
        self._bytes += len(decoded.raw)
        if gapped:
            self._gapped.add(decoded.hash)
        else:
            self._close_gap(decoded)
        self._note_last(decoded.sender)

    def _follows(self, decoded: Decoded, queue: dict[int, Decoded]) -> bool:
        """True when no nonce is missing before this transaction."""
        account = self._state.account(decoded.sender)
        if decoded.nonce <= (account.nonce if account else 0):
            return True
        before = queue.get(decoded.nonce - 1)
        return before is not None and before.hash not in self._gapped

    def _close_gap(self, decoded: Decoded) -> None:
        """What waited for this transaction waits no longer."""
        queue, nonce = self._queues[decoded.sender], decoded.nonce + 1
        while nonce in queue and queue[nonce].hash in self._gapped:
            self._gapped.remove(queue[nonce].hash)
            nonce += 1

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

    # --- a full pool --------------------------------------------------------------------------------------

    def _rank(self, decoded: Decoded, gapped: bool) -> Rank:
        return (not gapped, decoded.tip(self._base_fee), decoded.max_fee)

    def _note_last(self, sender: Address) -> None:
        """The last of each queue is what can give way without leaving a gap."""
        if self._weakest is not None and sender in self._queues:
            nonce, last = max(self._queues[sender].items())
            heapq.heappush(self._weakest, (self._rank(last, last.hash in self._gapped), sender, nonce))

    def _make_room(self, decoded: Decoded, old: Decoded | None, gapped: bool) -> None:
        """Drop what ranks below the newcomer until it fits in the place of ``old``. Raises MempoolFull, and drops
        nothing, when that is not enough."""
        if gapped and old is None and len(self._gapped) >= self._limits.gapped:
            raise MempoolFull("txpool is full of transactions that wait for others", "send the missing ones first")
        victims: list[Decoded] = []
        count = len(self._by_hash) + (0 if old else 1) - self._limits.transactions
        size = self._bytes + len(decoded.raw) - (len(old.raw) if old else 0) - self._limits.bytes
        try:
            while count > 0 or size > 0:
                last = self._next_victim(decoded.sender, self._rank(decoded, gapped))
                if last is None:
                    raise MempoolFull("txpool is full", "pay more, or try again after the next block")
                victims.append(last)
                count, size = count - 1, size - len(last.raw)
            for victim in victims:
                self._forget(victim)
        finally:
            for sender in sorted({decoded.sender, *(victim.sender for victim in victims)}):
                self._note_last(sender)

    def _next_victim(self, newcomer: Address, rank: Rank) -> Decoded | None:
        """The last of the queue that ranks lowest, one of each sender at a time; None when none is below ``rank``."""
        if self._weakest is None:
            self._weakest = []
            for sender in self._queues:
                self._note_last(sender)
        while self._weakest and self._weakest[0][0] < rank:
            found, sender, nonce = heapq.heappop(self._weakest)
            queue = self._queues.get(sender, {})
            last = queue.get(nonce)
            if last is None or sender == newcomer or nonce != max(queue):
                continue
            if found == self._rank(last, last.hash in self._gapped):
                return last
        return None

    # --- after a block ------------------------------------------------------------------------------------

    def update(self, state: StateReader, base_fee: int, touched: Iterable[Address]) -> None:
        """Take the state after a block and the next base fee; drop what ``touched`` senders used up or cannot pay."""
        self._state = state
        self._base_fee = base_fee
        self._weakest = None
        self._blocks += 1
        self._drop_old()
        for sender in set(touched) & self._queues.keys():
            account = state.account(sender)
            nonce, funds = (account.nonce, account.balance) if account else (0, 0)
            for decoded in list(self._queues.get(sender, {}).values()):
                if decoded.nonce < nonce or decoded.cost > funds:
                    self._forget(decoded)

    def _drop_old(self) -> None:
        """What has waited too long; in order of arrival, so the search ends at the first that has not."""
        while self._born:
            tx_hash, born = next(iter(self._born.items()))
            if self._blocks - born <= self._limits.blocks:
                return
            self._forget(self._by_hash[tx_hash])

    def remove(self, hashes: Iterable[Hash32]) -> None:
        """Drop transactions that a block refused or that are not wanted any longer."""
        for tx_hash in hashes:
            decoded = self._by_hash.get(tx_hash)
            if decoded is not None:
                self._forget(decoded)

    def _forget(self, decoded: Decoded) -> None:
        del self._by_hash[decoded.hash]
        del self._arrival[decoded.hash], self._born[decoded.hash]
        self._gapped.discard(decoded.hash)
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

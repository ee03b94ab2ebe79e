"""The mempool: what waits to be put in a block.

    raw -> decode -> form -> sender (nonce, funds, code) -> fee -> action -> queue of its sender

One queue per sender, by nonce. A gap is allowed and waits; a transaction that pays at least a tenth more replaces the
one with its nonce. Bounded in number, per sender and in bytes; when full, a newcomer that pays more than the last of
some queue takes its place. What waits for a missing nonce fills a quarter of the pool at most, gives way first, and
nothing waits for ever: else a pool full of what can never be taken would shut everybody out.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from openledger.abci_app.action import ActionContext, BlockContext
from openledger.abci_app.decoder import Decoded
from openledger.abci_app.native import check_form as check_native_form
from openledger.abci_app.ordering import best_first
from openledger.evm.validate import check_form, check_sender
from openledger.primitives.amounts import shortfall
from openledger.primitives.errors import (
    AlreadyKnown,
    FeeCapTooLow,
    InsufficientFunds,
    InvalidTransaction,
    MempoolFull,
    NonceTooHigh,
    NonceTooLow,
    ReplacementUnderpriced,
    TransactionTooLarge,
)
from openledger.primitives.hashing import KECCAK_EMPTY
from openledger.primitives.transactions import EthTransaction
from openledger.primitives.types import Account, Address, Hash32, to_checksum
from openledger.state.ports import StateReader

BLOCK_PART = 4
"""A transaction, and a bundle, is at most one part in so many of a block, so that it fits beside everything else."""

Rank = tuple[bool, int, int]
"""What is dropped last ranks highest: no gap before it, then the tip, then the fee cap (wei per gas)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the pool: in number, bytes and blocks waited; ``gapped`` of them may wait for a missing nonce, and
    ``per_delegated`` of a sender whose account runs code (EIP-7702)."""

    transactions: int = 20_000
    gapped: int = 5_000
    blocks: int = 10_000
    per_sender: int = 2_048
    per_delegated: int = 16
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
        self._accounts: dict[Address, Account] = {}
        self._costs: dict[Address, int] = {}
        self._by_hash: dict[Hash32, Decoded] = {}
        self._arrival: dict[Hash32, int] = {}
        self._born: dict[Hash32, int] = {}
        self._gapped: set[Hash32] = set()
        self._weakest: list[tuple[Rank, Address, int]] | None = None
        self._blocks = 0
        self._bytes = 0
        self._counter = 0
        self.evicted = 0
        """Transactions that gave way to a better one, or have waited too long."""
        self.version = 0
        """Another number whenever what waits has changed, or the state that it waits on."""

    # --- admission ----------------------------------------------------------------------------------------

    def add(self, decoded: Decoded, ctx: BlockContext) -> None:
        """Admit a transaction. Raises the InvalidTransaction leaf that says why not."""
        if decoded.hash in self._by_hash:
            raise AlreadyKnown("already known")
        self._accounts[decoded.sender] = self.account(decoded.sender)
        try:
            self._add(decoded, ctx)
        except InvalidTransaction:
            if decoded.sender not in self._queues:
                del self._accounts[decoded.sender]
            raise

    def _add(self, decoded: Decoded, ctx: BlockContext) -> None:
        self.check(decoded, ctx)
        queue = self._queues.get(decoded.sender, {})
        old = queue.get(decoded.nonce)
        gapped = not self._follows(decoded, queue)
        self._check_room(decoded, queue, old)
        self._make_room(decoded, old, gapped)
        account = self.account(decoded.sender)
        if old is not None:
            self._forget(old)
        self._accounts[decoded.sender] = account
        self._queues.setdefault(decoded.sender, {})[decoded.nonce] = decoded
        self._costs[decoded.sender] = self._costs.get(decoded.sender, 0) + decoded.cost
        self._by_hash[decoded.hash] = decoded
        self._counter += 1
        self.version += 1
        self._arrival[decoded.hash] = self._counter
        self._born[decoded.hash] = self._blocks
        self._bytes += len(decoded.raw)
        if gapped:
            self._gapped.add(decoded.hash)
        else:
            self._close_gap(decoded)
        self._note_last(decoded.sender)

    def account(self, address: Address) -> Account:
        """The account at the newest state; remembered for those who have transactions here."""
        found = self._accounts.get(address)
        if found is None:
            found = self._state.account(address) or Account()
            if address in self._queues:
                self._accounts[address] = found
        return found

    def code(self, code_hash: Hash32) -> bytes:
        """Code at the newest state."""
        return self._state.code(code_hash)

    def _follows(self, decoded: Decoded, queue: dict[int, Decoded]) -> bool:
        """True when no nonce is missing before this transaction."""
        if decoded.nonce <= self.account(decoded.sender).nonce:
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
        if isinstance(decoded.tx, EthTransaction):
            check_form(decoded.tx, ctx.chain_id, ctx.params.block_gas_limit)
        elif decoded.action is not None:
            check_native_form(decoded, decoded.action, ctx.chain_id, ctx.params.block_gas_limit)
        check_sender(decoded, self, allow_nonce_gap=True)
        least = min(ctx.params.base_fee_floor, self._base_fee)  # a devnet may set its base fee below the floor
        if 2 * decoded.max_fee < self._base_fee or decoded.max_fee < least:
            raise FeeCapTooLow(
                f"max fee per gas less than block base fee: address {to_checksum(decoded.sender)}, "
                f"maxFeePerGas: {decoded.max_fee}, baseFee: {self._base_fee}",
                f"the base fee never falls below {least} wei per gas" if decoded.max_fee < least else None,
            )
        if len(decoded.raw) + 64 > ctx.params.max_block_bytes // BLOCK_PART:
            limit = ctx.params.max_block_bytes // BLOCK_PART - 64
            raise TransactionTooLarge(f"oversized data: transaction size {len(decoded.raw)}, limit {limit}")
        current = self.account(decoded.sender).nonce
        if decoded.nonce > current + self._limits.nonce_gap:
            raise NonceTooHigh(f"nonce too high: tx: {decoded.nonce} state: {current}", "send the missing ones first")
        if decoded.action is not None and decoded.nonce == current:
            decoded.action.admit(self._state, ActionContext(ctx, decoded.sender))

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
        elif len(queue) >= self._limits.per_delegated and self.account(decoded.sender).code_hash != KECCAK_EMPTY:
            raise MempoolFull(
                f"this sender has {len(queue)} transactions waiting already, the most for an account that runs code",
                "anybody may call that code and empty the account, so more would wait for nothing",
            )
        spent = self._costs.get(decoded.sender, 0) - (old.cost if old else 0)
        available = self.account(decoded.sender).balance
        if spent + decoded.cost > available:
            raise InsufficientFunds(
                f"insufficient funds for gas * price + value: address {to_checksum(decoded.sender)} have {available} "
                f"queued cost {spent} tx cost {decoded.cost}",
                shortfall(spent + decoded.cost, available),
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
            self.evicted += len(victims)
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

    def update(self, state: StateReader, base_fee: int, touched: Iterable[Address] | None) -> None:
        """Take the state after a block and the next base fee; drop what ``touched`` senders used up or cannot pay.
        None stands for all senders: the state is not that of the next block, but quite another one."""
        self.version += 1
        self._state = state
        self._base_fee = base_fee
        self._weakest = None
        self._blocks += 1
        self.version += 1
        self._drop_old()
        for sender in self._queues.keys() & (self._queues if touched is None else set(touched)):
            self._accounts.pop(sender, None)
            account = self.account(sender)
            for decoded in list(self._queues.get(sender, {}).values()):
                if decoded.nonce < account.nonce or decoded.cost > account.balance:
                    self._forget(decoded)
            self._find_gaps(sender)

    def _find_gaps(self, sender: Address) -> None:
        """Which of this sender's transactions wait for a missing nonce, anew."""
        expected = self.account(sender).nonce
        for nonce, decoded in sorted(self._queues.get(sender, {}).items()):
            if nonce == expected:
                self._gapped.discard(decoded.hash)
                expected += 1
            else:
                self._gapped.add(decoded.hash)

    def _drop_old(self) -> None:
        """What has waited too long; in order of arrival, so the search ends at the first that has not."""
        while self._born:
            tx_hash, born = next(iter(self._born.items()))
            if self._blocks - born <= self._limits.blocks:
                return
            self._forget(self._by_hash[tx_hash])
            self.evicted += 1

    def remove(self, hashes: Iterable[Hash32]) -> None:
        """Drop transactions that a block refused or that are not wanted any longer."""
        for tx_hash in hashes:
            decoded = self._by_hash.get(tx_hash)
            if decoded is not None:
                self._forget(decoded)
                self._find_gaps(decoded.sender)

    def _forget(self, decoded: Decoded) -> None:
        self.version += 1
        del self._by_hash[decoded.hash]
        del self._arrival[decoded.hash], self._born[decoded.hash]
        self._gapped.discard(decoded.hash)
        self._bytes -= len(decoded.raw)
        queue = self._queues[decoded.sender]
        del queue[decoded.nonce]
        self._costs[decoded.sender] -= decoded.cost
        if not queue:
            del self._queues[decoded.sender], self._costs[decoded.sender]
            self._accounts.pop(decoded.sender, None)

    def recheck(self, decoded: Decoded, ctx: BlockContext) -> None:
        """Is a known transaction still worth keeping? Raises the leaf, and forgets it, when it is not."""
        current = self.account(decoded.sender).nonce
        if decoded.nonce < current:
            self.remove([decoded.hash])
            raise NonceTooLow(f"nonce too low: tx: {decoded.nonce} state: {current}")
        if decoded.hash not in self._by_hash:
            self.add(decoded, ctx)

    # --- readers ------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._by_hash)

    @property
    def size_bytes(self) -> int:
        """Of all waiting transactions."""
        return self._bytes

    @property
    def admitted(self) -> int:
        """Transactions admitted since the start."""
        return self._counter

    def pending_nonce(self, sender: Address) -> int:
        """Nonce of the next transaction of ``sender``, counting those that wait without a gap."""
        nonce = self.account(sender).nonce
        queue = self._queues.get(sender, {})
        while nonce in queue:
            nonce += 1
        return nonce

    def find(self, tx_hash: Hash32) -> bytes | None:
        """Raw bytes of a waiting transaction."""
        found = self._by_hash.get(tx_hash)
        return found.raw if found else None

    def hashes(self) -> list[Hash32]:
        """All waiting transactions, in order of arrival."""
        return list(self._by_hash)

    def knows(self, tx_hash: Hash32) -> bool:
        """True for a waiting transaction."""
        return tx_hash in self._by_hash

    def is_ready(self, tx_hash: Hash32) -> bool:
        """True for a waiting transaction that a block could take: no nonce is missing, and it pays the base fee."""
        found = self._by_hash.get(tx_hash)
        return found is not None and tx_hash not in self._gapped and found.tip(self._base_fee) >= 0

    def transactions(self) -> Sequence[bytes]:
        """All waiting transactions, executable ones first."""
        ready = self.reap()
        seen = set(ready)
        return ready + [d.raw for d in self._by_hash.values() if d.raw not in seen]

    def waiting(self) -> Iterator[Decoded]:
        """All waiting transactions as they were read when they came, in order of arrival."""
        return iter(self._by_hash.values())

    def reap(self) -> list[bytes]:
        """Transactions that the next block can take: by tip, then arrival; each sender's by nonce."""
        return [decoded.raw for decoded in self.offer()]

    def offer(self, others: Iterable[Decoded] = ()) -> Iterator[Decoded]:
        """What ``reap`` gives, one by one. ``others``, which came by no door of this node, stand in line too."""
        queues: Mapping[Address, Mapping[int, Decoded]] = self._queues
        strangers: dict[Address, dict[int, Decoded]] = {}
        for decoded in others:
            if decoded.hash not in self._by_hash:
                strangers.setdefault(decoded.sender, {})[decoded.nonce] = decoded
        if strangers:
            merged = {sender: more | self._queues.get(sender, {}) for sender, more in strangers.items()}
            queues = self._queues | merged
        return best_first(queues, lambda sender: self.account(sender).nonce, self._base_fee, self._arrival)

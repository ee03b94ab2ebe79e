"""From a sender to the pool and the disk: what ``eth_sendRawTransaction`` waits for, with either engine.

Everything that arrived in one turn of the event loop is judged together, so that signatures are recovered on all cores;
everything that was admitted while one fsync ran shares the next. Consensus is not asked: the answer leaves when the
transaction is in this node's own pool and in its journal. Blocks and gossip begin before the fsync is over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from openledger.node.pool_journal import PoolJournal
from openledger.primitives.errors import InvalidTransaction, NotStored, OpenLedgerError, StorageError
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import Hash32, to_hex

log = logging.getLogger(__name__)

_BURST = 512
"""Transactions judged in one go; then others have their turn."""

_LOOK_FIRST = "ask for its receipt before you send another with the same nonce"

Answer = asyncio.Future[Hash32]


class OwnPool(Protocol):
    """The application's pool as it is needed here."""

    def knows(self, tx_hash: Hash32, /) -> bool: ...
    def find(self, tx_hash: Hash32, /) -> bytes | None: ...
    def remove(self, hashes: Sequence[Hash32], /) -> None: ...


class AdmittingApplication(Protocol):
    """The application as this door needs it."""

    @property
    def mempool(self) -> OwnPool: ...
    def admit(self, raws: Sequence[bytes], /) -> Sequence[InvalidTransaction | None]: ...


class Submission:
    """``admitted`` is told of the raw transactions that came in, ``on_fault`` of an exception in the application."""

    def __init__(
        self,
        app: AdmittingApplication,
        journal: PoolJournal | None,
        *,
        admitted: Callable[[Sequence[bytes]], None],
        on_fault: Callable[[BaseException], None],
    ) -> None:
        self._app = app
        self._journal = journal
        self._admitted = admitted
        self._on_fault = on_fault
        self.relaxed = False
        """Answer before the disk has it: whoever asks waits for a block anyhow, or calls ``flush``."""
        self._kept: list[bytes] = []
        self._arrived: list[tuple[bytes, Answer]] = []
        self._unsynced: list[tuple[Hash32, Answer]] = []
        self._thread = ThreadPoolExecutor(1, "pool-journal") if journal is not None else None
        self._syncing: asyncio.Task[None] | None = None

    async def submit(self, raw: bytes) -> Hash32:
        """Admit a raw transaction; its hash once it is in the pool and on the disk.

        Raises an InvalidTransaction leaf, or NotStored when the disk did not take it; the words say whether it may
        still come into a block.
        """
        loop = asyncio.get_running_loop()
        if not self._arrived:
            loop.call_soon(self._judge)
        answer: Answer = loop.create_future()
        self._arrived.append((raw, answer))
        return await answer

    def restore(self) -> None:
        """Everything in the journal goes through admission again; what is in a block already, or cannot be any more,
        is left out. Raises NotStored."""
        if self._journal is not None:
            self._kept = self._journal.take()
            self._readmit(self._journal)

    def _readmit(self, journal: PoolJournal) -> None:
        if not self._kept:
            return
        taken = 0
        try:
            for at in range(0, len(self._kept), _BURST):
                taken += sum(outcome is None for outcome in self._app.admit(self._kept[at : at + _BURST]))
        except StorageError as err:
            log.warning("%d acknowledged transactions wait until there is a state: %s", len(self._kept), err)
            return
        log.info("%d of %d acknowledged transactions wait for a block again", taken, len(self._kept))
        self._kept = []
        journal.settle(self._app.mempool.knows)

    async def flush(self, tx_hash: Hash32) -> None:
        """Wait until all that was admitted is on the disk, this transaction in the first place. Raises NotStored."""
        if self._journal is not None and (trouble := await self._bring(self._journal)) is not None:
            raise _still_waits(tx_hash, trouble)

    def committed(self) -> None:
        """After a block: the journal forgets what does not wait any longer."""
        if self._journal is None:
            return
        try:
            self._readmit(self._journal)
            if self._kept:
                return
            self._journal.settle(self._app.mempool.knows)
            if burden := self._journal.burden():
                found = ((tx_hash, self._app.mempool.find(tx_hash)) for tx_hash in burden)
                self._journal.renew({tx_hash: raw for tx_hash, raw in found if raw is not None})
        except NotStored as err:
            log.warning("the transaction journal is not tidied: %s", err.message)

    async def close(self) -> None:
        """Wait for the disk, answer everybody, close the journal. May be called twice."""
        if self._syncing is not None:
            await self._syncing
        if self._thread is not None:
            self._thread.shutdown()
        if self._journal is not None:
            self._journal.close()

    # --- in turns of the event loop ---------------------------------------------------------------------------

    def _judge(self) -> None:
        """Admit what has arrived, write down what came in."""
        batch, self._arrived = self._arrived[:_BURST], self._arrived[_BURST:]
        if self._arrived:
            asyncio.get_running_loop().call_soon(self._judge)
        try:
            outcomes = self._app.admit([raw for raw, _ in batch])
        except OpenLedgerError as err:  # there is no state yet, or a fork's other chain is away: no fault of this one
            _refuse((err, answer) for _, answer in batch)
            return
        except Exception as err:  # noqa: BLE001  (a fault of the program: no half-working node)
            self._on_fault(err)
            _refuse(((err, answer) for _, answer in batch))
            return
        _refuse((refusal, answer) for refusal, (_, answer) in zip(outcomes, batch, strict=True) if refusal is not None)
        taken = [
            (keccak256(raw), raw, answer)
            for refusal, (raw, answer) in zip(outcomes, batch, strict=True)
            if refusal is None
        ]
        if taken:
            self._keep(taken)

    def _keep(self, taken: Sequence[tuple[Hash32, bytes, Answer]]) -> None:
        if self._journal is not None:
            try:
                self._journal.write({tx_hash: raw for tx_hash, raw, _ in taken})
            except NotStored as err:
                self._app.mempool.remove([tx_hash for tx_hash, _, _ in taken])
                self._put_back(self._journal)
                _refuse((err, answer) for _, _, answer in taken)
                return
        self._admitted([raw for _, raw, _ in taken])
        self._unsynced += [(tx_hash, answer) for tx_hash, _, answer in taken]
        if self._journal is None or self.relaxed:
            self._acknowledge(None)
        elif self._syncing is None or self._syncing.done():
            self._syncing = asyncio.get_running_loop().create_task(self._sync(self._journal), name="pool-journal")

    def _put_back(self, journal: PoolJournal) -> None:
        """Those that were refused just now may have taken the place of others, which were acknowledged."""
        try:
            self._kept += journal.lacking(self._app.mempool.knows)
            self._readmit(journal)
        except (NotStored, OSError) as err:
            log.warning("the transaction journal is not tidied: %s", err)

    async def _sync(self, journal: PoolJournal) -> None:
        while self._unsynced:
            batch, self._unsynced = self._unsynced, []
            self._acknowledge(await self._bring(journal), batch)

    async def _bring(self, journal: PoolJournal) -> NotStored | None:
        """Bring what was written to the disk, in a new file where the old one is doubtful; why it did not get there."""
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, journal.sync)
        except NotStored as err:
            log.error("%s; trying a new file", err.message)
        else:
            return None
        try:
            journal.anew(self._app.mempool.find)
            await loop.run_in_executor(self._thread, journal.sync)
        except NotStored as err:
            return err
        return None

    def _acknowledge(self, trouble: NotStored | None, batch: list[tuple[Hash32, Answer]] | None = None) -> None:
        if batch is None:
            batch, self._unsynced = self._unsynced, []
        for tx_hash, answer in batch:
            if answer.done():
                continue
            if trouble is None:
                answer.set_result(tx_hash)
            else:
                answer.set_exception(_still_waits(tx_hash, trouble))


def _still_waits(tx_hash: Hash32, trouble: NotStored) -> NotStored:
    """What the sender hears of a transaction that the disk did not take after others had heard of it."""
    words = f"the node has transaction {to_hex(tx_hash)}, and {trouble.message.removeprefix('the node ')}"
    return NotStored(f"{words}; it waits in the pool and may still come into a block", _LOOK_FIRST)


def _refuse(outcomes: Iterable[tuple[BaseException, Answer]]) -> None:
    for reason, answer in outcomes:
        if not answer.done():
            answer.set_exception(reason)

"""Logs of blocks as clients see them, remembered: the same blocks are asked for again and again, and announced
before."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from openledger.primitives.blocks import SealedBlock
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import Hash32, Log
from openledger.rpc.formats import Json, log_json
from openledger.rpc.jsontext import dump

if TYPE_CHECKING:
    from openledger.state.store import StateStore

MAX_LOGS = 20_000
"""Logs remembered, of all blocks together; about 3 KB each with its text."""


class Entry(NamedTuple):
    """One log; ``json`` is shared, and so is never changed. ``text`` is its JSON."""

    log: Log
    json: Json
    text: bytes


class LogBook:
    """Blocks are remembered by their hash, so a block that was taken back is never mistaken for the one in its place.
    May be used from any thread."""

    def __init__(self, find_store: Callable[[], StateStore]) -> None:
        self._find_store = find_store
        self._known: OrderedDict[Hash32, Sequence[Entry]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def at(self, number: int) -> Sequence[Entry]:
        """Logs of the block at a height, in order; none where there is no block."""
        store = self._find_store()
        digest = store.block_hash(number)
        if digest is None:
            return ()
        with self._lock:
            known = self._known.get(digest)
            if known is not None:
                self._known.move_to_end(digest)
                return known
        block = store.block(number)
        return () if block is None else self.of(block)

    def of(self, block: SealedBlock) -> Sequence[Entry]:
        """Logs of this block, in order."""
        digest, count, made = block.hash, 0, []
        for tx_index, receipt in enumerate(block.receipts):
            tx_hash = keccak256(block.transactions[tx_index]) if receipt.logs else b""
            for log in receipt.logs:
                shown = log_json(log, block.header, digest, tx_hash, tx_index, count)
                made.append(Entry(log, shown, dump(shown)))
                count += 1
        self._remember(digest, made)
        return made

    def _remember(self, digest: Hash32, made: Sequence[Entry]) -> None:
        with self._lock:
            if digest in self._known:
                return
            self._known[digest] = made
            self._size += len(made) + 1
            while self._size > MAX_LOGS and len(self._known) > 1:
                self._size -= len(self._known.popitem(last=False)[1]) + 1

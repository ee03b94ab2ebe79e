"""What "pending" shows: the block that would come next, with the mempool's transactions carried out.

One guess at a time is made, on a thread, and kept until the head or the mempool changes; whoever asks meanwhile waits
for the same one. A guess that was begun before the last change is not given out: what a client has sent shows at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from openledger.abci_app.preview import Preview
from openledger.evm.engine import BlockEnv
from openledger.rpc.backend import Backend
from openledger.rpc.params import BlockRef
from openledger.rpc.work import Workers
from openledger.state.ports import StateReader

T = TypeVar("T")
FRESH_SECONDS = 1


class PendingBlocks:
    """The newest guess. To be used from the event loop only."""

    def __init__(self, backend: Backend, workers: Workers) -> None:
        self._backend = backend
        self._workers = workers
        self._lock = asyncio.Lock()
        self._key: tuple[int, int, int] | None = None
        self._known: Preview | None = None

    def _current(self) -> tuple[int, int, int]:
        """State, mempool, and the time by the second: an idle chain's next block gets later."""
        backend = self._backend
        return backend.app.store.generation, backend.pool.version, backend.clock() // FRESH_SECONDS

    async def get(self) -> Preview:
        """The next block as it looks now."""
        async with self._lock:
            while self._known is None or self._key != self._current():
                key = self._current()
                work = self._backend.app.preview(self._backend.clock())
                self._known = await self._workers.run(work)
                self._key = key
                if key[:2] == self._current()[:2]:
                    break
            return self._known

    def read(self, ref: BlockRef, look: Callable[[StateReader], T]) -> T | Coroutine[Any, Any, T]:
        """What ``look`` finds in the state after ``ref``: at once, or for "pending" after a wait."""
        return self._read(look) if ref.is_pending else look(self._backend.state(ref))

    async def _read(self, look: Callable[[StateReader], T]) -> T:
        return look((await self.get()).state)

    async def at(self, ref: BlockRef) -> tuple[BlockEnv, StateReader]:
        """Environment and state for a call on top of ``ref``; for "pending" those of the next block, after it."""
        if not ref.is_pending:
            return self._backend.env(ref), self._backend.state(ref)
        found = await self.get()
        return found.env, found.state

"""Snapshots at intervals, beside the running chain: a view of the database is taken between two blocks, a thread writes
it at half speed, so that consensus keeps the processor, and old ones are removed after it.

What goes wrong costs a snapshot and a line in the log, never a block.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from openledger.primitives.errors import OpenLedgerError, StorageError
from openledger.primitives.types import to_hex
from openledger.state.ports import ReadView
from openledger.state.snapshot_format import Manifest
from openledger.state.snapshots import SnapshotShelf
from openledger.state.store import StateStore

log = logging.getLogger("openledger.snapshots")

_WORK_SECONDS = 0.002


class _Stopped(Exception):
    """The node stops: the snapshot is given up."""


def half_speed(stopping: threading.Event, work_seconds: float = _WORK_SECONDS) -> Callable[[], None]:
    """A pause that rests as long as was worked. Raises when the node stops."""
    began = time.perf_counter()

    def pause() -> None:
        nonlocal began
        if stopping.is_set():
            raise _Stopped
        worked = time.perf_counter() - began
        if worked > work_seconds:
            stopping.wait(worked)
            began = time.perf_counter()

    return pause


class Snapshotter:
    """Takes the snapshots of one node. Methods are called on the event loop."""

    def __init__(self, store: StateStore, shelf: SnapshotShelf, interval: int, keep: int) -> None:
        self.shelf = shelf
        self._store = store
        self._interval = interval
        self._keep = keep
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="snapshot")
        self._running: asyncio.Future[Manifest] | None = None
        self._height = 0
        shelf.clean()

    @property
    def busy(self) -> bool:
        """True while one is being taken."""
        return self._running is not None and not self._running.done()

    def committed(self, height: int) -> None:
        """Begin a snapshot when one is due at this height and none is being taken."""
        if not self._interval or height % self._interval or self._stopping.is_set():
            return
        if self.busy:
            log.warning("no snapshot of block %s: the one before is not finished", height)
            return
        self._begin().add_done_callback(_tell)

    def _begin(self) -> asyncio.Future[Manifest]:
        view, self._height = self._store.kv.view(), self._store.height
        self._running = asyncio.get_running_loop().run_in_executor(self._pool, self._take, view)
        return self._running

    def _take(self, view: ReadView) -> Manifest:
        began = time.perf_counter()
        try:
            manifest = self.shelf.create(view, half_speed(self._stopping))
        finally:
            view.close()
        self.shelf.keep(self._keep, manifest.height)
        log.info(
            "snapshot of block %s: %s accounts, %.1f MB, %.1f s, hash %s", manifest.height, manifest.accounts,
            self.shelf.size(manifest.height) / 1e6, time.perf_counter() - began, to_hex(manifest.hash),
        )  # fmt: skip
        return manifest

    async def create(self, seconds: float) -> Manifest | int:
        """A snapshot of the newest block, now, or the one that is being taken; its height when it takes longer than
        ``seconds``. Raises StorageError."""
        running = self._running if self._running is not None and self.busy else self._begin()
        await asyncio.wait({running}, timeout=seconds)
        if not running.done():
            return self._height
        try:
            return running.result()
        except _Stopped:
            raise StorageError("the node is stopping") from None

    def stop(self) -> None:
        """Give up what is being taken, and wait until nobody reads the database any more."""
        self._stopping.set()
        self._pool.shutdown(wait=True)


def _tell(done: asyncio.Future[Manifest]) -> None:
    fault = None if done.cancelled() else done.exception()
    if isinstance(fault, OpenLedgerError):
        log.error("the snapshot failed: %s", fault)
    elif fault is not None and not isinstance(fault, _Stopped):
        log.error("the snapshot failed: %r", fault)

"""Named points inside a node at which it can be killed: the runner writes ``POINT WHO`` into the file ``kill_at`` of a
home, and the node that reaches the point kills itself, its CometBFT, or both, with SIGKILL. The file is gone then.

    <call>.before     the application has been asked            database.before   the batch has not been written
    <call>.after      it has computed, the answer is not sent   database.torn     half of the batch is in the file
    <call>.answered   the answer is on its way                  database.after    it is written, nobody knows
    journal.*         the same for an admitted transaction; ``journal-sync.*`` around its fsync; ``snapshot*.*``

Calls are ABCI's, in the names of ``Application``.
"""

from __future__ import annotations

import asyncio
import functools
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from openledger.abci_app.application import Application
from openledger.node.pool_journal import PoolJournal
from openledger.state import snapshots
from openledger.state.leveldb import LevelDbStore
from openledger.state.snapshots import SnapshotShelf

CALLS = (
    "info", "init_chain", "check_tx", "prepare_proposal", "process_proposal", "extend_vote", "verify_vote_extension",
    "finalize_block", "commit",
)  # fmt: skip
WHO = ("application", "cometbft", "both")
FILE = "kill_at"
TOLD = "kill_told"
"""The process id of the CometBFT that dies at the point, written before it does; 0 when there was none to kill."""
Torn = Callable[..., tuple[int, int]]


class Points:
    """The points of one node; ``comet`` gives the process id of its CometBFT (0: none)."""

    def __init__(self, home: Path, comet: Callable[[], int]) -> None:
        self._file = home / FILE
        self._told = home / TOLD
        self._comet = comet

    def armed(self, point: str) -> str:
        """Who is to die here, and nobody a second time; empty when nobody is."""
        try:
            wanted, who = self._file.read_text().split()
        except (FileNotFoundError, ValueError):
            return ""
        if wanted != point:
            return ""
        self._file.unlink()
        return who

    def reach(self, point: str) -> None:
        """The node stands at a point."""
        if who := self.armed(point):
            self.kill(who)

    def later(self, point: str) -> None:
        """A point that is reached when the answer has left."""
        if who := self.armed(point):
            asyncio.get_running_loop().call_later(0.001, self.kill, who)

    def kill(self, who: str) -> None:
        if who != "application":
            pid = self._comet()
            self._told.write_text(f"{pid}\n")
            if pid:
                os.kill(pid, signal.SIGKILL)
        if who != "cometbft":
            os.kill(os.getpid(), signal.SIGKILL)

    # --- where they are -----------------------------------------------------------------------------------

    def install(self) -> None:
        """Put points around the calls of ABCI, the database, the journal and the snapshots of this process."""
        for name in CALLS:
            self._around(Application, name, name, answered=True)
        self._around(LevelDbStore, "write", "database", torn=_half_a_batch)
        self._around(PoolJournal, "write", "journal", torn=_half_a_transaction)
        self._around(PoolJournal, "sync", "journal-sync")
        self._around(SnapshotShelf, "create", "snapshot")
        self._around(snapshots, "_write", "snapshot-file")

    def _around(self, cls: Any, name: str, point: str, *, answered: bool = False, torn: Torn | None = None) -> None:
        call = getattr(cls, name)

        @functools.wraps(call)
        def method(owner: Any, *args: Any, **options: Any) -> Any:
            self.reach(f"{point}.before")
            if torn is not None and self.armed(f"{point}.torn"):
                _stop_files_at(*torn(owner, *args))
            answer = call(owner, *args, **options)
            self.reach(f"{point}.after")
            if answered:
                self.later(f"{point}.answered")
            return answer

        setattr(cls, name, method)


def _half_a_batch(store: LevelDbStore, puts: Any, *_: Any) -> tuple[int, int]:
    size = max(path.stat().st_size for path in store.path.glob("*.log"))
    return size, sum(len(key) + len(value) for key, value in puts) // 2


def _half_a_transaction(journal: PoolJournal, raws: Any, *_: Any) -> tuple[int, int]:
    return os.fstat(journal._handle).st_size, sum(len(raw) for raw in raws.values()) // 2


def _stop_files_at(size: int, more: int) -> None:
    """Let a file of ``size`` bytes grow by ``more`` and no further: the kernel writes that much of what comes next, and
    kills the process at the rest."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + max(1, more), size + max(1, more)))

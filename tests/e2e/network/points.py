"""Named points inside a node at which it can be killed: the runner writes ``POINT WHO`` into the file ``kill_at`` of a
home, and the node that reaches the point kills itself, its CometBFT, or both, with SIGKILL. The file is gone then.

    <call>.before     the application has been asked            database.before   the batch has not been written
    <call>.after      it has computed, the answer is not sent   database.torn     half of the batch is in the file
    <call>.answered   the answer is on its way                  database.after    it is written, nobody knows
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from openledger.abci_app.application import Application
from openledger.state.leveldb import LevelDbStore

CALLS = (
    "info", "init_chain", "check_tx", "prepare_proposal", "process_proposal", "extend_vote", "verify_vote_extension",
    "finalize_block", "commit",
)  # fmt: skip
WHO = ("application", "cometbft", "both")
FILE = "kill_at"


class Points:
    """The points of one node; ``comet`` gives the process id of its CometBFT (0: none)."""

    def __init__(self, home: Path, comet: Callable[[], int]) -> None:
        self._file = home / FILE
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
        if who != "application" and (pid := self._comet()):
            os.kill(pid, signal.SIGKILL)
        if who != "cometbft":
            os.kill(os.getpid(), signal.SIGKILL)


def hooked(points: Points, base: type[Application]) -> type[Application]:
    """The application with a point before and after each call."""

    def wrap(name: str) -> Callable[..., Any]:
        call = getattr(base, name)

        def method(self: Application, *args: Any) -> Any:
            points.reach(f"{name}.before")
            answer = call(self, *args)
            points.reach(f"{name}.after")
            points.later(f"{name}.answered")
            return answer

        return method

    return type("HookedApplication", (base,), {name: wrap(name) for name in CALLS})


def hooked_store(points: Points) -> type[LevelDbStore]:
    """The database with points around a batch, and one in the middle of its bytes."""

    class HookedStore(LevelDbStore):
        def write(
            self, puts: Sequence[tuple[bytes, bytes]], deletes: Sequence[bytes] = (), *, sync: bool = True
        ) -> None:
            points.reach("database.before")
            if points.armed("database.torn"):
                _tear(self.path, sum(len(key) + len(value) for key, value in puts) // 2)
            super().write(puts, deletes, sync=sync)
            points.reach("database.after")

    return HookedStore


def _tear(folder: Path, more: int) -> None:
    """Let LevelDB's log grow by ``more`` bytes and no further: the kernel writes that much of what comes next, and
    kills the process at the rest."""
    size = max(path.stat().st_size for path in folder.glob("*.log"))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + max(1, more), size + max(1, more)))

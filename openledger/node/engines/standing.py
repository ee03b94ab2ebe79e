"""What the solo engine remembers from one block to the next; a devnet's snapshot keeps a ``Standing``."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from openledger.abci_app.protocol import messages as m


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the engine stands between two blocks: height and time (ns) of the last one, its hash, its extended commit;
    ``fresh``: the commit says something new; ``said``: what the last block carried."""

    height: int
    time: int
    hash: bytes = b""
    commit: m.ExtendedCommitInfo = field(default_factory=m.ExtendedCommitInfo)
    fresh: bool = False
    said: bytes = b""


RETRY_SECONDS = (1.0, 60.0)
"""First and longest pause before another block is tried for transactions that the last one could not take."""


class Patience:
    """What a block was offered and took nothing of is tried again after a pause, each time a longer one."""

    def __init__(self) -> None:
        self._unmined: tuple[bytes, ...] = ()
        self._at = 0.0
        self._pause = RETRY_SECONDS[0]

    def over(self, waiting: tuple[bytes, ...]) -> bool:
        """True when a block should be tried for what waits."""
        return waiting != self._unmined or time.monotonic() >= self._at

    def note(self, offered: tuple[bytes, ...], taken: frozenset[bytes]) -> None:
        """A block was made."""
        first, longest = RETRY_SECONDS
        if not offered or not taken.isdisjoint(offered):
            self._unmined, self._pause = (), first
            return
        self._pause = min(2 * self._pause, longest) if offered == self._unmined else first
        self._unmined, self._at = offered, time.monotonic() + self._pause

"""What the verifying process says on its standard error, for the node's log: the last lines, when there is no verdict.

The lines quote blobs of strangers, so they are bounded in length, number and over time, and nothing in them moves a
terminal's cursor.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

SHOWN = 12
"""Last lines that are told of one failure."""
LONGEST = 300
"""Characters of a line that are kept."""
MOST, WITHIN = 60, 600.0
"""Lines that are told within so many seconds; of the rest only how many there were."""
CHUNK = 64 * 1024


class Tail:
    """The last lines of a stream of bytes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lines: deque[str] = deque(maxlen=SHOWN)
        self._rest = b""
        self._told: deque[float] = deque()

    async def follow(self, stream: asyncio.StreamReader) -> None:
        """Read to the end: a pipe that nobody reads would stop the process."""
        while chunk := await stream.read(CHUNK):
            self.feed(chunk)

    def feed(self, chunk: bytes) -> None:
        """More bytes. A line without end is cut."""
        *lines, rest = (self._rest + chunk).split(b"\n")
        for line in lines[-SHOWN:]:
            if words := plain(line):
                self._lines.append(words)
        self._rest = rest[: 4 * LONGEST]

    def take(self, said: str = "") -> list[str]:
        """The last lines since this was asked before, without those that have ``said`` in them, which is known; fewer
        where much was told lately, with how many were left out."""
        if words := plain(self._rest):
            self._lines.append(words)
        lines = [line for line in self._lines if not (said and said[:LONGEST] in line)]
        self._lines.clear()
        self._rest = b""
        now = self._clock()
        while self._told and now - self._told[0] > WITHIN:
            self._told.popleft()
        room = MOST - len(self._told)
        shown = lines[-room:] if room > 0 else []
        self._told.extend([now] * len(shown))
        left = len(lines) - len(shown)
        return shown + ([f"{left} lines are left out: it says too much"] if left and room > 0 else [])


def plain(line: bytes) -> str:
    """A line as text without characters that a terminal obeys."""
    text = line[: 4 * LONGEST].decode("utf-8", "replace").expandtabs(2)
    return "".join(c if c.isprintable() else "?" for c in text[:LONGEST]).rstrip()


__all__ = ["Tail", "plain"]

"""Block times of the solo engine: the wall clock, shifted and steered as the user of a devnet asks.

Times in nanoseconds since 1970, what users say in seconds. Equal timestamps are allowed, going back is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from openledger.primitives.errors import TimeRefused

SECOND = 10**9
LATEST = 1 << 33
"""Seconds: later times (from the year 2242 on) are refused. A block keeps its time in nanoseconds of 63 bits, and those
that follow need some room."""


@dataclass(frozen=True, slots=True)
class ClockState:
    """What a snapshot keeps: what the clock showed, the time asked for the next block, the interval (seconds)."""

    now: int
    next: int | None
    interval: int | None


class SoloClock:
    """``wall`` gives nanoseconds since 1970."""

    def __init__(self, wall: Callable[[], int]) -> None:
        self._wall = wall
        self._offset = 0
        self._next: int | None = None
        self.interval: int | None = None

    def now(self) -> int:
        """The shifted time."""
        return self._wall() + self._offset

    def catch_up(self, last: int) -> None:
        """Never run behind the chain, which an earlier run may have moved into the future."""
        self._offset = max(self._offset, last - self._wall())

    def block_time(self, last: int) -> int:
        """Time of the block after one of time ``last``."""
        if self._next is not None:
            wanted = self._next * SECOND
        elif self.interval is not None:
            wanted = (last // SECOND + self.interval) * SECOND
        else:
            wanted = self.now()
        return max(min(wanted, LATEST * SECOND), last + 1)

    def made(self, time: int) -> None:
        """A block of this time was made. One that was asked for moves the clock with it."""
        if self._next is not None:
            self._offset, self._next = time - self._wall(), None

    def increase(self, seconds: int) -> int:
        """Jump forward; the whole shift in seconds."""
        if self.now() // SECOND + seconds > LATEST:
            raise TimeRefused(f"Timestamp error: {seconds} seconds from now is too far")
        self._offset += seconds * SECOND
        return self._offset // SECOND

    def set_next(self, seconds: int, last: int) -> None:
        """The next block's timestamp. Raises TimeRefused below the last one's."""
        if not last // SECOND <= seconds <= LATEST:
            why = "is lower than previous block's timestamp" if seconds <= LATEST else "is too far"
            raise TimeRefused(f"Timestamp error: {seconds} {why}", f"the newest block has {last // SECOND}")
        self._next = seconds

    def pass_by(self, seconds: int, last: int) -> None:
        """Let the next block, after one of time ``last``, be later than ``seconds``, unless its time was asked for."""
        if self._next is None and self.block_time(last) // SECOND <= seconds:
            self._next = seconds + 1

    def set_time(self, seconds: int) -> int:
        """Show this time from now on; how many seconds that lies ahead of what was shown (0 when behind)."""
        if seconds > LATEST:
            raise TimeRefused(f"Timestamp error: {seconds} is too far")
        before, self._next = self.now() // SECOND, None
        self._offset = seconds * SECOND - self._wall()
        return max(0, seconds - before)

    def save(self) -> ClockState:
        return ClockState(self.now(), self._next, self.interval)

    def load(self, state: ClockState) -> None:
        """Show again what was shown then."""
        self._offset, self._next, self.interval = state.now - self._wall(), state.next, state.interval

    def reset(self) -> None:
        """The wall clock again."""
        self._offset, self._next, self.interval = 0, None, None

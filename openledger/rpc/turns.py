"""Who is next: work of several clients waits for one of a few places. The clients take turns, however much one of them
asks for; and while others are about, none has all places, so that who comes finds one."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from openledger.rpc.errors import LIMIT_EXCEEDED, RpcError

T = TypeVar("T")

REMEMBERED_SECONDS = 60.0
"""For so long a client is about after it has asked for something."""


class Turns(Generic[T]):
    """What waits for ``places``: ``most`` things at once, of one client a quarter of them."""

    def __init__(self, places: int, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._places = places
        self._most = most
        self._clock = clock
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()
        self._running: Counter[str] = Counter()
        self._seen: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def __iter__(self) -> Iterator[T]:
        return (thing for own in self._waiting.values() for thing in own)

    @property
    def is_idle(self) -> bool:
        """True when nothing waits or works."""
        return not self._waiting and not self._running

    def push(self, who: str, thing: T) -> None:
        """Let this wait. Raises RpcError where too much does."""
        now = self._clock()
        self._seen[who] = now
        self._seen.move_to_end(who)
        while now - next(iter(self._seen.values())) > REMEMBERED_SECONDS:
            self._seen.popitem(last=False)
        if len(self) >= self._most or len(self._waiting.get(who, ())) >= max(1, self._most // 4):
            raise RpcError(LIMIT_EXCEEDED, "too many calls are waiting, try again later")
        self._waiting.setdefault(who, deque()).append(thing)

    def pop(self) -> T | None:
        """The next that may begin, until ``done`` says that it is over."""
        places = self._places if len(self._seen) < 2 else max(1, self._places - 1)
        for who, own in self._waiting.items():
            if self._running[who] < places:
                thing = own.popleft()
                self._running[who] += 1
                self._waiting.move_to_end(who)
                if not own:
                    del self._waiting[who]
                return thing
        return None

    def done(self, who: str) -> None:
        """Something of this client is over."""
        self._running[who] -= 1
        if not self._running[who]:
            del self._running[who]

    def remove(self, who: str, thing: T) -> bool:
        """Let it wait no more; False for what does not wait."""
        own = self._waiting.get(who)
        if own is None or thing not in own:
            return False
        own.remove(thing)
        if not own:
            del self._waiting[who]
        return True


class Gate:
    """``places`` for work that waits for its turn in a coroutine."""

    def __init__(self, places: int, most: int) -> None:
        self._turns: Turns[asyncio.Future[None]] = Turns(places, most)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._turns)

    @property
    def is_free(self) -> bool:
        """True when nothing waits or works."""
        return self._turns.is_idle

    async def enter(self, who: str) -> None:
        """Wait for this client's turn; then ``leave``. Raises RpcError where too much waits."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns.push(who, turn)
        self._next()
        try:
            await turn
        except asyncio.CancelledError:
            if not self._turns.remove(who, turn):
                self.leave(who)
            raise

    def leave(self, who: str) -> None:
        """This client's work is over."""
        self._turns.done(who)
        self._next()

    def _next(self) -> None:
        while (turn := self._turns.pop()) is not None:
            if not turn.done():  # who has just left gives the place back
                turn.set_result(None)

"""Who calls, and how much he may: one token bucket per client address, where the settings ask for it.

A client is an IPv4 address or an IPv6 /64, the smallest net that one customer has. Behind a proxy that the settings
name, it is the last address of X-Forwarded-For that is no such proxy: what stands before it, the client may have
written himself.
"""

from __future__ import annotations

import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TypeAlias

from openledger.primitives.errors import InvalidConfig

MAX_CLIENTS = 100_000
"""Clients remembered; beyond it the one that was quiet longest is forgotten, and so has a full bucket again."""


MOST_STEPS = 16
"""Addresses of X-Forwarded-For that are looked at, from its end; a client may have written a thousand trusted ones."""


class TooManyRequests(Exception):
    """The caller has used up his tokens. A turn of the conversation, not a fault."""


class Bucket:
    """Tokens of one client. ``rate`` tokens a second come back, up to ``size``."""

    __slots__ = ("_at", "_rate", "_size", "_tokens")

    def __init__(self, rate: float, size: float, now: float) -> None:
        self._rate, self._size, self._tokens, self._at = rate, size, size, now

    def take(self, count: int, now: float) -> bool:
        """True when ``count`` tokens were there; then they are gone. A count above ``size`` never is."""
        self._tokens = min(self._size, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if count > self._tokens:
            return False
        self._tokens -= count
        return True


class Caller:
    """A client. ``take`` asks whether he may make so many more calls now."""

    __slots__ = ("_bucket", "_clock", "address")

    def __init__(self, address: str, bucket: Bucket | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.address = address
        self._bucket = bucket
        self._clock = clock

    def take(self, count: int) -> bool:
        """False when that is too many."""
        return self._bucket is None or self._bucket.take(count, self._clock())


ANYBODY = Caller("")
"""Whom nobody counts."""

_ASKS: ContextVar[str] = ContextVar("who asks", default="")


def now_asks(caller: Caller) -> None:
    """What is begun from here on is asked for by this client."""
    _ASKS.set(caller.address)


def who_asks() -> str:
    """The net of the client for whom this is done; empty where nobody has asked."""
    return net_of(_ASKS.get())


Network: TypeAlias = Sequence[str]


class Callers:
    """All clients. ``rate`` calls a second each, 0 for no limit; ``burst`` calls at once. Raises InvalidConfig for a
    proxy that is no address or network."""

    def __init__(
        self, rate: float, burst: int, proxies: Network = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        try:
            self._proxies = [ip_network(proxy, strict=False) for proxy in proxies]
        except ValueError as err:
            raise InvalidConfig(f"a trusted proxy is an address or a network: {err}", 'such as "10.0.0.0/8"') from None
        self._known: OrderedDict[str, Bucket] = OrderedDict()

    @property
    def has_proxies(self) -> bool:
        """True when X-Forwarded-For is read at all."""
        return bool(self._proxies)

    def find(self, peer: str, forwarded: str = "") -> Caller:
        """The client behind a connection from ``peer`` with this X-Forwarded-For."""
        address = self._origin(peer, forwarded) if self._proxies and forwarded else peer
        return Caller(address, self._bucket(address) if self._rate else None, self._clock)

    def is_many(self, peer: str) -> bool:
        """True for an address behind which there may be many clients: a proxy that the settings name, this machine."""
        with contextlib.suppress(ValueError):
            return ip_address(peer).is_loopback or self._trusted(peer)
        return True

    def _trusted(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed.version == net.version and parsed in net for net in self._proxies)

    def _origin(self, peer: str, forwarded: str) -> str:
        address = peer
        for step in reversed([part.strip() for part in forwarded.rsplit(",", MOST_STEPS)[-MOST_STEPS:]]):
            if not self._trusted(address):
                break
            try:
                address = str(ip_address(step.strip("[]")))
            except ValueError:  # not an address: whoever wrote it, what stands before it is worth nothing
                break
        return address

    def _bucket(self, address: str) -> Bucket:
        key = net_of(address)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Bucket(self._rate, self._burst, self._clock())
            if len(self._known) > MAX_CLIENTS:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return found


def net_of(address: str) -> str:
    """What counts as one client: an IPv4 address, an IPv6 /64; any other text is itself."""
    try:
        parsed = ip_address(address.split("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped else str(ip_network((parsed, 64), strict=False))
    return address

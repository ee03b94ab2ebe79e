"""Promises: who knew which rows first, said before the rows are shown (design.md, section 4).

A promise is a salted hash of a contributor and a blob. It tells nothing of the text, for the salt is secret, and is of
no use to others, for the contributor is in it. The commit that shows the salt gives its part the promise's place in
the order of all promises and commits. Promises expire; the queue is ordered by time, and a block clears 256 at most.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from openledger.abci_app.action import BlockContext
from openledger.abci_app.events import Event
from openledger.abci_app.modules.datanets.records import PLACES
from openledger.abci_app.tables import Number, Table
from openledger.primitives.errors import NotFound
from openledger.primitives.fields import U64, AddressField
from openledger.primitives.types import DATANETS_ADDRESS, Address, Hash32, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

MAX_PER_BLOCK = 256
"""More than the promises that a block of 30,000,000 gas has room for."""


@dataclass(frozen=True)
class Promise:
    """Made in block ``height`` by ``sender``, at ``place`` of all promises and commits; void from Unix second
    ``expires`` on."""

    sender: AddressField
    height: U64
    place: U64
    expires: U64


_PROMISES = Table(DATANETS_ADDRESS, "promise", Promise)
_QUEUE = Table(DATANETS_ADDRESS, "promise-queue", Number)
PROMISED = Event(
    DATANETS_ADDRESS, "DatanetPromised", "bytes32 indexed digest", "address indexed sender", "uint256 expires"
)


def promise(state: StateReader, digest: Hash32, time: int) -> Promise | None:
    """A promise that stands at Unix second ``time``."""
    found = _PROMISES.get(state, digest)
    return found if found is not None and found.expires > time else None


def must_promise(state: StateReader, digest: Hash32) -> Promise:
    """A promise, as long as it is not cleared. Raises NotFound."""
    found = _PROMISES.get(state, digest)
    if found is None:
        raise NotFound(f"there is no promise {digest.hex()}")
    return found


def add_promise(state: Overlay, ctx: BlockContext, digest: Hash32, sender: Address) -> list[Log]:
    """Put a promise at the end of the order; one of the same digest that has expired makes room for it."""
    old = _PROMISES.get(state, digest)
    if old is not None:
        _QUEUE.delete(state, old.expires, digest)
    expires = ctx.time + ctx.params.promise_seconds
    _PROMISES.put(state, Promise(sender, ctx.height, PLACES.next(state), expires), digest)
    _QUEUE.put(state, Number(expires), expires, digest)
    return [PROMISED.log(digest, sender, expires)]


def prolong(state: Overlay, digest: Hash32, until: int) -> None:
    """Let a promise stand until Unix second ``until`` at least: its commit may have to be made again."""
    found = _PROMISES.must(state, digest)
    if until > found.expires:
        _QUEUE.delete(state, found.expires, digest)
        _PROMISES.put(state, replace(found, expires=until), digest)
        _QUEUE.put(state, Number(until), until, digest)


def promises_are_due(state: StateReader, time: int) -> bool:
    """True when the next block at Unix second ``time`` would clear a promise."""
    return _QUEUE.is_due(state, time)


def clear_promises(state: Overlay, ctx: BlockContext) -> None:
    """Forget promises that have expired, the oldest first."""
    for expires, digest, _ in _QUEUE.due(state, ctx.time, MAX_PER_BLOCK):
        _QUEUE.delete(state, expires, digest)
        _PROMISES.delete(state, digest)

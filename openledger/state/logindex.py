"""Where is a log, where are an account's transactions: posting lists beside the blocks, written in the block's batch.

For each address and for each topic at its position there is one entry a block, with the places of the logs in that
block. A query walks the lists of its conditions side by side, jumping over blocks that lack one of them, and reads only
blocks that have a log it wants: its time follows what it finds, not the length of the range.

An account's list has three parts, what it sent, what was sent to it, and its own creation by a transaction. A native
action stands in its sender's list only. Nothing here is hashed state; ``rebuild`` makes all of it from the blocks.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from openledger.primitives.blocks import SealedBlock
from openledger.primitives.transactions import peek_recipient
from openledger.primitives.types import Address, Hash32, Log
from openledger.state import layout
from openledger.state.ports import KeyValue

Topics = Sequence[Sequence[Hash32] | None]
Postings = dict[bytes, bytearray]

SENT, RECEIVED, CREATED = b"\x00", b"\x01", b"\x02"
PLACE_BYTES = 3
"""A log's place in its block; 30,000,000 gas make less than 80,000 logs."""
MAX_STREAMS = 100
"""Alternatives of one condition that are walked side by side; a condition with more is only checked on what the others
find, unless all have more."""
LOOK_MASK = 1023
NEAR = 4
"""Steps before a jump: a step costs less than a new search."""


def index_entries(block: SealedBlock) -> list[tuple[bytes, bytes]]:
    """What a block adds to the lists."""
    number = layout.height_key(block.number)
    found: Postings = {}
    place = 0
    for receipt in block.receipts:
        for log in receipt.logs:
            here = place.to_bytes(PLACE_BYTES, "big")
            found.setdefault(b"i\x00" + log.address, bytearray()).extend(here)
            for position, topic in enumerate(log.topics, 1):
                found.setdefault(b"i%c" % position + topic, bytearray()).extend(here)
            place += 1
    entries = [(key + number, bytes(places)) for key, places in found.items()]
    if place:
        entries.append((layout.HAS_LOGS + number, b""))
    for index, (raw, sender, receipt) in enumerate(zip(block.transactions, block.senders, block.receipts, strict=True)):
        at = number + index.to_bytes(4, "big")
        entries.append((layout.BY_ACCOUNT + sender + SENT + at, b""))
        to = peek_recipient(raw)
        if to is not None:
            entries.append((layout.BY_ACCOUNT + to + RECEIVED + at, b""))
        if receipt.contract_address is not None:
            entries.append((layout.BY_ACCOUNT + receipt.contract_address + CREATED + at, b""))
    return entries


# --- logs -----------------------------------------------------------------------------------------------------------


class _List:
    """One posting list from ``first`` to ``last``: ``height`` is where it stands, -1 at its end."""

    __slots__ = ("_kv", "_pairs", "_prefix", "_raw", "_stop", "height")

    def __init__(self, kv: KeyValue, prefix: bytes, first: int, last: int) -> None:
        self._kv = kv
        self._prefix = prefix
        self._stop = prefix + layout.height_key(last + 1)
        self._jump(first)

    def _jump(self, height: int) -> None:
        self._pairs = self._kv.iterate(self._prefix + layout.height_key(height), self._stop)
        self._step()

    def _step(self) -> None:
        pair = next(self._pairs, None)
        if pair is None:
            self.height = -1
        else:
            key, self._raw = pair
            self.height = int.from_bytes(key[-8:], "big")

    def seek(self, height: int) -> int:
        """Go to the first entry at or after ``height``; where that is, -1 at the end."""
        steps = NEAR
        while 0 <= self.height < height:
            if steps:
                self._step()
                steps -= 1
            else:
                self._jump(height)
        return self.height

    def places(self) -> set[bytes]:
        """Places of the logs at the height where this stands."""
        raw = self._raw
        if len(raw) == PLACE_BYTES:
            return {raw}
        return {raw[i : i + PLACE_BYTES] for i in range(0, len(raw), PLACE_BYTES)}


class _Union:
    """Several lists as one."""

    def __init__(self, lists: list[_List]) -> None:
        self._lists = [found for found in lists if found.height >= 0]
        self._heap = [(found.height, number) for number, found in enumerate(self._lists)]
        heapq.heapify(self._heap)

    def seek(self, height: int) -> int:
        """As of one list."""
        while self._heap and self._heap[0][0] < height:
            number = self._heap[0][1]
            at = self._lists[number].seek(height)
            if at < 0:
                heapq.heappop(self._heap)
            else:
                heapq.heapreplace(self._heap, (at, number))
        return self._heap[0][0] if self._heap else -1

    def places(self) -> set[bytes]:
        """As of one list."""
        height = self._heap[0][0]
        return set().union(*(self._lists[number].places() for at, number in self._heap if at == height))


def _stream(kv: KeyValue, prefixes: list[bytes], first: int, last: int) -> _List | _Union:
    lists = [_List(kv, prefix, first, last) for prefix in prefixes]
    return lists[0] if len(lists) == 1 else _Union(lists)


def _conditions(addresses: Sequence[Address], topics: Topics) -> list[list[bytes]]:
    """For each thing that is asked, the beginnings of the lists that answer it."""
    groups = [[b"i\x00" + address for address in addresses]] if addresses else []
    groups += [[b"i%c" % position + t for t in wanted] for position, wanted in enumerate(topics, 1) if wanted]
    few = [group for group in groups if len(group) <= MAX_STREAMS]
    return few or sorted(groups, key=len)[:1]


def quiet() -> None:
    """Looks at nothing."""


def candidates(
    kv: KeyValue,
    first: int,
    last: int,
    addresses: Sequence[Address],
    topics: Topics,
    look: Callable[[], None] = quiet,
) -> Iterator[tuple[int, set[int] | None]]:
    """(height, places of logs) in blocks first..last that may fit, ascending; None for any log of the block. Whoever
    asks checks each log; what is left out does not fit. ``look`` is called now and then, and may raise to end it."""
    groups = _conditions(addresses, topics)
    if not groups:
        start, stop = (layout.HAS_LOGS + layout.height_key(n) for n in (first, last + 1))
        yield from ((int.from_bytes(key[1:], "big"), None) for key, _ in kv.iterate(start, stop))
        return
    streams = [_stream(kv, group, first, last) for group in groups]
    height, steps = first, 0
    while True:
        steps += 1
        if not steps & LOOK_MASK:
            look()
        reached = [stream.seek(height) for stream in streams]
        if min(reached) < 0:
            return
        if max(reached) > min(reached):
            height = max(reached)
            continue
        height = reached[0]
        places = set.intersection(*(stream.places() for stream in streams))
        if places:
            yield height, {int.from_bytes(place, "big") for place in places}
        height += 1


def fits(log: Log, addresses: frozenset[Address], topics: Sequence[frozenset[Hash32] | None]) -> bool:
    """Does a log answer the query?"""
    if addresses and log.address not in addresses:
        return False
    if len(topics) > len(log.topics):
        return False
    return all(not want or topic in want for want, topic in zip(topics, log.topics, strict=False))


# --- transactions -----------------------------------------------------------------------------------------------------


def account_transactions(
    kv: KeyValue,
    address: Address,
    start: int,
    *,
    reverse: bool = False,
    kinds: Sequence[bytes] = (SENT, RECEIVED, CREATED),
) -> Iterator[tuple[int, int]]:
    """(block, index) of an account's transactions from block ``start`` on, or with ``reverse`` from there down."""
    lists = [_transactions(kv, layout.BY_ACCOUNT + address + kind, start, reverse) for kind in kinds]
    before = None
    for place in heapq.merge(*lists, reverse=reverse):
        if place != before:  # sent to oneself
            yield place
        before = place


def _transactions(kv: KeyValue, prefix: bytes, start: int, reverse: bool) -> Iterator[tuple[int, int]]:
    low, high = (0, start + 1) if reverse else (start, 1 << 63)
    for key, _ in kv.iterate(prefix + layout.height_key(low), prefix + layout.height_key(high), reverse=reverse):
        yield int.from_bytes(key[-12:-4], "big"), int.from_bytes(key[-4:], "big")


def creation(kv: KeyValue, address: Address) -> tuple[int, int] | None:
    """(block, index) of the newest transaction that created a contract at ``address`` directly, or None."""
    return next(account_transactions(kv, address, (1 << 62), reverse=True, kinds=(CREATED,)), None)


def sent_at_or_after(kv: KeyValue, address: Address, height: int) -> tuple[int, int] | None:
    """(block, index) of the first transaction that ``address`` sent in block ``height`` or later, or None."""
    return next(islice(_transactions(kv, layout.BY_ACCOUNT + address + SENT, height, False), 1), None)

"""The order in which a block takes what waits: the best tip first, ties by arrival; each sender's by nonce, without a
gap. One transaction after another, since a block takes a small part of a full pool."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping

from openledger.abci_app.decoder import Decoded
from openledger.primitives.types import Address, Hash32

LATE = 1 << 63
"""The place in line of what came by no door of this node."""


def best_first(
    queues: Mapping[Address, Mapping[int, Decoded]],
    next_nonce: Callable[[Address], int],
    base_fee: int,
    arrival: Mapping[Hash32, int],
) -> Iterator[Decoded]:
    """Transactions of ``queues`` (by sender and nonce) that pay ``base_fee`` (wei per gas), from each sender's
    ``next_nonce`` on."""
    heap = []
    for sender, queue in queues.items():
        head = queue.get(next_nonce(sender))
        if head is not None and (tip := head.tip(base_fee)) >= 0:
            heap.append((-tip, arrival.get(head.hash, LATE), sender, head))
    heapq.heapify(heap)
    while heap:
        _, _, sender, head = heap[0]
        yield head
        following = queues[sender].get(head.nonce + 1)
        if following is None or (tip := following.tip(base_fee)) < 0:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (-tip, arrival.get(following.hash, LATE), sender, following))

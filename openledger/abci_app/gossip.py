"""What this node still has to tell other nodes: bundles of waiting transactions.

    0x53 || msgpack([number, [raw, raw, ...]])

CometBFT carries bundles instead of single transactions: one message, one CheckTx and one entry of its mempool for
hundreds of them. A bundle is never part of a block; every node puts what it finds inside into its own pool, and
proposes from there. In CometBFT's flood mempool a bundle is also the bell that asks for a block: it stays there as long
as something in it could be in the next block, so a chain with nothing to do rests.

Nothing is handed on for ever: a transaction that no block took is told again after 16 blocks, then 32, and so on.
What was left behind because a nonce was missing or the base fee too high is told again as soon as that has passed.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence

from openledger.abci_app.mempool import Mempool
from openledger.primitives.codec import decode, encode
from openledger.primitives.errors import InvalidMsgpack
from openledger.primitives.transactions import BUNDLE
from openledger.primitives.types import Hash32

MAX_BUNDLE_BYTES = 192 * 1024
"""What a bundle holds at most, in bytes of its transactions; the largest transaction has 128 KiB."""
OVERHEAD_BYTES = 5
"""The most that msgpack adds to one transaction."""
FIRST_PAUSE, LONGEST_PAUSE = 16, 1024
"""Blocks until a transaction that waits is told again."""
RELAY_BYTES = 16 * 1024 * 1024
CARRIED = 4_096
"""Bundles remembered; a forgotten one is decoded again when it is asked for."""


def is_bundle(raw: bytes) -> bool:
    """True for bytes that can only be a bundle."""
    return raw[:1] == bytes([BUNDLE])


def encode_bundle(number: int, raws: Sequence[bytes]) -> bytes:
    """A bundle of raw transactions. ``number`` makes it differ from an earlier one with the same content."""
    return bytes([BUNDLE]) + encode([number, list(raws)])


def decode_bundle(raw: bytes) -> list[bytes]:
    """The raw transactions in a bundle, not decoded yet. Raises InvalidMsgpack."""
    if len(raw) > MAX_BUNDLE_BYTES + 32:
        raise InvalidMsgpack(f"a bundle of {len(raw)} bytes is above the limit of {MAX_BUNDLE_BYTES}")
    parts = decode(raw[1:])
    if not isinstance(parts, list) or len(parts) != 2 or not isinstance(parts[0], int):
        raise InvalidMsgpack("a bundle is a number and a list")
    raws = parts[1]
    if not isinstance(raws, list) or not raws or not all(isinstance(tx, bytes) for tx in raws):
        raise InvalidMsgpack("a bundle holds raw transactions")
    return [tx for tx in raws if isinstance(tx, bytes)]


class Gossip:
    """The order of what is told, and the memory of what was. Nothing is kept for telling before ``again`` was called:
    a devnet of one has nobody to tell."""

    def __init__(self, pool: Mempool, max_bundle_bytes: int = MAX_BUNDLE_BYTES) -> None:
        self._pool = pool
        self._largest = min(max_bundle_bytes, MAX_BUNDLE_BYTES)
        self._heard = False
        self._waiting: dict[Hash32, None] = {}
        self._relays: deque[bytes] = deque()
        self._relayed = 0
        self._pauses: dict[Hash32, int] = {}
        self._due: dict[int, list[Hash32]] = {}
        self._stranded: dict[Hash32, None] = {}
        self._carried: OrderedDict[bytes, tuple[Hash32, ...]] = OrderedDict()
        self._blocks = 0
        self._number = 0

    # --- what is told -------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """True when nothing waits to be told."""
        return not self._waiting and not self._relays

    def tell(self, hashes: Iterable[Hash32]) -> None:
        """These transactions of the pool have to be told."""
        if self._heard:
            self._waiting.update(dict.fromkeys(hashes))

    def relay(self, bundle: bytes) -> None:
        """Hand on a peer's bundle as it is, so that those who have it recognise it. When nobody asks for long, what is
        in the oldest is told later like everything else that waits."""
        self._relays.append(bundle)
        self._relayed += len(bundle)
        while self._relayed > RELAY_BYTES:
            oldest = self._relays.popleft()
            self._relayed -= len(oldest)
            self.tell(self.content(oldest) or ())

    def again(self) -> None:
        """Somebody listens who knows nothing, or has forgotten everything: tell the whole pool."""
        self._heard = True
        self._carried.clear()
        self.tell(self._pool.hashes())

    def next_bundle(self, max_bytes: int = MAX_BUNDLE_BYTES) -> bytes | None:
        """The next bundle of at most ``max_bytes``; None when there is nothing to tell, or no room for it."""
        if self._relays and len(self._relays[0]) <= max_bytes:
            self._relayed -= len(self._relays[0])
            return self._relays.popleft()
        raws: list[bytes] = []
        hashes: list[Hash32] = []
        room = min(max_bytes - 32, self._largest)
        for tx_hash in list(self._waiting):
            raw = self._pool.find(tx_hash)
            if raw is not None:
                room -= len(raw) + OVERHEAD_BYTES
                if room < 0:
                    break
                raws.append(raw)
                hashes.append(tx_hash)
            del self._waiting[tx_hash]
        if not raws:
            return None
        self._number += 1
        bundle = encode_bundle(self._blocks << 32 | self._number, raws)
        self.carries(bundle, hashes)
        for tx_hash in hashes:
            self._schedule(tx_hash)
        return bundle

    def _schedule(self, tx_hash: Hash32) -> None:
        pause = min(self._pauses.get(tx_hash, FIRST_PAUSE), LONGEST_PAUSE)
        self._pauses[tx_hash] = 2 * pause
        self._due.setdefault(self._blocks + pause, []).append(tx_hash)

    def returned(self, bundle: bytes) -> None:
        """A bundle that could not be handed over: its transactions wait again, before all others."""
        hashes = self._carried.pop(_digest(bundle), ())
        self._waiting = dict.fromkeys(h for h in hashes if self._pool.knows(h)) | self._waiting

    # --- bundles in CometBFT's mempool --------------------------------------------------------------------

    def carries(self, bundle: bytes, hashes: Sequence[Hash32]) -> None:
        """Remember what a bundle holds."""
        self._carried[_digest(bundle)] = tuple(hashes)
        while len(self._carried) > CARRIED:
            self._carried.popitem(last=False)

    def content(self, bundle: bytes) -> tuple[Hash32, ...] | None:
        """Hashes of the transactions in a bundle that is remembered."""
        return self._carried.get(_digest(bundle))

    def strand(self, hashes: Iterable[Hash32]) -> None:
        """A bundle leaves CometBFT's mempool; what of it still waits in the pool must be told when it is ready."""
        self._stranded.update(dict.fromkeys(h for h in hashes if self._pool.knows(h)))

    # --- after a block ------------------------------------------------------------------------------------

    def committed(self) -> None:
        """A block was committed, and the pool knows its state."""
        self._blocks += 1
        for tx_hash in list(self._stranded):
            if not self._pool.knows(tx_hash):
                del self._stranded[tx_hash]
            elif self._pool.is_ready(tx_hash):
                del self._stranded[tx_hash]
                self._waiting[tx_hash] = None
        for tx_hash in self._due.pop(self._blocks, ()):
            if not self._pool.knows(tx_hash):
                self._pauses.pop(tx_hash, None)
            elif self._pool.is_ready(tx_hash):
                self._waiting[tx_hash] = None
            else:
                self._schedule(tx_hash)


def _digest(bundle: bytes) -> bytes:
    return hashlib.sha256(bundle).digest()

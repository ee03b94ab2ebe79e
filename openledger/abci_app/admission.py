"""The doors of the mempool: this node's own users, CometBFT's flood mempool (CheckTx) and its app mempool (InsertTx,
ReapTxs). All three lead into one pool.

    own users  -> admit                             judged, pooled, and told to others
    CheckTx    -> a bundle of a peer or of our own, or a single transaction from somebody's CometBFT
    InsertTx   -> the same from a peer, handed on by us, since CometBFT does not
    ReapTxs    <- what we have to tell
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from openledger.abci_app.action import BlockContext
from openledger.abci_app.decoder import Decoded, Decoder
from openledger.abci_app.gossip import Gossip, decode_bundle, is_bundle
from openledger.abci_app.mempool import Mempool
from openledger.abci_app.protocol import messages as abci
from openledger.primitives.errors import (
    AlreadyKnown,
    InvalidTransaction,
    MempoolFull,
    NonceTooLow,
    ReplacementUnderpriced,
)
from openledger.primitives.types import Hash32

AT_ONCE, MOST_JUNK = 128, 32
"""Transactions of a peer's bundle judged at once, and how many of a bundle may be refused before it is put away."""
OUTRUN = (AlreadyKnown, NonceTooLow, ReplacementUnderpriced, MempoolFull)
"""Refusals that an honest peer's transactions meet: somebody else was quicker, or paid more."""
WORTH = 4
"""One part in so many of a bundle's bytes must be new for it to be handed on as it is."""
REAP_BYTES = 4 * 1024 * 1024
"""What ReapTxs answers at most where CometBFT sets no limit."""


class Admission:
    """``context`` gives the block that would come next."""

    def __init__(self, decode: Decoder, pool: Mempool, gossip: Gossip, context: Callable[[], BlockContext]) -> None:
        self._decode = decode
        self._pool = pool
        self._gossip = gossip
        self._context = context
        self._asked = False
        self.heard: Callable[[bytes], None] = lambda raw: None
        """Told of each transaction that came from others."""

    def admit(self, raws: Sequence[bytes]) -> list[InvalidTransaction | None]:
        """Transactions of this node's own users: None for each that is in the pool now, or why it is not."""
        outcomes = self._add(self._decode.many(raws))
        self._gossip.tell(found.hash for found in outcomes if isinstance(found, Decoded))
        return [found if isinstance(found, InvalidTransaction) else None for found in outcomes]

    def _add(self, found: Sequence[Decoded | InvalidTransaction]) -> list[Decoded | InvalidTransaction]:
        context, outcomes = self._context(), []
        for item in found:
            outcomes.append(item)
            if isinstance(item, Decoded):
                try:
                    self._pool.add(item, context)
                except InvalidTransaction as refusal:
                    outcomes[-1] = refusal
        return outcomes

    # --- CometBFT's flood mempool -------------------------------------------------------------------------

    def check_tx(self, request: abci.RequestCheckTx) -> abci.ResponseCheckTx:
        """CheckTx, for a bundle and for a single transaction."""
        try:
            if is_bundle(request.tx):
                self._check_bundle(request.tx, again=request.type == abci.RECHECK)
                return abci.ResponseCheckTx()
            decoded = self._decode(request.tx)
            if request.type == abci.RECHECK:
                self._pool.recheck(decoded, self._context())
            else:
                self._pool.add(decoded, self._context())
                self.heard(decoded.raw)
                if self._asked:
                    self._gossip.tell([decoded.hash])
        except InvalidTransaction as err:
            return abci.ResponseCheckTx(code=err.code, log=err.message, info=err.hint or "", codespace="openledger")
        return abci.ResponseCheckTx(data=decoded.hash, gas_wanted=decoded.gas)

    def _check_bundle(self, bundle: bytes, *, again: bool) -> None:
        """A new bundle belongs in CometBFT's mempool when it brings enough that is new; later, while something in it
        could be in the next block. Raises the leaf that says why it does not."""
        hashes = self._gossip.content(bundle)
        if again:
            hashes = self._hashes(bundle) if hashes is None else hashes
            if not any(map(self._pool.is_ready, hashes)):
                self._gossip.strand(hashes)
                raise AlreadyKnown("nothing in this bundle can be in the next block")
        elif hashes is None and not self._take(bundle):
            raise AlreadyKnown("little in this bundle is new")
        elif hashes is not None and not any(map(self._pool.knows, hashes)):
            raise AlreadyKnown("nothing in this bundle waits any longer")  # a block was quicker: no bell for another

    def _hashes(self, bundle: bytes) -> tuple[Hash32, ...]:
        found = self._decode.many(decode_bundle(bundle))
        return tuple(item.hash for item in found if isinstance(item, Decoded))

    def _take(self, bundle: bytes) -> bool:
        """Put what a peer tells into the pool. True when the bundle is worth handing on as it is; else what was new in
        it is told by ourselves: a bundle of old transactions with a new one among them must not flood the network.

        Raises the leaf for a bundle that no honest node makes, or of which nothing could be taken.
        """
        fresh: list[Decoded] = []
        try:
            hashes = self._open(decode_bundle(bundle), fresh)
        except InvalidTransaction:
            self._gossip.tell([decoded.hash for decoded in fresh])
            raise
        if WORTH * sum(len(decoded.raw) for decoded in fresh) < len(bundle):
            self._gossip.tell([decoded.hash for decoded in fresh])
            return False
        self._gossip.carries(bundle, hashes)
        return True

    def _open(self, raws: Sequence[bytes], fresh: list[Decoded]) -> tuple[Hash32, ...]:
        """Admit what can be, into ``fresh``; the hashes of all. Some at a time, so that a bundle full of what nobody
        could have admitted costs its sender more than us."""
        hashes: list[Hash32] = []
        junk = 0
        for at in range(0, len(raws), AT_ONCE):
            found = self._decode.many(raws[at : at + AT_ONCE])
            hashes += [item.hash for item in found if isinstance(item, Decoded)]
            if len(hashes) < min(at + AT_ONCE, len(raws)):
                raise next(item for item in found if isinstance(item, InvalidTransaction))
            for outcome in self._add(found):
                if isinstance(outcome, Decoded):
                    fresh.append(outcome)
                    self.heard(outcome.raw)
                elif isinstance(outcome, MempoolFull) and not fresh:
                    raise outcome
                elif not isinstance(outcome, OUTRUN):
                    junk += 1
                    if junk > MOST_JUNK:
                        raise outcome
        return tuple(hashes)

    # --- CometBFT's app mempool ---------------------------------------------------------------------------

    def insert_tx(self, request: abci.RequestInsertTx) -> abci.ResponseInsertTx:
        """A peer tells a bundle, or a single transaction; what is new goes on to our own peers."""
        try:
            if is_bundle(request.tx):
                if self._gossip.content(request.tx) is None and self._take(request.tx):
                    self._gossip.relay(request.tx)
            else:
                decoded = self._decode(request.tx)
                self._pool.add(decoded, self._context())
                self._gossip.tell([decoded.hash])
                self.heard(decoded.raw)
        except MempoolFull as err:
            return abci.ResponseInsertTx(abci.RETRY + err.code)
        except InvalidTransaction as err:
            return abci.ResponseInsertTx(err.code)
        return abci.ResponseInsertTx()

    def reap_txs(self, request: abci.RequestReapTxs) -> abci.ResponseReapTxs:
        """What has to be told, in bundles; each only once. Gas does not bound what is told, only what is executed.

        From the first call on this node has the app mempool, in which CometBFT does not tell what came to its own RPC.
        """
        self._asked = True
        room, bundles = request.max_bytes or REAP_BYTES, []
        while (bundle := self._gossip.next_bundle(room)) is not None:
            bundles.append(bundle)
            room -= len(bundle)
        return abci.ResponseReapTxs(tuple(bundles))

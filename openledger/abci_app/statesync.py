"""Snapshots between nodes: the four calls of ABCI that serve them and take them in.

A node without blocks of its own is offered snapshots by its peers. The consensus engine vouches, through its light
client, for one thing: the app hash at that height. So an offer must name exactly that state root, of this chain; each
chunk must have its hash, else another peer is asked and the sender is not asked again; and the whole must come to the
root, else the snapshot and its senders are rejected and another one is tried. What the disk has no room for, or is more
than the manifest declares, is not written. Nothing of it can stop the node but its own disk. What a node that is killed
in the middle leaves is empty at the next start.

The app hash covers the state, which covers the hashes of earlier blocks (EIP-2935) up to the last one that wrote. The
headers since then are only linked, so the newest is compared with what nodes say that the operator named, if any.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from openledger.abci_app.decoder import decode_signed
from openledger.abci_app.protocol import messages as abci
from openledger.evm.addresses import create_address
from openledger.evm.predeploys import HISTORY_ADDRESS, HISTORY_WINDOW
from openledger.genesis.genesis import Genesis
from openledger.primitives.blocks import Header, Receipt, SealedBlock
from openledger.primitives.errors import InvalidSnapshot, InvalidTransaction
from openledger.primitives.transactions import LEGACY, SYSTEM, EthTransaction
from openledger.primitives.types import SYSTEM_ADDRESS, Address, Hash32, Log, to_hex
from openledger.state.fasttrie import ordered_trie_root
from openledger.state.snapshot_format import FORMAT, Manifest, expand
from openledger.state.snapshot_restore import Restoration
from openledger.state.snapshots import SnapshotShelf
from openledger.state.store import StateStore

log = logging.getLogger(__name__)

LAG = 2
"""A light client needs the headers of the two heights after a snapshot: younger ones are not shown to others yet."""

DISK_FACTOR = 5
"""A restored database has about four times the bytes of its snapshot: tries are built beside the entries."""
DISK_MARGIN = 128 * 1024 * 1024
"""Bytes of disk that no snapshot may take: it is checked against the root only when all of it is written."""

_LEGACY_FROM = 0xC0
"""The first byte of a legacy transaction is that of an RLP list."""

HeaderHashes = Callable[[int], Sequence[Hash32]]
"""Hashes of the Ethereum header of a height as nodes of the operator's choice give them; none where nobody answers."""
FreeDisk = Callable[[], int]
"""Bytes that are free on the disk of the database."""


class StateSync:
    """The snapshot connection of one application.

    ``begin_anew`` commits genesis again after a restore that failed; ``restored`` is called after one that holds.
    """

    def __init__(
        self,
        genesis: Genesis,
        store: StateStore,
        shelf: SnapshotShelf | None,
        begin_anew: Callable[[], None],
        restored: Callable[[], None],
        ask: HeaderHashes | None = None,
        free: FreeDisk | None = None,
    ) -> None:
        self._genesis = genesis
        self._store = store
        self._shelf = shelf
        self._begin_anew = begin_anew
        self._restored = restored
        self._ask = ask
        self._free = free
        self._running: Restoration | None = None

    # --- to others ------------------------------------------------------------------------------------------------

    def list(self) -> abci.ResponseListSnapshots:
        """What others may fetch here, the newest first."""
        if self._shelf is None:
            return abci.ResponseListSnapshots()
        ready = [m for m in self._shelf.list() if m.height + LAG <= self._store.height]
        return abci.ResponseListSnapshots(
            tuple(abci.Snapshot(m.height, FORMAT, len(m.chunks), m.hash, m.encode()) for m in ready)
        )

    def oldest(self) -> int:
        """Height of the oldest snapshot that is offered; the newest height where there is none."""
        return min((m.height for m in self._shelf.list()) if self._shelf else (), default=self._store.height)

    def load(self, request: abci.RequestLoadSnapshotChunk) -> abci.ResponseLoadSnapshotChunk:
        """A chunk for somebody; empty when it is not here, which the consensus engine passes on as missing."""
        if self._shelf is None or request.format != FORMAT:
            return abci.ResponseLoadSnapshotChunk()
        return abci.ResponseLoadSnapshotChunk(self._shelf.chunk(request.height, request.chunk))

    # --- from others ----------------------------------------------------------------------------------------------

    def offer(self, request: abci.RequestOfferSnapshot) -> abci.ResponseOfferSnapshot:
        """Judge an offer; nothing is written before its first chunk.

        A state that came from a snapshot and has no blocks on top may be replaced: CometBFT was killed before it knew.
        """
        self._give_up()
        if self._store.height != self._store.oldest_block():
            log.error("a snapshot is offered to a node that has blocks already: it is not taken")
            return abci.ResponseOfferSnapshot(abci.OFFER_ABORT)
        offered = request.snapshot
        if offered.format != FORMAT:
            return abci.ResponseOfferSnapshot(abci.OFFER_REJECT_FORMAT)
        try:
            manifest = Manifest.decode(offered.metadata)
        except InvalidSnapshot as err:
            log.warning("the snapshot of block %s is rejected: %s", offered.height, err)
            return abci.ResponseOfferSnapshot(abci.OFFER_REJECT_SENDER)
        if (manifest.hash, manifest.height, len(manifest.chunks)) != (offered.hash, offered.height, offered.chunks):
            log.warning("the snapshot of block %s is rejected: its manifest says something else", offered.height)
            return abci.ResponseOfferSnapshot(abci.OFFER_REJECT_SENDER)
        if (manifest.chain_id, manifest.genesis) != (self._genesis.chain_id, self._genesis.digest):
            log.warning("the snapshot of block %s is rejected: it is of another chain", offered.height)
            return abci.ResponseOfferSnapshot(abci.OFFER_REJECT)
        if manifest.height < 1 or manifest.state_root != request.app_hash:
            log.warning("the snapshot of block %s is rejected: it has another app hash", offered.height)
            return abci.ResponseOfferSnapshot(abci.OFFER_REJECT)
        try:
            manifest.check_size()
            self._check_disk(manifest.size)
        except InvalidSnapshot as err:
            log.warning("the snapshot of block %s is rejected: %s", offered.height, err)
            return abci.ResponseOfferSnapshot(abci.OFFER_REJECT)
        log.info(
            "taking the snapshot of block %s: %s accounts, %s slots, %s records, %s bytes in %s chunks",
            manifest.height, manifest.accounts, manifest.slots, manifest.records, manifest.size, offered.chunks,
        )  # fmt: skip
        self._running = Restoration(self._store, manifest)
        return abci.ResponseOfferSnapshot(abci.OFFER_ACCEPT)

    def _check_disk(self, size: int) -> None:
        """Raise InvalidSnapshot where ``size`` bytes of entries would fill the disk."""
        needed = DISK_FACTOR * size + DISK_MARGIN
        if self._free is not None and needed > (free := self._free()):
            raise InvalidSnapshot(f"it needs about {needed:,} bytes of disk, and {free:,} are free: make room")

    def apply(self, request: abci.RequestApplySnapshotChunk) -> abci.ResponseApplySnapshotChunk:
        """Take in one chunk; with the last one the node has a state. Raises StorageError when the own disk fails."""
        running = self._running
        if running is None:
            return abci.ResponseApplySnapshotChunk(abci.CHUNK_ABORT)
        if request.index != running.next:
            again = abci.CHUNK_ACCEPT if request.index < running.next else abci.CHUNK_RETRY
            return abci.ResponseApplySnapshotChunk(again)
        senders = (request.sender,) if request.sender else ()
        try:
            raw = expand(request.chunk, running.manifest.chunks[request.index])
        except InvalidSnapshot as err:
            log.warning("chunk %s from %s is refused: %s; asking another node", request.index, request.sender, err)
            return abci.ResponseApplySnapshotChunk(abci.CHUNK_RETRY, (request.index,), senders)
        try:
            self._take(running, raw)
        except InvalidSnapshot as err:
            log.warning("the snapshot of block %s is rejected: %s", running.manifest.height, err)
            self._give_up()
            return abci.ResponseApplySnapshotChunk(abci.CHUNK_REJECT_SNAPSHOT, (), senders)
        return abci.ResponseApplySnapshotChunk(abci.CHUNK_ACCEPT)

    def _take(self, running: Restoration, raw: bytes) -> None:
        self._check_disk(len(raw))
        running.apply(raw)
        total = len(running.manifest.chunks)
        log.info("snapshot of block %s: %s of %s chunks", running.manifest.height, running.next, total)
        if running.next < total:
            return
        head = running.finish(rebuild_block, self._check_headers)
        self._running = None
        self._restored()
        log.info("the state of block %s is restored, state root %s", head.number, to_hex(head.state_root))

    def _check_headers(self, read: Callable[[Address, int], int], headers: Sequence[Header]) -> None:
        """Against state, and the newest one against what named nodes say. Raises InvalidSnapshot."""
        check_history(read, headers)
        head = headers[-1]
        said = self._ask(head.number) if self._ask is not None else ()
        if said and head.hash not in said:
            raise InvalidSnapshot(f"header {head.number} of the snapshot is not the one that the named nodes have")

    def _give_up(self) -> None:
        """Leave genesis and nothing else."""
        running, self._running = self._running, None
        if running is not None and running.next:
            running.abort()
            self._begin_anew()


# --- what makes a restored state whole ----------------------------------------------------------------------------


def check_history(read: Callable[[Address, int], int], headers: Sequence[Header]) -> None:
    """Compare headers with the hashes in state (EIP-2935). Raises InvalidSnapshot.

    The blocks since the last one that wrote are not in state yet; they must have left the state as it is.
    """
    head, known = headers[-1], False
    for header in reversed(headers[:-1]):
        inside = read(HISTORY_ADDRESS, header.number % HISTORY_WINDOW) == int.from_bytes(header.hash, "big")
        if not inside and (known or header.state_root != head.state_root):
            raise InvalidSnapshot(f"header {header.number} of the snapshot is not the one in state")
        known = known or inside


def rebuild_block(header: Header, transactions: Sequence[bytes], receipts: Sequence[list[Any]]) -> SealedBlock:
    """A block with everything that readers want, out of what its roots cover. Raises InvalidSnapshot.

    The words for why a transaction failed are not covered, so they are not there.
    """
    senders: list[Address] = []
    whole: list[Receipt] = []
    gas = 0
    for raw, bare in zip(transactions, receipts, strict=True):
        sender, price, contract = _facts(raw, header.base_fee)
        kind, status, cumulative, logs = _fields(bare)
        if kind != (raw[0] if raw[0] < _LEGACY_FROM else LEGACY) or cumulative < gas:
            raise InvalidSnapshot("a receipt of the last block is not its transaction's")
        created = contract if status else None
        whole.append(Receipt(kind, status, cumulative, logs, cumulative - gas, price, created))
        senders.append(sender)
        gas = cumulative
    if ordered_trie_root(list(transactions)) != header.transactions_root:
        raise InvalidSnapshot("the transactions of the last block do not have the root in its header")
    if ordered_trie_root([receipt.encode() for receipt in whole]) != header.receipts_root or gas != header.gas_used:
        raise InvalidSnapshot("the receipts of the last block do not have the root in its header")
    return SealedBlock(header, tuple(transactions), tuple(senders), tuple(whole))


def _facts(raw: bytes, base_fee: int) -> tuple[Address, int, Address | None]:
    """Sender, price paid (wei per gas), address of the contract that it creates."""
    if raw[0] == SYSTEM:
        return SYSTEM_ADDRESS, 0, None
    try:
        decoded = decode_signed(raw)
    except InvalidTransaction as err:
        raise InvalidSnapshot(f"a transaction of the last block cannot be read: {err}") from None
    creates = isinstance(decoded.tx, EthTransaction) and decoded.tx.to is None
    contract = create_address(decoded.sender, decoded.nonce) if creates else None
    return decoded.sender, decoded.tx.effective_gas_price(base_fee), contract


def _fields(bare: list[Any]) -> tuple[int, int, int, tuple[Log, ...]]:
    match bare:
        case [int(kind), int(status), int(cumulative), list(logs)] if (
            type(kind) is type(status) is type(cumulative) is int
        ):
            return kind, status, cumulative, tuple(map(_log, logs))
    raise InvalidSnapshot("a receipt of the last block is malformed")


def _log(parts: Any) -> Log:
    match parts:
        case [bytes(address), list(topics), bytes(data)] if len(address) == 20 and len(topics) <= 4:
            if all(isinstance(topic, bytes) and len(topic) == 32 for topic in topics):
                return Log(address, tuple(topics), data)
    raise InvalidSnapshot("a log of the last block is malformed")

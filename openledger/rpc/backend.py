"""What the namespaces work with: the application, the way into consensus, blobs; and how a block is found."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from openledger.abci_app.modules.fees.market import next_base_fee
from openledger.evm.engine import BlockEnv, EvmEngine
from openledger.primitives.blocks import Header, SealedBlock
from openledger.primitives.errors import UnknownBlock
from openledger.rpc.errors import PRUNED_HISTORY, SERVER_ERROR, RpcError
from openledger.rpc.logbook import LogBook
from openledger.rpc.params import LATEST, BlockRef
from openledger.rpc.ports import (
    AdminActions,
    BlobPeers,
    ConsensusClient,
    Devnet,
    EvidenceSource,
    NodeStatus,
    Pool,
    Vitals,
)
from openledger.state.ports import StateReader

if TYPE_CHECKING:
    from openledger.abci_app.application import Application
    from openledger.state.blobs import BlobStore

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RpcSettings:
    """Bounds and allow-lists of the server. Sizes in bytes; ``hosts`` and ``origins`` add to the local ones,
    ``"*"`` in either allows all. ``call_gas`` bounds eth_call and eth_estimateGas; ``call_seconds`` calls and traces,
    ``call_workers`` processes do them, each with ``call_memory_mb`` (0: threads do),
    ``trace_steps`` and ``trace_bytes`` the opcodes and the output of one trace. ``max_answer`` bounds the bytes of a
    batch's answer, ``max_blobs`` those of all blobs that strangers may bring (0: nothing does). A connection may idle
    for ``idle_seconds`` and take ``request_seconds`` to send a request. ``rate_limit`` is calls a second of one client,
    0 for no limit, ``rate_burst`` calls at once (0: twice that); clients behind one of ``proxies`` are known by
    X-Forwarded-For. ``access_log`` writes a line for every call."""

    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    max_body: int = 5 * 1000 * 1000
    max_batch: int = 1000
    max_depth: int = 64
    max_logs: int = 10_000
    max_log_range: int = 10_000_000
    max_filters: int = 1000
    filter_seconds: float = 300.0
    max_subscriptions: int = 100
    max_connections: int = 2000
    max_unsent: int = 4 * MIB
    max_blob: int = 256 * MIB
    max_blobs: int = 64 * 1024 * MIB
    accept_blobs: bool = True
    call_gas: int = 30_000_000
    call_seconds: float = 5.0
    call_threads: int = 2
    call_workers: int = 0
    call_memory_mb: int = 512
    trace_steps: int = 5_000_000
    trace_bytes: int = 64 * MIB
    sync_send_seconds: float = 20.0
    max_answer: int = 25 * 1000 * 1000
    idle_seconds: float = 75.0
    request_seconds: float = 30.0
    rate_limit: int = 0
    rate_burst: int = 0
    proxies: tuple[str, ...] = ()
    access_log: bool = False


@dataclass(slots=True)
class Backend:
    """Everything a namespace may touch. ``client_version`` is the text of web3_clientVersion; ``status`` gives the
    node's own facts for openledger_getNodeStatus; ``clock`` Unix seconds as the next block would have them;
    ``comet_url`` is CometBFT's own RPC, empty where there is none; ``vitals`` knows how the node is, where it is
    watched; ``devnet`` is there on solo devnets only."""

    app: Application
    consensus: ConsensusClient
    blobs: BlobStore
    client_version: str
    status: NodeStatus
    settings: RpcSettings = field(default_factory=RpcSettings)
    clock: Callable[[], int] = lambda: int(time.time())
    admin: AdminActions | None = None
    comet_url: str = ""
    vitals: Vitals | None = None
    devnet: Devnet | None = None
    blob_peers: BlobPeers | None = None
    evidence: EvidenceSource | None = None
    logbook: LogBook = field(init=False)

    def __post_init__(self) -> None:
        self.logbook = LogBook(lambda: self.app.store)

    @property
    def chain_id(self) -> int:
        """The EVM chain id."""
        return self.app.genesis.evm_chain_id

    @property
    def engine(self) -> EvmEngine:
        return self.app.engine

    @property
    def pool(self) -> Pool:
        return self.app.mempool

    def head(self) -> Header:
        """The newest committed header."""
        return self.app.head()

    # --- blocks -------------------------------------------------------------------------------------------

    def number(self, ref: BlockRef) -> int | None:
        """Height that ``ref`` means (pending: the head's), or None where there is no such block."""
        head = self.head().number
        if ref.hash:
            return self.app.store.block_number(ref.hash)
        if ref.tag:
            return 0 if ref.tag == "earliest" else head
        return ref.number if ref.number <= head else None

    def _must(self, ref: BlockRef) -> int:
        """Height of ``ref``. Raises RpcError in geth's words."""
        number = self.number(ref)
        if number is None:
            raise RpcError(SERVER_ERROR, "header for hash not found" if ref.hash else "header not found")
        return number

    def header(self, ref: BlockRef) -> Header:
        """Header of ``ref``. Raises RpcError "header not found", as geth does."""
        number = self._must(ref)
        head = self.head()
        found = head if number == head.number else self.app.store.header(number)
        if found is None:
            raise RpcError(SERVER_ERROR, "header not found")
        return found

    def block(self, ref: BlockRef) -> SealedBlock | None:
        """Block of ``ref`` or None. Raises RpcError for one that is older than what this node has."""
        number = self.number(ref)
        if number is None:
            return None
        found = self.app.store.block(number)
        if found is None:
            hint = f"the oldest block here is {self.app.store.oldest_block()}"
            raise RpcError(PRUNED_HISTORY, "pruned history unavailable", {"hint": hint})
        return found

    def state(self, ref: BlockRef) -> StateReader:
        """State after block ``ref``. Raises RpcError for an unknown block, StatePruned for one that is too old."""
        number = self._must(ref)
        try:
            return self.app.state(None if number == self.head().number else number)
        except UnknownBlock:
            raise RpcError(SERVER_ERROR, "header not found") from None

    def env(self, ref: BlockRef) -> BlockEnv:
        """Environment for a call on top of ``ref``: that block's own."""
        header = self.header(ref)
        return BlockEnv(
            chain_id=self.chain_id,
            number=header.number,
            timestamp=header.timestamp,
            coinbase=header.coinbase,
            gas_limit=header.gas_limit,
            base_fee=header.base_fee,
            prevrandao=header.prevrandao,
            block_hash=self.app.store.recent_hashes(header.number),
        )

    def next_env(self) -> BlockEnv:
        """Environment of the block after the newest one, as far as it is known now."""
        head = self.env(LATEST)
        return replace(
            head,
            number=head.number + 1,
            timestamp=max(head.timestamp, self.clock()),
            base_fee=self.app.next_base_fee(),
            block_hash=self.app.store.recent_hashes(head.number + 1),
        )

    def next_base_fee(self, header: Header) -> int:
        """Base fee (wei) of the block after ``header``."""
        if header.number == self.head().number:
            return self.app.next_base_fee()
        return next_base_fee(header, self.app.params())

    def pending(self) -> Sequence[bytes]:
        """Raw transactions of the mempool."""
        return self.pool.transactions()

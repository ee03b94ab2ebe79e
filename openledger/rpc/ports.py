"""What the RPC asks of the node that carries it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from openledger.abci_app.decoder import Decoded
from openledger.abci_app.edits import Edits
from openledger.primitives.attribution import AttributionJob
from openledger.primitives.errors import InvalidTransaction
from openledger.primitives.types import Address, Hash32


@dataclass(frozen=True, slots=True)
class ConsensusStatus:
    """``mode`` is "solo" or "cometbft"; ``validator`` the consensus address (hex) or empty; ``answering`` is False
    while the consensus engine is away (then the other fields are guesses); ``version`` is its release."""

    mode: str
    catching_up: bool
    peers: int
    validator: str
    answering: bool = True
    version: str = ""


class ConsensusClient(Protocol):
    """The way into the chain. Both engines implement it."""

    async def submit(self, raw: bytes) -> Hash32:
        """Admit a raw transaction; its hash once the mempool has it. Raises an InvalidTransaction leaf."""
        ...

    async def status(self) -> ConsensusStatus: ...

    def on_commit(self, listener: Callable[[int], None]) -> Callable[[], None]:
        """Call ``listener(height)`` after each commit, on the event loop; returns the function that unsubscribes."""
        ...

    def on_pending(self, listener: Callable[[bytes], None]) -> Callable[[], None]:
        """Call ``listener(raw)`` for each newly admitted transaction; returns the function that unsubscribes."""
        ...


class BlobPeers(Protocol):
    """The nodes with which this one exchanges blobs."""

    async def fetch(self, name: str) -> bool:
        """True when the blob is here, after asking the peers where it was not."""
        ...

    def announce(self, name: str) -> None:
        """A new blob is here: give it to the peers, in the background."""
        ...

    def wants(self, name: str) -> bool:
        """True for one that state needs and that is looked for."""
        ...


class EvidenceSource(Protocol):
    """Who looks for evidence beside an answer, and for the shares of one; see ``attribution_oracle/evidence.py`` and
    ``one_answer.py``."""

    async def find(self, parts: Sequence[tuple[str, int]], query: str, answer: str) -> dict[str, Any]:
        """``note``, ``spans`` and ``similar`` over the rows of these blobs (name, rows), which are numbered through.
        Raises OracleError, also when too much is asked at once, and BlobNotFound."""
        ...

    async def shares(self, job: AttributionJob, number: int) -> dict[str, Any]:
        """``answer``, ``shares``, ``unattributed``, ``rows`` and ``earning`` of one answer of a claim, as if it were
        claimed alone. Raises as ``find``, and NotFound."""
        ...


class AdminActions(Protocol):
    """What the node does when its operator asks; see ``administration.py``."""

    def is_secret(self, text: str) -> bool: ...

    async def create_snapshot(self) -> dict[str, Any]: ...

    async def prune(self, keep: int) -> dict[str, Any]: ...


class Pool(Protocol):
    """The mempool as the RPC sees it. ``version`` is another number whenever what waits has changed."""

    version: int

    def pending_nonce(self, sender: bytes) -> int: ...

    def transactions(self) -> Sequence[bytes]:
        """Raw transactions waiting, executable ones first."""
        ...

    def waiting(self) -> Iterator[Decoded]:
        """The same, read and with their senders, in order of arrival."""
        ...

    def find(self, tx_hash: Hash32) -> bytes | None: ...


class Vitals(Protocol):
    """How the node is, for those who watch it."""

    async def alive(self) -> tuple[bool, dict[str, Any]]:
        """Is the process well? With facts as JSON."""
        ...

    async def ready(self) -> tuple[bool, dict[str, Any]]:
        """May it be asked? With the reasons why not as JSON."""
        ...

    async def facts(self) -> dict[str, Any]:
        """What openledger_getNodeStatus tells beside the chain's own facts."""
        ...

    async def metrics(self) -> bytes:
        """Prometheus' text format."""
        ...


@dataclass(frozen=True, slots=True)
class ForkFacts:
    """Where a forked devnet comes from: the other chain's URL (without credentials), EVM chain id, and block."""

    url: str
    chain_id: int
    block: int
    block_hash: Hash32


class Devnet(Protocol):
    """What the user of a solo devnet may do to it. Times in seconds; what changes the chain waits for the block that is
    being made."""

    @property
    def accounts(self) -> dict[Address, bytes]:
        """Address to private key, in the order of the mnemonic."""
        ...

    @property
    def impersonated(self) -> dict[Address, None]:
        """Accounts that may send without a signature; to be changed by whoever is asked to."""
        ...

    @property
    def fork(self) -> ForkFacts | None: ...

    @property
    def instance_id(self) -> Hash32:
        """Another one after each ``reset``."""
        ...

    @property
    def snapshots(self) -> Mapping[int, tuple[int, Hash32]]:
        """Height and block hash of each snapshot that is still good."""
        ...

    # mining
    @property
    def automine(self) -> bool: ...
    @property
    def interval(self) -> float | None:
        """Seconds between blocks, where they come by the clock."""
        ...

    def set_automine(self, on: bool) -> None: ...
    def set_interval(self, seconds: float | None) -> None: ...
    async def mine(self, blocks: int, *, jump: int | None = None, jump_first: bool = False) -> None:
        """Make blocks now; ``jump``: this far apart in time, ``jump_first``: the first one too."""
        ...

    # time
    def next_time(self) -> int:
        """Unix second that a block would have now."""
        ...

    def increase_time(self, seconds: int) -> int: ...
    def set_next_timestamp(self, seconds: int) -> None: ...
    def set_time(self, seconds: int) -> int: ...
    def set_timestamp_interval(self, seconds: int | None) -> bool:
        """True when there was one before."""
        ...

    # state
    async def edit(self, change: Callable[[Edits], Edits]) -> None:
        """Change what the next block will have besides transactions. Raises EditRefused."""
        ...

    async def drop(self, chosen: Callable[[bytes], bool]) -> list[Hash32]:
        """Take the raw transactions that are ``chosen`` out of the mempool; their hashes."""
        ...

    async def snapshot(self) -> int:
        """Number of a new snapshot, from 1 on."""
        ...

    async def revert(self, number: int) -> bool:
        """Back to a snapshot, which is used up with all later ones. False for one that is not there."""
        ...

    async def rollback(self, depth: int) -> None:
        """Undo the newest blocks. Raises DevnetError when there are not so many."""
        ...

    async def reorg(self, branch: Sequence[Sequence[bytes]]) -> list[InvalidTransaction]:
        """Put as many new blocks in the place of the newest ones, each with these raw transactions; why some of them
        are in none. What waits in the mempool waits on. Raises DevnetError when there are not so many blocks."""
        ...

    async def reset(self) -> None:
        """Back to the first block."""
        ...

    async def stop(self) -> None:
        """Nothing more will be asked; what is not on the disk yet is brought there."""
        ...

    def before_revert(self, listener: Callable[[int], None]) -> Callable[[], None]:
        """Call ``listener(height)`` before the blocks above ``height`` vanish; returns the function that
        unsubscribes."""
        ...


NodeStatus = Callable[[], dict[str, Any]]

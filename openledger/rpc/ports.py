"""What the RPC asks of the node that carries it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from openledger.primitives.types import Hash32


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


NodeStatus = Callable[[], dict[str, Any]]

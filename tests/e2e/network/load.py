"""Transactions at a rate, and what became of them: every acknowledged one must be in a block."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from network.process import Process
from network.spec import Load

from openledger.abci_app.action import build_native
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.genesis.presets import DEV_CHAIN_ID, dev_accounts
from openledger.primitives.amounts import GWEI
from openledger.primitives.errors import AlreadyKnown, NodeUnreachable, OpenLedgerError
from openledger.primitives.hashing import keccak256
from openledger.primitives.transactions import sign_transaction

SENDERS = (6, 7, 8)
"""Accounts of the load; claims are made by others."""
TARGET = bytes.fromhex("00" * 18 + "bee5")
COUNTER_CODE = bytes.fromhex("600a600c600039600a6000f3" + "60005460010160005500")
"""Deploys a contract that adds one to its storage slot 0 on every call."""


@dataclass
class Sent:
    """What one sender has had acknowledged: hash, when, by whom."""

    hash: str
    at: float
    by: str


@dataclass
class Ledger:
    """Acknowledged transactions, and those seen in blocks with the seconds they took."""

    acknowledged: list[Sent] = field(default_factory=list)
    waiting: dict[str, Sent] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    in_blocks: set[str] = field(default_factory=set)
    refused: int = 0

    def acknowledge(self, sent: Sent) -> None:
        """Its block may have been read already: a node that was killed had it, and only the answer was lost."""
        self.acknowledged.append(sent)
        if sent.hash not in self.in_blocks:
            self.waiting[sent.hash] = sent

    def seen(self, hashes: Sequence[str]) -> None:
        """These stand in a block."""
        now = time.monotonic()
        self.in_blocks.update(hashes)
        for tx_hash in hashes:
            if (sent := self.waiting.pop(tx_hash, None)) is not None:
                self.latencies.append(now - sent.at)


class Sender:
    """One account. It keeps its own nonce; what a node did not answer is sent again, with the same bytes."""

    def __init__(self, number: int, kinds: tuple[str, ...], ledger: Ledger) -> None:
        self.address, self._secret = dev_accounts()[number]
        self._kinds = kinds
        self._ledger = ledger
        self._nonce = 0
        self._contract = b""
        self._raw = b""

    def _next(self) -> bytes:
        kind = self._kinds[self._nonce % len(self._kinds)]
        fields = {"chain_id": DEV_CHAIN_ID, "nonce": self._nonce, "max_fee": 100 * GWEI, "max_priority_fee": GWEI}
        if kind == "natives":
            return build_native(self._secret, action=DatanetCreate(f"{self.address.hex()[:6]}-{self._nonce}"), **fields)
        if kind == "transfers":
            return sign_transaction(self._secret, to=TARGET, value=1, gas=21_000, **fields)
        if not self._contract:
            self._contract = contract_address(self.address, self._nonce)
            return sign_transaction(self._secret, to=None, value=0, data=COUNTER_CODE, gas=150_000, **fields)
        return sign_transaction(self._secret, to=self._contract, value=0, gas=60_000, **fields)

    @property
    def done(self) -> int:
        """How many of its transactions are acknowledged, or were found in a block after all."""
        return self._nonce

    async def send(self, node: Process) -> None:
        """One transaction; acknowledged, or kept for the next try."""
        self._raw = self._raw or self._next()
        tx_hash = "0x" + keccak256(self._raw).hex()
        try:
            async with asyncio.timeout(5):
                await node.client.send_raw(self._raw)
        except AlreadyKnown:
            pass  # an earlier try arrived, and only its answer was lost
        except (NodeUnreachable, TimeoutError):
            return
        except OpenLedgerError:
            self._ledger.refused += 1
            await self._resume(node, tx_hash)
            return
        self._ledger.acknowledge(Sent(tx_hash, time.monotonic(), node.name))
        self._nonce, self._raw = self._nonce + 1, b""

    async def _resume(self, node: Process, tx_hash: str) -> None:
        """After a refusal: an earlier try whose answer was lost may be in a block already."""
        try:
            known = await node.client.call("eth_getTransactionReceipt", tx_hash)
        except (OpenLedgerError, TimeoutError):
            return
        if known is not None:
            self._nonce, self._raw = self._nonce + 1, b""


def contract_address(sender: bytes, nonce: int) -> bytes:
    """Where a contract of this sender and nonce stands."""
    import rlp

    return keccak256(rlp.encode([sender, nonce]))[12:]


class Loader:
    """Sends at the rate of ``load`` to nodes of ``pick`` until it is stopped."""

    def __init__(self, load: Load, pick: Callable[[], Sequence[Process]]) -> None:
        self.ledger = Ledger()
        self._load = load
        self._pick = pick
        self._senders = [Sender(number, load.kinds, self.ledger) for number in SENDERS]
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def done(self) -> list[int]:
        """By sender; empty without load."""
        return [sender.done for sender in self._senders] if self._load.rate else []

    def start(self) -> None:
        if self._load.rate:
            pause = len(self._senders) / self._load.rate
            self._tasks = [asyncio.create_task(self._run(i, s, pause)) for i, s in enumerate(self._senders)]

    async def stop(self) -> None:
        """Send no more. Raises what a sender failed with."""
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
        self._tasks = []

    async def _run(self, number: int, sender: Sender, pause: float) -> None:
        """Each sender stays with its node while that answers, so that its nonces arrive in order."""
        due = time.monotonic()
        for _ in itertools.count():
            if nodes := self._pick():
                await sender.send(nodes[number % len(nodes)])
            due = max(due + pause, time.monotonic() - 1)
            await asyncio.sleep(max(0.0, due - time.monotonic()))

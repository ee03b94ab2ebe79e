"""How the node is: the answers of /healthz and /readyz, and the facts of `openledger status`.

Nothing here changes anything. What asks the disk is asked at most every few seconds, in a thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openledger.abci_app.modules.governance.records import params as read_params
from openledger.abci_app.modules.staking.records import validator
from openledger.abci_app.modules.staking.signing import missed
from openledger.node.meters import OFFSETS_KEPT, LoopWatch, Meters
from openledger.node.open_votes import open_votes
from openledger.primitives.errors import BlobError, ConsensusFault, StateRestoring
from openledger.primitives.types import to_checksum
from openledger.rpc.ports import ConsensusStatus

if TYPE_CHECKING:
    from openledger.abci_app.application import Application
    from openledger.node.metrics import NodeMetrics
    from openledger.node.oracle_bridge import OracleBridge
    from openledger.node.wiring import ConsensusEngine
    from openledger.rpc.server import RpcServer
log = logging.getLogger(__name__)

_DISK_EVERY = 10.0
METRICS_EVERY = 1.0
_CLOCK_EVERY = 60.0
_BEHIND_SECONDS = 5.0
_STUCK_SECONDS = 10.0
_GPUS = Path("/proc/driver/nvidia/gpus")


@dataclass
class Disk:
    """Bytes: of the database, of the whole folder, free on its file system."""

    database: int = 0
    used: int = 0
    free: int = 0


@dataclass
class Vitals:
    """Implements ``rpc.ports.Vitals``. ``stale`` seconds without a block make a network's node
    unready; 0 where blocks come on demand."""

    app: Application
    engine: ConsensusEngine
    folder: Path
    stale: float = 0.0
    bridge: OracleBridge | None = None
    meters: Meters = field(default_factory=Meters)
    loop: LoopWatch = field(default_factory=LoopWatch)
    started: float = field(default_factory=time.time)
    server: RpcServer | None = None
    """Whose calls are counted; set once it is there."""
    _metrics: NodeMetrics | None = None
    _told: asyncio.Task[bytes] | None = None
    _told_at: float = 0.0
    _task: asyncio.Task[None] | None = None
    _disk: Disk = field(default_factory=Disk)
    _disk_at: float = 0.0

    def start(self) -> None:
        """Watch the event loop and the clock."""
        self.loop.start()
        self._task = asyncio.create_task(self._look_at_clock(), name="clock watch")

    async def stop(self) -> None:
        """May be called twice."""
        await self.loop.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _look_at_clock(self) -> None:
        while True:
            await asyncio.sleep(_CLOCK_EVERY)
            status = await self.consensus()
            if status.answering and not status.catching_up and (words := self.clock_trouble()):
                log.warning("%s", words)

    def clock_trouble(self) -> str:
        """What is wrong with this machine's clock, as blocks show it; empty when nothing is. The time of a block is the
        median of what the validators' clocks showed one block before, so ours should be a little later."""
        offsets = sorted(self.meters.offsets)
        if len(offsets) < OFFSETS_KEPT or not self.stale:
            return ""
        middle = offsets[len(offsets) // 2]
        if -self.stale / 2 < middle < _BEHIND_SECONDS:
            return ""
        way = "behind" if middle > 0 else "ahead of"
        return f"this machine's clock is {abs(middle):.0f} seconds {way} the times of new blocks: synchronise it"

    async def alive(self) -> tuple[bool, dict[str, Any]]:
        """The process answers, and its event loop was not stuck within the last minute."""
        worst = self.loop.worst
        body: dict[str, Any] = {"ok": worst < _STUCK_SECONDS, "loopLagMs": round(worst * 1000)}
        if worst >= _STUCK_SECONDS:
            body["reasons"] = [f"the event loop was stuck for {worst:.0f} seconds"]
        return worst < _STUCK_SECONDS, body

    async def ready(self) -> tuple[bool, dict[str, Any]]:
        """Consensus answers, the node is up with the chain, its last block is fresh; else the reasons why not."""
        head = self.app.head()
        reasons: list[str] = []
        try:
            status = await self.engine.status()
        except ConsensusFault as err:
            reasons.append(err.message)
        else:
            if not status.answering:
                reasons.append("CometBFT does not answer")
            elif status.catching_up:
                reasons.append("catching up with the network")
        age = time.time() - head.timestamp
        if self.stale and age > self.stale:
            reasons.append(f"the newest block is {age:.0f} seconds old")
        return not reasons, {"ready": not reasons, "height": head.number, "reasons": reasons}

    async def disk(self) -> Disk:
        """As of some seconds ago."""
        if time.monotonic() - self._disk_at > _DISK_EVERY or not self._disk_at:
            self._disk_at = time.monotonic()
            self._disk = await asyncio.to_thread(disk_of, self.folder)
        return self._disk

    async def blobs(self) -> dict[str, int] | None:
        """Bytes of the blob store, and how many it may have (0: any number); None where it cannot be looked at."""
        if self.server is None:
            return None
        room = self.server.blob_room
        try:
            return {"bytes": await room.used(), "limit": room.limit}
        except BlobError as err:
            log.warning("%s", err.message)
            return None

    async def consensus(self) -> ConsensusStatus:
        """What the engine says of itself, also when it has ended."""
        try:
            return await self.engine.status()
        except ConsensusFault:
            return ConsensusStatus("", True, 0, "", answering=False)

    async def metrics(self) -> bytes:
        """Prometheus' text format; made once a second at most, for it takes the event loop some 20 ms."""
        if self._told is None or (self._told.done() and time.monotonic() - self._told_at > METRICS_EVERY):
            self._told_at = time.monotonic()
            self._told = asyncio.create_task(self._tell(), name="metrics")
        return await asyncio.shield(self._told)

    async def _tell(self) -> bytes:
        from openledger.node.metrics import NodeMetrics

        if self._metrics is None:
            self._metrics = NodeMetrics(self)
        return await self._metrics.text()

    async def facts(self) -> dict[str, Any]:
        """For `openledger status`; amounts of memory and disk in bytes, times in Unix seconds."""
        disk, status, head = await self.disk(), await self.consensus(), self.app.head()
        pool = self.app.mempool
        return {
            "answering": status.answering,
            "cometbft": status.version,
            "uptime": int(time.time() - self.started),
            "headAge": max(0, int(time.time()) - head.timestamp),
            **self._of_state(head.number),
            "verifications": None if self.bridge is None else self.bridge.record.told(),
            "mempool": {"transactions": len(pool), "bytes": pool.size_bytes},
            "blobs": await self.blobs(),
            "disk": {"database": disk.database, "used": disk.used, "free": disk.free},
            "memory": memory_bytes(),
            "gpu": gpu_names(),
            "clock": "ok" if status.catching_up else self.clock_trouble() or "ok",
            "loopLagMs": round(self.loop.worst * 1000),
        }

    def _of_state(self, height: int) -> dict[str, Any]:
        """What only state knows; nothing while a snapshot is being restored."""
        try:
            own = self.app.own_address or bytes(20)
            return {"signing": self._signing(height), "claims": open_votes(self.app.state(), own)}
        except StateRestoring as err:
            return {"signing": None, "claims": [], "restoring": err.message}

    def _signing(self, height: int) -> dict[str, Any] | None:
        """How this node's validator stands; None for a node that only follows."""
        own, state = self.app.own_address, self.app.state()
        found = None if own is None else validator(state, own)
        if own is None or found is None:
            return None
        params = read_params(state)
        window = min(params.signed_window, max(1, height - 1))
        lost = min(window, missed(state, params, own, max(0, height - 1)))
        return {
            "operator": to_checksum(found.operator),
            "power": found.power,
            "window": window,
            "missed": lost,
            "signedPercent": round(100 * (window - lost) / window, 1),
            "jailed": bool(found.jailed),
            "tombstoned": bool(found.tombstoned),
            "oracle": bool(found.oracle),
        }


def disk_of(folder: Path) -> Disk:
    """What a node's folder takes. Files that vanish meanwhile are not counted."""
    database = _size(folder / "state")
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        free = 0
    return Disk(database, _size(folder), free)


def _size(folder: Path) -> int:
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_blocks * 512
            except OSError:
                continue
    return total


def memory_bytes() -> int:
    """Resident memory of this process; its peak where the system does not tell the present."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGESIZE")
    except (OSError, ValueError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def gpu_names() -> list[str]:
    """Graphics cards as the driver names them; nothing of torch is loaded for it."""
    found = []
    for path in sorted(_GPUS.glob("*/information")) if _GPUS.is_dir() else ():
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        found += [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("Model:")]
    return found

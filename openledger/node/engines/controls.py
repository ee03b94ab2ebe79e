"""The controls of a solo devnet: its clock, its mining, its snapshots (``rpc.ports.Devnet``).

Everything that changes the chain holds the engine's lock, so it happens between two blocks. A snapshot is small: the
height, the engine's standing, the clock, the edits and the waiting transactions; the blocks since are undone with their
reverse diffs. Snapshots live in memory and end with the process.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from openledger.abci_app.edits import Edits
from openledger.node.engines.clock import SECOND, ClockState
from openledger.node.engines.common import Listeners
from openledger.node.engines.solo import SoloEngine
from openledger.node.engines.standing import Standing
from openledger.primitives.blocks import Header
from openledger.primitives.errors import DevnetError, InvalidTransaction
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import Address, Hash32
from openledger.rpc.ports import ForkFacts

SYNC_SECONDS = 0.05
"""From a block to its fsync."""


class _Pool(Protocol):
    def transactions(self) -> Sequence[bytes]: ...
    def remove(self, hashes: Sequence[Hash32]) -> None: ...


class _Store(Protocol):
    sync: bool

    def header(self, number: int) -> Header | None: ...
    def flush(self) -> None: ...


class EditableApplication(Protocol):
    """The application as the controls need it."""

    def admit(self, raws: Sequence[bytes], /) -> Sequence[InvalidTransaction | None]: ...

    @property
    def edits(self) -> Edits: ...
    @property
    def mempool(self) -> _Pool: ...
    @property
    def store(self) -> _Store: ...
    def head(self) -> Header: ...
    def edit(self, edits: Edits) -> None: ...
    def rewind(self, height: int, edits: Edits, waiting: Sequence[bytes]) -> None: ...


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that is needed to stand here again."""

    standing: Standing
    clock: ClockState
    edits: Edits
    waiting: tuple[bytes, ...]
    block_hash: Hash32


class DevnetControls:
    """Implements ``rpc.ports.Devnet``. ``accounts`` maps addresses to private keys. Made after the engine has
    started."""

    def __init__(
        self,
        engine: SoloEngine,
        app: EditableApplication,
        accounts: dict[Address, bytes],
        fork: ForkFacts | None = None,
    ) -> None:
        self.accounts = accounts
        self.impersonated: dict[Address, None] = {}
        self.fork = fork
        self.instance_id: Hash32 = secrets.token_bytes(32)
        self._engine = engine
        self._app = app
        self._snapshots: dict[int, Snapshot] = {}
        self._count = 0
        self._automine_before = engine.automine
        self._coinbase: tuple[Address, ...] = app.edits.coinbase
        self._reverting: Listeners[int] = Listeners()
        self._timer: asyncio.TimerHandle | None = None
        self._syncing: asyncio.Future[None] | None = None
        app.store.sync = False
        engine.on_commit(self._committed)
        if fork is not None:  # the other chain's contracts expect its time, not ours
            engine.clock.set_time(app.head().timestamp)

    @property
    def snapshots(self) -> Mapping[int, tuple[int, Hash32]]:
        return {number: (kept.standing.height, kept.block_hash) for number, kept in self._snapshots.items()}

    # --- mining ---------------------------------------------------------------------------------------------

    @property
    def automine(self) -> bool:
        return self._engine.automine

    @property
    def interval(self) -> float | None:
        return self._engine.interval

    def set_automine(self, on: bool) -> None:
        """A block for what arrives, or none by itself; ends mining by the clock when it is switched on."""
        self._engine.mine_by(automine=on, interval=None if on else self._engine.interval)

    def set_interval(self, seconds: float | None) -> None:
        """A block every so many seconds, whatever arrives; None goes back to what was before."""
        if seconds is None:
            if self._engine.interval is not None:
                self._engine.mine_by(automine=self._automine_before)
            return
        if self._engine.interval is None:
            self._automine_before = self._engine.automine
        self._engine.mine_by(automine=False, interval=seconds)

    async def mine(self, blocks: int, *, jump: int | None = None, jump_first: bool = False) -> None:
        engine = self._engine
        async with engine.lock:
            for index in range(blocks):
                if jump is not None and (index or jump_first):
                    engine.clock.set_next(engine.standing.time // SECOND + jump, engine.standing.time)
                await engine.make_block()

    # --- time -----------------------------------------------------------------------------------------------

    def next_time(self) -> int:
        return self._engine.clock.block_time(self._engine.standing.time) // SECOND

    def increase_time(self, seconds: int) -> int:
        return self._engine.clock.increase(seconds)

    def set_next_timestamp(self, seconds: int) -> None:
        self._engine.clock.set_next(seconds, self._engine.standing.time)

    def set_time(self, seconds: int) -> int:
        return self._engine.clock.set_time(seconds)

    def set_timestamp_interval(self, seconds: int | None) -> bool:
        had = self._engine.clock.interval is not None
        self._engine.clock.interval = seconds
        return had

    # --- state ----------------------------------------------------------------------------------------------

    async def edit(self, change: Callable[[Edits], Edits]) -> None:
        async with self._engine.lock:
            edits = change(self._app.edits)
            self._app.edit(edits)
            self._coinbase = edits.coinbase

    def _committed(self, _height: int) -> None:
        """The coinbase that was asked for earns in every block from then on. A devnet's blocks reach the disk together,
        a moment later: a process that is killed loses nothing, a power cut that moment."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SYNC_SECONDS, self._sync)
        if self._coinbase and not self._app.edits.coinbase:
            self._app.edit(replace(self._app.edits, coinbase=self._coinbase))

    def _sync(self) -> None:
        self._timer = None
        self._syncing = asyncio.get_running_loop().run_in_executor(None, self._app.store.flush)

    async def stop(self) -> None:
        """Bring the last blocks to the disk, before the database is closed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._syncing is not None:
            await self._syncing
        self._app.store.flush()

    async def drop(self, chosen: Callable[[bytes], bool]) -> list[Hash32]:
        async with self._engine.lock:
            hashes = [keccak256(raw) for raw in self._app.mempool.transactions() if chosen(raw)]
            self._app.mempool.remove(hashes)
            return hashes

    # --- there and back -------------------------------------------------------------------------------------

    async def snapshot(self) -> int:
        async with self._engine.lock:
            self._count += 1
            self._snapshots[self._count] = Snapshot(
                self._engine.standing,
                self._engine.clock.save(),
                self._app.edits,
                tuple(self._app.mempool.transactions()),
                self._app.head().hash,
            )
            return self._count

    async def revert(self, number: int) -> bool:
        async with self._engine.lock:
            kept = self._snapshots.get(number)
            if kept is None:
                return False
            self._go_back(kept.standing, kept.edits, kept.waiting)
            self._engine.clock.load(kept.clock)
            self._snapshots = {n: s for n, s in self._snapshots.items() if n < number}
            return True

    async def rollback(self, depth: int) -> None:
        async with self._engine.lock:
            height = self._must_have(depth, "Rollback")
            if depth:
                self._undo(height, tuple(self._app.mempool.transactions()))

    async def reorg(self, branch: Sequence[Sequence[bytes]]) -> list[InvalidTransaction]:
        async with self._engine.lock:
            height = self._must_have(len(branch), "Reorg")
            if not branch:
                return []
            waiting, replaced = tuple(self._app.mempool.transactions()), self._app.store.header(height + 1)
            self._undo(height, ())
            if replaced is not None:
                self._engine.clock.pass_by(replaced.timestamp, self._engine.standing.time)
            refused = []
            for raws in branch:
                refused += [refusal for refusal in self._app.admit(raws) if refusal is not None]
                await self._engine.make_block()
            self._app.admit(waiting)
            return refused

    def _undo(self, height: int, waiting: Sequence[bytes]) -> None:
        """Back to the block of ``height``, by the clock of now."""
        self._go_back(Standing(height, 0), self._app.edits, waiting)
        self._engine.standing = self._engine.standing_at(height)
        self._snapshots = {n: s for n, s in self._snapshots.items() if s.standing.height <= height}

    def _must_have(self, depth: int, what: str) -> int:
        """The height below the newest ``depth`` blocks. Raises DevnetError when there are not so many."""
        height = self._engine.height - depth
        if height < self._engine.first_standing().height:
            raise DevnetError(
                f"{what} depth must not exceed current chain height: current height {self._engine.height}, "
                f"depth {depth}"
            )
        return height

    async def reset(self) -> None:
        async with self._engine.lock:
            self._go_back(self._engine.first_standing(), Edits(), ())
            self._engine.clock.reset()
            self._engine.clock.catch_up(self._engine.standing.time)
            if self.fork is not None:
                self._engine.clock.set_time(self._engine.standing.time // SECOND)
            self._snapshots = {}
            self.instance_id = secrets.token_bytes(32)

    def _go_back(self, standing: Standing, edits: Edits, waiting: Sequence[bytes]) -> None:
        self._reverting.call(standing.height)
        self._coinbase = edits.coinbase
        self._app.rewind(standing.height, edits, waiting)
        self._engine.standing = standing

    def before_revert(self, listener: Callable[[int], None]) -> Callable[[], None]:
        return self._reverting.add(listener)

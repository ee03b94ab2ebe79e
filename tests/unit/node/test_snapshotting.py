"""Snapshots beside a running chain, and who may ask the node for one."""

from __future__ import annotations

import asyncio
import stat
import threading
from pathlib import Path

import pytest

from openledger.node.administration import Administration, read_door
from openledger.node.snapshotting import Snapshotter, half_speed
from openledger.primitives.amounts import GWEI
from openledger.primitives.errors import NotAllowed
from openledger.rpc.admin import Admin
from openledger.state.snapshots import SnapshotShelf
from tests.harness import Harness
from tests.waiting import until


async def until_idle(snapshots: Snapshotter) -> None:
    await until(lambda: not snapshots.busy)


async def test_snapshots_come_at_the_interval_while_blocks_go_on_and_old_ones_go(tmp_path: Path) -> None:
    chain = Harness()
    snapshots = Snapshotter(chain.app.store, SnapshotShelf(tmp_path), interval=3, keep=2)
    for number in range(1, 11):
        chain.submit(chain.transfer(0, bytes([7] * 20), GWEI))
        chain.block()
        snapshots.committed(number)
        if number % 3 == 0:
            chain.submit(chain.transfer(1, bytes([7] * 20), GWEI))
            await until_idle(snapshots)
    assert [m.height for m in snapshots.shelf.list()] == [9, 6]
    header = chain.app.store.header(9)
    assert header is not None
    assert snapshots.shelf.list()[0].state_root == header.state_root
    snapshots.stop()


async def test_after_a_rollback_a_snapshot_stays_although_older_ones_have_greater_heights(tmp_path: Path) -> None:
    chain = Harness()
    snapshots = Snapshotter(chain.app.store, SnapshotShelf(tmp_path), interval=0, keep=2)
    for _ in range(8):
        chain.block()
        await snapshots.create(10)
    chain.app.store.rollback(5)
    made = await snapshots.create(10)
    assert not isinstance(made, int)
    assert made.height == 5
    assert [m.height for m in snapshots.shelf.list()] == [8, 7, 5]
    snapshots.stop()


async def test_a_node_that_stops_gives_up_its_snapshot_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    chain = Harness()
    chain.block()
    snapshots = Snapshotter(chain.app.store, SnapshotShelf(tmp_path / "s"), interval=1, keep=2)
    snapshots._stopping.set()
    snapshots._begin()
    await until_idle(snapshots)
    await asyncio.to_thread(snapshots.stop)
    assert snapshots.shelf.list() == []
    assert list((tmp_path / "s").iterdir()) == []
    snapshots.committed(1)
    assert not snapshots.busy


def test_half_speed_rests_as_long_as_it_works() -> None:
    rests: list[float] = []

    class Never(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            rests.append(timeout or 0.0)
            return False

    pause = half_speed(Never(), work_seconds=0.0)
    pause()
    pause()
    assert len(rests) == 2
    assert all(rest > 0 for rest in rests)


async def test_only_who_may_read_the_home_folder_administers_the_node(tmp_path: Path) -> None:
    chain = Harness()
    chain.block()
    chain.block()
    snapshots = Snapshotter(chain.app.store, SnapshotShelf(tmp_path / "snapshots"), interval=0, keep=2)
    administration = Administration(tmp_path, chain.app.store, snapshots)
    administration.open("http://127.0.0.1:1")
    door = read_door(tmp_path)
    assert door is not None
    assert door.url == "http://127.0.0.1:1"
    assert stat.S_IMODE((tmp_path / "admin.json").stat().st_mode) == 0o600
    admin = Admin(administration)
    for wrong in ("", "0" * 64, door.secret[:-1], "é"):
        with pytest.raises(NotAllowed):
            await admin.create_snapshot(wrong)
        with pytest.raises(NotAllowed):
            await admin.prune(wrong, 1)
    assert (await admin.create_snapshot(door.secret))["height"] == 2
    answer = await admin.prune(door.secret, 1)
    assert answer == {"oldestState": 1, "target": 1, "height": 2}
    with pytest.raises(NotAllowed):
        await Admin(None).create_snapshot(door.secret)
    administration.close()
    assert read_door(tmp_path) is None
    snapshots.stop()


async def test_while_a_snapshot_is_restored_the_node_says_so_and_its_health_is_still_told(tmp_path: Path) -> None:
    from typing import Any

    from openledger.node.vitals import Vitals
    from openledger.primitives.errors import ConsensusFault

    class Engine:
        """Consensus that has ended."""

        async def status(self) -> Any:
            raise ConsensusFault("over")

        def on_commit(self, listener: Any) -> Any:
            return lambda: None

    chain = Harness()
    engine: Any = Engine()
    vitals = Vitals(chain.app, engine, tmp_path, 60)
    assert "restoring" not in await vitals.facts()
    chain.app.store.begin_restore()
    facts = await vitals.facts()
    assert (facts["signing"], facts["claims"]) == (None, [])
    assert "restoring a snapshot" in facts["restoring"]

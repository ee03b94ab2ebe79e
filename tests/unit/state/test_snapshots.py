"""Snapshots on disk and restores into a real database: cut off, killed, damaged, on a full disk."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from openledger.primitives.blocks import EMPTY_BLOOM, EMPTY_TRIE_ROOT, Header, SealedBlock
from openledger.primitives.errors import InvalidSnapshot, StorageError
from openledger.primitives.hashing import KECCAK_EMPTY, ZERO_HASH, keccak256
from openledger.primitives.types import MODELS_ADDRESS, Account
from openledger.state import layout
from openledger.state import snapshot_format as form
from openledger.state.leveldb import LevelDbStore
from openledger.state.overlay import Overlay
from openledger.state.ports import Diff, KeyValue
from openledger.state.snapshot_restore import Restoration
from openledger.state.snapshots import SnapshotShelf
from openledger.state.store import StateStore

KILLED = f"""
import os, signal, sys
from pathlib import Path
from openledger.state.leveldb import LevelDbStore
from openledger.state.snapshot_restore import Restoration
from openledger.state.snapshots import SnapshotShelf
from openledger.state.store import StateStore

shelf, store = SnapshotShelf(Path(sys.argv[1])), StateStore(LevelDbStore(sys.argv[2]))
store.bind("chain-1", bytes(32))
restoration = Restoration(store, shelf.list()[0])
for number, raw in enumerate(shelf.raw_chunks(shelf.list()[0].height)):
    if number == int(sys.argv[3]):
        os.kill(os.getpid(), {int(signal.SIGKILL)})
    restoration.apply(raw)
"""


def commit(store: StateStore, diff: Diff) -> None:
    prepared, head = store.prepare(diff), store.head()
    header = Header(
        parent_hash=head.hash if head else ZERO_HASH, coinbase=bytes(20), state_root=prepared.state_root,
        transactions_root=EMPTY_TRIE_ROOT, receipts_root=EMPTY_TRIE_ROOT, bloom=EMPTY_BLOOM, number=store.height + 1,
        gas_limit=30_000_000, gas_used=0, timestamp=store.height, prevrandao=ZERO_HASH, base_fee=10**9,
    ) if store.height >= 0 else Header(
        ZERO_HASH, bytes(20), prepared.state_root, EMPTY_TRIE_ROOT, EMPTY_TRIE_ROOT, EMPTY_BLOOM, 0, 30_000_000, 0, 0,
        ZERO_HASH, 10**9,
    )  # fmt: skip
    store.commit(SealedBlock(header, (), (), ()), prepared, diff)


def fill(kv: KeyValue, accounts: int = 400) -> StateStore:
    """Genesis and two blocks: accounts, two large storages, records."""
    store = StateStore(kv)
    store.bind("chain-1", bytes(32))
    commit(store, Diff(accounts={bytes(19) + b"\x01": Account(0, 1, KECCAK_EMPTY)}))
    state = Overlay(store.reader())
    for number in range(accounts):
        state.set_account(keccak256(number.to_bytes(4, "big"))[:20], Account(number, number + 1, KECCAK_EMPTY))
    for owner in (b"\x00" * 19 + b"\x07", b"\xff" * 20):
        state.set_account(owner, Account(1, 0, state.set_code(b"\xfe" + owner)))
        for slot in range(300):
            state.set_storage(owner, slot * slot, slot + 1)
    state.set_account(MODELS_ADDRESS, Account(1, 0, state.set_code(b"\xfe")))
    for number in range(200):
        state.set_record(MODELS_ADDRESS, b"k%d" % number, b"v" * number)
    commit(store, state.diff())
    commit(store, Diff())
    return store


def take_all(restoration: Restoration, shelf: SnapshotShelf, height: int) -> None:
    for raw in shelf.raw_chunks(height):
        restoration.apply(raw)

    def rebuild(header: Header, transactions: Any, receipts: Any) -> SealedBlock:
        return SealedBlock(header, tuple(transactions), (), ())

    restoration.finish(rebuild, lambda read, headers: None)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SnapshotShelf:
    """A snapshot in many chunks."""
    monkeypatch.setattr(form, "CHUNK_BYTES", 4_000)
    store = fill(LevelDbStore(tmp_path / "source"))
    shelf = SnapshotShelf(tmp_path / "snapshots")
    shelf.create(store.kv.view())
    store.close()
    return shelf


@pytest.mark.parametrize("chunk", [0, 1, 6, -1])
def test_a_node_killed_in_the_middle_of_a_restore_starts_empty_and_restores_then(
    shelf: SnapshotShelf, tmp_path: Path, chunk: int
) -> None:
    manifest = shelf.list()[0]
    at = chunk % len(manifest.chunks)
    command = [sys.executable, "-c", KILLED, str(shelf.folder), str(tmp_path / "target"), str(at)]
    assert subprocess.run(command, env=os.environ, check=False).returncode == -signal.SIGKILL
    kv = LevelDbStore(tmp_path / "target")
    if at:
        assert any(True for _ in kv.iterate(layout.ACCOUNT, layout.after(layout.ACCOUNT)))
    store = StateStore(kv)
    assert store.head() is None
    assert not any(key[:1] != layout.META for key, _ in kv.iterate(b"", None))
    take_all(Restoration(store, manifest), shelf, manifest.height)
    assert store.height == manifest.height
    store.verify()
    store.close()
    again = StateStore(LevelDbStore(tmp_path / "target"))
    again.bind("chain-1", bytes(32))
    assert (again.height, again.oldest_block(), again.oldest_state()) == (manifest.height,) * 3
    again.verify()
    again.close()


def test_a_view_is_what_was_there_when_it_was_made(tmp_path: Path) -> None:
    kv = LevelDbStore(tmp_path / "db")
    kv.write([(b"a", b"1"), (b"b", b"2")])
    view = kv.view()
    kv.write([(b"a", b"9"), (b"c", b"3")], [b"b"])
    assert (view.get(b"a"), view.get(b"c")) == (b"1", None)
    assert list(view.iterate(b"", None)) == [(b"a", b"1"), (b"b", b"2")]
    assert list(view.iterate(b"", None, reverse=True)) == [(b"b", b"2"), (b"a", b"1")]
    view.close()
    view.close()
    kv.close()


def test_what_is_cut_off_is_not_a_snapshot_and_is_removed(shelf: SnapshotShelf, tmp_path: Path) -> None:
    (shelf.folder / "7.partial").mkdir()
    (shelf.folder / "9").mkdir()
    (shelf.folder / "nonsense").write_text("x")
    (shelf.folder / "8").mkdir()
    (shelf.folder / "8" / "manifest").write_bytes(b"\xff\xff")
    (shelf.folder / "11").mkdir()
    (shelf.folder / "11" / "manifest").write_bytes(shelf.list()[0].encode())
    again = SnapshotShelf(shelf.folder)
    assert [m.height for m in again.list()] == [2]
    again.clean()
    assert not (shelf.folder / "7.partial").exists()
    assert again.chunk(2, 0)
    assert (again.chunk(2, 10**6), again.chunk(2, -1), again.chunk(3, 0)) == (b"", b"", b"")
    with pytest.raises(InvalidSnapshot, match="no snapshot of block 3"):
        next(again.raw_chunks(3))


def test_a_damaged_chunk_file_is_found(shelf: SnapshotShelf) -> None:
    path = shelf.folder / "2" / "1"
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    with pytest.raises(InvalidSnapshot):
        list(shelf.raw_chunks(2))
    path.unlink()
    with pytest.raises(InvalidSnapshot):
        list(shelf.raw_chunks(2))


def test_a_chunk_file_that_cannot_be_read_is_one_that_is_not_here(shelf: SnapshotShelf) -> None:
    height = shelf.list()[0].height
    path = shelf.folder / str(height) / "0"
    path.unlink()
    path.mkdir()  # what even root cannot read
    assert shelf.chunk(height, 0) == b""
    with pytest.raises(InvalidSnapshot):
        list(shelf.raw_chunks(height))


def test_a_full_disk_or_a_stop_leaves_nothing_of_the_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form, "CHUNK_BYTES", 4_000)
    store = fill(LevelDbStore(tmp_path / "source"))
    shelf = SnapshotShelf(tmp_path / "snapshots")
    pauses = 0

    def pause() -> None:
        nonlocal pauses
        pauses += 1
        if pauses > 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shelf.create(store.kv.view(), pause)
    assert list(shelf.folder.iterdir()) == []

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(StorageError, match="No space left on device") as caught:
            shelf.create(store.kv.view())
    assert caught.value.hint == "is the disk full?"
    assert list(shelf.folder.iterdir()) == []
    assert shelf.list() == []
    assert shelf.create(store.kv.view()).height == 2
    store.close()


def test_old_snapshots_give_way(tmp_path: Path) -> None:
    store = fill(LevelDbStore(tmp_path / "source"), 3)
    shelf = SnapshotShelf(tmp_path / "snapshots")
    for number in range(4):
        commit(store, Diff(accounts={bytes(20): Account(number + 1, 1, KECCAK_EMPTY)}))
        shelf.create(store.kv.view())
    shelf.keep(2, 6)
    assert [m.height for m in shelf.list()] == [6, 5]
    assert sorted(path.name for path in shelf.folder.iterdir()) == ["5", "6"]
    store.close()


def test_a_snapshot_that_goes_while_others_are_listed_breaks_nothing(tmp_path: Path) -> None:
    store = fill(LevelDbStore(tmp_path / "source"), 3)
    shelf = SnapshotShelf(tmp_path / "snapshots")
    shelf.create(store.kv.view())

    class Vanishing(dict[int, form.Manifest]):
        def __iter__(self) -> Any:
            heights = list(super().__iter__())
            self.clear()  # as the thread does that takes the next one
            return iter(heights)

    shelf._known = Vanishing(shelf._known)
    assert [m.height for m in shelf.list()] in ([], [2])
    store.close()


def test_a_manifest_is_read_in_its_one_form_only() -> None:
    made = form.Manifest("c", bytes(32), 5, bytes(32), 1, 2, 3, 4, 5, 6, (bytes(32), b"\x01" * 32))
    assert form.Manifest.decode(made.encode()) == made
    assert made.hash != dataclasses.replace(made, size=7).hash
    for wrong in (
        dataclasses.replace(made, chunks=()),
        dataclasses.replace(made, chunks=(bytes(31),)),
        dataclasses.replace(made, genesis=b""),
        dataclasses.replace(made, accounts=True),
        dataclasses.replace(made, chain_id=b"c"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InvalidSnapshot):
            form.Manifest.decode(wrong.encode())

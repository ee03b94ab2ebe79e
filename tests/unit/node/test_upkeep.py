"""A stopped node's data in the operator's hands, where something goes wrong on the way."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from openledger.node import upkeep
from openledger.node.config import Config
from openledger.primitives.blocks import SealedBlock
from openledger.primitives.errors import MissingProgram, StorageError, WrongDataFolder
from openledger.state.ports import Diff
from openledger.state.snapshots import SnapshotShelf
from openledger.state.store import StateStore
from tests.harness import Harness


def commit_empty(store: StateStore) -> None:
    """One block without anything in it."""
    head, diff = store.head(), Diff()
    assert head is not None
    header = replace(head, parent_hash=head.hash, number=head.number + 1)
    store.commit(SealedBlock(header, (), (), ()), store.prepare(diff), diff)


def nothing(_done: int, _all: int) -> None:
    """Nobody looks at the progress."""


@pytest.fixture
def chain() -> Harness:
    found = Harness()
    found.block()
    found.block()
    return found


@pytest.fixture
def home(chain: Harness, tmp_path: Path) -> Path:
    """An empty home of the chain, as ``init --genesis`` makes it."""
    home = tmp_path / "home"
    (home / "cometbft" / "data").mkdir(parents=True)
    (home / "genesis.json").write_text(chain.genesis.to_json())
    return home


@pytest.fixture
def backup(chain: Harness, tmp_path: Path) -> Path:
    """A snapshot with CometBFT's blocks beside it."""
    folder = tmp_path / "backup"
    SnapshotShelf(folder).create(chain.app.store.kv.view())
    for name in upkeep.COMET_STORES:
        (folder / "cometbft-2" / name).mkdir(parents=True)
        (folder / "cometbft-2" / name / "CURRENT").write_text("MANIFEST-000000\n")
    return folder


def copied(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "cometbft" / "data").iterdir())


def test_a_backup_whose_blocks_were_cut_off_is_refused_before_anything_is_written(home: Path, backup: Path) -> None:
    (backup / "cometbft-2" / "state.db" / "CURRENT").unlink()
    (backup / "cometbft-2" / "state.db").rmdir()
    with pytest.raises(WrongDataFolder, match=r"state\.db") as refused:
        upkeep.restore(home, backup, None, nothing)
    assert refused.value.hint
    assert copied(home) == []
    assert not (home / "state").exists()


def test_a_restore_that_the_disk_cuts_short_can_be_given_again(
    home: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = shutil.copytree

    def full(source: Path, target: Path, **given: object) -> Path:
        if "blockstore.db" not in str(source):
            return Path(whole(source, target, **given))  # type: ignore[arg-type]
        target.mkdir()
        (target / "000001.ldb").write_bytes(b"half")
        raise shutil.Error(
            [(str(source), str(target), f"[Errno 28] No space left on device: '{source}' -> '{target}'")]
        )

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(StorageError, match=r"cannot be copied .*: No space left on device$") as refused:
        upkeep.restore(home, backup, None, nothing)
    assert refused.value.hint == "is the disk full?"
    monkeypatch.setattr(shutil, "copytree", whole)
    assert upkeep.restore(home, backup, None, nothing).number == 2
    assert copied(home) == sorted(upkeep.COMET_STORES)
    assert [path.name for path in (home / "cometbft" / "data" / "blockstore.db").iterdir()] == ["CURRENT"]


def test_blocks_are_not_laid_beside_a_state_that_is_there_already(home: Path, backup: Path) -> None:
    upkeep.restore(home, backup, None, nothing)
    for name in upkeep.COMET_STORES:
        shutil.rmtree(home / "cometbft" / "data" / name)
    with pytest.raises(WrongDataFolder, match="has a state already"):
        upkeep.restore(home, backup, None, nothing)
    assert copied(home) == []


def test_without_cometbft_nothing_is_rolled_back(
    home: Path, backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upkeep.restore(home, backup, None, nothing)
    with upkeep.opened(home) as (_, store):
        commit_empty(store)
    monkeypatch.setenv("OPENLEDGER_COMETBFT", str(tmp_path / "nothing"))
    with pytest.raises(MissingProgram):
        upkeep.roll_back(home, None, Config(), nothing)
    with upkeep.opened(home) as (_, store):
        assert store.height == 3


def test_a_copy_onto_itself_leaves_the_snapshot_and_one_onto_an_older_copy_replaces_it(
    home: Path, backup: Path, tmp_path: Path
) -> None:
    before = sorted(path.name for path in (backup / "2").iterdir())
    upkeep.copy_folder(backup / "2", backup / "2")
    assert sorted(path.name for path in (backup / "2").iterdir()) == before
    (tmp_path / "out" / "2").mkdir(parents=True)
    (tmp_path / "out" / "2" / "99").write_bytes(b"a chunk of another chain")
    upkeep.copy_folder(backup / "2", tmp_path / "out" / "2")
    assert sorted(path.name for path in (tmp_path / "out" / "2").iterdir()) == before
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["2"]

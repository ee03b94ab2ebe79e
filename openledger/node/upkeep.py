"""Work on the data of a stopped node: a snapshot of it, a state restored from one, blocks undone, states pruned.

Only one process may open the database, so all of this raises DatabaseLocked while the node runs.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from openledger.abci_app.opening import genesis_block, genesis_diff
from openledger.abci_app.statesync import check_history, rebuild_block
from openledger.genesis.genesis import Genesis
from openledger.node.config import Config
from openledger.node.network import comet_home
from openledger.node.wiring import read_genesis
from openledger.primitives.blocks import Header
from openledger.primitives.errors import (
    ConsensusFault,
    DatabaseLocked,
    InvalidSnapshot,
    StatePruned,
    StorageError,
    UnknownBlock,
    WrongDataFolder,
)
from openledger.state.leveldb import LevelDbStore
from openledger.state.snapshot_format import Manifest
from openledger.state.snapshot_restore import Restoration
from openledger.state.snapshots import SnapshotShelf
from openledger.state.store import StateStore

COMET_STORES = ("state.db", "evidence.db", "blockstore.db")
"""CometBFT's databases; where the last one is, all are."""
_ROLLED = re.compile(r"[Rr]olled back state to height (\d+)")

Progress = Callable[[int, int], None]
"""Told (done, all)."""


@contextmanager
def opened(folder: Path) -> Iterator[tuple[Genesis, StateStore]]:
    """The chain of a stopped node. Raises DatabaseLocked, WrongDataFolder, InvalidGenesis."""
    genesis = read_genesis(folder / "genesis.json")
    try:
        kv = LevelDbStore(folder / "state")
    except DatabaseLocked:
        raise DatabaseLocked(f"the node of {folder} is running", "stop it first") from None
    try:
        store = StateStore(kv)
        store.bind(genesis.chain_id, genesis.digest)
        yield genesis, store
    finally:
        kv.close()


# --- snapshots --------------------------------------------------------------------------------------------------------


def create(folder: Path, shelf: SnapshotShelf) -> Manifest:
    """A snapshot of the newest block. Raises StorageError where there is none."""
    with opened(folder) as (_, store):
        return shelf.create(store.kv.view())


def backup_blocks(folder: Path, target: Path) -> None:
    """Copy CometBFT's blocks and state, which a restore into an empty home needs. Keys, and what was signed with them,
    stay where they are. Raises WrongDataFolder without CometBFT, StorageError."""
    data = comet_home(folder) / "data"
    if not (data / "blockstore.db").is_dir():
        raise WrongDataFolder(f"{folder} has no blocks of CometBFT")
    _copy_stores(data, target)


def _copy_stores(source: Path, target: Path) -> None:
    for name in COMET_STORES:
        copy_folder(source / name, target / name)


def copy_folder(source: Path, target: Path) -> None:
    """A copy that gets its name when it is whole, in place of an older one. Raises StorageError, and leaves nothing
    then."""
    if target.exists() and target.samefile(source):
        return
    part = target.with_name(f"{target.name}.partial")
    try:
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(source, part, ignore=shutil.ignore_patterns("LOCK"))
        if target.exists():
            shutil.rmtree(target)
        part.rename(target)
    except OSError as err:
        shutil.rmtree(part, ignore_errors=True)
        raise StorageError(f"{source} cannot be copied to {target}: {_words(err)}", "is the disk full?") from None


def _words(err: OSError) -> str:
    """The first of all failures of a copy, or the one."""
    said = str(err.args[0][0][-1]) if isinstance(err, shutil.Error) else err.strerror or str(err)
    return re.sub(r"^\[Errno \d+\] |: '.*", "", said)


def restore(folder: Path, source: Path, height: int | None, progress: Progress) -> Header:
    """The state of a snapshot (the newest in ``source``) becomes that of a node without one.

    CometBFT goes on from its own blocks, and compares app hashes; without blocks it takes those that lie beside the
    snapshot. Raises InvalidSnapshot, WrongDataFolder when there is a state already, for another chain, or without
    blocks, StorageError.
    """
    genesis = read_genesis(folder / "genesis.json")
    shelf = SnapshotShelf(source)
    found = shelf.list()
    manifest = shelf.get(height) if height is not None else found[0] if found else None
    if manifest is None:
        which = "no snapshot" if height is None else f"no snapshot of block {height}"
        raise InvalidSnapshot(f"there is {which} in {source}", "`openledger snapshot list` shows what is there")
    if (manifest.chain_id, manifest.genesis) != (genesis.chain_id, genesis.digest):
        raise WrongDataFolder(f"the snapshot is of chain {manifest.chain_id}, or of another genesis of it")
    blocks = _blocks_for(folder, source, manifest.height)
    return _restore_state(folder, genesis, shelf, manifest, blocks, progress)


def _blocks_for(folder: Path, source: Path, height: int) -> Path | None:
    """Where CometBFT's blocks are to be copied from; None when none are needed. Raises WrongDataFolder."""
    data = comet_home(folder) / "data"
    if not data.is_dir() or (data / "blockstore.db").is_dir():
        return None
    blocks = source / f"cometbft-{height}"
    if not (blocks / "blockstore.db").is_dir():
        raise WrongDataFolder(
            f"{folder} has no blocks of CometBFT, and none lie beside the snapshot",
            "`openledger init --sync-from` joins over the network; `snapshot create --blocks` copies a stopped node's",
        )
    if lacking := [name for name in COMET_STORES if not (blocks / name).is_dir()]:
        raise WrongDataFolder(f"{blocks} is not whole: it has no {lacking[0]}", "take another backup, or copy it again")
    return blocks


def _restore_state(
    folder: Path, genesis: Genesis, shelf: SnapshotShelf, manifest: Manifest, blocks: Path | None, progress: Progress
) -> Header:
    with opened(folder) as (_, store):
        if store.height > 0:
            raise WrongDataFolder(
                f"{folder} has a state already, of block {store.height}", "move the folder `state` away first"
            )
        if blocks is not None:  # before the state, so that a copy that is cut off can be made again
            _copy_stores(blocks, comet_home(folder) / "data")
        if store.head() is None:
            _commit_genesis(store, genesis)
        restoration = Restoration(store, manifest)
        try:
            for number, raw in enumerate(shelf.raw_chunks(manifest.height), 1):
                restoration.apply(raw)
                progress(number, len(manifest.chunks))
            return restoration.finish(rebuild_block, check_history)
        except InvalidSnapshot:
            restoration.abort()
            raise


def _commit_genesis(store: StateStore, genesis: Genesis) -> None:
    diff = genesis_diff(genesis)
    prepared = store.prepare(diff)
    store.commit(genesis_block(genesis, prepared.state_root), prepared, diff)


# --- back -------------------------------------------------------------------------------------------------------------


def roll_back(folder: Path, to: int | None, config: Config, progress: Progress) -> tuple[Header, int | None]:
    """Undo the newest block, or all above ``to``; CometBFT goes one block back as well, and keeps its blocks: it hands
    them in again at the next start, and compares the app hash of each.

    The new head, and CometBFT's height (None without CometBFT). Raises StatePruned outside what is kept, UnknownBlock
    for a height that is not below the newest, MissingProgram before anything is undone, ConsensusFault when CometBFT
    refuses.
    """
    program = _program_of(folder, config)
    with opened(folder) as (_, store):
        top = store.height
        target = top - 1 if to is None else to
        if not 0 <= target < top:
            raise UnknownBlock(f"block {target} is not below the newest, {top}", "choose an older one")
        if target < store.oldest_state():
            raise StatePruned(
                f"the state of block {target} is pruned, the oldest kept is {store.oldest_state()}",
                "restore an older snapshot",
            )
        if config.chain.keep_blocks and target < top - config.chain.keep_blocks:
            raise StatePruned(
                f"CometBFT keeps {config.chain.keep_blocks} blocks, not those from {target + 1} on",
                "restore a snapshot, or choose a newer block",
            )
        head = store.head()
        while store.height > target:
            head = store.rollback()
            progress(top - store.height, top - target)
    if head is None:
        raise UnknownBlock("there are no blocks")
    return head, None if program is None else _roll_comet_back(folder, program)


def _program_of(folder: Path, config: Config) -> Path | None:
    """CometBFT, looked for before anything is undone; None for a home without its blocks. Raises MissingProgram."""
    from openledger.node.engines.binary import find_cometbft

    if not (comet_home(folder) / "data" / "blockstore.db").is_dir():
        return None
    return find_cometbft(config.consensus.program).path


def _roll_comet_back(folder: Path, program: Path) -> int:
    command = [str(program), "rollback", "--home", str(comet_home(folder))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.SubprocessError) as err:
        raise ConsensusFault(f"cometbft rollback failed: {err}") from None
    found = _ROLLED.search(done.stdout)
    if done.returncode or found is None:
        said = (done.stdout + done.stderr).strip().splitlines()[-1:] or ["it said nothing"]
        raise ConsensusFault(
            f"the state is rolled back, but CometBFT refuses: {said[0]}", "the next start repeats its blocks anyway"
        )
    return int(found[1])


# --- prune ------------------------------------------------------------------------------------------------------------


def prune(folder: Path, keep: int, progress: Progress) -> tuple[int, int]:
    """Drop states of blocks more than ``keep`` before the newest, and give the room back. (oldest kept, newest)."""
    with opened(folder) as (_, store):
        first, target = store.oldest_state(), max(store.oldest_state(), store.height - keep)
        oldest = first
        while oldest < target:
            oldest = store.prune(keep, 512)
            progress(oldest - first, target - first)
        if isinstance(store.kv, LevelDbStore):
            store.kv.compact()
        return oldest, store.height

"""``openledger snapshot create|list|restore``, ``rollback``, ``prune``: a node's data, in use or not."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openledger.node.cli.common import App, Command, Group, Whole, pass_app, table
from openledger.node.cli.state import chain_home
from openledger.primitives.errors import DatabaseLocked, NodeUnreachable, WrongDataFolder

if TYPE_CHECKING:
    from openledger.node.administration import Door
    from openledger.node.config import Config
    from openledger.state.snapshots import SnapshotShelf

_FOLDER = click.Path(file_okay=False, path_type=Path)
_WRITE_SECONDS = 3600


@contextmanager
def _bar(app: App, label: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, told (done, all)."""
    with click.progressbar(length=1, label=label, hidden=app.json, file=sys.stderr) as bar:

        def progress(done: int, whole: int) -> None:
            bar.length = whole
            bar.update(done - bar.pos)

        yield progress


def _home(app: App, *, with_state: bool = True) -> Path:
    folder = chain_home(app, with_state=with_state)
    if folder is None:
        raise WrongDataFolder("there is no chain here", "name its folder with --home")
    return folder


def _config(app: App, folder: Path) -> Config:
    from openledger.node import config as configuration

    return configuration.load(app.home if (app.home / configuration.FILE).exists() else folder)


def _door(folder: Path) -> Door:
    """The way to the node that holds the database of a folder. Raises DatabaseLocked."""
    from openledger.node.administration import read_door

    door = read_door(folder)
    if door is None:
        raise DatabaseLocked(f"the node of {folder} is running, and does not say where", "stop it first")
    return door


def _ask(door: Door, method: str, *params: Any) -> Any:
    """One call to a running node. Raises NodeUnreachable, and what the node answers."""
    from openledger.rpc.client import Client

    client = Client(door.url)
    try:
        return client.call(method, door.secret, *params)
    except NodeUnreachable as err:
        raise DatabaseLocked("the database is in use, and its node does not answer", err.message) from None
    finally:
        client.close()


# --- snapshot -----------------------------------------------------------------------------------------------------


@click.group(cls=Group)
def snapshot() -> None:
    """Snapshots of the state: what new nodes join from, and a backup."""


@snapshot.command(cls=Command)
@click.option("--output", type=_FOLDER, help="Also copy it into this folder.")
@click.option("--blocks", is_flag=True,
              help="Of a stopped node: copy CometBFT's blocks too, for a restore into an empty home.")  # fmt: skip
@pass_app
def create(app: App, output: Path | None, blocks: bool) -> None:
    """Take a snapshot of the newest block, whether the node runs or not."""
    from openledger.node import upkeep
    from openledger.node.administration import manifest_json
    from openledger.state.snapshots import SnapshotShelf

    if blocks and output is None:
        raise click.UsageError("--blocks needs --output")
    folder = _home(app)
    shelf = SnapshotShelf(folder / "snapshots")
    try:
        manifest = upkeep.create(folder, shelf)
    except DatabaseLocked:
        if blocks:
            raise
        height = _ask(_door(folder), "admin_createSnapshot")["height"]
        shelf = _wait_for(folder, height)
        manifest = shelf.list()[0] if (found := shelf.get(height)) is None else found
    if output is not None:
        upkeep.copy_folder(folder / "snapshots" / str(manifest.height), output / str(manifest.height))
    if blocks and output is not None:
        upkeep.backup_blocks(folder, output / f"cometbft-{manifest.height}")
    where = (output or folder / "snapshots") / str(manifest.height)
    data = manifest_json(manifest) | {"folder": str(where), "bytes": shelf.size(manifest.height)}
    app.emit(
        data,
        f"{where}: block {manifest.height}, state root {data['stateRoot']}, {manifest.accounts} accounts, "
        f"{data['bytes']} bytes in {len(manifest.chunks)} chunks",
    )


def _wait_for(folder: Path, height: int) -> SnapshotShelf:
    """The shelf when the running node has finished a snapshot."""
    from openledger.state.snapshots import SnapshotShelf

    end = time.monotonic() + _WRITE_SECONDS
    while (shelf := SnapshotShelf(folder / "snapshots")).get(height) is None:
        if time.monotonic() > end:
            raise DatabaseLocked("the node has not finished its snapshot", "look at its log")
        time.sleep(0.5)
    return shelf


@snapshot.command("list", cls=Command)
@click.option("--from", "source", type=_FOLDER, help="Folder with snapshots (default: those of the home).")
@pass_app
def list_command(app: App, source: Path | None) -> None:
    """The snapshots in a folder, or with --node those that a node offers."""
    from openledger.node.administration import manifest_json
    from openledger.state.snapshots import SnapshotShelf

    if app.node_given:
        found = app.call("openledger_listSnapshots")
    else:
        shelf = SnapshotShelf(source or _home(app, with_state=False) / "snapshots")
        found = [manifest_json(m) | {"bytes": shelf.size(m.height)} for m in shelf.list()]
    columns = ["height", "chunks", "size", "hash"]
    app.emit(found, table(columns, [[s[c] for c in columns] for s in found]) if found else "no snapshots")


@snapshot.command(cls=Command)
@click.option("--from", "source", type=_FOLDER, help="Folder with snapshots (default: those of the home).")
@click.option("--height", type=Whole(1), help="Which one (default: the newest).")
@pass_app
def restore(app: App, source: Path | None, height: int | None) -> None:
    """Give a stopped node without a state the state of a snapshot.

    CometBFT then hands in the blocks that it has above that height, and compares every app hash.
    """
    from openledger.node import upkeep
    from openledger.primitives.types import to_hex

    folder = _home(app, with_state=False)
    with _bar(app, "chunks") as progress:
        head = upkeep.restore(folder, source or folder / "snapshots", height, progress)
    root = to_hex(head.state_root)
    app.emit({"height": head.number, "stateRoot": root}, f"block {head.number}, state root {root}")


# --- rollback and prune -------------------------------------------------------------------------------------------


@click.command(cls=Command)
@click.option("--to", "height", type=Whole(0), help="Height to go back to (default: one block back).")
@pass_app
def rollback(app: App, height: int | None) -> None:
    """Undo the newest blocks of a stopped node.

    The state goes back to the height asked for. CometBFT goes one block back and keeps its blocks: at the next start it
    hands them in again, and stops with a message where an app hash is not that of the chain.
    """
    from openledger.node import upkeep
    from openledger.primitives.types import to_hex

    folder = _home(app)
    with _bar(app, "blocks") as progress:
        head, comet = upkeep.roll_back(folder, height, _config(app, folder), progress)
    data = {"height": head.number, "stateRoot": to_hex(head.state_root), "cometHeight": comet}
    more = "" if comet is None else f"; CometBFT is at {comet}, and hands in its blocks again at the next start"
    app.emit(data, f"block {head.number}, state root {data['stateRoot']}{more}")


@click.command(cls=Command)
@click.option("--keep", type=Whole(1), help="How many heights stay readable (default: `keep` of [chain]).")
@pass_app
def prune(app: App, keep: int | None) -> None:
    """Drop old states, whether the node runs or not; a stopped node also gives the room back to the disk.

    Blocks and receipts stay. What CometBFT keeps is set by `keep_blocks` under [chain].
    """
    from openledger.node import upkeep

    folder = _home(app)
    count = keep or _config(app, folder).chain.keep
    with _bar(app, "heights") as progress:
        try:
            oldest, top = upkeep.prune(folder, count, progress)
        except DatabaseLocked:
            oldest, top = _prune_running(_door(folder), count, progress)
    app.emit({"oldestState": oldest, "height": top}, f"states from block {oldest} to {top} are kept")


def _prune_running(door: Door, keep: int, progress: Callable[[int, int], None]) -> tuple[int, int]:
    first: int | None = None
    while True:
        answer = _ask(door, "admin_prune", keep)
        oldest, target = answer["oldestState"], answer["target"]
        first = oldest if first is None else first
        progress(oldest - first, max(1, target - first))
        if oldest >= target - 1:  # the chain goes on meanwhile
            return oldest, answer["height"]


COMMANDS = [snapshot, rollback, prune]

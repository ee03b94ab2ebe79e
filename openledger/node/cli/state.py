"""``openledger export``: the state of a chain at one height, as a file that proves itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from openledger.node.cli.common import App, Command, Whole, pass_app, wei
from openledger.node.cli.devnet import DEVNET_FOLDER
from openledger.primitives.errors import DatabaseLocked, NodeUnreachable, NotFound, WrongDataFolder
from openledger.primitives.types import to_hex

Page = dict[str, Any]


@click.command(cls=Command)
@click.option("--height", type=Whole(0), help="Block whose state is wanted (default: the newest).")
@click.option("--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@pass_app
def export(app: App, height: int | None, output: Path) -> None:
    """Write the state at a height to a file: accounts, code, storage, native records.

    With --node the node there is asked. Else the chain of the home folder is read (the devnet's in data/devnet where
    there is no other), from its node when that is running, from its database when it is stopped.
    """
    from openledger.state.export import write_export

    pages = _pages(app, height)
    first = next(pages)
    lines = (line for page in _chain(first, pages) for line in page["lines"])
    counts = write_export(output, first["header"], lines)
    header = first["header"]
    app.emit(
        {"file": str(output), **{k: header[k] for k in ("chain_id", "height", "state_root")}, **counts.as_json()},
        f"{output}: chain {header['chain_id']}, block {header['height']}, state root {header['state_root']}; "
        f"{counts.accounts} accounts, {counts.slots} slots, {counts.records} records",
    )


def _chain(first: Page, rest: Iterator[Page]) -> Iterator[Page]:
    yield first
    yield from rest


def _pages(app: App, height: int | None) -> Iterator[Page]:
    """Pages of the state from wherever it can be had."""
    folder = chain_home(app)
    if app.node_given or os.environ.get("OPENLEDGER_NODE") or folder is None:
        return _from_node(app, height)
    try:
        return _from_folder(folder, height)
    except DatabaseLocked:
        return _from_running(app, folder, height)


def chain_home(app: App, *, with_state: bool = True) -> Path | None:
    """The folder with ``genesis.json`` and ``state`` that the home means; None where there is none.

    Raises WrongDataFolder when --home names a folder without a chain.
    """
    for home in (app.home,) if app.home_given else (app.home, DEVNET_FOLDER):
        marker = home / "current"
        folder = home / marker.read_text(encoding="utf-8").strip() if marker.exists() else home
        if (folder / "genesis.json").exists() and ((folder / "state").is_dir() or not with_state):
            return folder
    if app.home_given:
        if (app.home / "genesis.json").exists():
            raise WrongDataFolder(f"the node of {app.home} has never run", f"openledger --home {app.home} start")
        raise WrongDataFolder(f"there is no chain in {app.home}", "openledger init, or another --home")
    return None


def _from_node(app: App, height: int | None) -> Iterator[Page]:
    block = "latest" if height is None else hex(height)
    newest = wei(app.call("eth_blockNumber"))
    if height is not None and height > newest:
        raise NotFound(f"there is no block {height} yet", f"the newest is {newest}")
    cursor: str | None = "0x"
    while cursor is not None:
        page: Page = app.call("openledger_exportState", block, cursor)
        block, cursor = hex(page["header"]["height"]), page["next"]
        yield page


def _from_running(app: App, folder: Path, height: int | None) -> Iterator[Page]:
    """From the node that holds the database of this folder, if it is the one that answers."""
    from openledger.node.wiring import read_genesis

    hint = "name it with --node URL, or stop it"
    try:
        status: dict[str, Any] = app.call("openledger_getNodeStatus")
    except NodeUnreachable:
        raise DatabaseLocked(f"the node of {folder} is running, but does not answer at {app.node}", hint) from None
    if status.get("genesis") != to_hex(read_genesis(folder / "genesis.json").digest):
        raise DatabaseLocked(f"the node of {folder} is running, but another chain's answers at {app.node}", hint)
    return _from_node(app, height)


def _from_folder(folder: Path, height: int | None) -> Iterator[Page]:
    """From the database of a node that is stopped. Raises DatabaseLocked at once, not at the first page."""
    from openledger.node.wiring import read_genesis
    from openledger.primitives.errors import CorruptDatabase
    from openledger.state.export import export_header, state_entries
    from openledger.state.leveldb import LevelDbStore
    from openledger.state.store import StateStore

    genesis = read_genesis(folder / "genesis.json")
    store = StateStore(LevelDbStore(folder / "state"))

    def pages() -> Iterator[Page]:
        try:
            store.bind(genesis.chain_id, genesis.digest)
            reader = store.reader(height)
            header = store.header(reader.height)
            if header is None:
                raise CorruptDatabase(f"the database of {folder} has no blocks", "start the node once")
            first = export_header(header, genesis.chain_id, genesis.evm_chain_id)
            yield {"header": first, "lines": (line for _, line in state_entries(reader))}
        finally:
            store.close()

    return pages()


COMMANDS = [export]

"""``openledger index rebuild``: the indexes of a stopped node, made again from its blocks."""

from __future__ import annotations

import sys

import click

from openledger.node.cli.common import App, Command, Group, pass_app
from openledger.node.cli.state import chain_home
from openledger.primitives.errors import WrongDataFolder


@click.group(cls=Group)
def index() -> None:
    """The search tables beside the blocks: blocks and transactions by hash, logs, transactions by account."""


@index.command("rebuild", cls=Command)
@pass_app
def rebuild_command(app: App) -> None:
    """Drop all search tables of a stopped node and make them again from its blocks.

    Blocks, receipts and state are not touched. When it is interrupted, run it again before you start the node.
    """
    from openledger.state.leveldb import LevelDbStore
    from openledger.state.reindex import rebuild

    folder = chain_home(app)
    if folder is None:
        raise WrongDataFolder("there is no chain here", "name its folder with --home")
    store = LevelDbStore(folder / "state")
    try:
        with click.progressbar(length=1, label="blocks", hidden=app.json, file=sys.stderr) as bar:

            def progress(done: int, whole: int) -> None:
                bar.length = whole  # known only with the first batch
                bar.update(done - bar.pos)

            blocks, entries = rebuild(store, progress)
    finally:
        store.close()
    app.emit({"blocks": blocks, "entries": entries}, f"{blocks} blocks, {entries} entries")


COMMANDS = [index]

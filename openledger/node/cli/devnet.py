"""The devnet command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openledger.node.cli.common import App, Command, Whole, pass_app
from openledger.node.cli.networks import MOST, run_devnet

if TYPE_CHECKING:
    from openledger.node.wiring import Node

DEVNET_FOLDER = Path("data/devnet")
_SOLO_ONLY = ("block_time", "no_mining", "fork", "chain_id", "accounts", "balance", "mnemonic")


@click.command(cls=Command)
@click.option("--port", type=Whole(0, 65535), help="Port of RPC, WebSocket and web page (default 8545).")
@click.option("--host", help="Address to listen on (default 127.0.0.1); whoever reaches it may do anything here.")
@click.option("--fresh", is_flag=True, help="Start a new chain with another chain id.")
@click.option("--block-time", type=Whole(1), metavar="MS", help="A block every MS; default: on demand.")
@click.option("--no-mining", is_flag=True, help="No block before evm_mine asks for one.")
@click.option("--fork", metavar="URL[@BLOCK]", help="Begin with the state of a block of another chain (newest block).")
@click.option("--chain-id", type=Whole(1, 2**53 - 1), help="EVM chain id (default: 161237, or the fork's).")
@click.option("--accounts", type=Whole(1, 1000), metavar="N", help="Accounts of a new chain (default 10).")
@click.option("--balance", type=Whole(0), metavar="OPEN", help="What each of them has (default 10000).")
@click.option("--mnemonic", metavar="WORDS", help="Phrase that they come from (default: test test ... junk).")
@click.option("--engine", type=click.Choice(["auto", "revm", "py-evm"]), help="EVM engine (default: revm if built).")
@click.option("--no-demo", is_flag=True, help="Do not point to the demo.")
@click.option("--lite", is_flag=True, help="Without the oracle process; needs no torch.")
@click.option("--validators", type=Whole(1, MOST), default=1, show_default=True,
              help="More than one: a network of CometBFT nodes on this machine, one joined log.")  # fmt: skip
@pass_app
def devnet(app: App, /, validators: int, engine: str | None, no_demo: bool, lite: bool, **given: Any) -> None:
    """Run a development chain: funded accounts, blocks on demand, one validator or a whole network of them."""
    from openledger.node import config as configuration
    from openledger.node.devnet import banner, facts, node_of, with_engine, with_port
    from openledger.node.logging import setup
    from openledger.node.wiring import run_loop

    folder = app.home_given or _folder(validators, forked=given["fork"] is not None)
    config = with_engine(with_port(configuration.load(folder), given["port"]), engine)
    if given["host"]:
        config = replace(config, rpc=replace(config.rpc, host=given["host"]))
    setup(config.log)
    if validators > 1:
        for name in _SOLO_ONLY:
            if given[name] not in (None, False):
                raise click.UsageError(f"--{name.replace('_', '-')} is for a devnet of one validator")
        run_devnet(
            app, folder, validators, config, port=given["port"], fresh=given["fresh"], lite=lite, demo=not no_demo
        )
        return
    chain = _open(folder, given)
    node = node_of(
        chain, config, block_time_ms=given["block_time"], automine=not given["no_mining"], lite=lite or bool(chain.fork)
    )

    def ready(node: Node) -> None:
        app.emit(facts(node, chain), banner(node, demo=not no_demo, chain=chain))

    run_loop(node.run(ready))


def _folder(validators: int, *, forked: bool) -> Path:
    if validators > 1:
        return Path(f"{DEVNET_FOLDER}-{validators}")
    return Path(f"{DEVNET_FOLDER}-fork") if forked else DEVNET_FOLDER


def _open(folder: Path, given: dict[str, Any]) -> Any:
    import time

    from openledger.node.devnet_chain import DevnetOptions, open_chain

    names = ("fresh", "chain_id", "fork", "mnemonic", "accounts", "balance")
    return open_chain(folder, DevnetOptions(**{name: given[name] for name in names}), time.time_ns())

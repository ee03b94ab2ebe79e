"""Commands that run a node: devnet, testnet, demo, init, start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from openledger.node.cli.common import App, Command, Whole, pass_app
from openledger.node.cli.devnet import devnet
from openledger.node.cli.networks import testnet

if TYPE_CHECKING:
    from openledger.node.wiring import Node


@click.command(cls=Command)
@click.option("--start", "start_node", is_flag=True, help="Start a devnet when no node answers, and stop it after.")
@click.option("--port", type=Whole(1, 65535), help="Port of the devnet on this machine (default 8545).")
@click.option("--size", default="medium", type=click.Choice(["small", "medium", "large"]), help="How much to learn.")
@pass_app
def demo(app: App, start_node: bool, port: int | None, size: str) -> None:
    """Run the whole loop on real text against a running node: data, model, answer, claim, verdict, OPEN."""
    from openledger.node.demo import run_demo

    url = f"http://127.0.0.1:{port}" if port and not app.node_given else app.node
    run_demo(app, url, start_node=start_node, size=size)


@click.command(cls=Command)
@click.option("--genesis", "genesis_source", metavar="FILE|URL",
              help="Genesis of a network to join; without it, a chain of one validator is made.")  # fmt: skip
@click.option("--sync-from", metavar="URL[,URL]",
              help="Nodes to join by: genesis, peers, a block to trust; the state comes by snapshot.")  # fmt: skip
@click.option("--trust-height", type=Whole(1), help="Trust this block, instead of what the nodes say.")
@click.option("--trust-hash", help="Its header hash in CometBFT, 64 hex digits.")
@click.option("--starting-port", type=Whole(1, 65533),
              help="JSON-RPC listens here, peers one above, CometBFT's RPC two above.")  # fmt: skip
@click.option("--chain-id", type=Whole(1, 2**53 - 1), help="EVM chain id of a chain of one's own (161237).")
@click.option("--name", default="node", help="Name of this node.")
@pass_app
def init(
    app: App, genesis_source: str | None, sync_from: str | None, trust_height: int | None, trust_hash: str | None,
    starting_port: int | None, chain_id: int | None, name: str,
) -> None:  # fmt: skip
    """Make the home folder of a node: configuration, validator key, genesis."""
    import asyncio

    from openledger.node.joining import joining_config, prepare, words
    from openledger.node.network import init_home, initial_config

    if (trust_height is None) != (trust_hash is None):
        raise click.UsageError("--trust-height and --trust-hash belong together")
    if chain_id is not None and (genesis_source or sync_from):
        raise click.UsageError("--chain-id is for a chain of one's own; a network's is in its genesis")
    genesis, found = asyncio.run(prepare(genesis_source, sync_from, trust_height, trust_hash))
    config = initial_config(name, starting_port)
    made = init_home(app.home, genesis, config if found is None else joining_config(config, found), chain_id)
    joins = [] if found is None else words(found)
    data = made | ({} if found is None else {"trust_height": found.trust_height, "trust_hash": found.trust_hash})
    app.emit(data, [f"home     {made['home']}", f"chain    {made['chain_id']}", f"validator {made['validator']}",
                    *joins, "", f"Next: openledger --home {made['home']} start"])  # fmt: skip


@click.command(cls=Command)
@click.option("--port", type=Whole(0, 65535), help="Port of RPC and web page, instead of the configured one.")
@click.option("--lite", is_flag=True, help="Without the oracle process.")
@pass_app
def start(app: App, port: int | None, lite: bool) -> None:
    """Run the node of the home folder with CometBFT."""
    from openledger.node import config as configuration
    from openledger.node.devnet import with_port
    from openledger.node.logging import setup
    from openledger.node.network import network_node
    from openledger.node.wiring import run_loop

    config = with_port(configuration.load(app.home), port)
    setup(config.log)

    def ready(node: Node) -> None:
        genesis = node.settings.genesis
        data = {"rpc": node.url, "chainId": genesis.evm_chain_id, "cometChainId": genesis.chain_id}
        app.emit(data, f"Ready: {node.url}  chain {genesis.chain_id}  oracle {node.oracle_text}")

    async def main() -> None:
        await network_node(app.home, config, lite=lite).run(ready)

    run_loop(main())


COMMANDS = [devnet, testnet, demo, init, start]

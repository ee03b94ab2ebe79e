"""Commands for several nodes on one machine: testnet, and devnet with --validators."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openledger.node.cli.common import App, Command, Whole, pass_app

if TYPE_CHECKING:
    from openledger.node.cluster import Cluster
    from openledger.node.config import Config

MOST = 50


def run_devnet(
    app: App, folder: Path, count: int, config: Config, *, port: int | None, fresh: bool, lite: bool, demo: bool
) -> None:
    """``devnet --validators N``: until Ctrl-C."""
    from openledger.node.devnet import banner, facts
    from openledger.node.devnets import cluster_of, node_lines, open_devnet, running
    from openledger.node.wiring import run_loop

    devnet = open_devnet(folder, count, config, fresh=fresh, port=port, lite=lite)

    def ready(cluster: Cluster) -> None:
        found = running(devnet, cluster)
        nodes = [{"name": c.name, "rpc": c.url, "process": c.pid} for c in cluster.children]
        app.emit(facts(found) | {"nodes": nodes}, banner(found, demo=demo, more=node_lines(cluster)))

    async def main() -> None:
        cluster, environment, note = cluster_of(devnet, config, port=port, lite=lite)
        if note:
            click.echo(note, err=True)
        await cluster.run(ready, environment)

    run_loop(main())


@click.command(cls=Command)
@click.option("--validators", "count", type=Whole(1, MOST), default=4, show_default=True,
              help="How many nodes; each is a validator of the same power.")  # fmt: skip
@click.option("--output", "folder", required=True, type=click.Path(file_okay=False, path_type=Path),
              help="Folder to write; it must be empty or not there.")  # fmt: skip
@click.option("--starting-port", type=Whole(1, 65535), default=8545, show_default=True,
              help="JSON-RPC of node0; node i listens from this + 10 i.")  # fmt: skip
@click.option("--chain-id", type=Whole(1, 2**53 - 1), default=161237, show_default=True, help="EVM chain id.")
@click.option("--devnet-params", is_flag=True, help="Epochs of 5 seconds and votes of a minute, as on the devnet.")
@pass_app
def testnet(app: App, count: int, folder: Path, starting_port: int, chain_id: int, devnet_params: bool) -> None:
    """Write the homes of a network of validators on this machine: keys, genesis, ports, peers, a start script."""
    from openledger.genesis.params import Params
    from openledger.genesis.presets import DEVNET_PARAMS
    from openledger.node.config import Config
    from openledger.node.testnet import START_SCRIPT, make_network, with_usable_engine

    config, note = with_usable_engine(Config())
    config = replace(config, log=replace(config.log, level="info"))
    made = make_network(
        folder, count, time.time_ns(), starting_port=starting_port, evm_chain_id=chain_id,
        params=DEVNET_PARAMS if devnet_params else Params(), base=config,
    )  # fmt: skip
    nodes: list[dict[str, Any]] = [
        {"name": m.name, "home": str(m.home), "rpc": m.url, "p2p": m.p2p, "cometRpc": m.comet_rpc, "nodeId": node_id}
        for m, node_id in zip(made.members, made.node_ids, strict=True)
    ]
    data = {
        "folder": str(made.folder),
        "chainId": chain_id,
        "cometChainId": made.genesis.chain_id,
        "nodes": nodes,
        "note": note,
    }
    lines = [f"{count} validators of chain {made.genesis.chain_id} in {made.folder}", ""]
    lines += [f"  {n['name']:<8} RPC {n['rpc']}  peers {n['p2p']}  CometBFT {n['cometRpc']}" for n in nodes]
    lines += [
        "",
        "Blobs          in each node's home; the nodes give them to each other ([blobs] peers in each config.toml)",
        "Money          dev0 to dev9 (public keys: for play only), and each node's operator.json",
        *([f"Engine         {note}"] if note else []),
        "",
        f"Next: {made.folder / START_SCRIPT}",
        f"or, one node in each terminal: openledger --home {made.members[0].home} start",
        f"then: openledger --node {made.members[0].url} status",
    ]
    app.emit(data, lines)

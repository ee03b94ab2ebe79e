"""A devnet of several validators: the homes of ``testnet`` in a folder kept between runs, run by ``cluster``.

``folder/current`` names the chain in use, as for a devnet of one; below each chain lie node0, node1, ...
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import click

from openledger.genesis.genesis import Genesis
from openledger.node.cluster import Cluster
from openledger.node.config import Config, variable
from openledger.node.devnet_chain import chain_folder
from openledger.node.testnet import START_SCRIPT, free_starting_port, make_network, with_usable_engine
from openledger.node.wiring import oracle_state, read_genesis
from openledger.primitives.errors import WrongDataFolder

DEFAULT_PORT = 8545


@dataclass(frozen=True)
class NetworkDevnet:
    """A devnet of several validators, ready to run."""

    folder: Path
    genesis: Genesis
    homes: tuple[Path, ...]
    oracle_on: bool
    oracle_text: str
    url: str = ""


def open_devnet(
    folder: Path, count: int, config: Config, *, fresh: bool, port: int | None, lite: bool
) -> NetworkDevnet:
    """The network kept in ``folder``; made on the first run and by ``fresh``.

    Raises WrongDataFolder when the folder holds something else or another number of validators, and what
    ``make_network`` raises.
    """
    chain, number = chain_folder(folder, fresh)
    if not chain.exists() or not any(chain.iterdir()):
        first = free_starting_port(count) if port == 0 else port or DEFAULT_PORT
        make_network(chain, count, time.time_ns(), starting_port=first, evm_chain_id=number, base=config)
    (folder / "current").write_text(f"{number}\n", encoding="utf-8")
    homes = tuple(home for i in range(1000) if (home := chain / f"node{i}").is_dir())
    if not homes or not (chain / START_SCRIPT).exists():  # the script is written last
        raise WrongDataFolder(f"{folder} holds a devnet of another kind", "--fresh starts anew, or use another --home")
    if len(homes) != count:
        raise WrongDataFolder(
            f"the devnet in {folder} has {len(homes)} validators",
            f"--validators {len(homes)}, or --fresh to start anew",
        )
    on, text = oracle_state(config, lite)
    return NetworkDevnet(
        chain, read_genesis(chain / "genesis.json"), homes, on, f"{text} (in every node)" if on else text
    )


def start_arguments(devnet: NetworkDevnet, port: int | None, lite: bool) -> dict[str, list[str]]:
    """What each node's ``start`` is told besides its home."""
    arguments = {home.name: ["--lite"] if lite else [] for home in devnet.homes}
    if port is not None:
        arguments[devnet.homes[0].name] += ["--port", str(port)]
    return arguments


def cluster_of(
    devnet: NetworkDevnet, config: Config, *, port: int | None, lite: bool
) -> tuple[Cluster, dict[str, str], str]:
    """The processes to run, their environment, and a sentence about the engine (empty when there is nothing to say)."""
    usable, note = with_usable_engine(config)
    environment = dict(os.environ)
    for section, name in (("chain", "engine"), ("log", "level"), ("log", "format")):
        environment[variable(section, name)] = str(getattr(getattr(usable, section), name))
    cluster = Cluster(
        devnet.homes,
        arguments=start_arguments(devnet, port, lite),
        write=lambda line: click.echo(line, err=True),
        colour=sys.stderr.isatty() and not os.environ.get("NO_COLOR"),
        json_lines=config.log.format == "json",
    )
    return cluster, environment, note


def running(devnet: NetworkDevnet, cluster: Cluster) -> NetworkDevnet:
    """The devnet with the address of node0, as it is told to people."""
    return replace(devnet, url=cluster.children[0].url)


def node_lines(cluster: Cluster) -> list[str]:
    """Where each node answers."""
    return [f"{child.name:<14} {child.url}  process {child.pid}" for child in cluster.children]

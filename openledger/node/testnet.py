"""The homes of a whole network on one machine: keys, one genesis, ports, peers, and a script that starts it.

    folder/node0 ... nodeN-1/   homes as `openledger start` wants them, each with operator.json: the key that earns
    folder/genesis.json         the chain, the same in every home
    folder/start.sh             starts all nodes; Ctrl-C stops them

Node i listens on three ports from ``starting_port`` + 10 i: JSON-RPC, CometBFT's peers, CometBFT's own RPC.
"""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from openledger.genesis.genesis import Genesis, GenesisAccount, GenesisValidator
from openledger.genesis.params import Params
from openledger.genesis.presets import DEV_BALANCE, DEV_CHAIN_ID, DEVNET_PARAMS, devnet_genesis
from openledger.node.config import FILE, BlobsConfig, ChainConfig, Config, ConsensusConfig, RpcConfig, render
from openledger.node.network import comet_home, comet_settings
from openledger.node.wiring import write_private
from openledger.primitives.errors import InvalidConfig, WrongDataFolder
from openledger.primitives.keys import address_of_private_key, ed25519_public
from openledger.primitives.types import to_checksum, to_hex

POWER = 10
STEP = 10
HOST = "127.0.0.1"
START_SCRIPT = "start.sh"
LISTENING = range(10_000, 30_000)
"""First ports of networks whose ports nobody has chosen."""


@dataclass(frozen=True)
class Member:
    """A node to be: its home, its ports, and the two secrets it begins with (32 bytes each)."""

    name: str
    home: Path
    rpc: int
    seed: bytes
    operator: bytes

    @property
    def p2p(self) -> int:
        return self.rpc + 1

    @property
    def comet_rpc(self) -> int:
        return self.rpc + 2

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.rpc}"


@dataclass(frozen=True)
class Network:
    """What was written."""

    folder: Path
    genesis: Genesis
    members: tuple[Member, ...]
    node_ids: tuple[str, ...]


def check_ports(starting_port: int, count: int) -> None:
    """Raises InvalidConfig when the ports of ``count`` nodes do not fit below 65,536."""
    last = starting_port + STEP * (count - 1) + 2
    if starting_port < 1 or last > 65535:
        raise InvalidConfig(f"{count} nodes from port {starting_port} need ports up to {last}", "--starting-port 20000")


def free_starting_port(count: int) -> int:
    """A port from which all ports of ``count`` nodes are free now: by chance, and below those that systems give to
    outgoing connections, one of which could hold a port while its node is down."""
    while True:
        first = LISTENING.start + secrets.randbelow(len(LISTENING))
        if all(_is_free(first + STEP * i + offset) for i in range(count) for offset in range(3)):
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def make_network(
    folder: Path,
    count: int,
    time_ns: int,
    *,
    starting_port: int = 8545,
    evm_chain_id: int = DEV_CHAIN_ID,
    params: Params = DEVNET_PARAMS,
    base: Config | None = None,
) -> Network:
    """Write the homes of ``count`` validators of equal power into ``folder``.

    ``base`` is the configuration that each node's own ports, peers and name are put into. Raises
    WrongDataFolder when the folder is not empty, InvalidConfig for ports that do not fit, InvalidGenesis,
    MissingProgram without CometBFT. Nothing stays behind then.
    """
    from openledger.node.engines.binary import find_cometbft

    base = base or Config()
    check_ports(starting_port, count)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WrongDataFolder(f"{folder} is not empty", "choose another folder")
    binary = find_cometbft(base.consensus.program)
    folder = folder.resolve()
    members = tuple(
        Member(f"node{i}", folder / f"node{i}", starting_port + STEP * i, secrets.token_bytes(32), _secret())
        for i in range(count)
    )
    genesis = network_genesis(members, time_ns, evm_chain_id, params)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        from openledger.node.engines.home import init_home

        ids = tuple(
            init_home(comet_home(m.home), genesis, seed=m.seed, settings=comet_settings(base), binary=binary)
            for m in members
        )
        for member in members:
            _write_home(member, members, ids, genesis, base)
        (folder / "genesis.json").write_text(genesis.to_json(), encoding="utf-8")
        _write_script(folder / START_SCRIPT, [m.name for m in members])
    except BaseException:
        for entry in folder.iterdir():  # it was empty before
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        raise
    return Network(folder, genesis, members, ids)


def network_genesis(members: Sequence[Member], time_ns: int, evm_chain_id: int, params: Params) -> Genesis:
    """The ten well-known accounts, and validators of equal power whose operators have as much each.

    Raises InvalidGenesis.
    """
    operators = [address_of_private_key(m.operator) for m in members]
    power = max(POWER, -(-params.min_self_bond // params.power_unit))  # as much as somebody who joins needs at least
    validators = tuple(
        GenesisValidator(ed25519_public(m.seed), power, operator, m.name)
        for m, operator in zip(members, operators, strict=True)
    )
    genesis = devnet_genesis(validators, time_ns, evm_chain_id=evm_chain_id, params=params)
    accounts = genesis.accounts | {operator: GenesisAccount(DEV_BALANCE) for operator in operators}
    genesis = replace(genesis, accounts=accounts)
    genesis.validate()
    return genesis


def _secret() -> bytes:
    """A random secp256k1 key (32 bytes); all but one in 2^127 numbers are one, so the range is not tried again."""
    return (1 + secrets.randbelow(2**255)).to_bytes(32, "big")


def node_config(member: Member, others: Sequence[Member], peers: Sequence[str], base: Config) -> Config:
    """The configuration of one node; it exchanges blobs with all ``others``."""
    consensus: ConsensusConfig = replace(
        base.consensus,
        p2p=f"tcp://{HOST}:{member.p2p}",
        rpc=f"tcp://{HOST}:{member.comet_rpc}",
        name=member.name,
        peers=tuple(peers),
    )
    rpc: RpcConfig = replace(base.rpc, host=HOST, port=member.rpc)
    blobs: BlobsConfig = replace(base.blobs, url="", peers=tuple(other.url for other in others))
    return replace(base, consensus=consensus, rpc=rpc, blobs=blobs)


def _write_home(member: Member, members: Sequence[Member], ids: Sequence[str], genesis: Genesis, base: Config) -> None:
    from openledger.node.engines.home import write_config

    peers = [f"{i}@{HOST}:{m.p2p}" for i, m in zip(ids, members, strict=True) if m != member]
    config = node_config(member, [m for m in members if m != member], peers, base)
    write_config(comet_home(member.home), comet_settings(config))
    (member.home / FILE).write_text(render(config), encoding="utf-8")
    (member.home / "genesis.json").write_text(genesis.to_json(), encoding="utf-8")
    operator = {"address": to_checksum(address_of_private_key(member.operator)), "privateKey": to_hex(member.operator)}
    write_private(member.home / "operator.json", json.dumps(operator, indent=2) + "\n")


def _write_script(path: Path, names: Sequence[str]) -> None:
    """A POSIX shell script. Each node's log goes to the file ``log`` in its home; arguments go to every node."""
    path.write_text(
        f"""#!/bin/sh
# Starts all nodes of this network; Ctrl-C stops them. Arguments go to `openledger start` of every node.
cd "$(dirname "$0")" || exit 1
python="${{PYTHON:-{sys.executable}}}"
nodes=""
stop() {{
  trap '' INT TERM
  kill $nodes 2>/dev/null
  wait
  exit 0
}}
trap stop INT TERM
for node in {" ".join(names)}; do
  "$python" -m openledger.node --home "$node" start "$@" >>"$node/log" 2>&1 &
  nodes="$nodes $!"
  echo "$node  process $!  log $(pwd)/$node/log"
done
wait
""",
        encoding="utf-8",
    )
    path.chmod(0o755)


def with_usable_engine(config: Config) -> tuple[Config, str]:
    """The configuration with an engine that several validators may run on this machine, and a sentence when that is
    the slow one. For devnets and local test networks only: elsewhere a node without the native engine must be
    refused, since one block can keep it busy for minutes."""
    from openledger.evm.engines import native_available

    if config.chain.engine != "auto" or native_available():
        return config, ""
    chain: ChainConfig = replace(config.chain, engine="py-evm")
    return replace(config, chain=chain), "The native engine is not built (make native), so the nodes run py-evm."

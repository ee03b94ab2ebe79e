"""Writes the homes of a network out of its description: what ``openledger testnet`` writes, then powers, followers,
twins, scripts, and the cables between the peers."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import asdict, replace
from pathlib import Path

from network.links import HOST, Links
from network.node import SCRIPT
from network.skewed import skewed
from network.spec import NodeSpec, Spec

from openledger.genesis.genesis import Genesis
from openledger.genesis.presets import DEVNET_PARAMS
from openledger.node.config import Config, ConsensusConfig, LogConfig
from openledger.node.engines.binary import PINNED, SUPPORTED, find_cometbft
from openledger.node.engines.home import edit_toml
from openledger.node.network import comet_home
from openledger.node.testnet import Network, free_starting_port, make_network, with_usable_engine

ROOT = Path(__file__).resolve().parents[3]
LONG_AGO = 3600
"""Seconds; the age of genesis where clocks are wrong."""
KEY = Path("config") / "priv_validator_key.json"


def program(version: str) -> str:
    """The CometBFT of a version (the pinned one when empty). Raises MissingProgram."""
    version = version or PINNED
    return str(find_cometbft(str(ROOT / ".tools" / f"cometbft-{version}" / "cometbft")).path)


def oldest(spec: Spec) -> str:
    """The version that writes the homes: a node that is upgraded later keeps the configuration of its youth."""
    versions = {node.cometbft or PINNED for node in spec.nodes}
    return next(version for version in reversed(SUPPORTED) if version in versions)


def make_homes(spec: Spec, folder: Path) -> Network:
    """All homes, each node's script among them. Raises MissingProgram without CometBFT."""
    params = replace(
        DEVNET_PARAMS,
        epoch_seconds=spec.epoch_seconds,
        hold_seconds=spec.phase_seconds,
        vote_seconds=spec.phase_seconds,
        reveal_seconds=spec.phase_seconds,
        gov_voting_seconds=spec.voting_seconds,
        signed_window=10_000,  # longer than any run: who is hurt here is not to be jailed for it as well
    )
    consensus = ConsensusConfig(
        program=program(oldest(spec)),
        commit_wait_ms=spec.commit_wait_ms,
        empty_block_ms=spec.empty_block_ms,
        mempool=spec.mempool or "auto",
    )
    base, _ = with_usable_engine(Config(consensus=consensus, log=LogConfig(level="warning")))
    count = len(spec.nodes)
    old = LONG_AGO if any(node.skew for node in spec.nodes) else 0  # else a clock that is behind waits for it
    begin = time.time_ns() - old * 10**9
    made = make_network(folder, count, begin, starting_port=free_starting_port(count), params=params, base=base)
    genesis = _genesis(spec, made.genesis)
    for node, member in zip(spec.nodes, made.members, strict=True):
        for path in (member.home / "genesis.json", comet_home(member.home) / "config" / "genesis.json"):
            path.write_text(genesis.to_json(), encoding="utf-8")
        script = {"oracle": node.oracle, "byzantine": [asdict(role) for role in node.byzantine]}
        (member.home / SCRIPT).write_text(json.dumps(script))
        if node.twin_of:
            other = next(m for m in made.members if m.name == node.twin_of)
            shutil.copy(comet_home(other.home) / KEY, comet_home(member.home) / KEY)
    return replace(made, genesis=genesis)


def _genesis(spec: Spec, genesis: Genesis) -> Genesis:
    """With the powers of the description, and without those who are no validators of their own."""
    validators = tuple(
        replace(validator, power=node.power)
        for node, validator in zip(spec.nodes, genesis.validators, strict=True)
        if not node.follower and not node.twin_of
    )
    changed = replace(genesis, validators=validators)
    changed.validate()
    return changed


def wire(made: Network, links: Links) -> dict[str, dict[str, str]]:
    """Let the peers call each other through the cables only; each node's environment for that."""
    found: dict[str, dict[str, str]] = {}
    for caller in made.members:
        path = comet_home(caller.home) / "config" / "config.toml"
        path.write_text(edit_toml(path.read_text(), {"p2p": {"pex": False}}))  # no other way to each other
        peers = [
            f"{node_id}@{HOST}:{links.port(caller.name, callee.name)}"
            for callee, node_id in zip(made.members, made.node_ids, strict=True)
            if callee != caller
        ]
        found[caller.name] = {"OPENLEDGER_CONSENSUS_PEERS": ",".join(peers)}
    return found


def environment(node: NodeSpec, extra: dict[str, str]) -> dict[str, str]:
    """The environment of a node's process."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("OPENLEDGER_")}
    own |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "OPENLEDGER_CONSENSUS_PROGRAM": program(node.cometbft)}
    if node.skew:
        own |= {"CLOCK_SKEW": f"{node.skew}s", "OPENLEDGER_CONSENSUS_PROGRAM": skewed(node.cometbft or PINNED)}
    return own | node.environment | extra

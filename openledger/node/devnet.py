"""The development chain: one validator in the process, funded accounts that everybody knows (devnet_chain.py)."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from openledger.genesis.genesis import Genesis
from openledger.genesis.presets import DEV_BALANCE, DEV_MNEMONIC, dev_accounts
from openledger.node.config import Config
from openledger.node.devnet_chain import DevnetChain, DevnetOptions, open_chain
from openledger.node.wiring import ConsensusEngine, Node, NodeSettings
from openledger.primitives.amounts import format_amount
from openledger.primitives.keys import consensus_address, ed25519_public
from openledger.primitives.types import to_checksum, to_hex

if TYPE_CHECKING:
    from openledger.abci_app.application import Application
    from openledger.node.engines.solo import SoloEngine

OPERATOR = 9
"""The dev account that earns for the validator."""


def devnet_node(
    folder: Path, config: Config, options: DevnetOptions | None = None, *, block_time_ms: int | None = None,
    automine: bool = True, lite: bool = False,
) -> Node:  # fmt: skip
    """The devnet kept in ``folder``, ready to ``run``."""
    return node_of(open_chain(folder, options or DevnetOptions(), time.time_ns()), config, block_time_ms=block_time_ms,
                   automine=automine, lite=lite)  # fmt: skip


def node_of(
    chain: DevnetChain, config: Config, *, block_time_ms: int | None = None, automine: bool = True, lite: bool = False
) -> Node:
    """The node of a devnet that is on the disk."""
    from openledger.node.engines.controls import DevnetControls
    from openledger.node.engines.solo import SoloEngine
    from openledger.node.pool_journal import PoolJournal

    def make_engine(app: Application) -> SoloEngine:
        return SoloEngine(
            app, seed=chain.seed, clock=time.time_ns, block_time_ms=block_time_ms, automine=automine,
            journal=PoolJournal(chain.folder / "pool"),
        )  # fmt: skip

    def make_controls(engine: ConsensusEngine, app: Application) -> DevnetControls:
        fork = None if chain.fork is None else chain.fork.facts
        return DevnetControls(cast("SoloEngine", engine), app, dict(chain.accounts), fork)

    return Node(
        NodeSettings(
            chain.folder, chain.genesis, config, make_engine, "solo", lite=lite, fork=chain.fork,
            validator=consensus_address(ed25519_public(chain.seed)), make_controls=make_controls,
        )
    )  # fmt: skip


def with_port(config: Config, port: int | None) -> Config:
    """The configuration with another RPC port."""
    return config if port is None else replace(config, rpc=replace(config.rpc, port=port))


def with_engine(config: Config, engine: str | None) -> Config:
    """The configuration with another EVM engine, when one is given."""
    return config if engine is None else replace(config, chain=replace(config.chain, engine=engine))


class Devnet(Protocol):
    """What is told of a running devnet: one node, or node0 of several."""

    @property
    def genesis(self) -> Genesis: ...

    @property
    def folder(self) -> Path: ...

    @property
    def url(self) -> str: ...

    @property
    def oracle_text(self) -> str: ...

    @property
    def oracle_on(self) -> bool: ...


def add_chain(node: Devnet) -> dict[str, Any]:
    """Parameters of ``wallet_addEthereumChain`` (EIP-3085)."""
    return {
        "chainId": hex(node.genesis.evm_chain_id),
        "chainName": "OpenLedger devnet",
        "rpcUrls": [node.url],
        "nativeCurrency": {"name": "OPEN", "symbol": "OPEN", "decimals": 18},
    }


def facts(node: Devnet, chain: DevnetChain | None = None) -> dict[str, Any]:
    """What a newcomer needs, for machines; ``chain`` where the accounts may be others than the usual ones."""
    genesis, accounts = node.genesis, chain.accounts if chain else dev_accounts()
    found: dict[str, Any] = {
        "rpc": node.url,
        "webSocket": node.url.replace("http", "ws", 1),
        "web": node.url + "/",
        "chainId": genesis.evm_chain_id,
        "cometChainId": genesis.chain_id,
        "currency": "OPEN",
        "oracle": node.oracle_text,
        "folder": str(node.folder),
        "mnemonic": chain.mnemonic if chain else DEV_MNEMONIC,
        "accounts": [{"address": to_checksum(a), "privateKey": to_hex(s)} for a, s in accounts],
        "addEthereumChain": add_chain(node),
    }
    if chain and chain.fork:
        found["fork"] = {"url": chain.fork.facts.url, "chainId": chain.fork.chain_id, "block": chain.fork.block}
    return found


def banner(node: Devnet, *, demo: bool, more: Sequence[str] = (), chain: DevnetChain | None = None) -> list[str]:
    """What a newcomer needs, as lines; ``more`` stands below the facts."""
    genesis, accounts = node.genesis, chain.accounts if chain else dev_accounts()
    balance = format_amount(chain.balance if chain else DEV_BALANCE)
    lines = [
        "",
        "OpenLedger devnet",
        "=================",
        "",
        "Accounts (public keys of a public phrase: never send real money to them)",
    ]
    lines += [f"  ({i}) {to_checksum(a)}  {balance:>10}" for i, (a, _) in enumerate(accounts)]
    lines += ["", "Private keys"]
    lines += [f"  ({i}) {to_hex(s)}" for i, (_, s) in enumerate(accounts)]
    lines += [
        "",
        f"Mnemonic       {chain.mnemonic if chain else DEV_MNEMONIC}",
        "Path           m/44'/60'/0'/0/<n>",
        "",
        "MetaMask: Add network manually, or press the button on the web page",
        "  Network name  OpenLedger devnet",
        f"  RPC URL       {node.url}",
        f"  Chain ID      {genesis.evm_chain_id} ({genesis.evm_chain_id:#x})",
        "  Currency      OPEN",
        f"  Explorer      {node.url}/",
        f"  wallet_addEthereumChain  {json.dumps(add_chain(node))}",
        "",
        f"Web page       {node.url}/",
        f"WebSocket      {node.url.replace('http', 'ws', 1)}",
        f"Data           {node.folder} (--fresh starts anew)",
        f"Oracle         {node.oracle_text}",
        *_fork_lines(chain),
        *more,
    ]
    if demo and node.oracle_on:
        where = "" if node.url.endswith(":8545") else f" --node {node.url}"
        lines += ["", f"Next, in a second terminal: .venv/bin/openledger demo{where}"]
    return [*lines, "", "Ready. Ctrl-C stops it; the chain is kept.", ""]


def _fork_lines(chain: DevnetChain | None) -> list[str]:
    if chain is None or chain.fork is None:
        return []
    return [
        f"Fork           block {chain.fork.block} of chain {chain.fork.chain_id} at {chain.fork.facts.url}",
        "               what you sign here is valid there as well, unless --chain-id makes the chain another one",
    ]

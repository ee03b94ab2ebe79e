"""The development chain: one validator in the process, ten funded accounts that everybody knows, kept between runs.

``folder/current`` names the chain in use; each chain has its own folder, named by its EVM chain id. ``--fresh`` makes
the next one, with another chain id, so that wallets notice that nonces began anew; the old folder stays.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from openledger.genesis.genesis import Genesis, GenesisValidator
from openledger.genesis.presets import DEV_BALANCE, DEV_CHAIN_ID, DEV_MNEMONIC, dev_accounts, devnet_genesis
from openledger.node.config import Config
from openledger.node.wiring import ConsensusEngine, Node, NodeSettings, read_genesis, write_private
from openledger.primitives.amounts import format_amount
from openledger.primitives.errors import DecodingError, WrongDataFolder
from openledger.primitives.jsonio import read_json
from openledger.primitives.keys import consensus_address, ed25519_public
from openledger.primitives.types import from_hex, to_checksum, to_hex

if TYPE_CHECKING:
    from openledger.abci_app.application import Application
    from openledger.node.engines.solo import SoloEngine

OPERATOR = 9
"""The dev account that earns for the validator."""


def chain_folder(folder: Path, fresh: bool) -> tuple[Path, int]:
    """Folder and EVM chain id of the chain to run. Raises WrongDataFolder when ``folder`` holds something else."""
    marker = folder / "current"
    if marker.exists():
        text = marker.read_bytes().decode("utf-8", "replace").strip()
        if not re.fullmatch("[0-9]{1,16}", text):
            raise WrongDataFolder(f"{marker} does not name a chain", "remove the file, or use another --home")
        number = int(text)
    else:
        if folder.is_dir() and any(p.name in ("state", "genesis.json", "cometbft") for p in folder.iterdir()):
            raise WrongDataFolder(f"{folder} is the home of another node, not of a devnet", "use another --home")
        number, fresh = DEV_CHAIN_ID, False
    if fresh:
        used = [int(p.name) for p in folder.iterdir() if p.name.isdigit()]
        number = max([number, *used]) + 1
    return folder / str(number), number


def open_chain(folder: Path, *, fresh: bool, now_ns: int) -> tuple[Path, Genesis, bytes]:
    """Folder, genesis and validator seed of the devnet in ``folder``; made on the first run and by ``fresh``.

    Raises WrongDataFolder or InvalidGenesis.
    """
    chain, number = chain_folder(folder, fresh)
    genesis_file, validator_file = chain / "genesis.json", chain / "validator.json"
    if not genesis_file.exists():
        seed = secrets.token_bytes(32)
        operator = dev_accounts()[OPERATOR][0]
        validator = GenesisValidator(ed25519_public(seed), 10, operator, "devnet")
        genesis = devnet_genesis((validator,), now_ns, evm_chain_id=number, solo=True)
        validator_file.unlink(missing_ok=True)
        write_private(validator_file, json.dumps({"seed": to_hex(seed)}) + "\n")
        genesis_file.write_text(genesis.to_json(), encoding="utf-8")
    (folder / "current").write_text(f"{number}\n", encoding="utf-8")
    genesis = read_genesis(genesis_file)
    try:
        seed = from_hex(read_json(validator_file.read_bytes())["seed"], 32)
    except (OSError, DecodingError, KeyError, TypeError):
        raise WrongDataFolder(f"{validator_file} is damaged", "start anew with --fresh") from None
    if ed25519_public(seed) != genesis.validators[0].pub_key:
        raise WrongDataFolder(f"{validator_file} does not belong to this chain", "start anew with --fresh")
    return chain, genesis, seed


def devnet_node(
    folder: Path, config: Config, *, fresh: bool = False, block_time_ms: int | None = None, automine: bool = True,
    lite: bool = False,
) -> Node:  # fmt: skip
    """The devnet kept in ``folder``, ready to ``run``."""
    from openledger.node.engines.controls import DevnetControls
    from openledger.node.engines.solo import SoloEngine
    from openledger.node.pool_journal import PoolJournal

    chain, genesis, seed = open_chain(folder, fresh=fresh, now_ns=time.time_ns())

    def make_engine(app: Application) -> SoloEngine:
        return SoloEngine(
            app, seed=seed, clock=time.time_ns, block_time_ms=block_time_ms, automine=automine,
            journal=PoolJournal(chain / "pool"),
        )  # fmt: skip

    def make_controls(engine: ConsensusEngine, app: Application) -> DevnetControls:
        return DevnetControls(cast(SoloEngine, engine), app, dict(dev_accounts()))

    own = consensus_address(ed25519_public(seed))
    return Node(
        NodeSettings(
            chain, genesis, config, make_engine, "solo", validator=own, lite=lite,
            make_controls=make_controls if genesis.solo else None,
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


def facts(node: Devnet) -> dict[str, Any]:
    """What a newcomer needs, for machines."""
    genesis = node.genesis
    return {
        "rpc": node.url,
        "webSocket": node.url.replace("http", "ws", 1),
        "web": node.url + "/",
        "chainId": genesis.evm_chain_id,
        "cometChainId": genesis.chain_id,
        "currency": "OPEN",
        "oracle": node.oracle_text,
        "folder": str(node.folder),
        "mnemonic": DEV_MNEMONIC,
        "accounts": [{"address": to_checksum(a), "privateKey": to_hex(s)} for a, s in dev_accounts()],
    }


def banner(node: Devnet, *, demo: bool, more: Sequence[str] = ()) -> list[str]:
    """What a newcomer needs, as lines; ``more`` stands below the facts."""
    genesis, accounts = node.genesis, dev_accounts()
    width = max(len(format_amount(DEV_BALANCE)), 10)
    lines = [
        "",
        "OpenLedger devnet",
        "=================",
        "",
        "Accounts (public keys of a public phrase: never send real money to them)",
    ]
    lines += [f"  ({i}) {to_checksum(a)}  {format_amount(DEV_BALANCE):>{width}}" for i, (a, _) in enumerate(accounts)]
    lines += ["", "Private keys"]
    lines += [f"  ({i}) {to_hex(s)}" for i, (_, s) in enumerate(accounts)]
    lines += [
        "",
        f"Mnemonic       {DEV_MNEMONIC}",
        "Path           m/44'/60'/0'/0/<n>",
        "",
        "MetaMask: Add network manually",
        "  Network name  OpenLedger devnet",
        f"  RPC URL       {node.url}",
        f"  Chain ID      {genesis.evm_chain_id} ({genesis.evm_chain_id:#x})",
        "  Currency      OPEN",
        f"  Explorer      {node.url}/",
        "",
        f"Web page       {node.url}/",
        f"WebSocket      {node.url.replace('http', 'ws', 1)}",
        f"Data           {node.folder} (--fresh starts anew)",
        f"Oracle         {node.oracle_text}",
        *more,
    ]
    if demo and node.oracle_on:
        where = "" if node.url.endswith(":8545") else f" --node {node.url}"
        lines += ["", f"Next, in a second terminal: .venv/bin/openledger demo{where}"]
    return [*lines, "", "Ready. Ctrl-C stops it; the chain is kept.", ""]

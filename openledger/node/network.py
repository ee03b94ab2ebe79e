"""A node of a network: its home folder, and the wiring with CometBFT.

home/config.toml     our settings (config.py)      home/cometbft/   CometBFT's own home, its keys included
home/genesis.json    the chain                     home/state, home/blobs, home/oracle: see wiring.py
home/pool/           acknowledged transactions that no block holds yet (pool_journal.py)
"""

from __future__ import annotations

import asyncio
import base64
import logging
import secrets
import shutil
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from openledger.genesis.genesis import Genesis, GenesisValidator
from openledger.genesis.presets import DEV_CHAIN_ID, dev_accounts, devnet_genesis
from openledger.node.config import FILE, Config, ConsensusConfig, RpcConfig, render
from openledger.node.devnet import OPERATOR
from openledger.node.keystore import WHOSE
from openledger.node.wiring import Node, NodeSettings, read_genesis
from openledger.primitives.errors import (
    DecodingError,
    InvalidConfig,
    InvalidGenesis,
    InvalidJson,
    KeystoreError,
    UpgradeNeeded,
    WrongDataFolder,
)
from openledger.primitives.jsonio import read_json
from openledger.primitives.keys import consensus_address, ed25519_public, ed25519_sign
from openledger.primitives.types import from_hex, to_hex

if TYPE_CHECKING:
    from openledger.abci_app.application import Application
    from openledger.node.engines.cometbft import CometEngine
    from openledger.node.engines.home import CometSettings

log = logging.getLogger(__name__)

LAST_BLOCK_SECONDS = 1.0


def comet_home(home: Path) -> Path:
    """CometBFT's own folder."""
    return home / "cometbft"


def comet_settings(config: Config) -> CometSettings:
    """What our configuration means for CometBFT's. Raises InvalidConfig for the app mempool with blocks on demand, and
    for a name that CometBFT's peers refuse."""
    from openledger.node.engines.home import CometSettings

    consensus, sync = config.consensus, config.statesync
    servers = sync.rpc_servers * 2 if len(sync.rpc_servers) == 1 else sync.rpc_servers  # CometBFT wants two
    if not (consensus.name.isascii() and consensus.name.isprintable() and consensus.name.strip()):
        raise InvalidConfig(
            f"[consensus] name is none that peers take: {consensus.name!r}", "letters, digits and signs of ASCII"
        )
    if consensus.mempool == "app" and consensus.empty_block_ms:
        raise InvalidConfig(
            f"with the app mempool every block would wait {consensus.empty_block_ms} ms, transactions or not",
            'set empty_block_ms = 0 under [consensus], or mempool = "flood"',
        )
    return CometSettings(
        moniker=consensus.name,
        p2p=consensus.p2p,
        rpc=consensus.rpc,
        persistent_peers=",".join(consensus.peers),
        timeout_commit=f"{consensus.commit_wait_ms}ms",
        empty_blocks_interval=f"{consensus.empty_block_ms}ms",
        mempool="app" if consensus.mempool == "app" else "flood",
        log_level=config.log.cometbft,
        remote_signer=consensus.remote_signer,
        statesync=sync.enable,
        rpc_servers=",".join(servers),
        trust_height=sync.trust_height,
        trust_hash=sync.trust_hash,
        trust_period=f"{sync.trust_period_hours}h0m0s",
    )


def initial_config(name: str, starting_port: int | None) -> Config:
    """The configuration of a new node: the usual ports, or three from ``starting_port`` on."""
    config = Config(consensus=ConsensusConfig(name=name))
    if starting_port is None:
        return config
    consensus: ConsensusConfig = replace(
        config.consensus, p2p=f"tcp://127.0.0.1:{starting_port + 1}", rpc=f"tcp://127.0.0.1:{starting_port + 2}"
    )
    rpc: RpcConfig = replace(config.rpc, port=starting_port)
    return replace(config, consensus=consensus, rpc=rpc)


def init_home(home: Path, genesis: Genesis | None, config: Config, evm_chain_id: int | None = None) -> dict[str, str]:
    """Make the home of a node; a chain of its own, with that EVM chain id, when no genesis is given.

    Raises WrongDataFolder when there is one already, MissingProgram without CometBFT, InvalidGenesis, InvalidConfig.
    """
    from openledger.node.engines.binary import find_cometbft
    from openledger.node.engines.home import init_home as init_comet

    if any((home / entry).exists() for entry in (FILE, "genesis.json", "current", "cometbft")):
        raise WrongDataFolder(f"{home} is the home of a node already", "openledger start, or another --home")
    settings = comet_settings(config)
    binary = find_cometbft(config.consensus.program)
    seed = secrets.token_bytes(32)
    if genesis is None:
        validator = GenesisValidator(ed25519_public(seed), 10, dev_accounts()[OPERATOR][0], config.consensus.name)
        genesis = devnet_genesis((validator,), time.time_ns(), evm_chain_id=evm_chain_id or DEV_CHAIN_ID)
    else:
        for_networks(genesis)
    home.mkdir(parents=True, exist_ok=True)
    try:
        node_id = init_comet(comet_home(home), genesis, seed=seed, settings=settings, binary=binary)
    except BaseException:
        shutil.rmtree(comet_home(home), ignore_errors=True)  # nothing was there before
        raise
    (home / FILE).write_text(render(config), encoding="utf-8")
    (home / "genesis.json").write_text(genesis.to_json(), encoding="utf-8")
    return {
        "home": str(home),
        "chain_id": genesis.chain_id,
        "validator": to_hex(ed25519_public(seed)),
        "node_id": node_id,
        "cometbft": f"{binary.version} at {binary.path}",
    }


def for_networks(genesis: Genesis) -> Genesis:
    """The genesis itself. Raises InvalidGenesis for a solo devnet's: on such a chain whoever makes a block may edit any
    account."""
    if genesis.solo:
        raise InvalidGenesis(
            "this is the genesis of a solo devnet, which no network runs", "openledger devnet, or make another genesis"
        )
    return genesis


def _seed(home: Path) -> bytes:
    """The validator's ed25519 seed. Raises KeystoreError."""
    path = comet_home(home) / "config" / "priv_validator_key.json"
    try:
        seed = base64.b64decode(read_json(path.read_bytes())["priv_key"]["value"])[:32]
    except FileNotFoundError:
        raise KeystoreError(
            f"there is no validator key in {home}",
            "restore it from a backup; `openledger init` makes another home with a key of its own",
        ) from None
    except OSError as err:
        raise KeystoreError(f"the validator key {path} cannot be read: {err.strerror}", WHOSE) from None
    except (InvalidJson, ValueError, KeyError, TypeError):
        seed = b""
    if len(seed) != 32:
        raise KeystoreError(f"the validator key {path} is damaged", "restore it from a backup")
    return seed


def validator_key(home: Path) -> dict[str, str]:
    """Public key and consensus address of the home's validator. Raises KeystoreError."""
    public = ed25519_public(_seed(home))
    return {"public_key": to_hex(public), "address": to_hex(consensus_address(public))}


def own_validator(home: Path, config: Config) -> bytes | None:
    """The consensus address that this node signs with: the configured key's, else that of the home's key; None for an
    external CometBFT without either. Raises InvalidConfig, KeystoreError."""
    consensus = config.consensus
    if consensus.validator_key:
        try:
            return consensus_address(from_hex("0x" + consensus.validator_key.removeprefix("0x"), 32))
        except DecodingError:
            raise InvalidConfig(
                f"[consensus] validator_key is no ed25519 public key: {consensus.validator_key!r}",
                "64 hex digits, as `openledger validator show-key` prints them",
            ) from None
    if consensus.remote_signer:
        raise InvalidConfig(
            "[consensus] remote_signer needs the signer's public key", "give it as validator_key in the same section"
        )
    if consensus.cometbft == "external" and not (comet_home(home) / "config" / "priv_validator_key.json").exists():
        return None
    return consensus_address(ed25519_public(_seed(home)))


def sign_with_validator_key(home: Path, message: bytes) -> tuple[bytes, bytes]:
    """Public key of the home's validator and its signature (64 bytes) over ``message``, which must be nothing that a
    vote or a proposal could be. Raises KeystoreError."""
    seed = _seed(home)
    return ed25519_public(seed), ed25519_sign(seed, message)


def _look_ahead(app: Application, engine: CometEngine, height: int) -> None:
    """End the node where it cannot make the next block, as its proposer would find out, and others perhaps never. A
    moment later, so that neighbours still get the last block from it."""
    try:
        app.check_upgrade()
    except UpgradeNeeded as err:
        log.critical("block %d is the last one for this version: %s", height, err.message)
        asyncio.get_running_loop().call_later(LAST_BLOCK_SECONDS, engine.end, err)


def network_node(home: Path, config: Config, *, lite: bool = False) -> Node:
    """The node of ``home``, ready to ``run``. Raises InvalidGenesis, KeystoreError, InvalidConfig."""
    from openledger.abci_app.modules.staking.records import validator
    from openledger.node.engines.cometbft import CometEngine
    from openledger.node.engines.guard import HISTORY, SignGuard, check_history
    from openledger.node.engines.home import write_config
    from openledger.node.pool_journal import PoolJournal

    consensus = config.consensus
    external = consensus.cometbft == "external"
    if external and not consensus.abci:
        raise InvalidConfig(
            "an external CometBFT needs to know where to connect to",
            'set abci = "tcp://127.0.0.1:26658" in [consensus]',
        )
    genesis = for_networks(read_genesis(home / "genesis.json"))
    own = own_validator(home, config)
    history = comet_home(home) / "data" / HISTORY

    stale = max(60.0, consensus.empty_block_ms / 100)  # ten empty blocks late, and a minute at least

    def make_engine(app: Application) -> CometEngine:
        app.check_upgrade()
        guard = None
        if own is not None and validator(app.state(), own) is None:
            log.info("0x%s is no validator of this chain: this node follows it", own.hex())
        if own is not None:
            window, here = consensus.double_sign_check_height, not external or history.exists()
            kept = history if here and not consensus.remote_signer else None
            if kept is not None:
                check_history(kept, app.store, own, window)
            guard = SignGuard(kept, own, window, time.time_ns, config.blobs.peers)
        settings = comet_settings(config)
        if not external:
            write_config(comet_home(home), settings)
        engine = CometEngine(
            app,
            comet_home(home),
            program=consensus.program,
            address=consensus.abci,
            external=consensus.rpc if external else "",
            mempool=settings.mempool,
            validator=own or b"",
            journal=PoolJournal(home / "pool"),
            guard=guard,
        )
        engine.on_commit(partial(_look_ahead, app, engine))
        return engine

    return Node(NodeSettings(home, genesis, config, make_engine, "cometbft", validator=own, lite=lite, stale=stale))

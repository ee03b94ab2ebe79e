"""CometBFT's home folder: its configuration, keys and genesis, written from ours.

``cometbft init`` of the installed version writes the file, so each version has its own keys; then our settings
replace single values, and a setting that the file does not have is an error. Existing keys and genesis are never
overwritten."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openledger.genesis.genesis import Genesis
from openledger.node.engines.binary import CometBinary
from openledger.primitives.errors import InvalidConfig, InvalidJson, KeystoreError, MissingProgram, WrongDataFolder
from openledger.primitives.jsonio import read_json
from openledger.primitives.keys import consensus_address, ed25519_public

MAX_TX_BYTES = 256 * 1024
"""What CometBFT carries at most as one transaction: a bundle (abci_app/gossip.py) and some room."""

_ANOTHER = (
    "move it away and give `cometbft init --home HOME/cometbft` with a supported version: that writes a whole one, and "
    "leaves keys, genesis and vote history as they are"
)
_ANOTHER_KEY = (
    "restore it, or move it away: the next start makes another, and peers that name this node need its new id "
    "(`cometbft show-node-id --home HOME/cometbft`)"
)
_LINE = re.compile(r"^([A-Za-z0-9_-]+)\s*=")


@dataclass(frozen=True, slots=True)
class CometSettings:
    """What we set in CometBFT's configuration; the rest is as its authors chose. Times are Go durations.

    A block is made at once when there are transactions, and an empty one after ``empty_blocks_interval``, so that
    deadlines and verdicts do not wait for a stranger's transaction. "0s" makes empty blocks without pause, and that is
    the only way in which CometBFT's app mempool (from 0.40) makes blocks in time: it has no bell.
    """

    moniker: str = "node"
    p2p: str = "tcp://127.0.0.1:26656"
    rpc: str = "tcp://127.0.0.1:26657"
    persistent_peers: str = ""
    proxy_app: str = "tcp://127.0.0.1:26658"
    timeout_propose: str = "1s"
    timeout_vote: str = "500ms"
    timeout_commit: str = "200ms"
    empty_blocks_interval: str = "2s"
    peer_gossip_sleep: str = "10ms"
    mempool: str = "flood"
    mempool_size: int = 25_000  # more than the application's: that one says who gives way, and must be asked
    reap_interval: str = "10ms"
    log_level: str = "error"
    remote_signer: str = ""
    statesync: bool = False
    rpc_servers: str = ""
    trust_height: int = 0
    trust_hash: str = ""
    trust_period: str = "168h0m0s"

    def values(self) -> dict[str, dict[str, Any]]:
        """Section -> key -> value of config.toml; the section without name is the file's top."""
        return {
            "": {
                "proxy_app": self.proxy_app,
                "moniker": self.moniker,
                "abci": "socket",
                "log_level": self.log_level,
                "priv_validator_laddr": self.remote_signer,
                "log_format": "json",
            },
            "rpc": {"laddr": self.rpc, "pprof_laddr": ""},
            "p2p": {
                "laddr": self.p2p,
                "persistent_peers": self.persistent_peers,
                "addr_book_strict": False,
                "allow_duplicate_ip": True,
                "flush_throttle_timeout": "10ms",
            },
            "mempool": {
                "type": self.mempool,
                **({"reap_interval": self.reap_interval} if self.mempool == "app" else {}),
                "recheck": True,
                "broadcast": True,
                "size": self.mempool_size,
                "cache_size": 2 * self.mempool_size,
                "max_tx_bytes": MAX_TX_BYTES,
            },
            "consensus": {
                "timeout_propose": self.timeout_propose,
                "timeout_prevote": self.timeout_vote,
                "timeout_precommit": self.timeout_vote,
                "timeout_commit": self.timeout_commit,
                "create_empty_blocks": True,
                "create_empty_blocks_interval": self.empty_blocks_interval,
                "peer_gossip_sleep_duration": self.peer_gossip_sleep,
            },
            "statesync": {
                "enable": self.statesync,
                "rpc_servers": self.rpc_servers,
                "trust_height": self.trust_height,
                "trust_hash": self.trust_hash,
                "trust_period": self.trust_period,
                "discovery_time": "5s",  # the least that CometBFT takes
            },
            "tx_index": {"indexer": "null"},
        }


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else json.dumps(value)


def edit_toml(text: str, values: dict[str, dict[str, Any]]) -> str:
    """``text`` with values replaced, comments and order kept. Raises InvalidConfig for a key that is not there."""
    wanted = {(section, key): value for section, keys in values.items() for key, value in keys.items()}
    section, lines = "", []
    for line in text.splitlines():
        found = _LINE.match(line)
        if line.startswith("["):
            section = line.strip().strip("[]")
        elif found and (section, found[1]) in wanted:
            line = f"{found[1]} = {_toml_value(wanted.pop((section, found[1])))}"
        lines.append(line)
    if wanted:
        section, key = next(iter(wanted))
        raise InvalidConfig(f"CometBFT's config.toml has no {key} in [{section}]", _ANOTHER)
    return "\n".join(lines) + "\n"


def read_config(home: Path) -> dict[str, Any]:
    """CometBFT's configuration. Raises InvalidConfig when it is unreadable, or asks for what this node does not do."""
    path = home / "config" / "config.toml"
    try:
        config = tomllib.loads(path.read_text(encoding="utf-8"))
        mempool, abci = config["mempool"]["type"] or "flood", config["abci"]
        consensus = config.get("consensus", {})
        create = bool(consensus.get("create_empty_blocks", True))
        interval = str(consensus.get("create_empty_blocks_interval", "0s"))
        str(config["rpc"]["laddr"])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as err:
        raise InvalidConfig(f"{path} cannot be read: {err}", _ANOTHER) from None
    except (KeyError, TypeError) as err:
        raise InvalidConfig(f"{path} lacks {err}", _ANOTHER) from None
    if mempool not in ("flood", "app"):
        raise InvalidConfig(f'{path}: [mempool] type is "{mempool}", this node needs "flood" or "app"')
    if mempool == "app" and not (create and re.fullmatch(r"(0(ns|us|µs|ms|s|m|h)?)+", interval)):
        raise InvalidConfig(
            f"{path}: with the app mempool transactions ask for no block, and create_empty_blocks waits {interval}",
            'create_empty_blocks = true and create_empty_blocks_interval = "0s", or the flood mempool',
        )
    if abci != "socket":
        raise InvalidConfig(f'{path}: abci is "{abci}", this node speaks "socket"')
    return config


def write_config(home: Path, settings: CometSettings) -> None:
    """Bring CometBFT's configuration in line with ``settings``. Raises InvalidConfig."""
    path = home / "config" / "config.toml"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise InvalidConfig(f"{path} cannot be read: {getattr(err, 'strerror', err)}", _ANOTHER) from None
    _replace(path, edit_toml(text, settings.values()))


def init_home(
    home: Path,
    genesis: Genesis,
    *,
    seed: bytes,
    node_seed: bytes | None = None,
    settings: CometSettings | None = None,
    binary: CometBinary,
) -> str:
    """Make or complete CometBFT's home; answers the node's id for peers.

    ``seed`` is the validator's ed25519 seed (32 bytes), ``node_seed`` the network key's (random when None). Raises
    WrongDataFolder when the folder holds another validator or another chain; its vote history is never touched.
    """
    config = home / "config"
    config.mkdir(parents=True, exist_ok=True)
    (home / "data").mkdir(exist_ok=True)
    _write_once(config / "genesis.json", genesis.to_json(), "another chain")
    _write_validator(home, seed)
    node_key = config / "node_key.json"
    if node_seed is not None or not node_key.exists():
        _write_once(node_key, _node_key(node_seed or os.urandom(32)), "another node key")
    try:
        subprocess.run(
            [str(binary.path), "init", "--home", str(home)], check=True, capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError) as err:
        said = f"{getattr(err, 'stdout', '')}{getattr(err, 'stderr', '')}" or str(err)
        detail = said.strip().splitlines()[-1:]
        raise MissingProgram(f"cometbft init failed: {' '.join(detail)}") from None
    write_config(home, settings or CometSettings())
    read_config(home)
    return node_id(home)


def node_id(home: Path) -> str:
    """The id by which peers call this node: hex of the first 20 bytes of sha256 of its network key. Raises
    KeystoreError."""
    path = home / "config" / "node_key.json"
    try:
        public = base64.b64decode(read_json(path.read_bytes())["priv_key"]["value"])[32:]
    except OSError as err:
        raise KeystoreError(f"the network key {path} cannot be read: {err.strerror}", _ANOTHER_KEY) from None
    except (InvalidJson, ValueError, KeyError, TypeError):
        public = b""
    if len(public) != 32:
        raise KeystoreError(f"the network key {path} is damaged", _ANOTHER_KEY)
    return hashlib.sha256(public).digest()[:20].hex()


def _key(kind: str, raw: bytes) -> dict[str, str]:
    return {"type": f"tendermint/{kind}KeyEd25519", "value": base64.b64encode(raw).decode()}


def _write_validator(home: Path, seed: bytes) -> None:
    """Key and vote history. A key without its history may sign twice, so that is refused."""
    key, history = home / "config" / "priv_validator_key.json", home / "data" / "priv_validator_state.json"
    if key.exists() and not history.exists():
        raise WrongDataFolder(
            f"{history} is missing: without it this validator could sign a block twice",
            "restore it, or start with a new validator key",
        )
    _write_once(key, _validator_key(seed), "another validator")
    if not history.exists():
        history.write_text('{"height": "0", "round": 0, "step": 0}\n', encoding="utf-8")


def _validator_key(seed: bytes) -> str:
    public = ed25519_public(seed)
    document = {
        "address": consensus_address(public).hex().upper(),
        "pub_key": _key("Pub", public),
        "priv_key": _key("Priv", seed + public),
    }
    return json.dumps(document, indent=2) + "\n"


def _node_key(seed: bytes) -> str:
    return json.dumps({"priv_key": _key("Priv", seed + ed25519_public(seed))}) + "\n"


def _write_once(path: Path, text: str, other: str) -> None:
    """A new private file; one that is there must say the same."""
    if not path.exists():
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        return
    try:
        same = json.loads(path.read_text(encoding="utf-8")) == json.loads(text)
    except (OSError, ValueError):
        same = False
    if not same:
        raise WrongDataFolder(f"{path} belongs to {other}", "choose another folder, or remove this one")


def _replace(path: Path, text: str) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)

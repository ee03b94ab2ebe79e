"""What this machine has and lacks, and how the home on it is: one line each, with the way to what is missing.

Looks only; the one thing written is a small file in the home to time the disk, removed at once. Lines that ask the
network (doctor_peers.py) wait a few seconds at most.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import resource
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from openledger.genesis.genesis import Genesis
from openledger.node.administration import read_door
from openledger.node.checks import MISS, OK, WARN, Check, has_module, has_torch, port_is_free
from openledger.node.config import FILE, Config, load, own_url
from openledger.node.engines.binary import find_cometbft
from openledger.primitives.errors import (
    BlobError,
    DoubleSignRisk,
    InvalidConfig,
    InvalidGenesis,
    KeystoreError,
    MissingProgram,
)

_LITTLE_SPACE = 2
_SLOW_DISK_MS = 20.0
_NEARLY_FULL = 0.9
_FEW_FILES = 4096
_SYNCS = 15


# --- what is installed ----------------------------------------------------------------------------------------


def installed(program: str) -> list[Check]:
    """Python, the extras, the engines, the programs around."""
    version = ".".join(str(n) for n in sys.version_info[:3])
    good_python = sys.version_info[:2] in ((3, 11), (3, 12))
    node = has_module("plyvel") and has_module("eth")
    checks = [
        Check("Python", OK if good_python else MISS, version, "install Python 3.11 or 3.12"),
        Check("node", OK if node else MISS, "installed" if node else "missing", "make install"),
        _oracle(),
    ]
    native = has_module("openledger_native")
    runs = "revm (native)" if native else "py-evm (Python); a network of several validators wants the native one"
    checks.append(Check("engine", OK if native else WARN, runs, "install Rust 1.91 or later, then make native"))
    try:
        comet = find_cometbft(program)
        checks.append(Check("CometBFT", OK, f"{comet.version} at {comet.path}"))
    except MissingProgram as err:
        checks.append(Check("CometBFT", WARN, f"{err}; needed by `start`, not by `devnet`", err.hint or ""))
    return [*checks, _tool("Go", "go", "only needed to build CometBFT"), _tool("Rust", "cargo", "only to build revm")]


def _oracle() -> Check:
    if not has_torch():
        return Check("oracle", WARN, "missing: no training, votes silence", "make install-oracle")
    return Check("oracle", OK, f"torch {importlib.metadata.version('torch')}")


def _tool(name: str, program: str, what_for: str) -> Check:
    path = shutil.which(program)
    if path is None:
        return Check(
            name, WARN, f"missing; {what_for}", "https://go.dev/dl" if program == "go" else "https://rustup.rs"
        )
    said = _output([path, "version"] if program == "go" else [path, "--version"])
    return Check(name, OK, said or path)


def _output(command: list[str]) -> str:
    """First line of a program's answer; empty when it gives none."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip().partition("\n")[0] if done.returncode == 0 else ""


def gpu() -> Check:
    """Graphics cards that the oracle could use."""
    said = _output(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"])
    if not said:
        return Check("GPU", OK, "none found; the oracle uses the processor")
    if has_torch() and importlib.metadata.version("torch").endswith("+cpu"):
        return Check("GPU", WARN, f"{said}, but torch is built for the processor only", "make install-oracle")
    return Check("GPU", OK, said)


# --- the machine ----------------------------------------------------------------------------------------------


def machine(home: Path) -> list[Check]:
    """Open files, room and speed of the disk."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # a node takes what it may have
    few = most != resource.RLIM_INFINITY and most < _FEW_FILES
    said = "no limit" if most == resource.RLIM_INFINITY else f"{most} at most"
    files = Check("open files", WARN if few else OK, said, f"ulimit -Hn {_FEW_FILES} (or LimitNOFILE=)")
    there = next(p for p in (home, *home.parents) if p.exists())
    space = shutil.disk_usage(there).free / 2**30
    level = OK if space >= _LITTLE_SPACE else WARN
    disk = Check("disk", level, f"{space:.1f} GiB free", f"a node wants at least {_LITTLE_SPACE} GiB")
    if not os.access(there, os.W_OK):
        return [files, Check("home", MISS, f"{home} cannot be written", "choose a folder that you may write: --home")]
    return [files, Check("home", OK, str(home)), disk, _disk_speed(there)]


def _disk_speed(folder: Path) -> Check:
    """A block is one synced write, so the disk's patience is the chain's."""
    path = folder / f".doctor-{os.getpid()}"
    times = []
    try:
        with path.open("wb") as file:
            for _ in range(_SYNCS):
                started = time.perf_counter()
                file.write(bytes(4096))
                file.flush()
                os.fsync(file.fileno())
                times.append(time.perf_counter() - started)
    except OSError as err:
        return Check("disk speed", MISS, f"writing failed: {err.strerror}", "is the disk full?")
    finally:
        path.unlink(missing_ok=True)
    middle = sorted(times)[len(times) // 2] * 1000
    hint = "every block waits for two of these; use a local SSD"
    return Check("disk speed", WARN if middle > _SLOW_DISK_MS else OK, f"a synced write takes {middle:.1f} ms", hint)


def blobs(home: Path, config: Config) -> list[Check]:
    """How full the blob store is; nothing where it is no folder, or not there yet."""
    from openledger.state.blobs import BlobStore

    url, most = config.blobs.url or str(home / "blobs"), config.blobs.total_bytes
    if not Path(url).is_dir():
        return []
    try:
        used = BlobStore(url).total()
    except BlobError as err:
        return [Check("blobs", MISS, err.message, "look at the disk, or at [blobs] url in config.toml")]
    said = f"{used / 2**30:.1f} GiB" + (f" of {most / 2**30:.1f}" if most else "")
    full = most and used > most * _NEARLY_FULL
    hint = "above the limit only blobs that the chain names are taken: raise [blobs] total_bytes, or make room"
    return [Check("blobs", WARN if full else OK, said, hint)]


# --- the home -------------------------------------------------------------------------------------------------


def ports(config: Config, home: Path, rpc_port: int) -> list[Check]:
    """The ports that the node listens on: free, or held by the node of this home."""
    from openledger.node.processes import HomeLock

    running = HomeLock(home).holder() if home.is_dir() else 0
    wanted = [("RPC", config.rpc.host, rpc_port)]
    if (home / "cometbft").is_dir():
        wanted += [
            (name, *_host_port(url))
            for name, url in (("peers", config.consensus.p2p), ("CometBFT", config.consensus.rpc))
        ]
    checks = []
    for name, host, port in wanted:
        free = not port or port_is_free(host, port)
        said = "free" if free else f"in use by this home's node (process {running})" if running else "in use"
        hint = "another node may be running; choose another port"
        checks.append(Check(f"port {port}", OK if free or running else WARN, f"{said} ({name})", hint))
    return checks


def _host_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 0


def home_of_a_node(home: Path, config: Config) -> list[Check]:
    """Genesis, keys and their history; nothing where the home is no node's."""
    from openledger.node.engines.guard import HISTORY, signed_height
    from openledger.node.network import validator_key
    from openledger.node.wiring import read_genesis

    comet = home / "cometbft"
    if not comet.is_dir():
        lost = (home / FILE).exists() and (home / "genesis.json").exists() and config.consensus.cometbft == "child"
        hint = "it holds the validator's key and its vote history: restore it from a backup"
        return [Check("keys", MISS, f"{comet} is missing", hint)] if lost else []
    checks = []
    try:
        found = read_genesis(home / "genesis.json")
        checks.append(Check("genesis", OK, f"{found.chain_id}, {len(found.validators)} validator(s)"))
        checks += _comets_own(home, found) if config.consensus.cometbft == "child" else []
    except InvalidGenesis as err:
        checks.append(Check("genesis", MISS, err.message, err.hint or "use the genesis file of the network"))
    key = comet / "config" / "priv_validator_key.json"
    if config.consensus.remote_signer:
        return [
            *checks,
            Check("keys", OK, f"the validator's key is with the signer at {config.consensus.remote_signer}"),
        ]
    if not key.exists():
        return [*checks, Check("keys", MISS, f"{key} is missing", "restore it from a backup")]
    loose = [
        p
        for p in (key, comet / "config" / "node_key.json")
        if p.exists() and p.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    ]
    if loose:
        checks.append(Check("keys", WARN, f"others may read {loose[0]}", f"chmod 600 {loose[0]}"))
    try:
        validator_key(home)
        height = signed_height(comet / "data" / HISTORY)
        checks.append(Check("keys", OK, f"validator key with its vote history, signed up to height {height}"))
    except (KeystoreError, DoubleSignRisk) as err:
        checks.append(Check("keys", MISS, err.message, err.hint or ""))
    return checks


def _comets_own(home: Path, genesis: Genesis) -> list[Check]:
    """What is wrong with CometBFT's own configuration, network key and copy of the genesis."""
    from openledger.node.engines.home import node_id, read_config
    from openledger.node.wiring import read_genesis

    config, checks = home / "cometbft" / "config", []
    try:
        read_config(home / "cometbft")
        if (config / "node_key.json").exists():  # the next start makes one
            node_id(home / "cometbft")
    except (InvalidConfig, KeystoreError) as err:
        checks.append(Check("CometBFT", MISS, err.message, err.hint or "`openledger start` writes what it can"))
    try:
        same = read_genesis(config / "genesis.json").digest == genesis.digest
    except InvalidGenesis:
        same = False
    if not same:
        text = f"{config / 'genesis.json'} is not the genesis of the home"
        checks.append(Check("genesis", WARN, text, f"cp {home / 'genesis.json'} {config / 'genesis.json'}"))
    return checks


def examine(home: Path, port: int | None, node: str | None) -> list[Check]:
    """All checks. ``port`` of the RPC, the configured one by default; ``node`` the URL of a node to ask and to compare
    with, the home's own by default."""
    from openledger.node.bases import examined
    from openledger.node.doctor_peers import network
    from openledger.node.doctor_votes import votes
    from openledger.node.network import comet_settings

    checks: list[Check] = []
    config = Config()
    try:
        config = load(home)
        comet_settings(config)
        where = f"{FILE} of {home}" if (home / FILE).exists() else "defaults"
        checks.append(Check("configuration", OK, where))
    except InvalidConfig as err:
        checks.append(Check("configuration", MISS, err.message, err.hint or ""))
    door = read_door(home)
    node = node or (own_url(config.rpc.host, port or config.rpc.port) if door is None else door.url)
    return [
        *installed(config.consensus.program),
        gpu(),
        *machine(home),
        *checks,
        *blobs(home, config),
        *examined(config, node),
        *home_of_a_node(home, config),
        *ports(config, home, config.rpc.port if port is None else port),
        *network(home, config, node),
        *votes(home, node),
    ]

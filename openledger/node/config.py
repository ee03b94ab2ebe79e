"""The configuration of a node: ``config.toml`` in its home folder, every value also as an environment variable.

The dataclasses below are the whole truth: from them come the commented file that ``openledger init`` writes, the
check of what is read, and the variables (``[rpc] port`` is ``OPENLEDGER_RPC_PORT``). The environment wins over the
file."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from openledger.primitives.errors import InvalidConfig

FILE = "config.toml"
PREFIX = "OPENLEDGER_"


def _value(
    default: Any,
    text: str,
    choices: tuple[str, ...] = (),
    low: int | None = None,
    high: int | None = None,
    like: str = "",
) -> Any:
    meta = {"help": text, "choices": choices, "low": low, "high": high, "like": like}
    return field(default=default, metadata=meta)


@dataclass(frozen=True)
class ChainConfig:
    """The application."""

    engine: str = _value("auto", "EVM engine: auto takes revm where it is built", choices=("auto", "revm", "py-evm"))
    archive: bool = _value(True, "keep the state of every height; false keeps the last `keep` heights")
    keep: int = _value(10_000, "heights to keep when archive is false", low=128)
    keep_blocks: int = _value(0, "CometBFT keeps this many blocks, and those that snapshots need; 0 keeps all", low=0)


@dataclass(frozen=True)
class DatabaseConfig:
    """Memory of the database. It holds the whole state on disk; these bound what of it stays in memory."""

    cache_mb: int = _value(64, "megabytes of blocks kept after reading", low=1, high=1_000_000)
    write_buffer_mb: int = _value(
        16, "megabytes of writes before a table is made; twice that is used", low=1, high=1_000
    )
    open_files: int = _value(256, "most table files open at once, about 50 KB each", low=16, high=100_000)


@dataclass(frozen=True)
class RpcConfig:
    """JSON-RPC, WebSocket, blobs and the web page, all on one port."""

    host: str = _value("127.0.0.1", "address to listen on; keep to loopback unless a proxy guards it", low=1)
    port: int = _value(8545, "port; 0 picks a free one", low=0, high=65535)
    hosts: tuple[str, ...] = _value((), "Host headers answered beside the local ones; '*' answers all")
    origins: tuple[str, ...] = _value((), "web origins that may call beside the local ones; '*' allows all")
    max_body: int = _value(5_000_000, "largest request body in bytes", low=1_000)
    max_batch: int = _value(1_000, "most calls in one batch", low=1)
    max_logs: int = _value(10_000, "most logs in one answer", low=1)
    max_log_range: int = _value(10_000_000, "widest block range of one log query", low=1)
    max_depth: int = _value(64, "deepest nesting of a request", low=4, high=256)
    max_answer: int = _value(25_000_000, "a batch whose answers are longer is cut short, in bytes", low=1_000)
    max_connections: int = _value(2_000, "most connections at once, WebSockets included", low=1)
    max_subscriptions: int = _value(100, "most subscriptions of one WebSocket", low=1)
    max_unsent: int = _value(4_194_304, "a WebSocket that leaves so many bytes unread is closed", low=65_536)
    max_filters: int = _value(1_000, "most polled filters at once", low=1)
    filter_seconds: int = _value(300, "a filter that nobody asks for so long is gone", low=1)
    call_gas: int = _value(30_000_000, "most gas of eth_call, eth_estimateGas and traces of calls", low=21_000)
    call_seconds: int = _value(5, "longest eth_call, estimate, trace or log query", low=1)
    call_workers: int = _value(0, "processes for calls and traces; 0 is one for each core, from 2 to 4", low=0, high=64)
    call_memory_mb: int = _value(512, "megabytes that such a process may use", low=128)
    evidence_seconds: int = _value(
        20, "longest look for an answer's evidence or shares; 0: this node looks for none", low=0
    )
    idle_seconds: int = _value(75, "a connection without requests is closed after so long", low=1)
    request_seconds: int = _value(30, "a request must be here whole after so long", low=1)
    rate_limit: int = _value(0, "calls a second of one client address; 0 is no limit", low=0)
    rate_burst: int = _value(0, "calls of one client at once; 0 is twice rate_limit", low=0)
    proxies: tuple[str, ...] = _value((), "addresses or networks of proxies whose X-Forwarded-For is believed")
    access_log: bool = _value(False, "write a log line for every call")
    accept_blobs: bool = _value(True, "take blobs by PUT /blobs/<sha256>")


@dataclass(frozen=True)
class BlobsConfig:
    """Contents named by their sha256."""

    url: str = _value("", "where blobs are kept; empty is the folder `blobs` in the home; any fsspec URL works")
    max_bytes: int = _value(256 * 1024 * 1024, "largest blob", low=1_000)
    total_bytes: int = _value(
        64 * 1024**3, "above so many bytes only blobs that the chain names are taken; 0 is no limit", low=0
    )
    peers: tuple[str, ...] = _value(
        (), "nodes to exchange blobs with, each as http://host:8545; nobody else is asked", like="http://host:8545"
    )


@dataclass(frozen=True)
class SnapshotsConfig:
    """Snapshots of the state, taken beside the running chain. New nodes join from them."""

    interval: int = _value(1_000, "a snapshot every so many blocks; 0 takes none by itself; a solo devnet never", low=0)
    keep: int = _value(3, "how many are kept", low=1, high=1_000)


@dataclass(frozen=True)
class StatesyncConfig:
    """Join by a snapshot of other nodes, not by all blocks. Only looked at while this node has no blocks."""

    enable: bool = _value(False, "begin with a snapshot")
    rpc_servers: tuple[str, ...] = _value(
        (),
        "two or more CometBFT RPCs for the light client: http://NODE:8545/cometbft",
        like="http://host:8545/cometbft",
    )
    trust_height: int = _value(0, "a height whose block is known to be right", low=0)
    trust_hash: str = _value("", "the hash of CometBFT's header of that height, 64 hex digits")
    trust_period_hours: int = _value(
        168, "how long validators can be trusted after that; below the unbonding time", low=1
    )


@dataclass(frozen=True)
class OracleConfig:
    """The process that recomputes attribution claims (needs torch)."""

    enabled: str = _value("auto", "auto starts it where torch is installed", choices=("auto", "on", "off"))
    memory_mb: int = _value(6_144, "megabytes that it may use; a base model wants 4 bytes a weight", low=1_024)
    bases: tuple[str, ...] = _value((), "folders with base models in Hugging Face's form, beside the built-in one")


@dataclass(frozen=True)
class ConsensusConfig:
    """CometBFT, started by `openledger start`, or by somebody else."""

    cometbft: str = _value(
        "child",
        "child: started and restarted by this node; external: connects to `abci`",
        choices=("child", "external"),
    )
    program: str = _value("", "path of cometbft; empty looks into .tools and PATH")
    abci: str = _value(
        "", "where CometBFT connects to us; empty is a unix socket; external wants tcp://127.0.0.1:26658"
    )
    p2p: str = _value("tcp://127.0.0.1:26656", "address for other nodes", like="tcp://127.0.0.1:26656")
    rpc: str = _value(
        "tcp://127.0.0.1:26657", "address of CometBFT's own RPC; loopback only", like="tcp://127.0.0.1:26657"
    )
    name: str = _value("node", "what other nodes see as this node's name")
    peers: tuple[str, ...] = _value(
        (),
        "nodes to stay connected with, each as id@host:port",
        like="0123456789abcdef0123456789abcdef01234567@host:26656",
    )
    commit_wait_ms: int = _value(200, "pause after a block, so that slow votes still count", low=0, high=60_000)
    empty_block_ms: int = _value(
        2_000, "an empty block after so long without transactions; 0 makes blocks without pause", low=0, high=600_000
    )
    mempool: str = _value(
        "auto",
        "how CometBFT carries transactions: flood makes blocks on demand, app (from 0.40) needs empty_block_ms = 0",
        choices=("auto", "app", "flood"),
    )
    remote_signer: str = _value("", "address where a remote signer connects, tcp:// or unix://; empty signs here")
    validator_key: str = _value("", "public key (hex) of the remote signer, or of an external CometBFT's validator")
    double_sign_check_height: int = _value(
        100,
        "refuse to sign when this key signed elsewhere within so many blocks; 0 trusts blindly",
        low=0,
        high=1_000_000,
    )


@dataclass(frozen=True)
class LogConfig:
    """What is written to stderr."""

    level: str = _value("info", "least serious message shown", choices=("debug", "info", "warning", "error"))
    format: str = _value("console", "console for people, json for machines", choices=("console", "json"))
    cometbft: str = _value("error", "what CometBFT says: debug, info, error, or by module: p2p:info,*:error", low=1)


@dataclass(frozen=True)
class Config:
    """All settings of one node."""

    chain: ChainConfig = ChainConfig()
    database: DatabaseConfig = DatabaseConfig()
    rpc: RpcConfig = RpcConfig()
    blobs: BlobsConfig = BlobsConfig()
    snapshots: SnapshotsConfig = SnapshotsConfig()
    statesync: StatesyncConfig = StatesyncConfig()
    oracle: OracleConfig = OracleConfig()
    consensus: ConsensusConfig = ConsensusConfig()
    log: LogConfig = LogConfig()


def base_folders(config: Config) -> list[Path]:
    """The folders of ``[oracle] bases``, absolute."""
    return [Path(folder).expanduser().absolute() for folder in config.oracle.bases]


def own_url(host: str, port: int) -> str:
    """Where a node that listens there answers on its own machine."""
    host = "127.0.0.1" if host == "0.0.0.0" else f"[{host}]" if ":" in host else host  # noqa: S104 (compared)
    return f"http://{host}:{port}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


def variable(section: str, name: str) -> str:
    """The environment variable of a value."""
    return f"{PREFIX}{section}_{name}".upper()


def render(config: Config) -> str:
    """The commented TOML file of a configuration."""
    out = [
        "# OpenLedger node. Every value can also be given as an environment variable, which wins over this file.",
        "",
    ]
    for part in fields(config):
        section = getattr(config, part.name)
        doc = (type(section).__doc__ or "").strip()
        out += [f"# {doc}", f"[{part.name}]"]
        for item in fields(section):
            meta = item.metadata
            choices = f" ({', '.join(meta['choices'])})" if meta["choices"] else ""
            out.append(f"# {meta['help']}{choices}; {variable(part.name, item.name)}")
            out.append(f"{item.name} = {_toml(getattr(section, item.name))}")
        out.append("")
    return "\n".join(out)


def _line_of(text: str, section: str, name: str) -> str:
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip().startswith("["):
            inside = line.strip() == f"[{section}]"
        elif inside and re.match(rf"\s*\"?{re.escape(name)}\"?\s*=", line):
            return f"line {number}, "
    return ""


def _check(value: Any, default: Any, meta: Mapping[str, Any], where: str) -> Any:
    """The value in the type of its default. Raises InvalidConfig naming the place."""
    if isinstance(default, tuple):
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise InvalidConfig(f"{where} must be a list of text", f'for example ["{meta["like"] or "localhost"}"]')
        for one in value:
            _check_form(one, meta["like"], where)
        return tuple(value)
    names = {bool: "true or false", int: "a whole number", str: "text"}
    if type(value) is not type(default):
        raise InvalidConfig(f"{where} must be {names[type(default)]}, not {value!r}")
    if meta["choices"] and value not in meta["choices"]:
        raise InvalidConfig(f"{where} must be one of {', '.join(meta['choices'])}, not {value!r}")
    if isinstance(value, str) and len(value) < (meta["low"] or 0):
        raise InvalidConfig(f"{where} is empty")
    if isinstance(value, str):
        _check_form(value, meta["like"], where)
        return value
    if (meta["low"] is not None and value < meta["low"]) or (meta["high"] is not None and value > meta["high"]):
        raise InvalidConfig(f"{where} is out of range: {value}", f"at least {meta['low']}, at most {meta['high']}")
    return value


_SCHEMES = {"tcp": ("tcp",), "http": ("http", "https"), "": ("", "tcp")}


def _check_form(text: str, like: str, where: str) -> None:
    """Raises InvalidConfig for an address that is not like the other: with its scheme, a host, an id where that has
    one, and a port that can be; ``like`` empty takes everything."""
    if not like:
        return
    wanted = urlsplit(like if "://" in like else f"//{like}")
    try:
        found = urlsplit(text if "://" in text else f"//{text}")
        right = found.port is not None or wanted.scheme == "http"
    except ValueError:
        right = False
    else:
        right &= found.scheme in _SCHEMES[wanted.scheme] and bool(found.hostname or wanted.scheme == "tcp")
        right &= bool(found.username or not wanted.username)
    if not right:
        raise InvalidConfig(f"{where} is no such address: {text!r}", f"write it as {like}")


def _from_environment(text: str, default: Any, where: str) -> Any:
    if isinstance(default, bool):
        if text.lower() not in ("true", "false", "1", "0", "yes", "no"):
            raise InvalidConfig(f"{where} must be true or false, not {text!r}")
        return text.lower() in ("true", "1", "yes")
    if isinstance(default, int):
        if not re.fullmatch(r"\d+", text):
            raise InvalidConfig(f"{where} must be a whole number, not {text!r}")
        return int(text)
    return [part.strip() for part in text.split(",") if part.strip()] if isinstance(default, tuple) else text


def _parse(text: str, file: str) -> dict[str, dict[str, Any]]:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise InvalidConfig(
            f"{file} is not TOML: {err}", "`openledger init` writes a correct file to compare"
        ) from None
    known = {f.name for f in fields(Config)}
    for section, values in data.items():
        if section not in known or not isinstance(values, dict):
            raise InvalidConfig(f"{file}: unknown section {section!r}", "sections: " + ", ".join(sorted(known)))
    return data


def _check_variables(environ: Mapping[str, str]) -> None:
    """Raises InvalidConfig for a variable that looks like a value of ours and is none: a typo would be silent."""
    known = {variable(part.name, item.name) for part in fields(Config) for item in fields(getattr(Config(), part.name))}
    for name in environ:
        if name.startswith(tuple(f"{PREFIX}{part.name}_".upper() for part in fields(Config))) and name not in known:
            near = difflib.get_close_matches(name, sorted(known), 1)
            raise InvalidConfig(f"there is no setting {name}", f"did you mean {near[0]}?" if near else None)


def load(home: Path, environ: Mapping[str, str] | None = None) -> Config:
    """The configuration of a home folder; defaults where there is no file.

    Raises InvalidConfig naming line and field.
    """
    environ = os.environ if environ is None else environ
    path = home / FILE
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as err:
        raise InvalidConfig(f"{FILE} cannot be read: {err}") from None
    data = _parse(text, FILE)
    _check_variables(environ)
    config = Config()
    for part in fields(config):
        section = getattr(config, part.name)
        given = data.get(part.name, {})
        known = {f.name: f for f in fields(section)}
        for name in given:
            if name not in known:
                where = _line_of(text, part.name, name)
                raise InvalidConfig(f"{FILE}: {where}[{part.name}] has no {name!r}", "known: " + ", ".join(known))
        changed: dict[str, Any] = {}
        for name, item in known.items():
            default, env_name = getattr(section, name), variable(part.name, name)
            if name in given:
                where = f"{FILE}: {_line_of(text, part.name, name)}[{part.name}] {name}"
                changed[name] = _check(given[name], default, item.metadata, where)
            if env_name in environ:
                value = _from_environment(environ[env_name], default, env_name)
                changed[name] = _check(value, default, item.metadata, env_name)
        config = replace(config, **{part.name: replace(section, **changed)})
    return config

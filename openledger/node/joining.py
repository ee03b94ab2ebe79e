"""How a new node learns what it needs to join, from the RPC of nodes that its operator names.

From the first of them come the genesis, the address for peers, and a block to trust: the one of its oldest snapshot.
All must agree on chain, genesis and that block's hash. From then on CometBFT's light client follows signatures from
that block; who would deceive it needs two thirds of the validators of that time, or all the nodes named here.
"""

from __future__ import annotations

import contextlib
import json
import threading
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from openledger.genesis.genesis import Genesis
from openledger.node.config import BlobsConfig, Config, ConsensusConfig, StatesyncConfig
from openledger.primitives.errors import DecodingError, InvalidConfig, InvalidGenesis, NodeUnreachable
from openledger.primitives.jsonio import read_json
from openledger.primitives.types import Hash32, from_hex, to_hex
from openledger.rpc.bodies import TooMuch, read_body

SECONDS = 20
MAX_ANSWER = 16 * 1024 * 1024
MAX_GENESIS = 512 * 1024 * 1024
_HEADER_SECONDS = 5


@dataclass(frozen=True)
class Found:
    """What the named nodes say. ``servers`` are for CometBFT's light client, ``peers`` for its network."""

    genesis: Genesis
    urls: tuple[str, ...]
    servers: tuple[str, ...]
    peers: tuple[str, ...]
    trust_height: int
    trust_hash: str
    snapshot: int


def addresses(text: str) -> tuple[str, ...]:
    """URLs out of a list with commas. Raises InvalidConfig."""
    urls = tuple(dict.fromkeys(part.strip().rstrip("/") for part in text.split(",") if part.strip()))
    for url in urls:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise InvalidConfig(f"not the address of a node: {url!r}", "for example http://node.example:8545")
    if not urls:
        raise InvalidConfig("no node is named", "--sync-from http://node.example:8545")
    return urls


class _Asker:
    """One session to several nodes."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def call(self, url: str, method: str, params: Any) -> Any:
        """Result of a JSON-RPC method. Raises NodeUnreachable in words for people."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        try:
            async with self._session.post(url, json=body) as response:
                answer = read_json(await read_body(response, MAX_ANSWER))
            return answer["result"]
        except (aiohttp.ClientError, TimeoutError, OSError):
            raise NodeUnreachable(f"no node answers at {url}", "is its RPC reachable from here?") from None
        except (DecodingError, ValueError, KeyError, TypeError):
            raise NodeUnreachable(
                f"{url} does not answer {method} as a node does",
                "name the JSON-RPC address of a node that runs with CometBFT, and let this host in ([rpc] hosts)",
            ) from None

    async def genesis(self, url: str) -> Genesis:
        """The genesis that a node serves. Raises NodeUnreachable, InvalidGenesis."""
        try:
            async with self._session.get(f"{url}/genesis.json") as response:
                text = (await read_body(response, MAX_GENESIS)).decode()
        except TooMuch as err:
            raise NodeUnreachable(f"{url} gives no genesis: {err}", "is this the address of a node?") from None
        except (aiohttp.ClientError, TimeoutError, OSError, UnicodeDecodeError):
            raise NodeUnreachable(f"{url} gives no genesis", "is its RPC reachable from here?") from None
        return Genesis.from_json(text)

    async def block_hash(self, url: str, height: int) -> str:
        """CometBFT's header hash of a height as that node says."""
        found = await self.call(f"{url}/cometbft", "commit", {"height": str(height)})
        try:
            return str(found["signed_header"]["commit"]["block_id"]["hash"]).lower()
        except (KeyError, TypeError):
            raise NodeUnreachable(f"{url} has no block {height}", "it has pruned it, or is behind") from None

    async def peer(self, url: str) -> str:
        """``id@host:port`` of a node."""
        found = await self.call(f"{url}/cometbft", "status", {})
        try:
            port = urlsplit(str(found["node_info"]["listen_addr"])).port
            return f"{found['node_info']['id']}@{urlsplit(url).hostname}:{port}"
        except (KeyError, TypeError, ValueError):
            raise NodeUnreachable(f"{url} does not say where its peers reach it") from None


async def fetch_genesis(url: str) -> Genesis:
    """A genesis file from the web: the node's ``/genesis.json`` when ``url`` has no path."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS)) as session:
        base = url.removesuffix("/genesis.json").rstrip("/")
        return await _Asker(session).genesis(base)


async def discover(urls: Sequence[str], genesis: Genesis | None, height: int | None, trusted: str | None) -> Found:
    """Ask the nodes. ``genesis``, ``height`` and ``trusted`` are what the operator knows already.

    Raises NodeUnreachable, InvalidGenesis when they are of another chain, InvalidConfig when they do not agree or have
    no snapshot yet.
    """
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS)) as session:
        ask = _Asker(session)
        genesis = genesis or await ask.genesis(urls[0])
        for url in urls:
            status = await ask.call(url, "openledger_getNodeStatus", [])
            if not isinstance(status, dict) or status.get("genesis") != to_hex(genesis.digest):
                chain = status.get("cometChainId") if isinstance(status, dict) else None
                raise InvalidGenesis(f"the node at {url} is of another chain or genesis ({chain})")
        snapshots = await ask.call(urls[0], "openledger_listSnapshots", [])
        try:
            heights = [int(s["height"]) for s in snapshots]
        except (TypeError, ValueError, KeyError):
            raise NodeUnreachable(
                f"the node at {urls[0]} does not say which snapshots it has", "name another node first"
            ) from None
        if not heights:
            raise InvalidConfig(
                f"the node at {urls[0]} has no snapshot yet",
                "wait for one, take one there with `openledger snapshot create`, or join without --sync-from",
            )
        trust = min(heights) if height is None else height
        hashes = {url: await ask.block_hash(url, trust) for url in urls}
        wanted = (trusted or hashes[urls[0]]).lower().removeprefix("0x")
        for url, found in hashes.items():
            if found != wanted:
                raise InvalidConfig(
                    f"{url} says that block {trust} has hash {found}, not {wanted}",
                    "somebody lies or is on another chain: compare with a source that you trust",
                )
        peers = tuple([await ask.peer(url) for url in urls])
    servers = tuple(f"{url}/cometbft" for url in urls)
    return Found(genesis, tuple(urls), servers, peers, trust, wanted, max(heights))


def read_genesis_source(source: str) -> Genesis | None:
    """The genesis in a file; None when ``source`` is an address. Raises InvalidGenesis."""
    if source.startswith(("http://", "https://")):
        return None
    try:
        return Genesis.from_json(Path(source).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidGenesis(f"there is no genesis file at {source}") from None
    except (OSError, UnicodeDecodeError) as err:
        raise InvalidGenesis(f"the genesis file cannot be read: {err}") from None


async def prepare(
    genesis_source: str | None, sync_from: str | None, height: int | None, trusted: str | None
) -> tuple[Genesis | None, Found | None]:
    """What ``openledger init`` was given, as a genesis and what the named nodes say. Raises as ``discover``."""
    genesis = None
    if genesis_source is not None:
        genesis = read_genesis_source(genesis_source) or await fetch_genesis(genesis_source)
    if sync_from is None:
        return genesis, None
    found = await discover(addresses(sync_from), genesis, height, trusted)
    return found.genesis, found


def joining_config(config: Config, found: Found) -> Config:
    """A configuration that joins by a snapshot."""
    statesync = StatesyncConfig(True, found.servers, found.trust_height, found.trust_hash)
    consensus: ConsensusConfig = replace(config.consensus, peers=found.peers)
    blobs: BlobsConfig = replace(config.blobs, peers=found.urls)
    return replace(config, statesync=statesync, consensus=consensus, blobs=blobs)


def words(found: Found) -> list[str]:
    """What is trusted from now on, plainly."""
    who = "said by " + ", ".join(found.urls)
    alone = "" if len(found.urls) > 1 else " (one node alone: name a second one, or compare the hash elsewhere)"
    return [
        f"trusted  block {found.trust_height} with hash {found.trust_hash}",
        f"         {who}{alone}",
        "         from there on CometBFT's light client checks the validators' signatures itself",
        f"snapshot of block {found.snapshot} is the newest there",
    ]


# --- while a snapshot is taken in ---------------------------------------------------------------------------------


def header_hashes(servers: Sequence[str]) -> Callable[[int], list[Hash32]]:
    """What the nodes behind these ``/cometbft`` addresses say is the hash of a block, those that answer. Blocks."""
    urls = [server.removesuffix("/cometbft") for server in servers if server.endswith("/cometbft")]
    return lambda number: [found for url in urls if (found := _header_hash(url, number)) is not None]


def _header_hash(url: str, number: int) -> Hash32 | None:
    """What one of them says within some seconds. In a thread of its own: byte by byte an answer could take for ever."""
    found: list[Hash32] = []

    def ask() -> None:
        call = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": [hex(number), False]}
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(url, json.dumps(call).encode(), headers)  # noqa: S310 (http or https, checked)
        with (
            contextlib.suppress(OSError, HTTPException, ValueError, KeyError, TypeError, DecodingError),
            urllib.request.urlopen(request, timeout=_HEADER_SECONDS) as answer,  # noqa: S310
        ):
            found.append(from_hex(read_json(answer.read(MAX_ANSWER))["result"]["hash"], 32))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_HEADER_SECONDS)
    return found[0] if found else None

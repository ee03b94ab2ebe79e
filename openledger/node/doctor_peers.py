"""The doctor's look at the network: does anybody answer, is it the same chain, and is this machine's clock right."""

from __future__ import annotations

import email.utils
import http.client
import json
import socket
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openledger.node.checks import MISS, OK, WARN, Check
from openledger.node.config import Config
from openledger.primitives.errors import InvalidJson
from openledger.primitives.jsonio import read_json

_WAIT = 3.0
_WRONG_CLOCK = 2.0
_MOST_ASKED = 16


@dataclass(frozen=True)
class Answer:
    """What a node says: its digest of the genesis, and how far its clock is ahead of ours (seconds; None unknown)."""

    url: str
    genesis: str
    ahead: float | None


def network(home: Path, config: Config, node: str) -> list[Check]:
    """Peers, genesis, clock."""
    servers = [url.removesuffix("/cometbft") for url in config.statesync.rpc_servers]
    urls = dict.fromkeys([node, *config.blobs.peers, *servers])
    with ThreadPoolExecutor(_MOST_ASKED) as pool:
        reached = list(pool.map(_reaches, config.consensus.peers))
        answers = [answer for answer in pool.map(_ask, [u.rstrip("/") for u in urls if u]) if answer is not None]
    checks = []
    if config.consensus.peers:
        lost = [peer for peer, there in zip(config.consensus.peers, reached, strict=True) if not there]
        said = f"{len(reached) - len(lost)} of {len(reached)} configured peers can be reached"
        hint = f"nobody listens at {lost[0].partition('@')[2]}" if lost else ""
        checks.append(Check("peers", WARN if lost else OK, said, hint))
    if config.consensus.cometbft == "child" and (home / "cometbft").is_dir():
        checks += _same_genesis(home, answers)
    return [*checks, clock(answers)]


def _same_genesis(home: Path, answers: list[Answer]) -> list[Check]:
    from openledger.node.wiring import read_genesis
    from openledger.primitives.errors import InvalidGenesis
    from openledger.primitives.types import to_hex

    try:
        own = to_hex(read_genesis(home / "genesis.json").digest)
    except InvalidGenesis:
        return []  # said already
    if not answers:
        return [Check("chain", OK, "no other node answers, so there is nothing to compare the genesis with")]
    others = [answer.url for answer in answers if answer.genesis != own]
    if others:
        hint = "use the genesis file of the network that you join"
        return [Check("chain", MISS, f"{others[0]} has another genesis", hint)]
    return [Check("chain", OK, f"the genesis is that of {len(answers)} node(s) that answer")]


def clock(answers: list[Answer]) -> Check:
    """The offset in the middle of those who tell the time: validators whose clock is wrong are not believed."""
    offsets = sorted(answer.ahead for answer in answers if answer.ahead is not None)
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    if not offsets:
        return Check("clock", OK, f"{now}; no other machine's clock to compare with")
    ahead = offsets[len(offsets) // 2]
    if abs(ahead) < _WRONG_CLOCK:
        return Check("clock", OK, f"{now}, as {len(offsets)} node(s) have it")
    text = f"{now} is {abs(ahead):.0f} seconds {'behind' if ahead > 0 else 'ahead of'} {len(offsets)} other node(s)"
    return Check("clock", WARN, text, "synchronise it (chrony, systemd-timesyncd); blocks of a wrong clock are refused")


def _reaches(peer: str) -> bool:
    """Does somebody listen at id@host:port?"""
    host, _, port = peer.partition("@")[2].rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _WAIT):
            return True
    except (OSError, ValueError):
        return False


def _ask(url: str) -> Answer | None:
    """None where no OpenLedger node answers."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "openledger_getNodeStatus", "params": []}
    try:
        request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310
        started = time.time()
        with urllib.request.urlopen(request, timeout=_WAIT) as answer:  # noqa: S310 (URLs of the operator)
            said: dict[str, Any] = read_json(answer.read(1 << 20))["result"]
            date = email.utils.parsedate_to_datetime(answer.headers["Date"]).timestamp()
        middle = (started + time.time()) / 2
        return Answer(url, str(said["genesis"]), ahead_of(date, middle))
    except (urllib.error.URLError, http.client.HTTPException, OSError, InvalidJson, ValueError, KeyError, TypeError):
        return None


def ahead_of(date: float, now: float) -> float:
    """How far a clock that shows whole seconds is ahead: 0 while it may agree."""
    if date > now:
        return date - now
    return min(0.0, date + 2 - now)  # its header is up to a second old, and cut to the second

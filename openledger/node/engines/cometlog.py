"""CometBFT's own log: its lines as level, module, message and fields, and what in them ends the node.

We run CometBFT with ``log_format = "json"``; what its runtime and its command line write besides (panics, ``ERROR:``)
is plain text. Most ends of CometBFT are worth a new start; those that ``ends_it`` knows are not: a restart would end
the same way, or sign what must not be signed.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from openledger.primitives.errors import (
    ConsensusFault,
    DiskFull,
    DoubleSignRisk,
    OpenLedgerError,
    PortTaken,
    SignerFault,
)

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "error": logging.WARNING, "none": logging.INFO}
"""CometBFT's levels as ours: its errors (a peer that hung up) are our warnings; what ends the node we say ourselves."""
_LONGEST = 400
_DROPPED = ("stack",)
_DUMPS = ("goroutine ", "State: {")
_OWN_CONFLICT = "found conflicting vote from ourselves"

_DISAGREES = "this node computes otherwise than the network: compare versions, then rebuild its state"
_TOGETHER = (
    "the folders state and cometbft/data belong together: keep cometbft/data/priv_validator_state.json, restore the "
    "rest of both from one backup, or move it away and start: all blocks come from the peers then"
)
_ENDS: tuple[tuple[str, type[OpenLedgerError], str, str], ...] = (
    ("address already in use", PortTaken, "a port of CometBFT is in use",
     "another node may be running; see p2p and rpc under [consensus] in config.toml"),
    ("no space left on device", DiskFull, "the disk is full", "make room, then start again; no block is lost"),
    (_OWN_CONFLICT, DoubleSignRisk, "this validator's key signs elsewhere as well, and has signed twice",
     "stop the other node with this key"),
    ("found signature from the same key", DoubleSignRisk, "this validator's key has signed recent blocks elsewhere",
     "stop the other node with this key"),
    ("vote extension absence/presence", SignerFault, "the remote signer does not sign vote extensions",
     "use a signer that knows CometBFT 0.38 or later (ABCI 2.0)"),
    ("non-recoverable error when signing vote", SignerFault, "the remote signer does not sign vote extensions",
     "use a signer that knows CometBFT 0.38 or later (ABCI 2.0)"),
    (", expected .", ConsensusFault, "CometBFT has lost its blocks, but the application has its state", _TOGETHER),
    ("stores were left in an inconsistent state", ConsensusFault, "CometBFT's data is not whole", _TOGETHER),
    ("StateBlockHeight", ConsensusFault, "CometBFT's data is not whole", _TOGETHER),
    ("AppHash does not match", ConsensusFault, "CometBFT and the application have different states", _DISAGREES),
    ("does not match app's AppHash", ConsensusFault, "CometBFT and the application have different states", _DISAGREES),
    ("wrong Block.Header.AppHash", ConsensusFault, "the network's state is another than this node's", _DISAGREES),
    ("is too far in the future", ConsensusFault, "this machine's clock is more than a minute behind the network's",
     "synchronise it (chrony, systemd-timesyncd), then start again; no block is lost"),
    ("is higher than core", ConsensusFault, "the application is ahead of CometBFT", _TOGETHER),
    ("is too far below block store base", ConsensusFault, "CometBFT has pruned blocks that the application lacks",
     "restore the folders state and cometbft from one backup, or sync again"),
    ("error in genesis doc", ConsensusFault, "CometBFT does not accept its genesis", "openledger genesis validate"),
    ("leveldb: corruption", ConsensusFault, "CometBFT's database is damaged", "restore a backup, or sync again"),
    ("leveldb/table: corruption", ConsensusFault, "CometBFT's database is damaged", "restore a backup, or sync again"),
    ("cannot replay from beyond", ConsensusFault, "CometBFT's log of votes is damaged", "restore a backup"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CometLine:
    """One line. ``level`` is a number of ``logging``; ``fields`` are CometBFT's own keys with their values as text."""

    level: int
    module: str
    message: str
    fields: dict[str, str] = field(default_factory=dict)
    plain: bool = False

    def text(self) -> str:
        """For people, on one line."""
        return " ".join([self.message, *(f"{name}={value}" for name, value in self.fields.items())])


def read_line(line: str) -> CometLine:
    """A line as CometBFT wrote it. What is not its JSON is a plain message, grave when it looks so. Never raises."""
    try:
        found = json.loads(line) if line.startswith("{") else None
    except ValueError:
        found = None
    if not isinstance(found, dict) or "_msg" not in found:
        grave = line.startswith(("panic:", "ERROR:", "Error", "fatal error:"))
        return CometLine(logging.WARNING if grave else logging.DEBUG, "", line, plain=True)
    message, module = str(found.pop("_msg")), str(found.pop("module", ""))
    level = LEVELS.get(str(found.pop("level", "none")), logging.INFO)
    found.pop("ts", None)
    return CometLine(level, module, message, {k: _short(v) for k, v in found.items() if k not in _DROPPED})


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def gave_up(line: CometLine, *, guarded: bool = True) -> str | None:
    """Why CometBFT must not go on, where the line says so: it decides no more blocks, or (``guarded``) has met its own
    signature under another vote. It lives on then, and would never tell again."""
    if guarded and _OWN_CONFLICT in line.message:
        return line.text()
    if "CONSENSUS FAILURE" not in line.message:
        return None
    return line.fields.get("err", "it gives no reason")


def fault_of(words: str) -> OpenLedgerError | None:
    """The error for an end after which a new start would be wrong; None when one may be tried."""
    for text, leaf, sentence, hint in _ENDS:
        if text.lower() in words.lower():
            return leaf(f"{sentence}; CometBFT's last words:\n{words}", hint)
    return None


def last_words(lines: Iterable[CometLine]) -> str:
    """Why it ended: its last complaints, at most 8 lines; the call stack of a panic says nothing to people."""
    said = list(lines)
    grave = [i for i, line in enumerate(said) if line.plain and line.level >= logging.WARNING]
    if grave:
        said = said[grave[-1] :]
        end = next((i for i, line in enumerate(said) if line.message.lstrip().startswith(_DUMPS)), len(said))
        said = said[:end][:8]
    else:
        said = ([line for line in said if line.level >= logging.WARNING] or said)[-8:]
    return "\n".join(line.text() for line in said if line.message) or "(it said nothing)"


_WRAPPED = re.compile(r"^ERROR: (failed to (create|start) node: )?")


def plainly(words: str) -> str:
    """Last words without the frame of CometBFT's command line."""
    return _WRAPPED.sub("", words)

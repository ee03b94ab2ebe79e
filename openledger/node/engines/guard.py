"""The guard against signing twice.

A validator that signs two blocks of one height is slashed and never comes back. CometBFT keeps the vote history
(``priv_validator_state.json``) and never signs below it; the danger is a history that is older than what was signed: a
home restored from a backup, a history removed by hand, a key copied to a second node. The nets:

    before the start   another node on this machine has the key
    before the start   the own chain shows a block that this validator proposed above its history
    before the start   commits that known nodes have just made carry this validator's signature above its history (a
                       validator with a third of the power begins to sign at once, so this cannot wait for blocks)
    while following    a block shows this validator's vote at a height that its history does not know: another node with
                       this key has signed. Young blocks mean that it lives: the node stops before it signs
    at the first vote  such a height lies within the last ``window`` blocks

With a remote signer the history is the signer's, and so is the guard. ``window`` 0 switches all of it off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from openledger.abci_app.protocol import messages as m
from openledger.abci_app.replay import Note
from openledger.node.keystore import WHOSE
from openledger.node.processes import KeyLock
from openledger.primitives.errors import CorruptDatabase, DoubleSignRisk, InvalidJson
from openledger.primitives.jsonio import read_json
from openledger.primitives.types import Address
from openledger.rpc.bodies import read_body
from openledger.state.store import StateStore

log = logging.getLogger(__name__)

HISTORY = "priv_validator_state.json"
_LOOKED_AT = 1_000
_COMMITS_ASKED = 5
_ASK_SECONDS = 1.5
_MAX_COMMIT = 16 * 1024 * 1024
_YOUNG_NS = 60 * 10**9
_ELSEWHERE = (
    "stop the other node that has this key and copy its cometbft/data/priv_validator_state.json here; or, when it is "
    "gone for good, wait until its votes are older than [consensus] double_sign_check_height blocks"
)


def signed_height(history: Path) -> int:
    """The height up to which this home's validator has signed. Raises DoubleSignRisk where nobody can know."""
    try:
        return int(read_json(history.read_bytes())["height"])
    except FileNotFoundError:
        raise DoubleSignRisk(
            f"the vote history {history} is missing: without it this validator could sign a block twice",
            "restore it, or start with a new validator key",
        ) from None
    except OSError as err:
        raise DoubleSignRisk(f"the vote history {history} cannot be read: {err.strerror}", WHOSE) from None
    except (InvalidJson, ValueError, KeyError, TypeError):
        raise DoubleSignRisk(
            f"the vote history {history} is damaged: without it this validator could sign a block twice",
            "restore it from the moment when the node last stopped, or start with a new validator key",
        ) from None


def proposed_height(store: StateStore, validator: Address) -> int:
    """The newest of the last blocks that this validator has proposed, so certainly signed; 0 when there is none."""
    head = store.head()
    top = 0 if head is None else head.number
    for number in range(top, max(0, top - _LOOKED_AT), -1):
        block = store.block(number)
        if block is None:
            return 0
        try:
            if Note.decode(block.consensus).proposer == validator:
                return number
        except CorruptDatabase:
            return 0
    return 0


def check_history(history: Path, store: StateStore, validator: Address, window: int) -> None:
    """Before the start. Raises DoubleSignRisk."""
    if not window:
        return
    known, shown = signed_height(history), proposed_height(store, validator)
    if known < shown:
        raise DoubleSignRisk(
            f"the vote history {history} ends at height {known}, but this validator has proposed block {shown}: "
            "the history is older than the chain beside it",
            "restore the newest history of this key; a chain and a history belong together",
        )


class SignGuard:
    """Looks at what CometBFT asks, and asks other nodes first. ``clock`` gives Unix nanoseconds, ``nodes`` are URLs.

    ``history`` is None where a remote signer keeps it."""

    def __init__(
        self, history: Path | None, validator: Address, window: int, clock: Callable[[], int], nodes: Sequence[str] = ()
    ) -> None:
        self._nodes = nodes
        self._history = history
        self._validator = validator
        self._lock = KeyLock(validator)
        self.window = window
        self._clock = clock
        self._foreign = 0

    async def ask(self, session: aiohttp.ClientSession) -> None:
        """Before CometBFT starts. Nodes that do not answer at once are left out. Raises DoubleSignRisk."""
        if not self.window or self._history is None:
            return
        if not self._lock.take():
            raise DoubleSignRisk(
                "another node on this machine signs with the key of this home: two that sign lose stake and seat",
                "stop that one first (is this home a copy of its home?), or make a key of its own with openledger init",
            )
        known = signed_height(self._history)
        found = await asyncio.gather(*(self._signed_at(session, node.rstrip("/")) for node in self._nodes))
        self._foreign = max(found, default=0)
        if self._foreign > known:
            raise self._risk()
        self._foreign = 0

    def close(self) -> None:
        """CometBFT has ended: another node may sign with this key."""
        self._lock.release()

    async def _signed_at(self, session: aiohttp.ClientSession, node: str) -> int:
        """The newest of a node's last heights that this validator has signed; 0 for none."""
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                top = 0
                for back in range(_COMMITS_ASKED):
                    params = {"height": str(top - back)} if back else {}
                    body = {"jsonrpc": "2.0", "id": 1, "method": "commit", "params": params}
                    async with session.post(f"{node}/cometbft", json=body) as answer:
                        commit = read_json(await read_body(answer, _MAX_COMMIT))["result"]["signed_header"]["commit"]
                    top = top or int(commit["height"])
                    if any(
                        str(vote["validator_address"]).lower() == self._validator.hex()
                        and vote["block_id_flag"] == m.FLAG_COMMIT
                        for vote in commit["signatures"]
                    ):
                        return top - back
        except (aiohttp.ClientError, TimeoutError, InvalidJson, ValueError, KeyError, TypeError) as err:
            log.debug("%s cannot be asked what this key has signed: %r", node, err)
        return 0

    def see(self, request: Any) -> None:
        """Called with each request. Raises DoubleSignRisk when this node must not sign."""
        if not self.window or self._history is None:
            return
        if isinstance(request, m.RequestFinalizeBlock):
            self._see_block(request, self._history)
        elif (
            isinstance(request, m.RequestPrepareProposal | m.RequestProcessProposal)
            and self._foreign
            and self._foreign >= request.height - 1 - self.window
        ):
            raise self._risk()

    def _see_block(self, block: m.RequestFinalizeBlock, history: Path) -> None:
        """Its last commit shows who signed the height before."""
        height = block.height - 1
        own = any(
            vote.validator.address == self._validator and vote.block_id_flag == m.FLAG_COMMIT
            for vote in block.decided_last_commit.votes
        )
        if own and signed_height(history) < height:
            self._foreign = height
            if block.time > self._clock() - _YOUNG_NS:
                raise self._risk()

    def _risk(self) -> DoubleSignRisk:
        return DoubleSignRisk(
            f"this validator's key has signed height {self._foreign}, which the vote history of this home does not "
            f"know: another node signs with it",
            _ELSEWHERE,
        )

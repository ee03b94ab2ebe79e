"""Byzantine validators: the real application, with one thing done wrong on purpose between two heights.

Each time that a role acts, a line ``ROLE HEIGHT`` goes into the file ``acts`` of the home, so that a run can tell that
it was attacked. Honest nodes write ``pruned`` there when a proposer leaves out an extension that does not hold.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from network.spec import Role

from openledger.abci_app.application import Application
from openledger.abci_app.modules.attribution.messages import Hold, encode_extension
from openledger.abci_app.protocol import messages as abci
from openledger.abci_app.votes import is_slot0
from openledger.primitives.codec import decode, encode
from openledger.primitives.transactions import SLOT0

FILE = "acts"
LATE_SECONDS = 0.1


class Script:
    """The roles of one node, by height."""

    def __init__(self, home: Path, roles: tuple[Role, ...]) -> None:
        self._file = home / FILE
        self._roles = roles

    def plays(self, role: str, height: int) -> bool:
        return any(r.role == role and r.start <= height <= r.end for r in self._roles)

    def acted(self, role: str, height: int) -> None:
        with self._file.open("a") as file:
            file.write(f"{role} {height}\n")

    def acts(self, role: str, height: int) -> bool:
        """True, and noted, when the role is to act now."""
        if not self.plays(role, height):
            return False
        self.acted(role, height)
        return True


def byzantine(script: Script) -> type[Application]:
    """The application of a node with this script."""

    class ByzantineApplication(Application):
        def verify_vote_extension(self, request: abci.RequestVerifyVoteExtension) -> abci.ResponseVerifyVoteExtension:
            """CometBFT asks a liar as well whether it believes itself, and ends when it does not."""
            if request.validator_address == self.own_address:
                return abci.ResponseVerifyVoteExtension(abci.ACCEPT)
            return super().verify_vote_extension(request)

        def extend_vote(self, request: abci.RequestExtendVote) -> abci.ResponseExtendVote:
            height = request.height
            if script.acts("garbage-extension", height):
                return abci.ResponseExtendVote(b"\xde\xad\xbe\xef" * 10)
            if script.acts("oversized-extension", height):
                return abci.ResponseExtendVote(bytes(5000))
            if script.acts("late-extension", height):
                time.sleep(LATE_SECONDS)
                return abci.ResponseExtendVote(b"late garbage")
            return super().extend_vote(request)

        def prepare_proposal(self, request: abci.RequestPrepareProposal) -> abci.ResponsePrepareProposal:
            answer = super().prepare_proposal(request)
            _note_pruned(script, request, answer.txs)
            if script.acts("forged-slot0", request.height):
                rest = answer.txs[1:] if answer.txs and is_slot0(answer.txs[0]) else answer.txs
                return replace(answer, txs=(_forged(request), *rest))
            if script.acts("invalid-proposal", request.height):
                return replace(answer, txs=(*answer.txs, b"\x02 not a transaction"))
            return answer

        def process_proposal(self, request: abci.RequestProcessProposal) -> abci.ResponseProcessProposal:
            own = request.proposer_address == self.own_address
            if own and any(script.plays(role, request.height) for role in ("forged-slot0", "invalid-proposal")):
                return abci.ResponseProcessProposal(abci.ACCEPT)
            if not own and script.acts("reject-proposals", request.height):
                return abci.ResponseProcessProposal(abci.REJECT)
            return super().process_proposal(request)

    return ByzantineApplication


def _forged(request: abci.RequestPrepareProposal) -> bytes:
    """Slot 0 with words that another validator never signed."""
    victim = request.local_last_commit.votes[0].validator.address
    return bytes([SLOT0]) + encode([[victim, encode_extension([Hold(1, 0)]), bytes(64)]])


def _note_pruned(script: Script, request: abci.RequestPrepareProposal, txs: tuple[bytes, ...]) -> None:
    spoken = sum(bool(v.vote_extension) for v in request.local_last_commit.votes)
    kept = voices(txs)
    if kept < spoken:
        script.acted("pruned", request.height)


def voices(txs: tuple[bytes, ...]) -> int:
    """How many validators speak in the slot 0 of a block."""
    if not txs or not is_slot0(txs[0]):
        return 0
    entries = decode(txs[0][1:])
    return len(entries) if isinstance(entries, list) else 0

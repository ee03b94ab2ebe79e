"""Oracles that follow a script: claim n gets the n-th word of it, the last word holds for the rest.

The bridge between chain and oracle is the real one; in place of the verifying process stands one that gives the verdict
asked for at once. Row r of a claim has the score (r + 1) * 10^7, as ``claims.py`` claims.

    yes, no      the verdict                          copy         commits to the digest of a neighbour
    silent       says nothing                         unrevealed   commits, and never shows its verdict
"""

from __future__ import annotations

from openledger.abci_app.modules.attribution.messages import Commitment, Message
from openledger.abci_app.modules.attribution.records import REVEAL, VOTING, Claim, votes
from openledger.node.oracle_bridge import OracleBridge
from openledger.node.oracle_seeds import Seeds
from openledger.primitives.attribution import AttributionJob, Verdict
from openledger.primitives.types import Address
from openledger.state.ports import StateReader


def score(row: int) -> int:
    """What every honest oracle finds for a row, in ppb."""
    return 10**7 * (row + 1)


def scripted(words: tuple[str, ...]) -> tuple[type, type[OracleBridge]]:
    """The worker and the bridge of a node with this script."""

    def word(claim: int) -> str:
        return words[min(claim, len(words)) - 1]

    class ScriptedWorker:
        """Stands where ``OracleWorker`` stands."""

        def __init__(self, *_: object, **__: object) -> None:
            """Nothing is needed."""

        async def verify(self, job: AttributionJob, seconds: float = 0) -> Verdict:
            if word(job.claim) == "no":
                return Verdict(job.claim, False, "scripted to say no")
            return Verdict(job.claim, True, "", tuple(score(row) for row in range(job.rows)))

        async def stop(self) -> None:
            """There is no process."""

    class ScriptedBridge(OracleBridge):
        def _message(
            self, state: StateReader, number: int, claim: Claim, validator: Address, seeds: Seeds
        ) -> Message | None:
            said = word(number)
            if said == "silent" or (said == "unrevealed" and claim.status == REVEAL):
                return None
            own = super()._message(state, number, claim, validator, seeds)
            if said == "copy" and claim.status == VOTING and isinstance(own, Commitment):
                seen = [v.digest for m, v in votes(state, number) if m.address != validator and v.digest]
                return Commitment(number, claim.attempt, seen[0]) if seen else None
            return own

    return ScriptedWorker, ScriptedBridge

"""Who may commit to a datanet, and what a reviewed one asks of contributors and reviewers."""

from __future__ import annotations

from collections.abc import Sequence

from openledger.primitives.amounts import OPEN
from openledger.primitives.errors import AmountOutOfRange, MalformedAction
from openledger.primitives.types import Address

OPEN_POLICY, INVITED, REVIEWED = "open", "invited", "reviewed"
POLICIES = (OPEN_POLICY, INVITED, REVIEWED)
MAX_REVIEWERS = 32
MOST_BONDED = 1_000_000 * OPEN
GAS_PER_REVIEWER = 1_000


def check_policy(policy: str, quorum: int, bond: int, stake: int, reviewers: Sequence[Address]) -> None:
    """Form of the rules of a datanet; ``bond`` and ``stake`` in wei. Raises MalformedAction, AmountOutOfRange."""
    if policy not in POLICIES:
        raise MalformedAction(f"policy must be one of {', '.join(POLICIES)}")
    if policy != REVIEWED:
        if quorum or bond or stake or reviewers:
            raise MalformedAction("reviewers, review_quorum, bond and stake belong to reviewed datanets")
        return
    if not 1 <= len(reviewers) <= MAX_REVIEWERS or list(reviewers) != sorted(set(reviewers)):
        raise MalformedAction(f"a reviewed datanet has 1 to {MAX_REVIEWERS} reviewers, ascending, each once")
    if not 1 <= quorum <= len(reviewers):
        raise MalformedAction(f"review_quorum must be 1 to {len(reviewers)}, the number of reviewers")
    if max(bond, stake) > MOST_BONDED:
        raise AmountOutOfRange("bond and stake are at most 1,000,000 OPEN")

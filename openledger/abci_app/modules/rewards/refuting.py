"""How a challenge of an index ends. One that is upheld refutes its model.

Then all that is under way about the model ends as if more than two thirds had said no: claims are refused when their
turn comes (``voting``), and what was settled and not claimed goes back to the consumers, some of it in each block.
Nothing of it is minted any more. What accepted claims have booked can still be challenged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from openledger.abci_app.action import BlockContext
from openledger.abci_app.modules.accounts import transfer
from openledger.abci_app.modules.attribution.electorates import guilty, keep_yes, stood_by
from openledger.abci_app.modules.attribution.index_challenges import (
    INDEX_CHALLENGES,
    INDEX_RESOLVED,
    MOOT,
    IndexChallenge,
)
from openledger.abci_app.modules.attribution.records import (
    CHALLENGE_DISMISSED,
    CHALLENGE_UPHELD,
    CLAIMS,
    ESCROW,
    LAPSED,
    PHASE,
    REFUSED,
    Claim,
)
from openledger.abci_app.modules.attribution.voting import Outcome
from openledger.abci_app.modules.fees.records import burn_from
from openledger.abci_app.modules.models.bonds import end_challenge, refute
from openledger.abci_app.modules.models.records import LEDGERS, must_model, must_session, settlements
from openledger.abci_app.modules.rewards.records import REFUNDED, forget_mint, waiting_for_mint
from openledger.abci_app.modules.staking.slashing import punish_verdicts
from openledger.abci_app.tables import Number, Table
from openledger.primitives.types import ATTRIBUTION_ADDRESS, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

MAX_PER_BLOCK = 256
"""Settlements that are paid back in one block."""

_REFUNDING = Table(ATTRIBUTION_ADDRESS, "refunding", Number)
"""By model: refuted ones with settlements that are not paid back; the epoch to go on with."""


def end_index_challenges(
    state: Overlay, ctx: BlockContext, outcomes: Sequence[Outcome]
) -> tuple[list[Outcome], list[Log]]:
    """Pay for the challenges of indexes that have ended. The claims that end in this block, as they do now."""
    logs: list[Log] = []
    for outcome in outcomes:
        if isinstance(outcome.ballot, IndexChallenge):
            logs += _end(state, ctx, outcome.number, outcome.ballot)
    claims: list[Outcome] = []
    for outcome in sorted(outcomes, key=lambda one: one.number):
        number, found = outcome.number, outcome.ballot
        if not isinstance(found, Claim):
            continue
        if found.status != REFUSED and must_model(state, found.model).refuted:  # in this very block
            outcome = Outcome(number, replace(found, status=REFUSED), fell=True)
            CLAIMS.put(state, replace(found, status=REFUSED), number)
            logs.append(PHASE.log(number, REFUSED, 0))
        claims.append(outcome)
    return claims, logs


def _end(state: Overlay, ctx: BlockContext, number: int, found: IndexChallenge) -> list[Log]:
    """More than two thirds no: the model is refuted, and who said yes is slashed, to an earlier challenge of this spot
    too. Yes: the bond burns. Neither: a tenth of it does, and the publisher keeps his; none of it where another
    challenge has refuted the model."""
    logs: list[Log] = []
    kept, outcome = 0, CHALLENGE_DISMISSED
    if found.status == REFUSED:
        kept, outcome = found.bond, CHALLENGE_UPHELD
        if not must_model(state, found.model).refuted:
            logs += _refute(state, number, found)
        logs += punish_verdicts(state, ctx, guilty(state, number, found.opened, stood_by(state, found)))
    elif found.status == LAPSED and must_model(state, found.model).refuted:
        kept, outcome = found.bond, MOOT
    elif found.status == LAPSED:
        kept = found.bond - found.bond // 10
    if outcome == CHALLENGE_DISMISSED:
        keep_yes(state, number, found)
    return [*logs, *_close(state, number, found, outcome, kept)]


def _close(state: Overlay, number: int, found: IndexChallenge, outcome: int, kept: int) -> list[Log]:
    """The challenger gets ``kept`` wei of his bond; the rest burns."""
    transfer(state, ESCROW, found.challenger, kept)
    burn_from(state, ESCROW, found.bond - kept)
    INDEX_CHALLENGES.put(state, replace(found, outcome=outcome), number)
    end_challenge(state, found.model, found.row, found.segment)
    return [INDEX_RESOLVED.log(number, found.model, found.challenger, outcome)]


def _refute(state: Overlay, number: int, found: IndexChallenge) -> list[Log]:
    logs = refute(state, found.model, number, found.challenger)
    for claim in waiting_for_mint(state):
        if CLAIMS.must(state, claim).model == found.model:
            forget_mint(state, claim)
    _REFUNDING.put(state, Number(0), found.model)
    return logs


def refunds_are_due(state: StateReader) -> bool:
    """True when the next block would pay something back."""
    return next(iter(_REFUNDING.items(state)), None) is not None


def refund_unclaimed(state: Overlay, ctx: BlockContext) -> list[Log]:
    """Pay back settlements of refuted models that nobody has claimed, oldest first. An epoch without any counts too."""
    logs: list[Log] = []
    left = MAX_PER_BLOCK
    for rest, start in list(_REFUNDING.items(state)):
        number = int.from_bytes(rest, "big")
        for key, book in list(islice(LEDGERS.items(state, number, start=start.value), left)):
            epoch = int.from_bytes(key, "big")
            last = min(book.count, book.claimed + left)
            for entry in settlements(state, number, epoch, book.claimed, last):
                consumer = must_session(state, entry.session).consumer
                transfer(state, ESCROW, consumer, entry.amount)
                logs.append(REFUNDED.log(must_model(state, number).refuted, consumer, entry.amount))
            left -= max(1, last - book.claimed)
            if last != book.claimed:
                LEDGERS.put(state, replace(book, claimed=last), number, epoch)
            if last != book.count or not left:
                _REFUNDING.put(state, Number(epoch), number)
                return logs
        _REFUNDING.delete(state, number)
    return logs

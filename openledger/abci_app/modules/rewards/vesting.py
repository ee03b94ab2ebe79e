"""Rewards of an accepted claim are booked at once, and can be taken when the time for challenges is over.

Until then they are locked, and the claimant's bond stays. While a challenge runs nothing vests. An upheld one takes
back all that the claim has booked: fees go back to the consumers, minted OPEN is burned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice

from openledger.abci_app.action import BlockContext
from openledger.abci_app.modules.accounts import transfer
from openledger.abci_app.modules.attribution.accusations import row_is_wrong, shares_are_wrong
from openledger.abci_app.modules.attribution.electorates import guilty, shown_before, stood_before
from openledger.abci_app.modules.attribution.index_challenges import INDEX_CHALLENGES
from openledger.abci_app.modules.attribution.records import (
    ACCEPTED,
    CHALLENGE_DISMISSED,
    CHALLENGE_OPEN,
    CHALLENGE_UPHELD,
    CHALLENGES,
    CLAIMS,
    ELECTORATES,
    ESCROW,
    LAPSED,
    RESOLVED,
    VESTED,
    Challenge,
    Claim,
    open_claims,
)
from openledger.abci_app.modules.attribution.voting import Outcome
from openledger.abci_app.modules.fees.records import burn_from
from openledger.abci_app.modules.governance.records import POOL
from openledger.abci_app.modules.models.records import must_model, must_session, settlements
from openledger.abci_app.modules.rewards.records import (
    EARNINGS,
    PAID,
    REFUNDED,
    REWARDS,
    SLASHED,
    forget_mint,
    rewards,
)
from openledger.abci_app.modules.rewards.stakers import ROLE_POOL, empty_pots, open_pots
from openledger.abci_app.modules.staking.slashing import punish_verdicts
from openledger.abci_app.tables import Number, Table
from openledger.primitives.amounts import split_exact
from openledger.primitives.types import ATTRIBUTION_ADDRESS, ZERO_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

MAX_PER_BLOCK = 8
"""Claims whose rewards vest in one block; the rest waits for the next."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Wei that were taken back."""

    fees: int
    minted: int


_QUEUE = Table(ATTRIBUTION_ADDRESS, "vesting", Number)
_WAITING = Table(ATTRIBUTION_ADDRESS, "waiting", Number)
"""By number: claims whose rewards are booked and have not vested."""


def begin_vesting(state: Overlay, ctx: BlockContext, number: int, claim: Claim) -> None:
    """The time for challenges of an accepted claim begins (once more, after one that was not upheld)."""
    vests = ctx.time + ctx.params.challenge_seconds
    CLAIMS.put(state, replace(claim, vests=vests), number)
    _QUEUE.put(state, Number(number), vests, number)
    _WAITING.put(state, Number(number), number)


def unpaid_round(state: StateReader) -> int | None:
    """The round of the oldest claim that may still be paid; None where all are."""
    waiting = (int.from_bytes(rest, "big") for rest, _ in _WAITING.items(state))
    numbers = [*open_claims(state, 1), *islice(waiting, 1)]
    return ELECTORATES.must(state, min(numbers)).round if numbers else None


def vesting_is_due(state: StateReader, time: int) -> bool:
    """True when the next block at Unix second ``time`` would unlock something."""
    return _QUEUE.is_due(state, time)


def vest(state: Overlay, ctx: BlockContext) -> list[Log]:
    """Unlock what nobody has challenged in time, and give the bond back."""
    logs: list[Log] = []
    for vests, _, queued in _QUEUE.due(state, ctx.time, MAX_PER_BLOCK):
        number = queued.value
        _QUEUE.delete(state, vests, number)
        claim = CLAIMS.must(state, number)
        if claim.status != ACCEPTED or claim.vests != vests:  # a challenge runs, or has begun the time anew
            continue
        for account in _earners(state, claim):
            _release(state, account, number)
        logs += open_pots(state, number)
        _WAITING.delete(state, number)
        CLAIMS.put(state, replace(claim, vests=0), number)
        transfer(state, ESCROW, claim.claimant, claim.bond)
        logs.append(VESTED.log(number))
    return logs


def _earners(state: StateReader, claim: Claim) -> list[Address]:
    """Accounts that a claim can have booked something for; what the stakers have waits in pots."""
    return sorted({share.contributor for share in claim.shares} | {must_model(state, claim.model).owner})


def _release(state: Overlay, account: Address, number: int) -> int:
    """Wei of a claim that were locked for an account and are not any longer."""
    earning, now = EARNINGS.get(state, account, number), rewards(state, account)
    if earning is None:
        return 0
    REWARDS.put(state, replace(now, locked=now.locked - earning.fees - earning.minted), account)
    return earning.fees + earning.minted


def _take_back(state: Overlay, number: int, claim: Claim) -> Taken:
    fees = minted = 0
    for account in _earners(state, claim):
        if not _release(state, account, number):
            continue
        earning, now = EARNINGS.must(state, account, number), rewards(state, account)
        kept = replace(now, fees=now.fees - earning.fees, minted=now.minted - earning.minted)
        REWARDS.put(state, kept, account)
        EARNINGS.delete(state, account, number)
        fees, minted = fees + earning.fees, minted + earning.minted
    return Taken(fees + empty_pots(state, number), minted)


# --- challenges -------------------------------------------------------------------------------------------


def open_challenge(state: StateReader, number: int) -> Challenge | None:
    """The challenge that runs against a claim."""
    found = CHALLENGES.get(state, number)
    return found if found is not None and found.outcome == CHALLENGE_OPEN else None


def uphold(state: Overlay, ctx: BlockContext, outcome: Outcome, claim: Claim, challenge: Challenge) -> list[Log]:
    """The claim was false: it is undone, and half of its bond is whose challenge has shown it."""
    number = outcome.number
    taken = _take_back(state, number, claim)
    forget_mint(state, number)
    _WAITING.delete(state, number)
    burn_from(state, ESCROW, taken.minted)
    CLAIMS.put(state, replace(claim, vests=0, minted=0), number)
    logs = _refund(state, number, claim, taken.fees)
    half = claim.bond // 2
    transfer(state, ESCROW, challenge.challenger, challenge.bond)
    transfer(state, ESCROW, _finder(state, ctx, outcome, claim, challenge), half)
    burn_from(state, ESCROW, claim.bond - half)
    CHALLENGES.put(state, replace(challenge, outcome=CHALLENGE_UPHELD), number)
    slashed = [SLASHED.log(number, claim.claimant, claim.bond)] if claim.bond else []
    if not outcome.fell:  # else its votes had not ended
        slashed += _punish(state, ctx, number, claim, challenge)
    return [*logs, *slashed, RESOLVED.log(number, challenge.challenger, CHALLENGE_UPHELD)]


def _finder(state: Overlay, ctx: BlockContext, outcome: Outcome, claim: Claim, challenge: Challenge) -> Address:
    """The challenger; where the claim fell with its model, who had challenged the index by then. Heights above this
    block's are those of the chain that this one goes on from, and came before all of ours."""
    if outcome.fell:
        refuting = INDEX_CHALLENGES.must(state, must_model(state, claim.model).refuted)
        first, second = ((height <= ctx.height, height) for height in (refuting.opened, challenge.height))
        if first <= second:
            return refuting.challenger
    return challenge.challenger


def _punish(state: Overlay, ctx: BlockContext, number: int, claim: Claim, challenge: Challenge) -> list[Log]:
    """Slash who says yes in this look, with the named part before their eyes. Where more than two thirds find a share
    wrong, also who said yes before, in the first vote or to an earlier challenge, and does not say no now: every
    verification compares all shares, while a wrong row may not have been drawn. Where they find the row wrong that the
    challenge names, also who said yes to an earlier one that named it. These answer with all that was their power then,
    what has left since, too."""
    before: dict[Address, int] = {}
    if shares_are_wrong(state, number, claim):
        before = stood_before(state, number)
    elif challenge.contributor == ZERO_ADDRESS and row_is_wrong(state, number, claim, challenge.row):
        before = shown_before(state, number, challenge.row)
    return punish_verdicts(state, ctx, guilty(state, number, challenge.height, before))


def _refund(state: Overlay, number: int, claim: Claim, amount: int) -> list[Log]:
    """To the consumers, in proportion to what they paid and never more; what is left to the pool."""
    entries = list(settlements(state, claim.model, claim.epoch, claim.first, claim.last))
    parts = split_exact(min(amount, claim.fee), [entry.amount for entry in entries])
    logs: list[Log] = []
    for entry, part in zip(entries, parts, strict=True):
        consumer = must_session(state, entry.session).consumer
        transfer(state, ESCROW, consumer, part)
        logs.append(REFUNDED.log(number, consumer, part))
    rest = amount - sum(parts)
    transfer(state, ESCROW, POOL, rest)
    return [*logs, PAID.log(number, POOL, rest, ROLE_POOL)] if rest else logs


def dismiss(state: Overlay, ctx: BlockContext, number: int, claim: Claim, challenge: Challenge) -> list[Log]:
    """The claim stands, and its time for challenges begins anew. The challenger's bond burns; where the validators
    came to no verdict, a tenth of it."""
    kept = challenge.bond - challenge.bond // 10 if claim.status == LAPSED else 0
    transfer(state, ESCROW, challenge.challenger, kept)
    burn_from(state, ESCROW, challenge.bond - kept)
    CHALLENGES.put(state, replace(challenge, outcome=CHALLENGE_DISMISSED), number)
    begin_vesting(state, ctx, number, replace(claim, status=ACCEPTED))
    return [RESOLVED.log(number, challenge.challenger, CHALLENGE_DISMISSED)]

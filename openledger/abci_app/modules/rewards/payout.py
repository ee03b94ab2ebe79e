"""What happens to the money when a claim ends, and what is granted when an epoch closes (design.md, sections 6 and 7).

Every wei of a fee goes somewhere: contributors, owner, stakers, pool, burn, by largest remainder. The mint of a claim
is at most m x (the pool's fixed part + the burned part) of its fee, and less than what a coalition with a third of the
stake loses of that fee; all mints of an epoch at most its schedule.
"""

from __future__ import annotations

from collections.abc import Sequence

from openledger.abci_app.action import BlockContext
from openledger.abci_app.modules.accounts import transfer
from openledger.abci_app.modules.attribution.records import (
    ACCEPTED,
    CLAIMS,
    ELECTORATES,
    ESCROW,
    REFUSED,
    Claim,
)
from openledger.abci_app.modules.attribution.voting import Outcome
from openledger.abci_app.modules.fees.records import burn_from, mintable
from openledger.abci_app.modules.governance.records import POOL
from openledger.abci_app.modules.models.records import (
    EPOCH_CLOSED,
    Epoch,
    epoch,
    must_model,
    must_session,
    set_epoch,
    settlements,
)
from openledger.abci_app.modules.rewards.minting import grant, granted_before, mint_granted
from openledger.abci_app.modules.rewards.records import (
    BURNED,
    PAID,
    REFUNDED,
    SLASHED,
    WISHES,
    Wish,
    credit,
    wishes,
)
from openledger.abci_app.modules.rewards.refuting import end_index_challenges
from openledger.abci_app.modules.rewards.stakers import ROLE_POOL, pay_stakers
from openledger.abci_app.modules.rewards.vesting import begin_vesting, dismiss, open_challenge, unpaid_round, uphold
from openledger.abci_app.modules.staking.earning import next_round
from openledger.primitives.amounts import PPM, split_exact
from openledger.primitives.types import Address, Log
from openledger.state.overlay import Overlay

ROLE_CONTRIBUTOR, ROLE_OWNER = "contributor", "owner"


def settle(state: Overlay, ctx: BlockContext, outcomes: Sequence[Outcome]) -> list[Log]:
    """Pay, refund or slash for the claims that ended in this block."""
    claims, logs = end_index_challenges(state, ctx, outcomes)
    for outcome in claims:
        claim, number = CLAIMS.must(state, outcome.number), outcome.number
        challenge = open_challenge(state, number)
        if challenge is not None:
            if claim.status == REFUSED:
                logs += uphold(state, ctx, outcome, claim, challenge)
            else:
                logs += dismiss(state, ctx, number, claim, challenge)
            continue
        if claim.status == ACCEPTED and ctx.params.challenge_seconds:
            begin_vesting(state, ctx, number, claim)
            logs += pay_stakers(state, number, claim, claim.work_fee, locked=True)
            logs += _pay(state, ctx, number, claim, accepted=True, locked=True)
            continue
        logs += pay_stakers(state, number, claim, claim.work_fee)
        if claim.status == REFUSED:
            logs += _refund(state, number, claim)
            logs += _slash(state, number, claim, claim.bond)
            continue
        accepted = claim.status == ACCEPTED
        logs += _pay(state, ctx, number, claim, accepted)
        burned = 0 if accepted else claim.bond // 10
        logs += _slash(state, number, claim, burned)
        transfer(state, ESCROW, claim.claimant, claim.bond - burned)
    return logs


def _pay(
    state: Overlay, ctx: BlockContext, number: int, claim: Claim, accepted: bool, locked: bool = False
) -> list[Log]:
    model = must_model(state, claim.model)
    to_contributors, to_owner, to_stakers, to_pool, to_burn = split_exact(claim.fee, ctx.params.fee_split)
    wished = ctx.params.mint_factor * (to_pool + to_burn) // PPM * (PPM - claim.unattributed) // PPM
    wished = max(0, min(wished, to_burn + _of_others(state, number, to_stakers) - 1))
    logs: list[Log] = []
    if accepted:
        weights = [s.ppm for s in claim.shares] + [claim.unattributed]
        parts = split_exact(to_contributors, weights)
        for share, part in zip(claim.shares, parts, strict=False):
            logs += _credit(state, number, share.contributor, part, ROLE_CONTRIBUTOR, locked)
        to_pool += parts[-1]
        if model.mints and wished:
            WISHES.put(state, Wish(wished), number)
    else:
        to_pool += to_contributors
    logs += _credit(state, number, model.owner, to_owner, ROLE_OWNER, locked)
    logs += pay_stakers(state, number, claim, to_stakers, locked)
    transfer(state, ESCROW, POOL, to_pool)
    burn_from(state, ESCROW, to_burn)
    return [*logs, PAID.log(number, POOL, to_pool, ROLE_POOL), BURNED.log(number, to_burn)]


def _of_others(state: Overlay, number: int, amount: int) -> int:
    """Wei of the stakers' ``amount`` that go to others than a coalition with a third of the validator set's power.

    All of a coalition may vote on claims while others do not, so its part of the electorate can be larger than a third;
    and rounding may favour each member by a wei.
    """
    electorate = ELECTORATES.must(state, number)
    power = electorate.power
    others = 3 * power - (electorate.seated or power)
    return max(0, amount * others // (3 * power) - len(electorate.members)) if others > 0 else 0


def _credit(state: Overlay, number: int, account: Address, amount: int, role: str, locked: bool) -> list[Log]:
    credit(state, account, number, fees=amount, locked=locked)
    return [PAID.log(number, account, amount, role)] if amount else []


def _refund(state: Overlay, number: int, claim: Claim) -> list[Log]:
    logs = []
    for entry in settlements(state, claim.model, claim.epoch, claim.first, claim.last):
        consumer = must_session(state, entry.session).consumer
        transfer(state, ESCROW, consumer, entry.amount)
        logs.append(REFUNDED.log(number, consumer, entry.amount))
    return logs


def _slash(state: Overlay, number: int, claim: Claim, amount: int) -> list[Log]:
    if not amount:
        return []
    burn_from(state, ESCROW, amount)
    return [SLASHED.log(number, claim.claimant, amount)]


# --- the close of an epoch --------------------------------------------------------------------------------


def epoch_is_due(current: Epoch, time: int, has_transactions: bool) -> bool:
    """An epoch ends at its end when something was settled or waits to be minted, else with the next transactions."""
    return time >= current.end and (current.active or has_transactions)


def close_epoch(state: Overlay, ctx: BlockContext, has_transactions: bool) -> list[Log]:
    """End the running epoch when it is due: grant what accepted claims wish, pro rata within the schedule. The wish of
    a claim under challenge waits. A new round of stake's earnings begins. An epoch in which nothing was settled and
    after which nothing is minted leaves no log: its end adds no transaction to a block of others'. In any case mint
    what was granted."""
    current = epoch(state)
    if not epoch_is_due(current, ctx.time, has_transactions or bool(wishes(state))):
        return mint_granted(state, ctx)
    waiting = [(n, amount) for n, amount in wishes(state) if CLAIMS.must(state, n).status == ACCEPTED]
    budget = min(ctx.params.mint_per_epoch, max(0, mintable(state, ctx.params) - granted_before(state)))
    wanted = sum(amount for _, amount in waiting)
    granted = [amount for _, amount in waiting]
    if wanted > budget:
        granted = [amount * budget // wanted for amount in granted]
    for (number, _), amount in zip(waiting, granted, strict=True):
        WISHES.delete(state, number)
        grant(state, number, amount)
    logs = mint_granted(state, ctx)
    start = ctx.time
    set_epoch(state, Epoch(current.number + 1, start, start + ctx.params.epoch_seconds, False))
    next_round(state, unpaid_round(state))
    tells = current.active or waiting
    return [*logs, EPOCH_CLOSED.log(current.number, sum(granted))] if tells else logs

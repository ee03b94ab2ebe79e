"""The end of proposals: the count, the decision, the deed, and where the deposits go.

A block ends ``max_proposals_per_block`` at most, the oldest deadline first; others wait for the next one, and no
vote is taken meanwhile. The count follows Cosmos SDK x/gov: a quorum of all bonded stake; not too many vetoes among all
votes; then more yes than ``gov_pass`` among the votes that are no abstentions.
"""

from __future__ import annotations

from dataclasses import replace

from openledger.abci_app.action import BlockContext
from openledger.abci_app.modules.accounts import transfer
from openledger.abci_app.modules.fees.records import burn_from
from openledger.abci_app.modules.governance.effects import read_effect
from openledger.abci_app.modules.governance.records import (
    BURNED,
    DEPOSIT,
    DEPOSITS,
    ENDED,
    EXPIRED,
    FAILED,
    NO_QUORUM,
    PASSED,
    PROPOSALS,
    REJECTED,
    RETURNED,
    VETOED,
    VOTES_OPEN,
    Proposal,
    deposits,
    due_proposals,
    forget_deposits,
    take_from_queue,
)
from openledger.abci_app.modules.staking.choices import close_poll
from openledger.abci_app.modules.staking.polls import Count, count
from openledger.genesis.params import Params
from openledger.primitives.amounts import PPM
from openledger.primitives.errors import InvalidTransaction
from openledger.primitives.types import Log
from openledger.state.overlay import Overlay


def end_proposals(state: Overlay, ctx: BlockContext) -> list[Log]:
    """End what is due in this block."""
    logs: list[Log] = []
    for number in due_proposals(state, ctx.time, ctx.params.max_proposals_per_block):
        record = PROPOSALS.must(state, number)
        take_from_queue(state, number, record.deadline)
        if record.status == DEPOSIT:
            ended, done = replace(record, status=EXPIRED), list[Log]()
        else:
            VOTES_OPEN.set(state, VOTES_OPEN.get(state) - 1)
            close_poll(state, number)
            ended, done = _decide(state, ctx, number, record)
        PROPOSALS.put(state, ended, number)
        logs += [_ended(number, ended), *done, *_settle_deposits(state, number, ended)]
    return logs


def outcome(votes: Count, params: Params) -> int:
    """PASSED, REJECTED, VETOED or NO_QUORUM, of wei of stake."""
    yes, no, abstain, veto = votes.weights
    cast = yes + no + abstain + veto
    if not votes.bonded or cast * PPM < votes.bonded * params.gov_quorum:
        return NO_QUORUM
    if veto * PPM > cast * params.gov_veto:
        return VETOED
    return PASSED if yes * PPM > (yes + no + veto) * params.gov_pass else REJECTED


def _decide(state: Overlay, ctx: BlockContext, number: int, record: Proposal) -> tuple[Proposal, list[Log]]:
    votes = count(state, number)
    yes, no, abstain, veto = votes.weights
    decided = replace(record, yes=yes, no=no, abstain=abstain, veto=veto, bonded=votes.bonded)
    decided = replace(decided, status=outcome(votes, ctx.params))
    return _do(state, ctx, number, decided) if decided.status == PASSED else (decided, [])


def _do(state: Overlay, ctx: BlockContext, number: int, record: Proposal) -> tuple[Proposal, list[Log]]:
    """All of the effect, or nothing of it and the reason on record."""
    checkpoint = state.checkpoint()
    try:
        effect = read_effect(record.effect, record.arguments)
        effect.validate(state, ctx)
        logs = effect.apply(state, ctx, number)
    except InvalidTransaction as err:
        state.rollback(checkpoint)
        return replace(record, status=FAILED, failure=err.message), []
    state.commit(checkpoint)
    return record, logs


def _ended(number: int, r: Proposal) -> Log:
    return ENDED.log(number, r.status, r.yes, r.no, r.abstain, r.veto, r.bonded, r.failure)


def _settle_deposits(state: Overlay, number: int, record: Proposal) -> list[Log]:
    """Back to who brought them; burned where a vote was vetoed, or too few cared."""
    given = deposits(state, number)
    forget_deposits(state, number)
    if record.status in (VETOED, NO_QUORUM):
        burn_from(state, DEPOSITS, record.deposit)
        return [BURNED.log(number, record.deposit)]
    for depositor, amount in given:
        transfer(state, DEPOSITS, depositor, amount)
    return [RETURNED.log(number, depositor, amount) for depositor, amount in given]

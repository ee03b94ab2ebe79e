"""How messages change a claim, and when a phase ends. Called once a block, before the transactions.

More than two thirds of the power that was fixed when the claim opened decide; a phase ends when all have spoken or at
its deadline. Every change leaves a log, for the block's system transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from openledger.abci_app.action import BlockContext
from openledger.abci_app.modules.attribution.accusations import hear_accusation, look_again, second_look_due
from openledger.abci_app.modules.attribution.draws import has_declared, hear_promise, leaf_holds
from openledger.abci_app.modules.attribution.index_challenges import Ballot, ballot, must_ballot, put_ballot
from openledger.abci_app.modules.attribution.messages import (
    CLAIMED_BYTES,
    OWN_BYTES,
    Accusation,
    ClaimMessage,
    Commitment,
    Hold,
    Message,
    Promise,
    Reveal,
    ShownBlock,
    hashes_of,
    scores_of,
    verdict_digest,
)
from openledger.abci_app.modules.attribution.records import (
    ACCEPTED,
    LAPSED,
    NO,
    NONE,
    OPEN,
    PENDING,
    PHASE,
    REFUSED,
    REVEAL,
    SAID,
    VOID,
    VOTES,
    VOTING,
    YES,
    Claim,
    Vote,
    electorate,
    forget_votes,
    next_turn,
    vote,
    votes,
)
from openledger.abci_app.modules.models.records import is_refuted
from openledger.abci_app.modules.staking.silence import note_silent
from openledger.genesis.params import Params
from openledger.primitives.amounts import PPM
from openledger.primitives.attribution import block_rows, count_blocks, drawn_blocks, score_leaf, seed_leaf
from openledger.primitives.hashing import merkle_root, merkle_verify
from openledger.primitives.types import Address, Log
from openledger.state.overlay import Overlay

MAX_PAID = 2_048
"""Contributors, and settlements that are refunded, of claims that end in one block, unless a single claim has more:
each costs some 50 microseconds."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A claim, or a challenge of an index, that ended in this block with ACCEPTED, REFUSED or LAPSED. ``fell``: not by
    its votes, but with its model."""

    number: int
    ballot: Ballot
    fell: bool = False


def hear(state: Overlay, ctx: BlockContext, said: Sequence[tuple[Address, Message]]) -> list[Log]:
    """Record messages in order. One that does not fit its claim's phase, or comes twice, changes nothing: the first
    included counts."""
    logs: list[Log] = []
    for validator, message in said:
        if isinstance(message, Promise):
            logs += hear_promise(state, ctx, validator, message)
            continue
        claim = ballot(state, message.claim)
        if claim is None or claim.attempt != message.attempt or not _is_member(state, message.claim, validator):
            continue
        if isinstance(message, Accusation):
            if isinstance(claim, Claim):  # a challenge of an index names what all look at
                logs += hear_accusation(state, claim, validator, message)
            continue
        before = vote(state, message.claim, validator)
        after = _apply(state, claim, before, message, validator, ctx.params)
        if after != before:
            VOTES.put(state, after, message.claim, validator)
            logs.append(SAID.log(message.claim, validator, claim.status, after.verdict, after.reason))
    return logs


def _is_member(state: Overlay, claim: int, validator: Address) -> bool:
    return any(m.address == validator for m in electorate(state, claim).members)


def _apply(
    state: Overlay, claim: Ballot, before: Vote, message: ClaimMessage, validator: Address, params: Params
) -> Vote:
    if isinstance(message, Hold) and claim.status == PENDING:
        return replace(before, held=1)
    if isinstance(message, Commitment) and claim.status == VOTING and message.look == claim.look and not before.digest:
        leaf = message.leaf if leaf_holds(state, validator, claim, message) else b""
        return replace(before, digest=message.digest, leaf=leaf)
    if isinstance(message, Reveal) and claim.status == REVEAL and before.digest and before.verdict == NONE:
        verdict = _judge(claim, before, message, validator, params)
        return replace(before, verdict=verdict, reason=message.reason)
    return before


def _judge(claim: Ballot, before: Vote, message: Reveal, validator: Address, params: Params) -> int:
    """YES or NO, or VOID: another verdict than the committed one, another seed than the promised one, other blocks
    than it draws, or scores that are not the claim's within tolerance."""
    own = [(s.block, s.own) for s in message.shown]
    digest = verdict_digest(message.claim, message.attempt, validator, message.valid, message.reason, message.salt, own)
    if digest != before.digest:
        return VOID
    if not message.valid:
        return VOID if message.shown or message.seed else NO
    if not isinstance(claim, Claim):
        return VOID if message.shown or message.seed else YES
    if not before.leaf or seed_leaf(message.claim, message.seed) != before.leaf:
        return VOID
    blocks = drawn_blocks(message.claim, validator, message.seed, claim.scores_root, claim.rows, claim.drawn)
    if [block for block, _ in own] != blocks:
        return VOID
    return YES if all(_matches(claim, shown, params) for shown in message.shown) else VOID


def _matches(claim: Claim, shown: ShownBlock, params: Params) -> bool:
    rows = block_rows(shown.block, claim.rows)
    own, claimed = scores_of(shown.own, OWN_BYTES), scores_of(shown.claimed, CLAIMED_BYTES)
    if not len(rows) == len(own) == len(claimed):
        return False
    node = merkle_root([score_leaf(row, score) for row, score in zip(rows, claimed, strict=True)])
    if not merkle_verify(claim.scores_root, node, shown.block, count_blocks(claim.rows), hashes_of(shown.proof)):
        return False
    return all(_is_near(mine, score, params) for mine, score in zip(own, claimed, strict=True))


def _is_near(own: int, claimed: int, params: Params) -> bool:
    allowed = params.score_tolerance + abs(claimed) * params.score_tolerance_relative // PPM
    return abs(own - claimed) <= allowed


def advance(state: Overlay, ctx: BlockContext) -> tuple[list[Outcome], list[Log]]:
    """Move open claims on, as many as a block may. Returns those that ended, and the logs. Those that would end with
    more people than a block pays or refunds stay as they are until the next."""
    ended: list[Outcome] = []
    logs: list[Log] = []
    left = MAX_PAID
    for number in next_turn(state, ctx.params.max_open_claims_per_block):
        claim = must_ballot(state, number)
        falls = is_refuted(state, claim.model)
        after = _fallen(ctx, claim) if falls else _next(state, ctx, number, claim)
        ends = after.status in (ACCEPTED, REFUSED, LAPSED)
        people = _people(after) if ends and isinstance(after, Claim) else 0
        if after is claim or people > left < MAX_PAID:
            continue
        left -= people
        put_ballot(state, after, number)
        logs.append(PHASE.log(number, after.status, after.deadline))
        if ends:
            OPEN.delete(state, number)
            logs += [] if falls else _note_silent(state, ctx, number, after)
            ended.append(Outcome(number, after, falls))
    return ended, logs


def _people(claim: Claim) -> int:
    """Whom the end of a claim pays or takes back from, and whom it refunds: one for each settlement at most."""
    return len(claim.shares) + (claim.last - claim.first if claim.status == REFUSED else 0)


def _fallen(ctx: BlockContext, claim: Ballot) -> Ballot:
    """A claim, or a challenge, of a model that was refuted meanwhile: as if more than two thirds had said no to the
    claim, and of no matter any more."""
    status = REFUSED if isinstance(claim, Claim) else LAPSED
    return replace(claim, status=status, deadline=0, closed=ctx.height)


def _note_silent(state: Overlay, ctx: BlockContext, number: int, claim: Ballot) -> list[Log]:
    """Those without a verdict on a claim that the others have decided; a void one is none."""
    if claim.status == LAPSED:
        return []
    logs: list[Log] = []
    for member, said in list(votes(state, number)):
        if has_declared(state, member.address, number, claim) and said.verdict in (NONE, VOID):
            logs += note_silent(state, ctx, member.address, number)
    return logs


def _next(state: Overlay, ctx: BlockContext, number: int, claim: Ballot) -> Ballot:
    """The claim after this block; the same object when nothing changed."""
    params, late = ctx.params, ctx.time >= claim.deadline
    cast = list(votes(state, number))
    total = sum(m.power for m, _ in cast)
    committed = sum(m.power for m, v in cast if v.digest)
    if claim.status == PENDING:
        if 3 * sum(m.power for m, v in cast if v.held) > 2 * total:
            return replace(claim, status=VOTING, deadline=ctx.time + params.vote_seconds)
        return _retry(state, ctx, number, claim) if late else claim
    if claim.status == VOTING:
        if committed != total and not late:
            return claim
        if 3 * committed > 2 * total and second_look_due(state, number, claim):
            look_again(state, number)
            return replace(claim, look=1, deadline=ctx.time + params.vote_seconds)
        if 3 * committed > 2 * total:
            return replace(claim, status=REVEAL, deadline=ctx.time + params.reveal_seconds)
        return _retry(state, ctx, number, claim)
    spoken = sum(m.power for m, v in cast if v.verdict != NONE)
    if spoken != committed and not late:
        return claim
    for verdict, status in ((YES, ACCEPTED), (NO, REFUSED)):
        if 3 * sum(m.power for m, v in cast if v.verdict == verdict) > 2 * total:
            return replace(claim, status=status, deadline=0, closed=ctx.height)
    return _retry(state, ctx, number, claim)


def _retry(state: Overlay, ctx: BlockContext, number: int, claim: Ballot) -> Ballot:
    if claim.attempt % 2:
        return replace(claim, status=LAPSED, deadline=0, closed=ctx.height)
    forget_votes(state, number)
    deadline = ctx.time + ctx.params.hold_seconds
    return replace(claim, status=PENDING, attempt=claim.attempt + 1, look=0, deadline=deadline)


__all__ = ["VOID", "Outcome", "advance", "hear"]

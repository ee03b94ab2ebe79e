"""Whoever challenges his own model's index loses, however the validators decide; so does who lets others refute it."""

from __future__ import annotations

from dataclasses import replace

from claim_money import Money, someone
from harness import DEVNET_PARAMS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openledger.abci_app.modules.accounts import transfer
from openledger.abci_app.modules.attribution.challenge_index import AttributionChallengeIndex
from openledger.abci_app.modules.attribution.index_challenges import INDEX_CHALLENGES
from openledger.abci_app.modules.attribution.records import (
    ACCEPTED,
    CLAIM_COUNT,
    CLAIMS,
    LAPSED,
    NO,
    OPEN,
    REFUSED,
    YES,
)
from openledger.abci_app.modules.attribution.voting import Outcome
from openledger.abci_app.modules.models.records import ESCROW as DEPOSITS
from openledger.abci_app.modules.models.records import MODELS
from openledger.abci_app.modules.rewards.payout import settle
from openledger.abci_app.modules.rewards.refuting import refund_unclaimed
from openledger.primitives.amounts import OPEN as COIN

OWNER, CONSUMER, CHALLENGER = "owner", "consumer", "challenger"


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    ours=st.integers(1, 33),
    bond=st.integers(0, 200 * COIN),
    challenge_bond=st.integers(1, 100 * COIN),
    end=st.sampled_from((ACCEPTED, REFUSED, LAPSED)),
    stage=st.sampled_from(("nothing", "settled", "claimed")),
    answers=st.integers(1, 5),
    ours_say=st.sampled_from((YES, NO)),
)
def test_no_coalition_with_a_third_of_the_power_earns_by_challenging_itself(
    ours: int, bond: int, challenge_bond: int, end: int, stage: str, answers: int, ours_say: int
) -> None:
    """One hand is publisher, consumer, claimant, challenger, and up to a third of the power; without gas. It loses the
    challenger's bond, or half of the publisher's, or a tenth of the challenger's."""
    world = Money(replace(DEVNET_PARAMS, challenge_bond=challenge_bond, work_price=0), base_fee=0)
    world.seat([("our0", ours, True), ("other0", 100 - ours, True)])
    names = [someone(name) for name in (OWNER, CONSUMER, CHALLENGER, "our0")]
    world.fund(names)
    before = world.wealth(names)
    model = world.publish(someone(OWNER), COIN, [someone(OWNER)])
    transfer(world.state, someone(OWNER), DEPOSITS, bond)
    MODELS.put(world.state, replace(MODELS.must(world.state, model), bond=bond), model)
    if stage != "nothing":
        epoch = world.buy(CONSUMER, model, answers)
        world.close()
    if stage == "claimed":
        world.claim(someone(OWNER), model, epoch, {someone(OWNER): 1_000_000})
    world.act(someone(CHALLENGER), AttributionChallengeIndex(model, 0))
    number = CLAIM_COUNT.get(world.state)
    world.vote(number, {someone("our0"): ours_say, someone("other0"): NO if end == REFUSED else YES})
    found = replace(INDEX_CHALLENGES.must(world.state, number), status=end)
    INDEX_CHALLENGES.put(world.state, found, number)
    OPEN.delete(world.state, number)
    settle(world.state, world.ctx, [Outcome(number, found)])
    refund_unclaimed(world.state, world.ctx)
    lost = {ACCEPTED: challenge_bond, REFUSED: bond - bond // 2, LAPSED: challenge_bond // 10}[end]
    held = MODELS.must(world.state, model).bond
    if end == REFUSED or stage == "nothing":
        assert world.wealth(names) + held <= before - lost
    else:  # the fee waits in escrow: it counts as theirs, with the claimant's bond
        waiting = answers * COIN + (max(world.params.claim_bond, answers * COIN // 5) if stage == "claimed" else 0)
        assert world.wealth(names) + held + waiting <= before - lost
    assert held == (0 if end == REFUSED else bond)


def test_no_number_of_sham_challenges_makes_a_false_claim_safe() -> None:
    world = Money(replace(DEVNET_PARAMS, challenge_seconds=100))
    world.seat([("v", 100, True)])
    world.fund([someone(name) for name in ("owner", "consumer", "claimant", "honest")])
    model = world.publish(someone("owner"), COIN, [someone("owner")])
    epoch = world.buy("consumer", model)
    world.close()
    number = world.claim(someone("owner"), model, epoch, {someone("owner"): 1_000_000})
    world.vote(number, {someone("v"): YES})
    world.end(number, ACCEPTED)
    for _ in range(130):
        world.challenge(someone("owner"), number)
        world.vote(number, {someone("v"): YES})
        world.end(number, ACCEPTED)
    world.challenge(someone("honest"), number)
    world.vote(number, {someone("v"): NO})
    world.end(number, REFUSED)
    assert CLAIMS.must(world.state, number).vests == 0

"""Whoever pays himself for inference loses, with every set of parameters that genesis and governance accept.

One hand is consumer, model owner, claimant, challenger, some or all contributors, and validators with up to a third of
the set's power, under as many names as it likes. Its stake may stand behind others' validators, and move from one to
another before and after a claim opens. The community pool counts as its own, as in the joint bound (design.md,
section 7): it might govern it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from claim_money import Money, someone
from harness import ACCOUNTS, DEVNET_PARAMS, Harness
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from openledger.abci_app.modules.attribution.records import ACCEPTED, CLAIMS, LAPSED, NO, NONE, REFUSED, YES
from openledger.abci_app.modules.governance.records import POOL
from openledger.abci_app.modules.staking.delegations import delegation, worth
from openledger.abci_app.modules.staking.records import operated_by
from openledger.genesis.params import Params
from openledger.primitives.amounts import GWEI, OPEN, PPM
from openledger.primitives.errors import InvalidGenesis

DELEGATORS = ("deleg0", "deleg1", "deleg2")
CONSUMER, OWNER, CHALLENGER = "consumer", "owner", "challenger"


def accepted(**changes: int) -> bool:
    """Whether genesis and governance would accept these parameters."""
    try:
        replace(DEVNET_PARAMS, **changes).validate()
    except InvalidGenesis:
        return False
    return True


def at_the_edge(contributors: int, owner: int, stakers: int, pool: int, burn: int) -> dict[str, int]:
    """A split, in parts of any size, with the highest mint factor that the joint bound accepts."""
    whole = contributors + owner + stakers + pool + burn
    owner, stakers, pool, burn = (part * 10_000 // whole for part in (owner, stakers, pool, burn))
    highest = (PPM * (3 * burn + 2 * stakers) - 1) // (3 * (pool + burn)) if pool + burn else PPM
    return {"split_contributors": 10_000 - owner - stakers - pool - burn, "split_owner": owner,
            "split_stakers": stakers, "split_pool": pool, "split_burn": burn,
            "mint_factor": max(0, min(highest, 2**32 - 1))}  # fmt: skip


def sizes(largest: int) -> st.SearchStrategy[int]:
    """Whole numbers from 1 on, of every order of magnitude."""
    return st.integers(0, largest.bit_length() - 1).flatmap(lambda bits: st.integers(2**bits, 2 ** (bits + 1) - 1))


@dataclass(frozen=True)
class Story:
    """What the coalition does. ``validators`` are (name, own power, votes on claims); its own names begin with "our".
    ``delegated`` is its stake behind others: (one of "deleg", validator's name, power). ``commission`` (ppm) is
    everybody's."""

    params: Params
    validators: list[tuple[str, int, bool]]
    claims: list[dict[str, Any]]
    delegated: tuple[tuple[str, str, int], ...] = ()
    commission: int = 100_000

    @property
    def ours(self) -> list[str]:
        return [name for name, _, _ in self.validators if name.startswith("our")]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    part = st.one_of(st.just(0), st.integers(0, 100), st.integers(0, 10_000))
    split = at_the_edge(draw(st.integers(1, 10_000)), draw(part), draw(part), draw(part), draw(part))
    split["mint_factor"] = max(0, split["mint_factor"] - draw(st.sampled_from((0, 0, 1, 1_000, 100_000))))
    assume(accepted(**split))
    others = draw(st.lists(sizes(2**20), min_size=1, max_size=12))
    wanted = draw(st.lists(sizes(2**20), max_size=12))
    left, ours = sum(others) // 2, []  # a third of all
    delegated = []
    for number, wish in enumerate(draw(st.lists(sizes(2**20), max_size=6))):
        if min(wish, left) > 0:
            delegated.append((f"deleg{number % 3}", f"other{number % len(others)}", min(wish, left)))
            left -= delegated[-1][2]
    for power in [*wanted, left]:
        if min(power, left) > 0:
            ours.append(min(power, left))
            left -= ours[-1]
    voting = draw(st.sampled_from((1, 1, 1, 0)))  # all of them, or only some of the others
    validators = [(f"our{i}", power, True) for i, power in enumerate(ours)]
    validators += [(f"other{i}", power, bool(voting or draw(st.booleans()))) for i, power in enumerate(others)]
    claim = st.fixed_dictionaries(
        {
            "price": sizes(10**23), "answers": st.integers(1, 5), "honest": st.sampled_from((0, 0, 0, 400_000)),
            "names": st.integers(1, 12), "rows": st.integers(1, 40),
            "end": st.sampled_from((ACCEPTED, ACCEPTED, ACCEPTED, ACCEPTED, REFUSED, LAPSED)),
            "challenge": st.sampled_from((0, 0, 0, ACCEPTED, REFUSED, LAPSED)), "later": st.booleans(),
            "unattributed": st.one_of(st.just(0), st.integers(0, PPM)),
            "before": st.integers(0, 3), "after": st.integers(0, 3), "target": st.integers(0, 19),
        }
    )  # fmt: skip
    params = replace(
        DEVNET_PARAMS, **split, challenge_seconds=draw(st.sampled_from((0, 5, 50))), work_price=draw(sizes(GWEI)) - 1,
        mint_per_epoch=draw(st.sampled_from((1, 10**9, 10**27))), claim_bond=draw(sizes(OPEN)) - 1,
        challenge_bond=draw(sizes(OPEN)) - 1, max_validators=150,
    )  # fmt: skip
    claims = draw(st.lists(claim, min_size=1, max_size=3))
    commission = draw(st.sampled_from((0, 100_000, 333_333, PPM)))
    return Story(params, validators, claims, tuple(delegated), commission)


def tell(story: Story, base_fee: int) -> tuple[int, int, Money]:
    """(wei of the coalition before, after, world)."""
    world = Money(story.params, base_fee)
    world.seat(story.validators, story.delegated, story.commission)
    names = [CONSUMER, OWNER, CHALLENGER, *story.ours, *DELEGATORS, *(f"us{i}" for i in range(12))]
    coalition = [someone(name) for name in names]
    world.fund(coalition)
    before = world.wealth(coalition)
    for told in story.claims:
        _claim(world, story, told)
    for _ in range(3):
        world.close()
        world.wait(100)
    return before, world.wealth(coalition), world


def _claim(world: Money, story: Story, told: dict[str, Any]) -> None:
    us = [someone(f"us{i}") for i in range(told["names"])]
    shared = (PPM - told["unattributed"]) * (PPM - told["honest"]) // PPM
    shares = {who: shared // len(us) for who in us}
    shares[us[0]] += shared - sum(shares.values())
    shares[someone("honest")] = PPM - told["unattributed"] - shared
    model = world.publish(someone(OWNER), told["price"], shares, told["rows"])
    epoch = world.buy(CONSUMER, model, told["answers"])
    world.close()
    _move(world, story, told["before"], told["target"])
    number = world.claim(someone(OWNER), model, epoch, shares)
    _move(world, story, told["after"], told["target"] + 1)
    world.end_block()
    verdict = {ACCEPTED: YES, REFUSED: NO, LAPSED: NONE}
    world.vote(number, {someone(name): verdict[told["end"]] for name, _, _ in story.validators})
    world.end(number, told["end"])
    if told["end"] != ACCEPTED or not told["challenge"] or not story.params.challenge_seconds:
        return
    if told["later"] and story.params.challenge_seconds > story.params.epoch_seconds:
        world.close()  # so that it is minted before
    world.challenge(someone(CHALLENGER), number)
    world.vote(number, {someone(name): verdict[told["challenge"]] for name in story.ours})
    world.end(number, told["challenge"])


def _move(world: Money, story: Story, wanted: int, target: int) -> None:
    """The coalition moves stake to one of the others' validators, its own validators' and what it has with others;
    each but for its least bond."""
    others = [name for name, _, _ in story.validators if not name.startswith("our")]
    to = someone(others[target % len(others)])
    least = story.params.min_self_bond
    places = [(someone(name), someone(name)) for name in story.ours]
    places += [(someone(who), someone(name)) for who, name, _ in story.delegated]
    for who, source in places[:wanted]:
        record = operated_by(world.state, source)
        have = worth(record, delegation(world.state, who, record.address).total) if record else 0
        if source != to and have > least and not world.move(who, source, to, have - least):
            world.move(who, source, to)


def _loses(story: Story, base_fee: int) -> None:
    before, after, world = tell(story, base_fee)
    assert sum(world.gas_burned.values()) >= 150_000 * base_fee
    assert after + base_fee <= before


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(story=stories(), base_fee=st.sampled_from((0, 1)))
def test_no_coalition_with_a_third_of_the_power_earns_by_paying_itself(story: Story, base_fee: int) -> None:
    """Several claims, of fees from 1 wei on, however they end, at the very edge of the joint bound. Without gas nothing
    is gained; with the least gas that there can be (1 wei a unit) money is lost."""
    _loses(story, base_fee)


@pytest.mark.soak
@settings(max_examples=20_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(story=stories(), base_fee=st.sampled_from((0, 1)))
def test_no_coalition_earns_by_paying_itself_in_many_stories(story: Story, base_fee: int) -> None:
    _loses(story, base_fee)


def gain(story: Story, base_fee: int = 0) -> int:
    """Wei that the coalition has won."""
    before, after, _ = tell(story, base_fee)
    return after - before


def accepted_claim(price: int, **changes: Any) -> dict[str, Any]:
    told = {"price": price, "answers": 1, "unattributed": 0, "honest": 0, "names": 1, "rows": 1, "end": ACCEPTED,
            "challenge": 0, "later": False, "before": 0, "after": 0, "target": 0}  # fmt: skip
    return told | changes


def test_at_the_edge_of_the_bound_rounding_never_turns_the_loss_around() -> None:
    """Fifty names with a third of the power, each large enough to be rounded up before the others are. Without the
    limit that the payout sets to the mint they win 29 wei of these fees."""
    params = replace(DEVNET_PARAMS, **at_the_edge(5000, 2000, 1500, 1000, 500), work_price=0, challenge_seconds=0,
                     max_validators=300)  # fmt: skip
    params.validate()
    validators = [(f"our{i}", 100, True) for i in range(50)] + [(f"other{i}", 50, True) for i in range(200)]
    for fee in (300, 4_300, 40_300):
        assert gain(Story(params, validators, [accepted_claim(fee)])) < 0


@pytest.mark.parametrize("voting", [100, 77, 60, 40, 33])
def test_a_third_of_the_power_loses_also_where_others_do_not_vote_on_claims(voting: int) -> None:
    """A validator may declare that it has no oracle. The stakers' part is divided among those that vote, so the
    coalition's part of it grows, and what a claim may mint shrinks. Without that it would win up to 8.5 % of a fee."""
    params = replace(DEVNET_PARAMS, work_price=0)
    validators = [("our0", 33, True), ("other0", voting - 33, True), ("other1", 100 - voting, False)]
    story = Story(params, [v for v in validators if v[1]], [accepted_claim(OPEN)])
    assert gain(story) < (0 if voting == 33 else -OPEN // 10_000)
    assert gain(story, GWEI) < -OPEN // 10_000


@pytest.mark.parametrize("commission", [0, PPM])
@pytest.mark.parametrize("when", ["before", "after"])
def test_moving_stake_to_where_a_claim_pays_brings_nothing(when: str, commission: int) -> None:
    """A third of the power in one validator, which moves all but its least bond to another one with a third, in the
    block in which the claim opens and before power follows, or once it has opened. Parts by power then, and by stake
    at payment, would bring it half of the stakers' part."""
    params = replace(DEVNET_PARAMS, work_price=0, min_self_bond=OPEN, challenge_seconds=0)
    validators = [("our0", 300, True), ("other0", 300, True), ("other1", 300, True)]
    still = gain(Story(params, validators, [accepted_claim(OPEN)], (), commission))
    moved = gain(Story(params, validators, [accepted_claim(OPEN, **{when: 1})], (), commission))
    assert moved <= still < 0


def test_stake_behind_another_earns_less_than_in_ones_own_validator_by_the_commission_only() -> None:
    params = replace(DEVNET_PARAMS, work_price=0)
    own = gain(Story(params, [("our0", 100, True), ("other0", 200, True)], [accepted_claim(OPEN)]))
    there = (("deleg0", "other0", 100),)
    for commission in (0, 100_000, PPM):
        story = Story(params, [("other0", 200, True)], [accepted_claim(OPEN)], there, commission)
        part = OPEN * 15 // 100 // 3
        assert abs(own - gain(story) - part * commission // PPM) <= 3


def test_where_enough_of_the_power_votes_the_mint_is_what_the_mint_factor_says() -> None:
    """At the defaults down to 77 % of the power."""
    for voting, whole in ((100, True), (77, True), (76, False)):
        story = Story(
            DEVNET_PARAMS, [("a", voting, True)] + [("b", 100 - voting, False)] * (voting < 100), [accepted_claim(OPEN)]
        )
        minted = CLAIMS.must(tell(story, 1)[2].state, 1).minted
        assert (minted == OPEN * 135 // 1_000) is whole


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(pool=st.integers(0, 3000), burn=st.integers(1, 2000), stakers=st.integers(0, 3000), owner=st.integers(0, 2000))
def test_the_same_on_a_chain_with_all_its_blocks(pool: int, burn: int, stakers: int, owner: int) -> None:
    split = at_the_edge(10_000 - pool - burn - stakers - owner, owner, stakers, pool, burn)
    assume(split["split_contributors"] > 0 and accepted(**split))
    chain = Harness(**split)
    chain.publish()
    epoch = chain.settle()
    chain.close_epoch()
    before = chain.balance(POOL)
    number = chain.claim(epoch, {1: 1_000_000})
    assert chain.run_claim(number) == "accepted"
    chain.block(chain.genesis.params.epoch_seconds)
    claim = chain.query("get_claim", number)
    of = [chain.query("get_rewards", ACCOUNTS[who][0]) for who in (1, 4)]
    earned = sum(int(r["fees"], 16) + int(r["minted"], 16) for r in of) + chain.balance(POOL) - before
    fee = int(claim["fee"], 16)
    assert int(claim["minted"], 16) > 0
    assert 3 * earned + fee * split["split_stakers"] // 10_000 < 3 * fee

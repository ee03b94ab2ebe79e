"""The stakers' part and the verification fee are for those who have verified: what others would have had burns."""

from __future__ import annotations

from dataclasses import replace

import pytest
from claim_money import Money, someone
from harness import DEVNET_PARAMS

from openledger.abci_app.modules.accounts import balance
from openledger.abci_app.modules.attribution.records import ACCEPTED, CLAIMS, LAPSED, NO, NONE, REFUSED, VOID, YES, Vote
from openledger.abci_app.modules.fees.records import supply
from openledger.abci_app.modules.governance.records import POOL
from openledger.abci_app.modules.staking.delegate import StakeDelegate
from openledger.abci_app.modules.staking.undelegate import StakeUndelegate
from openledger.primitives.amounts import OPEN

POWERS = {"a": 40, "b": 30, "c": 20, "d": 10}
WORK_FEE = 4 * 10**9
STAKERS = OPEN * 15 // 100


def ended(status: int, verdicts: dict[str, int | Vote], challenge_seconds: int = 0) -> tuple[Money, int]:
    """A world in which a claim over 1 OPEN has just ended, and the wei that this has burned."""
    world = Money(replace(DEVNET_PARAMS, challenge_seconds=challenge_seconds))
    world.seat([(name, power, True) for name, power in POWERS.items()])
    world.fund([someone("owner"), someone("consumer")])
    model = world.publish(someone("owner"), OPEN, [someone("writer")])
    epoch = world.buy("consumer", model)
    world.close()
    number = world.claim(someone("owner"), model, epoch, {someone("writer"): 1_000_000})
    world.vote(number, {someone(name): verdict for name, verdict in verdicts.items()})
    burned = supply(world.state).burned
    world.end(number, status)
    return world, supply(world.state).burned - burned


def earned(world: Money) -> dict[str, int]:
    """In parts per hundred of all that the stakers may have, by name; a settlement rounds down by a wei or two."""
    found = {name: world.earned(someone(name)) for name in POWERS}
    return {name: (fees + 2) * 100 // (STAKERS + WORK_FEE) for name, fees in found.items() if fees}


@pytest.mark.parametrize("verdict", [NONE, VOID, NO])
@pytest.mark.parametrize("challenge_seconds", [0, 5])
def test_silence_a_blind_or_copied_yes_and_a_no_earn_nothing_of_an_accepted_claim(
    verdict: int, challenge_seconds: int
) -> None:
    world, burned = ended(ACCEPTED, {"a": YES, "b": YES, "c": verdict, "d": YES}, challenge_seconds)
    assert earned(world) == {"a": 40, "b": 30, "d": 10}
    assert burned == OPEN // 20 + (STAKERS + WORK_FEE) // 5


def test_of_a_refused_claim_those_earn_the_verification_fee_who_said_no() -> None:
    world, burned = ended(REFUSED, {"a": NO, "b": NO, "d": YES})
    assert {name: -(-world.earned(someone(name)) // 10) for name in POWERS} == {
        "a": WORK_FEE * 4 // 100, "b": WORK_FEE * 3 // 100, "c": 0, "d": 0,
    }  # fmt: skip
    assert burned == CLAIMS.must(world.state, 1).bond + WORK_FEE * 3 // 10


def test_of_a_claim_without_a_verdict_those_earn_who_have_said_what_counts() -> None:
    world, burned = ended(LAPSED, {"a": YES, "b": NO, "c": VOID})
    assert earned(world) == {"a": 40, "b": 30}
    assert burned == OPEN // 20 + (STAKERS + WORK_FEE) * 3 // 10 + CLAIMS.must(world.state, 1).bond // 10


@pytest.mark.parametrize("verdicts", [{}, {"d": VOID}])
def test_where_nobody_could_verify_all_are_paid(verdicts: dict[str, int | Vote]) -> None:
    """The claimant may have withheld the blobs."""
    world, _ = ended(LAPSED, verdicts)
    assert earned(world) == POWERS


def test_silence_does_not_earn_by_keeping_a_claim_from_its_vote() -> None:
    """With a third or more of the power silent nobody can show a verdict: who has committed is paid, and where it did
    not come to commitments, who has the blobs."""
    held, committed = Vote(held=1), Vote(1, b"d" * 32)
    assert earned(ended(LAPSED, {"a": committed, "b": held})[0]) == {"a": 40}
    assert earned(ended(LAPSED, {"a": held, "b": held, "d": VOID})[0]) == {"a": 40, "b": 30}


def test_where_nobody_has_power_the_pool_is_paid() -> None:
    world = Money(DEVNET_PARAMS)
    world.seat([("a", 1, False)])
    world.fund([someone("owner"), someone("consumer")])
    model = world.publish(someone("owner"), OPEN, [someone("writer")])
    epoch = world.buy("consumer", model)
    world.close()
    number = world.claim(someone("owner"), model, epoch, {someone("writer"): 1_000_000})
    before = balance(world.state, POOL)
    world.end(number, LAPSED)
    assert balance(world.state, POOL) - before == OPEN * 75 // 100 + WORK_FEE


@pytest.mark.parametrize(("moves", "expected"), [("nothing", 60), ("comes", 6), ("leaves", 1)])
@pytest.mark.parametrize("challenge_seconds", [0, 5])
def test_a_commission_takes_nothing_of_what_no_stake_stands_for(
    moves: str, expected: int, challenge_seconds: int
) -> None:
    """Validators that keep all. Stake that comes in the round of a claim, or leaves before it is paid, has no part in
    it; before, its operator had that part by the commission. In hundredths of all."""
    params = replace(DEVNET_PARAMS, challenge_seconds=challenge_seconds)
    world, unit = Money(replace(params, min_self_bond=params.power_unit)), params.power_unit
    world.seat([("a", 40, True), ("b", 60, True)], commission=1_000_000)
    a, b = someone("a"), someone("b")
    world.fund([someone("owner"), someone("consumer"), b])
    model = world.publish(someone("owner"), OPEN, [someone("writer")])
    epoch = world.buy("consumer", model)
    world.close()
    if moves == "comes":
        world.act(b, StakeDelegate(b, 900 * unit))
        for _ in range(3):
            world.end_block()
    number = world.claim(someone("owner"), model, epoch, {someone("writer"): 1_000_000})
    if moves == "leaves":
        world.act(b, StakeUndelegate(b, 59 * unit))
    world.vote(number, {a: YES, b: YES})
    burned = supply(world.state).burned
    world.end(number, ACCEPTED)
    world.wait(challenge_seconds)
    own = {"nothing": 40, "leaves": 40, "comes": 4}[moves]
    whole = STAKERS + WORK_FEE
    assert [round(world.earned(who) * 100 / whole) for who in (a, b)] == [own, expected]
    assert abs(supply(world.state).burned - burned - OPEN // 20 - whole * (100 - own - expected) // 100) <= 3

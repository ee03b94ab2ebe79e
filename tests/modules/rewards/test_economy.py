"""The short form of ``bench/attribution/economy.py``: what greedy agents earn; the long form is marked ``soak``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from claim_money import someone

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "bench" / "attribution"))

from economy import (
    LAZY,
    NETWORK,
    Court,
    climb,
    ground_roots,
    ground_seeds,
    outcome,
    pay_of,
    promise_counts,
    self_payment,
)

from openledger.abci_app.modules.attribution.draws import LEAD
from openledger.abci_app.modules.attribution.records import ACCEPTED, CLAIMS, REFUSED
from openledger.primitives.amounts import OPEN

EDGE = replace(NETWORK, mint_factor=999_999)


@pytest.mark.parametrize("params", [NETWORK, EDGE])
@pytest.mark.parametrize("voting", [3_000, 1_800, 1_000])
def test_a_climbing_coalition_with_a_third_of_the_power_finds_no_plan_that_wins(voting: int, params: object) -> None:
    best, plan = climb(lambda plan: self_payment(plan, params, 1_000, voting), 1, 8)  # type: ignore[arg-type]
    assert best < 0, plan


def test_the_coalition_that_first_wins_has_more_than_four_tenths_and_the_pool() -> None:
    """With the network's parameters from 43.3 % on; without the pool never."""
    best = {power: climb(lambda plan, n=power: self_payment(plan, NETWORK, n), 1, 4)[0] for power in (1_290, 1_400)}
    assert best[1_290] < 0 < best[1_400]
    assert climb(lambda plan: self_payment(plan, NETWORK, 3_000, pool=False), 1, 4)[0] < 0


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("voting", [3_000, 2_310, 1_800, 1_000])
@pytest.mark.parametrize("params", [NETWORK, EDGE])
def test_no_plan_wins_in_long_climbs(seed: int, voting: int, params: object) -> None:
    best, plan = climb(lambda plan: self_payment(plan, params, 1_000, voting), seed, 400)  # type: ignore[arg-type]
    assert best < 0, plan


@pytest.mark.parametrize(
    ("strategy", "pay"),
    [("honest", 1), ("silent", 0), ("copy", 0), ("blind no", 0), ("second try", 0), ("guess zero", 0), ("two rows", 1)],
)
def test_what_one_lazy_validator_of_twelve_earns_where_no_row_scores_zero(strategy: str, pay: int) -> None:
    """Who computes two rows and no more is not found out: a known gap."""
    assert round(pay_of(strategy, 1, 1, zero=0.0), 2) == pay


@pytest.mark.parametrize("strategy", ["guess zero", "second try", "two rows"])
def test_half_of_the_validators_being_lazy_gets_no_false_claim_through(strategy: str) -> None:
    assert outcome(strategy, 6, 1, 5) == "lapsed"


def test_a_false_claim_that_only_lazy_validators_judged_is_undone_by_a_challenge_that_names_the_row() -> None:
    court = Court("two rows", 12, 1)
    owner, thief = someone("owner"), someone("thief")
    before = court.world.wealth([owner, thief], with_pool=False)
    number = court.claim(1)
    assert court.judge(number) == ACCEPTED
    assert court.challenge(number) == REFUSED
    bond = CLAIMS.must(court.world.state, number).bond
    assert bond == 200 * OPEN
    assert court.world.wealth([owner, thief], with_pool=False) < before - bond


@pytest.mark.soak
@pytest.mark.parametrize("strategy", LAZY)
@pytest.mark.parametrize("lazy", range(9))
def test_up_to_two_thirds_of_lazy_validators_get_no_false_claim_through(strategy: str, lazy: int) -> None:
    assert {outcome(strategy, lazy, seed, 5) for seed in range(10)} <= {"refused", "lapsed", "undone"}


def test_grinding_a_draw_brings_no_more_than_chance() -> None:
    known, new = ground_seeds(100, 100, 50)
    assert known == 1.0
    assert 0.12 < new < 0.38  # chance: 0.25
    guessed, real = ground_roots(200, 12, 100, 5)
    assert guessed == 0.0
    assert 0.06 < real < 0.14  # chance: 0.098
    assert [promise_counts(blocks) for blocks in (0, LEAD + 1, LEAD + 2)] == [False, False, True]

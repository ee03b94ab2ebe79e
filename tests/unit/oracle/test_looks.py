"""While a third of the power does nothing, a claim's other validators together see what they must: dealt parts always,
drawn ones with 99 %; and nobody does more than his part."""

from __future__ import annotations

import random
from itertools import combinations
from math import comb

import pytest

pytest.importorskip("torch")

from openledger.attribution_oracle import looks
from openledger.attribution_oracle.looks import Crowd
from openledger.attribution_oracle.recheck import CHECKED_ROWS, EVEN_ROWS, SMALL_ROWS, drawn_index_rows, wanted_spots

pytestmark = pytest.mark.torch
UNEQUAL = [(10, 30, 30, 30), (40, 30, 30), (60, 20, 20), (7, 5, 3, 2, 1, 1, 1), (30, 30, 30, *[1] * 45)]


def crowd(powers: tuple[int, ...], place: int, lot: bytes = b"claim 1") -> Crowd:
    return Crowd(powers, place, lot)


@pytest.mark.parametrize(
    ("powers", "lookers"),
    [((), 1), ((10,), 1), ((10,) * 4, 3), ((1,) * 40, 27), ((40, 30, 30), 2), ((30,) * 3 + (1,) * 45, 4)],
)
def test_who_splits_himself_leaves_as_many_lookers_as_before(powers: tuple[int, ...], lookers: int) -> None:
    """The last one: three members with 30 each; a fourth of 45 made himself 45 members, and only one more counts."""
    assert looks.lookers(powers) == lookers


@pytest.mark.parametrize("powers", [*[(1,) * n for n in (2, 3, 4, 5, 7, 10, 40, 150)], *UNEQUAL])
@pytest.mark.parametrize("parts", [8, 120])
def test_whoever_holds_less_than_a_third_never_has_all_looks_at_a_dealt_part(
    powers: tuple[int, ...], parts: int
) -> None:
    for lot in (b"a", b"b", b"c"):
        for members in looks.deal(lot, powers, parts):
            assert 3 * sum(powers[place] for place in members) >= sum(powers)


@pytest.mark.parametrize(("count", "largest"), [(2, 5), (4, 5), (10, 4), (40, 4), (150, 3)])
def test_equal_validators_are_dealt_equally_much(count: int, largest: int) -> None:
    """Of 8 segments; and of 120 rows each gets within two of the average."""
    powers = (1,) * count
    for number in range(5):
        got = [len(crowd(powers, place, bytes([number])).mine(b"", 8)) for place in range(count)]
        assert max(got) <= largest
        rows = [len(crowd(powers, place, bytes([number])).mine(b"", 120)) for place in range(min(count, 10))]
        assert max(rows) - min(rows) <= 2


def test_another_claim_deals_to_others_and_all_of_one_claim_deal_the_same() -> None:
    powers = (1,) * 4
    dealt = {looks.deal(bytes([lot]), powers, 8) for lot in range(50)}
    assert len(dealt) > 45
    mine = [set(crowd(powers, place).mine(b"rows", 100)) for place in range(4)]
    for idle in range(4):
        assert set().union(*(mine[place] for place in range(4) if place != idle)) == set(range(100))
    assert all(len(a | b) < 100 for a, b in combinations(mine, 2)), "two idle ones of four are more than a third"


@pytest.mark.parametrize("rows", [36, 60, 120, SMALL_ROWS])
@pytest.mark.parametrize("powers", [(1,) * 4, (1,) * 10, (1,) * 40, UNEQUAL[0], UNEQUAL[3]])
def test_of_a_small_index_every_row_is_seen_whoever_a_third_of_the_power_is(rows: int, powers: tuple[int, ...]) -> None:
    chance = random.Random(rows)
    scores = [chance.randrange(1_000) for _ in range(rows)]
    seen = [
        {row for row, _ in wanted_spots(scores, bytes([place]), crowd(powers, place), 1)}
        for place in range(len(powers))
    ]
    for _ in range(50):
        order = chance.sample(range(len(powers)), len(powers))
        idle: list[int] = []
        while 3 * sum(powers[place] for place in (*idle, order[0])) < sum(powers):
            idle.append(order.pop(0))
        assert set().union(*(seen[place] for place in order)) == set(range(rows))


@pytest.mark.parametrize("count", [4, 10, 40])
def test_of_a_small_index_rows_by_pay_are_drawn_beside_those_dealt_by_all_together(count: int) -> None:
    """Four rows of 120 have half of the pay. Who wants them unseen needs more than those to whom they were dealt."""
    scores = [29 if row < 4 else 1 for row in range(120)]
    powers, working = (1,) * count, looks.lookers((1,) * count)
    met = 0
    for number in range(100):
        more: set[int] = set()
        for place in range(working):
            one = crowd(powers, place, bytes([number]))
            rows = {row for row, _ in wanted_spots(scores, bytes([number, place]), one, 1)}
            assert rows >= set(one.mine(b"rows", 120))
            more |= rows - set(one.mine(b"rows", 120))
        met += bool(more & {0, 1, 2, 3})
    assert met >= 95


@pytest.mark.parametrize("count", [4, 10, 20, 40, 150])
def test_five_percent_of_wrong_rows_of_a_large_index_are_seen_by_two_thirds_in_99_of_100_claims(count: int) -> None:
    """Nothing earns anything, so that pay finds none of them; exactly computed, and drawn in 200 claims."""
    rows, working = 2_000, looks.lookers((1,) * count)
    even = looks.even_rows(working)
    missed = (comb(rows - rows // 20, even) / comb(rows, even)) ** working
    assert missed <= 0.01
    assert even * working <= 1.2 * EVEN_ROWS, "and hardly more than one alone would look at"
    scores, wrong = [0] * 2_000, set(range(100))
    met = 0
    for claim in range(200):
        seeds = (bytes([place]) + claim.to_bytes(4, "big") for place in range(working))
        met += any(not wrong.isdisjoint(drawn_index_rows(scores, seed, CHECKED_ROWS, even)) for seed in seeds)
    assert met >= 194


@pytest.mark.parametrize("count", [4, 40, 150])
def test_rows_that_take_the_pay_are_found_by_each_validator_as_if_it_were_alone(count: int) -> None:
    """Ten rows of 2,000 have a fifth of the pay: alone each of them finds one in more than 99.9 % of claims."""
    scores = [450 if row < 10 else 9 for row in range(2_000)]
    powers, found = (1,) * count, 0
    for number in range(300):
        spots = wanted_spots(scores, number.to_bytes(4, "big"), crowd(powers, number % count), 1)
        found += any(row < 10 for row, _ in spots)
    assert found >= 299


def test_who_is_alone_draws_what_it_drew_before() -> None:
    scores = [1] * 2_000
    assert looks.even_rows(1) == EVEN_ROWS
    for powers, place in (((), 0), ((5,), 0), ((70, 10, 10, 10), 2), ((1,) * 4, 4)):
        spots = wanted_spots(scores, b"x", crowd(powers, place), 1)
        assert [row for row, _ in spots] == drawn_index_rows(scores, b"rowsx", CHECKED_ROWS)
        assert wanted_spots(scores[:128], b"x", crowd(powers, place), 1) == [(row, 0) for row in range(128)]
        assert crowd(powers, place).segments(b"x", 8) == list(range(8))


def test_a_row_that_asks_for_the_whole_run_is_looked_at_as_if_alone() -> None:
    alone = drawn_index_rows([1] * 500, b"rowsx", CHECKED_ROWS)
    assert wanted_spots([1] * 500, b"x", crowd((1,) * 4, 0), 1, whole=True) == [(row, 0) for row in alone]


@pytest.mark.parametrize("count", [4, 10, 20])
def test_few_validators_are_dealt_segments_and_none_is_missed(count: int) -> None:
    powers, working = (1,) * count, looks.lookers((1,) * count)
    assert crowd(powers, 0).deals(8)
    assert looks.dealt_part(powers, 8) < looks.chance(8, working)
    seen = [crowd(powers, place).segments(b"secret", 8) for place in range(count)]
    for start in range(count):
        assert len(set().union(*(seen[(start + n) % count] for n in range(working)))) == 8


@pytest.mark.parametrize("count", [40, 100, 150])
def test_many_validators_draw_segments_and_two_thirds_miss_none_in_99_of_100_claims(count: int) -> None:
    """In 200 claims, as many as one claim in a hundred may be looked at incompletely; each validator does the part of
    the work that the page says, and hardly more."""
    assert not crowd((1,) * count, 0).deals(8)
    chance, working = random.Random(count), looks.lookers((1,) * count)
    missed, worked = 0, 0
    for _ in range(200):
        drawn = [looks.drawn(chance.randbytes(16), 8, working) for _ in range(working)]
        worked += sum(map(len, drawn))
        missed += len(set().union(*drawn)) < 8
    assert missed <= 8
    assert worked / (200 * working * 8) == pytest.approx(looks.chance(8, working), abs=0.04)


@pytest.mark.parametrize("count", [40, 100, 150])
def test_of_an_index_that_does_not_fit_the_memory_drawn_segments_and_rows_together_find_five_percent(
    count: int,
) -> None:
    """The wrong rows are wrong in one segment only: who draws another one does not see them."""
    powers, working = (1,) * count, looks.lookers((1,) * count)
    scores, chance = [1] * 400, looks.chance(8, working)
    even = looks.even_rows(working, chance)
    spots = wanted_spots(scores, b"x", crowd(powers, 0), 8)
    assert {row for row, _ in spots} <= set(drawn_index_rows(scores, b"rowsx", CHECKED_ROWS, even))
    passes = 1 - chance + chance * comb(380, even) / comb(400, even)
    assert passes**working <= 0.01


def test_a_segment_that_is_dealt_is_looked_at_with_as_many_rows_as_if_alone() -> None:
    """One honest validator may be all that looks at it."""
    scores = [1] * 2_000
    spots = wanted_spots(scores, b"x", crowd((1,) * 4, 0), 8)
    assert {row for row, _ in spots} == set(drawn_index_rows(scores, b"rowsx", CHECKED_ROWS))

"""Who earns of which claim, to the wei, without blocks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from claim_money import Money, someone
from harness import DEVNET_PARAMS

from openledger.abci_app.modules.fees.records import count_edited
from openledger.abci_app.modules.staking.delegate import StakeDelegate
from openledger.abci_app.modules.staking.delegations import settle_all
from openledger.abci_app.modules.staking.earning import MAX_ROUNDS, earn, next_round, pool, rounds
from openledger.abci_app.modules.staking.records import STAKES, must_operate
from openledger.abci_app.modules.staking.undelegate import StakeUndelegate
from openledger.primitives.amounts import OPEN
from openledger.state.overlay import Overlay

V, D = someone("v"), someone("d")


class One:
    """A validator with 100 OPEN of its own, and a delegator who has none there yet."""

    def __init__(self) -> None:
        self.money = Money(replace(DEVNET_PARAMS, challenge_seconds=0), 0)
        self.state = self.money.state
        self.money.seat([("v", 100, True)])
        self.money.fund([V, D])
        self.turn()

    def turn(self, unpaid: int | None = None) -> None:
        next_round(self.state, unpaid)

    def opened(self) -> tuple[int, int]:
        """Round and shares of a claim that opens now."""
        return rounds(self.state).now, must_operate(self.state, V).shares

    def pay(self, amount: int, claim: tuple[int, int]) -> int:
        kept = earn(self.state, must_operate(self.state, V), claim[0], amount, claim[1])
        self.state.add_balance(STAKES, kept)
        count_edited(self.state, kept)
        return kept

    def earned(self) -> tuple[int, int]:
        over = Overlay(self.state)
        return settle_all(over, V).total, settle_all(over, D).total

    def delegate(self, amount: int) -> None:
        self.money.act(D, StakeDelegate(V, amount))


def test_what_is_kept_is_rounded_up_and_what_is_owed_down_so_many_small_payments_are_always_there() -> None:
    world = One()
    for _ in range(7):
        assert world.pay(1, world.opened()) == 1
    assert world.earned() == (6, 0)
    world.money.act(V, StakeDelegate(V, OPEN))
    assert pool(world.state, must_operate(world.state, V).address).held == 1


def test_stake_earns_of_claims_of_later_rounds_also_while_older_ones_are_unpaid() -> None:
    world = One()
    old = world.opened()
    world.delegate(300 * OPEN)
    same = world.opened()
    world.turn(old[0])
    new = world.opened()
    assert world.pay(4_000, new) == 4_000
    assert world.earned() == (999, 2_999)
    assert world.pay(4_000, old) == 4_000
    assert world.earned() == (4_999, 2_999)
    assert world.pay(4_000, same) == 1_000, "what fresh shares would have had is nobody's"
    assert world.earned() == (5_999, 2_999)
    world.turn()
    assert world.pay(4_000, world.opened()) == 4_000
    assert world.earned() == (6_999, 5_999)


def test_what_is_added_in_another_round_makes_fresh_shares_fresh_again_and_takes_nothing_from_what_they_have() -> None:
    world = One()
    early = world.opened()
    world.turn(1)
    world.delegate(100 * OPEN)
    world.turn(1)
    between = world.opened()
    assert world.pay(2_000, between) == 2_000
    world.delegate(100 * OPEN)
    assert world.earned() == (999, 999)
    assert world.pay(2_000, between) == 1_000
    world.turn(1)
    assert world.pay(3_000, world.opened()) == 3_000
    assert world.pay(1_000, early) == 1_000, "the shares of then are all there"
    first, second = world.earned()
    assert (first, second) in ((3_999, 2_999), (3_999, 2_998))


def test_who_adds_to_old_shares_keeps_their_part_in_open_claims() -> None:
    world = One()
    world.delegate(100 * OPEN)
    world.turn()
    claim = world.opened()
    world.delegate(800 * OPEN)
    assert world.pay(2_000, claim) == 2_000
    assert world.earned() == (999, 999)
    world.money.act(D, StakeUndelegate(V, 800 * OPEN))
    assert world.pay(2_000, claim) == 2_000
    assert world.earned() == (1_999, 1_998), "the fresh ones leave first"


def test_a_claim_that_is_paid_too_late_and_one_without_shares_bring_nothing() -> None:
    world = One()
    claim = world.opened()
    for _ in range(MAX_ROUNDS):
        world.turn(claim[0])
    assert world.pay(1_000, claim) == 1_000
    world.turn(claim[0])
    assert world.pay(1_000, claim) == 0
    assert world.pay(1_000, (rounds(world.state).now, 0)) == 0


@pytest.mark.parametrize("leaver", [V, D])
def test_who_stays_gets_no_more_because_another_has_left_in_the_block_of_the_claim(leaver: bytes) -> None:
    """Power follows stake at the end of a block only, so it still counts what has just left; its part burns."""
    world = One()
    money = world.money
    world.delegate(100 * OPEN)
    money.end_block()
    world.turn()
    money.fund([someone("owner"), someone("consumer")])
    model = money.publish(someone("owner"), OPEN, [someone("writer")])
    epoch = money.buy("consumer", model)
    money.close()
    amount = 0 if leaver == D else 90 * OPEN
    money.act(leaver, StakeUndelegate(V, amount))
    number = money.claim(someone("owner"), model, epoch, {someone("writer"): 1_000_000})
    money.vote(number, {V: 1})
    money.end(number, 4)
    whole = (OPEN * 15 // 100 + 4 * 10**9) * 9 // 10  # without the commission
    stays = D if leaver == V else V
    earned = settle_all(Overlay(world.state), stays).total
    assert whole // 2 - 2 <= earned <= whole // 2

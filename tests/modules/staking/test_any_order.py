"""Any order of stake's actions, slashes, claims and payments: the money adds up to the wei, and nobody gains by it.

A second count of what each should earn is kept beside: by the fewest shares that somebody had from a claim's opening to
its payment. It knows nothing of rounds, pools or fresh shares.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import pytest
from claim_money import Money, someone
from harness import DEVNET_PARAMS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openledger.abci_app.action import Action
from openledger.abci_app.modules.accounts import balance
from openledger.abci_app.modules.fees.records import count_edited, supply
from openledger.abci_app.modules.rewards.claim import RewardsClaim
from openledger.abci_app.modules.staking.delegate import StakeDelegate
from openledger.abci_app.modules.staking.delegations import (
    delegation,
    delegations,
    delegators,
    settle_all,
    worth,
)
from openledger.abci_app.modules.staking.earning import MAX_ROUNDS, earn, earned, next_round, pool, rounds
from openledger.abci_app.modules.staking.records import STAKES, ValidatorRecord, operated_by, put_validator, validators
from openledger.abci_app.modules.staking.redelegate import StakeRedelegate
from openledger.abci_app.modules.staking.slashing import slash
from openledger.abci_app.modules.staking.unbonding import (
    follow_pair,
    leaving,
    leaving_from,
    pay_unbonded,
    unbondings,
)
from openledger.abci_app.modules.staking.undelegate import StakeUndelegate
from openledger.node.proven_stake import proven_stake
from openledger.primitives.amounts import OPEN, PPM
from openledger.primitives.errors import InvalidTransaction
from openledger.primitives.types import Address
from openledger.state.overlay import Overlay

OPERATORS = [someone(f"v{i}") for i in range(2)]
PEOPLE = [*OPERATORS, someone("d0"), someone("d1")]
STEADY = someone("steady")
PARAMS = replace(DEVNET_PARAMS, min_delegation=10**9, max_unbondings_per_block=3, max_delegations=2)


class OneByOne(Overlay):
    """A state of single records, as proofs give them."""

    def records(self, module: Address, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        raise AssertionError("no list can be proved whole")

    def prove(self, module: Address, keys: Sequence[bytes]) -> None:
        assert len(keys) <= MAX_ROUNDS + 1


@dataclass
class Opened:
    """A claim: its round, and for each validator the shares of each account, at their fewest since."""

    round: int
    whole: dict[Address, int]
    fewest: dict[tuple[Address, Address], int]


@dataclass
class World:
    """A chain's state, and the second count."""

    money: Money = field(default_factory=lambda: Money(PARAMS, 0))
    open: list[Opened] = field(default_factory=list)
    due: dict[Address, Fraction] = field(default_factory=dict)
    settlements: int = 0
    hurts: int = 0

    def __post_init__(self) -> None:
        self.money.seat([(f"v{i}", power, True) for i, power in enumerate((1_000, 50))])
        self.money.fund([*PEOPLE, STEADY], 10_000 * OPEN)
        for operator in OPERATORS:
            self.act(STEADY, StakeDelegate(operator, 11 * OPEN + 1))
        self.turn()

    @property
    def state(self) -> Overlay:
        return self.money.state

    def record(self, operator: Address) -> ValidatorRecord:
        found = operated_by(self.state, operator)
        assert found is not None
        return found

    def act(self, sender: Address, action: Action) -> None:
        """Does what may be done; what is refused leaves nothing."""
        before, prices, mark = self.wealth(), self.prices(), self.state.checkpoint()
        try:
            self.money.act(sender, action)
        except InvalidTransaction:
            self.state.rollback(mark)
            return
        self.state.commit(mark)
        self.settlements += 2
        after = self.wealth()
        for who in before:  # who stays may get a wei of rounding, who acts never more than that; nobody loses by others
            assert after[who] - before[who] <= 3
            assert who == sender or after[who] - before[who] >= -3
        assert all(prices.get(operator, 0) <= price for operator, price in self.prices().items())

    def turn(self) -> None:
        """An epoch ends."""
        next_round(self.state, min((o.round for o in self.open), default=None))

    def claim(self) -> None:
        """A claim opens."""
        records = {operator: self.record(operator) for operator in OPERATORS}
        self.open.append(Opened(rounds(self.state).now, {o: r.shares for o, r in records.items()}, self.shares()))

    def pay(self, index: int, operator: Address, amount: int) -> None:
        """An open claim is paid, in any order; most of the time all that it brings goes to one validator's stakers."""
        if not self.open:
            return
        told, record = self.open.pop(index % len(self.open)), self.record(operator)
        kept = earn(self.state, record, told.round, amount, told.whole[operator])
        assert 0 <= kept <= amount
        self.state.add_balance(STAKES, kept)
        count_edited(self.state, kept)
        for who in (*PEOPLE, STEADY):
            if told.whole[operator]:
                part = Fraction(amount * told.fewest[who, operator], told.whole[operator])
                self.due[who] = self.due.get(who, Fraction(0)) + part
        self.settlements += 1

    def hurt(self, operator: Address, ppm: int, ago: int) -> None:
        """A slash for what was done some blocks ago; only the last one may be for an old offence."""
        record = self.record(operator)
        if record.tombstoned:
            return
        before, burned = self.stakes(), supply(self.state).burned
        reach = record.stake + sum(u.amount for u in unbondings(self.state, record.address))
        self.hurts += 1
        self.money.height += 1
        record, _ = slash(self.state, self.money.ctx, record, ppm, self.money.height - 1 - ago)
        put_validator(self.state, replace(record, tombstoned=ago > 0, jailed=ago > 0 or record.jailed))
        after = self.stakes()
        for who, stake in before.items():  # a wei of rounding for each entry that gives back shares, to who stays
            assert stake * (PPM - ppm) // PPM - 20 <= after[who] <= stake + 20
        assert supply(self.state).burned - burned <= reach * ppm // PPM

    def wait(self, blocks: int, seconds: int) -> None:
        """Blocks pass."""
        for _ in range(blocks):
            self.money.height += 1
            self.money.time += seconds
            pay_unbonded(self.state, self.money.ctx)

    # --- counting -----------------------------------------------------------------------------------------

    def shares(self) -> dict[tuple[Address, Address], int]:
        """As they stand: what was redelegated earns in full from a slash of its source until it follows (adr 0067)."""
        return {
            (who, operator): delegation(self.state, who, self.record(operator).address).total
            for who in (*PEOPLE, STEADY) for operator in OPERATORS
        }  # fmt: skip

    def ahead(self) -> Overlay:
        """The state after everything has followed all slashes."""
        over = Overlay(self.state)
        for who in (*PEOPLE, STEADY) if self.hurts else ():
            for operator in OPERATORS:
                follow_pair(over, who, self.record(operator).address)
        return over

    def stakes(self) -> dict[Address, int]:
        """Wei of each account at stake and on their way."""
        over, found = self.ahead(), {}
        for who in (*PEOPLE, STEADY):
            records = {r.address: r for r in validators(over)}
            staked = sum(worth(records[address], held.total) for address, held in delegations(over, who))
            places = leaving_from(over, who, 100)
            found[who] = staked + sum(e.amount for address in places for _, e in leaving(over, who, address))
        return found

    def prices(self) -> dict[Address, Fraction]:
        """What a share of each validator is worth: it never falls but by a slash."""
        found = [r for r in validators(self.state) if r.shares]
        return {r.operator: Fraction(r.stake, r.shares) for r in found if r.operator in OPERATORS}

    def wealth(self) -> dict[Address, int]:
        stakes = self.stakes()
        return {
            who: stakes[who] + balance(self.state, who) + settle_all(Overlay(self.state), who).available
            for who in stakes
        }

    def note(self) -> None:
        now = self.shares() if self.open else {}
        for told in self.open:
            told.fewest = {key: min(fewest, now[key]) for key, fewest in told.fewest.items()}

    def check(self) -> None:
        records = list(validators(self.state))
        held = sum(r.stake + pool(self.state, r.address).held for r in records)
        held += sum(u.amount for r in records for u in unbondings(self.state, r.address))
        assert balance(self.state, STAKES) - held == sum(earned(self.state, p).available for p in (*PEOPLE, STEADY))
        for record in records:
            has = {who: delegation(self.state, who, record.address).total for who in (*PEOPLE, STEADY)}
            for who in has:
                seats = [operated_by(self.state, o) for o in OPERATORS]
                proved = proven_stake(OneByOne(self.state), who, [seat.address for seat in seats if seat])
                assert proved == settle_all(Overlay(self.state), who).total
            assert list(delegators(self.state, record.address)) == sorted(who for who, shares in has.items() if shares)
            if record.operator in OPERATORS:
                assert (sum(has.values()), has[record.operator]) == (record.shares, record.own)
            assert record.stake <= record.shares
            assert (record.shares == 0) <= (record.stake == 0)
        over = Overlay(self.state)
        totals = {who: settle_all(over, who).total for who in (*PEOPLE, STEADY)}
        for who, total in totals.items():
            assert total <= self.due.get(who, 0), "more than the fewest shares earned"
        assert totals[STEADY] >= self.due.get(STEADY, 0) - self.settlements


WHO, WHERE = st.sampled_from(PEOPLE), st.sampled_from(OPERATORS)
AMOUNT = st.one_of(st.just(0), st.integers(1, 10**10), st.integers(10**9, 500 * OPEN), st.integers(10**9, 5 * OPEN))
STEP = st.one_of(
    st.tuples(st.just("delegate"), WHO, WHERE, st.integers(OPEN, 500 * OPEN)),
    st.tuples(st.just("pay"), st.integers(0, 5), WHERE, st.integers(0, 10**24)),
    st.tuples(st.just("claim")),
    st.tuples(st.just("turn")),
    st.tuples(st.just("delegate"), WHO, WHERE, AMOUNT),
    st.tuples(st.just("undelegate"), WHO, WHERE, AMOUNT),
    st.tuples(st.just("redelegate"), WHO, WHERE, WHERE, AMOUNT),
    st.tuples(st.just("claim")),
    st.tuples(st.just("pay"), st.integers(0, 5), WHERE, st.one_of(st.integers(0, 1000), st.integers(0, 10**24))),
    st.tuples(st.just("turn")),
    st.tuples(st.just("take"), WHO, st.sampled_from((0, 1, 10**6))),
    st.tuples(st.just("hurt"), WHERE, st.sampled_from((0, 1, 1_000, 50_000, 999_999, PPM)), st.sampled_from((0, 0, 3))),
    st.tuples(st.just("wait"), st.integers(1, 3), st.sampled_from((1, 25))),
)


def tell(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    """Play the steps, and check after each."""
    world = World()
    play = {
        "delegate": lambda who, where, amount: world.act(who, StakeDelegate(where, amount)),
        "undelegate": lambda who, where, amount: world.act(who, StakeUndelegate(where, amount)),
        "redelegate": lambda who, a, b, amount: a == b or world.act(who, StakeRedelegate(a, b, amount)),
        "claim": world.claim, "pay": world.pay, "turn": world.turn, "hurt": world.hurt, "wait": world.wait,
        "take": lambda who, amount: world.act(who, RewardsClaim(amount)),
    }  # fmt: skip
    for index, (name, *arguments) in enumerate(steps):
        play[name](*arguments)
        world.note()
        if index % 4 == 3:
            world.check()
    world.wait(12, 25)
    world.check()
    assert sum(1 for r in validators(world.state) for _ in unbondings(world.state, r.address)) == 0
    for who in (*PEOPLE, STEADY):
        world.act(who, RewardsClaim())
    world.check()
    dust = sum(pool(world.state, r.address).held for r in validators(world.state))
    assert dust <= world.settlements, "what stays behind is less than a wei for each time that somebody was paid"


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEP, min_size=12, max_size=30))
def test_the_money_of_any_order_adds_up_and_nobody_gains(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    tell(steps)


@pytest.mark.soak
@settings(max_examples=5_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEP, min_size=20, max_size=80))
def test_the_money_of_many_long_orders_adds_up(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    tell(steps)

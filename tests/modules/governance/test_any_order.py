"""Any order of proposals, deposits, votes, moves of stake, slashes and time: the money adds up, no bound is crossed,
nothing is done twice, and each count is that of a recount which asks every account."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction

from harness import ACCOUNTS, Harness
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from openledger.abci_app.action import Action, ActionContext, BlockContext
from openledger.abci_app.modules.accounts import balance, transfer
from openledger.abci_app.modules.fees.records import supply
from openledger.abci_app.modules.governance.changes import ParamsChange
from openledger.abci_app.modules.governance.deposit import GovDeposit
from openledger.abci_app.modules.governance.effects import simulate
from openledger.abci_app.modules.governance.ending import end_proposals
from openledger.abci_app.modules.governance.propose import GovPropose
from openledger.abci_app.modules.governance.records import (
    DEPOSITS,
    ENDED,
    OPTION_NAMES,
    POOL,
    PROPOSAL_COUNT,
    PROPOSALS,
    VOTES_OPEN,
    VOTING,
    Argument,
    deposits,
    must_proposal,
    params,
)
from openledger.abci_app.modules.governance.vote import GovVote
from openledger.abci_app.modules.staking.delegate import StakeDelegate
from openledger.abci_app.modules.staking.delegations import delegation
from openledger.abci_app.modules.staking.polls import count
from openledger.abci_app.modules.staking.records import must_operate, put_validator
from openledger.abci_app.modules.staking.redelegate import StakeRedelegate
from openledger.abci_app.modules.staking.sets import close_set, newest_set, seated
from openledger.abci_app.modules.staking.slashing import slash
from openledger.abci_app.modules.staking.unbonding import pay_unbonded
from openledger.abci_app.modules.staking.undelegate import StakeUndelegate
from openledger.abci_app.native import run_action
from openledger.genesis.params import BOUNDS, Params
from openledger.primitives.amounts import OPEN, PPM
from openledger.primitives.errors import InvalidTransaction
from openledger.primitives.types import MODULE_ADDRESSES, Address, to_checksum
from openledger.state.overlay import Overlay

PEOPLE = [address for address, _ in ACCOUNTS]
OPERATORS = [PEOPLE[9], PEOPLE[8], PEOPLE[7]]
VOTERS = [*OPERATORS, *PEOPLE[:3]]
RECEIVER = b"\x77" * 20
BASE = Harness(powers=(40, 30, 20), max_votes_open=3, max_proposals_per_block=2, min_delegation=OPEN)


@dataclass
class World:
    """A state beside the chain's, and what everybody has voted."""

    state: Overlay = field(default_factory=lambda: Overlay(BASE.state))
    time: int = BASE.time
    height: int = 1
    chosen: dict[int, dict[Address, int]] = field(default_factory=dict)
    ended: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        transfer(self.state, PEOPLE[5], POOL, 50 * OPEN)

    @property
    def ctx(self) -> BlockContext:
        return BlockContext(self.height, self.time, PEOPLE[0], 1, params(self.state))

    def act(self, who: Address, action: Action) -> bool:
        try:
            action.check()
        except InvalidTransaction:
            return False
        if run_action(action, self.state, ActionContext(self.ctx, who)).failure is not None:
            return False
        if isinstance(action, GovVote):
            option = next(n for n, name in OPTION_NAMES.items() if name == action.option)
            self.chosen.setdefault(action.proposal, {})[who] = option
        return True

    def hurt(self, operator: Address, ppm: int) -> None:
        record, _ = slash(self.state, self.ctx, must_operate(self.state, operator), ppm, self.height - 1)
        put_validator(self.state, record)

    def tick(self, seconds: int) -> None:
        """A block without transactions."""
        self.time, self.height = self.time + seconds, self.height + 1
        pay_unbonded(self.state, self.ctx)  # which also lets redelegated stake follow a slash
        expected = {n: self.recount(n) for n, p in self.proposals() if p == VOTING}
        logs = end_proposals(self.state, self.ctx)
        for log in logs:
            if log.topics[0] == ENDED.topic:
                self.ended[int.from_bytes(log.topics[1], "big")] += 1
        assert sum(log.topics[0] == ENDED.topic for log in logs) <= 2
        for number, exact in expected.items():
            record = must_proposal(self.state, number)
            if record.status != VOTING:
                assert near((record.yes, record.no, record.abstain, record.veto), exact)
        close_set(self.state, params(self.state), self.height)

    def proposals(self) -> list[tuple[int, int]]:
        return [(int.from_bytes(rest, "big"), p.status) for rest, p in PROPOSALS.items(self.state)]

    def recount(self, number: int) -> list[Fraction]:
        """Of each account in turn, the stake that it has now."""
        weights, said = [Fraction(0)] * 5, self.chosen.get(number, {})
        for record in seated(self.state):
            for who in VOTERS if record.shares else []:
                held = delegation(self.state, who, record.address).total
                option = said.get(who, said.get(record.operator, 0))
                weights[option] += Fraction(held * record.stake, record.shares)
        return weights[1:]

    def check(self) -> None:
        now = params(self.state)
        now.validate()
        for name, (least, most) in BOUNDS.items():
            assert least <= getattr(now, name) <= most or getattr(now, name) == getattr(BASE.genesis.params, name)
        assert now.cap <= Params().cap
        assert now.reserve <= Params().reserve
        coins = supply(self.state)
        holders = {*PEOPLE, *MODULE_ADDRESSES, DEPOSITS, RECEIVER}
        assert sum(balance(self.state, who) for who in holders) == coins.total
        lying = [wei for n, _ in self.proposals() for _, wei in deposits(self.state, n)]
        assert balance(self.state, DEPOSITS) == sum(lying)
        voting = [n for n, status in self.proposals() if status == VOTING]
        assert len(voting) == VOTES_OPEN.get(self.state) <= 3
        for number in voting:
            found = count(self.state, number)
            assert near(found.weights, self.recount(number))
            assert sum(found.weights) <= found.bonded
        assert all(times == 1 for times in self.ended.values())
        assert newest_set(self.state).seats


def near(weights: tuple[int, ...], exact: list[Fraction]) -> bool:
    """Equal but for the wei of rounding: one for each option of each seat."""
    return all(abs(found - wanted) <= 4 * len(OPERATORS) for found, wanted in zip(weights, exact, strict=True))


numbers = st.one_of(
    st.sampled_from(["split_pool", "split_burn", "split_owner", "split_stakers", "mint_factor"]).flatmap(
        lambda name: st.tuples(st.just(name), st.integers(0, BOUNDS[name][1]))
    ),
    st.sampled_from(sorted(BOUNDS)).flatmap(
        lambda name: st.tuples(st.just(name), st.sampled_from([*BOUNDS[name], sum(BOUNDS[name]) // 2, 0, 2**32 - 1]))
    ),
)
swaps = st.tuples(st.sampled_from(["split_pool", "split_burn", "split_owner"]), st.integers(0, 300)).map(
    lambda pair: [(pair[0], getattr(Params(), pair[0]) - pair[1]), ("split_stakers", 1500 + pair[1])]
)
effects = st.one_of(
    st.just(("text", [])),
    st.tuples(st.just("params"), st.one_of(swaps, st.lists(numbers, min_size=1, max_size=2))),
    st.integers(1, 60).map(lambda n: ("spend", [("receiver", to_checksum(RECEIVER)), ("amount", n * OPEN)])),
    st.tuples(
        st.sampled_from(["upgrade"]), st.integers(1, 60).map(lambda height: [("name", "v2"), ("height", height)])
    ),
)
who = st.sampled_from(range(len(VOTERS)))
whom = st.sampled_from(range(len(OPERATORS)))
amounts = st.one_of(st.integers(1, 12).map(lambda n: n * OPEN), st.integers(0, 2 * OPEN))
options = st.sampled_from(["yes", "yes", "yes", "no", "abstain", "no_with_veto", ""])
proposals = st.integers(1, 4)
deposited = st.sampled_from([10 * OPEN, 10 * OPEN, 10 * OPEN, OPEN, 10**9])
steps = st.one_of(
    st.tuples(st.just("propose"), who, effects, deposited, st.tuples(options, options, options)),
    st.tuples(st.just("deposit"), who, proposals, amounts),
    st.tuples(st.just("vote"), who, proposals, options),
    st.tuples(st.just("delegate"), who, whom, amounts),
    st.tuples(st.just("undelegate"), who, whom, amounts),
    st.tuples(st.just("redelegate"), who, whom, whom, amounts),
    st.tuples(st.just("slash"), whom, st.integers(1, 300_000)),
    st.tuples(st.just("tick"), st.sampled_from([1, 20, 60, 61, 130])),
)


def perform(world: World, step: tuple) -> None:  # type: ignore[type-arg]
    match step:
        case ("propose", i, (effect, arguments), deposit, votes):
            given = {name: str(value) for name, value in arguments}
            listed = tuple(Argument(n, v) for n, v in given.items())
            before = PROPOSAL_COUNT.get(world.state)
            if world.act(VOTERS[i], GovPropose("t", "", effect, listed, deposit)):
                assert PROPOSAL_COUNT.get(world.state) == before + 1
                for operator, option in zip(OPERATORS, votes, strict=True):
                    world.act(operator, GovVote(before + 1, option))
        case ("deposit", i, number, amount):
            world.act(VOTERS[i], GovDeposit(number, amount))
        case ("vote", i, number, option):
            world.act(VOTERS[i], GovVote(number, option))
        case ("delegate", i, v, amount):
            world.act(VOTERS[i], StakeDelegate(OPERATORS[v], amount))
        case ("undelegate", i, v, amount):
            world.act(VOTERS[i], StakeUndelegate(OPERATORS[v], amount))
        case ("redelegate", i, v, w, amount):
            world.act(VOTERS[i], StakeRedelegate(OPERATORS[v], OPERATORS[w], amount))
        case ("slash", v, ppm):
            world.hurt(OPERATORS[v], ppm)
        case ("tick", seconds):
            world.tick(seconds)


TEXT = ("propose", 0, ("text", []), 10 * OPEN, ("yes", "yes", "yes"))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, min_size=5, max_size=40))
@example([TEXT, ("redelegate", 1, 1, 0, OPEN), ("tick", 1), TEXT, ("slash", 1, 1)])
@example([TEXT, ("undelegate", 0, 0, 0)])
def test_any_order_of_governance_and_stake(chosen: list[tuple]) -> None:  # type: ignore[type-arg]
    world = World()
    for step in chosen:
        perform(world, step)
        world.check()
    for _ in range(12):
        world.tick(200)
    world.check()
    assert balance(world.state, DEPOSITS) == 0
    assert set(world.ended) == {n for n, _ in world.proposals()}


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 3_000), min_size=4, max_size=4), st.integers(0, PPM))
def test_no_vote_lets_anybody_earn_by_paying_oneself(rest: list[int], factor: int) -> None:
    parts = [10_000 - sum(rest), *rest]
    names = ("split_contributors", "split_owner", "split_stakers", "split_pool", "split_burn")
    state = Overlay(BASE.state)
    values = {**{n: str(max(p, 0)) for n, p in zip(names, parts, strict=True)}, "mint_factor": str(factor)}
    effect, ctx = ParamsChange.read(values), World(state).ctx
    t, p, b = (Fraction(part, 10_000) for part in parts[2:])
    sound = parts[0] >= 0 and Fraction(factor, PPM) * (p + b) < b + Fraction(2, 3) * t
    assert (simulate(state, ctx, effect).refusal == "") == sound

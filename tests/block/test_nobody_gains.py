"""Whoever does whatever there is to do, alone, with contracts and under six names, gains nothing by it where validators
are honest: less is left at the end than there was, gas not counted, and the community pool taken for theirs as well.

All fees are their own, bonds are a wei, so that nothing hides a gain. Claims of a model's true shares are accepted."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
from harness import ScriptedOracle
from random_deeds import MAKERS, challenge_index, claim, join, propose
from random_people import World

from openledger.abci_app.action import Action
from openledger.abci_app.modules.attribution.claim import AttributionClaim
from openledger.abci_app.modules.attribution.index_challenges import must_ballot
from openledger.abci_app.modules.attribution.messages import Message
from openledger.abci_app.modules.attribution.records import ACCEPTED, CLAIMS, REFUSED, Claim, Share
from openledger.abci_app.modules.datanets.records import must_version
from openledger.abci_app.modules.governance.records import POOL
from openledger.abci_app.modules.models.records import LEDGERS, MODELS, SESSIONS, settlements
from openledger.abci_app.modules.rewards.records import rewards
from openledger.abci_app.modules.staking.delegations import delegations, settle_all, worth
from openledger.abci_app.modules.staking.records import validator
from openledger.abci_app.modules.staking.unbonding import leaving, leaving_from
from openledger.primitives.amounts import split_exact
from openledger.primitives.types import Address
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


def truth(state: StateReader, model: int) -> tuple[tuple[Share, ...], int]:
    """Shares by rows, and the unattributed tenth."""
    rows: Counter[Address] = Counter()
    for ref in MODELS.must(state, model).data:
        for part in must_version(state, ref.datanet, ref.version).parts:
            rows[part.contributor] += part.rows
    people = sorted(rows)
    parts = split_exact(900_000, [rows[who] for who in people])
    return tuple(Share(who, ppm) for who, ppm in zip(people, parts, strict=True) if ppm), 1_000_000 - sum(parts)


class Honest(ScriptedOracle):
    """Says yes to true shares, and to rows of an index."""

    def _message(self, state: StateReader, number: int) -> Message | None:
        found = must_ballot(state, number)
        false = isinstance(found, Claim) and (found.shares, found.unattributed) != truth(state, found.model)
        self.mode = "no" if false else "yes"
        return super()._message(state, number)


def a_claim(world: World, me: Address) -> Action | None:
    """Mostly a true one."""
    found = claim(world, me)
    if not isinstance(found, AttributionClaim) or world.draw.random() < 0.3:
        return found
    shares, rest = truth(world.state, found.model)
    return dataclasses.replace(found, shares=shares, unattributed=rest)


class Coalition(World):
    """Six accounts and their contract. They have far less than a third of the stake."""

    actors = 6
    makers = tuple(
        a_claim if make is claim else make for make in MAKERS if make not in (propose, join, challenge_index)
    )
    oracle = Honest

    def __init__(self, seed: int) -> None:
        free = {"claim_bond": 1, "claim_bond_ppm": 1, "challenge_bond": 1, "model_bond": 1, "work_price": 0}
        super().__init__(seed, (4_000, 3_000, 2_000, 1_500), mint_per_epoch=10**24, **free)

    def upset(self) -> None:
        """The validators are honest, and at home."""

    def wealth(self) -> int:
        """Wei that they have, wherever it lies; the pool's too."""
        state, total = self.state, self.balance(POOL)
        for who in (*self.people(), self.contracts[0]):
            earned = rewards(state, who)
            total += self.balance(who) + earned.fees + earned.minted - earned.taken
            total += settle_all(Overlay(state), who).available
            records = ((validator(state, address), held) for address, held in delegations(state, who))
            total += sum(worth(record, held.total) for record, held in records if record)
            places = leaving_from(state, who, 100)
            total += sum(entry.amount for place in places for _, entry in leaving(state, who, place))
        total += sum(s.deposit - s.settled for _, s in SESSIONS.items(state) if not s.closed)
        for key, book in LEDGERS.items(state):
            model, epoch = int.from_bytes(key[:8], "big"), int.from_bytes(key[8:], "big")
            total += sum(entry.amount for entry in settlements(state, model, epoch, book.claimed, book.count))
        return total + sum(model.bond for _, model in MODELS.items(state))


def play(seed: int) -> Counter[int]:
    """How their claims have ended."""
    world = Coalition(seed)
    world.begin()
    before = world.wealth()
    for _ in range(110):
        world.step()
    world.rest()
    assert world.wealth() + world.gas < before
    return Counter(found.status for _, found in CLAIMS.items(world.state))


def test_a_coalition_that_does_all_there_is_gains_nothing_from_honest_validators() -> None:
    ends = play(1) + play(2)
    assert ends[ACCEPTED] > 3 < ends[REFUSED]


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 160))
def test_no_coalition_gains_in_many_worlds(seed: int) -> None:
    play(seed)

"""What stake has earned follows from single records: no node can say more, who leaves something out says less."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from claim_money import Money, someone
from harness import DEVNET_PARAMS

from openledger.abci_app.modules.fees.records import count_edited
from openledger.abci_app.modules.staking.delegate import StakeDelegate
from openledger.abci_app.modules.staking.delegations import settle_all
from openledger.abci_app.modules.staking.earning import earn, next_round, rounds
from openledger.abci_app.modules.staking.records import STAKES, must_operate
from openledger.node.cli.rewards import checked_staking
from openledger.node.proven_stake import proven_stake
from openledger.primitives.amounts import OPEN
from openledger.primitives.errors import ProofInvalid
from openledger.primitives.types import Address, to_checksum, to_hex
from openledger.state.overlay import Overlay

WHO = someone("delegator")


class OneByOne(Overlay):
    """A state of single records, as proofs give them; which were asked for in advance."""

    hash = bytes(32)
    asked: list[bytes]

    def records(self, module: Address, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        raise AssertionError("no list can be proved whole")

    def prove(self, module: Address, keys: Sequence[bytes]) -> None:
        self.asked = [*keys]


@pytest.fixture
def money() -> Money:
    """Two validators, an account with old stake at one and fresh stake at both, and claims that were paid since."""
    world = Money(DEVNET_PARAMS, 0)
    world.seat([("v0", 100, True), ("v1", 50, True)])
    world.fund([WHO], 1_000 * OPEN)
    state = world.state
    for number, operator in enumerate(("v0", "v0", "v1")):
        world.act(WHO, StakeDelegate(someone(operator), (10 + number) * OPEN))
        next_round(state, number)
    for operator in ("v0", "v1"):
        for round_ in range(rounds(state).oldest, rounds(state).now + 1):
            record = must_operate(state, someone(operator))
            kept = earn(state, record, round_, OPEN, record.shares)
            state.add_balance(STAKES, kept)
            count_edited(state, kept)
    return world


def seats(world: Money) -> list[Address]:
    return [must_operate(world.state, someone(name)).address for name in ("v0", "v1")]


def test_single_records_give_what_a_settlement_would_book_to_the_wei(money: Money) -> None:
    view = OneByOne(money.state)
    proved = proven_stake(view, WHO, seats(money))
    assert proved == settle_all(Overlay(money.state), WHO).total > 0
    assert view.asked, "fresh stake has no part in some rounds, which are proved one by one"
    assert proven_stake(OneByOne(money.state), WHO, [*seats(money), someone("nobody"), seats(money)[0]]) == proved
    assert 0 < proven_stake(OneByOne(money.state), WHO, seats(money)[:1]) < proved


def test_a_node_that_says_another_sum_than_its_records_is_refused(money: Money) -> None:
    right = settle_all(Overlay(money.state), WHO).total
    view: Any = OneByOne(money.state)
    listed = [{"validator": to_hex(address)} for address in seats(money)]
    app: Any = SimpleNamespace(call=lambda method, who, block: listed if who == to_checksum(WHO) else [])
    assert checked_staking(app, view, WHO, right) == right
    for said in (right + 1, 0):
        with pytest.raises(ProofInvalid, match="its records say"):
            checked_staking(app, view, WHO, said)
    del listed[0]
    with pytest.raises(ProofInvalid, match="its records say"):
        checked_staking(app, view, WHO, right)

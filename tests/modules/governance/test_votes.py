"""Whose stake counts for what: who votes, who follows the operator, and what becomes of stake that moves meanwhile."""

from __future__ import annotations

import pytest
from harness import ACCOUNTS, Harness

from openledger.abci_app.modules.governance.propose import GovPropose
from openledger.abci_app.modules.governance.vote import GovVote
from openledger.abci_app.modules.staking import choices
from openledger.abci_app.modules.staking.delegate import StakeDelegate
from openledger.abci_app.modules.staking.polls import count
from openledger.abci_app.modules.staking.redelegate import StakeRedelegate
from openledger.abci_app.modules.staking.undelegate import StakeUndelegate
from openledger.primitives.amounts import OPEN

V0, V1 = ACCOUNTS[9][0], ACCOUNTS[8][0]


@pytest.fixture
def chain() -> Harness:
    """Validators of 10 and 20 OPEN; account 1 has 30 OPEN with the first, account 2 5 with it and 7 with the other."""
    chain = Harness(powers=(10, 20))
    for who, operator, amount in ((1, V0, 30), (2, V0, 5), (2, V1, 7)):
        chain.act(who, StakeDelegate(operator, amount * OPEN))
    chain.act(3, GovPropose("t", "", "text", (), 10 * OPEN))
    return chain


def counted(chain: Harness) -> tuple[int, ...]:
    found = count(chain.state, 1)
    assert found.bonded == sum(v["stake"] for v in stakes(chain))
    return tuple(weight // OPEN for weight in found.weights)


def stakes(chain: Harness) -> list[dict[str, int]]:
    return [{"stake": int(v["stake"], 16)} for v in chain.query("list_validators")]


def test_who_does_not_vote_goes_with_the_operator_and_who_does_takes_its_part_out(chain: Harness) -> None:
    assert counted(chain) == (0, 0, 0, 0)
    chain.act(9, GovVote(1, "yes"))
    assert counted(chain) == (45, 0, 0, 0)
    chain.act(2, GovVote(1, "no"))
    assert counted(chain) == (40, 12, 0, 0)
    chain.act(8, GovVote(1, "abstain"))
    assert counted(chain) == (40, 12, 20, 0)
    chain.act(2, GovVote(1, "no_with_veto"))
    chain.act(1, GovVote(1, "no"))
    assert counted(chain) == (10, 30, 20, 12)


def test_stake_that_moves_takes_its_vote_along_and_what_unbonds_counts_for_nobody(chain: Harness) -> None:
    chain.act(9, GovVote(1, "yes"))
    chain.act(1, GovVote(1, "no"))
    assert counted(chain) == (15, 30, 0, 0)
    chain.act(1, StakeRedelegate(V0, V1, 10 * OPEN))
    assert counted(chain) == (15, 30, 0, 0)
    chain.act(8, GovVote(1, "yes"))
    assert counted(chain) == (42, 30, 0, 0)
    chain.act(1, StakeUndelegate(V0, 20 * OPEN))
    assert counted(chain) == (42, 10, 0, 0)
    chain.act(1, StakeDelegate(V0, 4 * OPEN))
    assert counted(chain) == (42, 14, 0, 0)
    chain.act(4, StakeDelegate(V0, 3 * OPEN))
    assert counted(chain) == (45, 14, 0, 0)


def test_a_list_of_open_votes_forgets_those_that_have_ended(chain: Harness) -> None:
    for number in (2, 3):
        chain.act(3, GovPropose("t", "", "text", (), 10 * OPEN))
        chain.act(1, GovVote(number, "yes"))
    chain.block(100)
    chain.act(3, GovPropose("t", "", "text", (), 10 * OPEN))
    chain.act(1, GovVote(4, "yes"))
    assert [found.value for _, found in choices._OF_VOTER.items(chain.state, ACCOUNTS[1][0])] == [4]
    chain.block(100)
    chain.act(1, StakeDelegate(V0, OPEN))
    assert not list(choices._OF_VOTER.items(chain.state, ACCOUNTS[1][0]))

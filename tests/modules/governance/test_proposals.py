"""Proposals from the first deposit to the end: what is asked of each step, what is refused, where the money goes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness import ACCOUNTS, Harness

from openledger.abci_app.events import EVENTS
from openledger.abci_app.modules.governance.deposit import GovDeposit
from openledger.abci_app.modules.governance.ending import outcome
from openledger.abci_app.modules.governance.propose import GovPropose
from openledger.abci_app.modules.governance.records import (
    NO_QUORUM,
    PASSED,
    REJECTED,
    VETOED,
    Argument,
    deposits,
    must_proposal,
    params,
)
from openledger.abci_app.modules.governance.vote import GovVote
from openledger.abci_app.modules.staking.polls import Count
from openledger.genesis.params import Params
from openledger.primitives.amounts import OPEN
from openledger.primitives.blocks import Receipt
from openledger.primitives.errors import MalformedAction
from openledger.primitives.types import DEPOSITS_ADDRESS

NEEDED = 10 * OPEN
FIRST, SECOND, THIRD = 9, 8, 7  # accounts of the operators of validators 0, 1, 2


def proposal(effect: str = "text", deposit: int = NEEDED, **arguments: str) -> GovPropose:
    return GovPropose("t", "s", effect, tuple(Argument(n, v) for n, v in arguments.items()), deposit)


def names(receipts: list[Receipt]) -> list[str]:
    return [EVENTS[log.topics[0]].name for log in receipts[0].logs] if receipts else []


def vote(chain: Harness, number: int, **options: str) -> None:
    """Votes of the operators of validators ``v0``, ``v1``, ..."""
    for who, option in options.items():
        assert chain.act(9 - int(who[1:]), GovVote(number, option)).status == 1


def finish(chain: Harness, number: int) -> str:
    """Let the time of a proposal pass; how it stands then."""
    chain.block(max(1, must_proposal(chain.state, number).deadline - chain.time))
    return must_proposal(chain.state, number).failure or str(must_proposal(chain.state, number).status)


def test_a_parameter_changes_with_the_block_after_the_vote() -> None:
    chain = Harness(powers=(10, 10, 10))
    before = params(chain.state)
    receipt = chain.act(1, proposal("params", split_pool="900", split_owner="2100"))
    assert [EVENTS[log.topics[0]].name for log in receipt.logs] == [
        "ProposalSubmitted", "ProposalDeposit", "VotingStarted",
    ]  # fmt: skip
    assert chain.balance(DEPOSITS_ADDRESS) == NEEDED
    vote(chain, 1, v0="yes", v1="yes", v2="no")
    had = chain.balance(ACCOUNTS[1][0])
    assert finish(chain, 1) == str(PASSED)
    assert params(chain.state) == replace(before, split_pool=900, split_owner=2100)
    record = must_proposal(chain.state, 1)
    assert (record.yes, record.no, record.bonded) == (20 * OPEN, 10 * OPEN, 30 * OPEN)
    assert chain.balance(ACCOUNTS[1][0]) == had + NEEDED
    assert chain.balance(DEPOSITS_ADDRESS) == 0


def test_the_consensus_engine_hears_of_another_size_of_blocks() -> None:
    chain = Harness()
    chain.act(1, proposal("params", max_block_bytes="1000000", max_slot0_bytes="100000"))
    vote(chain, 1, v0="yes")
    told = chain.finalize((), 60).consensus_param_updates
    assert told is not None
    assert (told.block_max_bytes, told.block_max_gas) == (1_000_000, -1)
    assert chain.finalize((), 1).consensus_param_updates is None


def test_seats_follow_a_changed_parameter_at_once() -> None:
    chain = Harness(powers=(30, 20, 10))
    chain.act(1, proposal("params", max_validators="2"))
    vote(chain, 1, v0="yes", v1="yes")
    assert finish(chain, 1) == str(PASSED)
    chain.block()
    chain.block()
    assert sorted(chain.set_now.values()) == [20, 30]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"mint_factor": "1000000", "split_burn": "0", "split_pool": "1500"}, "paying oneself"),
        ({"split_pool": "1001"}, "adds up"),
        ({"block_gas_limit": "1000"}, "must lie between"),
        ({"base_fee_floor": str(10**20)}, "must lie between"),
        ({"base_fee_floor": str(2 * 10**9)}, "below base_fee_floor"),
        ({"reserve": str(Params().reserve + 1)}, "only become smaller"),
        ({"cap": str(Params().cap - 1), "reserve": str(Params().reserve)}, "must fit the cap"),
        ({"max_shares": "1023"}, "only become larger"),
        ({"drawn_rows": "5"}, "must lie between"),
        ({"max_extension_bytes": "4095"}, "only become larger"),
        ({"max_extension_bytes": "1000", "drawn_rows": "1"}, "only become larger"),
        ({"max_settlements": "512", "max_open_claims_per_block": "1024"}, "refunds of one block"),
        ({"work_per_epoch": "99999999"}, "must lie between"),
        ({"gov_quorum": "900000"}, "must lie between"),
        ({"elasticity": "2"}, "already"),
        ({"bases": ",".join("b" * 100 + str(i) for i in range(5)) + "," + "x" * 129}, "names of 128 bytes"),
    ],
)
def test_no_vote_is_held_about_what_a_bound_forbids(arguments: dict[str, str], why: str) -> None:
    chain = Harness()
    if "cap" in arguments:  # leave no room between what exists, the reserve and the cap
        supply = int(chain.query("get_supply")["genesis"], 16)
        arguments = {"cap": str(supply + Params().reserve - 1)}
    assert why in chain.refusal(1, proposal("params", **arguments))


@pytest.mark.parametrize(
    ("effect", "arguments"),
    [
        ("nothing", {}),
        ("text", {"a": "b"}),
        ("params", {}),
        ("params", {"no_such": "1"}),
        ("params", {"elasticity": "03"}),
        ("params", {"elasticity": "+3"}),
        ("params", {"elasticity": "٣"}),
        ("params", {"elasticity": str(2**32)}),
        ("params", {"elasticity": "9" * 200}),
    ],
)
def test_the_form_of_a_proposal_is_strict(effect: str, arguments: dict[str, str]) -> None:
    with pytest.raises(MalformedAction):
        proposal(effect, **arguments).check()
    with pytest.raises(MalformedAction):
        replace(proposal("params", elasticity="3"), arguments=(Argument("elasticity", "3"),) * 2).check()


def test_a_bound_that_is_crossed_by_then_changes_nothing_and_is_on_record() -> None:
    chain = Harness()
    chain.act(1, proposal("params", split_pool="900", split_owner="2100"))
    chain.act(1, proposal("params", split_owner="1900", split_burn="600"))
    vote(chain, 1, v0="yes")
    vote(chain, 2, v0="yes")
    assert finish(chain, 1) == str(PASSED)
    between = params(chain.state)
    # each alone adds up; with the pool's part of the first one the second leaves 100 basis points to nobody
    assert "adds up" in finish(chain, 2)
    assert params(chain.state) == between
    assert chain.balance(DEPOSITS_ADDRESS) == 0


def test_deposits_gather_and_no_more_is_taken_than_is_lacking() -> None:
    chain = Harness()
    assert "at least" in chain.refusal(1, proposal(deposit=NEEDED // 16 - 1))
    chain.act(1, proposal(deposit=NEEDED // 16))
    assert "not being voted on" in chain.refusal(FIRST, GovVote(1, "yes"))
    assert "at least" in chain.refusal(2, GovDeposit(1, 1))
    assert "no proposal 2" in chain.refusal(2, GovDeposit(2, NEEDED))
    chain.act(2, GovDeposit(1, OPEN))
    chain.act(2, GovDeposit(1, OPEN))
    had = chain.balance(ACCOUNTS[3][0])
    chain.act(3, GovDeposit(1, 1_000 * OPEN))
    assert had - chain.balance(ACCOUNTS[3][0]) < 8 * OPEN
    held = dict(deposits(chain.state, 1))
    assert held == {
        ACCOUNTS[1][0]: NEEDED // 16, ACCOUNTS[2][0]: 2 * OPEN, ACCOUNTS[3][0]: NEEDED - NEEDED // 16 - 2 * OPEN,
    }  # fmt: skip
    assert chain.query("get_params")["govDeposit"] == hex(NEEDED)
    assert "no deposits any more" in chain.refusal(2, GovDeposit(1, OPEN))
    vote(chain, 1, v0="no")
    before = {a: chain.balance(a) for a in held}
    assert finish(chain, 1) == str(REJECTED)
    assert {a: chain.balance(a) - before[a] for a in held} == held


def test_what_expires_gives_the_deposit_back_and_what_is_vetoed_or_ignored_burns_it() -> None:
    chain = Harness(powers=(40, 34, 26))
    had = chain.balance(ACCOUNTS[1][0])
    chain.act(1, proposal(deposit=OPEN))
    chain.block(121)
    assert must_proposal(chain.state, 1).status == 7
    assert had - chain.balance(ACCOUNTS[1][0]) < OPEN // 100
    burned = int(chain.query("get_supply")["burned"], 16)
    chain.act(1, proposal())
    chain.act(1, proposal())
    vote(chain, 2, v0="no_with_veto", v1="yes", v2="yes")
    vote(chain, 3, v2="yes")
    assert finish(chain, 2) == str(VETOED)
    assert finish(chain, 3) == str(NO_QUORUM)
    assert int(chain.query("get_supply")["burned"], 16) - burned >= 2 * NEEDED
    assert chain.balance(DEPOSITS_ADDRESS) == 0


def test_only_stake_votes_and_the_last_vote_of_an_account_counts() -> None:
    chain = Harness(powers=(10, 20))
    chain.act(1, proposal())
    assert "only who has staked" in chain.refusal(1, GovVote(1, "yes"))
    vote(chain, 1, v0="no", v1="yes")
    vote(chain, 1, v0="yes", v1="abstain")
    assert finish(chain, 1) == str(PASSED)
    record = must_proposal(chain.state, 1)
    assert (record.yes, record.no, record.abstain) == (10 * OPEN, 0, 20 * OPEN)
    assert "not being voted on" in chain.refusal(FIRST, GovVote(1, "no"))
    with pytest.raises(MalformedAction):
        GovVote(1, "maybe").check()


def test_the_rules_of_the_count() -> None:
    def of(yes: int, no: int = 0, abstain: int = 0, veto: int = 0, bonded: int = 1000) -> int:
        return outcome(Count((yes, no, abstain, veto), bonded), Params())

    assert of(333) == NO_QUORUM
    assert of(334) == PASSED
    assert of(500, 500) == REJECTED
    assert of(501, 499) == PASSED
    assert of(0, 0, 1000) == REJECTED
    assert of(1, 0, 999) == PASSED
    assert of(666, 0, 0, 334) == PASSED  # exactly a third is no veto
    assert of(665, 0, 0, 335) == VETOED
    assert of(0, bonded=0) == NO_QUORUM


def test_a_block_ends_a_bounded_number_of_proposals_and_so_many_are_voted_on() -> None:
    chain = Harness(max_votes_open=3, max_proposals_per_block=2)
    for _ in range(3):
        chain.act(1, proposal())
    assert "voted on, as many as may be" in chain.refusal(1, proposal())
    chain.act(1, proposal(deposit=OPEN))
    assert "as many as may be" in chain.refusal(1, GovDeposit(4, NEEDED))
    vote(chain, 3, v0="yes")
    chain.block(100)
    assert [must_proposal(chain.state, n).status for n in (1, 2, 3)] == [NO_QUORUM, NO_QUORUM, 2]
    assert "not being voted on" in chain.refusal(FIRST, GovVote(3, "no"))
    assert must_proposal(chain.state, 3).status == PASSED
    chain.act(1, GovDeposit(4, NEEDED))
    assert must_proposal(chain.state, 4).status == 2

"""Delegation, redelegation and commission through whole blocks, with each refusal by its number."""

from __future__ import annotations

import pytest
from harness import ACCOUNTS, Harness

from openledger.abci_app.modules.governance.propose import GovPropose
from openledger.abci_app.modules.governance.vote import GovVote
from openledger.abci_app.modules.rewards.claim import RewardsClaim
from openledger.abci_app.modules.staking.delegate import StakeDelegate
from openledger.abci_app.modules.staking.edit import ValidatorEdit
from openledger.abci_app.modules.staking.polls import Count, count
from openledger.abci_app.modules.staking.reads import total_bonded, voting_stake
from openledger.abci_app.modules.staking.redelegate import StakeRedelegate
from openledger.abci_app.modules.staking.sets import newest_set
from openledger.abci_app.modules.staking.undelegate import StakeUndelegate
from openledger.abci_app.modules.staking.unjail import ValidatorUnjail
from openledger.primitives.amounts import OPEN
from openledger.primitives.errors import (
    AmountOutOfRange,
    MalformedAction,
    NotAllowed,
    NotFound,
    TooManyUnbondings,
    ValidatorTombstoned,
)
from openledger.primitives.types import STAKING_ADDRESS, Address

V, W = ACCOUNTS[9][0], ACCOUNTS[8][0]
"""Operators of the genesis validators, with 100 and 50 OPEN of their own."""
A, B = ACCOUNTS[1][0], ACCOUNTS[2][0]


@pytest.fixture
def two() -> Harness:
    return Harness(powers=(100, 50))


def code(chain: Harness, sender: int, action: object) -> int:
    """Number of the refusal, the same at admission and in a block."""
    raw = chain.native(sender, action)  # type: ignore[arg-type]
    refused = chain.submit(raw).code
    assert chain.finalize((raw,)).tx_results[0].code == refused
    return refused


def done(chain: Harness, sender: int, action: object) -> None:
    assert chain.act(sender, action).status == 1  # type: ignore[arg-type]


def having(chain: Harness, account: Address) -> dict[str, int]:
    """Wei of an account by operator."""
    return {d["operator"].lower(): int(d["amount"], 16) for d in chain.query("get_delegations", account)}


def wei(chain: Harness, account: Address, operator: Address) -> int:
    return having(chain, account).get("0x" + operator.hex(), 0)


def power(chain: Harness, index: int) -> int:
    return {seat.address: seat.power for seat in newest_set(chain.state).seats}.get(chain.addresses[index], 0)


def test_anybody_delegates_and_the_validator_has_the_power_of_all(two: Harness) -> None:
    before = two.balance(A)
    receipt = two.act(1, StakeDelegate(V, 30 * OPEN))
    assert two.balance(A) == before - 30 * OPEN - receipt.gas_used * receipt.effective_gas_price
    assert power(two, 0) == 130
    assert (wei(two, A, V), wei(two, V, V)) == (30 * OPEN, 100 * OPEN)
    view = two.query("get_validator", V)
    assert [int(view[n], 16) for n in ("stake", "shares", "own")] == [130 * OPEN, 130 * OPEN, 100 * OPEN]
    assert voting_stake(two.state, A) == [(two.addresses[0], 30 * OPEN)]
    assert total_bonded(two.state) == 180 * OPEN == two.balance(STAKING_ADDRESS)


def test_a_slash_costs_each_the_same_part_and_writes_the_same_for_one_delegator_as_for_five(two: Harness) -> None:
    for sender in range(1, 6):
        done(two, sender, StakeDelegate(V, sender * OPEN))
    two.prove_double_sign(two.addresses[0], two.app.head().number)
    two.block()
    for sender in range(1, 6):
        assert wei(two, ACCOUNTS[sender][0], V) == sender * OPEN * 95 // 100
    assert wei(two, V, V) == 95 * OPEN
    assert code(two, 1, StakeDelegate(V, OPEN)) == ValidatorTombstoned.code
    for sender in (1, 2):
        done(two, sender, StakeUndelegate(V))
    before = two.balance(A)
    two.block(60)
    assert two.balance(A) == before + OPEN * 95 // 100


def test_what_may_not_be_staked_is_refused_by_number() -> None:
    chain = Harness(powers=(100, 50, 50), max_delegations=2)
    third = ACCOUNTS[7][0]
    assert code(chain, 1, StakeDelegate(B, OPEN)) == NotFound.code
    assert code(chain, 1, StakeDelegate(V, OPEN - 1)) == AmountOutOfRange.code, "less than the least delegation"
    assert code(chain, 1, StakeDelegate(V, 0)) == AmountOutOfRange.code
    assert code(chain, 1, StakeDelegate(V, 10_001 * OPEN)) == AmountOutOfRange.code
    done(chain, 1, StakeDelegate(V, 2 * OPEN))
    done(chain, 1, StakeDelegate(V, 1))
    assert code(chain, 1, StakeUndelegate(V, OPEN + 2)) == AmountOutOfRange.code, "too little would stay"
    assert code(chain, 1, StakeUndelegate(V, 3 * OPEN)) == AmountOutOfRange.code
    assert code(chain, 1, StakeRedelegate(V, V)) == MalformedAction.code
    assert code(chain, 1, StakeRedelegate(V, W, OPEN // 2)) == AmountOutOfRange.code, "too little would arrive"
    assert code(chain, 1, StakeRedelegate(W, V, OPEN)) == NotAllowed.code, "nothing there"
    done(chain, 1, StakeDelegate(W, 2 * OPEN))
    assert code(chain, 1, StakeDelegate(third, OPEN)) == NotAllowed.code, "with two validators at most"
    assert code(chain, 1, StakeRedelegate(V, third, OPEN)) == NotAllowed.code
    done(chain, 1, StakeRedelegate(V, third))
    assert having(chain, A).keys() == {"0x" + W.hex(), "0x" + third.hex()}


def test_redelegated_stake_moves_at_once_and_cannot_move_on(two: Harness) -> None:
    done(two, 1, StakeDelegate(V, 30 * OPEN))
    done(two, 1, StakeRedelegate(V, W, 20 * OPEN))
    assert (power(two, 0), power(two, 1)) == (110, 70)
    moved = next(d for d in two.query("get_delegations", A) if d["redelegations"])["redelegations"]
    assert moved == [
        {"source": two.query("get_validator", V)["operator"], "amount": hex(20 * OPEN), "ready": two.time + 60}
    ]
    assert code(two, 1, StakeRedelegate(W, V, OPEN)) == NotAllowed.code
    two.block(60)
    done(two, 1, StakeRedelegate(W, V, OPEN))
    assert (wei(two, A, V), wei(two, A, W)) == (11 * OPEN, 19 * OPEN)
    for _ in range(7):
        two.act(2, StakeDelegate(V, 2 * OPEN))
        two.act(2, StakeRedelegate(V, W, OPEN))
    assert code(two, 2, StakeRedelegate(V, W, OPEN)) == TooManyUnbondings.code


def test_what_was_redelegated_answers_for_what_its_old_validator_did_before(two: Harness) -> None:
    done(two, 1, StakeDelegate(V, 40 * OPEN))
    two.block()
    two.block()
    deed = two.app.head().number
    done(two, 1, StakeRedelegate(V, W, 40 * OPEN))
    done(two, 2, StakeDelegate(W, 10 * OPEN))
    two.prove_double_sign(two.addresses[0], deed)
    two.block()
    assert (wei(two, A, W), wei(two, B, W), wei(two, W, W)) == (38 * OPEN, 10 * OPEN, 50 * OPEN)
    two.block()
    assert power(two, 1) == 98
    two.prove_double_sign(two.addresses[0], deed)
    two.block()
    assert wei(two, A, W) == 38 * OPEN, "once"


def test_nobody_escapes_by_redelegating_and_then_unbonding(two: Harness) -> None:
    """GHSA-86h5-xcpx-cfqc of Cosmos SDK. The slash takes its whole part, once, wherever the stake is."""
    for sender in (1, 2):
        done(two, sender, StakeDelegate(V, 40 * OPEN))
        two.block()
        two.block()
    deed = two.app.head().number
    for sender, back in ((1, 0), (2, 39)):
        done(two, sender, StakeRedelegate(V, W, 40 * OPEN))
        done(two, sender, StakeUndelegate(W, back * OPEN))
    two.prove_double_sign(two.addresses[0], deed)
    two.block()
    for account, stays in ((A, 0), (B, OPEN)):
        found = two.query("get_delegations", account)[0]
        waits = sum(int(u["amount"], 16) for u in found["unbonding"])
        assert int(found["amount"], 16) + waits == 38 * OPEN
        assert int(found["amount"], 16) == max(0, stays - 2 * OPEN)
    assert two.balance(STAKING_ADDRESS) == 95 * OPEN + 50 * OPEN + 2 * 38 * OPEN


def test_what_moved_before_the_deed_is_safe(two: Harness) -> None:
    done(two, 1, StakeDelegate(V, 40 * OPEN))
    done(two, 1, StakeRedelegate(V, W, 20 * OPEN))
    done(two, 1, StakeUndelegate(V, 10 * OPEN))
    two.block()
    two.block()
    two.prove_double_sign(two.addresses[0], two.app.head().number)
    two.block()
    assert (wei(two, A, W), wei(two, A, V)) == (20 * OPEN, 10 * OPEN * 95 // 100)
    before = two.balance(A)
    two.block(60)
    assert two.balance(A) == before + 10 * OPEN


def test_a_slash_of_many_entries_is_followed_a_few_a_block_and_by_each_at_its_next_step() -> None:
    chain = Harness(powers=(100, 50), max_unbondings_per_block=2)
    for sender in range(1, 6):
        done(chain, sender, StakeDelegate(V, 10 * OPEN))
    chain.block()
    chain.block()
    deed = chain.app.head().number
    for sender in range(1, 6):
        done(chain, sender, StakeRedelegate(V, W, 10 * OPEN))
    chain.prove_double_sign(chain.addresses[0], deed)
    chain.block()
    assert int(chain.query("get_validator", W)["stake"], 16) == 99 * OPEN
    assert [wei(chain, ACCOUNTS[n][0], W) for n in range(1, 6)] == [10 * OPEN * 95 // 100] * 5, "reads are ahead"
    assert chain.app.due(chain.time)
    done(chain, 5, StakeUndelegate(W))
    assert int(chain.query("get_delegations", ACCOUNTS[5][0])[0]["unbonding"][0]["amount"], 16) == 10 * OPEN * 95 // 100
    chain.block()
    assert int(chain.query("get_validator", W)["stake"], 16) == 88 * OPEN
    assert not chain.app.due(chain.time)


def test_a_validator_whose_operator_takes_all_of_its_own_back_has_no_seat_and_gets_no_new_stake(two: Harness) -> None:
    done(two, 1, StakeDelegate(W, 500 * OPEN))
    done(two, 8, StakeUndelegate(W))
    assert power(two, 1) == 0
    assert wei(two, A, W) == 500 * OPEN
    assert code(two, 2, StakeDelegate(W, OPEN)) == NotAllowed.code
    assert code(two, 8, StakeDelegate(W, 9 * OPEN)) == AmountOutOfRange.code
    done(two, 1, StakeRedelegate(W, V, 100 * OPEN))
    done(two, 8, StakeDelegate(W, 10 * OPEN))
    assert power(two, 1) == 410


def test_a_validator_that_has_lost_all_takes_no_stake_and_its_shares_can_be_given_up() -> None:
    chain = Harness(powers=(100, 50), slash_double_sign=1_000_000, slash_downtime=1_000_000, signed_window=10)
    done(chain, 1, StakeDelegate(V, 40 * OPEN))
    for _ in range(9):
        chain.block()
    chain.absent = {chain.addresses[0]}
    while not chain.query("get_validator", V)["jailed"]:
        chain.block()
    assert (wei(chain, A, V), power(chain, 0)) == (0, 0)
    assert code(chain, 2, StakeDelegate(V, OPEN)) == NotAllowed.code
    assert code(chain, 9, ValidatorUnjail()) != 0
    done(chain, 1, StakeUndelegate(V))
    assert chain.query("get_delegations", A) == []
    done(chain, 9, StakeUndelegate(V))
    done(chain, 9, StakeDelegate(V, 20 * OPEN))
    chain.absent = set()
    chain.block(10)
    done(chain, 9, ValidatorUnjail())
    assert power(chain, 0) == 20


# --- what stake earns -------------------------------------------------------------------------------------------------


def paid(chain: Harness) -> int:
    """A claim of one epoch is accepted; the wei that the stakers have of it."""
    epoch = chain.settle()
    chain.close_epoch()
    number = chain.claim(epoch, {1: 1_000_000})
    assert chain.run_claim(number) == "accepted"
    claim = chain.query("get_claim", number)
    return int(claim["fee"], 16) * 15 // 100 + int(claim["workFee"], 16)


def staking(chain: Harness, account: Address) -> int:
    return int(chain.query("get_rewards", account)["staking"], 16)


def test_commission_is_the_operators_and_the_rest_is_divided_by_stake() -> None:
    chain = Harness(powers=(100,))
    chain.publish()
    done(chain, 7, StakeDelegate(V, 300 * OPEN))
    amount = paid(chain)
    commission = amount // 10
    assert int(chain.query("get_rewards", V)["fees"], 16) - staking(chain, V) == commission
    shared = amount - commission
    assert shared // 4 - 1 <= staking(chain, V) <= shared // 4
    assert shared * 3 // 4 - 1 <= staking(chain, ACCOUNTS[7][0]) <= shared * 3 // 4
    found = chain.query("get_delegations", ACCOUNTS[7][0])[0]
    assert int(found["rewards"], 16) == staking(chain, ACCOUNTS[7][0])
    before, mine = chain.balance(ACCOUNTS[7][0]), staking(chain, ACCOUNTS[7][0])
    receipt = chain.act(7, RewardsClaim())
    assert chain.balance(ACCOUNTS[7][0]) == before + mine - receipt.gas_used * receipt.effective_gas_price
    assert int(chain.query("get_rewards", ACCOUNTS[7][0])["available"], 16) == 0
    assert "no rewards" in chain.refusal(7, RewardsClaim())
    assert amount - chain.balance(STAKING_ADDRESS) - commission <= amount


def test_who_comes_after_a_claim_has_opened_has_no_part_in_it_but_in_those_of_later_epochs() -> None:
    chain = Harness(powers=(100,))
    chain.publish()
    epoch = chain.settle()
    chain.close_epoch()
    number = chain.claim(epoch, {1: 1_000_000})
    done(chain, 7, StakeDelegate(V, 300 * OPEN))
    burned = int(chain.query("get_supply")["burned"], 16)
    assert chain.run_claim(number) == "accepted"
    assert staking(chain, ACCOUNTS[7][0]) == 0
    assert staking(chain, V) > 0
    assert int(chain.query("get_supply")["burned"], 16) > burned
    before = staking(chain, V)
    amount = paid(chain) * 9 // 10
    assert amount * 3 // 4 - 1 <= staking(chain, ACCOUNTS[7][0]) <= amount * 3 // 4
    assert amount // 4 - 2 <= staking(chain, V) - before <= amount // 4 + 1


def test_who_leaves_before_a_claim_is_paid_has_no_part_in_it_and_the_others_no_more_than_theirs() -> None:
    chain = Harness(powers=(100,))
    chain.publish()
    done(chain, 7, StakeDelegate(V, 300 * OPEN))
    epoch = chain.settle()
    chain.close_epoch()
    number = chain.claim(epoch, {1: 1_000_000})
    done(chain, 7, StakeUndelegate(V))
    assert chain.run_claim(number) == "accepted"
    amount = int(chain.query("get_claim", number)["fee"], 16) * 15 // 100 * 9 // 10
    assert staking(chain, ACCOUNTS[7][0]) == 0
    assert amount // 4 - 1 <= staking(chain, V) <= amount // 4 + 10**12


# --- commission -------------------------------------------------------------------------------------------------------


def test_a_commission_changes_once_a_day_rises_by_no_more_than_was_promised_and_never_above_the_promise(
    two: Harness,
) -> None:
    def edit(ppm: int) -> ValidatorEdit:
        return ValidatorEdit("v0", True, ppm)

    assert code(two, 9, edit(110_001)) == AmountOutOfRange.code, "by 1 % at most"
    assert code(two, 9, edit(200_001)) == AmountOutOfRange.code
    done(two, 9, edit(110_000))
    assert two.query("get_validator", V)["commission"] == 110_000
    assert code(two, 9, edit(0)) == NotAllowed.code
    done(two, 9, edit(110_000))
    done(two, 9, ValidatorEdit("renamed"))
    two.block(86_400)
    done(two, 9, edit(0))
    view = two.query("get_validator", V)
    assert (view["commission"], view["name"], view["commissionChanged"]) == (0, "v0", two.time)


# --- votes ------------------------------------------------------------------------------------------------------------


def test_a_delegator_s_own_vote_counts_for_its_stake_wherever_it_is_and_the_rest_goes_with_the_operator() -> None:
    chain = Harness(powers=(100, 50), gov_deposit=OPEN, gov_voting_seconds=1_000)
    done(chain, 1, StakeDelegate(V, 30 * OPEN))
    done(chain, 2, StakeDelegate(V, 20 * OPEN))
    done(chain, 3, GovPropose("A question", "", "text", (), OPEN))
    done(chain, 9, GovVote(1, "yes"))
    done(chain, 1, GovVote(1, "no"))
    assert count(chain.state, 1) == Count((120 * OPEN, 30 * OPEN, 0, 0), 200 * OPEN)
    done(chain, 1, StakeRedelegate(V, W, 10 * OPEN))
    done(chain, 1, StakeDelegate(V, 5 * OPEN))
    assert count(chain.state, 1) == Count((120 * OPEN, 35 * OPEN, 0, 0), 205 * OPEN)
    chain.prove_double_sign(chain.addresses[1], chain.app.head().number)
    done(chain, 1, StakeUndelegate(V, 5 * OPEN))
    chain.block()
    assert count(chain.state, 1) == Count((120 * OPEN, 20 * OPEN, 0, 0), 140 * OPEN), "behind seats only"
    done(chain, 1, GovVote(1, "abstain"))
    assert count(chain.state, 1).weights == (120 * OPEN, 0, 20 * OPEN, 0)


def test_a_validator_s_delegators_are_listed_in_pages_with_what_slashes_have_left_them() -> None:
    chain = Harness(powers=(100, 50))
    for sender in range(1, 6):
        done(chain, sender, StakeDelegate(V, sender * OPEN))
    done(chain, 5, StakeUndelegate(V))
    done(chain, 4, StakeRedelegate(V, W, 2 * OPEN))
    people = sorted([V, *(ACCOUNTS[i][0] for i in range(1, 5))])
    found, start, pages = [], bytes(20), 0
    while start:
        page = chain.query("list_delegators", V, start, 2)
        assert len(page["delegators"]) <= 2
        found, pages = found + page["delegators"], pages + 1
        start = bytes.fromhex(page["next"][2:]) if page["next"] else b""
    assert pages == 3
    assert [bytes.fromhex(one["delegator"][2:]) for one in found] == people
    assert sum(int(one["amount"], 16) for one in found) == int(chain.query("get_validator", V)["stake"], 16)
    assert all(int(one["amount"], 16) == wei(chain, bytes.fromhex(one["delegator"][2:]), V) for one in found)
    assert chain.query("list_delegators", V, bytes(20), 10**9)["next"] is None
    chain.prove_double_sign(chain.addresses[0], chain.app.head().number)
    chain.block()
    moved = chain.query("list_delegators", W, bytes(20), 9)["delegators"]
    theirs = {one["delegator"].lower(): int(one["amount"], 16) for one in moved}
    assert theirs["0x" + ACCOUNTS[4][0].hex()] == wei(chain, ACCOUNTS[4][0], W) < 2 * OPEN
    with pytest.raises(NotFound):
        chain.query("list_delegators", A, bytes(20), 10)

"""attribution.challenge: the loser pays, and what a false claim has booked goes back to the wei."""

from __future__ import annotations

import dataclasses

import pytest
from challenges import BOND, FEE, ROW, SHARE, accepted, burned, run, say, wei
from harness import ACCOUNTS, Harness

from openledger.abci_app.modules.attribution.challenge import AttributionChallenge
from openledger.abci_app.modules.attribution.records import ESCROW, electorate
from openledger.abci_app.modules.rewards.claim import RewardsClaim
from openledger.abci_app.modules.staking.delegate import StakeDelegate
from openledger.abci_app.modules.staking.undelegate import StakeUndelegate
from openledger.primitives.amounts import OPEN, split_exact
from openledger.primitives.attribution import EVERY_SEGMENT
from openledger.primitives.errors import MalformedAction
from openledger.primitives.types import Address


def test_rewards_are_booked_at_once_and_can_be_taken_when_the_time_for_challenges_is_over() -> None:
    chain = accepted(seconds=20)
    assert wei(chain, 1, "fees") + wei(chain, 1, "minted") == wei(chain, 1, "locked") > 0
    assert "can no longer be challenged" in chain.refusal(1, RewardsClaim())
    bond = int(chain.query("get_claim", 1)["bond"], 16)
    before = chain.balance(ACCOUNTS[4][0])
    chain.block(20)
    assert chain.balance(ACCOUNTS[4][0]) == before + bond
    assert wei(chain, 1, "locked") == 0
    assert wei(chain, 1, "available") == wei(chain, 1, "fees") + wei(chain, 1, "minted")
    assert chain.act(1, RewardsClaim()).status == 1
    assert chain.query("get_claim", 1)["vests"] == 0
    assert "still vesting" in chain.refusal(8, ROW)


@pytest.mark.parametrize("action", [ROW, SHARE])
@pytest.mark.parametrize("minted", [False, True])
def test_an_upheld_challenge_refunds_consumers_burns_the_mint_and_halves_the_bond(
    action: AttributionChallenge, minted: bool
) -> None:
    chain = accepted(seconds=500, epoch_seconds=100)
    if minted:
        chain.block(100)
    assert (wei(chain, 1, "minted") > 0) == minted
    claim = chain.query("get_claim", 1)
    consumer, challenger = chain.balance(ACCOUNTS[5][0]), chain.balance(ACCOUNTS[8][0])
    booked = sum(wei(chain, i, "fees") for i in (1, 2, 3, 4)) + sum(
        int(said["pot"], 16) for said in chain.query("get_verdicts", 1)
    )
    gone, made = burned(chain), int(claim["minted"], 16)
    receipt = chain.act(8, action)
    assert receipt.status == 1
    gas = receipt.gas_used * receipt.effective_gas_price
    assert chain.query("get_claim", 1)["status"] == "pending"
    assert chain.query("attribution_job", 1).named == (((7, EVERY_SEGMENT),) if action is ROW else ())
    say(chain, "no")
    paid_gas = burned(chain) - gone
    assert run(chain) == "upheld"
    assert chain.query("get_claim", 1)["status"] == "refused"
    for account in (1, 2, 3, 4):
        assert [wei(chain, account, name) for name in ("fees", "minted", "locked", "available")] == [0, 0, 0, 0]
    bond = int(claim["bond"], 16)
    assert chain.balance(ACCOUNTS[8][0]) == challenger - gas + bond // 2
    assert chain.balance(ACCOUNTS[5][0]) == consumer + min(booked, FEE)
    assert burned(chain) == gone + paid_gas + made + bond - bond // 2
    assert chain.balance(ESCROW) == 0
    chain.block(10)
    assert int(chain.query("get_claim", 1)["minted"], 16) == 0
    assert "still vesting" in chain.refusal(8, ROW)


def test_a_dismissed_challenge_burns_its_bond_and_the_claim_vests_later() -> None:
    chain = accepted(seconds=30)
    first, fees = chain.query("get_claim", 1)["vests"], wei(chain, 1, "fees")
    receipt = chain.act(8, ROW)
    before = burned(chain)
    assert run(chain) == "dismissed"
    claim = chain.query("get_claim", 1)
    assert (claim["status"], claim["vests"] > first) == ("accepted", True)
    assert receipt.status == 1
    assert burned(chain) == before + BOND
    assert wei(chain, 1, "fees") == fees
    chain.block(first - chain.time + 1 if first > chain.time else 1)
    assert wei(chain, 1, "locked") > 0
    assert chain.act(8, SHARE).status == 1
    assert run(chain) == "dismissed"
    chain.block(31)
    assert wei(chain, 1, "locked") == 0
    assert chain.act(1, RewardsClaim()).status == 1


def test_the_mint_of_a_claim_under_challenge_waits() -> None:
    chain = accepted(seconds=500, epoch_seconds=50)
    assert chain.act(8, ROW).status == 1
    say(chain, "silent")
    epoch = chain.query("get_epoch")["number"]
    chain.block(50)
    assert chain.query("get_epoch")["number"] == epoch + 1
    assert wei(chain, 1, "minted") == 0
    say(chain, "yes")
    assert run(chain) == "dismissed"
    chain.block(60)
    assert wei(chain, 1, "minted") > 0


def test_a_challenge_without_a_verdict_costs_a_tenth_of_its_bond_and_the_claim_stands() -> None:
    chain = accepted()
    say(chain, "silent")
    receipt = chain.act(8, ROW)
    balance, before = chain.balance(ACCOUNTS[8][0]), burned(chain)
    assert receipt.status == 1
    assert run(chain, 70) == "dismissed"
    assert chain.query("get_claim", 1)["status"] == "accepted"
    assert chain.balance(ACCOUNTS[8][0]) == balance + BOND - BOND // 10
    assert burned(chain) == before + BOND // 10


def test_refusals() -> None:
    chain = accepted()
    for change, reason in [
        ({"claim": 2}, "no claim 2"),
        ({"row": 12}, "has 12 rows"),
        ({"row": 0, "contributor": ACCOUNTS[7][0]}, "has no rows in the data"),
    ]:
        assert reason in chain.refusal(8, dataclasses.replace(ROW, **change))  # type: ignore[arg-type]
    assert chain.act(8, ROW).status == 1
    assert "still vesting" in chain.refusal(7, ROW)
    with pytest.raises(MalformedAction):
        dataclasses.replace(SHARE, row=1).check()


def test_a_challenger_must_afford_the_bond() -> None:
    assert "challenger's bond" in accepted(bond=10**30).refusal(8, ROW)


def test_the_bond_of_a_claim_grows_with_its_fee() -> None:
    chain = Harness(claim_bond=1, claim_bond_ppm=200_000)
    chain.publish()
    epoch = chain.settle()
    chain.close_epoch()
    number = chain.claim(epoch, {1: 1_000_000})
    assert int(chain.query("get_claim", number)["bond"], 16) == FEE // 5
    assert split_exact(FEE, [1, 4])[0] == FEE // 5


def test_who_stands_by_a_claim_that_is_undone_is_slashed_and_nobody_else() -> None:
    chain = accepted(seconds=500)
    stakes = [v["stake"] for v in chain.query("list_validators")]
    assert chain.act(8, ROW).status == 1
    say(chain, "no", 3)
    assert run(chain) == "upheld"
    verdicts = {v["validator"]: v["verdict"] for v in chain.query("get_verdicts", 1)}
    lost = {
        v["address"]: int(before, 16) - int(v["stake"], 16)
        for v, before in zip(chain.query("list_validators"), stakes, strict=True)
    }
    stood_by = "0x" + chain.addresses[3].hex()
    assert verdicts[stood_by] == "yes"
    assert lost == {address: 10 * OPEN // 100 if address == stood_by else 0 for address in lost}


def test_who_signs_twice_while_its_false_verdict_is_judged_answers_for_both() -> None:
    chain = accepted(seconds=500, slash_verdict=200_000)
    assert chain.act(8, ROW).status == 1
    say(chain, "no", 3)
    while chain.query("get_claim", 1)["status"] != "reveal":
        chain.block()
    chain.block()
    chain.prove_double_sign(chain.addresses[3], chain.app.head().number)
    assert run(chain) == "upheld"
    stakes = {v["address"]: int(v["stake"], 16) for v in chain.query("list_validators")}
    assert stakes["0x" + chain.addresses[3].hex()] == 10 * OPEN * 95 // 100 * 80 // 100


def test_stake_that_leaves_while_its_validator_stands_by_a_false_claim_is_slashed_as_well() -> None:
    chain = accepted(seconds=500)
    address = "0x" + chain.addresses[3].hex()
    named = next(v["operator"] for v in chain.query("list_validators") if v["address"] == address)
    operator = Address(bytes.fromhex(named[2:]))
    for sender in (2, 4):
        assert chain.act(sender, StakeDelegate(operator, 4 * OPEN)).status == 1
    assert chain.act(4, StakeUndelegate(operator)).status == 1
    assert chain.act(8, ROW).status == 1
    assert electorate(chain.state, 1).power == 44
    assert chain.act(2, StakeUndelegate(operator)).status == 1
    say(chain, "no", 3)
    assert run(chain) == "upheld"
    assert unbonding(chain, 2) == 4 * OPEN * 99 // 100
    assert unbonding(chain, 4) == 4 * OPEN, "what left before the challenge has no part in it"


def unbonding(chain: Harness, account: int) -> int:
    """Wei on their way back to an account."""
    found = chain.query("get_delegations", ACCOUNTS[account][0])
    return sum(int(entry["amount"], 16) for d in found for entry in d["unbonding"])

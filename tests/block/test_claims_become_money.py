"""From settled answers to OPEN: what a claim does to the money of everybody, for each way it can end."""

from __future__ import annotations

import dataclasses

import pytest
from harness import ACCOUNTS, PRICE, Harness
from stakes import owed

from openledger.abci_app.modules.accounts import balance
from openledger.abci_app.modules.attribution.records import CLAIMS, ELECTORATES, ESCROW, LAPSED, Electorate
from openledger.abci_app.modules.attribution.voting import Outcome
from openledger.abci_app.modules.rewards.payout import settle
from openledger.primitives.amounts import PPM, split_exact
from openledger.primitives.types import ATTRIBUTION_ADDRESS, GOVERNANCE_ADDRESS, STAKING_ADDRESS
from openledger.state.overlay import Overlay

SHARES = {1: 500_000, 2: 300_000, 3: 100_000}
FEE = 3 * PRICE


def earned(chain: Harness, account: int) -> tuple[int, int]:
    view = chain.query("get_rewards", ACCOUNTS[account][0])
    return int(view["fees"], 16), int(view["minted"], 16)


def open_claim(chain: Harness, shares: dict[int, int] | None = None, unattributed: int = 100_000) -> int:
    chain.publish()
    epoch = chain.settle()
    chain.close_epoch()
    return chain.claim(epoch, shares or SHARES, unattributed)


def test_an_accepted_claim_pays_every_wei_of_the_fee_as_the_split_says(chain: Harness) -> None:
    number = open_claim(chain)
    pool, burned = chain.balance(GOVERNANCE_ADDRESS), int(chain.query("get_supply")["burned"], 16)
    assert chain.run_claim(number) == "accepted"
    claim = chain.query("get_claim", number)
    assert int(claim["fee"], 16) == FEE
    to_contributors, to_owner, to_stakers, to_pool, to_burn = split_exact(FEE, (5000, 2000, 1500, 1000, 500))
    weights = [SHARES[i] for i in sorted(SHARES, key=lambda i: ACCOUNTS[i][0])] + [100_000]
    parts = split_exact(to_contributors, weights)
    for account, part in zip(sorted(SHARES, key=lambda i: ACCOUNTS[i][0]), parts, strict=False):
        assert earned(chain, account)[0] == part
    assert earned(chain, 4)[0] == to_owner
    staked = to_stakers + int(claim["workFee"], 16)
    assert staked - 1 <= earned(chain, 9)[0] <= staked, "the part of its stake is rounded down"
    assert chain.balance(STAKING_ADDRESS) == owed(chain.state)
    assert chain.balance(GOVERNANCE_ADDRESS) - pool == to_pool + parts[-1]
    assert int(chain.query("get_supply")["burned"], 16) - burned >= to_burn


def test_open_is_minted_at_the_close_of_the_epoch_and_only_for_what_was_attributed(chain: Harness) -> None:
    number = open_claim(chain)
    chain.run_claim(number)
    chain.block(5)
    _, _, _, to_pool, to_burn = split_exact(FEE, (5000, 2000, 1500, 1000, 500))
    wished = 900_000 * (to_pool + to_burn) // PPM * 900_000 // PPM
    assert int(chain.query("get_claim", number)["minted"], 16) == wished
    assert int(chain.query("get_supply")["minted"], 16) == wished
    assert sum(earned(chain, i)[1] for i in (1, 2, 3)) == wished
    assert earned(chain, 4)[1] == 0


def test_the_mint_of_an_epoch_never_exceeds_its_schedule() -> None:
    chain = Harness(mint_per_epoch=1000)
    number = open_claim(chain)
    chain.run_claim(number)
    chain.block(5)
    assert int(chain.query("get_supply")["minted"], 16) == 1000


def test_a_base_that_is_not_allow_listed_earns_fees_but_no_mint(chain: Harness) -> None:
    chain.publish(base="somebody/else")
    epoch = chain.settle()
    chain.close_epoch()
    number = chain.claim(epoch, SHARES, 100_000)
    assert chain.run_claim(number) == "accepted"
    chain.block(6)
    assert earned(chain, 1)[0] > 0
    assert int(chain.query("get_supply")["minted"], 16) == 0


def test_a_refused_claim_loses_its_bond_and_the_consumers_get_their_money_back(chain: Harness) -> None:
    number = open_claim(chain)
    chain.oracles[0].mode = "no"
    consumer, burned = chain.balance(ACCOUNTS[5][0]), int(chain.query("get_supply")["burned"], 16)
    assert chain.run_claim(number) == "refused"
    assert chain.balance(ACCOUNTS[5][0]) == consumer + FEE
    bond = int(chain.query("get_claim", number)["bond"], 16)
    assert int(chain.query("get_supply")["burned"], 16) == burned + bond
    assert earned(chain, 1) == (0, 0)
    assert chain.query("get_verdicts", number)[0]["reason"] == "a share is wrong"


def test_where_nobody_may_vote_no_wei_stays_behind_in_the_escrow(chain: Harness) -> None:
    number = open_claim(chain)
    state = Overlay(chain.state)
    ELECTORATES.put(state, Electorate(()), number)
    claim = dataclasses.replace(CLAIMS.must(state, number), status=LAPSED)
    held, pool = balance(state, ESCROW), balance(state, GOVERNANCE_ADDRESS)
    settle(state, chain.app._context(), [Outcome(number, claim)])
    to_contributors, to_owner, to_stakers, to_pool, _ = split_exact(FEE, (5000, 2000, 1500, 1000, 500))
    assert held - balance(state, ESCROW) == claim.fee + claim.bond + claim.work_fee - to_owner
    assert balance(state, GOVERNANCE_ADDRESS) - pool == to_contributors + to_stakers + to_pool + claim.work_fee


def test_silence_gets_one_retry_and_then_the_contributors_part_goes_to_the_pool(chain: Harness) -> None:
    number = open_claim(chain)
    chain.oracles[0].mode = "silent"
    pool = chain.balance(GOVERNANCE_ADDRESS)
    chain.block(61)
    assert (chain.query("get_claim", number)["status"], chain.query("get_claim", number)["attempt"]) == ("pending", 1)
    operator = chain.balance(ACCOUNTS[4][0])
    chain.block(61)
    claim = chain.query("get_claim", number)
    assert claim["status"] == "lapsed"
    to_contributors, to_owner, _, to_pool, _ = split_exact(FEE, (5000, 2000, 1500, 1000, 500))
    assert chain.balance(GOVERNANCE_ADDRESS) - pool == to_pool + to_contributors
    assert chain.balance(ACCOUNTS[4][0]) - operator == int(claim["bond"], 16) * 9 // 10
    assert earned(chain, 4)[0] == to_owner
    assert earned(chain, 1) == (0, 0)


def test_a_claim_that_failed_in_one_attempt_is_still_accepted_in_the_next(chain: Harness) -> None:
    number = open_claim(chain)
    chain.oracles[0].mode = "silent"
    chain.block(61)
    chain.oracles[0].mode = "yes"
    assert chain.run_claim(number) == "accepted"


def test_a_blind_yes_does_not_count(chain: Harness) -> None:
    number = open_claim(chain)
    chain.oracles[0].mode = "blind"
    for _ in range(7):
        chain.block()
    assert chain.query("get_verdicts", number)[0]["verdict"] in ("void", "none")
    assert chain.query("get_claim", number)["attempt"] == 1


def test_copying_a_neighbours_commitment_and_reveal_earns_nothing() -> None:
    chain = Harness(powers=(10, 10, 10, 10))
    number = open_claim(chain)
    chain.oracles[3].mode, chain.oracles[3].neighbour = "copy", chain.oracles[0]
    assert chain.run_claim(number) == "accepted"
    verdicts = {v["validator"]: v["verdict"] for v in chain.query("get_verdicts", number)}
    assert verdicts["0x" + chain.addresses[3].hex()] == "void"
    assert sorted(verdicts.values()) == ["void", "yes", "yes", "yes"]
    assert earned(chain, 6) == (0, 0)
    assert earned(chain, 7)[0] > 0


@pytest.mark.parametrize(
    ("powers", "status"), [((10, 10, 10), "lapsed"), ((11, 10, 10), "accepted"), ((9, 9, 9), "lapsed")]
)
def test_two_thirds_exactly_are_not_enough(powers: tuple[int, ...], status: str) -> None:
    chain = Harness(powers=powers)
    number = open_claim(chain)
    chain.oracles[2].mode = "silent"
    assert chain.run_claim(number, seconds=30) == status


def test_a_minority_of_no_does_not_refuse() -> None:
    chain = Harness(powers=(10, 10, 10, 1))
    number = open_claim(chain)
    chain.oracles[3].mode = "no"
    assert chain.run_claim(number) == "accepted"


def test_power_is_fixed_when_the_claim_opens_and_fees_wait_in_escrow_until_the_verdict(chain: Harness) -> None:
    number = open_claim(chain)
    claim = chain.query("get_claim", number)
    held = FEE + int(claim["bond"], 16) + int(claim["workFee"], 16)
    assert chain.balance(ATTRIBUTION_ADDRESS) == held
    assert [v["power"] for v in chain.query("get_verdicts", number)] == [10]
    assert earned(chain, 1) == (0, 0)
    assert claim["status"] == "pending"


def test_rewards_explain_themselves_down_to_the_claim(chain: Harness) -> None:
    number = open_claim(chain)
    chain.run_claim(number)
    chain.block(6)
    view = chain.query("explain_reward", ACCOUNTS[2][0])
    assert [c["claim"] for c in view["claims"]] == [number]
    assert view["claims"][0]["share"] == SHARES[2]
    assert int(view["claims"][0]["fees"], 16) + int(view["claims"][0]["minted"], 16) == int(view["available"], 16)

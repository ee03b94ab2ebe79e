"""attribution.challenge_index: a row of a published index is looked at before any claim; the loser pays."""

from __future__ import annotations

import dataclasses

import pytest
from challenges import say
from harness import ACCOUNTS, PRICE, Harness

from openledger.abci_app.due import is_due
from openledger.abci_app.modules.attribution.challenge import AttributionChallenge
from openledger.abci_app.modules.attribution.challenge_index import AttributionChallengeIndex
from openledger.abci_app.modules.attribution.index_challenges import INDEX_CHALLENGES
from openledger.abci_app.modules.attribution.records import CLAIM_COUNT, ESCROW, OPEN, electorate
from openledger.abci_app.modules.models.close import InferenceClose
from openledger.abci_app.modules.models.open import InferenceOpen
from openledger.abci_app.modules.models.records import ESCROW as DEPOSITS
from openledger.abci_app.modules.models.records import SESSION_COUNT
from openledger.abci_app.modules.models.retire import ModelRetire
from openledger.abci_app.modules.staking.undelegate import StakeUndelegate
from openledger.primitives.amounts import OPEN as COIN
from openledger.primitives.attribution import EVERY_SEGMENT
from openledger.primitives.errors import MalformedAction
from openledger.primitives.types import ZERO_ADDRESS

ROW = AttributionChallengeIndex(1, 7)
BOND, MODEL_BOND = 5 * COIN, 30 * COIN
SHARES = {1: 400_000, 2: 300_000, 3: 200_000}


def published(**params: int) -> Harness:
    chain = Harness(powers=(10, 10, 10, 10), challenge_bond=BOND, model_bond=MODEL_BOND, **params)
    chain.publish()
    for _ in range(5):
        chain.block()
    return chain


def run(chain: Harness, number: int, seconds: int = 1) -> str:
    for _ in range(30):
        if OPEN.get(chain.state, number) is None:
            break
        chain.block(seconds)
    return str(chain.query("get_index_challenge", number)["outcome"])


def burned(chain: Harness) -> int:
    return int(chain.query("get_supply")["burned"], 16)


def challenged(chain: Harness, action: AttributionChallengeIndex = ROW) -> int:
    """Account 8 challenges; the number."""
    assert chain.act(8, action).status == 1
    return CLAIM_COUNT.get(chain.state)


def test_the_publisher_bonds_and_has_it_back_some_time_after_retiring() -> None:
    chain = published(unbonding_seconds=60)
    assert int(chain.query("get_model", 1)["bond"], 16) == chain.balance(DEPOSITS) == MODEL_BOND
    assert chain.act(4, ModelRetire(1)).status == 1
    before = chain.balance(ACCOUNTS[4][0])
    chain.block(30)
    number = challenged(chain)
    say(chain, "silent")
    chain.block(31)
    assert chain.balance(ACCOUNTS[4][0]) == before, "a challenge runs"
    say(chain, "yes")
    assert run(chain, number) == "dismissed"
    assert not is_due(chain.state, chain.time + 1)
    assert is_due(chain.state, chain.time + 61), "a devnet makes the block by itself"
    chain.block(61)
    assert chain.balance(ACCOUNTS[4][0]) == before + MODEL_BOND
    assert (chain.balance(DEPOSITS), chain.query("get_model", 1)["bond"]) == (0, "0x0")


def test_an_upheld_challenge_refutes_the_model_and_halves_the_bond() -> None:
    chain = published()
    challenger, gone = chain.balance(ACCOUNTS[8][0]), burned(chain)
    number = challenged(chain)
    assert chain.query("attribution_job", number).named == ((7, EVERY_SEGMENT),)
    assert chain.query("attribution_job", number).again
    spent = challenger - BOND - chain.balance(ACCOUNTS[8][0])
    say(chain, "no")
    chain.block()
    assert {vote["named"] for vote in chain.query("get_verdicts", number)} == {None}, "nobody has shown a verdict"
    assert run(chain, number) == "upheld"
    assert [vote["named"] for vote in chain.query("get_verdicts", number)] == [{"row": 7}] * 4
    model = chain.query("get_model", 1)
    assert (model["bond"], model["refuted"], model["mints"]) == ("0x0", number, False)
    assert chain.balance(ACCOUNTS[8][0]) == challenger - spent + MODEL_BOND // 2
    assert burned(chain) >= gone + MODEL_BOND // 2
    assert (chain.balance(ESCROW), chain.balance(DEPOSITS)) == (0, 0)
    assert "was refuted" in chain.refusal(5, InferenceOpen(1, COIN, chain.time + 100))
    assert "was refuted" in chain.refusal(8, dataclasses.replace(ROW, row=1))


def test_a_dismissed_challenge_burns_its_bond_and_the_model_stands() -> None:
    chain = published()
    number = challenged(chain, AttributionChallengeIndex(1, 3, 2))
    assert chain.query("attribution_job", number).named == ((3, 2),)
    before, gone = chain.balance(ACCOUNTS[8][0]), burned(chain)
    assert run(chain, number) == "dismissed"
    assert chain.balance(ACCOUNTS[8][0]) == before
    assert burned(chain) == gone + BOND
    assert chain.query("get_model", 1)["refuted"] == 0
    epoch = chain.settle()
    chain.close_epoch()
    assert chain.run_claim(chain.claim(epoch, SHARES, 100_000)) == "accepted"


def test_a_challenge_without_a_verdict_costs_the_challenger_a_tenth_and_the_publisher_nothing() -> None:
    chain = published()
    say(chain, "silent")
    number = challenged(chain)
    before, gone = chain.balance(ACCOUNTS[8][0]), burned(chain)
    assert run(chain, number, 70) == "dismissed"
    assert chain.query("get_index_challenge", number)["status"] == "lapsed"
    assert chain.balance(ACCOUNTS[8][0]) == before + BOND - BOND // 10
    assert burned(chain) == gone + BOND // 10
    assert chain.balance(DEPOSITS) == MODEL_BOND


def test_all_that_is_under_way_about_a_refuted_model_goes_back_to_its_consumers() -> None:
    """A claim in its vote, one under challenge, settled answers that nobody has claimed, and an open session."""
    chain = published(epoch_seconds=30, challenge_seconds=5_000)
    consumer = chain.balance(ACCOUNTS[5][0])
    first = chain.settle(answers=3)
    chain.close_epoch()
    accepted = chain.claim(first, SHARES, 100_000)
    assert chain.run_claim(accepted) == "accepted"
    second = chain.settle(answers=4)
    chain.close_epoch()
    pending = chain.claim(second, SHARES, 100_000)
    say(chain, "silent")
    assert chain.act(8, AttributionChallenge(accepted, 7, ZERO_ADDRESS)).status == 1
    chain.settle(answers=2)
    gas = consumer - chain.balance(ACCOUNTS[5][0]) - 3 * COIN
    bond = int(chain.query("get_claim", pending)["bond"], 16)
    number = challenged(chain)
    other = challenged(chain, dataclasses.replace(ROW, row=8))
    challenger, claimant = chain.balance(ACCOUNTS[8][0]), chain.balance(ACCOUNTS[4][0])
    speak_of(chain, number)
    assert run(chain, number) == "upheld"
    assert is_due(chain.state, chain.time), "a devnet makes the block by itself"
    chain.block()
    assert chain.query("get_index_challenge", other)["outcome"] == "moot"
    assert [chain.query("get_claim", n)["status"] for n in (accepted, pending)] == ["refused"] * 2
    assert chain.query("get_claim", accepted)["challenge"]["outcome"] == "upheld"
    chain.block()
    session = SESSION_COUNT.get(chain.state)
    for one in range(1, session + 1):
        assert chain.act(5, InferenceClose(one)).status == 1
    back = chain.balance(ACCOUNTS[5][0])
    kept = 3 * PRICE * 15 // 100  # of the accepted claim pool's and burned part are gone
    assert consumer - gas - kept - 3 * COIN // 100 <= back <= consumer - gas - kept
    assert chain.balance(ACCOUNTS[8][0]) == challenger + 3 * BOND + MODEL_BOND // 2 + bond // 2
    assert chain.balance(ACCOUNTS[4][0]) == claimant
    rewards = [chain.query("get_rewards", ACCOUNTS[n][0]) for n in (6, 7, 8, 9)]
    commission = sum(int(r["fees"], 16) - int(r["staking"], 16) for r in rewards)  # of the verification fee
    assert (chain.balance(ESCROW), chain.balance(DEPOSITS)) == (commission, 0)
    assert "was refuted" in chain.refusal(4, chain.voucher(session, 3))


def test_however_much_is_under_way_about_a_refuted_model_a_block_ends_no_more_of_it_than_of_other_claims() -> None:
    chain = published(max_open_claims_per_block=2, max_settlements=1, epoch_seconds=30, work_price=0)
    for _ in range(5):
        first = chain.settle(answers=1)
    chain.close_epoch()
    say(chain, "silent")
    number = challenged(chain)
    claims = [chain.claim(first, SHARES, 100_000) for _ in range(5)]
    other = challenged(chain, dataclasses.replace(ROW, row=8))
    speak_of(chain, number)
    assert run(chain, number) == "upheld"
    blocks = 0
    while ended := [c for c in (*claims, other) if OPEN.get(chain.state, c) is not None]:
        chain.block()
        assert 0 < len(ended) - len([c for c in ended if OPEN.get(chain.state, c) is not None]) <= 2
        blocks += 1
    assert blocks >= 3, "all ended at once"
    assert [chain.query("get_claim", n)["status"] for n in claims] == ["refused"] * 5
    assert chain.query("get_index_challenge", other)["outcome"] == "moot"
    assert (chain.balance(ESCROW), chain.balance(DEPOSITS)) == (0, 5 * (COIN - PRICE))


def speak_of(chain: Harness, number: int) -> None:
    """All say no about this one, and nothing about others."""
    for oracle in chain.oracles:
        oracle.mode = "no"
        told = oracle._message
        oracle._message = lambda state, n, told=told: told(state, n) if n == number else None  # type: ignore[method-assign]


def test_who_says_yes_to_a_false_row_is_slashed_and_who_is_new_decides() -> None:
    chain = published()
    stakes = {v["address"]: int(v["stake"], 16) for v in chain.query("list_validators")}
    number = challenged(chain)
    assert len(electorate(chain.state, number).members) == 4
    say(chain, "no", 3)
    assert run(chain, number) == "upheld"
    stood = "0x" + chain.addresses[3].hex()
    lost = {v["address"]: stakes[v["address"]] - int(v["stake"], 16) for v in chain.query("list_validators")}
    assert lost == {address: 10 * COIN // 100 if address == stood else 0 for address in stakes}
    assert {v["verdict"] for v in chain.query("get_verdicts", number)} == {"yes", "no"}


@pytest.mark.parametrize("same", [True, False])
def test_who_has_dismissed_a_challenge_of_a_spot_and_left_answers_when_the_next_of_it_is_upheld(same: bool) -> None:
    chain = published(unbonding_seconds=9_000)
    assert chain.join(2, 200 * COIN, b"\x77" * 32).status == 1
    for _ in range(4):
        chain.block()
    say(chain, "no")
    chain.oracles[-1].mode = "yes"
    assert run(chain, challenged(chain)) == "dismissed"
    assert chain.act(2, StakeUndelegate(ACCOUNTS[2][0])).status == 1
    for _ in range(3):
        chain.block()
    stakes = chain.query("list_validators")
    assert run(chain, challenged(chain, dataclasses.replace(ROW, segment=0 if same else 1)), 10) == "upheld"
    (waiting,) = chain.query("get_delegations", ACCOUNTS[2][0])[0]["unbonding"]
    assert int(waiting["amount"], 16) == 200 * COIN * (99 if same else 100) // 100
    assert [v["stake"] for v in chain.query("list_validators")] == [v["stake"] for v in stakes]


def test_claims_and_challenges_of_indexes_share_their_numbers() -> None:
    chain = published()
    number = challenged(chain)
    assert run(chain, number) == "dismissed"
    epoch = chain.settle()
    chain.close_epoch()
    claim = chain.claim(epoch, SHARES, 100_000)
    assert claim == number + 1
    assert chain.run_claim(claim) == "accepted"
    assert [c["id"] for c in chain.query("list_claims")] == [claim]
    assert [c["id"] for c in chain.query("list_index_challenges")] == [number]
    assert INDEX_CHALLENGES.get(chain.state, claim) is None


def test_refusals() -> None:
    chain = published()
    for change, reason in [({"model": 2}, "no model 2"), ({"row": 12}, "has 12 rows")]:
        assert reason in chain.refusal(8, dataclasses.replace(ROW, **change))
    number = challenged(chain)
    assert f"challenge {number} is about this row already" in chain.refusal(7, ROW)
    assert chain.act(7, dataclasses.replace(ROW, segment=1)).status == 1
    with pytest.raises(MalformedAction):
        AttributionChallengeIndex(1, 0, EVERY_SEGMENT).check()
    poor = Harness(challenge_bond=10**30)
    poor.publish()
    assert "challenger's bond" in poor.refusal(8, ROW)


def test_who_stands_by_a_false_claim_is_slashed_also_where_its_model_falls_in_the_same_block() -> None:
    chain = published(challenge_seconds=5_000)
    first = chain.settle()
    chain.close_epoch()
    claim = chain.claim(first, SHARES, 100_000)
    assert chain.run_claim(claim) == "accepted"
    stakes = {v["address"]: int(v["stake"], 16) for v in chain.query("list_validators")}
    for sender, action in ((7, AttributionChallenge(claim, 7, ZERO_ADDRESS)), (8, ROW)):
        assert chain.submit(chain.native(sender, action)).code == 0
    chain.block()
    number = CLAIM_COUNT.get(chain.state)
    say(chain, "no", 3)
    assert run(chain, number) == "upheld"
    assert chain.query("get_claim", claim)["closed"] == chain.query("get_index_challenge", number)["closed"]
    stood, ninetynine = "0x" + chain.addresses[3].hex(), 10 * COIN * 99 // 100
    assert {v["address"]: int(v["stake"], 16) for v in chain.query("list_validators")} == stakes | {
        stood: ninetynine * 99 // 100
    }


def test_half_of_a_vesting_claims_bond_is_whose_challenge_has_refuted_its_model_not_any_strangers() -> None:
    chain = published(challenge_seconds=5_000)
    first = chain.settle()
    chain.close_epoch()
    claim = chain.claim(first, SHARES, 100_000)
    bond = int(chain.query("get_claim", claim)["bond"], 16)
    assert chain.run_claim(claim) == "accepted"
    number = challenged(chain)
    say(chain, "no")
    assert run(chain, number) == "upheld"
    consumer, finder, stranger, gone = (*(chain.balance(ACCOUNTS[n][0]) for n in (5, 8, 7)), burned(chain))
    receipt = chain.act(7, AttributionChallenge(claim, 0, ZERO_ADDRESS))
    gas = receipt.gas_used * receipt.effective_gas_price
    chain.block()
    assert chain.query("get_claim", claim)["challenge"]["outcome"] == "upheld"
    assert chain.balance(ACCOUNTS[7][0]) == stranger - gas, "he has found nothing"
    assert chain.balance(ACCOUNTS[8][0]) == finder + bond // 2
    assert chain.balance(ACCOUNTS[5][0]) > consumer
    assert burned(chain) >= gone + bond - bond // 2

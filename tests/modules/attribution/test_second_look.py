"""A challenge is decided by the validators of the height at which it opens; money follows the first electorate."""

from __future__ import annotations

from typing import Any

import pytest
from challenges import BOND, ROW, SHARE, accepted, outcome, run, say
from harness import ACCOUNTS, Harness

from openledger.abci_app.modules.attribution.challenge import AttributionChallenge
from openledger.abci_app.modules.attribution.records import ELECTORATES, electorate
from openledger.abci_app.modules.staking.edit import ValidatorEdit
from openledger.abci_app.modules.staking.undelegate import StakeUndelegate
from openledger.primitives.amounts import OPEN
from openledger.primitives.attribution import NAMED_ROW, NAMED_SHARE
from openledger.primitives.types import ZERO_ADDRESS, Address

NEWCOMER = b"\x77" * 32


def renewed(mode: str) -> Harness:
    """After the claim a validator has come with five sixths of all power."""
    chain = accepted(seconds=500)
    assert chain.join(2, 200 * OPEN, NEWCOMER).status == 1
    for _ in range(4):
        chain.block()
    chain.oracles[-1].mode = mode
    chain.oracles[-1].scores = chain.oracles[0].scores
    return chain


def stakes(chain: Harness) -> dict[str, int]:
    return {v["address"]: int(v["stake"], 16) for v in chain.query("list_validators")}


@pytest.mark.parametrize(("mode", "end"), [("no", "upheld"), ("yes", "dismissed")])
def test_who_has_come_since_decides_a_challenge_and_needs_no_promise_from_before_the_claim(mode: str, end: str) -> None:
    chain = renewed(mode)
    say(chain, "yes" if mode == "no" else "no")
    assert chain.act(8, ROW).status == 1
    assert electorate(chain.state, 1).power == 240
    assert ELECTORATES.must(chain.state, 1).power == 40
    assert run(chain) == end
    said: list[dict[str, Any]] = chain.query("get_verdicts", 1)
    assert [v["power"] for v in said if v["verdict"] == mode] == [200]


def test_powers_are_those_of_the_challenge_whatever_stake_does_until_it_is_decided() -> None:
    chain = renewed("silent")
    assert chain.act(8, ROW).status == 1
    before = electorate(chain.state, 1)
    chain.prove_double_sign(chain.addresses[3], chain.app.head().number)
    chain.block()
    chain.block()
    assert electorate(chain.state, 1) == before
    chain.oracles[-1].mode = "no"
    assert run(chain, 10) == "upheld"


def test_who_voted_at_first_is_paid_and_who_came_later_is_not() -> None:
    chain = renewed("yes")
    waiting = {v["validator"]: int(v["pot"], 16) for v in chain.query("get_verdicts", 1)}
    assert len(waiting) == 4
    assert all(waiting.values())
    assert chain.act(8, ROW).status == 1
    shown = {v["validator"]: int(v["pot"], 16) for v in chain.query("get_verdicts", 1)}
    newcomer = "0x" + chain.oracles[-1].address.hex()
    assert shown == waiting | {newcomer: 0}
    assert run(chain) == "dismissed"
    chain.block(501)
    assert sum(int(v["pot"], 16) for v in chain.query("get_verdicts", 1)) == 0
    earned = [int(chain.query("get_rewards", ACCOUNTS[n][0])["fees"], 16) for n in (9, 8, 7, 6)]
    assert earned[0] > 0
    record = next(v for v in chain.query("list_validators") if v["address"] == newcomer)
    assert int(record["stake"], 16) == 200 * OPEN


@pytest.mark.parametrize("same_block", [False, True])
def test_a_tombstoned_validator_has_no_vote_in_a_challenge_opened_from_the_block_of_its_proof_on(
    same_block: bool,
) -> None:
    chain = accepted(seconds=500)
    chain.prove_double_sign(chain.addresses[3], chain.app.head().number)
    if not same_block:
        chain.block()
    assert chain.act(8, ROW).status == 1
    assert {m.address for m in electorate(chain.state, 1).members} == set(chain.addresses[:3])
    assert run(chain) == "dismissed"


@pytest.mark.parametrize(("named", "slashed"), [(NAMED_SHARE, True), (NAMED_ROW, False)])
def test_who_said_yes_to_wrong_shares_and_has_left_the_vote_since_is_slashed(named: int, slashed: bool) -> None:
    """Every verification compares all shares; a wrong row may not have been drawn. Who says no now is spared."""
    chain = accepted(seconds=500)
    operator = chain.query("list_validators")
    gone = "0x" + chain.addresses[3].hex()
    name = next(v["name"] for v in operator if v["address"] == gone)
    assert chain.act(6, ValidatorEdit(name, False)).status == 1
    before = stakes(chain)
    action: AttributionChallenge = SHARE if named == NAMED_SHARE else ROW
    assert chain.act(8, action).status == 1
    assert len(electorate(chain.state, 1).members) == 3
    for oracle in chain.oracles[:3]:
        oracle.accuses = (named, 0 if named == NAMED_SHARE else 7, action.contributor)
    say(chain, "no", 3)
    assert run(chain) == "upheld"
    lost = {address: stake - stakes(chain)[address] for address, stake in before.items()}
    assert lost == {address: 10 * OPEN // 100 if slashed and address == gone else 0 for address in before}


@pytest.mark.parametrize("again", ["silent", "yes"])
def test_stake_that_left_between_a_claims_opening_and_a_false_yes_answers_for_it(again: str) -> None:
    """It was the power of that yes: powers are those of the opening. What stays is the least that keeps a voice."""
    chain = Harness(
        powers=(10, 10, 10, 10), challenge_seconds=500, challenge_bond=BOND, min_self_bond=OPEN, unbonding_seconds=9_000
    )
    chain.publish()
    epoch = chain.settle()
    chain.close_epoch()
    number = chain.claim(epoch, {1: 400_000, 2: 300_000, 3: 200_000}, 100_000)
    assert chain.act(6, StakeUndelegate(ACCOUNTS[6][0], 9 * OPEN)).status == 1
    assert chain.run_claim(number) == "accepted"
    assert [v["power"] for v in chain.query("get_verdicts", 1) if v["verdict"] == "yes"] == [10] * 4
    assert chain.act(8, SHARE).status == 1
    for oracle in chain.oracles[:3]:
        oracle.accuses = (NAMED_SHARE, 0, SHARE.contributor)
    say(chain, "no", 3)
    chain.oracles[3].mode = again
    assert run(chain, 10) == "upheld"
    (waiting,) = chain.query("get_delegations", ACCOUNTS[6][0])[0]["unbonding"]
    assert int(waiting["amount"], 16) == 9 * OPEN * 99 // 100
    assert stakes(chain)["0x" + chain.addresses[3].hex()] == OPEN * 99 // 100


@pytest.mark.parametrize(
    ("again", "named", "slashed"),
    [
        (SHARE, (NAMED_SHARE, 0, SHARE.contributor), True),
        (ROW, (NAMED_ROW, 7, ZERO_ADDRESS), True),
        (ROW, (NAMED_ROW, 6, ZERO_ADDRESS), False),
        (AttributionChallenge(1, 6, ZERO_ADDRESS), (NAMED_ROW, 6, ZERO_ADDRESS), False),
    ],
)
def test_who_has_dismissed_a_challenge_and_left_answers_when_the_same_is_upheld_later(
    again: AttributionChallenge, named: tuple[int, int, Address], slashed: bool
) -> None:
    """Power that is bought for one challenge waits out the unbonding time, and could not be slashed in it. Who was not
    shown the row that is wrong has nothing to answer for."""
    chain = accepted(seconds=500, unbonding_seconds=9_000)
    assert chain.join(2, 200 * OPEN, NEWCOMER).status == 1
    for _ in range(4):
        chain.block()
    chain.oracles[-1].scores = chain.oracles[0].scores
    chain.oracles[-1].mode = "yes"
    say(chain, "no")
    assert chain.act(8, ROW).status == 1
    assert run(chain) == "dismissed"
    assert chain.act(2, StakeUndelegate(ACCOUNTS[2][0])).status == 1
    for _ in range(3):
        chain.block()
    assert chain.act(8, again).status == 1
    assert len(electorate(chain.state, 1).members) == 4
    for oracle in chain.oracles[:4]:
        oracle.accuses = named
    before = stakes(chain)
    assert run(chain, 10) == "upheld"
    (waiting,) = chain.query("get_delegations", ACCOUNTS[2][0])[0]["unbonding"]
    assert int(waiting["amount"], 16) == 200 * OPEN * (99 if slashed else 100) // 100
    assert stakes(chain) == before


def test_each_challenge_asks_those_of_its_own_height() -> None:
    chain = accepted(seconds=500)
    assert chain.act(8, ROW).status == 1
    assert run(chain) == "dismissed"
    assert chain.join(2, 200 * OPEN, NEWCOMER).status == 1
    for _ in range(4):
        chain.block()
    assert chain.act(8, ROW).status == 1
    assert outcome(chain) == "open"
    assert len(electorate(chain.state, 1).members) == 5
    chain.oracles[-1].scores = chain.oracles[0].scores
    chain.oracles[-1].mode = "no"
    assert run(chain) == "upheld"

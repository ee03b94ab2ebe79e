"""What is challenged is told to the operators whom it concerns, and to nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from challenges import say
from harness import ACCOUNTS, Harness

from openledger.abci_app.modules.attribution.challenge import AttributionChallenge
from openledger.abci_app.modules.attribution.challenge_index import AttributionChallengeIndex
from openledger.node.checks import OK, WARN
from openledger.node.doctor_votes import of_votes, votes
from openledger.node.open_votes import CLAIM, INDEX_CHALLENGE, SECOND_LOOK, open_votes
from openledger.primitives.amounts import OPEN as COIN
from openledger.primitives.types import ZERO_ADDRESS, to_checksum

SHARES = {1: 400_000, 2: 300_000, 3: 200_000}
OWNER, STRANGER = to_checksum(ACCOUNTS[4][0]), to_checksum(ACCOUNTS[7][0])


def doubted() -> Harness:
    """An accepted claim under challenge, a claim that waits, and a challenge of the index."""
    chain = Harness(powers=(10, 10, 10, 10), challenge_bond=5 * COIN, epoch_seconds=30, challenge_seconds=5_000)
    chain.publish()
    chain.block()
    epoch = chain.settle(answers=3)
    chain.close_epoch()
    first = chain.claim(epoch, SHARES, 100_000)
    assert chain.run_claim(first) == "accepted"
    epoch = chain.settle(answers=2)
    chain.close_epoch()
    chain.claim(epoch, SHARES, 100_000)
    say(chain, "silent")
    assert chain.act(8, AttributionChallenge(first, 7, ZERO_ADDRESS)).status == 1
    assert chain.act(8, AttributionChallengeIndex(1, 9, 2)).status == 1
    chain.block()
    return chain


def test_a_node_tells_a_claim_from_a_second_look_and_from_a_challenged_index() -> None:
    chain = doubted()
    told = {one["kind"]: one for one in open_votes(chain.state, chain.addresses[0])}
    assert told.keys() == {CLAIM, SECOND_LOOK, INDEX_CHALLENGE}
    assert "named" not in told[CLAIM]
    assert (told[SECOND_LOOK]["claim"], told[SECOND_LOOK]["named"]) == (1, {"row": 7})
    assert told[INDEX_CHALLENGE]["named"] == {"row": 9, "segment": 2}
    assert {one["of"] for one in told.values()} == {OWNER}
    assert {told[kind]["challenger"] for kind in (SECOND_LOOK, INDEX_CHALLENGE)} == {to_checksum(ACCOUNTS[8][0])}
    assert all(one["asked"] for one in told.values())
    assert not any(one["asked"] for one in open_votes(chain.state, bytes(20))), "a node without a validator"


def test_the_doctor_warns_whose_bond_is_at_stake_and_whose_blobs_are_missing() -> None:
    found = open_votes(doubted().state, bytes(20))
    assert of_votes(found, {STRANGER}) == []
    look, index = of_votes(found, {OWNER})
    assert (look.level, index.level) == (WARN, WARN)
    assert "second look at claim 1 (row 7)" in look.found
    assert "claimant's bond is at stake" in look.hint
    assert "publisher's bond is at stake" in index.hint
    assert "challenge 3 of the index of model 1 (row 9 segment 2)" in index.found


def test_the_doctor_says_what_the_validator_has_to_say_yet() -> None:
    asked: list[dict[str, Any]] = [one | {"asked": True} for one in open_votes(doubted().state, bytes(20))]
    (lacking, _), (held, _) = (of_votes([o | {"held": h} for o in asked], ()) for h in (False, True))
    assert (lacking.level, held.level) == (WARN, OK)
    assert "[blobs] peers" in lacking.hint
    assert "own verdict blobs held" in held.found
    (done, _) = of_votes([one | {"verdict": "no"} for one in asked], ())
    assert (done.level, "own verdict no" in done.found) == (OK, True)


def test_where_no_node_answers_the_doctor_says_nothing_of_challenges(tmp_path: Path) -> None:
    assert votes(tmp_path, "http://127.0.0.1:9") == []

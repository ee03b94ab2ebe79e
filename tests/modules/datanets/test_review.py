"""datanet.review and datanet.set_policy: what becomes of versions that reviewers must accept, and of the money."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from harness import ACCOUNTS, PRICE, Harness

from openledger.abci_app.action import BlockContext, intrinsic_gas
from openledger.abci_app.due import is_due
from openledger.abci_app.modules.datanets.appeals import PlaceChange, ReviewOverturn
from openledger.abci_app.modules.datanets.commit import DatanetCommit
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.datanets.promise import DatanetPromise
from openledger.abci_app.modules.datanets.records import Part
from openledger.abci_app.modules.datanets.review import DatanetReview
from openledger.abci_app.modules.datanets.reviews import CLOSED, ESCROW, MAX_PER_BLOCK
from openledger.abci_app.modules.datanets.set_policy import DatanetSetPolicy
from openledger.abci_app.modules.governance.effects import simulate
from openledger.abci_app.modules.governance.propose import GovPropose
from openledger.abci_app.modules.governance.records import FAILED, PASSED, Argument, must_proposal, params
from openledger.abci_app.modules.governance.vote import GovVote
from openledger.abci_app.modules.models.publish import ModelPublish
from openledger.abci_app.modules.models.records import DataRef
from openledger.genesis.params import Params
from openledger.genesis.presets import DEVNET_PARAMS
from openledger.primitives.amounts import OPEN
from openledger.primitives.attribution import promise_digest
from openledger.primitives.errors import AmountOutOfRange, MalformedAction, NotFound, ProposalRefused, WrongPhase
from openledger.primitives.fields import to_json
from openledger.primitives.types import ZERO_ADDRESS

H = bytes(32)
ALICE, BOB = ACCOUNTS[1][0], ACCOUNTS[2][0]
BOND, STAKE = 3 * OPEN, 2 * OPEN
REVIEWERS = tuple(sorted(ACCOUNTS[i][0] for i in (5, 6, 7)))
RULES: dict[str, Any] = {"review_quorum": 2, "bond": BOND, "stake": STAKE, "reviewers": REVIEWERS}
COMMIT = DatanetCommit(1, 0, H, 1, (Part(ALICE, b"\x01" * 32, 1),), bond=BOND)
YES, NO = DatanetReview(1, 1, True, "well written", STAKE), DatanetReview(1, 1, False, "not yours", STAKE)
CTX = BlockContext(100, 0, ZERO_ADDRESS, 1, DEVNET_PARAMS)
MODEL = ModelPublish("m", "openledger/tiny-v1", (DataRef(1, 1),), H, H, H, H, H, 1, "gradient-dot", 5, 4, 0, PRICE)


def make(**params: int) -> Harness:
    """A datanet with three reviewers, accounts 5, 6 and 7, two of whom decide; Alice's commit waits for them."""
    chain = Harness(**{"review_seconds": 100, "appeal_seconds": 500, **params})
    chain.act(0, DatanetCreate("d", policy="reviewed", **RULES))
    assert chain.act(1, COMMIT).status == 1
    return chain


@pytest.fixture
def net() -> Harness:
    return make()


def status(net: Harness, version: int = 1) -> str:
    found: str = net.query("get_commit", 1, version)["status"]
    return found


def head(net: Harness) -> int:
    return int(net.query("get_datanet", 1)["head"])


def wealth(net: Harness, *accounts: int) -> list[int]:
    return [net.balance(ACCOUNTS[i][0]) for i in accounts]


def burned(net: Harness) -> int:
    """Wei that closed reviews say they have burned."""
    blocks = [net.app.store.block(number) for number in range(1, net.app.head().number + 1)]
    logs = [log for block in blocks if block is not None for receipt in block.receipts for log in receipt.logs]
    return sum(int.from_bytes(log.data[32:64], "big") for log in logs if log.topics[0] == CLOSED.topic)


def end(net: Harness, version: int = 1) -> None:
    """Let the time of a review pass."""
    net.block(net.query("get_review", 1, version)["deadline"] - net.time)
    assert net.query("get_review", 1, version)["deadline"] == 0


def test_a_quorum_accepts_and_everybody_has_their_money_back_after_the_time_for_appeals(net: Harness) -> None:
    assert (status(net), head(net), net.balance(ESCROW)) == ("pending", 0, BOND)
    net.act(5, YES)
    net.act(6, NO)
    assert (status(net), head(net)) == ("pending", 0)
    net.act(7, YES)
    assert (status(net), head(net), net.balance(ESCROW)) == ("accepted", 1, BOND + 3 * STAKE)
    said = net.query("get_review", 1, 1)["opinions"]
    assert sorted((o["accept"], o["reason"]) for o in said) == [
        (False, "not yours"), (True, "well written"), (True, "well written"),
    ]  # fmt: skip
    before = wealth(net, 1, 5, 6, 7)
    assert not is_due(net.state, net.time + 499)
    assert is_due(net.state, net.time + 500)
    end(net)
    assert wealth(net, 1, 5, 6, 7) == [b + m for b, m in zip(before, (BOND, STAKE, STAKE, STAKE), strict=True)]
    assert (net.balance(ESCROW), burned(net)) == (0, 0)


def test_a_quorum_rejects_and_the_bond_burns(net: Harness) -> None:
    net.act(5, NO)
    net.act(6, NO)
    assert (status(net), head(net)) == ("rejected", 0)
    assert "rejected already" in net.refusal(7, YES)
    before = wealth(net, 1, 5, 6)
    end(net)
    assert wealth(net, 1, 5, 6) == [before[0], before[1] + STAKE, before[2] + STAKE]
    assert (net.balance(ESCROW), burned(net)) == (0, BOND)
    assert net.act(1, COMMIT).status == 1
    assert status(net, 2) == "pending"


def test_without_a_decision_it_expires_and_nobody_loses_anything(net: Harness) -> None:
    net.act(5, YES)
    net.act(6, NO)
    before = wealth(net, 1, 5, 6)
    deadline = net.query("get_review", 1, 1)["deadline"]
    late = net.native(7, YES)
    net.finalize((late,), seconds=deadline - net.time)
    assert (status(net), head(net)) == ("expired", 0)
    assert wealth(net, 1, 5, 6) == [before[0] + BOND, before[1] + STAKE, before[2] + STAKE]
    assert net.balance(ESCROW) == 0
    assert "expired already" in net.refusal(7, YES)


@pytest.mark.parametrize(
    ("sender", "change", "reason"),
    [
        (4, {}, "only the reviewers"),
        (5, {"version": 2}, "has no review"),
        (5, {"datanet": 2}, "has no review"),
        (5, {"stake": STAKE - 1}, "is 2 OPEN"),
        (5, {"stake": STAKE + 1}, "is 2 OPEN"),
    ],
)
def test_refusals(net: Harness, sender: int, change: dict[str, Any], reason: str) -> None:
    assert reason in net.refusal(sender, dataclasses.replace(YES, **change))


def test_a_reviewer_speaks_once_and_not_of_their_own(net: Harness) -> None:
    net.act(5, YES)
    assert "spoken already" in net.refusal(5, NO)
    net.act(6, DatanetCommit(1, 0, H, 1, (Part(ACCOUNTS[6][0], b"\x02" * 32, 1),), bond=BOND))
    assert "a commit of their own" in net.refusal(6, dataclasses.replace(YES, version=2))


def test_who_cannot_pay_bond_or_stake_is_refused() -> None:
    rich = 20_000 * OPEN
    chain = Harness()
    chain.act(0, DatanetCreate("d", policy="reviewed", **(RULES | {"bond": rich, "stake": 0})))
    assert "for the bond" in chain.refusal(1, dataclasses.replace(COMMIT, bond=rich))
    chain.act(0, DatanetSetPolicy(1, "reviewed", **(RULES | {"bond": 0, "stake": rich})))
    assert chain.act(1, dataclasses.replace(COMMIT, bond=0)).status == 1
    assert "for the stake" in chain.refusal(5, dataclasses.replace(YES, stake=rich))


def test_nobody_bonds_more_than_they_have_agreed_to(net: Harness) -> None:
    """An owner could raise the bond in front of a commit, and have it rejected."""
    net.act(0, DatanetSetPolicy(1, "reviewed", **(RULES | {"bond": BOND + 1})))
    assert "agrees to 3 OPEN" in net.refusal(1, COMMIT)


def test_what_waits_keeps_the_rules_that_it_was_committed_under(net: Harness) -> None:
    mine = tuple(sorted(ACCOUNTS[i][0] for i in (8, 9)))
    net.act(0, DatanetSetPolicy(1, "reviewed", 1, 0, 0, mine))
    assert "only the reviewers" in net.refusal(8, dataclasses.replace(NO, stake=0))
    net.act(5, YES)
    net.act(6, YES)
    assert status(net) == "accepted"
    assert "only the owner" in net.refusal(1, DatanetSetPolicy(1, "open"))
    assert "there is no datanet 7" in net.refusal(0, DatanetSetPolicy(7, "open"))


def test_models_are_published_on_accepted_versions_only(net: Harness) -> None:
    assert "is pending, not accepted" in net.refusal(4, MODEL)
    net.act(5, NO)
    net.act(6, NO)
    assert "is rejected, not accepted" in net.refusal(4, MODEL)
    net.act(1, COMMIT)
    for reviewer in (5, 6):
        net.act(reviewer, dataclasses.replace(YES, version=2))
    assert net.act(4, dataclasses.replace(MODEL, data=(DataRef(1, 2),))).status == 1


def test_of_two_that_wait_the_one_that_is_accepted_first_counts(net: Harness) -> None:
    net.act(2, DatanetCommit(1, 0, H, 1, (Part(BOB, b"\x02" * 32, 1),), bond=BOND))
    for reviewer in (5, 6):
        net.act(reviewer, dataclasses.replace(YES, version=2))
    assert (head(net), status(net)) == (2, "pending")
    assert "version 2 was accepted since" in net.refusal(5, YES)
    before = net.balance(ALICE)
    end(net)
    assert (status(net), net.balance(ALICE)) == ("expired", before + BOND)
    assert net.act(1, dataclasses.replace(COMMIT, parent=2, rows=2)).status == 1
    assert head(net) == 2


def test_a_promise_stands_until_a_review_has_come_to_nothing_and_a_while_longer() -> None:
    net, salt = make(promise_seconds=60), b"\x07" * 32
    blob = b"\x05" * 32
    net.act(1, DatanetPromise(promise_digest(ALICE, blob, salt)))
    commit = DatanetCommit(1, 0, H, 1, (Part(ALICE, blob, 1),), salts=(salt,), bond=BOND)
    net.act(1, commit)
    place = net.query("get_commit", 1, 2)["parts"][0]["place"]
    end(net, 2)
    assert status(net, 2) == "expired"
    net.act(1, commit)
    assert net.query("get_commit", 1, 3)["parts"][0]["place"] == place
    net.act(1, COMMIT)
    assert net.query("get_commit", 1, 4)["parts"][0]["place"] > place


def test_an_open_datanet_goes_on_where_a_reviewed_one_has_stopped(net: Harness) -> None:
    net.act(0, DatanetSetPolicy(1, "open"))
    assert net.act(2, DatanetCommit(1, 0, H, 1, (Part(BOB, b"\x02" * 32, 1),))).status == 1
    assert (head(net), status(net, 2)) == (2, "accepted")
    assert net.query("get_datanet", 1)["versions"] == 2


# --- appeal -----------------------------------------------------------------------------------------------


def propose(net: Harness, effect: str, **arguments: object) -> str:
    """A proposal that the only validator, account 9, votes for; why it has failed, or nothing."""
    named = tuple(Argument(name, str(value)) for name, value in arguments.items())
    receipt = net.act(3, GovPropose("t", "s", effect, named, params(net.state).gov_deposit))
    number = int.from_bytes(receipt.logs[0].topics[1], "big")
    net.act(9, GovVote(number, "yes"))
    net.block(must_proposal(net.state, number).deadline - net.time)
    found = must_proposal(net.state, number)
    assert found.status in (PASSED, FAILED)
    return found.failure


def appeal(net: Harness, version: int = 1, accept: bool = True) -> None:
    assert propose(net, "datanet.review", datanet=1, version=version, accept=str(accept).lower()) == ""


def test_governance_overrules_a_rejection_the_bond_comes_back_and_who_was_wrong_pays(net: Harness) -> None:
    net.act(5, NO)
    net.act(6, YES)
    net.act(7, NO)
    before = wealth(net, 1, 5, 6, 7)
    appeal(net)
    assert (status(net), head(net)) == ("accepted", 1)
    end(net)
    assert wealth(net, 1, 5, 6, 7) == [before[0] + BOND, before[1], before[2] + STAKE, before[3]]
    assert (net.balance(ESCROW), burned(net)) == (0, 2 * STAKE)


def test_governance_overrules_an_acceptance(net: Harness) -> None:
    net.act(5, YES)
    net.act(6, YES)
    before = wealth(net, 1, 5, 6)
    appeal(net, accept=False)
    assert (status(net), head(net)) == ("rejected", 0)
    end(net)
    assert wealth(net, 1, 5, 6) == before
    assert (net.balance(ESCROW), burned(net)) == (0, BOND + 2 * STAKE)


def test_an_appeal_that_comes_late_changes_the_decision_and_no_money(net: Harness) -> None:
    net.act(5, NO)
    net.act(6, NO)
    end(net)
    before = wealth(net, 1, 5, 6)
    appeal(net)
    net.block(1_000)
    assert (status(net), head(net), wealth(net, 1, 5, 6)) == ("accepted", 1, before)


def test_a_version_that_others_build_on_is_rejected_and_they_stay(net: Harness) -> None:
    for reviewer in (5, 6):
        net.act(reviewer, YES)
    net.act(2, DatanetCommit(1, 1, H, 2, (Part(BOB, b"\x02" * 32, 1),), bond=BOND))
    for reviewer in (5, 6):
        net.act(reviewer, dataclasses.replace(YES, version=2))
    appeal(net, 1, False)
    assert (status(net), head(net)) == ("rejected", 2)
    appeal(net, 2, False)
    assert (status(net, 2), head(net)) == ("rejected", 0)
    appeal(net, 1)
    appeal(net, 2)
    assert (status(net), status(net, 2), head(net)) == ("accepted", "accepted", 2)


def test_there_must_be_another_decision_to_appeal_against(net: Harness) -> None:
    with pytest.raises(WrongPhase, match="nothing is decided"):
        ReviewOverturn(1, 1, True).validate(net.state, CTX)
    with pytest.raises(NotFound, match="has no review"):
        ReviewOverturn(1, 9, True).validate(net.state, CTX)
    net.act(5, YES)
    net.act(6, YES)
    with pytest.raises(ProposalRefused, match="like this already"):
        ReviewOverturn(1, 1, True).validate(net.state, CTX)
    tried = simulate(net.state, CTX, ReviewOverturn(1, 1, False))
    assert tried.changes == {"status": ("accepted", "rejected"), "head": (1, 0)}


def test_governance_says_who_was_first_in_a_new_version_of_the_same_rows() -> None:
    net = Harness()
    net.act(0, DatanetCreate("d"))
    net.act(2, DatanetCommit(1, 0, H, 1, (Part(BOB, H, 1),)))
    net.act(1, DatanetCommit(1, 1, H, 2, (Part(ALICE, H, 1),)))
    his, hers = net.query("get_commit", 1, 2)["parts"]
    place = PlaceChange(1, BOB, "0x" + H.hex(), 2, hers["height"])
    moved = to_json(place)
    with pytest.raises(ProposalRefused, match="in the past"):
        dataclasses.replace(place, place=3).validate(net.state, CTX)
    assert simulate(net.state, CTX, place).changes == {
        "head": (2, 3), "place": (1, 2), "height": (his["height"], hers["height"]),
    }  # fmt: skip
    assert propose(net, "datanet.place", **moved) == ""
    version = net.query("get_commit", 1, 3)
    assert [part["place"] for part in version["parts"]] == [2, 2]
    assert (version["parent"], version["status"], version["message"]) == (2, "accepted", "proposal 1")
    assert net.query("get_commit", 1, 2)["parts"] == [his, hers]
    assert "no such part" in propose(net, "datanet.place", **(moved | {"contributor": "0x" + "11" * 20}))
    for wrong in ("0x00", "nothing"):
        with pytest.raises(MalformedAction, match="blob"):
            PlaceChange.read({k: str(v) for k, v in (moved | {"blob": wrong}).items()})
    with pytest.raises(NotFound, match="no datanet 5"):
        PlaceChange(5, BOB, "0x" + H.hex(), 1, 1).validate(net.state, CTX)


def test_a_block_ends_a_bounded_number_of_reviews(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openledger.abci_app.modules.datanets.reviews.MAX_PER_BLOCK", 1)
    net = make()
    net.finalize((net.native(1, COMMIT), net.native(2, DatanetCommit(1, 0, H, 1, (Part(BOB, H, 1),), bond=BOND))))
    net.block(100)
    for left in (1, 0):
        net.block()
        assert sum(status(net, version) == "pending" for version in (1, 2, 3)) == left
    assert net.balance(ESCROW) == 0


def test_no_more_reviews_can_begin_in_a_block_than_a_block_ends_whatever_reviewers_say() -> None:
    """Else whoever fills the queue would keep others waiting for their bonds. An opinion takes a block's room too, and
    more gas than a block has for each that it ends."""
    assert Params().block_gas_limit // min(map(intrinsic_gas, (COMMIT, YES))) <= MAX_PER_BLOCK


def test_a_review_counts_with_its_opinions_in_what_a_block_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openledger.abci_app.modules.datanets.reviews.MAX_PER_BLOCK", 4)
    net = make(appeal_seconds=100)
    net.finalize((net.native(1, COMMIT), net.native(2, DatanetCommit(1, 0, H, 1, (Part(BOB, H, 1),), bond=BOND))))
    net.finalize(tuple(net.native(n, dataclasses.replace(YES, version=v)) for n, v in ((5, 2), (6, 2))))
    held = []
    net.block(100)
    for _ in range(2):
        held.append([int(net.query("get_review", 1, version)["deadline"]) > 0 for version in (1, 2, 3)])
        net.block()
    assert held == [[False, True, False], [False, False, False]]
    assert net.balance(ESCROW) == 0


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"policy": "closed"}, MalformedAction),
        ({"policy": "open"}, MalformedAction),
        ({"reviewers": ()}, MalformedAction),
        ({"reviewers": REVIEWERS[::-1]}, MalformedAction),
        ({"reviewers": REVIEWERS[:1] * 2}, MalformedAction),
        ({"reviewers": tuple(bytes([n]) * 20 for n in range(33))}, MalformedAction),
        ({"review_quorum": 0}, MalformedAction),
        ({"review_quorum": 4}, MalformedAction),
        ({"bond": 1_000_001 * OPEN}, AmountOutOfRange),
        ({"stake": 1_000_001 * OPEN}, AmountOutOfRange),
    ],
)
def test_malformed_rules_are_refused(change: dict[str, Any], error: type[Exception]) -> None:
    rules = {"policy": "reviewed"} | RULES | change
    for action in (DatanetCreate("d", **rules), DatanetSetPolicy(1, **rules)):
        with pytest.raises(error):
            action.check()


def test_a_review_gives_a_reason() -> None:
    for reason in ("", "r" * 513, "\x00"):
        with pytest.raises(MalformedAction):
            dataclasses.replace(YES, reason=reason).check()

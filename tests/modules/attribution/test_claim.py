"""attribution.claim: one accepting case, and one for each refusal."""

from __future__ import annotations

import dataclasses

import pytest
from harness import ACCOUNTS, PRICE, Harness

from openledger.abci_app.modules.attribution.claim import AttributionClaim
from openledger.abci_app.modules.attribution.records import TURN, Share
from openledger.primitives.errors import SharesInvalid

ONE = Share(ACCOUNTS[1][0], 1_000_000)
GOOD = AttributionClaim(1, 1, 0, 1, (ONE,), 0, bytes(32), bytes(32), bytes(32))


def settled(chain: Harness) -> AttributionClaim:
    chain.publish()
    epoch = chain.settle()
    chain.close_epoch()
    return dataclasses.replace(GOOD, epoch=epoch)


def test_a_claim_covers_every_settled_answer_of_the_epoch_and_reads_the_fee_from_escrow(chain: Harness) -> None:
    chain.publish()
    first = chain.settle(answers=3)
    chain.settle(answers=2)
    chain.close_epoch()
    book = chain.query("get_settlements", 1, first)
    action = dataclasses.replace(GOOD, epoch=first, last=book["count"])
    assert chain.act(4, action).status == 1
    claim = chain.query("get_claim", 1)
    assert int(claim["fee"], 16) == int(book["amount"], 16)
    assert claim["last"] == book["count"]
    assert int(book["amount"], 16) in (3 * PRICE, 5 * PRICE)


def test_a_large_epoch_is_claimed_in_several_claims_each_naming_where_it_begins() -> None:
    chain = Harness(max_settlements=1, epoch_seconds=100)
    chain.oracles[0].mode = "silent"
    chain.publish()
    epoch = chain.settle(answers=3)
    chain.settle(answers=2)
    chain.close_epoch()
    action = dataclasses.replace(GOOD, epoch=epoch)
    chain.act(4, action)
    assert "this claim begins at 0" in chain.refusal(4, action)
    chain.act(4, dataclasses.replace(action, first=1, last=2))
    fees = [int(c["fee"], 16) for c in chain.query("list_claims")]
    assert fees == [3 * PRICE, 2 * PRICE]
    assert "nothing unclaimed" in chain.refusal(4, action)


def test_refusals(chain: Harness) -> None:
    good = settled(chain)
    running = chain.query("get_epoch")["number"]
    stranger = (Share(ACCOUNTS[8][0], 1_000_000),)
    for sender, change, reason in [
        (4, {"epoch": running + 50}, "has not closed"),
        (4, {"model": 7}, "there is no model 7"),
        (4, {"last": 2}, "ends at 1, this one at 2"),
        (4, {"shares": stranger}, "has no rows in the data"),
        (6, {}, "only the model's owner"),
    ]:
        assert reason in chain.refusal(sender, dataclasses.replace(good, **change))  # type: ignore[arg-type]
    assert chain.act(4, good).status == 1
    assert "nothing unclaimed" in chain.refusal(4, good)


def test_what_its_owner_never_claims_anybody_may_claim(chain: Harness) -> None:
    good = settled(chain)
    for _ in range(8):
        chain.submit(chain.transfer(1, ACCOUNTS[2][0], 1))
        chain.block(6)
    assert chain.act(6, good).status == 1


def test_the_work_of_an_epoch_has_a_budget_and_what_is_beyond_it_is_claimed_in_the_next() -> None:
    """Twelve rows: three answers and one are 48 units of work, more than an epoch has. Such money had no way out."""
    chain = Harness(work_per_epoch=40, epoch_seconds=100)
    chain.oracles[0].mode = "silent"
    chain.publish()
    epoch = chain.settle(answers=3)
    chain.settle(answers=1)
    chain.close_epoch()
    good = dataclasses.replace(GOOD, epoch=epoch)
    assert chain.query("get_settlements", 1, epoch)["next"] == 1
    assert chain.act(4, good).status == 1
    assert chain.query("get_settlements", 1, epoch)["next"] == 2
    rest = dataclasses.replace(good, first=1, last=2)
    assert "budget" in chain.refusal(4, rest)
    chain.submit(chain.transfer(1, ACCOUNTS[2][0], 1))
    chain.close_epoch()
    assert chain.act(4, rest).status == 1
    claims = chain.query("list_claims")
    assert [(c["first"], c["last"], int(c["fee"], 16)) for c in claims] == [(0, 1, 3 * PRICE), (1, 2, PRICE)]
    assert int(chain.query("get_settlements", 1, epoch)["amount"], 16) == 4 * PRICE


def test_a_claimant_must_afford_the_bond() -> None:
    chain = Harness(claim_bond=10**25)
    assert "insufficient balance for bond" in chain.refusal(4, settled(chain))


@pytest.mark.parametrize(
    "change",
    [
        {"unattributed": 1},
        {"shares": ()},
        {"shares": (ONE, ONE)},
        {"shares": (dataclasses.replace(ONE, ppm=0),), "unattributed": 1_000_000},
        {
            "shares": tuple(
                sorted((Share(ACCOUNTS[i][0], 500_000) for i in (1, 2)), key=lambda s: s.contributor, reverse=True)
            )
        },
    ],
)
def test_shares_that_do_not_hold_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(SharesInvalid):
        dataclasses.replace(GOOD, **change).check()  # type: ignore[arg-type]


def test_a_claim_has_a_bounded_number_of_shares() -> None:
    chain = Harness(max_shares=3)
    shares = tuple(sorted((Share(ACCOUNTS[i][0], 250_000) for i in (1, 2, 3, 6)), key=lambda s: s.contributor))
    assert "at most 3 shares" in chain.refusal(4, dataclasses.replace(settled(chain), shares=shares))


def test_claims_that_wait_for_their_deadline_keep_no_other_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two claims a block; three are dead. The fourth is decided long before their deadlines."""
    chain = Harness(max_open_claims_per_block=2, max_settlements=1, epoch_seconds=100, hold_seconds=10_000)
    oracle = chain.oracles[0]
    speak = oracle._message
    monkeypatch.setattr(oracle, "_message", lambda state, number: None if number <= 3 else speak(state, number))
    chain.publish()
    epochs = {chain.settle(answers=1) for _ in range(4)}
    assert len(epochs) == 1
    chain.close_epoch()
    numbers = [chain.claim(epoch, {1: 1_000_000}) for epoch in epochs for _ in range(4)]
    assert numbers == [1, 2, 3, 4]
    assert chain.run_claim(4) == "accepted"
    assert TURN.get(chain.state) is not None
    assert [chain.query("get_claim", number)["status"] for number in (1, 2, 3)] == ["pending"] * 3
    for _ in range(8):
        chain.block(10_001)
    assert [chain.query("get_claim", number)["status"] for number in (1, 2, 3)] == ["lapsed"] * 3
    chain.block()
    assert TURN.get(chain.state) is None

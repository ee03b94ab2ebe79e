"""However many claims and contributors there are, a block mints, pays and refunds for some of them, and the next ones
go on until all is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from claim_money import Money, someone
from harness import DEVNET_PARAMS, Harness

from openledger.abci_app.due import is_due
from openledger.abci_app.modules.accounts import balance
from openledger.abci_app.modules.attribution import voting
from openledger.abci_app.modules.attribution.records import ACCEPTED, CLAIMS, ESCROW, Claim, Share
from openledger.abci_app.modules.fees.records import supply
from openledger.abci_app.modules.models.records import LEDGERS, Ledger
from openledger.abci_app.modules.rewards import minting
from openledger.abci_app.modules.rewards.minting import MAX_PER_BLOCK
from openledger.abci_app.modules.rewards.payout import close_epoch
from openledger.abci_app.modules.rewards.records import MINTED, WISHES, Wish, forget_mint, rewards
from openledger.abci_app.modules.rewards.refuting import _REFUNDING, refund_unclaimed, refunds_are_due
from openledger.abci_app.tables import Number

PEOPLE = sorted(someone(f"contributor{i}") for i in range(300))
WISH = 10**9


def accepted(world: Money, claims: int, people: Sequence[bytes] = PEOPLE) -> None:
    """Accepted claims with a share for each of ``people``, which wait for the close of the epoch."""
    shares, h = tuple(Share(who, 1_000_000 // len(people)) for who in people), bytes(32)
    rest = 1_000_000 - sum(share.ppm for share in shares)
    for number in range(1, claims + 1):
        claim = Claim(
            1, 1, someone("owner"), 0, 1, 100, 0, 0, shares, rest, h, h, h, len(people), ACCEPTED, 0, 0, 1, 2, 0, 2
        )
        CLAIMS.put(world.state, claim, number)
        WISHES.put(world.state, Wish(WISH), number)


def test_the_close_of_an_epoch_mints_for_a_bounded_number_of_contributors_and_the_next_blocks_for_the_rest() -> None:
    world = Money(DEVNET_PARAMS)
    claims = 2 * MAX_PER_BLOCK // len(PEOPLE) + 1
    accepted(world, claims)
    world.time += DEVNET_PARAMS.epoch_seconds
    minted, blocks = supply(world.state).minted, 0
    while True:
        logs = close_epoch(world.state, world.ctx, blocks == 0)
        found = sum(1 for log in logs if log.topics[0] == MINTED.topic)
        assert found <= MAX_PER_BLOCK
        if not found:
            break
        blocks += 1
        assert is_due(world.state, world.time) == (blocks < 3), "a devnet makes the next block by itself"
    assert blocks == 3
    assert supply(world.state).minted == minted + claims * WISH == minted + balance(world.state, ESCROW)
    assert sum(rewards(world.state, who).minted for who in PEOPLE) == claims * WISH
    assert {CLAIMS.must(world.state, n).minted for n in range(1, claims + 1)} == {WISH}


def test_a_claim_with_more_contributors_than_a_block_mints_for_has_a_block_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(minting, "MAX_PER_BLOCK", 2)
    world = Money(DEVNET_PARAMS)
    accepted(world, 2, PEOPLE[:3])
    world.time += DEVNET_PARAMS.epoch_seconds
    for number in (1, 2):
        close_epoch(world.state, world.ctx, True)
        assert [CLAIMS.must(world.state, n).minted > 0 for n in (1, 2)] == [True, number == 2]


def test_what_is_granted_is_never_more_than_there_is_to_mint_and_falls_with_its_claim(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(minting, "MAX_PER_BLOCK", 3)
    left = 5 * WISH // 2
    world = Money(replace(DEVNET_PARAMS, reserve=left))
    accepted(world, 2, PEOPLE[:3])
    world.time += DEVNET_PARAMS.epoch_seconds
    close_epoch(world.state, world.ctx, True)
    accepted(world, 1, PEOPLE[:3])
    WISHES.put(world.state, Wish(WISH), 3)
    CLAIMS.put(world.state, CLAIMS.must(world.state, 1), 3)
    WISHES.delete(world.state, 1)
    world.time += DEVNET_PARAMS.epoch_seconds
    close_epoch(world.state, world.ctx, True)  # mints for claim 2 and grants claim 3 the half that is left
    assert supply(world.state).minted == 2 * WISH
    world.params = replace(world.params, reserve=2 * WISH + WISH // 4)  # a vote
    close_epoch(world.state, world.ctx, False)
    assert supply(world.state).minted == world.params.reserve
    world = Money(DEVNET_PARAMS)
    accepted(world, 2, PEOPLE[:3])
    world.time += DEVNET_PARAMS.epoch_seconds
    close_epoch(world.state, world.ctx, True)
    forget_mint(world.state, 2)
    close_epoch(world.state, world.ctx, False)
    assert supply(world.state).minted == WISH


@pytest.mark.parametrize(
    ("most", "shares", "verdict", "end"),
    [(5, {1: 300_000, 2: 300_000, 3: 300_000}, "yes", "accepted"), (3, {1: 900_000}, "no", "refused")],
)
def test_claims_that_end_together_end_in_blocks_of_a_bounded_number_of_contributors_and_refunds(
    most: int, shares: dict[int, int], verdict: str, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two claims, each of three contributors that are paid, or of one whose settlement is refunded."""
    monkeypatch.setattr(voting, "MAX_PAID", most)
    chain = Harness(max_settlements=1)
    chain.publish()
    epochs = [chain.settle() for _ in range(2)]
    chain.close_epoch()
    for oracle in chain.oracles:
        oracle.mode = "silent"
    numbers = [chain.claim(epoch, shares, 100_000) for epoch in epochs]
    for oracle in chain.oracles:
        oracle.mode = verdict
    ends: dict[int, int] = {}
    for _ in range(20):
        chain.block()
        for number in numbers:
            if chain.query("get_claim", number)["status"] == end:
                ends.setdefault(number, chain.app.head().number)
    assert [ends[number] - ends[numbers[0]] for number in numbers] == [0, 1]


def test_the_epochs_of_a_refuted_model_are_looked_through_some_in_each_block() -> None:
    world = Money(DEVNET_PARAMS)
    for number in range(1, 601):
        LEDGERS.put(world.state, Ledger(1, 1, 5), 7, number)
    _REFUNDING.put(world.state, Number(0), 7)
    blocks = 0
    while refunds_are_due(world.state):
        assert refund_unclaimed(world.state, world.ctx) == []
        blocks += 1
    assert blocks == 3

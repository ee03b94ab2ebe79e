"""Every wei of the accounts of attribution and models has an owner, after every block of random lives of claims:
accepted, refused, lapsed, challenged, undone, vested, taken; and of their model, whose index is challenged and may be
refuted. And the sum of all balances is the supply (``Harness.check_supply``)."""

from __future__ import annotations

import random

import pytest
from escrows import escrows
from harness import ACCOUNTS, Harness

from openledger.abci_app.modules.attribution.challenge import AttributionChallenge
from openledger.abci_app.modules.attribution.challenge_index import AttributionChallengeIndex
from openledger.abci_app.modules.attribution.index_challenges import INDEX_CHALLENGES
from openledger.abci_app.modules.attribution.records import (
    ACCEPTED,
    CHALLENGES,
    CLAIMS,
)
from openledger.abci_app.modules.models.bonds import challenge_of
from openledger.abci_app.modules.models.records import MODELS, ledger
from openledger.abci_app.modules.rewards.claim import RewardsClaim
from openledger.primitives.amounts import OPEN
from openledger.primitives.types import ZERO_ADDRESS

SHARES = ({1: 1_000_000}, {1: 333_333, 2: 333_333, 3: 333_334}, {2: 1, 3: 499_999}, {1: 999_999})


def check(chain: Harness) -> None:
    for account, wei in escrows(chain.state).items():
        assert chain.balance(account) == wei, account.hex()
    supply = chain.query("get_supply")
    assert 0 <= int(supply["minted"], 16) <= int(supply["reserve"], 16)


def step(chain: Harness, draw: random.Random) -> None:
    """One thing that somebody does, then a block."""
    for oracle in chain.oracles:
        if draw.random() < 0.3:
            oracle.mode = draw.choices(("yes", "no", "silent", "blind"), (6, 3, 1, 1))[0]
    deed = draw.choice(("settle", "claim", "claim", "challenge", "challenge", "take", "wait", "index"))
    if MODELS.must(chain.state, 1).refuted and deed in ("settle", "claim", "index"):
        deed = "wait"
    if deed == "settle":
        chain.settle(draw.randint(1, 4))
    elif deed == "index" and draw.random() < 0.5:
        spot = AttributionChallengeIndex(1, draw.randrange(12), draw.choice((0, 1)))
        if challenge_of(chain.state, 1, spot.row, spot.segment) is None:
            chain.act(draw.choice((5, 8)), spot)
    elif deed == "claim":
        _claim(chain, draw)
    elif deed == "challenge":
        _challenge(chain, draw)
    elif deed == "take":
        who = draw.choice((1, 2, 3, 4, 6, 7, 8, 9))
        if int(chain.query("get_rewards", ACCOUNTS[who][0])["available"], 16):
            chain.act(who, RewardsClaim(draw.choice((0, 1))))
    if deed in ("claim", "challenge") and draw.random() < 0.7:  # all of one mind, until it is decided
        mode = draw.choice(("yes", "no", "silent"))
        for oracle in chain.oracles:
            oracle.mode = mode
        for _ in range(4):
            chain.block()
            check(chain)
    chain.block(draw.choice((1, 1, 1, 5, 12)))


def _claim(chain: Harness, draw: random.Random) -> None:
    if MODELS.must(chain.state, 1).refuted:
        return
    for epoch in range(chain.query("get_epoch")["number"]):
        book = ledger(chain.state, 1, epoch)
        if book.claimed < book.count:
            shares = draw.choice(SHARES)
            chain.claim(epoch, shares, 1_000_000 - sum(shares.values()))
            return


def _challenge(chain: Harness, draw: random.Random) -> None:
    for rest, claim in CLAIMS.items(chain.state):
        if claim.status == ACCEPTED and claim.vests > chain.time + 1:
            number, share = int.from_bytes(rest, "big"), draw.random() < 0.5
            named = AttributionChallenge(number, 0, ACCOUNTS[1][0]) if share else None
            chain.act(draw.choice((5, 8)), named or AttributionChallenge(number, draw.randrange(12), ZERO_ADDRESS))
            return


def live(seed: int, steps: int) -> set[str]:
    """A random life; how its claims and challenges ended."""
    draw = random.Random(seed)
    chain = Harness(
        powers=(10, 10, 10, 10), challenge_seconds=draw.choice((10, 30)), challenge_bond=draw.choice((1, OPEN)),
        claim_bond=draw.choice((1, 7, OPEN)), hold_seconds=8, vote_seconds=8, reveal_seconds=8,
        mint_per_epoch=draw.choice((1, 10**16, 10**20)),
    )  # fmt: skip
    chain.publish()
    for _ in range(steps):
        step(chain, draw)
        check(chain)
    for oracle in chain.oracles:
        oracle.mode = "yes"
    for _ in range(25):
        _claim(chain, draw)
        chain.block(12)
        check(chain)
    for who in range(10):
        if int(chain.query("get_rewards", ACCOUNTS[who][0])["available"], 16):
            chain.act(who, RewardsClaim())
    check(chain)
    ends = {chain.query("get_claim", c["id"])["status"] for c in chain.query("list_claims")}
    outcomes = {challenge.outcome for _, challenge in CHALLENGES.items(chain.state)}
    ends |= {f"index {challenge.outcome}" for _, challenge in INDEX_CHALLENGES.items(chain.state)}
    return ends | {f"challenge {outcome}" for outcome in outcomes}


def test_every_wei_has_an_owner_in_random_lives_of_claims() -> None:
    ends = set[str]()
    for seed in range(12):
        ends |= live(seed, 30)
    assert {"accepted", "refused", "challenge 2", "challenge 3", "index 2", "index 3"} <= ends


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 140))
def test_every_wei_has_an_owner_in_long_random_lives(seed: int) -> None:
    assert "accepted" in live(seed, 300)

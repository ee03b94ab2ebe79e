"""Every wei of the accounts of attribution and models has an owner, after every block of random lives of claims:
accepted, refused, lapsed, challenged, undone, vested, taken; and of their model, whose index is challenged and may be
refuted. And the sum of all balances is the supply (``Harness.check_supply``)."""

from __future__ import annotations

import random

import pytest
from harness import ACCOUNTS, Harness
from stakes import owed

from openledger.abci_app.modules.attribution.challenge import AttributionChallenge
from openledger.abci_app.modules.attribution.challenge_index import AttributionChallengeIndex
from openledger.abci_app.modules.attribution.index_challenges import INDEX_CHALLENGES
from openledger.abci_app.modules.attribution.records import (
    ACCEPTED,
    CHALLENGE_OPEN,
    CHALLENGES,
    CLAIM_COUNT,
    CLAIMS,
    ESCROW,
    REVEAL,
)
from openledger.abci_app.modules.models.bonds import challenge_of
from openledger.abci_app.modules.models.records import ESCROW as DEPOSITS
from openledger.abci_app.modules.models.records import MODELS, SESSIONS, ledger, settlements
from openledger.abci_app.modules.rewards.claim import RewardsClaim
from openledger.abci_app.modules.rewards.records import REWARDS
from openledger.abci_app.modules.rewards.stakers import pots
from openledger.abci_app.modules.staking.records import STAKES
from openledger.primitives.amounts import OPEN
from openledger.primitives.types import ZERO_ADDRESS

SHARES = ({1: 1_000_000}, {1: 333_333, 2: 333_333, 3: 333_334}, {2: 1, 3: 499_999}, {1: 999_999})


def owned(chain: Harness) -> int:
    """What the records say that the attribution account owes, in wei."""
    state = chain.state
    total = sum(r.fees + r.minted - r.taken for _, r in REWARDS.items(state))
    total += sum(sum(pots(state, number).values()) for number in range(1, CLAIM_COUNT.get(state) + 1))
    for rest, claim in CLAIMS.items(state):
        challenge = CHALLENGES.get(state, int.from_bytes(rest, "big"))
        if challenge is not None and challenge.outcome == CHALLENGE_OPEN:
            total += challenge.bond
        elif claim.status <= REVEAL:
            total += claim.fee + claim.bond + claim.work_fee
        if claim.vests:
            total += claim.bond
    total += sum(c.bond for _, c in INDEX_CHALLENGES.items(state) if c.outcome == CHALLENGE_OPEN)
    for epoch in range(chain.query("get_epoch")["number"] + 1):
        book = ledger(state, 1, epoch)
        total += sum(entry.amount for entry in settlements(state, 1, epoch, book.claimed, book.count))
    return total


def deposited(chain: Harness) -> int:
    """What the models' account owes: deposits of open sessions, and publishers' bonds."""
    sessions = sum(s.deposit - s.settled for _, s in SESSIONS.items(chain.state) if not s.closed)
    return sessions + sum(model.bond for _, model in MODELS.items(chain.state))


def check(chain: Harness) -> None:
    assert chain.balance(ESCROW) == owned(chain)
    assert chain.balance(DEPOSITS) == deposited(chain)
    assert chain.balance(STAKES) == owed(chain.state)
    for _, record in REWARDS.items(chain.state):
        assert 0 <= record.locked <= record.fees + record.minted - record.taken
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
    assert chain.balance(ESCROW) == owned(chain)
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

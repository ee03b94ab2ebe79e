"""A claim that was accepted and can be challenged, and short words for what happens to it."""

from __future__ import annotations

from harness import ACCOUNTS, PRICE, Harness

from openledger.abci_app.modules.attribution.challenge import AttributionChallenge
from openledger.primitives.amounts import OPEN
from openledger.primitives.types import ZERO_ADDRESS

BOND = 5 * OPEN
ROW = AttributionChallenge(1, 7, ZERO_ADDRESS)
SHARE = AttributionChallenge(1, 0, ACCOUNTS[1][0])
FEE = 3 * PRICE


def accepted(seconds: int = 100, bond: int = BOND, **params: int) -> Harness:
    """Four validators and a claim over three answers that they have accepted; it can be challenged for a while."""
    chain = Harness(powers=(10, 10, 10, 10), challenge_seconds=seconds, challenge_bond=bond, **params)
    chain.publish()
    epoch = chain.settle()
    chain.close_epoch()
    number = chain.claim(epoch, {1: 400_000, 2: 300_000, 3: 200_000}, 100_000)
    assert chain.run_claim(number) == "accepted"
    return chain


def wei(chain: Harness, account: int, name: str) -> int:
    return int(chain.query("get_rewards", ACCOUNTS[account][0])[name], 16)


def burned(chain: Harness) -> int:
    return int(chain.query("get_supply")["burned"], 16)


def say(chain: Harness, mode: str, count: int = 4) -> None:
    for oracle in chain.oracles[:count]:
        oracle.mode = mode


def outcome(chain: Harness) -> str:
    found: str = chain.query("get_claim", 1)["challenge"]["outcome"]
    return found


def run(chain: Harness, seconds: int = 1) -> str:
    for _ in range(30):
        if outcome(chain) != "open":
            break
        chain.block(seconds)
    return outcome(chain)

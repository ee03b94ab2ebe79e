"""rewards.claim: taking what was earned, and no more."""

from __future__ import annotations

from harness import ACCOUNTS, Harness

from openledger.abci_app.modules.rewards.claim import RewardsClaim
from openledger.primitives.amounts import exact_amount


def earn(chain: Harness) -> int:
    chain.publish()
    epoch = chain.settle()
    chain.close_epoch()
    chain.run_claim(chain.claim(epoch, {1: 1_000_000}))
    chain.block(6)
    return int(chain.query("get_rewards", ACCOUNTS[1][0])["available"], 16)


def test_all_or_a_part_moves_to_the_balance(chain: Harness) -> None:
    available = earn(chain)
    before = chain.balance(ACCOUNTS[1][0])
    fee = 0
    for amount in (5, 0):
        receipt = chain.act(1, RewardsClaim(amount))
        fee += receipt.gas_used * receipt.effective_gas_price
    assert chain.balance(ACCOUNTS[1][0]) == before + available - fee
    assert int(chain.query("get_rewards", ACCOUNTS[1][0])["available"], 16) == 0


def test_nobody_takes_more_than_there_is(chain: Harness) -> None:
    available = earn(chain)
    assert "no rewards" in chain.refusal(8, RewardsClaim())
    assert f"only {exact_amount(available)}" in chain.refusal(1, RewardsClaim(available + 1))

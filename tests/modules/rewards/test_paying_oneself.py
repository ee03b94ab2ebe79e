"""Whoever pays himself for inference loses, on a real chain, with every set of parameters that is accepted."""

from __future__ import annotations

from dataclasses import replace

from harness import ACCOUNTS, DEVNET_PARAMS, Harness
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from openledger.abci_app.modules.governance.records import POOL
from openledger.primitives.errors import InvalidGenesis


def accepted(**changes: int) -> bool:
    """Whether genesis and governance would accept these parameters."""
    try:
        replace(DEVNET_PARAMS, **changes).validate()
    except InvalidGenesis:
        return False
    return True


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    pool=st.integers(0, 3000), burn=st.integers(1, 2000), stakers=st.integers(0, 3000), owner=st.integers(0, 2000),
    short=st.integers(1, 200_000), unattributed=st.integers(0, 999_999),
)  # fmt: skip
def test_a_coalition_of_all_roles_with_a_third_of_the_stake_loses(
    pool: int, burn: int, stakers: int, owner: int, short: int, unattributed: int
) -> None:
    """Consumer, model owner, contributor and pool are one; so is a third of the stake. The mint factor is the highest
    that the bounds accept, and a little less."""
    contributors = 10_000 - pool - burn - stakers - owner
    assume(contributors > 0)
    highest = min((3 * burn + 2 * stakers) * 1_000_000 // (3 * (pool + burn)), 1_000_000)
    split = {"split_contributors": contributors, "split_owner": owner, "split_stakers": stakers,
             "split_pool": pool, "split_burn": burn, "mint_factor": max(highest - short, 0)}  # fmt: skip
    assume(accepted(**split))
    chain = Harness(**split)
    chain.publish()
    epoch = chain.settle()
    chain.close_epoch()
    before = chain.balance(POOL)
    number = chain.claim(epoch, {1: 1_000_000 - unattributed}, unattributed)
    assert chain.run_claim(number) == "accepted"
    chain.block(chain.genesis.params.epoch_seconds)
    claim = chain.query("get_claim", number)
    fee, minted = int(claim["fee"], 16), int(claim["minted"], 16)
    of = [chain.query("get_rewards", ACCOUNTS[who][0]) for who in (1, 4)]
    earned = sum(int(r["fees"], 16) + int(r["minted"], 16) for r in of) + chain.balance(POOL) - before
    to_stakers = fee * stakers // 10_000 + 1
    assert minted <= fee
    assert 3 * earned + to_stakers < 3 * fee

"""Hardhat 2 with its ethers plugin, its network helpers and its chai matchers, unchanged, against a devnet of either
engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

COIN = Path(__file__).with_name("hardhat3") / "project" / "contracts" / "Coin.sol"
MATCHERS = (
    "revertedWith", "revertedWithCustomError", "revertedWithoutReason", "revertedWithPanic", "emit",
    "changeEtherBalance", "changeEtherBalances", "changeTokenBalance", "changeTokenBalances",
)  # fmt: skip


def test_hardhat_takes_a_devnet_for_its_network(node: Any, run_client: Any) -> None:
    found = run_client("hardhat", node)
    assert found == {
        "network": ["openledger", 161237],
        "signers": 10,
        "simulated": 1,
        "bumped": [1, True],
        "events": [[1, True]],
        "call": "execution reverted: no",
        "send": "execution reverted: no",
        "failed": ["CALL_EXCEPTION", 0],
        "keyed": [1, True],
        "balance": str(10**18),
        "impersonated": [1, True],
        "stopped": "refused",
        "edits": [1, 7, 41, 42],
        "increased": True,
        "increasedTo": 0,
        "nextTimestamp": 1000,
        "mined": [10, True],
        "minedUpTo": 15,
        "baseFee": str(5 * 10**9),
        "changed": 1,
        "restored": 0,
        "fixture": [[1, 1], [1, 1], [1, 1]],
    }


def test_hardhats_chai_matchers_find_what_a_devnet_does(node: Any, run_client: Any) -> None:
    found = run_client("hardhat", node, "matchers.mjs", COIN=str(COIN))
    assert found == dict.fromkeys(MATCHERS, "holds")

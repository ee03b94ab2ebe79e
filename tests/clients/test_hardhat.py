"""Hardhat 2 with its ethers plugin and its network helpers, unchanged, against a devnet of either engine."""

from __future__ import annotations

from typing import Any


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

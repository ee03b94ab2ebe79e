"""ethers, unchanged, against a devnet of either engine."""

from __future__ import annotations

from typing import Any


def test_ethers_does_what_a_dapp_does(node: Any, run_client: Any) -> None:
    found = run_client("ethers", node)
    assert found == {
        "chainId": 161237,
        "fees": True,
        "transfer": [1, 2, 21_000],
        "received": str(10**18),
        "fee": True,
        "simulated": 1,
        "estimate": True,
        "heard": 1,
        "headed": True,
        "events": [[1, True]],
        "prefetched": True,
        "revert": ["CALL_EXCEPTION", "no"],
        "poor": "INSUFFICIENT_FUNDS",
        "stale": "NONCE_EXPIRED",
        "failed": ["CALL_EXCEPTION", 0],
        "unlocked": 1,
        "message": 132,
        "set": "1",
        "reverted": True,
        "many": True,
        "delegated": [1, 1, True],
        "signer": True,
        "native": 1,
        "nativeInBlock": True,
    }

"""viem, unchanged, against a devnet of either engine."""

from __future__ import annotations

from typing import Any


def test_viem_does_what_a_dapp_does(node: Any, run_client: Any) -> None:
    found = run_client("viem", node)
    assert "execution reverted: no" in found.pop("revert")
    assert int(found.pop("balance")) > 10**21
    assert found.pop("datanet")
    assert found == {
        "chainId": 161237,
        "transferGas": 21_000,
        "feesArePositive": True,
        "transfer": {"status": "success", "type": "eip1559", "gasUsed": 21_000},
        "received": str(10**18),
        "hasCode": True,
        "simulated": 1,
        "event": 1,
        "liveHead": True,
        "liveLog": True,
        "logs": [[1, True]],
        "blockHasTransaction": True,
        "multicall": [2, 3],
        "native": {"status": "success", "to": "0x0000000000000000000000000000000000000800", "from": True},
        "nativeRead": True,
        "encoded": 10,
        "sync": "success",
        "bySender": 0,
        "typed": True,
    }

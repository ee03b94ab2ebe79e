"""MetaMask's own packages, unchanged, drive a devnet of either engine."""

from __future__ import annotations

from typing import Any


def test_metamask_finds_the_network_and_confirms_transactions(node: Any, run_client: Any) -> None:
    found = run_client("metamask", node)
    assert found == {
        "network": "available",
        "eip1559": True,
        "chain": ["0x275d5", "161237"],
        "block": True,
        "fees": ["eth_gasPrice", True],
        "transfer": ["confirmed", "0x5208", "simpleSend", "0x2"],
        "received": hex(10**18),
        "deployment": ["confirmed", "contractDeployment"],
        "call": ["confirmed", "contractInteraction", 1],
        "signer": "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266",
        "native": "0x1",
    }

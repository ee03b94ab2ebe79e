"""OpenZeppelin's contracts, compiled with solc-js, on either engine: tokens, permit, proxy, roles, governor."""

from __future__ import annotations

from typing import Any


def test_openzeppelins_contracts_work(node: Any, run_client: Any) -> None:
    found = run_client("openzeppelin", node)
    assert found == {
        "balance": 7,
        "tooMuch": "ERC20InsufficientBalance",
        "allowance": 9,
        "events": [7, 9],
        "art": True,
        "unsafe": "ERC721InvalidReceiver",
        "stranger": "OwnableUnauthorizedAccount",
        "upgraded": [2, 41],
        "unauthorized": "AccessManagedUnauthorized",
        "opened": 1,
        "succeeded": 4,
        "carriedOut": [7, 19],
    }

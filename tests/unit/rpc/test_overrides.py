"""State and block overrides are read whole before anything runs: what is malformed is refused everywhere alike."""

from __future__ import annotations

from typing import Any

import pytest

B = "0x" + "b2" * 20
CALL = {"to": B}


def ways(states: Any, blocks: Any) -> list[tuple[str, list[Any]]]:
    """All methods that take overrides, and the parameters with these."""
    options = {"tracer": "callTracer", "stateOverrides": states, "blockOverrides": blocks}
    simulated = {"stateOverrides": states, "blockOverrides": blocks, "calls": [CALL]}
    return [
        ("eth_call", [CALL, "latest", states, blocks]),
        ("eth_call", [CALL, "pending", states, blocks]),
        ("eth_estimateGas", [CALL, "latest", states, blocks]),
        ("eth_estimateGas", [CALL, None, states, blocks]),
        ("debug_traceCall", [CALL, "latest", options]),
        ("eth_simulateV1", [{"blockStateCalls": [simulated]}, "latest"]),
    ]


@pytest.mark.parametrize(
    "states", [{B: []}, {B: "0x"}, {B: {"balance": 5}}, {B: {"stateDiff": [1]}}, {"0x12": {}}, [B]]
)
async def test_malformed_state_overrides_are_invalid_parameters(chain: Any, states: Any) -> None:
    for method, params in [*ways(states, {}), ("eth_createAccessList", [CALL, "latest", states])]:
        assert (await chain.error(method, *params))["code"] == -32602, method


@pytest.mark.parametrize(
    "blocks", [{"number": 100}, {"time": "soon"}, {"gasLimit": 1}, {"feeRecipient": "0x12"}, ["0x1"]]
)
async def test_malformed_block_overrides_are_invalid_parameters(chain: Any, blocks: Any) -> None:
    for method, params in ways({}, blocks):
        assert (await chain.error(method, *params))["code"] == -32602, method


async def test_null_changes_nothing(chain: Any) -> None:
    for method, params in ways({B: None}, {"number": None, "time": None}):
        await chain.call(method, *params)

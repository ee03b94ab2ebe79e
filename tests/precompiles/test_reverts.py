"""A frame that reverts leaves no native trace, at whatever depth; and the supply stays what it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from harness import Harness
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openledger.abci_app.action import outbox_bytes
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.primitives.types import OUTBOX_ADDRESS, Address, to_hex

Deploy = Callable[[Harness], Address]
ACTION = outbox_bytes(DatanetCreate("from below"))


@pytest.fixture
def address(chain: Harness, deploy: Deploy) -> Address:
    return deploy(chain)


def count(chain: Harness) -> int:
    return len(chain.query("list_datanets"))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(depth=st.integers(0, 12), revert_at=st.integers(0, 14))
def test_the_action_runs_exactly_when_no_frame_above_it_reverts(
    chain: Harness, address: Address, watch: Any, submit: Callable[..., bytes], depth: int, revert_at: int
) -> None:
    before = count(chain)
    raw = submit(chain, address, watch.data("nest", depth, revert_at, ACTION), gas=2_000_000)
    receipt = chain.include(raw)  # the harness checks the supply after each block
    kept = revert_at > depth
    assert receipt.status == int(revert_at != depth)
    assert count(chain) == before + kept
    assert any(log.address == OUTBOX_ADDRESS for log in receipt.logs) == kept
    if kept:
        assert chain.query("get_datanet", before + 1)["owner"].lower() == to_hex(address)


def test_whatever_frame_runs_out_of_gas_the_action_runs_exactly_when_its_log_is_left(
    chain: Harness, address: Address, watch: Any, submit: Callable[..., bytes]
) -> None:
    outcomes = set()
    for gas in range(100_000, 150_000, 2_500):
        before = count(chain)
        receipt = chain.include(submit(chain, address, watch.data("nest", 6, 99, ACTION), gas=gas))
        kept = any(log.address == OUTBOX_ADDRESS for log in receipt.logs)
        assert count(chain) == before + kept
        outcomes.add((receipt.status, kept))
    assert {kept for _, kept in outcomes} == {True, False}


def test_an_action_that_the_contract_cannot_pay_for_leaves_its_reason_only(
    chain: Harness, address: Address, watch: Any, submit: Callable[..., bytes]
) -> None:
    """The EVM transaction stands; the action's own log says what was wrong; no money has moved."""
    bad = outbox_bytes(DatanetCreate("x", policy="nonsense"))
    receipt = chain.include(submit(chain, address, watch.data("nest", 3, 99, bad)))
    assert receipt.status == 1
    assert count(chain) == 0
    assert [log.address for log in receipt.logs].count(OUTBOX_ADDRESS) == 2

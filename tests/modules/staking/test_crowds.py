"""What stake costs a block does not depend on how many others have staked, or do so in the same block.

The short form counts calls of functions, which no busy machine changes; the long one takes times, on disk.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from types import FrameType

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "bench"))

from stake import Crowd, crowd_costs, delegations_block

from openledger.abci_app.modules.staking.records import UNBONDED
from openledger.abci_app.modules.staking.undelegate import StakeUndelegate
from openledger.state.leveldb import LevelDbStore
from openledger.state.memory import MemoryStore


def calls(action: Callable[[], object]) -> int:
    """How many functions an action calls, those of Python's own included."""
    count = 0

    def note(frame: FrameType, event: str, arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("spread", [True, False], ids=["to all validators", "to one validator"])
def test_a_delegation_costs_the_same_in_a_block_of_ten_times_as_many(spread: bool) -> None:
    few, many = (delegations_block(MemoryStore(), 10, n, spread, calls, 1) for n in (30, 300))
    for before, after in zip(astuple(few), astuple(many), strict=True):
        assert after < before * 1.1


def test_what_happens_to_stake_costs_the_same_among_six_times_as_many_delegators() -> None:
    few, many = (crowd_costs(MemoryStore(), 4, n, 20, calls, 1, max_unbondings_per_block=8) for n in (100, 600))
    for what, cost in many.items():
        assert cost < few[what] * 1.2, what


def test_a_block_pays_back_so_many_and_the_rest_waits_for_the_next() -> None:
    crowd = Crowd(MemoryStore(), 4, 100, max_unbondings_per_block=30)
    crowd.delegate_all()
    crowd.do((s, StakeUndelegate(crowd.operators[i % 4])) for i, s in enumerate(crowd.secrets))
    paid = []
    for _ in range(5):
        crowd.finish(seconds=crowd.app.params().unbonding_seconds)
        block = crowd.app.store.block(crowd.app.head().number)
        assert block is not None
        paid.append(sum(log.topics[0] == UNBONDED.topic for receipt in block.receipts for log in receipt.logs))
    assert paid == [30, 30, 30, 10, 0]


@pytest.mark.soak
@pytest.mark.parametrize("spread", [True, False], ids=["to all validators", "to one validator"])
def test_a_block_of_2000_delegations_takes_five_times_as_long_as_one_of_400(spread: bool, tmp_path: Path) -> None:
    def took(size: int) -> float:
        kv = LevelDbStore(tmp_path / str(size))
        try:
            return delegations_block(kv, 100, size, spread).execute
        finally:
            kv.close()

    assert took(2_000) < took(400) * 1.3


@pytest.mark.soak
def test_10_000_delegators_of_100_validators_cost_a_block_what_1_000_do(tmp_path: Path) -> None:
    def costs(people: int) -> dict[str, float]:
        kv = LevelDbStore(tmp_path / str(people))
        try:
            return crowd_costs(kv, 100, people)
        finally:
            kv.close()

    few, many = costs(1_000), costs(10_000)
    for what, cost in many.items():
        assert cost < few[what] * 2, what

"""Whatever is in a mempool, and whatever the consensus engine hands on: what one process proposes every process
accepts, it fits, judging leaves no trace, and a process that only finalizes comes to the same hashes. All balances of
the whole state add up to the supply all the while."""

from __future__ import annotations

import pytest
from harness import START
from random_mempools import live

from openledger.evm.engines import native_available

PER_SEED = 36


def engines(seed: int) -> tuple[str, str]:
    """Every fourth chain is judged by the other engine than the proposer's."""
    if not native_available():
        return ("py-evm", "py-evm")
    return ("revm", "py-evm") if seed % 4 == 1 else ("revm", "revm")


@pytest.mark.parametrize("seed", range(10))
def test_what_one_process_proposes_all_accept_and_all_come_to_one_hash(seed: int) -> None:
    rooms = live(seed, PER_SEED, engines(seed))
    assert rooms.time >= START
    assert rooms.app.head().number > 10


def test_the_random_mempools_reach_what_they_are_meant_to_reach() -> None:
    """Joins, leaves, slashes, jails, Outbox work and failed actions: all of it in a few of them."""
    wanted = {"ValidatorCreated", "Staked", "UnbondingStarted", "Unbonded", "ValidatorSlashed", "ValidatorJailed",
              "ActionFailed"}  # fmt: skip
    outcomes = {(2, 0), (2, 1), (0x50, 0), (0x50, 1), (0x51, 1)}
    for seed in range(101, 140):
        rooms = live(seed, PER_SEED, engines(0))
        for number in range(1, rooms.app.head().number + 1):
            block = rooms.app.store.block(number)
            outcomes -= {(receipt.type, receipt.status) for receipt in block.receipts} if block else set()
            wanted -= rooms.names(number)
        if not wanted | outcomes:
            return
    pytest.fail(f"never seen: {wanted} {outcomes}")


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("part", range(20))
def test_one_hundred_thousand_mempools_in_parts(part: int) -> None:
    done, seed = 0, 1_000 * (part + 1)
    while done < 5_000:
        done += live(seed, 4 * PER_SEED, engines(seed // 8)).counted
        seed += 1

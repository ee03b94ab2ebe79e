"""The engine over the state room's overlay: batches that build on each other, as a block runs them."""

from __future__ import annotations

from typing import Any

from openledger.primitives.types import OUTBOX_ADDRESS
from openledger.state.overlay import Overlay

ALICE, BOB, CODE = b"\xa1" * 20, b"\xb0" * 20, b"\xee" * 20
COUNTER = bytes.fromhex("5f546001015f5500")


def test_batches_build_on_each_other_and_add_up_to_one_diff(world: Any, tx: Any) -> None:
    world.state.put(CODE, 1, 0, COUNTER)
    txs = [tx(to=CODE, nonce=0), tx(to=CODE, nonce=1, value=3), tx(to=BOB, nonce=2, value=1)]
    whole = world.batch(txs)
    overlay = Overlay(world.state)
    for one in txs:
        out = world.engine.execute(world.env, [one], overlay, 30_000_000)
        overlay.apply(out.diff)
    assert overlay.diff() == whole.diff
    assert overlay.storage(CODE, 0) == 2


def test_what_ran_in_between_is_seen_by_the_next_batch(world: Any, tx: Any) -> None:
    """The node pays Bob between two batches, as a native action would."""
    overlay = Overlay(world.state)
    overlay.add_balance(BOB, 10**18)
    out = world.engine.execute(
        world.env, [tx(sender=BOB, to=OUTBOX_ADDRESS, gas=21_000, max_fee=10**9)], overlay, 10**7
    )
    assert out.results[0].refused is None
    assert out.diff.accounts[BOB].nonce == 1


def test_a_contract_that_came_and_went_within_a_block_leaves_no_trace(world: Any, tx: Any) -> None:
    gone = world.batch([tx(to=None, data=bytes.fromhex("60015f5530ff"))])
    assert gone.results[0].status == 1
    assert gone.results[0].contract_address not in gone.diff.accounts
    assert not gone.diff.storage
    assert not gone.diff.codes

"""eth_call and eth_estimateGas."""

from __future__ import annotations

from typing import Any

import pytest

from openledger.evm.calls import estimate_gas, raise_if_failed
from openledger.evm.engine import CallMessage
from openledger.primitives import errors

ALICE, BOB, CODE = b"\xa1" * 20, b"\xb0" * 20, b"\xee" * 20
GWEI = 10**9
REASON = bytes.fromhex(
    "08c379a0" + "00" * 31 + "20" + "00" * 31 + "02" + "6e6f" + "00" * 30  # Error("no")
)


def reverting(data: bytes) -> bytes:
    """Code that reverts with ``data``: CODECOPY(0, 11, len) REVERT(0, len)."""
    return bytes([0x60, len(data), 0x80, 0x60, 0x09, 0x5F, 0x39, 0x5F, 0xFD]) + data


def estimate(world: Any, cap: int = 30_000_000, **fields: Any) -> int:
    message = CallMessage(**{"sender": ALICE, "to": BOB, **fields})
    return estimate_gas(world.engine, world.env, message, world.state, cap)


def test_a_call_needs_no_money_for_gas_but_for_its_value(world: Any) -> None:
    assert world.call(sender=BOB, to=CODE).status == 1
    with pytest.raises(errors.InsufficientFunds, match=r"^insufficient funds for gas"):
        world.call(sender=BOB, to=CODE, value=1)
    with pytest.raises(errors.InsufficientFunds):
        world.call(sender=BOB, to=CODE, gas_price=GWEI)
    with pytest.raises(errors.FeeCapTooLow):
        world.call(to=CODE, gas_price=1, gas=21_000)
    with pytest.raises(errors.IntrinsicGasTooLow):
        world.call(to=CODE, gas=20_000)


def test_a_revert_carries_data_and_the_reason_in_words(world: Any) -> None:
    world.state.put(CODE, 1, 0, reverting(REASON))
    result = world.call(to=CODE)
    assert (result.status, result.output, result.error) == (0, REASON, "execution reverted: no")
    with pytest.raises(errors.CallReverted, match=r"^execution reverted: no$") as caught:
        raise_if_failed(result)
    assert caught.value.data == REASON
    panic = bytes.fromhex("4e487b71") + (0x11).to_bytes(32, "big")
    world.state.put(CODE, 1, 0, reverting(panic))
    assert world.call(to=CODE).error == "execution reverted: arithmetic underflow or overflow"


def test_a_plain_transfer_is_estimated_at_exactly_21000(world: Any) -> None:
    assert estimate(world, value=1) == 21_000


def test_the_estimate_is_the_smallest_that_succeeds(world: Any) -> None:
    """A contract that clears a slot (refund) and calls another one (63/64)."""
    world.state.put(BOB, 1, 0, bytes.fromhex("60015f55" + "60026001550000"))
    world.state.put(
        CODE, 1, 0, bytes.fromhex("5f5f55" + "5f5f5f5f5f73" + BOB.hex() + "5af1" + "156030575b00" + "00" * 12 + "5bfe")
    )
    world.state.slots[CODE] = {0: 1}
    found = estimate(world, to=CODE)
    assert world.call(to=CODE, gas=found).status == 1
    assert found > 21_000
    assert world.call(to=CODE, gas=found - 1).status == 0


def test_a_creation_can_be_estimated_and_then_sent(world: Any) -> None:
    initcode = bytes.fromhex("60208060095f395ff3") + b"\x00" * 32
    gas = estimate(world, to=None, data=initcode)
    assert world.run(to=None, data=initcode, gas=gas).status == 1


def test_what_always_fails_cannot_be_estimated(world: Any) -> None:
    world.state.put(CODE, 1, 0, reverting(REASON))
    with pytest.raises(errors.CallReverted) as caught:
        estimate(world, to=CODE)
    assert caught.value.data == REASON
    world.state.put(CODE, 1, 0, bytes.fromhex("5b5f56"))
    with pytest.raises(errors.CallFailed, match=r"^gas required exceeds allowance \(100000\)$"):
        estimate(world, cap=100_000, to=CODE)


def test_the_estimate_is_bounded_by_what_the_sender_can_pay(world: Any) -> None:
    world.state.put(ALICE, 0, 22_000 * GWEI)
    assert estimate(world, gas_price=GWEI) == 21_000
    with pytest.raises(errors.CallFailed, match=r"^gas required exceeds allowance \(20999\)"):
        estimate(world, gas_price=GWEI, value=1_001 * GWEI)
    for value in (10**21, 22_000 * GWEI):  # with a price something must be left for gas
        with pytest.raises(errors.InsufficientFunds):
            estimate(world, gas_price=GWEI, value=value)


def test_the_sender_must_be_able_to_pay_the_most_it_offers_not_only_the_price(world: Any) -> None:
    world.state.put(ALICE, 0, 22_000 * GWEI)
    offer = {"gas_price": GWEI, "max_fee": 2 * GWEI}
    with pytest.raises(errors.CallFailed, match=r"^gas required exceeds allowance \(11000\)"):
        estimate(world, **offer)
    with pytest.raises(errors.InsufficientFunds, match=f"have {22_000 * GWEI} want {44_000 * GWEI}"):
        world.call(gas=22_000, **offer)
    world.state.put(ALICE, 0, 44_000 * GWEI)
    assert estimate(world, **offer) == 21_000
    assert world.call(gas=22_000, **offer).status == 1

"""A call under a small budget gives what it gives with all its gas, or is run elsewhere."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import rlp
from hypothesis import given, settings
from hypothesis import strategies as st

from openledger.evm.engine import BlockEnv, CallMessage
from openledger.evm.engines import load_engine, native_available
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import Account
from openledger.rpc.quick_calls import BUDGETS, QuickCalls, looks_at_gas
from openledger.state.memory import MemoryStore
from openledger.state.overlay import Overlay
from openledger.state.ports import Diff
from openledger.state.store import StateStore

ENGINES = ["py-evm"] + (["revm"] if native_available() else [])
AT, INNER = b"\x77" * 20, b"\x78" * 20
ENV = BlockEnv(1, 1, 1, bytes(20), 30_000_000, 0, bytes(32), lambda _n: None)
CALL_INNER = bytes.fromhex("600080808080" + "73" + INNER.hex())  # out, in, value, address; the gas comes next


def world(code: bytes, inner: bytes = b"") -> Overlay:
    state = Overlay(StateStore(MemoryStore()).reader())
    for address, given_code in ((AT, code), (INNER, inner)):
        digest = keccak256(given_code)
        state.apply(Diff(accounts={address: Account(1, 0, digest)}, codes={digest: given_code}))
    return state


def message(gas: int = 30_000_000, **more: Any) -> CallMessage:
    return CallMessage(sender=b"\1" * 20, to=AT, gas=gas, **more)


def test_gas_that_is_only_handed_on_is_not_looked_at() -> None:
    assert not looks_at_gas(bytes.fromhex("5af1"))
    assert not looks_at_gas(bytes.fromhex("5afa5af45af2"))
    assert looks_at_gas(bytes.fromhex("5a"))
    assert looks_at_gas(bytes.fromhex("5a50"))
    assert looks_at_gas(bytes.fromhex("61ffff5a900300"))
    assert not looks_at_gas(bytes.fromhex("615a5a00"))  # data of a PUSH
    assert not looks_at_gas(bytes.fromhex("7f" + "5a" * 20))
    metadata = bytes.fromhex("a264697066735822") + b"\x5a" * 30
    assert not looks_at_gas(b"\0" + metadata + len(metadata).to_bytes(2, "big"))


@pytest.mark.parametrize("name", ENGINES)
def test_short_calls_are_answered_here_and_long_ones_and_curious_ones_are_not(name: str) -> None:
    engine = load_engine(name)
    quick = QuickCalls(lambda: engine)
    answer = bytes.fromhex("602a60005260206000f3")
    endless = bytes.fromhex("5b600056")
    found = quick.call(ENV, message(), world(answer))
    assert found is not None
    assert int.from_bytes(found.output, "big") == 42
    assert quick.call(ENV, message(), world(bytes.fromhex("60006000fd"))) is not None  # a revert is an answer
    assert quick.call(ENV, message(), world(endless)) is None
    assert quick.call(ENV, message(), world(bytes.fromhex("5a60005260206000f3"))) is None  # returns what gas is left
    assert quick.call(ENV, message(gas_price=1), world(answer)) is None
    assert quick.call(ENV, dataclasses.replace(message(), to=None, data=answer), world(answer)) is None
    # a frame inside runs out of gas, and the outer one does not mind
    forgiving = CALL_INNER + bytes.fromhex("5af160005260206000f3")
    assert quick.call(ENV, message(), world(forgiving, endless)) is None
    inner = quick.call(ENV, message(), world(forgiving, answer))
    assert inner is not None
    assert int.from_bytes(inner.output, "big") == 1
    # a frame inside looks at its gas
    assert quick.call(ENV, message(), world(forgiving, bytes.fromhex("5a50"))) is None
    # with so little gas the answer is exact, whatever it is
    assert quick.call(ENV, message(gas=22_000), world(endless)) is not None


@pytest.mark.parametrize("size", [40_000, 740_000])
def test_a_call_with_much_data_is_run_elsewhere_with_the_gas_that_it_has_to_bring(size: int) -> None:
    """What its data costs at least is far above what they cost in themselves: it ran for eleven seconds here."""

    class Engine:
        name = "revm"

        def call(self, env: BlockEnv, asked: CallMessage, state: Any) -> Any:
            raise AssertionError(f"it runs here, with {asked.gas} gas")

    quick = QuickCalls(lambda: Engine())  # type: ignore[arg-type, return-value]
    assert quick.call(ENV, message(data=b"\xff" * size), world(bytes.fromhex("5b600056"))) is None


CHUNKS = [
    "5a5af15a", "5a50", "5a60005260206000f3", "600035600055", "60016000556000600055", "602a60005260206000f3", "fe",
    "60006000fd", "5b600056", "303131", "600054600101600055", "6000526001601ff3", "60056020f3", "3d60003e",
    CALL_INNER.hex() + "5af1600052", CALL_INNER.hex() + "6188b8f1600052", CALL_INNER.hex() + "5a600404f1600052",
    "60408060005ff3", "6000600060006000600060015af15060206000f3", "7f" + "5a" * 32 + "50",
]  # fmt: skip


@pytest.mark.skipif(not native_available(), reason="needs the native engine")
@settings(max_examples=400, deadline=None)
@given(
    outer=st.lists(st.sampled_from(CHUNKS), max_size=8),
    inner=st.lists(st.sampled_from(CHUNKS), max_size=8),
    data=st.binary(max_size=40),
    gas=st.sampled_from([21_500, 60_000, 150_000, 30_000_000]),
)
def test_what_is_answered_here_is_what_all_the_gas_would_have_given(
    outer: list[str], inner: list[str], data: bytes, gas: int
) -> None:
    engine = load_engine("revm")
    state = world(bytes.fromhex("".join(outer)), bytes.fromhex("".join(inner)))
    asked = message(gas=gas, data=data)
    try:
        found = QuickCalls(lambda: engine).call(ENV, asked, state)
    except Exception as err:  # noqa: BLE001
        with pytest.raises(type(err)):
            engine.call(ENV, asked, state)
        return
    assert found is None or found == engine.call(ENV, asked, state)


def test_the_budget_is_there_for_every_engine() -> None:
    assert {load_engine(name).name for name in ENGINES} <= BUDGETS.keys()


async def test_what_is_remembered_of_the_head_is_forgotten_with_it(chain: Any) -> None:
    to = "0x" + "79" * 20
    balance = {"0x" + "77" * 20: {"code": "0x73" + to[2:] + "3160005260206000f3"}}
    call = {"to": "0x" + "77" * 20}
    here = {"to": "0x" + "7a" * 20}
    found = []
    for nonce in range(3):
        await chain.send(nonce=nonce, to=bytes.fromhex(to[2:]), value=1)
        await chain.call("eth_call", here, "latest")  # without overrides: what the head is remembered by
        found.append(int(await chain.call("eth_call", call, "latest", balance), 16))
    assert found == [1, 2, 3]
    code = bytes.fromhex("602a60005260206000f3")
    init = bytes([0x60, len(code), 0x80, 0x60, 0x0B, 0x60, 0, 0x39, 0x60, 0, 0xF3]) + code
    place = chain.call("eth_getTransactionCount", "0x" + chain.addresses[0].hex(), "latest")
    assert int(await place, 16) == 3
    address = "0x" + keccak256(rlp.encode([chain.addresses[0], b"\3"]))[12:].hex()
    assert await chain.call("eth_call", {"to": address}) == "0x"
    made = await chain.send(nonce=3, to=None, data=init, gas=200_000)
    assert made["contractAddress"].lower() == address
    assert int(await chain.call("eth_call", {"to": address}), 16) == 42

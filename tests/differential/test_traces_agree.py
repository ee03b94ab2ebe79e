"""Traces of random transactions and calls (tests/random_worlds.py) by both engines: the same JSON."""

from __future__ import annotations

from dataclasses import replace

import pytest
import rlp
from random_worlds import CHAIN_ID, CONTRACTS, KEYS, MODULE, SENDERS, build
from trace_forms import TRACERS, traced

from openledger.evm.engine import CallMessage
from openledger.evm.precompiles import NativeAnswer
from openledger.evm.pyevm import PyEvmEngine
from openledger.evm.tracing.tracer import TraceBounds, Tracing
from openledger.primitives.hashing import keccak256
from openledger.primitives.keys import sign_digest
from openledger.primitives.transactions import SET_CODE, Authorization, EthTransaction
from openledger.primitives.types import to_hex
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

pytest.importorskip("openledger_native", reason="the native engine is not built: make native")

from openledger.evm.native import NativeEngine

WORLDS = 40


class Echo:
    """A native precompile: returns its data backwards, reverts with it when it begins with zero."""

    def answer(self, state: StateReader, data: bytes, gas: int) -> NativeAnswer:
        if data[:1] == b"\0":
            return NativeAnswer(False, 100, data[:5])
        return NativeAnswer(True, 100 + 7 * len(data), data[::-1])


@pytest.fixture(scope="module")
def engines() -> tuple[Tracing, Tracing]:
    table = {MODULE: Echo()}
    return NativeEngine(precompiles=table), PyEvmEngine(precompiles=table)


def compare_world(engines: tuple[Tracing, Tracing], seed: int) -> None:
    world, bounds = build(seed, 4), TraceBounds()
    state = Overlay(world.state)
    subjects: list[EthTransaction | CallMessage] = [*world.txs, *world.calls]
    for number, subject in enumerate(subjects):
        for tracer in TRACERS:
            ours, theirs = (traced(e, world.env, (), subject, state, tracer, bounds) for e in engines)
            assert ours == theirs, f"seed {seed}, subject {number}, {tracer}"
        if isinstance(subject, EthTransaction):
            out = engines[1].execute(world.env, [subject], state, world.env.gas_limit)  # type: ignore[attr-defined]
            state.apply(out.diff)


@pytest.mark.parametrize("part", range(4))
def test_random_transactions_leave_the_same_traces(engines: tuple[Tracing, Tracing], part: int) -> None:
    for seed in range(part * WORLDS // 4, (part + 1) * WORLDS // 4):
        compare_world(engines, seed)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_many_random_transactions_leave_the_same_traces(engines: tuple[Tracing, Tracing]) -> None:
    for seed in range(2_000_000, 2_002_000):
        compare_world(engines, seed)


def test_what_runs_before_the_subject_is_the_same(engines: tuple[Tracing, Tracing]) -> None:
    for seed in range(20):
        world = build(seed, 4)
        for tracer in (("callTracer", {"withLog": True}), ("prestateTracer", {"diffMode": True})):
            ours, theirs = (
                traced(e, world.env, world.txs[:-1], world.txs[-1], world.state, tracer, TraceBounds()) for e in engines
            )
            assert ours == theirs, f"seed {seed}, {tracer}"


@pytest.mark.parametrize("opcode", ["f1", "f2", "f4", "fa"])
@pytest.mark.parametrize("to", [bytes(20), CONTRACTS[1]], ids=["none", "another"])
def test_a_call_looks_at_the_delegate_that_the_account_has_now(
    engines: tuple[Tracing, Tracing], to: bytes, opcode: str
) -> None:
    """An authorization of the same transaction has ended the old delegation, or named another delegate."""
    world, caller, old = build(1, 1), CONTRACTS[0], CONTRACTS[2]
    code = "5f" * (5 if opcode in ("f1", "f2") else 4) + f"73{SENDERS[1].hex()}5a{opcode}00"
    world.state.put(SENDERS[0], 0, 10**21)
    world.state.put(SENDERS[1], 0, 0, b"\xef\x01\x00" + old)
    world.state.put(caller, 1, 0, bytes.fromhex(code))
    for delegate in (old, CONTRACTS[1]):
        world.state.put(delegate, 1, 0, b"\x00")
    r, s, parity = sign_digest(KEYS[1], keccak256(b"\x05" + rlp.encode([CHAIN_ID, to, 0])))
    fields = {"authorizations": (Authorization(CHAIN_ID, to, 0, parity, r, s),), "access_list": ()}
    subject = replace(
        world.txs[0], type=SET_CODE, sender=SENDERS[0], nonce=0, to=caller, gas=500_000, value=0, data=b"",
        max_fee=10 * world.env.base_fee, max_priority_fee=0, **fields,
    )  # fmt: skip
    for tracer in TRACERS:
        ours, theirs = (traced(e, world.env, (), subject, world.state, tracer, TraceBounds()) for e in engines)
        assert ours == theirs, f"{tracer}"
    seen = engines[0].trace(world.env, (), subject, world.state, "prestateTracer", {}, TraceBounds())
    assert to_hex(SENDERS[1]) in seen
    assert to_hex(old) not in seen
    assert (to_hex(CONTRACTS[1]) in seen) is (to == CONTRACTS[1])


WRITES = {  # code, and the gas that a frame of it needs before its right is asked
    "call": ("5f5f5f5f600173" + CONTRACTS[2].hex() + "5af1", 16 + 100),
    "log2": ("5f5f5f5fa2", 8 + 375),
    "sstore": ("5f600155", 5),
    "tstore": ("5f60015d", 5 + 100),
    "create": ("5f5f5ff0", 6),
    "selfdestruct": ("5fff", 2 + 5_000),
}


@pytest.mark.parametrize("opcode", WRITES)
def test_a_write_in_a_static_frame_that_cannot_pay_its_base_price_is_out_of_gas(
    engines: tuple[Tracing, Tracing], opcode: str
) -> None:
    """As in geth: the fixed price of an opcode comes before its right, and all other prices after."""
    caller, callee = CONTRACTS[:2]
    code, price = WRITES[opcode]
    for gas, words in ((price - 1, "out of gas"), (price, "write protection"), (price + 9_000, "write protection")):
        world = build(1, 1)
        world.state.put(SENDERS[0], 0, 10**21)
        world.state.put(callee, 1, 10**6, bytes.fromhex(code + "00"))
        world.state.put(caller, 1, 0, bytes.fromhex(f"5f5f5f5f73{callee.hex()}61{gas:04x}fa00"))
        subject = replace(
            world.txs[0], type=2, sender=SENDERS[0], nonce=0, to=caller, gas=500_000, value=0, data=b"",
            max_fee=10 * world.env.base_fee, max_priority_fee=0, access_list=(), authorizations=(),
        )  # fmt: skip
        for tracer in TRACERS:
            ours, theirs = (traced(e, world.env, (), subject, world.state, tracer, TraceBounds()) for e in engines)
            assert ours == theirs, f"{gas} gas, {tracer}"
        top = engines[0].trace(world.env, (), subject, world.state, "callTracer", {}, TraceBounds())
        assert top["calls"][0]["error"] == words, f"{gas} gas"


def test_bounds_end_a_trace_with_the_same_words(engines: tuple[Tracing, Tracing]) -> None:
    reached = set()
    for seed in range(12):
        world = build(seed, 4)
        for bounds in (TraceBounds(steps=20), TraceBounds(size=3_000), TraceBounds(expired=lambda: True)):
            for tracer in TRACERS:
                ours, theirs = (traced(e, world.env, (), world.txs[0], world.state, tracer, bounds) for e in engines)
                assert ours == theirs, f"seed {seed}, {tracer}"
                reached.add(ours[1] if isinstance(ours, tuple) else "")
    assert {"the trace has more than 20 steps", "the trace is larger than 3000 bytes"} <= reached


def test_the_native_engine_traces_by_itself_what_runs_out_of_nothing(engines: tuple[Tracing, Tracing]) -> None:
    """Only opcodes of a struct log that fail for want of gas, stack or rights are left to the reference engine."""
    engine = NativeEngine()
    for seed in range(20):
        world = build(seed, 4)
        for tracer in TRACERS[:7]:
            traced(engine, world.env, (), world.txs[0], world.state, tracer, TraceBounds())
    assert engine._made_reference is None

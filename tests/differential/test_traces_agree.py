"""Traces of random transactions and calls (tests/random_worlds.py) by both engines: the same JSON."""

from __future__ import annotations

import pytest
from random_worlds import MODULE, build
from trace_forms import TRACERS, traced

from openledger.evm.engine import CallMessage
from openledger.evm.precompiles import NativeAnswer
from openledger.evm.pyevm import PyEvmEngine
from openledger.evm.tracing.tracer import TraceBounds, Tracing
from openledger.primitives.transactions import EthTransaction
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

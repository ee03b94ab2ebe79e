"""Random programs and random blocks (tests/random_worlds.py) through both engines: every byte of the results must be
the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from random_worlds import MODULE, World, build

from openledger.evm.engine import CallMessage, CallResult, EvmEngine, ExecutionOutput
from openledger.evm.precompiles import NativeAnswer
from openledger.evm.pyevm import PyEvmEngine
from openledger.evm.statetest import PlainState
from openledger.primitives.errors import InvalidTransaction
from openledger.state.ports import Diff, StateReader

pytest.importorskip("openledger_native", reason="the native engine is not built: make native")

from openledger.evm.native import NativeEngine

BLOCKS = 400


class Echo:
    """A native precompile: returns its data backwards, reverts with it when it begins with zero."""

    def answer(self, state: StateReader, data: bytes, gas: int) -> NativeAnswer:
        if data[:1] == b"\0":
            return NativeAnswer(False, 100, data[:5])
        return NativeAnswer(True, 100 + 7 * len(data), data[::-1])


# --- comparing --------------------------------------------------------------------------------------------------


SAME_FAULT = {
    "stack underflow": "out of gas", "return data out of bounds": "out of gas", "execution failed": "out of gas",
    "invalid jump destination": "invalid jump",
}  # fmt: skip


def words(error: str) -> str:
    """A frame that fails for two reasons at one opcode may name either: no gas and no operands, no gas and an end
    beyond the return data, no gas for a precompile and bad input, a jump into the data of a PUSH. All else is equal."""
    return "invalid jump" if error.startswith("invalid opcode") else SAME_FAULT.get(error, error)


def plain(out: ExecutionOutput, state: PlainState) -> dict[str, Any]:
    """An output in comparable form. Code that the state beneath has already may be named again."""
    return {
        "stopped_at": out.stopped_at,
        "results": [
            (type(r.refused).__name__, str(r.refused)) if r.refused else
            (r.status, r.gas_used, r.logs, r.output, r.contract_address, words(r.error), r.burned)
            for r in out.results
        ],
        "accounts": out.diff.accounts, "storage": out.diff.storage, "records": out.diff.records,
        "wiped": out.diff.wiped, "codes": {h: c for h, c in out.diff.codes.items() if h not in state.codes},
    }  # fmt: skip


def outcome(work: Callable[[], object]) -> object:
    try:
        return work()
    except InvalidTransaction as refusal:
        return type(refusal).__name__, str(refusal)


def called(engine: EvmEngine, world: World, question: CallMessage) -> CallResult:
    result = engine.call(world.env, question, world.state)
    return replace(result, error=words(result.error))


def compare_block(engines: tuple[EvmEngine, EvmEngine], seed: int, transactions: int = 6) -> None:
    """Run the block of a seed batch by batch, and its calls before and after."""
    world = build(seed, transactions)
    left, txs = world.env.gas_limit, world.txs
    while txs:
        for call_message in world.calls:
            ours, theirs = (outcome(lambda e=e, m=call_message: called(e, world, m)) for e in engines)
            assert ours == theirs, f"seed {seed}, call {call_message}"
        outs = [engine.execute(world.env, txs, world.state, left) for engine in engines]
        ours, theirs = (plain(out, world.state) for out in outs)
        assert ours == theirs, f"seed {seed}"
        left -= sum(result.gas_used for result in outs[0].results)
        txs = txs[outs[0].stopped_at :]
        world.state.apply(outs[1].diff)


@pytest.fixture(scope="module")
def engines() -> tuple[EvmEngine, EvmEngine]:
    table = {MODULE: Echo()}
    return NativeEngine(precompiles=table), PyEvmEngine(precompiles=table)


@pytest.mark.parametrize("part", range(4))
def test_thousands_of_random_transactions_run_alike(engines: tuple[EvmEngine, EvmEngine], part: int) -> None:
    for seed in range(part * BLOCKS // 4, (part + 1) * BLOCKS // 4):
        compare_block(engines, seed)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_a_hundred_thousand_random_transactions_run_alike(engines: tuple[EvmEngine, EvmEngine]) -> None:
    for seed in range(1_000_000, 1_000_000 + 17_000):
        compare_block(engines, seed)


def test_an_abandoned_batch_leaves_nothing(engines: tuple[EvmEngine, EvmEngine]) -> None:
    """The same batch twice on the same state gives the same result twice."""
    for seed in range(50):
        world = build(seed, 4)
        first, again = (engines[0].execute(world.env, world.txs, world.state, world.env.gas_limit) for _ in range(2))
        assert plain(first, world.state) == plain(again, world.state)
        assert isinstance(first.diff, Diff)

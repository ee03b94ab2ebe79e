"""Traces of two engines in comparable form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from openledger.evm.engine import CallMessage
from openledger.evm.tracing.tracer import TraceBounds, Tracing
from openledger.primitives.errors import CallFailed, InvalidTransaction
from openledger.primitives.transactions import EthTransaction
from openledger.state.ports import StateReader

TRACERS: list[tuple[str, dict[str, Any]]] = [
    ("callTracer", {"withLog": True}),
    ("callTracer", {"onlyTopCall": True}),
    ("prestateTracer", {}),
    ("prestateTracer", {"diffMode": True}),
    ("prestateTracer", {"includeEmpty": True, "disableCode": True}),
    ("4byteTracer", {}),
    ("noopTracer", {}),
    ("", {"enableMemory": True, "enableReturnData": True}),
    ("", {"disableStack": True, "limit": 1000}),
    ("erc7562Tracer", {"withLog": True}),
    ("keccak256PreimageTracer", {}),
]
SAME_FAULT = {
    "stack underflow": "out of gas", "return data out of bounds": "out of gas", "execution failed": "out of gas",
    "invalid jump destination": "invalid jump",
}  # fmt: skip


def words(error: str) -> str:
    """A frame that fails for two reasons at one opcode may name either; see test_engines_agree.py."""
    return "invalid jump" if error.startswith("invalid opcode") else SAME_FAULT.get(error, error)


def plain(trace: Any) -> Any:
    """A trace in comparable form; the order of keys counts."""
    if isinstance(trace, dict):
        return [(key, words(value) if key == "error" else plain(value)) for key, value in trace.items()]
    return [plain(item) for item in trace] if isinstance(trace, list) else trace


def traced(
    engine: Tracing,
    env: Any,
    before: Sequence[EthTransaction],
    subject: EthTransaction | CallMessage,
    state: StateReader,
    tracer: tuple[str, dict[str, Any]],
    bounds: TraceBounds,
) -> Any:
    try:
        return plain(engine.trace(env, before, subject, state, *tracer, bounds, 3))
    except (InvalidTransaction, CallFailed) as err:
        return type(err).__name__, str(err)

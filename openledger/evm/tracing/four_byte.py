"""geth's ``4byteTracer``: how often which function selector was called with how many bytes of arguments."""

from __future__ import annotations

from collections import Counter

from openledger.evm.tracing.tracer import Frame, Json, Start, Tracer, View
from openledger.primitives.types import Address

_CALLS = ("CALL", "STATICCALL", "DELEGATECALL", "CALLCODE")


class FourByteTracer(Tracer):
    """Keys are ``selector-size``. Calls of precompiles do not count."""

    def __init__(self) -> None:
        self._found: Counter[str] = Counter()
        self._precompiles: frozenset[Address] = frozenset()

    def start(self, view: View, start: Start) -> None:
        self._precompiles = start.precompiles

    def enter(self, frame: Frame) -> None:
        if len(frame.input) >= 4 and frame.kind in _CALLS and frame.to not in self._precompiles:
            self._found[f"0x{frame.input[:4].hex()}-{len(frame.input) - 4}"] += 1

    def result(self) -> Json:
        return dict(self._found)

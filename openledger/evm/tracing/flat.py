"""OpenEthereum's flat form of a call tree: what ``trace_`` methods give, and geth's ``flatCallTracer``.

The two differ in the outermost frame: geth's has the gas limit and all gas used, OpenEthereum's the frame's own. Where
it stands (block, transaction) is added by whoever knows.
"""

from __future__ import annotations

from typing import Any

from openledger.evm.reasons import REVERTED
from openledger.evm.tracing.tracer import Budget, Frame, Json, Left, Start, Tracer, View
from openledger.primitives.types import Address, to_hex

_PARITY_ERRORS = {
    "contract creation code storage out of gas": "Out of gas",
    "out of gas": "Out of gas",
    "gas uint64 overflow": "Out of gas",
    "max code size exceeded": "Out of gas",
    "invalid jump destination": "Bad jump destination",
    REVERTED: "Reverted",
    "return data out of bounds": "Out of bounds",
    "stack limit reached 1024 (1023)": "Out of stack",
}
_PARITY_BEGINNINGS = (("out of gas:", "Out of gas"), ("invalid opcode", "Bad instruction"),
                      ("stack underflow", "Stack underflow"))  # fmt: skip


class FlatTracer(Tracer):
    """``parity``: OpenEthereum's words for errors; ``precompiles``: calls of precompiles too; ``inner``: the outermost
    frame's own gas."""

    def __init__(self, budget: Budget, *, parity: bool = False, precompiles: bool = False, inner: bool = False) -> None:
        self._budget = budget
        self._parity = parity
        self._with_precompiles = precompiles
        self._inner = inner
        self._precompiles: frozenset[Address] = frozenset()
        self._open: list[dict[str, Any]] = []
        self._top: dict[str, Any] = {}
        self._gas = 0

    def start(self, view: View, start: Start) -> None:
        self._precompiles = start.precompiles
        self._gas = start.gas

    def enter(self, frame: Frame) -> None:
        gas = frame.gas if frame.depth or self._inner else self._gas
        made = _begun(frame, gas)
        hidden = frame.depth > 0 and frame.kind in ("CALL", "STATICCALL") and frame.to in self._precompiles
        self._open.append({"trace": made, "calls": [], "to": frame.to, "hidden": hidden})
        self._budget.grow(500 + 2 * len(frame.input))

    def leave(self, left: Left, depth: int) -> None:
        node = self._open.pop()
        _ended(node["trace"], node["to"], left, self._parity)
        self._budget.grow(2 * len(left.output))
        if not self._open:
            self._top = node
        elif not node["hidden"] or self._with_precompiles:
            self._open[-1]["calls"].append(node)

    def end(self, view: View, gas_used: int) -> None:
        result = self._top["trace"].get("result")
        if result is not None and not self._inner:
            result["gasUsed"] = hex(gas_used)

    def result(self) -> Json:
        found: list[Json] = []
        waiting: list[tuple[dict[str, Any], list[int]]] = [(self._top, [])] if self._top else []
        while waiting:
            node, address = waiting.pop()
            trace = node["trace"]
            found.append(trace | {"subtraces": len(node["calls"]), "traceAddress": address})
            below = [(child, [*address, place]) for place, child in enumerate(node["calls"])]
            waiting += reversed(below)
        return found


def _begun(frame: Frame, gas: int) -> dict[str, Any]:
    sender, to, value = to_hex(frame.sender), to_hex(frame.to), hex(frame.value or 0)
    if frame.kind == "SELFDESTRUCT":
        return {"type": "suicide", "action": {"address": sender, "balance": value, "refundAddress": to}}
    if frame.kind in ("CREATE", "CREATE2"):
        action = {
            "creationMethod": frame.kind.lower(), "from": sender, "gas": hex(gas), "init": to_hex(frame.input),
            "value": value,
        }  # fmt: skip
        return {"type": "create", "action": action}
    action = {
        "callType": frame.kind.lower(), "from": sender, "gas": hex(gas), "input": to_hex(frame.input), "to": to,
        "value": value,
    }  # fmt: skip
    return {"type": "call", "action": action}


def _ended(trace: dict[str, Any], to: Address, left: Left, parity: bool) -> None:
    if trace["type"] == "suicide":
        trace["result"] = None
        return
    if trace["type"] == "create":
        result = {"address": to_hex(to), "code": to_hex(left.output), "gasUsed": hex(left.gas_used)}
    else:
        result = {"gasUsed": hex(left.gas_used), "output": to_hex(left.output)}
    if left.error:
        trace["error"] = _parity_words(left.error) if parity else left.error
        if trace["type"] == "create":
            del result["address"]
    if not left.error or left.error == REVERTED:
        trace["result"] = result


def _parity_words(error: str) -> str:
    for beginning, words in _PARITY_BEGINNINGS:
        if error.startswith(beginning):
            return words
    return _PARITY_ERRORS.get(error, error)

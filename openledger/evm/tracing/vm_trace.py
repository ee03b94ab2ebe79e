"""Which opcodes ran, frame in frame: the part of OpenEthereum's ``vmTrace`` that explorers use to find where a
transaction failed. An opcode has ``pc``, ``op``, ``cost`` and, where it made a frame, ``sub``; values are not kept."""

from __future__ import annotations

from typing import Any

from openledger.evm.tracing.opcodes import opcode_name
from openledger.evm.tracing.tracer import Budget, Frame, Json, Left, Scope, Step, Tracer, View
from openledger.evm.validate import is_delegation
from openledger.primitives.types import Address, to_hex


class VmTracer(Tracer):
    """See the module."""

    sees_steps = True
    sees_all = True

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._open: list[tuple[Frame, dict[str, Any]]] = []
        self._top: dict[str, Any] = {"code": "0x", "ops": []}
        self._made: dict[Address, bytes] = {}

    def enter(self, frame: Frame) -> None:
        creates = frame.kind in ("CREATE", "CREATE2")
        made: dict[str, Any] = {"code": to_hex(frame.input) if creates else "", "ops": []}
        if not self._open:
            self._top = made
        elif frame.kind != "SELFDESTRUCT" and self._open[-1][1]["ops"]:
            self._open[-1][1]["ops"][-1]["sub"] = made
        self._open.append((frame, made))

    def leave(self, left: Left, depth: int) -> None:
        frame, made = self._open.pop()
        made["code"] = made["code"] or "0x"  # nothing ran
        if frame.kind in ("CREATE", "CREATE2") and not left.error:
            self._made[frame.to] = left.output

    def step(self, view: View, step: Step, scope: Scope) -> None:
        frame, made = self._open[-1]
        if not made["code"]:
            made["code"] = to_hex(self._code(view, frame.to))
            self._budget.grow(len(made["code"]))
        made["ops"].append({"pc": step.pc, "op": opcode_name(step.op), "cost": 0, "sub": None})
        step.note = made["ops"][-1]
        self._budget.grow(80)

    def stepped(self, step: Step, cost: int, error: str) -> None:
        if step.note is not None:
            step.note["cost"] = cost

    def _code(self, view: View, address: Address) -> bytes:
        code = self._made.get(address) or view.get_code(address)
        return view.get_code(code[3:]) if is_delegation(code) else code

    def result(self) -> Json:
        return self._top

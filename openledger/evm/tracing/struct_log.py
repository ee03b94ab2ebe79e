"""geth's default tracer: one entry for each opcode.

Options: ``enableMemory`` (off), ``disableStack``, ``disableStorage``, ``enableReturnData`` (off), ``limit`` (bytes of
output after which no entry is added; 0: none).
"""

from __future__ import annotations

from dataclasses import dataclass

from openledger.evm.reasons import REVERTED
from openledger.evm.tracing.opcodes import SLOAD, SSTORE, opcode_name
from openledger.evm.tracing.tracer import Budget, Json, Left, Scope, Step, Tracer, View, word_hex
from openledger.primitives.types import Address, to_hex

_ENTRY = 90
"""About the bytes of an entry without stack, memory and storage."""


@dataclass(frozen=True, slots=True)
class StructLogOptions:
    """See the module."""

    memory: bool = False
    stack: bool = True
    storage: bool = True
    return_data: bool = False
    limit: int = 0


class StructLogger(Tracer):
    """See the module."""

    sees_steps = True

    def __init__(self, budget: Budget, options: StructLogOptions) -> None:
        self._budget = budget
        self._options = options
        self.sees_memory = options.memory
        self._logs: list[Json] = []
        self._slots: dict[Address, dict[str, str]] = {}
        self._left = Left(b"", 0)
        self._gas = 0
        self._size = 0
        self._stored: Json = None
        """The entry before, of an SSTORE that has succeeded: its refund shows with it, as in geth."""

    def step(self, view: View, step: Step, scope: Scope) -> None:
        options = self._options
        if self._stored is not None:
            self._stored |= {"refund": step.refund} if step.refund else {}
            self._stored = None
        if options.limit and self._size > options.limit:
            return
        entry: Json = {"pc": step.pc, "op": opcode_name(step.op), "gas": step.gas, "gasCost": 0, "depth": step.depth}
        size = _ENTRY
        if options.stack:
            entry["stack"] = [hex(word) for word in scope.stack()]
            size += sum(len(word) + 3 for word in entry["stack"])
        if options.return_data and scope.return_data:
            entry["returnData"] = to_hex(scope.return_data)
            size += 2 * len(scope.return_data)
        if options.memory:
            memory = scope.memory()
            if memory:
                entry["memory"] = [to_hex(memory[i : i + 32].ljust(32, b"\0")) for i in range(0, len(memory), 32)]
                size += len(memory) * 69 // 32
        if options.storage and step.op in (SLOAD, SSTORE):
            slots = self._storage(view, step.op, scope)
            if slots:
                entry["storage"] = slots
                size += 140 * len(slots)
        if step.refund and step.op != SSTORE:
            entry["refund"] = step.refund
        step.note = entry
        self._size += size
        self._budget.grow(size)
        self._logs.append(entry)

    def _storage(self, view: View, op: int, scope: Scope) -> dict[str, str]:
        """Slots of the running contract touched so far, with this one."""
        if scope.stack_size() < (1 if op == SLOAD else 2):
            return {}
        slot = scope.word(0)
        value = view.get_storage(scope.address, slot) if op == SLOAD else scope.word(1)
        known = self._slots.setdefault(scope.address, {})
        known[word_hex(slot)] = word_hex(value)
        return dict(known)

    def stepped(self, step: Step, cost: int, error: str) -> None:
        if step.note is not None:
            step.note["gasCost"] = cost
            if error:
                step.note["error"] = error
                step.note.pop("storage", None)
            elif step.op == SSTORE:
                self._stored = step.note

    def leave(self, left: Left, depth: int) -> None:
        self._left = left

    def end(self, view: View, gas_used: int) -> None:
        self._gas = gas_used

    def result(self) -> Json:
        failed = bool(self._left.error)
        output = self._left.output if not failed or self._left.error == REVERTED else b""
        return {"gas": self._gas, "failed": failed, "returnValue": to_hex(output), "structLogs": self._logs}

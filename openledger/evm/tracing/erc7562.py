"""geth's ``erc7562Tracer`` and ``keccak256PreimageTracer``, both of which look at every opcode.

The first is ``callTracer`` with what the rules for user operations ask of each frame (ERC-7562): opcodes, slots, code
that was looked at. Bundlers of ERC-4337 judge with it what they take. Options: ``withLog``, ``ignoredOpcodes``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openledger.evm.tracing.call_tracer import CallTracer
from openledger.evm.tracing.opcodes import CALLS, EXTCODECOPY, EXTCODEHASH, EXTCODESIZE, SLOAD, SSTORE
from openledger.evm.tracing.tracer import Budget, Frame, Json, Left, Scope, Step, Tracer, View, word_address
from openledger.primitives.errors import CallFailed
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import Address, to_hex

_ISZERO, _KECCAK256, _GAS, _TLOAD, _TSTORE, _RETURN, _REVERT = 0x15, 0x20, 0x5A, 0x5C, 0x5D, 0xF3, 0xFD
_LOOKS = frozenset((EXTCODEHASH, EXTCODESIZE, EXTCODECOPY))
_COUNTED = {SSTORE: "writes", _TLOAD: "transientReads", _TSTORE: "transientWrites"}
_OUT_OF_GAS = ("out of gas", "contract creation code storage out of gas")
IGNORED = frozenset((*range(0x5F, 0xA0), *range(0x01, 0x05), *range(0x10, 0x18), 0x19, 0x1B, 0x1C, 0x50))
"""Opcodes that do not count unless a caller says otherwise: arithmetic, comparisons, pushes, copies and swaps."""
MOST_PADDING = 1 << 20


def _preimage(scope: Scope) -> bytes | None:
    """What KECCAK256 is about to hash; None where the frame cannot pay for so much memory."""
    if scope.stack_size() < 2:
        return None
    at, length = scope.word(0), scope.word(1)
    there = scope.memory()[at : at + length] if length else b""
    return there.ljust(length, b"\0") if length - len(there) <= MOST_PADDING else None


class PreimageTracer(Tracer):
    """What was hashed, by its hash."""

    sees_steps = sees_all = sees_memory = True

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._found: dict[str, str] = {}

    def step(self, view: View, step: Step, scope: Scope) -> None:
        found = _preimage(scope) if step.op == _KECCAK256 else None
        if found is not None:
            self._found[to_hex(keccak256(found))] = to_hex(found)
            self._budget.grow(70 + 2 * len(found))

    def result(self) -> Json:
        return self._found


class Erc7562Tracer(CallTracer):
    """See the module."""

    sees_steps = sees_all = sees_memory = True

    def __init__(self, budget: Budget, *, with_log: bool, ignored: frozenset[int]) -> None:
        super().__init__(budget, with_log=with_log)
        self._ignored = ignored
        self._last: tuple[int, int] | None = None
        """The opcode before, and what was on top of the stack."""
        self._hashed: set[bytes] = set()
        self._created: dict[Address, int] = {}
        self._frames: list[Frame] = []

    def enter(self, frame: Frame) -> None:
        super().enter(frame)
        self._frames.append(frame)
        slots: Json = {"reads": {}, "writes": {}, "transientReads": {}, "transientWrites": {}}
        self._open[-1] |= {
            "accessedSlots": slots, "extCodeAccessInfo": [], "usedOpcodes": {}, "contractSize": {}, "outOfGas": False,
        }  # fmt: skip

    def leave(self, left: Left, depth: int) -> None:
        self._open[-1]["outOfGas"] = depth > 0 and left.error in _OUT_OF_GAS
        frame = self._frames.pop()
        if frame.kind in ("CREATE", "CREATE2") and not left.error:
            self._created[frame.to] = len(left.output)
        super().leave(left, depth)

    def step(self, view: View, step: Step, scope: Scope) -> None:
        op, frame = step.op, self._open[-1]
        if op in (_RETURN, _REVERT):
            self._last = None
        before, top = self._last or (0, 0)
        if before in _LOOKS and (before, op) != (EXTCODESIZE, _ISZERO):
            frame["extCodeAccessInfo"].append(to_hex(word_address(top)))
            self._budget.grow(45)
        if op in _LOOKS or op in CALLS:
            self._size(view, op, scope, frame["contractSize"])
        used = frame["usedOpcodes"]
        if before == _GAS and op not in CALLS:
            used[hex(_GAS)] = used.get(hex(_GAS), 0) + 1
        if op != _GAS and op not in self._ignored:
            used[hex(op)] = used.get(hex(op), 0) + 1
        self._slot(view, op, scope, frame["accessedSlots"])
        found = _preimage(scope) if op == _KECCAK256 else None
        if found is not None and found not in self._hashed:
            self._hashed.add(found)
            self._budget.grow(2 * len(found))
        self._last = (op, scope.word(0) if scope.stack_size() else 0)

    def _size(self, view: View, op: int, scope: Scope, known: Json) -> None:
        """The size of the code that an opcode names, when the frame first names it."""
        place = 1 if op in CALLS else 0
        if scope.stack_size() <= place:
            return
        address = word_address(scope.word(place))
        if to_hex(address) not in known:
            size = self._created.get(address) or len(view.get_code(address))
            known[to_hex(address)] = {"contractSize": size, "opcode": op}
            self._budget.grow(100)

    def _slot(self, view: View, op: int, scope: Scope, slots: Json) -> None:
        if (op != SLOAD and op not in _COUNTED) or not scope.stack_size():
            return
        slot = f"0x{scope.word(0):064x}"
        self._budget.grow(150)
        if op in _COUNTED:
            counts = slots[_COUNTED[op]]
            counts[slot] = counts.get(slot, 0) + 1
        elif slot not in slots["reads"] and slot not in slots["writes"]:
            slots["reads"][slot] = [f"0x{view.get_storage(scope.address, scope.word(0)):064x}"]

    def result(self) -> Json:
        hashed = {"keccak": [to_hex(found) for found in sorted(self._hashed)]} if self._hashed else {}
        return super().result() | hashed


def ignored_opcodes(config: Mapping[str, Any]) -> frozenset[int]:
    """The option ``ignoredOpcodes``: a list of quantities. Raises CallFailed for another form."""
    given = config.get("ignoredOpcodes")
    if given is None:
        return IGNORED
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise CallFailed("ignoredOpcodes is a list of opcodes such as 0x5a")
    try:
        return frozenset(int(one, 16) for one in given)
    except (TypeError, ValueError):
        raise CallFailed("ignoredOpcodes is a list of opcodes such as 0x5a") from None

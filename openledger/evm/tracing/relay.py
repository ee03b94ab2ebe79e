"""Between the native engine and a tracer: what ``native/src/watch.rs`` tells, in the form in which tracers hear it.

The state before the transaction answers for accounts, since a tracer looks at each before it changes; what a
transaction may have changed by then, its own nonce, a slot, a delegation, is told with the opcode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from openledger.evm.tracing.opcodes import opcode_name
from openledger.evm.tracing.outside import PlainView
from openledger.evm.tracing.struct_log import StructLogger
from openledger.evm.tracing.tracer import Budget, Frame, Left, Step, Tracer, word_address
from openledger.primitives.types import Address, Log
from openledger.state.ports import StateReader

Told: TypeAlias = tuple[Address, list[int], int, bytes | None, bytes]
"""Whose storage, the stack (top last, perhaps only its upper part), its whole height, memory where asked for, the data
that the last call returned."""
Now: TypeAlias = tuple[int, int | None, bytes | None]
"""Nonce of the running account, value of the slot that the opcode names, delegation of the account that it calls: empty
where an authorization has ended it."""


@dataclass(frozen=True, slots=True)
class Wants:
    """Of which opcodes a tracer hears: those that name accounts and slots (``looks``), all (``steps``), with
    ``memory``; ``left`` opcodes until its bound."""

    looks: bool
    steps: bool
    memory: bool
    left: int


def wants(tracer: Tracer, budget: Budget) -> Wants:
    """What to tell this tracer."""
    if isinstance(tracer, StructLogger):
        return Wants(True, True, tracer.sees_memory, budget.left)
    return Wants(tracer.sees_steps, tracer.sees_all, tracer.sees_memory, budget.left)


class _Scope:
    """``Scope`` of what was told."""

    def __init__(self, told: Told) -> None:
        self.address, self._words, self._size, self._memory, self.return_data = told

    def stack(self) -> list[int]:
        return self._words

    def stack_size(self) -> int:
        return self._size

    def word(self, place: int) -> int:
        return self._words[-1 - place]

    def memory(self) -> bytes:
        return self._memory or b""


class _View(PlainView):
    """The state before, with what is told of now."""

    def __init__(self, state: StateReader, scope: _Scope, now: Now) -> None:
        super().__init__(state)
        self._scope = scope
        self._nonce, self._value, self._code = now

    def get_nonce(self, address: Address) -> int:
        return self._nonce if address == self._scope.address else super().get_nonce(address)

    def get_code(self, address: Address) -> bytes:
        if self._code is not None and address == word_address(self._scope.word(1)):
            return self._code
        return super().get_code(address)

    def get_storage(self, address: Address, slot: int) -> int:
        return super().get_storage(address, slot) if self._value is None else self._value


class Relay:
    """What the native engine calls. ``state`` is the one before the transaction."""

    def __init__(self, tracer: Tracer, budget: Budget, state: StateReader, first_log: int) -> None:
        self._tracer = tracer
        self._budget = budget
        self._state = state
        self._logs = first_log
        self._undo: list[int] = []
        self._step = Step(0, 0, 0, 0, 0)

    def enter(
        self, op: int, sender: Address, to: Address, data: bytes, gas: int, value: int | None, depth: int
    ) -> None:
        """A frame begins, or something that is shown as one."""
        self._undo.append(self._logs)
        self._tracer.enter(Frame(opcode_name(op), sender, to, data, gas, value, depth))

    def leave(self, output: bytes, gas_used: int, error: str, depth: int) -> None:
        """It ends; the logs of a failed one are undone."""
        logs = self._undo.pop()
        if error:
            self._logs = logs
        self._tracer.leave(Left(output, gas_used, error), depth)

    def log(self, address: Address, topics: Sequence[bytes], data: bytes) -> None:
        """The running frame made a log."""
        self._tracer.log(Log(address, tuple(topics), data), self._logs)
        self._logs += 1

    def look(self, left: int) -> None:
        """``left`` opcodes until the bound. Raises CallFailed when it is reached, or time is over."""
        self._budget.left = left
        self._budget.look()

    def step(self, pc: int, op: int, gas: int, depth: int, refund: int, told: Told, now: Now) -> None:
        """An opcode is about to run."""
        scope = _Scope(told)
        self._step = Step(pc, op, gas, depth, refund)
        self._tracer.step(_View(self._state, scope, now), self._step, scope)

    def stepped(self, cost: int, error: str) -> None:
        """It has run, or handed over to the frame that it makes."""
        self._tracer.stepped(self._step, cost, error)

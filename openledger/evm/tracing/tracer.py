"""What a tracer is told, whatever engine runs, and the bounds it works in.

The events are those of geth's ``core/tracing``: a transaction starts and ends, a frame is entered and left, an opcode
is about to run and has run, a log was made. A tracer keeps what its output form asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from openledger.evm.engine import BlockEnv, CallMessage
from openledger.primitives.errors import CallFailed
from openledger.primitives.transactions import EthTransaction
from openledger.primitives.types import Address, Hash32, Log
from openledger.state.ports import Diff, StateReader

Json = Any


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class TraceBounds:
    """``steps`` opcodes at most, ``size`` bytes of output at most (about); ``expired`` tells when time is over."""

    steps: int = 10_000_000
    size: int = 256 * 1024 * 1024
    expired: Callable[[], bool] = _never


class Tracing(Protocol):
    """An engine that can trace."""

    def trace(
        self,
        env: BlockEnv,
        before: Sequence[EthTransaction],
        subject: EthTransaction | CallMessage,
        state: StateReader,
        tracer: str,
        config: Mapping[str, Any],
        bounds: TraceBounds,
        first_log: int = 0,
    ) -> Json:
        """Run ``before`` on ``state``, then trace ``subject``; JSON in the form of geth's tracer of that name ("" is
        the struct logger, whose options ``config`` then holds). ``first_log`` is the number of logs in the block
        before. Leaves ``state`` as it was. Raises CallFailed for an unknown tracer or option, for a bound that is
        reached, and what ``execute`` refuses or ``call`` raises for a subject that cannot run."""
        ...


@dataclass(frozen=True, slots=True)
class Watched:
    """A run that a tracer watched: the tracer, what the run changed, gas with intrinsic gas and after refunds."""

    tracer: Tracer
    diff: Diff
    gas_used: int


class Watching(Protocol):
    """An engine that tells any tracer of a run."""

    def watch(
        self,
        env: BlockEnv,
        subject: EthTransaction | CallMessage,
        state: StateReader,
        make: Callable[[], tuple[Tracer, Budget]],
        first_log: int = 0,
    ) -> Watched:
        """Run ``subject`` on ``state``, which stays as it was, and tell a tracer of it; ``make`` may be called twice.
        Raises what ``Tracing.trace`` raises for a subject that cannot run."""
        ...


class View(Protocol):
    """State as it is at this moment of the trace."""

    def get_balance(self, address: Address) -> int: ...
    def get_nonce(self, address: Address) -> int: ...
    def get_code(self, address: Address) -> bytes: ...
    def get_storage(self, address: Address, slot: int) -> int: ...


@dataclass(frozen=True, slots=True)
class Start:
    """The outermost message. ``created`` is the address of a creation; ``authorities`` signed its authorizations."""

    sender: Address
    to: Address | None
    created: Address | None
    gas: int
    coinbase: Address
    authorities: tuple[Address, ...]
    precompiles: frozenset[Address]


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame that is entered: ``kind`` is CALL, STATICCALL, DELEGATECALL, CALLCODE, CREATE, CREATE2 or SELFDESTRUCT;
    ``depth`` is 0 for the outermost. ``value`` in wei, None for a STATICCALL."""

    kind: str
    sender: Address
    to: Address
    input: bytes
    gas: int
    value: int | None
    depth: int


@dataclass(frozen=True, slots=True)
class Left:
    """How a frame ended. ``error`` in geth's words, empty for success; ``output`` is revert data where it reverted."""

    output: bytes
    gas_used: int
    error: str = ""


class Step:
    """One opcode. ``gas`` is what the frame has before it; ``depth`` is 1 in the outermost frame. ``note`` belongs to
    the tracer."""

    __slots__ = ("depth", "gas", "note", "op", "pc", "refund")

    def __init__(self, pc: int, op: int, gas: int, depth: int, refund: int) -> None:
        self.pc = pc
        self.op = op
        self.gas = gas
        self.depth = depth
        self.refund = refund
        self.note: Any = None


class Scope(Protocol):
    """The frame in which an opcode runs, before it runs."""

    @property
    def address(self) -> Address:
        """Whose storage it works on."""
        ...

    @property
    def return_data(self) -> bytes: ...

    def stack(self) -> list[int]:
        """All of it, top last."""
        ...

    def stack_size(self) -> int: ...

    def word(self, place: int) -> int:
        """The word at ``place`` from the top, 0 being the top."""
        ...

    def memory(self) -> bytes: ...


class Tracer:
    """Base of all tracers: hears nothing, says nothing."""

    sees_steps = False
    """Whether ``step`` and ``stepped`` are called at all."""
    sees_all = False
    """Whether for every opcode, with the whole stack, and not only for those that name accounts or slots."""

    sees_memory = False
    """Whether it reads memory."""

    def start(self, view: View, start: Start) -> None:
        """Before anything happens, gas is not bought yet."""

    def enter(self, frame: Frame) -> None:
        """A frame begins, or something that is shown as one."""

    def leave(self, left: Left, depth: int) -> None:
        """The frame at ``depth`` ends."""

    def log(self, log: Log, index: int) -> None:
        """The running frame made a log; ``index`` counts through the block."""

    def touch(self, view: View, address: Address, slots: Sequence[int]) -> None:
        """An account, and slots of it, that work outside the EVM will change."""

    def step(self, view: View, step: Step, scope: Scope) -> None:
        """An opcode is about to run."""

    def stepped(self, step: Step, cost: int, error: str) -> None:
        """It has run, its callees included. ``cost`` as geth counts: with the gas handed to a callee of a call, without
        that of a creation. ``error`` where it could not even be paid for or the stack did not fit."""

    def end(self, view: View, gas_used: int) -> None:
        """After everything, gas is paid."""

    def result(self) -> Json:
        """The trace."""
        return {}


class Budget:
    """Counts what a trace uses. Raises CallFailed when a bound is reached.

    Whoever runs takes one from ``left`` for each opcode, and calls ``look`` when it is below zero and now and then.
    """

    def __init__(self, bounds: TraceBounds) -> None:
        self._bounds = bounds
        self._size = 0
        self.left = bounds.steps

    def look(self) -> None:
        """Are there steps and time left?"""
        if self.left < 0:
            raise CallFailed(f"the trace has more than {self._bounds.steps} steps", "ask for less gas")
        if self._bounds.expired():
            raise CallFailed("execution timeout", "a simpler tracer such as callTracer takes less time")

    def grow(self, size: int) -> None:
        """So many bytes of output more, about."""
        self._size += size
        if self._size > self._bounds.size:
            text = f"the trace is larger than {self._bounds.size} bytes"
            raise CallFailed(text, "use limit, disableStack, disableStorage, or another tracer")


def word_hex(value: int) -> str:
    """32 bytes of hex."""
    return f"0x{value:064x}"


def word_address(value: int) -> Address:
    """The address in a stack word."""
    return (value & ((1 << 160) - 1)).to_bytes(20, "big")


def hash_hex(value: Hash32) -> str:
    """0x form."""
    return "0x" + value.hex()

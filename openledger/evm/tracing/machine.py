"""py-evm told to report: the machine of ``evm/machine.py`` whose frames and opcodes call a tracer.

What runs is the same: frames are entered through the same functions, opcodes are the same objects. Added are the
counting of what each opcode costs, and the frames that py-evm does not make but geth shows: a call or creation that
fails before it begins, and SELFDESTRUCT.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eth.constants import STACK_DEPTH_LIMIT
from eth.exceptions import FullStack, Halt, InsufficientStack, OutOfGas, Revert, VMError
from eth.vm.gas_meter import GasMeter
from eth.vm.logic.invalid import InvalidOpcode

from openledger.evm.addresses import authorities_of, create_address
from openledger.evm.failures import describe
from openledger.evm.machine import Outcome, Work, build_machine, failure_text, run_message
from openledger.evm.precompiles import NativePrecompile
from openledger.evm.reasons import REVERTED
from openledger.evm.tracing.opcodes import (
    CALL,
    CALLCODE,
    CALLS,
    CREATE,
    CREATE2,
    CREATES,
    DELEGATECALL,
    SELFDESTRUCT,
    STATICCALL,
    opcode_name,
)
from openledger.evm.tracing.tracer import Budget, Frame, Left, Start, Step, Tracer, word_address
from openledger.evm.validate import MAX_INITCODE_BYTES, Fork
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import ZERO_ADDRESS, Address, Log

_LOOK_MASK = 1023
_CODE_DEPOSIT = "Write contract code"
_BEFORE_IT_RAN = (OutOfGas, InsufficientStack, FullStack)


class _Meter(GasMeter):
    """A gas meter that knows what the running opcode has asked for, and the part it handed to a creation."""

    def __init__(self, watch: Watch, gas: int, strategy: Any) -> None:
        super().__init__(gas, strategy)
        self._watch = watch
        self.spent = 0
        self.returned = 0
        self.handed = 0
        self._creations = 0

    def begin(self) -> None:
        """The next opcode."""
        self.spent = self.returned = self.handed = self._creations = 0

    def consume_gas(self, amount: int, reason: str) -> None:
        self.spent += amount
        if reason in ("CREATE", "CREATE2"):  # the second time it is the gas of the frame to be
            self._creations += 1
            self.handed = amount if self._creations == 2 else 0
        if amount > self.gas_remaining:
            super().consume_gas(amount, reason)  # raises
        self.gas_remaining -= amount

    def return_gas(self, amount: int) -> None:
        self.returned += amount
        super().return_gas(amount)

    def refund_gas(self, amount: int) -> None:
        self._watch.refund += amount
        super().refund_gas(amount)


class _Scope:
    """``Scope`` over a py-evm frame."""

    def __init__(self, computation: Any) -> None:
        self._frame = computation
        self._values: list[Any] = computation._stack.values
        self.address: Address = computation.msg.storage_address

    @property
    def return_data(self) -> bytes:
        data: bytes = self._frame.return_data
        return data

    def stack(self) -> list[int]:
        return [v if isinstance(v, int) else int.from_bytes(v, "big") for v in self._values]

    def stack_size(self) -> int:
        return len(self._values)

    def word(self, place: int) -> int:
        value = self._values[-1 - place]
        return value if isinstance(value, int) else int.from_bytes(value, "big")

    def memory(self) -> bytes:
        memory = self._frame._memory
        found: bytes = memory.read_bytes(0, len(memory))
        return found


class Watch:
    """Between the machine and one tracer: who is running, how deep, what was refunded."""

    def __init__(self, tracer: Tracer, budget: Budget, first_log: int) -> None:
        self.tracer = tracer
        self.budget = budget
        self.refund = 0
        self.logs = first_log
        self.entered = 0
        self._undo: list[tuple[int, int]] = []
        self._callers: list[tuple[int, Address]] = []

    # --- frames -------------------------------------------------------------------------------------------

    def enter(self, message: Any) -> None:
        """A frame of the machine begins."""
        if not self._undo:
            self.refund = message.refund
        op, target = self._callers[-1] if self._callers else (None, message.to)
        if message.is_create:
            kind = "CREATE" if op is None else opcode_name(op)
            frame = Frame(
                kind, message.sender, message.storage_address, message.code, message.gas, message.value, message.depth
            )
        else:
            kind = "CALL" if op is None else opcode_name(op)
            sender = message.storage_address if op in (DELEGATECALL, CALLCODE) else message.sender
            value = None if op == STATICCALL else message.value
            frame = Frame(kind, sender, target, message.data_as_bytes, message.gas, value, message.depth)
        self.entered += 1
        self._undo.append((self.refund, self.logs))
        self.tracer.enter(frame)

    def leave(self, computation: Any) -> None:
        """A frame of the machine has ended; what a failed one refunded and logged is undone."""
        refund, logs = self._undo.pop()
        if computation.is_error:
            self.refund, self.logs = refund, logs
        self.tracer.leave(
            Left(computation.output, computation.get_gas_used(), _error(computation)), computation.msg.depth
        )

    def never_ran(self, frame: Frame, error: str, gas_used: int) -> None:
        """A frame that failed before it began, or that is shown as one."""
        self.tracer.enter(frame)
        self.tracer.leave(Left(b"", gas_used, error), frame.depth)

    def log(self, log: Log) -> None:
        self.tracer.log(log, self.logs)
        self.logs += 1

    # --- opcodes ------------------------------------------------------------------------------------------

    def run(self, computation: Any) -> None:
        """All opcodes of a frame. Raises what py-evm's frames raise, and CallFailed when a bound is reached."""
        code, lookup, budget = computation.code, computation.opcodes, self.budget
        length, sees = len(code), self.tracer.sees_steps
        scope = _Scope(computation)
        while True:
            pc = code.program_counter
            opcode = code[pc] if pc < length else 0
            code.program_counter = pc + 1
            budget.left -= 1
            if budget.left < 0 or not budget.left & _LOOK_MASK:
                budget.look()
            function = lookup.get(opcode) or InvalidOpcode(opcode)
            try:
                if sees or opcode >= CREATE:
                    self._watched(computation, function, pc, opcode, scope)
                else:
                    function(computation=computation)
            except Halt:
                return

    def _watched(self, computation: Any, function: Any, pc: int, opcode: int, scope: _Scope) -> None:
        """One opcode of which the tracer may hear, or that may make a frame."""
        meter = computation._gas_meter
        meter.begin()
        step = Step(pc, opcode, meter.gas_remaining, computation.msg.depth + 1, self.refund)
        if self.tracer.sees_steps:
            self.tracer.step(computation.state.journal, step, scope)
        spawn = _Spawn.of(opcode, scope, self.entered, computation)
        halted = False
        try:
            if spawn is not None:
                self._callers.append((opcode, spawn.target))
            function(computation=computation)
        except Halt:
            halted = True
        except VMError as err:
            self._stepped(step, meter, err)
            raise
        finally:
            if spawn is not None:
                self._callers.pop()
        if spawn is not None:
            self._show_missing(computation, step, spawn)
        self._stepped(step, meter, None)
        if halted:
            raise Halt(opcode_name(opcode))

    def _stepped(self, step: Step, meter: _Meter, error: VMError | None) -> None:
        if self.tracer.sees_steps:
            text = describe(error, step.op, b"") if isinstance(error, _BEFORE_IT_RAN) else ""
            self.tracer.stepped(step, meter.spent - meter.handed, text)

    def _show_missing(self, computation: Any, step: Step, spawn: _Spawn) -> None:
        """The frame of a call or creation that never began, and of SELFDESTRUCT."""
        here, meter, depth = computation.msg.storage_address, computation._gas_meter, step.depth
        kind = opcode_name(step.op)
        if step.op == SELFDESTRUCT:
            self.never_ran(Frame(kind, here, spawn.target, b"", 0, spawn.value, depth), "", 0)
            return
        if self.entered != spawn.entered:
            return
        journal = computation.state.journal
        balance, nonce = journal.get_balance(here), journal.get_nonce(here)
        data = spawn.data(computation)
        error = "insufficient balance for transfer"
        if depth > STACK_DEPTH_LIMIT:
            error = "max call depth exceeded"
        if step.op in CALLS:
            shown = None if step.op == STATICCALL else spawn.value
            self.never_ran(Frame(kind, here, spawn.target, data, meter.returned, shown, depth), error, 0)
        elif meter.handed:
            made = spawn.created(here, nonce - 1, data)
            frame = Frame(kind, here, made, data, meter.handed, spawn.value, depth)
            self.never_ran(frame, "contract address collision", meter.handed)
        else:
            if depth <= STACK_DEPTH_LIMIT and balance >= spawn.value:
                error = "nonce uint64 overflow"
            gas = meter.gas_remaining - meter.gas_remaining // 64
            made = spawn.created(here, nonce, data)
            self.never_ran(Frame(kind, here, made, data, gas, spawn.value, depth), error, 0)


@dataclass(frozen=True, slots=True)
class _Spawn:
    """What the stack says before an opcode that makes a frame: the account called (zero for a creation), wei, where
    the input is in memory, the salt of a CREATE2, and how many frames there were."""

    target: Address
    value: int
    start: int
    size: int
    salt: int | None
    entered: int

    @classmethod
    def of(cls, opcode: int, scope: _Scope, entered: int, computation: Any) -> _Spawn | None:
        """None for other opcodes, and where the stack is too short for one of these."""
        if opcode < CREATE:
            return None
        height = scope.stack_size()
        if opcode in CALLS and height >= (7 if opcode in (CALL, CALLCODE) else 6):
            with_value = opcode in (CALL, CALLCODE)
            value = scope.word(2) if with_value else computation.msg.value if opcode == DELEGATECALL else 0
            at = 3 if with_value else 2
            return cls(word_address(scope.word(1)), value, scope.word(at), scope.word(at + 1), None, entered)
        if opcode in CREATES and height >= (4 if opcode == CREATE2 else 3):
            salt = scope.word(3) if opcode == CREATE2 else None
            return cls(ZERO_ADDRESS, scope.word(0), scope.word(1), scope.word(2), salt, entered)
        if opcode == SELFDESTRUCT and height:
            balance = computation.state.journal.get_balance(scope.address)
            return cls(word_address(scope.word(0)), balance, 0, 0, None, entered)
        return None

    def data(self, computation: Any) -> bytes:
        """The input; memory was made large enough by the opcode."""
        found: bytes = computation.memory_read_bytes(self.start, self.size)
        return found

    def created(self, creator: Address, nonce: int, init: bytes) -> Address:
        """Address of the contract that would be."""
        if self.salt is None:
            return create_address(creator, nonce)
        return keccak256(b"\xff" + creator + self.salt.to_bytes(32, "big") + keccak256(init))[12:]


def _error(computation: Any) -> str:
    """Why a frame failed, as geth's traces say it: without the reason of a revert."""
    if computation.is_error and isinstance(computation.error, Revert):
        return REVERTED
    if computation.is_error and _CODE_DEPOSIT in str(computation.error):
        return "contract creation code storage out of gas"
    return failure_text(computation)


class _Reporting:
    """The part of the computation class that calls the watch."""

    state: Any
    msg: Any

    def _configure_gas_meter(self) -> GasMeter:
        plain: Any = super()._configure_gas_meter()  # type: ignore[misc]
        return _Meter(self.state.watch, plain.start_gas, plain.refund_strategy)

    @classmethod
    def apply_message(cls, state: Any, message: Any, context: Any, parent_computation: Any = None) -> Any:
        parent: Any = super()
        if message.is_create:  # the inner half of apply_create_message
            return parent.apply_message(state, message, context, parent_computation=parent_computation)
        state.watch.enter(message)
        computation = parent.apply_message(state, message, context, parent_computation=parent_computation)
        state.watch.leave(computation)
        return computation

    @classmethod
    def apply_create_message(cls, state: Any, message: Any, context: Any, parent_computation: Any = None) -> Any:
        parent: Any = super()
        if len(message.code) > MAX_INITCODE_BYTES:  # raises: the opcode cannot be paid for, and no frame begins
            return parent.apply_create_message(state, message, context, parent_computation=parent_computation)
        state.watch.enter(message)
        computation = parent.apply_create_message(state, message, context, parent_computation=parent_computation)
        state.watch.leave(computation)
        return computation

    @classmethod
    def apply_computation(cls, state: Any, message: Any, context: Any, parent_computation: Any = None) -> Any:
        """As py-evm's, with our loop over the opcodes."""
        made: Any = cls
        with made(state, message, context) as computation:
            computation.contracts_created = [] if parent_computation is None else parent_computation.contracts_created
            if message.is_create:
                computation.contracts_created.append(message.storage_address)
            precompile = computation.precompiles.get(message.code_address)
            if precompile is None and not message.code:
                pass  # as in geth, nothing runs, not even the STOP beyond the end
            elif precompile is None:
                state.watch.run(computation)
            elif not message.is_delegation:
                precompile(computation)
        return computation

    def add_log_entry(self, account: Address, topics: tuple[int, ...], data: bytes) -> None:
        super().add_log_entry(account, topics, data)  # type: ignore[misc]
        self.state.watch.log(Log(account, tuple(t.to_bytes(32, "big") for t in topics), data))


def build_traced_machine(
    fork: Fork, precompiles: Mapping[Address, NativePrecompile], moved: Mapping[Address, Address | None]
) -> Any:
    """The machine of ``build_machine``; set ``watch`` on each state that is made of it."""
    plain: Any = build_machine(fork, precompiles, moved)
    opcodes = dict(plain.computation_class.opcodes)
    opcodes[SELFDESTRUCT] = getattr(opcodes[SELFDESTRUCT], "__wrapped__", opcodes[SELFDESTRUCT])  # it warns of its age
    computation = type("TracedComputation", (_Reporting, plain.computation_class), {"opcodes": opcodes})
    return type("TracedMachine", (plain,), {"computation_class": computation, "watch": None})


def run_traced(vm: Any, work: Work, watch: Watch) -> Outcome:
    """``run_message`` with everything told to the watch's tracer."""
    vm.watch = watch
    journal = vm.journal
    watch.tracer.start(journal, _start(vm, work))
    outcome = run_message(vm, work)
    if not watch.entered:  # a creation at an address that is taken
        created = outcome.created or ZERO_ADDRESS
        watch.never_ran(
            Frame("CREATE", work.sender, created, work.data, work.gas, work.value, 0),
            failure_text(outcome.computation), work.gas,
        )  # fmt: skip
    watch.tracer.end(journal, outcome.gas_used)
    return outcome


def _start(vm: Any, work: Work) -> Start:
    created = create_address(work.sender, work.nonce) if work.to is None else None
    return Start(
        work.sender, work.to, created, work.gas, vm.coinbase, authorities_of(work.authorizations),
        frozenset(vm.computation_class.get_precompiles()),
    )  # fmt: skip

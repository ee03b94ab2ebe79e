"""What a message comes to: status, return data, logs, gas before refunds; for eth_simulateV1 and eth_createAccessList.

With ``transfers`` each movement of coins is a log as well, as an ERC-20 token's would be (ERC-7528).
"""

from __future__ import annotations

from collections.abc import Sequence

from openledger.evm.tracing.tracer import Budget, Frame, Left, Scope, Start, Step, Tracer, View
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import Address, Log

COIN_ADDRESS: Address = b"\xee" * 20
TRANSFER = keccak256(b"Transfer(address,address,uint256)")


class OutcomeTracer(Tracer):
    """``logs`` are (number, log); numbers count all that were made, those undone included, from ``first`` on. Events go
    on to ``inner``."""

    def __init__(self, budget: Budget, *, transfers: bool = False, first: int = 0, inner: Tracer | None = None) -> None:
        self._budget = budget
        self._transfers = transfers
        self.inner = inner or Tracer()
        self._open: list[list[tuple[int, Log]]] = []
        self.sees_steps, self.sees_all = self.inner.sees_steps, self.inner.sees_all
        self.sees_memory = self.inner.sees_memory
        self.next_log = first
        self.logs: list[tuple[int, Log]] = []
        self.output = b""
        self.error = ""
        self.frame_gas = 0
        self.gas_used = 0

    def start(self, view: View, start: Start) -> None:
        self.inner.start(view, start)

    def enter(self, frame: Frame) -> None:
        self.inner.enter(frame)
        self._open.append([])
        if self._transfers and frame.value and frame.kind not in ("DELEGATECALL", "CALLCODE"):
            words = [TRANSFER, frame.sender.rjust(32, b"\0"), frame.to.rjust(32, b"\0")]
            self._keep(Log(COIN_ADDRESS, tuple(words), frame.value.to_bytes(32, "big")))

    def _keep(self, log: Log) -> None:
        self._open[-1].append((self.next_log, log))
        self.next_log += 1
        self._budget.grow(400 + 2 * len(log.data))

    def log(self, log: Log, index: int) -> None:
        self.inner.log(log, index)
        self._keep(log)

    def leave(self, left: Left, depth: int) -> None:
        self.inner.leave(left, depth)
        made = self._open.pop()
        if not left.error:
            (self._open[-1] if self._open else self.logs).extend(made)
        if not self._open:
            self.output, self.error, self.frame_gas = left.output, left.error, left.gas_used
            self._budget.grow(2 * len(left.output))

    def touch(self, view: View, address: Address, slots: Sequence[int]) -> None:
        self.inner.touch(view, address, slots)

    def step(self, view: View, step: Step, scope: Scope) -> None:
        self.inner.step(view, step, scope)

    def stepped(self, step: Step, cost: int, error: str) -> None:
        self.inner.stepped(step, cost, error)

    def end(self, view: View, gas_used: int) -> None:
        self.inner.end(view, gas_used)
        self.gas_used = gas_used

"""geth's ``muxTracer``: several tracers in one run. Its config has a key for each, with that tracer's own config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from openledger.evm.tracing.tracer import Frame, Json, Left, Scope, Start, Step, Tracer, View
from openledger.primitives.types import Address, Log


class MuxTracer(Tracer):
    """The answer has a key for each tracer."""

    def __init__(self, tracers: Mapping[str, Tracer]) -> None:
        self._tracers = tracers
        self._stepping = [tracer for tracer in tracers.values() if tracer.sees_steps]
        self.sees_steps = bool(self._stepping)
        self.sees_all = any(tracer.sees_all for tracer in self._stepping)
        self.sees_memory = any(tracer.sees_memory for tracer in self._stepping)

    def start(self, view: View, start: Start) -> None:
        for tracer in self._tracers.values():
            tracer.start(view, start)

    def enter(self, frame: Frame) -> None:
        for tracer in self._tracers.values():
            tracer.enter(frame)

    def leave(self, left: Left, depth: int) -> None:
        for tracer in self._tracers.values():
            tracer.leave(left, depth)

    def log(self, log: Log, index: int) -> None:
        for tracer in self._tracers.values():
            tracer.log(log, index)

    def touch(self, view: View, address: Address, slots: Sequence[int]) -> None:
        for tracer in self._tracers.values():
            tracer.touch(view, address, slots)

    def step(self, view: View, step: Step, scope: Scope) -> None:
        notes = []
        for tracer in self._stepping:  # each has a note of its own
            step.note = None
            tracer.step(view, step, scope)
            notes.append(step.note)
        step.note = notes

    def stepped(self, step: Step, cost: int, error: str) -> None:
        notes = step.note
        for tracer, note in zip(self._stepping, notes, strict=True):
            step.note = note
            tracer.stepped(step, cost, error)
        step.note = notes

    def end(self, view: View, gas_used: int) -> None:
        for tracer in self._tracers.values():
            tracer.end(view, gas_used)

    def result(self) -> Json:
        return {name: tracer.result() for name, tracer in self._tracers.items()}

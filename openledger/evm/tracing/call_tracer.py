"""geth's ``callTracer``: the tree of calls. Options: ``onlyTopCall``, ``withLog``."""

from __future__ import annotations

from openledger.evm.reasons import REVERTED, revert_text
from openledger.evm.tracing.tracer import Budget, Frame, Json, Left, Start, Tracer, View
from openledger.primitives.types import Log, to_hex


class CallTracer(Tracer):
    """Frames nest under ``calls``; a failed one has ``error``, and ``revertReason`` where its data say one."""

    def __init__(self, budget: Budget, *, only_top: bool = False, with_log: bool = False) -> None:
        self._budget = budget
        self._only_top = only_top
        self._with_log = with_log
        self._open: list[Json] = []
        self._top: Json = {}
        self._depth = 0
        self._gas = 0

    def start(self, view: View, start: Start) -> None:
        self._gas = start.gas

    def enter(self, frame: Frame) -> None:
        self._depth = frame.depth
        if self._only_top and frame.depth:
            return
        made: Json = {
            "from": to_hex(frame.sender),
            "gas": hex(frame.gas if frame.depth else self._gas),
            "gasUsed": "0x0",
            "to": to_hex(frame.to),
            "input": to_hex(frame.input),
        }
        if frame.value is not None:
            made["value"] = hex(frame.value)
        made["type"] = frame.kind
        self._budget.grow(400 + 2 * len(frame.input))
        self._open.append(made)

    def leave(self, left: Left, depth: int) -> None:
        if self._only_top and depth:
            self._depth = depth - 1
            return
        frame = self._open.pop()
        frame["gasUsed"] = hex(left.gas_used)
        _outcome(frame, left)
        self._budget.grow(2 * len(left.output))
        if left.error:
            _drop_logs(frame)
        self._depth = depth - 1
        if self._open:
            self._open[-1].setdefault("calls", []).append(frame)
        else:
            self._top = frame

    def log(self, log: Log, index: int) -> None:
        if not self._with_log or (self._only_top and self._depth > 0):
            return
        frame = self._open[-1]
        self._budget.grow(400 + 2 * len(log.data))
        frame.setdefault("logs", []).append(
            {
                "address": to_hex(log.address),
                "topics": [to_hex(topic) for topic in log.topics],
                "data": to_hex(log.data),
                "index": hex(index),
                "position": hex(len(frame.get("calls", ()))),
            }
        )

    def end(self, view: View, gas_used: int) -> None:
        self._top["gasUsed"] = hex(gas_used)

    def result(self) -> Json:
        return self._top


def _outcome(frame: Json, left: Left) -> None:
    if not left.error:
        if left.output:
            frame["output"] = to_hex(left.output)
        return
    frame["error"] = left.error
    if frame["type"] in ("CREATE", "CREATE2"):
        del frame["to"]
    if left.error == REVERTED and left.output:
        frame["output"] = to_hex(left.output)
        reason = revert_text(left.output)
        if reason is not None:
            frame["revertReason"] = reason


def _drop_logs(frame: Json) -> None:
    """A failed frame has no logs, and none of its callees has."""
    waiting = [frame]
    while waiting:
        found = waiting.pop()
        found.pop("logs", None)
        waiting += found.get("calls", ())

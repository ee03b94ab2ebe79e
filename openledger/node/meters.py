"""What a node counts of its own work while it works. Read by metrics.py; writing costs a fraction of a microsecond.

The calls of consensus are measured where they enter the application, so both engines count alike; the EVM where a batch
enters its engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from openledger.abci_app.protocol import messages as m
from openledger.primitives.errors import error_table
from openledger.rpc.meter import MethodMeter

if TYPE_CHECKING:
    from openledger.abci_app.application import Application
    from openledger.evm.engine import EvmEngine

CALLS = (
    "check_tx", "insert_tx", "reap_txs", "prepare_proposal", "process_proposal", "extend_vote",
    "verify_vote_extension", "finalize_block", "commit",
)  # fmt: skip
_LAG_EVERY = 0.5
_LAG_KEPT = 120
OFFSETS_KEPT = 5


class Meters:
    """Counters of one node. ``own`` is the consensus address of its validator, empty without one."""

    def __init__(self, own: bytes = b"") -> None:
        self._own = own
        self._names = {code: cls.__name__ for code, cls in error_table().items()}
        self.calls = {name: MethodMeter() for name in CALLS}
        self.refused: Counter[str] = Counter()
        self.intervals = MethodMeter()
        self.evm = MethodMeter()
        self.evm_gas = 0
        self.evm_transactions = 0
        self.block_gas = 0
        self.transactions = 0
        self.round = 0
        self.missed = 0
        self.offsets: deque[float] = deque(maxlen=OFFSETS_KEPT)
        """How far the times of the last blocks were ahead of this machine's clock when they were decided, seconds."""
        self._last_commit = 0.0

    def watch_application(self, app: Application) -> None:
        """Measure the calls of an application from now on: they are replaced by measured ones on this object."""
        for name in CALLS:
            setattr(app, name, self._timed(self.calls[name], getattr(app, name), getattr(self, f"_after_{name}", None)))
        admit = app.admit

        def counted(raws: Any) -> Any:
            outcomes = admit(raws)
            for outcome in outcomes:
                if outcome is not None:
                    self.refused[type(outcome).__name__] += 1
            return outcomes

        setattr(app, "admit", counted)  # noqa: B010 (mypy knows it as a method)

    def watch_engine(self, evm: EvmEngine) -> None:
        """Measure the batches of an EVM engine from now on."""
        setattr(evm, "execute", self._timed(self.evm, evm.execute, self._after_execute))  # noqa: B010

    def _timed(
        self, meter: MethodMeter, call: Callable[..., Any], after: Callable[[Any, Any], None] | None
    ) -> Callable[..., Any]:
        clock, add = time.perf_counter, meter.add

        def measured(*arguments: Any) -> Any:
            started = clock()
            answer = call(*arguments)
            add(clock() - started, False)
            if after is not None:
                after(arguments, answer)
            return answer

        return measured

    def _after_check_tx(self, _arguments: Any, answer: m.ResponseCheckTx) -> None:
        if answer.code:
            self.refused[self._names.get(answer.code, str(answer.code))] += 1

    def _after_finalize_block(self, arguments: Any, answer: m.ResponseFinalizeBlock) -> None:
        commit = arguments[0].decided_last_commit
        self.round = commit.round
        self.offsets.append(arguments[0].time / 10**9 - time.time())
        self.transactions += len(answer.tx_results)
        self.block_gas += sum(result.gas_used for result in answer.tx_results)
        if self._own and any(
            vote.validator.address == self._own and vote.block_id_flag != m.FLAG_COMMIT for vote in commit.votes
        ):
            self.missed += 1

    def _after_commit(self, _arguments: Any, _answer: Any) -> None:
        now = time.monotonic()
        if self._last_commit:
            self.intervals.add(now - self._last_commit, False)
        self._last_commit = now

    def _after_execute(self, _arguments: Any, answer: Any) -> None:
        done = answer.results[: answer.stopped_at]
        self.evm_transactions += len(done)
        self.evm_gas += sum(result.gas_used for result in done)


class LoopWatch:
    """How late the event loop is: everything of a node runs on it, so what blocks it blocks the node."""

    def __init__(self) -> None:
        self.worst = 0.0
        """Seconds, within the last minute."""
        self._lags: list[float] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="loop watch")

    async def stop(self) -> None:
        """May be called twice."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _LAG_EVERY
            await asyncio.sleep(_LAG_EVERY)
            self._lags = [*self._lags[1 - _LAG_KEPT :], max(0.0, loop.time() - due)]
            self.worst = max(self._lags)

"""The reference engine: py-evm's opcodes over a flat journal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from openledger.evm.engine import BlockEnv, CallMessage, CallResult, ExecutionOutput, TxResult
from openledger.evm.journal import Journal
from openledger.evm.machine import Outcome, Work, build_machine, failure_text, run_message
from openledger.evm.precompiles import PRECOMPILES, NativePrecompile
from openledger.evm.tracing.machine import Watch, build_traced_machine, run_traced
from openledger.evm.tracing.table import make_tracer
from openledger.evm.tracing.tracer import Budget, Json, TraceBounds, Tracer, Watched
from openledger.evm.validate import Fork, check_call, validate_tx
from openledger.primitives.errors import InvalidTransaction
from openledger.primitives.transactions import EthTransaction
from openledger.primitives.types import OUTBOX_ADDRESS, Address
from openledger.state.ports import StateReader


class PyEvmEngine:
    """``EvmEngine`` on py-evm 0.12.1b1. Holds no state between calls, so an abandoned run leaves nothing.

    ``precompiles`` come on top of Ethereum's; ``fork`` is Prague on the chain; ``moved`` see ``build_machine``.
    """

    name = "py-evm"

    def __init__(
        self,
        *,
        fork: Fork = Fork.PRAGUE,
        precompiles: Mapping[Address, NativePrecompile] = PRECOMPILES,
        moved: Mapping[Address, Address | None] = MappingProxyType({}),
    ) -> None:
        self.fork = fork
        self._machine: Any = build_machine(fork, precompiles, moved)
        self._traced_machine: Any = build_traced_machine(fork, precompiles, moved)

    def execute(
        self, env: BlockEnv, txs: Sequence[EthTransaction], state: StateReader, gas_available: int
    ) -> ExecutionOutput:
        """Run transactions in order on top of ``state``; see ``EvmEngine.execute``."""
        journal = Journal(state)
        vm = self._machine(env, journal)
        out = ExecutionOutput()
        for tx in txs:
            result = self._execute_one(env, vm, tx, gas_available)
            gas_available -= result.gas_used
            out.results.append(result)
            if any(log.address == OUTBOX_ADDRESS for log in result.logs):
                break
        out.stopped_at = len(out.results)
        out.diff = journal.diff()
        return out

    def _execute_one(self, env: BlockEnv, vm: Any, tx: EthTransaction, gas_available: int) -> TxResult:
        journal: Journal = vm.journal
        journal.lock_changes()
        try:
            validate_tx(env, tx, journal, gas_available, fork=self.fork)
        except InvalidTransaction as refusal:
            return TxResult(refused=refusal)
        outcome = run_message(vm, _work(env, tx))
        computation = outcome.computation
        return TxResult(
            status=int(computation.is_success),
            gas_used=outcome.gas_used,
            logs=outcome.logs,
            output=computation.output,
            contract_address=outcome.created,
            error=failure_text(computation),
            burned=-journal.balance_change() - outcome.gas_used * env.base_fee,
        )

    def call(self, env: BlockEnv, message: CallMessage, state: StateReader) -> CallResult:
        """Run one message; nothing is kept. Raises InsufficientFunds, IntrinsicGasTooLow, FeeCapTooLow or
        InitCodeTooLarge when the message cannot run at all; whatever happens inside is in the result."""
        journal = Journal(state)
        journal.lock_changes()
        check_call(env, message, journal.get_balance(message.sender))
        outcome = self._run_call(env, message, journal)
        computation = outcome.computation
        return CallResult(
            status=int(computation.is_success),
            gas_used=outcome.gas_used,
            output=computation.output,
            logs=outcome.logs,
            error=failure_text(computation),
        )

    def _run_call(self, env: BlockEnv, message: CallMessage, journal: Journal) -> Outcome:
        return run_message(self._machine(env, journal), _call_work(env, message, journal))

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
        """Run ``before``, then trace ``subject``; see ``Tracing.trace``."""
        journal = Journal(state)
        vm = self._machine(env, journal)
        for tx in before:
            refused = self._execute_one(env, vm, tx, env.gas_limit).refused
            if refused is not None:
                raise refused
        return self._watch(
            env, subject, journal, lambda: make_tracer(tracer, config, bounds), first_log
        ).tracer.result()

    def watch(
        self,
        env: BlockEnv,
        subject: EthTransaction | CallMessage,
        state: StateReader,
        make: Callable[[], tuple[Tracer, Budget]],
        first_log: int = 0,
    ) -> Watched:
        """Run ``subject`` and tell a tracer of it; see ``Watching.watch``."""
        return self._watch(env, subject, Journal(state), make, first_log)

    def _watch(
        self,
        env: BlockEnv,
        subject: EthTransaction | CallMessage,
        journal: Journal,
        make: Callable[[], tuple[Tracer, Budget]],
        first_log: int,
    ) -> Watched:
        made, budget = make()
        journal.lock_changes()
        if isinstance(subject, CallMessage):
            check_call(env, subject, journal.get_balance(subject.sender))
            work = _call_work(env, subject, journal)
        else:
            validate_tx(env, subject, journal, env.gas_limit, fork=self.fork)
            work = _work(env, subject)
        outcome = run_traced(self._traced_machine(env, journal), work, Watch(made, budget, first_log))
        return Watched(made, journal.diff(), outcome.gas_used)


def _work(env: BlockEnv, tx: EthTransaction) -> Work:
    price = tx.effective_gas_price(env.base_fee)
    return Work(
        tx.sender, tx.nonce, tx.to, tx.value, tx.data, tx.gas, price, price - env.base_fee, tx.access_list,
        tx.authorizations,
    )  # fmt: skip


def _call_work(env: BlockEnv, message: CallMessage, journal: Journal) -> Work:
    price = message.gas_price
    return Work(
        message.sender, journal.get_nonce(message.sender), message.to, message.value, message.data, message.gas,
        price, max(price - env.base_fee, 0), message.access_list, message.authorizations,
    )  # fmt: skip

"""Transactions of stored blocks once more, under a tracer: shared by ``debug_``, ``trace_`` and ``ots_``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from openledger.abci_app.replay import Moment
from openledger.evm.engine import BlockEnv, CallMessage
from openledger.evm.tracing.outside import Outside, trace_outside, watch_outside
from openledger.evm.tracing.tracer import Budget, TraceBounds, Tracer
from openledger.primitives.hashing import keccak256
from openledger.primitives.transactions import EthTransaction, NativeTransaction, SystemTransaction
from openledger.primitives.types import ZERO_ADDRESS, to_hex
from openledger.rpc.backend import Backend
from openledger.rpc.errors import SERVER_ERROR, RpcError, invalid_params
from openledger.rpc.formats import read_transaction, recipient_of
from openledger.rpc.watchers import Watcher
from openledger.state.ports import StateReader

FLAT = "flatCallTracer"


def moment_of(backend: Backend, number: int, index: int) -> Moment:
    """Just before transaction ``index`` of a block. Raises RpcError when there is none."""
    for moment in backend.app.replay(number):
        if moment.index == index:
            return moment
    raise RpcError(SERVER_ERROR, f"transaction index {index} out of range for block {number}")


def moments_of(backend: Backend, number: int, bounds: TraceBounds) -> Iterator[Moment]:
    """Just before each transaction of a block. Raises RpcError when time is over."""
    for moment in backend.app.replay(number):
        yield moment
        if bounds.expired():
            raise RpcError(SERVER_ERROR, "execution timeout")


def watch_moment(engine: Watcher, moment: Moment, make: Callable[[], tuple[Tracer, Budget]]) -> Tracer:
    """The tracer after it was told of a transaction. ``make`` may be called twice."""
    tx = read_transaction(moment.raw)
    if isinstance(tx, EthTransaction):
        return engine.watch(moment.env, tx, moment.state, make, moment.first_log).tracer
    if moment.effects is None:
        raise RpcError(SERVER_ERROR, "this transaction cannot be traced")
    made, _ = make()
    watch_outside(_outside(tx, moment), moment.state, moment.effects, made, moment.first_log)
    return made


def place_of(backend: Backend, moment: Moment, number: int) -> dict[str, Any]:
    """Block and transaction of a flat trace."""
    return {
        "blockHash": to_hex(backend.app.store.block_hash(number) or b""),
        "blockNumber": number,
        "transactionHash": to_hex(keccak256(moment.raw)),
        "transactionPosition": moment.index,
    }


class TraceRun:
    """One request with a tracer by name: engine, tracer, options, bounds."""

    def __init__(self, engine: Watcher, config: Mapping[str, Any], bounds: TraceBounds) -> None:
        name = config.get("tracer")
        if name is not None and not isinstance(name, str):
            raise invalid_params("tracer is text")
        self.bounds = bounds
        self._engine = engine
        self._name = name or ""
        options = config.get("tracerConfig") or {} if name else config
        if not isinstance(options, Mapping):
            raise invalid_params("tracerConfig is an object")
        self._options = options

    def message(self, env: BlockEnv, message: CallMessage, state: StateReader) -> Any:
        """Trace of a call."""
        found = self._engine.trace(env, (), message, state, self._name, self._options, self.bounds)
        nowhere = {"blockHash": None, "blockNumber": env.number, "transactionHash": None, "transactionPosition": 0}
        return [trace | nowhere for trace in found] if self._name == FLAT else found

    def moment(self, moment: Moment, place: Mapping[str, Any]) -> Any:
        """Trace of a transaction; ``place`` is where it stands."""
        found = self._trace(moment)
        return [trace | place for trace in found] if self._name == FLAT else found

    def _trace(self, moment: Moment) -> Any:
        tx = read_transaction(moment.raw)
        if isinstance(tx, EthTransaction):
            return self._engine.trace(
                moment.env, (), tx, moment.state, self._name, self._options, self.bounds, moment.first_log
            )
        if moment.effects is None:
            raise RpcError(SERVER_ERROR, "this transaction cannot be traced")
        what = _outside(tx, moment)
        return trace_outside(
            what, moment.state, moment.effects, self._name, self._options, self.bounds, moment.first_log
        )


def _outside(tx: NativeTransaction | SystemTransaction, moment: Moment) -> Outside:
    receipt, native = moment.receipt, isinstance(tx, NativeTransaction)
    return Outside(
        sender=moment.sender,
        to=recipient_of(tx) or ZERO_ADDRESS,
        input=tx.payload if isinstance(tx, NativeTransaction) else tx.effects,
        gas=tx.gas if isinstance(tx, NativeTransaction) else 0,
        gas_used=receipt.gas_used,
        error=receipt.error or ("" if receipt.status or not native else "execution failed"),
        logs=receipt.logs,
        coinbase=moment.env.coinbase,
    )

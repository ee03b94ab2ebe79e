"""``trace_call``, ``trace_callMany``, ``trace_rawTransaction``: what no block has, in the forms of
``trace_replayTransaction``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

from openledger.abci_app.decoder import decode_signed
from openledger.evm.engine import BlockEnv, CallMessage
from openledger.evm.tracing.tracer import TraceBounds
from openledger.primitives.errors import InvalidTransaction
from openledger.primitives.transactions import EthTransaction
from openledger.rpc.backend import Backend
from openledger.rpc.call_args import call_message, read_fields
from openledger.rpc.errors import LIMIT_EXCEEDED, SERVER_ERROR, RpcError, from_tree
from openledger.rpc.formats import Json
from openledger.rpc.params import LATEST, BlockArg, BlockRef, DataArg, ObjectArg, parse_object
from openledger.rpc.pending import PendingBlocks
from openledger.rpc.trace_replay import KindsArg, make_tracers, parse_kinds, shown
from openledger.rpc.watchers import Watcher, Watchers
from openledger.rpc.work import Workers
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

MAX_CALLS = 1_000
AskedCall = tuple[dict[str, Any], frozenset[str]]
Asked = tuple[CallMessage | EthTransaction, frozenset[str]]


def parse_calls(value: Any) -> list[AskedCall]:
    """Pairs of a call and what is wanted of it. Raises ValueError for another form."""
    if not isinstance(value, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        raise ValueError('a list of pairs: a call, and a list such as ["trace"]')
    return [(parse_object(call), parse_kinds(kinds)) for call, kinds in value]


CallsArg = Annotated[list[AskedCall], parse_calls]


class TraceCalls:
    """Calls on the state after a block."""

    def __init__(self, backend: Backend, pending: PendingBlocks, workers: Workers) -> None:
        self._backend = backend
        self._pending = pending
        self._workers = workers
        self._watchers = Watchers(backend)

    async def call(self, transaction: ObjectArg, kinds: KindsArg, block: BlockArg = LATEST) -> Any:
        """A call on the state after a block, with what was asked for. A call that fails is shown, too."""
        return await self._traced(run_call, [(transaction, kinds)], block)

    async def call_many(self, calls: CallsArg, block: BlockArg = LATEST) -> Any:
        """Calls one after the other, each on what the one before has left; nothing of it is kept."""
        if len(calls) > MAX_CALLS:
            raise RpcError(LIMIT_EXCEEDED, f"too many calls: {len(calls)}, limit {MAX_CALLS}")
        return await self._traced(run_calls, calls, block)

    async def raw_transaction(self, transaction: DataArg, kinds: KindsArg, block: BlockArg = LATEST) -> Any:
        """A signed transaction that is not sent, on the state after a block, with what was asked for; refused where it
        could not be in the next one."""
        tx = decode_signed(transaction).tx
        if not isinstance(tx, EthTransaction):
            hint = {"hint": "a native transaction can be traced when it is in a block"}
            raise RpcError(SERVER_ERROR, "this transaction cannot be traced", hint)
        if tx.gas > self._backend.settings.call_gas:
            text = f"gas limit {tx.gas} is above what a call may use ({self._backend.settings.call_gas})"
            raise RpcError(LIMIT_EXCEEDED, text)
        return await self._run(run_call, *await self._pending.at(block), [(tx, kinds)])

    async def _traced(self, run: Callable[..., Any], calls: Sequence[AskedCall], block: BlockRef) -> Any:
        most, chain_id = self._backend.settings.call_gas, self._backend.chain_id
        fields = [read_fields(call, chain_id) for call, _ in calls]
        env, state = await self._pending.at(block)
        try:
            messages = [call_message(one, env, min(one.gas or most, most)) for one in fields]
        except InvalidTransaction as err:
            raise _refused(err) from None
        asked = [(message, kinds) for message, (_, kinds) in zip(messages, calls, strict=True)]
        return await self._run(run, env, state, asked)

    async def _run(self, run: Callable[..., Any], env: BlockEnv, state: StateReader, asked: Sequence[Asked]) -> Any:
        engine, bounds = self._watchers.engine(), self._watchers.bounds()
        try:
            return await self._workers.compute_json(run, engine, env, asked, state, bounds)
        except InvalidTransaction as err:
            raise _refused(err) from None


def _refused(err: InvalidTransaction) -> RpcError:
    return RpcError(err.rpc_code, f"err: {err.message}", from_tree(err).data)


def run_calls(
    engine: Watcher, env: BlockEnv, asked: Sequence[Asked], state: StateReader, bounds: TraceBounds
) -> list[Json]:
    """The replays of messages or transactions, one on top of the other. Raises RpcError when time is over."""
    upon, found = Overlay(state), []
    for subject, kinds in asked:
        if bounds.expired():
            raise RpcError(SERVER_ERROR, "execution timeout")
        done = engine.watch(env, subject, upon, partial(make_tracers, kinds, bounds))
        found.append(shown(done.tracer))
        upon.apply(done.diff)
    return found


def run_call(*facts: Any) -> Json:
    """The replay of the only message; see ``run_calls``."""
    return run_calls(*facts)[0]

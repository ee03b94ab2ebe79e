"""``eth_``: call, estimateGas, createAccessList, simulateV1, fillTransaction.

Short calls run here (quick_calls.py), longer ones in processes of their own (work.py), bounded in gas, time and memory.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from openledger.evm.calls import estimate_gas, raise_if_failed
from openledger.evm.engine import BlockEnv, CallMessage, CallResult, EvmEngine
from openledger.evm.tracing.access_list import AccessListTracer
from openledger.evm.tracing.outcome import OutcomeTracer
from openledger.evm.tracing.tracer import Budget, TraceBounds, Watched, Watching
from openledger.evm.validate import GAS_TRANSACTION
from openledger.primitives.errors import CallFailed, InvalidTransaction
from openledger.primitives.types import to_hex
from openledger.rpc.backend import Backend
from openledger.rpc.call_args import CallFields, call_message, read_fields, unsigned
from openledger.rpc.errors import SERVER_ERROR, RpcError, from_tree
from openledger.rpc.eth_fees import EthFees
from openledger.rpc.formats import Json, access_list_json, quantity, unsigned_json
from openledger.rpc.moved import MovedEngine, caller, watcher
from openledger.rpc.overrides import (
    BlockChanges,
    BlockOverridesArg,
    StateChanges,
    StateOverridesArg,
    with_block,
    with_state,
)
from openledger.rpc.params import LATEST, BlockArg, BlockRef, ObjectArg
from openledger.rpc.pending import PendingBlocks
from openledger.rpc.quick_calls import QuickCalls, runs_nothing
from openledger.rpc.simulate import SimulationArg, Simulator
from openledger.rpc.watchers import Watchers
from openledger.rpc.work import Workers
from openledger.state.ports import StateReader

PENDING = BlockRef(tag="pending")


class EthCalls:
    """Messages that are run and forgotten, and transactions that are completed for signing."""

    def __init__(self, backend: Backend, fees: EthFees, pending: PendingBlocks, workers: Workers) -> None:
        self._backend = backend
        self._fees = fees
        self._pending = pending
        self._workers = workers
        self._watchers = Watchers(backend)
        self._quick = QuickCalls(lambda: backend.engine)

    def call(
        self,
        transaction: ObjectArg,
        block: BlockArg = LATEST,
        state_overrides: StateOverridesArg | None = None,
        block_overrides: BlockOverridesArg | None = None,
    ) -> str | Coroutine[Any, Any, str]:
        """Run a message on the state after a block; what it returns. A revert is error 3 with the revert data."""
        fields = read_fields(transaction, self._backend.chain_id)
        gas = min(fields.gas or self._backend.settings.call_gas, self._backend.settings.call_gas)
        if block.is_pending:
            return self._call_pending(fields, gas, state_overrides, block_overrides)
        at = _overridden(self._backend.env(block), self._backend.state(block), state_overrides, block_overrides)
        return self._call(fields, gas, caller(self._backend.engine, state_overrides), *at)

    async def _call_pending(
        self,
        fields: CallFields,
        gas: int,
        state_overrides: StateChanges | None,
        block_overrides: BlockChanges | None,
    ) -> str:
        engine = caller(self._backend.engine, state_overrides)
        found = self._call(fields, gas, engine, *await self._at(PENDING, state_overrides, block_overrides))
        return found if isinstance(found, str) else await found

    def _call(
        self, fields: CallFields, gas: int, engine: EvmEngine | MovedEngine, env: BlockEnv, state: StateReader
    ) -> str | Coroutine[Any, Any, str]:
        """At once where the call is short, else by the workers."""
        try:
            message = call_message(fields, env, gas)
            found = None if isinstance(engine, MovedEngine) else self._quick.call(env, message, state)
        except InvalidTransaction as err:
            raise _supplied(err, gas) from None
        return self._call_long(engine, env, message, state) if found is None else _output(found)

    async def _call_long(
        self, engine: EvmEngine | MovedEngine, env: BlockEnv, message: CallMessage, state: StateReader
    ) -> str:
        try:
            return _output(await self._workers.compute(engine.call, env, message, state))
        except InvalidTransaction as err:
            raise _supplied(err, message.gas) from None

    async def estimate_gas(
        self,
        transaction: ObjectArg,
        block: BlockArg | None = None,
        state_overrides: StateOverridesArg | None = None,
        block_overrides: BlockOverridesArg | None = None,
    ) -> str:
        """The smallest gas limit with which a message succeeds. A revert is error 3 with the revert data.

        Without a block it is that of the next one, on the newest state: there a transaction will run, and what code
        does may depend on the block's number.
        """
        fields = read_fields(transaction, self._backend.chain_id)
        engine = caller(self._backend.engine, state_overrides)
        if block is None:
            env, state = self._backend.next_env(), self._backend.state(LATEST)
        else:
            env, state = await self._pending.at(block)
        at = _overridden(env, state, state_overrides, block_overrides)
        return quantity(await self._estimate(fields, engine, *at))

    async def create_access_list(
        self, transaction: ObjectArg, block: BlockArg = LATEST, state_overrides: StateOverridesArg | None = None
    ) -> Json:
        """The access list (EIP-2930) that a message makes use of, and the gas that it uses with it."""
        fields = read_fields(transaction, self._backend.chain_id)
        env, state = await self._at(block, state_overrides, None)
        gas = min(fields.gas or self._backend.settings.call_gas, self._backend.settings.call_gas)
        watching, bounds = watcher(self._watchers.engine(), state_overrides), self._watchers.call_bounds()
        try:
            message = call_message(fields, env, gas)
            return await self._workers.compute(_access_list, watching, env, message, state, bounds)
        except InvalidTransaction as err:
            raise _supplied(err, gas) from None

    async def simulate_v1(self, payload: SimulationArg, block: BlockArg = LATEST) -> list[Json]:
        """Run blocks of messages, each on the state that the one before left; the blocks with what each call did."""
        header = self._backend.header(block)
        env, state = await self._pending.at(block)
        if block.is_pending:
            header = (await self._pending.get()).block.header
        simulator = Simulator(self._backend, self._watchers.engine(), self._watchers.call_bounds(), header, env, state)
        return await self._workers.compute_json(simulator.run, payload)

    async def fill_transaction(self, transaction: ObjectArg) -> Json:
        """The transaction with nonce, gas and fees filled in, and its unsigned bytes."""
        fields = read_fields(transaction, self._backend.chain_id)
        if fields.to is None and not fields.data:
            raise RpcError(SERVER_ERROR, "contract creation without any data provided")
        tip = fields.max_priority_fee
        if tip is not None and fields.max_fee is not None and fields.max_fee < tip:
            raise RpcError(SERVER_ERROR, f"maxFeePerGas ({fields.max_fee}) < maxPriorityFeePerGas ({tip})")
        if tip is None:
            tip = fields.gas_price if fields.gas_price is not None else int(self._fees.max_priority_fee_per_gas(), 16)
        cap = fields.max_fee if fields.max_fee is not None else fields.gas_price
        cap = tip + 2 * self._backend.head().base_fee if cap is None else cap
        nonce = fields.nonce if fields.nonce is not None else self._backend.pool.pending_nonce(fields.sender)
        gas = fields.gas
        if gas is None:
            gas = await self._estimate(fields, self._backend.engine, *await self._at(PENDING, None, None))
        chain_id = self._backend.chain_id
        made = unsigned(fields, chain_id, kind=fields.type(), nonce=nonce, gas=gas, tip=min(tip, cap), cap=cap)
        return {"raw": to_hex(made.raw), "tx": unsigned_json(made)}

    # --- how ----------------------------------------------------------------------------------------------

    async def _at(
        self, block: BlockRef, state_overrides: StateChanges | None, block_overrides: BlockChanges | None
    ) -> tuple[BlockEnv, StateReader]:
        return _overridden(*await self._pending.at(block), state_overrides, block_overrides)

    async def _estimate(
        self, fields: CallFields, engine: EvmEngine | MovedEngine, env: BlockEnv, state: StateReader
    ) -> int:
        asked = env.gas_limit if fields.gas is None or fields.gas < GAS_TRANSACTION else fields.gas
        cap = min(asked, env.gas_limit, self._backend.settings.call_gas)
        try:
            message = call_message(fields, env, cap)
            if not isinstance(engine, MovedEngine) and runs_nothing(message, state):
                return estimate_gas(engine, env, message, state, cap)
            return await self._workers.compute(estimate_gas, engine, env, message, state, cap)
        except InvalidTransaction as err:
            ran = not err.message.startswith("insufficient funds for transfer")  # found before anything is tried
            text = f"failed with {cap} gas: {err.message}" if ran else err.message
            raise RpcError(err.rpc_code, text, from_tree(err).data) from None


def _overridden(
    env: BlockEnv, state: StateReader, changes: StateChanges | None, block_changes: BlockChanges | None
) -> tuple[BlockEnv, StateReader]:
    return with_block(env, block_changes), with_state(state, changes)


def _output(result: CallResult) -> str:
    raise_if_failed(result)
    return to_hex(result.output)


def _supplied(err: InvalidTransaction, gas: int) -> RpcError:
    """As geth words what cannot run at all."""
    return RpcError(err.rpc_code, f"err: {err.message} (supplied gas {gas})", from_tree(err).data)


def _access_list(
    engine: Watching, env: BlockEnv, message: CallMessage, state: StateReader, bounds: TraceBounds
) -> Json:
    """Run until the list does not grow any more: what is warm may change what is touched."""
    known = message.access_list
    while True:
        given = replace(message, access_list=known)
        inner, done = _listed(engine, env, given, state, bounds)
        found = inner.access_list()
        if found == known or bounds.expired():
            break
        known = found
    if bounds.expired():
        raise CallFailed("execution timeout", "ask for less gas")
    outcome = done.tracer
    answer: Json = {"accessList": access_list_json(found), "gasUsed": quantity(done.gas_used)}
    if isinstance(outcome, OutcomeTracer) and outcome.error:
        answer["error"] = outcome.error
    return answer


def _listed(
    engine: Watching, env: BlockEnv, message: CallMessage, state: StateReader, bounds: TraceBounds
) -> tuple[AccessListTracer, Watched]:
    made: list[AccessListTracer] = []

    def make() -> tuple[OutcomeTracer, Budget]:
        budget = Budget(bounds)
        made.append(AccessListTracer(budget, message.access_list))
        return OutcomeTracer(budget, inner=made[-1]), budget

    done = engine.watch(env, message, state, make)
    return made[-1], done

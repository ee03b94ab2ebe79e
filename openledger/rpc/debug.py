"""``debug_``: traces in geth's forms, and raw bytes of blocks, headers, receipts and transactions.

A trace of the past repeats the block on the state of its parent up to the transaction. It runs in the same processes as
calls do, within their time and the bounds of the settings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import rlp

from openledger.evm.engine import BlockEnv
from openledger.primitives.blocks import SealedBlock
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import to_hex
from openledger.rpc.backend import Backend
from openledger.rpc.call_args import CallFields, call_message, read_fields
from openledger.rpc.errors import SERVER_ERROR, RpcError, invalid_params
from openledger.rpc.formats import Json
from openledger.rpc.moved import watcher
from openledger.rpc.overrides import (
    BlockChanges,
    StateChanges,
    parse_block_overrides,
    parse_state_overrides,
    with_block,
    with_state,
)
from openledger.rpc.params import LATEST, BlockArg, BlockNumberArg, BlockRef, HashArg, ObjectArg, parse_uint64
from openledger.rpc.replays import TraceRun, moment_of, moments_of, place_of
from openledger.rpc.watchers import Watchers
from openledger.rpc.work import Workers
from openledger.state.ports import StateReader

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|us|ns|s|m|h))+")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


class Debug:
    """Traces and raw bytes."""

    def __init__(self, backend: Backend, workers: Workers) -> None:
        self._backend = backend
        self._workers = workers
        self._watchers = Watchers(backend)

    # --- traces -------------------------------------------------------------------------------------------

    async def trace_transaction(self, tx_hash: HashArg, config: ObjectArg | None = None) -> Any:
        """One transaction of a block."""
        place = self._backend.app.store.transaction(tx_hash)
        if place is None:
            raise RpcError(SERVER_ERROR, "transaction not found")
        run = self._run(config)
        return await self._workers.compute_json(self._one, place[0], place[1], run)

    async def trace_block_by_number(self, block: BlockNumberArg, config: ObjectArg | None = None) -> list[Json]:
        """All transactions of a block, each with its hash."""
        return await self._trace_block(block, config)

    async def trace_block_by_hash(self, block_hash: HashArg, config: ObjectArg | None = None) -> list[Json]:
        """The same by hash."""
        return await self._trace_block(BlockRef(hash=block_hash), config)

    async def trace_call(
        self, transaction: ObjectArg, block: BlockArg = LATEST, config: ObjectArg | None = None
    ) -> Any:
        """A call on the state after a block, or with ``txIndex`` before that transaction of it; state and block
        overrides as in eth_call."""
        if block.is_pending:
            raise RpcError(SERVER_ERROR, "tracing on top of pending is not supported")
        fields = read_fields(transaction, self._backend.chain_id)
        given, changes = config or {}, _overrides(config or {})
        run = self._run(config, changes[1])
        number = self._backend.number(block)
        if number is None:
            raise _no_block(block)
        env, state = self._backend.env(block), self._backend.state(block)
        return await self._workers.compute_json(self._call, run, fields, changes, number, _index(given), env, state)

    # --- raw bytes ----------------------------------------------------------------------------------------

    def get_raw_header(self, block: BlockArg) -> str:
        """RLP of a header."""
        return to_hex(self._block(block).header.encode())

    def get_raw_block(self, block: BlockArg) -> str:
        """RLP of a block: header, transactions, no ommers, no withdrawals."""
        found = self._block(block)
        transactions = [rlp.decode(raw) if raw[0] >= 0xC0 else raw for raw in found.transactions]
        return to_hex(rlp.encode([rlp.decode(found.header.encode()), transactions, [], []]))

    def get_raw_receipts(self, block: BlockArg) -> list[str]:
        """Consensus form of each receipt."""
        return [to_hex(receipt.encode()) for receipt in self._block(block).receipts]

    def get_bad_blocks(self) -> list[Json]:
        """Blocks that were refused: none is kept."""
        return []

    def get_raw_transaction(self, tx_hash: HashArg) -> str:
        """A transaction of a block or of the mempool; "0x" for an unknown one."""
        place = self._backend.app.store.transaction(tx_hash)
        if place is not None:
            block = self._backend.app.store.block(place[0])
            return to_hex(block.transactions[place[1]]) if block else "0x"
        raw = self._backend.pool.find(tx_hash)
        return "0x" if raw is None else to_hex(raw)

    # --- how ----------------------------------------------------------------------------------------------

    def _block(self, ref: BlockRef) -> SealedBlock:
        found = self._backend.block(ref)
        if found is None:
            raise _no_block(ref)
        return found

    async def _trace_block(self, ref: BlockRef, config: Mapping[str, Any] | None) -> list[Json]:
        block = self._block(ref)
        if block.number == 0:
            raise RpcError(SERVER_ERROR, "genesis is not traceable")
        run = self._run(config)
        return await self._workers.compute_json(self._all, block.number, run)

    def _run(self, config: Mapping[str, Any] | None, changes: StateChanges | None = None) -> TraceRun:
        given = config or {}
        return TraceRun(watcher(self._watchers.engine(), changes), given, self._watchers.bounds(_timeout(given)))

    def _one(self, number: int, index: int, run: TraceRun) -> Any:
        moment = moment_of(self._backend, number, index)
        return run.moment(moment, place_of(self._backend, moment, number))

    def _call(
        self,
        run: TraceRun,
        fields: CallFields,
        changes: tuple[BlockChanges, StateChanges],
        number: int,
        index: int | None,
        env: BlockEnv,
        state: StateReader,
    ) -> Any:
        before = state if index is None else moment_of(self._backend, number, index).state
        where, changed = with_block(env, changes[0]), with_state(before, changes[1])
        gas = min(fields.gas or self._backend.settings.call_gas, self._backend.settings.call_gas)
        return run.message(where, call_message(fields, where, gas), changed)

    def _all(self, number: int, run: TraceRun) -> list[Json]:
        found: list[Json] = []
        for moment in moments_of(self._backend, number, run.bounds):
            place = place_of(self._backend, moment, number)
            found.append({"txHash": to_hex(keccak256(moment.raw)), "result": run.moment(moment, place)})
        return found


def _no_block(ref: BlockRef) -> RpcError:
    return RpcError(
        SERVER_ERROR, f"block {to_hex(ref.hash)} not found" if ref.hash else f"block #{ref.number} not found"
    )


def _overrides(config: Mapping[str, Any]) -> tuple[BlockChanges, StateChanges]:
    try:
        blocks, states = config.get("blockOverrides") or {}, config.get("stateOverrides") or {}
        return parse_block_overrides(blocks), parse_state_overrides(states)
    except ValueError as err:
        raise invalid_params(f"invalid override: {err}") from None


def _index(config: Mapping[str, Any]) -> int | None:
    given = config.get("txIndex")
    if given is None:
        return None
    try:
        return parse_uint64(given)
    except ValueError as err:
        raise invalid_params(f"txIndex: {err}") from None


def _timeout(config: Mapping[str, Any]) -> float | None:
    """Seconds of geth's ``timeout`` option, a Go duration such as "5s" or "300ms"; None where there is none."""
    given = config.get("timeout")
    if given is None:
        return None
    if not isinstance(given, str) or not _DURATION.fullmatch(given):
        raise invalid_params('timeout is a duration such as "5s"')
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|us|ns|s|m|h)", given))

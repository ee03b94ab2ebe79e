"""Precompiles that a caller's state overrides move to another address, or take away: an overridden precompile is no
precompile any more. Such calls run in the reference engine, whose table can be changed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from openledger.abci_app.registry import PRECOMPILES
from openledger.evm.engine import BlockEnv, CallMessage, CallResult, EvmEngine
from openledger.evm.tracing.tracer import Budget, Json, TraceBounds, Tracer, Watched
from openledger.primitives.transactions import EthTransaction
from openledger.primitives.types import Address, to_checksum
from openledger.rpc.errors import SERVER_ERROR, RpcError
from openledger.rpc.overrides import StateChanges
from openledger.rpc.watchers import Watcher
from openledger.state.ports import StateReader

Moves: TypeAlias = tuple[tuple[Address, Address | None], ...]
"""Precompile and where it is now, None for nowhere."""

MOVED_TO_ITSELF, MOVED_TO_THE_SAME = -38022, -38023
ETHEREUM = frozenset(bytes([*bytes(19), number]) for number in range(1, 18))
KNOWN = frozenset(dict(PRECOMPILES)) | ETHEREUM


def precompile_moves(changes: StateChanges | None) -> Moves:
    """What these state overrides do to precompiles. Raises RpcError with the codes of execution-apis."""
    given = changes or {}
    targets: set[Address] = set()
    moves: list[tuple[Address, Address | None]] = []
    for address in sorted(given):
        target = given[address].target
        if address not in KNOWN:
            if target is not None:
                raise RpcError(SERVER_ERROR, f"account {to_checksum(address)} is not a precompile")
            continue
        if target is not None:
            _check_target(address, target, targets, given)
            targets.add(target)
        moves.append((address, target))
    return tuple(moves)


def _check_target(address: Address, target: Address, targets: set[Address], given: StateChanges) -> None:
    if target == address:
        raise RpcError(MOVED_TO_ITSELF, f"account {to_checksum(address)} is moved to itself")
    if target in targets:
        raise RpcError(MOVED_TO_THE_SAME, f"two precompiles are moved to {to_checksum(target)}")
    if target in given:
        raise RpcError(SERVER_ERROR, f"account {to_checksum(target)} is already overridden")


@functools.lru_cache(maxsize=8)
def _reference(moves: Moves) -> Any:
    from openledger.evm.pyevm import PyEvmEngine  # py-evm takes a second to import

    return PyEvmEngine(precompiles=dict(PRECOMPILES), moved=dict(moves))


class MovedEngine:
    """The reference engine with these moves. It travels to a worker as nothing but them."""

    def __init__(self, moves: Moves) -> None:
        self._moves = moves

    def call(self, env: BlockEnv, message: CallMessage, state: StateReader) -> CallResult:
        """See ``EvmEngine.call``."""
        found: CallResult = _reference(self._moves).call(env, message, state)
        return found

    def watch(
        self,
        env: BlockEnv,
        subject: EthTransaction | CallMessage,
        state: StateReader,
        make: Callable[[], tuple[Tracer, Budget]],
        first_log: int = 0,
    ) -> Watched:
        """See ``Watching.watch``."""
        found: Watched = _reference(self._moves).watch(env, subject, state, make, first_log)
        return found

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
        """See ``Tracing.trace``."""
        return _reference(self._moves).trace(env, before, subject, state, tracer, config, bounds, first_log)


def caller(engine: EvmEngine, changes: StateChanges | None) -> EvmEngine | MovedEngine:
    """What runs a call with these state overrides."""
    moves = precompile_moves(changes)
    return MovedEngine(moves) if moves else engine


def watcher(engine: Watcher, changes: StateChanges | None) -> Watcher:
    """What runs a traced call with these state overrides."""
    moves = precompile_moves(changes)
    return MovedEngine(moves) if moves else engine

"""eth_simulateV1: chains of blocks that never were, each call on what the one before left.

Numbers, times, limits, error codes and texts are geth's (``internal/ethapi/simulate.go``) and those of execution-apis.
Where this chain differs: two blocks may have the same time; there are no withdrawals; the state root of a simulated
block is known only on top of the newest or the pending block, else it is zero.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from openledger.abci_app.action import BlockContext
from openledger.abci_app.modules.governance.records import params as read_params
from openledger.abci_app.native import run_submitted
from openledger.evm.engine import BlockEnv, CallMessage
from openledger.evm.history import HASHES_AT_ONCE, remember_hashes
from openledger.evm.outbox import submitted
from openledger.evm.reasons import REVERTED, revert_text
from openledger.evm.tracing.outcome import COIN_ADDRESS, OutcomeTracer
from openledger.evm.tracing.tracer import Budget, TraceBounds, Tracer
from openledger.evm.validate import MAX_NONCE, floor_gas, intrinsic_gas
from openledger.primitives.amounts import shortfall
from openledger.primitives.blocks import Header, Receipt, SealedBlock, bloom_of
from openledger.primitives.errors import (
    CallFailed,
    FeeCapTooLow,
    InitCodeTooLarge,
    InsufficientFunds,
    IntrinsicGasTooLow,
    InvalidTransaction,
    NonceOverflow,
    NonceTooHigh,
    NonceTooLow,
    TipAboveFeeCap,
)
from openledger.primitives.hashing import ZERO_HASH
from openledger.primitives.transactions import EthTransaction
from openledger.primitives.types import Account, Hash32, Log, to_checksum, to_hex
from openledger.rpc.backend import Backend
from openledger.rpc.call_args import CallFields, call_message, read_fields, unsigned
from openledger.rpc.errors import CLIENT_LIMIT, VM_ERROR, RpcError, invalid_params
from openledger.rpc.formats import Json, block_json, log_json, quantity, transaction_json, unsigned_json
from openledger.rpc.moved import watcher
from openledger.rpc.overrides import (
    BlockChanges,
    StateChanges,
    override,
    parse_block_overrides,
    parse_state_overrides,
    with_block,
)
from openledger.rpc.params import parse_flag, parse_object
from openledger.rpc.watchers import Watcher
from openledger.state.fasttrie import ordered_trie_root
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader
from openledger.state.reader import HeightReader

MAX_BLOCKS, MAX_BLOCK_CALLS, MAX_CALLS = 256, 5_000, 10_000
SECONDS_BETWEEN = 12
NUMBER_NOT_RISING, TIME_NOT_RISING, GAS_LIMIT_REACHED = -38020, -38021, -38015
_CODES: tuple[tuple[type[InvalidTransaction], int], ...] = (
    (NonceTooLow, -38010),
    (NonceTooHigh, -38011),
    (FeeCapTooLow, -38012),
    (TipAboveFeeCap, -32602),
    (IntrinsicGasTooLow, -38013),
    (InsufficientFunds, -38014),
    (InitCodeTooLarge, -38025),
)


@dataclass(frozen=True, slots=True)
class SimulatedBlock:
    """One block to be: overrides, and calls unread."""

    block: BlockChanges
    state: StateChanges
    calls: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Simulation:
    """The payload of eth_simulateV1."""

    blocks: tuple[SimulatedBlock, ...]
    transfers: bool
    validation: bool
    full: bool


def parse_simulation(value: Any) -> Simulation:
    """Raises ValueError for another form, RpcError beyond a limit."""
    given = parse_object(value)
    blocks = given.get("blockStateCalls")
    if not isinstance(blocks, list) or not blocks:
        raise invalid_params("empty input")
    if len(blocks) > MAX_BLOCKS:
        raise RpcError(CLIENT_LIMIT, "too many blocks")
    read = tuple(_read_block(parse_object(block)) for block in blocks)
    if sum(len(block.calls) for block in read) > MAX_CALLS:
        raise RpcError(CLIENT_LIMIT, f"too many calls: more than {MAX_CALLS}")
    flags = [parse_flag(given.get(n) or False) for n in ("traceTransfers", "validation", "returnFullTransactions")]
    return Simulation(read, *flags)


def _read_block(given: dict[str, Any]) -> SimulatedBlock:
    calls = given.get("calls") or []
    if not isinstance(calls, list):
        raise ValueError("calls is a list")
    if len(calls) > MAX_BLOCK_CALLS:
        raise RpcError(CLIENT_LIMIT, f"too many calls in block: {len(calls)} > {MAX_BLOCK_CALLS}")
    block = parse_object(given.get("blockOverrides") or {})
    if block.get("withdrawals"):
        raise invalid_params("this chain has no withdrawals")
    changes = parse_state_overrides(given.get("stateOverrides") or {})
    return SimulatedBlock(parse_block_overrides(block), changes, [parse_object(c) for c in calls])


SimulationArg = Annotated[Simulation, parse_simulation]


@dataclass(slots=True)
class _Building:
    """A block half done."""

    env: BlockEnv
    parent: Header
    engine: Watcher
    gas_used: int = 0
    next_log: int = 0
    transactions: list[EthTransaction] = dataclasses.field(default_factory=list)
    receipts: list[Receipt] = dataclasses.field(default_factory=list)
    calls: list[Json] = dataclasses.field(default_factory=list)
    logs: list[list[tuple[int, Log]]] = dataclasses.field(default_factory=list)


class Simulator:
    """One request on the state after ``base``. ``env`` is that block's environment."""

    def __init__(
        self,
        backend: Backend,
        engine: Watcher,
        bounds: TraceBounds,
        base: Header,
        env: BlockEnv,
        state: StateReader,
    ) -> None:
        self._backend = backend
        self._engine = engine
        self._bounds = bounds
        self._base = base
        self._env = env
        self._state, self._root = _flat(state)
        self._edited = self._root == base.number and not self._state.diff().is_empty
        self._hashes: dict[int, Hash32] = {}
        self._gas_left = backend.settings.call_gas

    def run(self, wanted: Simulation) -> list[Json]:
        """The blocks, with ``calls``. Raises RpcError with the codes of execution-apis."""
        parent, found = self._base, []
        self._hashes[parent.number] = parent.hash
        for block, number, time in _chain(self._base, wanted.blocks):
            header, shown = self._block(wanted, block, parent, number, time)
            self._hashes[number] = header.hash
            parent = header
            found.append(shown)
        return found

    def _block_hash(self, number: int) -> Callable[[int], Hash32 | None]:
        recent = self._backend.app.store.recent_hashes(self._base.number + 1)

        def answer(wanted: int) -> Hash32 | None:
            if not number - 256 <= wanted < number:
                return None
            return self._hashes.get(wanted) or recent(wanted)

        return answer

    def _block(
        self, wanted: Simulation, block: SimulatedBlock, parent: Header, number: int, time: int
    ) -> tuple[Header, Json]:
        fee = self._backend.next_base_fee(parent) if wanted.validation else 0
        plain = dataclasses.replace(
            self._env, number=number, timestamp=time, base_fee=fee, coinbase=parent.coinbase,
            gas_limit=parent.gas_limit, prevrandao=ZERO_HASH, block_hash=self._block_hash(number),
        )  # fmt: skip
        env = dataclasses.replace(with_block(plain, block.block), number=number, timestamp=time)
        engine = watcher(self._engine, block.state)
        override(self._state, block.state)
        if block.calls or block.state or self._edited or number % HASHES_AT_ONCE == 0:  # as a block does, see there
            remember_hashes(self._state, number, plain.block_hash)
            self._edited = False
        building = _Building(env, parent, engine)
        for call in block.calls:
            if self._bounds.expired():
                raise CallFailed(f"execution aborted (timeout = {self._backend.settings.call_seconds:g}s)")
            self._call(wanted, building, read_fields(call, self._backend.chain_id))
        return self._sealed(wanted, building)

    # --- one call -----------------------------------------------------------------------------------------

    def _call(self, wanted: Simulation, building: _Building, fields: CallFields) -> None:
        env = building.env
        left = env.gas_limit - building.gas_used
        gas = left if fields.gas is None else fields.gas
        if gas > left:
            raise RpcError(GAS_LIMIT_REACHED, f"block gas limit reached: remaining: {left}, required: {gas}")
        capped = min(gas, self._gas_left)
        sender = self._state.account(fields.sender) or Account()
        nonce = sender.nonce if fields.nonce is None else fields.nonce
        try:
            message = call_message(fields, env, capped)
            self._judge(wanted, fields, nonce, sender, capped, env)
            done = building.engine.watch(env, message, self._state, self._maker(wanted, building))
        except InvalidTransaction as err:
            code = next((code for kind, code in _CODES if isinstance(err, kind)), -32603)
            raise RpcError(code, f"err: {err.message} (supplied gas {capped})") from None
        outcome = done.tracer
        if not isinstance(outcome, OutcomeTracer):
            raise TypeError("the engine gave another tracer back")
        self._state.apply(done.diff)
        self._act(env, outcome)
        self._gas_left -= done.gas_used
        tip, cap = fields.max_priority_fee or 0, fields.cap
        if fields.gas_price is not None:
            tip = fields.gas_price
        made = unsigned(fields, self._backend.chain_id, kind=fields.type(), nonce=nonce, gas=capped, tip=tip, cap=cap)
        self._note(building, made, outcome, message, capped < gas)

    def _act(self, env: BlockEnv, outcome: OutcomeTracer) -> None:
        """Run what the call gave to the Outbox, as a block does after a transaction."""
        logs = [log for _, log in outcome.logs]
        if any(map(submitted, logs)):
            context = BlockContext(
                env.number, env.timestamp, env.coinbase, self._backend.chain_id, read_params(self._state)
            )
            made = run_submitted(logs, self._state, context)
            outcome.logs += enumerate(made, outcome.next_log)
            outcome.next_log += len(made)

    def _judge(
        self, wanted: Simulation, fields: CallFields, nonce: int, sender: Account, gas: int, env: BlockEnv
    ) -> None:
        """What a transaction would need, its signature apart. Raises the leaf."""
        who = to_checksum(fields.sender)
        if MAX_NONCE in (nonce, sender.nonce):
            raise NonceOverflow(f"nonce has max value: address {who}, nonce: {MAX_NONCE}")
        if wanted.validation:
            if nonce < sender.nonce:
                raise NonceTooLow(f"nonce too low: address {who}, tx: {nonce} state: {sender.nonce}")
            if nonce > sender.nonce:
                raise NonceTooHigh(f"nonce too high: address {who}, tx: {nonce} state: {sender.nonce}")
            if fields.cap < env.base_fee:
                raise FeeCapTooLow(
                    f"max fee per gas less than block base fee: address {who}, maxFeePerGas: {fields.cap}, "
                    f"baseFee: {env.base_fee}"
                )
        needed = fields.value + gas * fields.cap
        if sender.balance < needed:
            raise InsufficientFunds(
                f"insufficient funds for gas * price + value: address {who} have {sender.balance} want {needed}",
                shortfall(needed, sender.balance),
            )

    def _maker(self, wanted: Simulation, building: _Building) -> Callable[[], tuple[Tracer, Budget]]:
        def make() -> tuple[Tracer, Budget]:
            budget = Budget(self._bounds)
            return OutcomeTracer(budget, transfers=wanted.transfers, first=building.next_log), budget

        return make

    def _note(
        self, building: _Building, tx: EthTransaction, outcome: OutcomeTracer, message: CallMessage, capped: bool
    ) -> None:
        used = outcome.gas_used
        building.gas_used += used
        building.next_log = outcome.next_log
        building.transactions.append(tx)
        building.logs.append(outcome.logs)
        logs = tuple(log for _, log in outcome.logs if log.address != COIN_ADDRESS)
        status = 0 if outcome.error else 1
        price = tx.effective_gas_price(building.env.base_fee)
        building.receipts.append(Receipt(tx.type, status, building.gas_used, logs, used, price))
        most = outcome.frame_gas + intrinsic_gas(
            message.data, create=message.to is None, access_list=message.access_list,
            authorizations=message.authorizations,
        )  # fmt: skip
        call: Json = {
            "returnData": "0x" if outcome.error else to_hex(outcome.output),
            "gasUsed": quantity(used),
            "maxUsedGas": quantity(max(most, floor_gas(message.data), used)),
            "status": quantity(status),
        }
        if outcome.error:
            call["error"] = _failure(outcome, capped)
        building.calls.append(call)

    # --- the block ----------------------------------------------------------------------------------------

    def _sealed(self, wanted: Simulation, building: _Building) -> tuple[Header, Json]:
        env, parent = building.env, building.parent
        transactions = tuple(tx.raw for tx in building.transactions)
        header = Header(
            parent_hash=self._hashes[parent.number],
            coinbase=env.coinbase,
            state_root=self._state_root(),
            transactions_root=ordered_trie_root(list(transactions)),
            receipts_root=ordered_trie_root([receipt.encode() for receipt in building.receipts]),
            bloom=bloom_of(log for receipt in building.receipts for log in receipt.logs),
            number=env.number,
            gas_limit=env.gas_limit,
            gas_used=building.gas_used,
            timestamp=env.timestamp,
            prevrandao=env.prevrandao,
            base_fee=env.base_fee,
        )
        senders = tuple(tx.sender for tx in building.transactions)
        sealed = SealedBlock(header, transactions, senders, tuple(building.receipts))
        shown = block_json(sealed, False, self._backend.chain_id)
        digest = header.hash
        if wanted.full:
            shown["transactions"] = [
                transaction_json(tx, tx.sender, self._backend.chain_id, header, digest, place) | unsigned_json(tx)
                for place, tx in enumerate(building.transactions)
            ]
        for place, (call, tx, logs) in enumerate(
            zip(building.calls, building.transactions, building.logs, strict=True)
        ):
            call["logs"] = [log_json(log, header, digest, tx.hash, place, index) for index, log in logs]
        return header, shown | {"calls": building.calls}

    def _state_root(self) -> Hash32:
        store = self._backend.app.store
        with store.lock:
            return store.prepare(self._state.diff()).state_root if store.height == self._root else ZERO_HASH


def _flat(state: StateReader) -> tuple[Overlay, int]:
    """One overlay above a block's state, with what changes there were above it; and that block's height, -1 for a
    state of another kind."""
    layers: list[Overlay] = []
    while isinstance(state, Overlay):
        layers.append(state)
        state = state.beneath()
    found = Overlay(state)
    for layer in reversed(layers):
        found.apply(layer.diff())
    return found, state.height if isinstance(state, HeightReader) else -1


def _chain(base: Header, blocks: tuple[SimulatedBlock, ...]) -> list[tuple[SimulatedBlock, int, int]]:
    """Each block with its number and time, gaps filled with empty blocks."""
    found: list[tuple[SimulatedBlock, int, int]] = []
    number, time = base.number, base.timestamp
    for block in blocks:
        wanted = block.block.get("number", number + 1)
        if wanted <= number:
            raise RpcError(NUMBER_NOT_RISING, f"block numbers must be in order: {wanted} <= {number}")
        if wanted - base.number > MAX_BLOCKS:
            raise RpcError(CLIENT_LIMIT, "too many blocks")
        for between in range(number + 1, wanted):
            time += SECONDS_BETWEEN
            found.append((SimulatedBlock({}, {}, []), between, time))
        later = block.block.get("timestamp", time + SECONDS_BETWEEN)
        if later < time:
            raise RpcError(TIME_NOT_RISING, f"block timestamps must be in order: {later} < {time}")
        time = later
        number = wanted
        found.append((block, number, time))
    return found


def _failure(outcome: OutcomeTracer, capped: bool) -> Json:
    if outcome.error.startswith(REVERTED):
        said = revert_text(outcome.output)
        text = REVERTED if said is None else f"{REVERTED}: {said}"
        return {"code": 3, "message": text, "data": to_hex(outcome.output)}
    more = " (gas limit was capped by the RPC server's global gas cap)" if capped else ""
    return {"code": VM_ERROR, "message": f"{outcome.error}{more}"}

"""``eth_``: call, estimateGas, fillTransaction; and how a transaction object of a client is read.

Calls run on a few threads of this process (work.py), bounded in gas and in time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import rlp

from openledger.evm.calls import estimate_gas, raise_if_failed
from openledger.evm.engine import BlockEnv, CallMessage
from openledger.primitives.errors import OpenLedgerError
from openledger.primitives.hashing import keccak256
from openledger.primitives.transactions import DYNAMIC_FEE
from openledger.primitives.types import ZERO_ADDRESS, AccessTuple, Address, parse_address, to_hex
from openledger.rpc.backend import Backend
from openledger.rpc.errors import SERVER_ERROR, RpcError, from_tree, invalid_params
from openledger.rpc.eth_fees import EthFees
from openledger.rpc.formats import Json, access_list_json, quantity
from openledger.rpc.overrides import with_block, with_state
from openledger.rpc.params import (
    LATEST,
    BlockArg,
    BlockRef,
    ObjectArg,
    parse_access_list,
    parse_data,
    parse_quantity,
    parse_uint64,
)
from openledger.rpc.work import Workers
from openledger.state.ports import StateReader


@dataclass(frozen=True, slots=True)
class CallFields:
    """A client's transaction object, read. None where a field was not given. Amounts in wei."""

    sender: Address
    to: Address | None
    value: int
    data: bytes
    gas: int | None
    gas_price: int | None
    max_fee: int | None
    max_priority_fee: int | None
    nonce: int | None
    access_list: tuple[AccessTuple, ...]

    def price(self, base_fee: int) -> int:
        """Wei per gas that the sender would pay; 0 where no price was given."""
        if self.gas_price is not None:
            return self.gas_price
        if self.max_fee is None:
            return 0
        return min(self.max_fee, base_fee + (self.max_priority_fee or 0))


def read_fields(given: dict[str, Any], chain_id: int) -> CallFields:
    """Read a transaction object. Raises RpcError -32602 naming the field, or -32000 in geth's words for a conflict."""

    def field(name: str, parser: Callable[[Any], Any], default: Any = None) -> Any:
        if given.get(name) is None:
            return default
        try:
            return parser(given[name])
        except OpenLedgerError as err:
            raise RpcError(-32602, f"invalid argument 0: {name}: {err.message}", from_tree(err).data) from None
        except ValueError as err:
            raise invalid_params(f"invalid argument 0: {name}: {err}") from None

    data, also = field("input", parse_data), field("data", parse_data)
    if data is not None and also is not None and data != also:
        text = 'both "data" and "input" are set and not equal. Please use "input" to pass transaction call data'
        raise RpcError(SERVER_ERROR, text)
    found = CallFields(
        sender=field("from", parse_address, ZERO_ADDRESS),
        to=field("to", parse_address),
        value=field("value", parse_quantity, 0),
        data=data if data is not None else also or b"",
        gas=field("gas", parse_uint64),
        gas_price=field("gasPrice", parse_quantity),
        max_fee=field("maxFeePerGas", parse_quantity),
        max_priority_fee=field("maxPriorityFeePerGas", parse_quantity),
        nonce=field("nonce", parse_uint64),
        access_list=field("accessList", parse_access_list, ()),
    )
    wanted = field("chainId", parse_quantity, chain_id)
    _refuse_conflicts(found, wanted, chain_id)
    return found


def _refuse_conflicts(found: CallFields, wanted: int, chain_id: int) -> None:
    if found.gas_price is not None and (found.max_fee is not None or found.max_priority_fee is not None):
        raise RpcError(SERVER_ERROR, "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")
    if found.max_fee is not None and found.max_priority_fee is not None and found.max_fee < found.max_priority_fee:
        text = f"maxFeePerGas ({found.max_fee}) < maxPriorityFeePerGas ({found.max_priority_fee})"
        raise RpcError(SERVER_ERROR, text)
    if wanted != chain_id:
        raise RpcError(SERVER_ERROR, f"chainId does not match node's (have={wanted}, want={chain_id})")


def call_message(fields: CallFields, env: BlockEnv, gas: int) -> CallMessage:
    """The message that a client's transaction object asks to run, with this gas limit."""
    return CallMessage(
        sender=fields.sender,
        to=fields.to,
        value=fields.value,
        data=fields.data,
        gas=gas,
        gas_price=fields.price(env.base_fee),
        access_list=fields.access_list,
    )


class EthCalls:
    """Messages that are run and forgotten, and transactions that are completed for signing."""

    def __init__(self, backend: Backend, fees: EthFees, workers: Workers) -> None:
        self._backend = backend
        self._fees = fees
        self._workers = workers

    async def call(
        self,
        transaction: ObjectArg,
        block: BlockArg = LATEST,
        state_overrides: ObjectArg | None = None,
        block_overrides: ObjectArg | None = None,
    ) -> str:
        fields = read_fields(transaction, self._backend.chain_id)
        env, state = self._at(block, state_overrides, block_overrides)
        gas = min(fields.gas or self._backend.settings.call_gas, self._backend.settings.call_gas)
        result = await self._workers.run(self._backend.engine.call, env, call_message(fields, env, gas), state)
        raise_if_failed(result)
        return to_hex(result.output)

    async def estimate_gas(
        self,
        transaction: ObjectArg,
        block: BlockArg = LATEST,
        state_overrides: ObjectArg | None = None,
        block_overrides: ObjectArg | None = None,
    ) -> str:
        fields = read_fields(transaction, self._backend.chain_id)
        return quantity(await self._estimate(fields, *self._at(block, state_overrides, block_overrides)))

    async def fill_transaction(self, transaction: ObjectArg) -> Json:
        """The transaction with nonce, gas and fees filled in, and its unsigned bytes."""
        fields = read_fields(transaction, self._backend.chain_id)
        pending = BlockRef(tag="pending")
        tip = fields.max_priority_fee
        if tip is None:
            tip = fields.gas_price if fields.gas_price is not None else int(self._fees.max_priority_fee_per_gas(), 16)
        header = self._backend.head()
        cap = fields.max_fee if fields.max_fee is not None else fields.gas_price
        cap = tip + 2 * header.base_fee if cap is None else cap
        nonce = fields.nonce if fields.nonce is not None else self._backend.pool.pending_nonce(fields.sender)
        gas = fields.gas if fields.gas is not None else await self._estimate(fields, *self._at(pending, None, None))
        return _unsigned(fields, self._backend.chain_id, nonce, tip, cap, gas)

    # --- how ----------------------------------------------------------------------------------------------

    def _at(
        self, block: BlockRef, state_overrides: dict[str, Any] | None, block_overrides: dict[str, Any] | None
    ) -> tuple[BlockEnv, StateReader]:
        try:
            state = with_state(self._backend.state(block), state_overrides)
            return with_block(self._backend.env(block), block_overrides), state
        except ValueError as err:
            raise invalid_params(f"invalid override: {err}") from None

    async def _estimate(self, fields: CallFields, env: BlockEnv, state: StateReader) -> int:
        cap = min(fields.gas or env.gas_limit, env.gas_limit, self._backend.settings.call_gas)
        message = call_message(fields, env, cap)
        return await self._workers.run(estimate_gas, self._backend.engine, env, message, state, cap)


def _unsigned(fields: CallFields, chain_id: int, nonce: int, tip: int, cap: int, gas: int) -> Json:
    access = [[entry.address, list(entry.storage_keys)] for entry in fields.access_list]
    body = [chain_id, nonce, tip, cap, gas, fields.to or b"", fields.value, fields.data, access, 0, 0, 0]
    raw = bytes([DYNAMIC_FEE]) + rlp.encode(body)
    zeros = dict.fromkeys(("v", "r", "s", "yParity"), "0x0")
    return {
        "raw": to_hex(raw),
        "tx": {
            "type": quantity(DYNAMIC_FEE),
            "chainId": quantity(chain_id),
            "nonce": quantity(nonce),
            "from": to_hex(fields.sender),
            "to": None if fields.to is None else to_hex(fields.to),
            "gas": quantity(gas),
            "gasPrice": None,
            "maxPriorityFeePerGas": quantity(tip),
            "maxFeePerGas": quantity(cap),
            "value": quantity(fields.value),
            "input": to_hex(fields.data),
            "accessList": access_list_json(fields.access_list),
            "hash": to_hex(keccak256(raw)),
        }
        | zeros,
    }

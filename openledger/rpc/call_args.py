"""A client's transaction object: how it is read, the message that it asks to run, the transaction that it would be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import rlp

from openledger.evm.engine import BlockEnv, CallMessage
from openledger.primitives.errors import (
    EmptyAuthorizationList,
    OpenLedgerError,
    TipAboveFeeCap,
    UnsupportedTransactionType,
)
from openledger.primitives.hashing import keccak256
from openledger.primitives.transactions import (
    ACCESS_LIST,
    BLOB,
    DYNAMIC_FEE,
    LEGACY,
    SET_CODE,
    Authorization,
    EthTransaction,
)
from openledger.primitives.types import ZERO_ADDRESS, AccessTuple, Address, parse_address, to_checksum
from openledger.rpc.errors import SERVER_ERROR, RpcError, from_tree, invalid_params
from openledger.rpc.params import (
    parse_access_list,
    parse_authorizations,
    parse_data,
    parse_number,
    parse_quantity,
    parse_uint64,
)


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
    access_list: tuple[AccessTuple, ...] | None
    authorizations: tuple[Authorization, ...] | None

    def price(self, base_fee: int) -> int:
        """Wei per gas that the sender would pay; 0 where no price was given."""
        if self.gas_price is not None:
            return self.gas_price
        if self.max_fee is None:
            return 0
        return min(self.max_fee, base_fee + (self.max_priority_fee or 0))

    @property
    def cap(self) -> int:
        """The most that the sender would pay per gas; 0 where no price was given."""
        return self.gas_price if self.gas_price is not None else self.max_fee or 0

    def type(self, otherwise: int = DYNAMIC_FEE) -> int:
        """Type of the transaction that this would be, as geth chooses it."""
        if self.authorizations is not None:
            return SET_CODE
        if self.gas_price is not None:
            return LEGACY if self.access_list is None else ACCESS_LIST
        return otherwise


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
    if field("type", parse_number) == BLOB or given.get("blobVersionedHashes") or given.get("blobs"):
        raise UnsupportedTransactionType("blob transactions (type 3) are not supported by this chain")
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
        access_list=field("accessList", parse_access_list),
        authorizations=field("authorizationList", parse_authorizations),
    )
    _refuse_conflicts(found, field("chainId", parse_quantity, chain_id), chain_id)
    return found


def _refuse_conflicts(found: CallFields, wanted: int, chain_id: int) -> None:
    if found.gas_price is not None and (found.max_fee is not None or found.max_priority_fee is not None):
        raise RpcError(SERVER_ERROR, "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")
    if found.gas_price is not None and found.authorizations is not None:
        raise RpcError(SERVER_ERROR, "both gasPrice and authorizationList specified")
    if found.authorizations is not None and found.to is None:
        raise RpcError(SERVER_ERROR, "EIP-7702 transaction cannot be used to create contract")
    if found.authorizations == ():
        raise EmptyAuthorizationList("EIP-7702 transaction with empty auth list")
    if wanted != chain_id:
        raise RpcError(SERVER_ERROR, f"chainId does not match node's (have={wanted}, want={chain_id})")


def call_message(fields: CallFields, env: BlockEnv, gas: int) -> CallMessage:
    """The message that a client's transaction object asks to run, with this gas limit. Raises TipAboveFeeCap."""
    cap, tip = fields.max_fee, fields.max_priority_fee
    if cap is not None and tip is not None and cap < tip:
        raise TipAboveFeeCap(
            f"max priority fee per gas higher than max fee per gas: address {to_checksum(fields.sender)}, "
            f"maxPriorityFeePerGas: {tip}, maxFeePerGas: {cap}"
        )
    return CallMessage(
        sender=fields.sender,
        to=fields.to,
        value=fields.value,
        data=fields.data,
        gas=gas,
        gas_price=fields.price(env.base_fee),
        access_list=fields.access_list or (),
        authorizations=fields.authorizations or (),
        max_fee=fields.cap,
    )


def unsigned(
    fields: CallFields, chain_id: int, *, kind: int, nonce: int, gas: int, tip: int, cap: int
) -> EthTransaction:
    """The transaction with these fields and a signature of zeros, as geth shows an unsigned one. Fees in wei."""
    access = [[entry.address, list(entry.storage_keys)] for entry in fields.access_list or ()]
    body: list[Any] = [gas, fields.to or b"", fields.value, fields.data]
    if kind == LEGACY:
        raw: bytes = rlp.encode([nonce, cap, *body, 0, 0, 0])
    elif kind == ACCESS_LIST:
        raw = bytes([kind]) + rlp.encode([chain_id, nonce, cap, *body, access, 0, 0, 0])
    else:
        signed = [[a.chain_id, a.address, a.nonce, a.y_parity, a.r, a.s] for a in fields.authorizations or ()]
        more = [signed] if kind == SET_CODE else []
        raw = bytes([kind]) + rlp.encode([chain_id, nonce, tip, cap, *body, access, *more, 0, 0, 0])
    return EthTransaction(
        kind, chain_id, nonce, cap, cap if kind in (LEGACY, ACCESS_LIST) else tip, cap, gas, fields.to, fields.value,
        fields.data, fields.access_list or (), fields.authorizations or (), 0, 0, 0, raw, keccak256(raw), fields.sender,
    )  # fmt: skip

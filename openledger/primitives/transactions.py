"""The transaction envelopes: Ethereum's (legacy, EIP-2930, EIP-1559, EIP-7702) and ours (0x50, 0x51, slot 0).

``decode_transaction(raw)`` is the one door. Decoding is strict: canonical RLP or msgpack, no trailing bytes,
nothing recomputed or repaired. Sources: EIP-2718, EIP-155, EIP-2930, EIP-1559, EIP-7702; design.md, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from openledger.primitives.codec import decode, encode, pack_int, unpack_int
from openledger.primitives.errors import (
    EmptyAuthorizationList,
    InvalidMsgpack,
    InvalidRlp,
    InvalidSignature,
    ReservedTransaction,
    TransactionTooLarge,
    UnprotectedTransaction,
    UnsupportedTransactionType,
)
from openledger.primitives.hashing import keccak256
from openledger.primitives.keys import recover_address, sign_digest
from openledger.primitives.rlpio import Rlp, read_rlp, write_rlp
from openledger.primitives.types import AccessTuple, Address, Hash32

LEGACY, ACCESS_LIST, DYNAMIC_FEE, BLOB, SET_CODE = 0x00, 0x01, 0x02, 0x03, 0x04
NATIVE, SYSTEM, SLOT0, BUNDLE = 0x50, 0x51, 0x52, 0x53
IMPERSONATED, EDITS = 0x54, 0x55
"""Only on a solo devnet: a transaction without a signature (``unsigned.py``), and the edits of a block's state."""
MAX_TRANSACTION_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class Authorization:
    """One EIP-7702 authorization tuple."""

    chain_id: int
    address: Address
    nonce: int
    y_parity: int
    r: int
    s: int


@dataclass(frozen=True, slots=True)
class EthTransaction:
    """An Ethereum transaction with its signature. Fees and value in wei.

    ``gas_price`` is set for types 0 and 1; for types 2 and 4 it equals ``max_fee``. ``to`` is None for a creation.
    """

    type: int
    chain_id: int
    nonce: int
    gas_price: int
    max_priority_fee: int
    max_fee: int
    gas: int
    to: Address | None
    value: int
    data: bytes
    access_list: tuple[AccessTuple, ...]
    authorizations: tuple[Authorization, ...]
    y_parity: int
    r: int
    s: int
    raw: bytes = field(repr=False)
    hash: Hash32
    sender: Address
    impersonated: bool = False

    @property
    def v(self) -> int:
        """``v`` as clients expect it in JSON: EIP-155 form for legacy, the parity for typed ones."""
        return self.chain_id * 2 + 35 + self.y_parity if self.type == LEGACY else self.y_parity

    def effective_gas_price(self, base_fee: int) -> int:
        """What the sender pays per gas at this base fee (EIP-1559)."""
        return min(self.max_fee, base_fee + self.max_priority_fee)


@dataclass(frozen=True, slots=True)
class NativeTransaction:
    """A native envelope ``0x50 || msgpack([...])``. ``payload`` is the canonical msgpack of the action's fields.

    The sender is known only with the action's type at hand (EIP-712): see ``abci_app.action``.
    """

    chain_id: int
    nonce: int
    max_priority_fee: int
    max_fee: int
    gas: int
    kind: str
    payload: bytes
    signature: bytes
    raw: bytes = field(repr=False)
    hash: Hash32

    type: int = field(default=NATIVE, init=False)

    def effective_gas_price(self, base_fee: int) -> int:
        """What the sender pays per gas at this base fee (EIP-1559)."""
        return min(self.max_fee, base_fee + self.max_priority_fee)


@dataclass(frozen=True, slots=True)
class SystemTransaction:
    """The deterministic transaction 0x51 that carries a block's effects: ``0x51 || rlp([height, effects hash])``."""

    height: int
    effects: Hash32
    raw: bytes = field(repr=False)
    hash: Hash32

    type: int = field(default=SYSTEM, init=False)


Transaction: TypeAlias = EthTransaction | NativeTransaction


def decode_transaction(raw: bytes) -> Transaction:
    """Decode one raw transaction from outside. Raises an InvalidTransaction leaf for anything that is not one."""
    if len(raw) > MAX_TRANSACTION_BYTES:
        raise TransactionTooLarge(f"oversized data: transaction size {len(raw)}, limit {MAX_TRANSACTION_BYTES}")
    if not raw:
        raise InvalidRlp("empty transaction")
    first = raw[0]
    if first == NATIVE:
        return decode_native(raw)
    if first in (SYSTEM, SLOT0, BUNDLE):
        raise ReservedTransaction(f"transaction type {first:#04x} is written by the node itself and cannot be sent")
    if first >= 0xC0:
        return _decode_legacy(raw)
    if first == BLOB:
        raise UnsupportedTransactionType("blob transactions (type 3) are not supported by this chain")
    if first in (ACCESS_LIST, DYNAMIC_FEE, SET_CODE):
        return _decode_typed(raw, first)
    raise UnsupportedTransactionType(f"transaction type not supported: {first:#04x}")


# --- native -----------------------------------------------------------------------------------------------


def decode_native(raw: bytes) -> NativeTransaction:
    """Envelope of ``0x50 || msgpack``. Raises InvalidMsgpack."""
    parts = decode(raw[1:])
    if not isinstance(parts, list) or len(parts) != 8:
        raise InvalidMsgpack("a native transaction is a list of 8 fields")
    chain_id, nonce, tip, cap, gas, kind, payload, signature = parts
    if not isinstance(kind, str) or not isinstance(payload, bytes) or not isinstance(signature, bytes):
        raise InvalidMsgpack("kind is text, payload and signature are bytes")
    return NativeTransaction(
        chain_id=unpack_int(chain_id, 64),
        nonce=unpack_int(nonce, 64),
        max_priority_fee=unpack_int(tip),
        max_fee=unpack_int(cap),
        gas=unpack_int(gas, 64),
        kind=kind,
        payload=payload,
        signature=signature,
        raw=raw,
        hash=keccak256(raw),
    )


def encode_native(
    chain_id: int,
    nonce: int,
    max_priority_fee: int,
    max_fee: int,
    gas: int,
    kind: str,
    payload: bytes,
    signature: bytes,
) -> bytes:
    """Raw bytes of a native transaction."""
    numbers = [pack_int(n) for n in (chain_id, nonce, max_priority_fee, max_fee, gas)]
    return bytes([NATIVE]) + encode([*numbers, kind, payload, signature])


def system_transaction(height: int, effects: Hash32) -> SystemTransaction:
    """The system transaction of a block."""
    raw = bytes([SYSTEM]) + write_rlp([height, effects])
    return SystemTransaction(height, effects, raw, keccak256(raw))


def decode_system(raw: bytes) -> SystemTransaction:
    """Read back a stored system transaction. Raises InvalidRlp."""
    height, effects = _items(raw[1:], 2)
    return SystemTransaction(_int(height, "height", 64), _bytes(effects, "effects", 32), raw, keccak256(raw))


# --- Ethereum ---------------------------------------------------------------------------------------------


def _items(raw: bytes, count: int) -> Sequence[Rlp]:
    items = read_rlp(raw)
    if isinstance(items, bytes) or len(items) != count:
        raise InvalidRlp(f"rlp: expected a list of {count} fields")
    return items


def _int(item: Rlp, name: str, bits: int = 256) -> int:
    if not isinstance(item, bytes) or len(item) * 8 > bits or item[:1] == b"\0":
        raise InvalidRlp(f"rlp: {name} is not an integer of at most {bits} bits in shortest form")
    return int.from_bytes(item, "big")


def _bytes(item: Rlp, name: str, length: int | None = None) -> bytes:
    if not isinstance(item, bytes) or (length is not None and len(item) != length):
        raise InvalidRlp(f"rlp: {name} must be {length if length is not None else 'a string of'} bytes")
    return item


def _to(item: Rlp) -> Address | None:
    raw = _bytes(item, "to")
    if len(raw) not in (0, 20):
        raise InvalidRlp("rlp: to must be empty or an address of 20 bytes")
    return raw or None


def _access_list(item: Rlp) -> tuple[AccessTuple, ...]:
    if isinstance(item, bytes):
        raise InvalidRlp("rlp: the access list must be a list")
    entries = []
    for entry in item:
        if isinstance(entry, bytes) or len(entry) != 2 or isinstance(entry[1], bytes):
            raise InvalidRlp("rlp: an access list entry is an address and a list of keys")
        keys = tuple(_bytes(k, "storage key", 32) for k in entry[1])
        entries.append(AccessTuple(_bytes(entry[0], "access list address", 20), keys))
    return tuple(entries)


def _authorizations(item: Rlp) -> tuple[Authorization, ...]:
    if isinstance(item, bytes):
        raise InvalidRlp("rlp: the authorization list must be a list")
    found = []
    for entry in item:
        if isinstance(entry, bytes) or len(entry) != 6:
            raise InvalidRlp("rlp: an authorization has 6 fields")
        chain_id, address, nonce, parity, r, s = entry
        found.append(
            Authorization(
                _int(chain_id, "authorization chain id"),
                _bytes(address, "authorization address", 20),
                _int(nonce, "authorization nonce", 64),
                _int(parity, "authorization parity", 8),
                _int(r, "authorization r"),
                _int(s, "authorization s"),
            )
        )
    if not found:
        raise EmptyAuthorizationList("EIP-7702 transaction with empty auth list")
    return tuple(found)


def _decode_legacy(raw: bytes) -> EthTransaction:
    nonce, price, gas, to, value, data, v_item, r_item, s_item = _items(raw, 9)
    v, r, s = _int(v_item, "v"), _int(r_item, "r"), _int(s_item, "s")
    if v in (27, 28):
        raise UnprotectedTransaction(
            "only replay-protected (EIP-155) transactions allowed over RPC", "sign the transaction with the chain id"
        )
    if v < 35:
        raise InvalidSignature("invalid transaction v, r, s values: v is neither EIP-155 nor 27 or 28")
    chain_id, parity = divmod(v - 35, 2)
    unsigned = write_rlp([nonce, price, gas, to, value, data, _min_bytes(chain_id), b"", b""])
    gas_price = _int(price, "gasPrice")
    return EthTransaction(
        LEGACY, chain_id, _int(nonce, "nonce", 64), gas_price, gas_price, gas_price, _int(gas, "gas", 64), _to(to),
        _int(value, "value"), _bytes(data, "data"), (), (), parity, r, s, raw, keccak256(raw),
        recover_address(keccak256(unsigned), r, s, parity),
    )  # fmt: skip


def _decode_typed(raw: bytes, kind: int) -> EthTransaction:
    items = list(_items(raw[1:], {ACCESS_LIST: 11, DYNAMIC_FEE: 12, SET_CODE: 13}[kind]))
    body, (parity_item, r_item, s_item) = items[:-3], items[-3:]
    parity, r, s = _int(parity_item, "yParity", 8), _int(r_item, "r"), _int(s_item, "s")
    chain_id, nonce, *fees = body[: 3 if kind == ACCESS_LIST else 4]
    gas, to, value, data, access = body[2 + len(fees) : 7 + len(fees)]
    tip, cap = _int(fees[0], "fee"), _int(fees[-1], "fee")
    to_address = _to(to)
    authorizations = _authorizations(body[-1]) if kind == SET_CODE else ()
    if kind == SET_CODE and to_address is None:
        raise InvalidRlp("EIP-7702 transaction cannot be used to create contract")
    sender = recover_address(keccak256(bytes([kind]) + write_rlp(body)), r, s, parity)
    return EthTransaction(
        kind, _int(chain_id, "chainId"), _int(nonce, "nonce", 64), cap, tip, cap, _int(gas, "gas", 64), to_address,
        _int(value, "value"), _bytes(data, "data"), _access_list(access), authorizations, parity, r, s, raw,
        keccak256(raw), sender,
    )  # fmt: skip


def peek_recipient(raw: bytes) -> Address | None:
    """``to`` of an Ethereum transaction of a block without decoding the rest; None for a creation and other types."""
    kind = raw[0] if raw else SYSTEM
    skip = {ACCESS_LIST: 4, DYNAMIC_FEE: 5, SET_CODE: 5}.get(kind, 3 if kind >= 0xC0 else -1)
    at = 0 if kind >= 0xC0 else 1
    if skip < 0 or len(raw) < 2:
        return None
    at += 1 + (raw[at] - 0xF7 if raw[at] > 0xF7 else 0)
    for _ in range(skip):  # nonce, fees and gas: none of them is longer than 32 bytes
        if at >= len(raw):
            return None
        at += 1 if raw[at] < 0x80 else raw[at] - 0x7F
    return raw[at + 1 : at + 21] if raw[at : at + 1] == b"\x94" and at + 21 <= len(raw) else None


def decode_impersonated(raw: bytes) -> EthTransaction:
    """Read a transaction that a solo devnet takes without a signature (``unsigned.py``). Raises InvalidRlp."""
    sender, kind_item, chain_id, nonce, tip_item, cap_item, gas, to, value, data, access = _items(raw[1:], 11)
    kind, tip, cap, entries = (
        _int(kind_item, "type", 8),
        _int(tip_item, "fee"),
        _int(cap_item, "fee"),
        _access_list(access),
    )
    if kind not in (LEGACY, ACCESS_LIST, DYNAMIC_FEE) or (kind != DYNAMIC_FEE and tip != cap):
        raise InvalidRlp("an impersonated transaction is of type 0, 1 or 2, with one gas price unless it is of type 2")
    if kind == LEGACY and entries:
        raise InvalidRlp("a legacy transaction has no access list")
    return EthTransaction(
        kind, _int(chain_id, "chainId"), _int(nonce, "nonce", 64), cap, tip, cap, _int(gas, "gas", 64), _to(to),
        _int(value, "value"), _bytes(data, "data"), entries, (), 0, 1, 1, raw, keccak256(raw),
        _bytes(sender, "sender", 20), impersonated=True,
    )  # fmt: skip


def _min_bytes(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def sign_transaction(
    secret: bytes,
    *,
    chain_id: int,
    nonce: int,
    to: Address | None,
    value: int = 0,
    data: bytes = b"",
    gas: int = 21_000,
    max_fee: int,
    max_priority_fee: int = 0,
) -> bytes:
    """Raw bytes of a signed EIP-1559 transaction (for tools and tests; wallets bring their own)."""
    body = [
        _min_bytes(chain_id), _min_bytes(nonce), _min_bytes(max_priority_fee), _min_bytes(max_fee), _min_bytes(gas),
        to or b"", _min_bytes(value), data, [],
    ]  # fmt: skip
    r, s, parity = sign_digest(secret, keccak256(bytes([DYNAMIC_FEE]) + write_rlp(body)))
    encoded = write_rlp([*body, _min_bytes(parity), _min_bytes(r), _min_bytes(s)])
    return bytes([DYNAMIC_FEE]) + encoded


__all__ = [
    "ACCESS_LIST", "BLOB", "BUNDLE", "DYNAMIC_FEE", "EDITS", "IMPERSONATED", "LEGACY", "MAX_TRANSACTION_BYTES",
    "NATIVE", "SET_CODE", "SLOT0", "SYSTEM", "Authorization", "EthTransaction", "NativeTransaction",
    "SystemTransaction", "Transaction", "decode_impersonated", "decode_native", "decode_system", "decode_transaction",
    "encode_native", "peek_recipient", "sign_transaction", "system_transaction",
]  # fmt: skip

"""Arguments of JSON-RPC methods: how each kind is read. A parser raises OpenLedgerError or ValueError with a sentence.

A namespace method annotates its parameters with the aliases below; dispatch.py finds the parser there and names the
position of an argument that it refuses. Quantities follow EIP-1474 (no leading zeros), block parameters EIP-1898.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from openledger.primitives.transactions import Authorization
from openledger.primitives.types import AccessTuple, Address, Hash32, from_hex, parse_address
from openledger.rpc.errors import SERVER_ERROR, RpcError, invalid_params

_TAGS = ("latest", "safe", "finalized", "pending", "earliest")
_HEX = frozenset("0123456789abcdefABCDEF")


@dataclass(frozen=True, slots=True)
class BlockRef:
    """A block as a caller names it: one of a tag, a number, a hash."""

    tag: str = ""
    number: int = 0
    hash: Hash32 = b""

    @property
    def is_pending(self) -> bool:
        return self.tag == "pending"


LATEST = BlockRef(tag="latest")


def json_kind(value: Any) -> str:
    """What a value is called in JSON."""
    if value is None:
        return "null"
    for kinds, name in ((bool, "a truth value"), (int | float, "a number"), (str, "text"), (list, "a list")):
        if isinstance(value, kinds):
            return name
    return "an object"


def parse_quantity(value: Any, bits: int = 256) -> int:
    """Integer of a quantity: 0x, hex digits without leading zeros, at most ``bits`` bits."""
    if not isinstance(value, str):
        raise ValueError(f"a quantity is hex text such as 0x1f, not {json_kind(value)}")
    if not value.startswith(("0x", "0X")):
        raise ValueError("hex string without 0x prefix")
    digits = value[2:]
    if not digits:
        raise ValueError('hex string "0x"')
    if not _HEX.issuperset(digits):
        raise ValueError("invalid hex string")
    if digits[0] == "0" and len(digits) > 1:
        raise ValueError("hex number with leading zero digits")
    if len(digits) > bits // 4:
        raise ValueError(f"hex number > {bits} bits")
    return int(digits, 16)


def parse_uint64(value: Any) -> int:
    """A quantity of at most 64 bits."""
    return parse_quantity(value, 64)


def parse_number(value: Any) -> int:
    """An id or a count: a quantity, or a plain JSON integer, at most 64 bits."""
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value < 1 << 64:
            raise ValueError("number outside 64 unsigned bits")
        return value
    return parse_quantity(value, 64)


def parse_data(value: Any) -> bytes:
    """Bytes of 0x hex."""
    return from_hex(value)


def parse_signature(value: Any) -> bytes:
    """A wallet's signature in the chain's form: 65 bytes that end with 27 or 28. Wallets also end it with 0 or 1, or
    give the short form of EIP-2098."""
    raw = from_hex(value)
    if len(raw) == 64:
        raw = raw[:32] + bytes([raw[32] & 0x7F]) + raw[33:] + bytes([raw[32] >> 7])
    return raw[:64] + bytes([raw[64] + 27]) if len(raw) == 65 and raw[64] < 2 else raw


def parse_hash(value: Any) -> Hash32:
    """32 bytes of 0x hex."""
    return from_hex(value, 32)


def parse_slot(value: Any) -> int:
    """A storage key: up to 32 bytes of hex; leading zeros, odd digits and no prefix are fine, as in geth, and errors
    are in its words."""
    if not isinstance(value, str):
        raise ValueError(f"a storage key is hex text, not {json_kind(value)}")
    digits = value[2:] if value.startswith(("0x", "0X")) else value
    if len(digits) > 64:
        raise invalid_params(f'storage key too long (want at most 32 bytes): "{value[:200]}"')
    if not _HEX.issuperset(digits):
        raise invalid_params(f'invalid hex in storage key: "{value}"')
    return int(digits or "0", 16)


def parse_slots(value: Any) -> list[int]:
    """A list of storage keys, at most 1,024."""
    if not isinstance(value, list):
        raise ValueError("storage keys must be a list")
    if len(value) > 1024:
        raise ValueError("too many slots, at most 1024")
    return [parse_slot(item) for item in value]


@dataclass(frozen=True, slots=True)
class StorageKey:
    """A storage key; ``whole`` where it came as 32 bytes."""

    slot: int
    whole: bool


def parse_storage_keys(value: Any) -> list[StorageKey]:
    """Storage keys of eth_getProof, at most 1,024."""
    return [StorageKey(slot, len(text) == 66) for slot, text in zip(parse_slots(value), value, strict=True)]


def parse_block(value: Any) -> BlockRef:
    """A block: tag, number, hash, or the object forms of EIP-1898."""
    if isinstance(value, Mapping):
        number, digest = value.get("blockNumber"), value.get("blockHash")
        if number is not None and digest is not None:
            raise ValueError("cannot specify both BlockHash and BlockNumber, choose one or the other")
        if value.get("requireCanonical") is not None:
            parse_flag(value["requireCanonical"])  # a block here is always canonical
        if digest is not None:
            return BlockRef(hash=parse_hash(digest))
        if number is not None:
            return parse_block(number)
        raise RpcError(SERVER_ERROR, "invalid arguments; neither block nor hash specified")
    if not isinstance(value, str):
        raise ValueError(f"a block is a tag or hex text, not {json_kind(value)}")
    if value == "":
        raise ValueError("empty hex string")
    if value in _TAGS:
        return BlockRef(tag=value)
    if len(value) == 66:
        return BlockRef(hash=parse_hash(value))
    return BlockRef(number=parse_quantity(value, 64))


def parse_block_number(value: Any) -> BlockRef:
    """A block by tag or number only."""
    if not isinstance(value, str) or len(value) == 66:
        raise ValueError("a block number is a tag or a quantity")
    return parse_block(value)


def parse_flag(value: Any) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise ValueError("expected true or false")
    return value


def parse_text(value: Any) -> str:
    """Text."""
    if not isinstance(value, str):
        raise ValueError(f"expected text, not {json_kind(value)}")
    return value


def parse_object(value: Any) -> dict[str, Any]:
    """A JSON object."""
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, not {json_kind(value)}")
    return value


def parse_percentiles(value: Any) -> list[float]:
    """Reward percentiles of eth_feeHistory: ascending, each within 0 to 100, at most 100 of them. Raises RpcError in
    geth's words."""
    if not isinstance(value, list) or not all(isinstance(p, int | float) and not isinstance(p, bool) for p in value):
        raise ValueError("reward percentiles must be a list of numbers")
    if len(value) > 100:
        raise RpcError(SERVER_ERROR, "invalid reward percentile: over the query limit 100")
    for place, (before, here) in enumerate(zip([-1.0, *value], value, strict=False)):
        if not 0 <= here <= 100:
            raise RpcError(SERVER_ERROR, f"invalid reward percentile: {here:f}")
        if here <= before:
            raise RpcError(SERVER_ERROR, f"invalid reward percentile: #{place - 1}:{before:f} >= #{place}:{here:f}")
    return [float(p) for p in value]


def parse_access_list(value: Any) -> tuple[AccessTuple, ...]:
    """An EIP-2930 access list."""
    if not isinstance(value, list):
        raise ValueError("an access list is a list")
    found = []
    for entry in value:
        keys = parse_object(entry).get("storageKeys") or []
        if not isinstance(keys, list):
            raise ValueError("storageKeys must be a list")
        found.append(AccessTuple(parse_address(entry.get("address", "")), tuple(parse_hash(k) for k in keys)))
    return tuple(found)


def parse_authorizations(value: Any) -> tuple[Authorization, ...]:
    """EIP-7702 authorizations; the parity as ``yParity``, or as ``v`` (27, 28, 0 or 1)."""
    if not isinstance(value, list):
        raise ValueError("an authorization list is a list")
    found = []
    for item in value:
        entry = parse_object(item)
        parity = entry.get("yParity", entry.get("v", "0x0"))
        found.append(
            Authorization(
                chain_id=parse_quantity(entry.get("chainId", "0x0")),
                address=parse_address(entry.get("address", "")),
                nonce=parse_uint64(entry.get("nonce", "0x0")),
                y_parity=parse_quantity(parity, 8) % 27,
                r=parse_slot(entry.get("r", "0x0")),
                s=parse_slot(entry.get("s", "0x0")),
            )
        )
    return tuple(found)


AddressArg = Annotated[Address, parse_address]
HashArg = Annotated[Hash32, parse_hash]
DataArg = Annotated[bytes, parse_data]
SignatureArg = Annotated[bytes, parse_signature]
QuantityArg = Annotated[int, parse_quantity]
Uint64Arg = Annotated[int, parse_uint64]
NumberArg = Annotated[int, parse_number]
SlotArg = Annotated[int, parse_slot]
StorageKeysArg = Annotated[list[StorageKey], parse_storage_keys]
BlockArg = Annotated[BlockRef, parse_block]
BlockNumberArg = Annotated[BlockRef, parse_block_number]
FlagArg = Annotated[bool, parse_flag]
TextArg = Annotated[str, parse_text]
ObjectArg = Annotated[dict[str, Any], parse_object]
PercentilesArg = Annotated[list[float], parse_percentiles]

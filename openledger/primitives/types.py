"""Names for bytes, and the plain values that several rooms share."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from openledger.primitives.errors import InvalidAddress, InvalidHex
from openledger.primitives.hashing import KECCAK_EMPTY, keccak256

Address = bytes
"""20 bytes. One secp256k1 key is one account."""
Hash32 = bytes
"""32 bytes."""

ZERO_ADDRESS: Address = bytes(20)
SYSTEM_ADDRESS: Address = bytes.fromhex("fffffffffffffffffffffffffffffffffffffffe")
DATANETS_ADDRESS: Address = bytes(18) + b"\x08\x00"
MODELS_ADDRESS: Address = bytes(18) + b"\x08\x01"
ATTRIBUTION_ADDRESS: Address = bytes(18) + b"\x08\x02"
STAKING_ADDRESS: Address = bytes(18) + b"\x08\x03"
GOVERNANCE_ADDRESS: Address = bytes(18) + b"\x08\x04"
DEPOSITS_ADDRESS: Address = bytes(18) + b"\x08\x05"
"""Holds the deposits of proposals; a plain account without code, of which nobody has the key."""
OUTBOX_ADDRESS: Address = bytes(18) + b"\x09\x00"
MODULE_ADDRESSES: tuple[Address, ...] = (
    DATANETS_ADDRESS,
    MODELS_ADDRESS,
    ATTRIBUTION_ADDRESS,
    STAKING_ADDRESS,
    GOVERNANCE_ADDRESS,
)


@dataclass(frozen=True, slots=True)
class Account:
    """One account of the flat state. ``balance`` in wei. Storage lives in its own table."""

    nonce: int = 0
    balance: int = 0
    code_hash: Hash32 = KECCAK_EMPTY

    @property
    def is_empty(self) -> bool:
        """EIP-161: no nonce, no balance, no code."""
        return self.nonce == 0 and self.balance == 0 and self.code_hash == KECCAK_EMPTY


@dataclass(frozen=True, slots=True)
class Log:
    """One event: address (20 bytes), up to four 32-byte topics, data."""

    address: Address
    topics: tuple[Hash32, ...] = ()
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class AccessTuple:
    """One entry of an EIP-2930 access list."""

    address: Address
    storage_keys: tuple[Hash32, ...] = field(default=())


def from_hex(text: str, length: int | None = None) -> bytes:
    """Bytes of ``0x``-prefixed hex. Raises InvalidHex, also where ``length`` bytes were expected."""
    if not isinstance(text, str) or not text.startswith(("0x", "0X")):
        raise InvalidHex(f"expected 0x-prefixed hex, got {str(text)[:40]!r}")
    try:
        raw = bytes.fromhex(text[2:])
    except ValueError:
        raise InvalidHex(f"not hexadecimal: {text[:40]!r}") from None
    if len(text) != 2 + 2 * len(raw):  # white space is skipped, not refused, by ``fromhex``
        raise InvalidHex("hexadecimal with white space in it")
    if length is not None and len(raw) != length:
        raise InvalidHex(f"expected {length} bytes, got {len(raw)}")
    return raw


def to_hex(raw: bytes) -> str:
    """``0x``-prefixed lower-case hex."""
    return "0x" + raw.hex()


@lru_cache(4096)
def to_checksum(address: Address) -> str:
    """EIP-55 form of a 20-byte address."""
    digits = address.hex()
    digest = keccak256(digits.encode()).hex()
    return "0x" + "".join(c.upper() if h > "7" else c for c, h in zip(digits, digest, strict=False))


def parse_address(text: str) -> Address:
    """Address of its hex form; a mixed-case form must carry the right EIP-55 checksum."""
    try:
        raw = from_hex(text, 20)
    except InvalidHex as err:
        raise InvalidAddress(f"not an address: {err}", "an address is 0x and 40 hex digits") from None
    digits = text[2:]
    if digits not in (digits.lower(), digits.upper()) and to_checksum(raw)[2:] != digits:
        raise InvalidAddress(f"address {text} has a wrong checksum", "check it for a typing error (EIP-55)")
    return raw

"""secp256k1 for accounts, ed25519 for validators."""

from __future__ import annotations

import hashlib

from coincurve import PrivateKey, PublicKey
from cryptography.exceptions import InvalidSignature as _Ed25519Invalid
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from openledger.primitives.errors import InvalidSignature
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import Address, Hash32

SECP256K1_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
SECP256K1_HALF_N = SECP256K1_N // 2


def address_of_public_key(public_key: bytes) -> Address:
    """Address of an uncompressed public key (65 bytes, leading 0x04)."""
    return keccak256(public_key[1:])[12:]


def address_of_private_key(secret: bytes) -> Address:
    """Address of a 32-byte private key."""
    return address_of_public_key(PrivateKey(secret).public_key.format(compressed=False))


def sign_digest(secret: bytes, digest: Hash32) -> tuple[int, int, int]:
    """Deterministic ECDSA (RFC 6979), low s: (r, s, y_parity)."""
    raw = PrivateKey(secret).sign_recoverable(digest, hasher=None)
    return int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big"), raw[64]


def recover_address(digest: Hash32, r: int, s: int, y_parity: int) -> Address:
    """Signer of ``digest``. Raises InvalidSignature, also for r or s out of range and for high s (EIP-2)."""
    if not 0 < r < SECP256K1_N or not 0 < s < SECP256K1_N:
        raise InvalidSignature("invalid transaction v, r, s values: r or s is out of range")
    if s > SECP256K1_HALF_N:
        raise InvalidSignature("invalid transaction v, r, s values: s is in the upper half (EIP-2)")
    if y_parity not in (0, 1):
        raise InvalidSignature("invalid transaction v, r, s values: y parity is neither 0 nor 1")
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([y_parity])
    try:
        key = PublicKey.from_signature_and_message(raw, digest, hasher=None)
    except Exception as err:  # coincurve raises exactly Exception or ValueError when no point fits
        if type(err) not in (ValueError, Exception):
            raise
        raise InvalidSignature("invalid transaction v, r, s values: no public key fits this signature") from None
    return address_of_public_key(key.format(compressed=False))


def join_signature(r: int, s: int, y_parity: int) -> bytes:
    """65 bytes r || s || v with v 27 or 28."""
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([27 + y_parity])


def recover_signature(digest: Hash32, signature: bytes) -> Address:
    """Signer of ``digest`` from 65 bytes r || s || v; v must be 27 or 28, s low. Raises InvalidSignature."""
    if len(signature) != 65:
        raise InvalidSignature(f"a signature has 65 bytes, this one {len(signature)}")
    if signature[64] not in (27, 28):
        raise InvalidSignature(f"the last byte of a signature is 27 or 28, not {signature[64]}")
    return recover_address(
        digest,
        int.from_bytes(signature[:32], "big"),
        int.from_bytes(signature[32:64], "big"),
        signature[64] - 27,
    )


# --- ed25519 ----------------------------------------------------------------------------------------------


def consensus_address(public_key: bytes) -> Address:
    """CometBFT's address of a 32-byte ed25519 public key: the first 20 bytes of its sha256."""
    return hashlib.sha256(public_key).digest()[:20]


def ed25519_public(seed: bytes) -> bytes:
    """32-byte public key of a 32-byte seed."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def ed25519_sign(seed: bytes, message: bytes) -> bytes:
    """64-byte signature (RFC 8032)."""
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


def ed25519_verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """True when ``signature`` is right; False for every malformed input."""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (_Ed25519Invalid, ValueError):
        return False
    return True

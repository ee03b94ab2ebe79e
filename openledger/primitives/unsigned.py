"""A transaction before its signature: signed with a key, or, on a solo devnet, sent in somebody else's name.

An impersonated transaction is ``0x53 || rlp([sender, type, chain id, nonce, tip, fee cap, gas, to, value, data, access
list])``. It has no signature, so only a chain whose genesis says ``solo`` takes it; everywhere else these bytes are of
an unsupported type. To clients it shows itself as the Ethereum type that it stands for, with r = s = 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import rlp

from openledger.primitives.errors import UnsupportedTransactionType
from openledger.primitives.hashing import keccak256
from openledger.primitives.keys import sign_digest
from openledger.primitives.transactions import ACCESS_LIST, IMPERSONATED, LEGACY, SET_CODE, Authorization
from openledger.primitives.types import AccessTuple, Address


@dataclass(frozen=True, slots=True)
class Unsigned:
    """Types 0, 1, 2 and 4. Wei; for types 0 and 1 both fees are the gas price. ``to`` None creates."""

    type: int
    chain_id: int
    nonce: int
    max_priority_fee: int
    max_fee: int
    gas: int
    to: Address | None
    value: int = 0
    data: bytes = b""
    access_list: tuple[AccessTuple, ...] = ()
    authorizations: tuple[Authorization, ...] = ()

    def _access(self) -> list[Any]:
        return [[entry.address, list(entry.storage_keys)] for entry in self.access_list]

    def _body(self) -> list[Any]:
        tail = [self.gas, self.to or b"", self.value, self.data]
        if self.type == LEGACY:
            return [self.nonce, self.max_fee, *tail]
        if self.type == ACCESS_LIST:
            return [self.chain_id, self.nonce, self.max_fee, *tail, self._access()]
        body = [self.chain_id, self.nonce, self.max_priority_fee, self.max_fee, *tail, self._access()]
        if self.type != SET_CODE:
            return body
        return [*body, [[a.chain_id, a.address, a.nonce, a.y_parity, a.r, a.s] for a in self.authorizations]]

    def sign(self, secret: bytes) -> bytes:
        """Raw bytes, signed with a 32-byte private key (legacy ones with EIP-155)."""
        body = self._body()
        if self.type == LEGACY:
            r, s, parity = sign_digest(secret, keccak256(rlp.encode([*body, self.chain_id, 0, 0])))
            legacy: bytes = rlp.encode([*body, 2 * self.chain_id + 35 + parity, r, s])
            return legacy
        prefix = bytes([self.type])
        r, s, parity = sign_digest(secret, keccak256(prefix + rlp.encode(body)))
        signed: bytes = prefix + rlp.encode([*body, parity, r, s])
        return signed

    def impersonate(self, sender: Address) -> bytes:
        """Raw bytes of the same transaction in the name of ``sender``, without a signature. Raises
        UnsupportedTransactionType for type 4."""
        if self.type == SET_CODE:
            raise UnsupportedTransactionType("a type 4 transaction cannot be sent in somebody else's name")
        encoded: bytes = rlp.encode(
            [
                sender, self.type, self.chain_id, self.nonce, self.max_priority_fee, self.max_fee, self.gas,
                self.to or b"", self.value, self.data, self._access(),
            ]
        )  # fmt: skip
        return bytes([IMPERSONATED]) + encoded

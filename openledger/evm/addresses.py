"""Addresses that follow from a transaction: of a contract that it creates, of who signed its authorizations."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import rlp

from openledger.primitives.errors import InvalidSignature
from openledger.primitives.hashing import keccak256
from openledger.primitives.keys import recover_address
from openledger.primitives.transactions import Authorization
from openledger.primitives.types import Address

AUTHORIZATION_MAGIC = b"\x05"


def create_address(sender: Address, nonce: int) -> Address:
    """Address of the contract that ``sender`` creates with ``nonce``."""
    return keccak256(rlp.encode([sender, nonce]))[12:]


def authority_of(item: Authorization) -> Address:
    """Who signed an EIP-7702 authorization. Raises InvalidSignature."""
    digest = keccak256(AUTHORIZATION_MAGIC + rlp.encode([item.chain_id, item.address, item.nonce]))
    return recover_address(digest, item.r, item.s, item.y_parity)


def authorities_of(items: Iterable[Authorization]) -> tuple[Address, ...]:
    """Who signed them, those apart that nobody did."""
    found = []
    for item in items:
        with suppress(InvalidSignature):
            found.append(authority_of(item))
    return tuple(found)

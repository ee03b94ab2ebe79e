"""Hashes and the one binary Merkle tree of this project.

keccak256 is Ethereum's (not SHA3-256). Blobs are named by sha256. The Merkle tree is the binary tree of
RFC 6962, section 2.1, with keccak256: leaves and nodes carry different prefixes, so a node can never
be passed off as a leaf, and an odd subtree is promoted, never duplicated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from sha3 import keccak_256 as _keccak_256


def _keccak(data: bytes) -> bytes:
    digest: bytes = _keccak_256(data).digest()
    return digest


KECCAK_EMPTY = _keccak(b"")
KECCAK_RLP_EMPTY_LIST = _keccak(b"\xc0")
ZERO_HASH = bytes(32)


def keccak256(data: bytes) -> bytes:
    """keccak256 of ``data`` (32 bytes)."""
    return _keccak(data)


def sha256(data: bytes) -> bytes:
    """sha256 of ``data`` (32 bytes); names blobs."""
    return hashlib.sha256(data).digest()


def merkle_leaf(data: bytes) -> bytes:
    """Hash of one leaf: keccak256(0x00 || data)."""
    return _keccak(b"\x00" + data)


def _node(left: bytes, right: bytes) -> bytes:
    return _keccak(b"\x01" + left + right)


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Root over leaf *hashes* (see ``merkle_leaf``); 32 zero bytes for no leaves."""
    if not leaves:
        return ZERO_HASH
    level = list(leaves)
    while len(level) > 1:
        paired = [_node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level = paired
    return level[0]


def merkle_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Siblings from leaf ``index`` to the root, bottom first. Raises IndexError outside the tree."""
    if not 0 <= index < len(leaves):
        raise IndexError(f"leaf {index} of {len(leaves)}")
    proof: list[bytes] = []
    level = list(leaves)
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            proof.append(level[sibling])
        paired = [_node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level = paired
        index //= 2
    return proof


def merkle_verify(root: bytes, leaf: bytes, index: int, count: int, proof: Sequence[bytes]) -> bool:
    """True when ``leaf`` (a leaf hash) stands at ``index`` of a tree of ``count`` leaves under ``root``."""
    if not 0 <= index < count:
        return False
    current, used = leaf, 0
    width = count
    while width > 1:
        if index ^ 1 < width:
            if used == len(proof):
                return False
            sibling = proof[used]
            used += 1
            current = _node(sibling, current) if index % 2 else _node(current, sibling)
        index //= 2
        width = (width + 1) // 2
    return used == len(proof) and current == root

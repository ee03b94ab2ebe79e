"""A Merkle-Patricia trie whose nodes are stored under their path and overwritten in place.

``update`` is a pure function: old nodes (through a loader) and changes -> new root, node writes, and the bytes that
these nodes had before. It walks the trie once for a whole batch. The same code serves the account trie and every
storage trie; callers hash keys where a secure trie is wanted. Sources: yellow paper, appendix D; RLP, appendix B.

A path is bytes of nibbles (0..15), one a byte. A node shorter than 32 bytes is embedded in its parent and has no
entry of its own, except the root, which always has one. An empty trie has no entries.

In memory a node is a leaf ``(nibbles, value, True)``, an extension ``(nibbles, child, False)``, or a branch: a list of
16 children and the RLP of its value. A child is a node, or bytes: the RLP with which a parent refers to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import rlp

from openledger.primitives.blocks import EMPTY_TRIE_ROOT
from openledger.primitives.errors import CorruptDatabase
from openledger.primitives.hashing import keccak256

Node: TypeAlias = tuple[bytes, "Child", bool] | list["Child"]
Child: TypeAlias = bytes | Node
Item: TypeAlias = tuple[bytes, bytes]
Load: TypeAlias = Callable[[bytes], bytes | None]

_EMPTY = b"\x80"
_HASH = 0xA0
_HEX = b"0123456789abcdef" + bytes(240)
_NIBBLES = bytes(
    c - 48 if 48 <= c <= 57 else c - 87 if 97 <= c <= 102 else 0 for c in range(256)
)  # ASCII of a hex digit -> its value


@dataclass(slots=True)
class TrieUpdate:
    """Outcome of ``update``: the root; ``nodes`` path -> RLP or None (delete); ``before`` the same paths' old bytes."""

    root: bytes
    nodes: dict[bytes, bytes | None] = field(default_factory=dict)
    before: dict[bytes, bytes | None] = field(default_factory=dict)


def nibbles(key: bytes) -> bytes:
    """Path of a key: its nibbles, one a byte."""
    return key.hex().encode().translate(_NIBBLES)


def update(load: Load, changes: Iterable[Item]) -> TrieUpdate:
    """Apply ``(key, value)`` changes (an empty value deletes; the last of equal keys wins) to the trie of ``load``.

    Raises CorruptDatabase when a node that must be there is missing.
    """
    work = _Work(load)
    items = sorted({nibbles(key): value for key, value in changes}.items())
    root_blob = load(b"")
    if root_blob is not None:
        work.loaded[b""] = root_blob
    root = None if root_blob is None else _decode(root_blob)
    if items:
        root = work.update(root, b"", items)
    return work.finish(root)


class _Work:
    """One run of ``update``: what was loaded, what is to be stored."""

    __slots__ = ("load", "loaded", "stored")

    def __init__(self, load: Load) -> None:
        self.load = load
        self.loaded: dict[bytes, bytes] = {}
        self.stored: dict[bytes, bytes] = {}

    def finish(self, root: Node | None) -> TrieUpdate:
        root_hash = EMPTY_TRIE_ROOT
        if root is not None:
            blob = self.encode(root, b"")
            self.stored[b""] = blob
            root_hash = keccak256(blob)
        result = TrieUpdate(root_hash)
        for path, blob in self.stored.items():
            old = self.loaded.get(path)
            if old != blob:
                result.nodes[path], result.before[path] = blob, old
        for path, blob in self.loaded.items():
            if path not in self.stored:
                result.nodes[path], result.before[path] = None, blob
        return result

    # --- structure ---------------------------------------------------------------------------------------------

    def resolve(self, child: Child, path: bytes) -> Node | None:
        """The node that a branch or extension refers to, marked as touched when it has its own entry."""
        if not isinstance(child, bytes):
            return child
        if child == _EMPTY:
            return None
        if child[0] != _HASH:
            return _decode(child)
        blob = self.load(path)
        if blob is None:
            raise CorruptDatabase(f"a trie node is missing at path {path.hex()[1::2]}", "restore a snapshot")
        self.loaded[path] = blob
        return _decode(blob)

    def update(self, node: Node | None, path: bytes, items: list[Item]) -> Node | None:
        """Apply sorted items, all of which begin with ``path``, to the subtree at ``path``."""
        if node is None:
            return _build(len(path), [item for item in items if item[1]])
        if isinstance(node, list):
            return self.update_branch(node, path, items)
        key, child, is_leaf = node
        if is_leaf:
            full = path + key
            kept = [item for item in items if item[1]]
            if all(item[0] != full for item in items):
                kept.append((full, child))  # type: ignore[arg-type]  # a leaf's child is its value
                kept.sort()
            return _build(len(path), kept)
        depth = len(path)
        shared = min(_common(key, items[0][0], depth), _common(key, items[-1][0], depth))
        if shared == len(key):
            below = self.resolve(child, path + key)
            return self.join(key, self.update(below, path + key, items))
        branch: list[Child] = [_EMPTY] * 17
        rest = key[shared + 1 :]
        branch[key[shared]] = (rest, child, False) if rest else child
        return self.join(key[:shared], self.update_branch(branch, path + key[:shared], items))

    def update_branch(self, branch: list[Child], path: bytes, items: list[Item]) -> Node | None:
        depth = len(path)
        start, end = 0, len(items)
        if len(items[0][0]) == depth:
            value = items[0][1]
            branch[16] = rlp_bytes(value) if value else _EMPTY
            start = 1
        while start < end:
            nibble = items[start][0][depth]
            stop = start + 1
            while stop < end and items[stop][0][depth] == nibble:
                stop += 1
            below = path + bytes((nibble,))
            child = self.update(self.resolve(branch[nibble], below), below, items[start:stop])
            branch[nibble] = _EMPTY if child is None else child
            start = stop
        return self.collapse(branch, path)

    def collapse(self, branch: list[Child], path: bytes) -> Node | None:
        """The canonical form of a branch after deletions: none, a leaf, an extension, or itself."""
        present = [i for i in range(17) if branch[i] != _EMPTY]
        if len(present) > 1:
            return branch
        if not present:
            return None
        only = present[0]
        if only == 16:
            value = branch[16]
            return (b"", _decode_bytes(value), True)  # type: ignore[arg-type]  # a branch's value is bytes
        nibble = bytes((only,))
        return self.join(nibble, self.resolve(branch[only], path + nibble))

    def join(self, prefix: bytes, node: Node | None) -> Node | None:
        """``node`` with ``prefix`` before its own nibbles."""
        if node is None or not prefix:
            return node
        if isinstance(node, list):
            return (prefix, node, False)
        return (prefix + node[0], node[1], node[2])

    # --- encoding ------------------------------------------------------------------------------------------------

    def encode(self, node: Node, path: bytes) -> bytes:
        """RLP of a node; every node below it that is 32 bytes or longer goes to ``stored``."""
        if isinstance(node, list):
            parts = []
            for i, child in enumerate(node):
                parts.append(child if isinstance(child, bytes) else self.reference(child, path + bytes((i,))))
            return rlp_list(b"".join(parts))
        key, child, is_leaf = node
        if is_leaf:
            return rlp_list(rlp_bytes(_compact(key, 0x20)) + rlp_bytes(child))  # type: ignore[arg-type]
        reference = child if isinstance(child, bytes) else self.reference(child, path + key)
        return rlp_list(rlp_bytes(_compact(key, 0)) + reference)

    def reference(self, node: Node, path: bytes) -> bytes:
        """What a parent holds for this node: itself when short, else its hash."""
        blob = self.encode(node, path)
        if len(blob) < 32:
            return blob
        self.stored[path] = blob
        return b"\xa0" + keccak256(blob)


def _build(depth: int, items: list[Item]) -> Node | None:
    """A fresh subtree of sorted items that share their first ``depth`` nibbles."""
    if not items:
        return None
    first = items[0][0]
    if len(items) == 1:
        return (first[depth:], items[0][1], True)
    shared = _common(first[depth:], items[-1][0], depth)
    if shared:
        below = _build(depth + shared, items)
        return None if below is None else (first[depth : depth + shared], below, False)
    branch: list[Child] = [_EMPTY] * 17
    start, end = 0, len(items)
    if len(first) == depth:
        branch[16] = rlp_bytes(items[0][1])
        start = 1
    while start < end:
        nibble = items[start][0][depth]
        stop = start + 1
        while stop < end and items[stop][0][depth] == nibble:
            stop += 1
        branch[nibble] = _build(depth + 1, items[start:stop]) or _EMPTY
        start = stop
    return branch


def _common(key: bytes, other: bytes, depth: int) -> int:
    """How many nibbles ``key`` shares with ``other`` from ``depth`` on."""
    limit = min(len(key), len(other) - depth)
    if key[:limit] == other[depth : depth + limit]:
        return limit
    count = 0
    while key[count] == other[depth + count]:
        count += 1
    return count


# --- RLP, only what nodes need ------------------------------------------------------------------------------------


def _compact(key: bytes, flag: int) -> bytes:
    """Hex-prefix encoding; ``flag`` 0x20 for a leaf."""
    if len(key) % 2:
        return bytes((flag | 0x10 | key[0],)) + bytes.fromhex(key[1:].translate(_HEX).decode())
    return bytes((flag,)) + bytes.fromhex(key.translate(_HEX).decode())


def rlp_bytes(raw: bytes) -> bytes:
    """RLP of a byte string."""
    size = len(raw)
    if size == 1 and raw[0] < 0x80:
        return raw
    if size < 56:
        return bytes((0x80 + size,)) + raw
    width = (size.bit_length() + 7) // 8
    return bytes((0xB7 + width,)) + size.to_bytes(width, "big") + raw


def rlp_list(payload: bytes) -> bytes:
    """RLP of a list whose items are already encoded and joined."""
    size = len(payload)
    if size < 56:
        return bytes((0xC0 + size,)) + payload
    width = (size.bit_length() + 7) // 8
    return bytes((0xF7 + width,)) + size.to_bytes(width, "big") + payload


def _decode_bytes(item: bytes) -> bytes:
    first = item[0]
    if first < 0x80:
        return item
    return item[1:] if first < 0xB8 else item[1 + first - 0xB7 :]


def _decode(blob: bytes) -> Node:
    """Node of its RLP; children stay in the encoded form. The bytes are our own, so their form is trusted."""
    first = blob[0]
    at = 1 if first < 0xF8 else 1 + first - 0xF7
    end = len(blob)
    items: list[Child] = []
    while at < end:
        first = blob[at]
        if first == 0x80 or first < 0x80:
            stop = at + 1
        elif first < 0xB8:
            stop = at + first - 0x7F
        elif first < 0xC0:
            width = first - 0xB7
            stop = at + 1 + width + int.from_bytes(blob[at + 1 : at + 1 + width], "big")
        elif first < 0xF8:
            stop = at + first - 0xBF
        else:
            width = first - 0xF7
            stop = at + 1 + width + int.from_bytes(blob[at + 1 : at + 1 + width], "big")
        items.append(blob[at:stop])
        at = stop
    if len(items) == 17:
        return items
    compact = _decode_bytes(items[0])  # type: ignore[arg-type]  # all items are bytes here
    path = nibbles(compact)
    path = path[1:] if compact[0] & 0x10 else path[2:]
    if compact[0] & 0x20:
        return (path, _decode_bytes(items[1]), True)  # type: ignore[arg-type]
    return (path, items[1], False)


# --- reading --------------------------------------------------------------------------------------------------------


def prove(load: Load, key: bytes) -> list[bytes]:
    """The nodes from the root towards ``key``, as ``eth_getProof`` lists them: embedded ones are inside their parents.

    Proves the value, or its absence. Empty for an empty trie. Raises CorruptDatabase when a node is missing.
    """
    path = nibbles(key)
    blob = load(b"")
    if blob is None:
        return []
    proof, depth = [blob], 0
    node = _decode(blob)
    while True:
        if isinstance(node, list):
            if depth == len(path):
                return proof
            child = node[path[depth]]
            depth += 1
        else:
            part, child, is_leaf = node
            if is_leaf or path[depth : depth + len(part)] != part:
                return proof
            depth += len(part)
        reference = child if isinstance(child, bytes) else b""
        if reference == _EMPTY:
            return proof
        if reference[0] == _HASH:
            found = load(path[:depth])
            if found is None:
                raise CorruptDatabase(f"a trie node is missing at path {path[:depth].hex()[1::2]}")
            proof.append(found)
            reference = found
        node = _decode(reference)


def trie_root(items: Iterable[Item]) -> bytes:
    """Root of a trie with exactly these keys and non-empty values."""
    return update(_nothing, items).root


def ordered_trie_root(values: Sequence[bytes]) -> bytes:
    """Root over a list, keyed by rlp(index): Ethereum's transactions and receipts roots."""
    return trie_root((rlp.encode(i), value) for i, value in enumerate(values))


def _nothing(path: bytes) -> bytes | None:
    return None

"""RLP, read from outside and written of our own values. When reading, nesting is bounded: with the recursion limit that
the reference EVM needs, a recursive decoder would overflow the C stack on deep nesting and end the process, and with it
every node that sees the bytes. Writing is ours because every receipt of a block passes through it, ten times faster.

Source: the Ethereum yellow paper, appendix B. Only the one canonical form is accepted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from openledger.primitives.errors import InvalidRlp

Rlp: TypeAlias = bytes | Sequence["Rlp"]

MAX_DEPTH = 8
"""Lists in lists. A transaction has four: itself, the access list, an entry, its keys."""


def read_rlp(raw: bytes, *, max_depth: int = MAX_DEPTH) -> Rlp:
    """The one item that ``raw`` is. Raises InvalidRlp for bytes beyond it, a longer form than needed, a length outside
    of the data, and too deep nesting."""
    item, end = _item(raw, 0, len(raw), max_depth)
    if end != len(raw):
        raise InvalidRlp(f"rlp: {len(raw) - end} bytes behind the end")
    return item


def _item(raw: bytes, at: int, stop: int, depth: int) -> tuple[Rlp, int]:
    """The item at ``at``, which must end at or before ``stop``, and where it ends."""
    if at >= stop:
        raise InvalidRlp("rlp: an item is missing")
    first = raw[at]
    if first < 0x80:
        return raw[at : at + 1], at + 1
    base = 0x80 if first < 0xC0 else 0xC0
    start, end = _payload(raw, at, stop, first - base)
    if base == 0x80:
        if end - start == 1 and raw[start] < 0x80:
            raise InvalidRlp("rlp: a byte is not in its shortest form")
        return raw[start:end], end
    if depth == 0:
        raise InvalidRlp("rlp: lists nested too deeply")
    items: list[Rlp] = []
    while start < end:
        item, start = _item(raw, start, end, depth - 1)
        items.append(item)
    return items, end


def _payload(raw: bytes, at: int, stop: int, form: int) -> tuple[int, int]:
    """Start and end of the payload behind a first byte of the form 0 to 55 (length), 56 to 63 (length of length)."""
    start, length = at + 1, form
    if form > 55:
        digits = raw[start : min(start + form - 55, stop)]
        length = int.from_bytes(digits, "big")
        start += form - 55
        if digits[:1] == b"\0" or length < 56:
            raise InvalidRlp("rlp: a length is not in its shortest form")
    if start + length > stop:
        raise InvalidRlp("rlp: an item is longer than the data")
    return start, start + length


def read_flat(raw: bytes) -> list[bytes]:
    """Items of the one list of byte strings that ``raw`` is. Raises InvalidRlp, also for a list inside."""
    if not raw or raw[0] < 0xC0:
        raise InvalidRlp("rlp: a list is expected")
    at, end = _payload(raw, 0, len(raw), raw[0] - 0xC0)
    if end != len(raw):
        raise InvalidRlp(f"rlp: {len(raw) - end} bytes behind the end")
    items: list[bytes] = []
    while at < end:
        first = raw[at]
        if first < 0x80:
            items.append(raw[at : at + 1])
            at += 1
        elif first < 0xB8 and at + first - 0x7F <= end and (first != 0x81 or raw[at + 1] >= 0x80):
            items.append(raw[at + 1 : at + first - 0x7F])  # short strings, as nearly all are
            at += first - 0x7F
        else:
            item, at = _item(raw, at, end, 0)
            if not isinstance(item, bytes):
                raise InvalidRlp("rlp: a list in a list of byte strings")
            items.append(item)
    return items


def _long(base: int, size: int) -> bytes:
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([base + len(digits)]) + digits


Item: TypeAlias = int | bytes | Sequence["Item"]


def write_rlp(item: Item) -> bytes:
    """RLP of an integer that is not negative, of bytes, or of a list of such."""
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < 0x80:
            return item
        return (bytes([0x80 + len(item)]) if len(item) < 56 else _long(0xB7, len(item))) + item
    if isinstance(item, int):
        return bytes([item]) if 0 < item < 0x80 else write_rlp(item.to_bytes((item.bit_length() + 7) // 8, "big"))
    body = b"".join(map(write_rlp, item))
    return (bytes([0xC0 + len(body)]) if len(body) < 56 else _long(0xF7, len(body))) + body

"""Canonical msgpack: one value has exactly one encoding, and nothing else is accepted.

Values are non-negative integers, bytes, text, booleans and lists of these. Integers above 2^63-1 are written as
minimal big-endian ``bin`` (design.md, section 2), so decoding needs to know where an integer is meant: the
typed layer (``fields.py``) does. Canonical is checked the simple way: what was decoded is encoded again and
compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgpack

from openledger.primitives.errors import InvalidMsgpack

Value: TypeAlias = int | bytes | str | bool | Sequence["Value"]

MAX_PLAIN_INT = 2**63 - 1
MAX_DEPTH = 16


def pack_int(value: int) -> int | bytes:
    """Wire form of an unsigned integer: itself, or minimal big-endian bytes above 2^63-1."""
    return value if value <= MAX_PLAIN_INT else value.to_bytes((value.bit_length() + 7) // 8, "big")


def unpack_int(value: object, bits: int = 256) -> int:
    """Integer of its wire form. Raises InvalidMsgpack for anything but the one canonical form."""
    if isinstance(value, bytes):
        number = int.from_bytes(value, "big")
        if number <= MAX_PLAIN_INT or value[0] == 0:
            raise InvalidMsgpack("an integer is not in its shortest form")
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        raise InvalidMsgpack(f"expected an integer, got {type(value).__name__}")
    if number < 0 or number.bit_length() > bits:
        raise InvalidMsgpack(f"integer does not fit {bits} unsigned bits")
    return number


def encode(value: Value) -> bytes:
    """Canonical bytes of a value (integers already in wire form, see ``pack_int``)."""
    packed: bytes = msgpack.packb(value, use_bin_type=True, strict_types=False)
    return packed


def check_whole(raw: bytes) -> None:
    """Raise InvalidMsgpack unless ``raw`` begins with a whole msgpack value, at most some thousand lists deep.

    Builds nothing. A list says how long it is before its items come, and the parser makes room for that many: lists in
    lists that all claim to be long cost much, though few bytes follow.
    """
    reader = msgpack.Unpacker(max_buffer_size=len(raw))
    try:
        reader.feed(raw)
        reader.skip()
    except (ValueError, msgpack.exceptions.UnpackException):
        raise InvalidMsgpack("not canonical msgpack: it cannot be read") from None


def decode(raw: bytes) -> Value:
    """Value of canonical bytes. Raises InvalidMsgpack for every other input: maps, floats, nil, trailing
    bytes, a longer form than needed, too deep nesting."""
    check_whole(raw)
    try:
        value = msgpack.unpackb(
            raw,
            raw=False,
            use_list=True,
            strict_map_key=True,
            max_str_len=len(raw),
            max_bin_len=len(raw),
            max_array_len=len(raw),
            max_map_len=0,
            max_ext_len=0,
        )
    except (ValueError, TypeError, msgpack.exceptions.UnpackException, RecursionError):
        raise InvalidMsgpack("not canonical msgpack: it cannot be read") from None
    _check(value, MAX_DEPTH)
    if encode(value) != raw:
        raise InvalidMsgpack("not canonical msgpack: not the shortest form")
    result: Value = value
    return result


def _check(value: object, depth: int) -> None:
    if isinstance(value, list):
        if depth == 0:
            raise InvalidMsgpack("msgpack nested too deeply")
        for item in value:
            if type(item) is not bytes:
                _check(item, depth - 1)
    elif isinstance(value, bool | bytes | str):
        return
    elif not isinstance(value, int) or not 0 <= value <= MAX_PLAIN_INT:
        raise InvalidMsgpack(f"a {type(value).__name__} is not allowed here")

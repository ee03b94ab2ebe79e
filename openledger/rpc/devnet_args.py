"""Arguments of the devnet's controls. Tools are lenient here, and differ: a number may be JSON's, hex with or without
leading zeros, or decimal text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from openledger.rpc.params import json_kind, parse_object

MAX_BLOCKS = 100_000
"""Most blocks that one call makes."""


def parse_amount(value: Any, bits: int = 256) -> int:
    """A number in any of the forms that tools send, at most ``bits`` bits."""
    if isinstance(value, str):
        digits = value.strip()
        try:
            number = int(digits[2:] or "0", 16) if digits[:2].lower() == "0x" else int(digits, 10)
        except ValueError:
            raise ValueError(f"not a number: {value[:40]!r}") from None
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        raise ValueError(f"a number is expected, not {json_kind(value)}")
    if not 0 <= number < 1 << bits:
        raise ValueError(f"number outside {bits} unsigned bits")
    return number


def parse_uint(value: Any) -> int:
    """The same with at most 64 bits."""
    return parse_amount(value, 64)


def parse_count(value: Any) -> int:
    """How many blocks."""
    number = parse_amount(value, 64)
    if number > MAX_BLOCKS:
        raise ValueError(f"at most {MAX_BLOCKS} blocks in one call")
    return number


def parse_word(value: Any) -> bytes:
    """32 bytes: hex of any length up to that, or a number."""
    return parse_amount(value).to_bytes(32, "big")


@dataclass(frozen=True, slots=True)
class MineOptions:
    """What ``evm_mine`` is told: a timestamp for the first block, and how many."""

    timestamp: int | None = None
    blocks: int = 1


def parse_mine(value: Any) -> MineOptions:
    """A timestamp, or an object with ``timestamp`` and ``blocks``, as ganache and anvil have it."""
    if not isinstance(value, dict):
        return MineOptions(parse_uint(value))
    given = parse_object(value)
    timestamp, blocks = given.get("timestamp"), given.get("blocks")
    return MineOptions(
        None if timestamp is None else parse_uint(timestamp), 1 if blocks is None else parse_count(blocks)
    )


AmountArg = Annotated[int, parse_amount]
UintArg = Annotated[int, parse_uint]
CountArg = Annotated[int, parse_count]
WordArg = Annotated[bytes, parse_word]
MineArg = Annotated[MineOptions, parse_mine]

"""Words for a failed execution, as geth says them: wallets and libraries parse these texts.

Sources: go-ethereum ``core/vm/errors.go`` and ``accounts/abi`` (Error(string), Panic(uint256)).
"""

from __future__ import annotations

REVERTED = "execution reverted"
ERROR_SELECTOR = bytes.fromhex("08c379a0")
PANIC_SELECTOR = bytes.fromhex("4e487b71")

_PANICS = {
    0x00: "generic panic",
    0x01: "assert(false)",
    0x11: "arithmetic underflow or overflow",
    0x12: "division or modulo by zero",
    0x21: "enum overflow",
    0x22: "invalid encoded storage byte array accessed",
    0x31: "out-of-bounds array access; popping on an empty array",
    0x32: "out-of-bounds access of an array or bytesN",
    0x41: "out of memory",
    0x51: "uninitialized function",
}


def revert_text(data: bytes) -> str | None:
    """What a revert says: the string of Error(string), the meaning of Panic(uint256), or None for anything else."""
    body = data[4:]
    if data[:4] == PANIC_SELECTOR and len(body) >= 32:
        code = int.from_bytes(body[:32], "big")
        return _PANICS.get(code, f"unknown panic code: {code:#x}")
    if data[:4] != ERROR_SELECTOR or len(body) < 64:
        return None
    offset = int.from_bytes(body[:32], "big")
    if offset + 32 > len(body):
        return None
    length = int.from_bytes(body[offset : offset + 32], "big")
    text = body[offset + 32 : offset + 32 + length]
    return text.decode("utf-8", "replace") if len(text) == length else None

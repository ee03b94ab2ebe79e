"""Words for a failed execution, as geth says them: wallets and libraries parse these texts.

Sources: go-ethereum ``core/vm/errors.go`` and ``accounts/abi`` (Error(string), Panic(uint256)).
"""

from __future__ import annotations

from eth.exceptions import (
    ContractCreationCollision,
    FullStack,
    InsufficientFunds,
    InsufficientStack,
    InvalidInstruction,
    InvalidJumpDestination,
    OutOfBoundsRead,
    OutOfGas,
    ReservedBytesInCode,
    Revert,
    StackDepthLimit,
    VMError,
    WriteProtection,
)

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
_TEXTS: tuple[tuple[type[VMError], str], ...] = (
    (OutOfGas, "out of gas"),
    (InsufficientStack, "stack underflow"),
    (FullStack, "stack limit reached 1024 (1023)"),
    (InvalidJumpDestination, "invalid jump destination"),
    (WriteProtection, "write protection"),
    (OutOfBoundsRead, "return data out of bounds"),
    (ContractCreationCollision, "contract address collision"),
    (ReservedBytesInCode, "invalid code: must not begin with 0xef"),
    (InsufficientFunds, "insufficient balance for transfer"),
    (StackDepthLimit, "max call depth exceeded"),
)


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


def describe(error: VMError, opcode: int | None, output: bytes) -> str:
    """One line for ``error``; ``opcode`` is the last one that the failed frame read, ``output`` its revert data."""
    if isinstance(error, Revert):
        said = revert_text(output)
        return REVERTED if said is None else f"{REVERTED}: {said}"
    if isinstance(error, InvalidInstruction):
        if opcode is None:
            return "invalid opcode"
        return "invalid opcode: INVALID" if opcode == 0xFE else f"invalid opcode: opcode {opcode:#x} not defined"
    for kind, text in _TEXTS:
        if isinstance(error, kind):
            return "max code size exceeded" if kind is OutOfGas and "EIP170" in str(error) else text
    return "execution failed"

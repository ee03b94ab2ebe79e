"""py-evm's exceptions in the words of ``reasons``. Apart from it, so that a node on another engine needs no py-evm."""

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

from openledger.evm.reasons import REVERTED, revert_text

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

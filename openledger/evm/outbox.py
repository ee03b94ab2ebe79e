"""The Outbox at 0x...0900: its bytecode, and how to read what it logged (design.md, section 2).

``submit(bytes action)`` uses up BASE + PER_BYTE x length gas in its own frame and emits
``Submitted(address indexed sender, bytes action)``. Value, another selector, an encoding other than Solidity's
standard one, or too little gas revert, and leave no log.

The gas is used up without a loop: the contract calls itself with exactly that much gas, and code called by itself
stops at INVALID, which takes all it was given. A call hands over at most 63/64 of what is left, so the contract
first makes sure that enough is there.
"""

from __future__ import annotations

import re

from openledger.primitives.hashing import keccak256
from openledger.primitives.types import OUTBOX_ADDRESS, Address, Log

OUTBOX_BASE_GAS = 80_000
OUTBOX_GAS_PER_BYTE = 64
MAX_ACTION_BYTES = 128 * 1024
SUBMIT_SELECTOR = keccak256(b"submit(bytes)")[:4]
SUBMITTED_TOPIC = keccak256(b"Submitted(address,bytes)")

_OPS = {
    "STOP": 0x00, "ADD": 0x01, "MUL": 0x02, "DIV": 0x04, "LT": 0x10, "GT": 0x11, "EQ": 0x14, "ISZERO": 0x15,
    "AND": 0x16, "NOT": 0x19, "SHR": 0x1C, "ADDRESS": 0x30, "CALLER": 0x33, "CALLVALUE": 0x34, "CALLDATALOAD": 0x35,
    "CALLDATASIZE": 0x36, "CALLDATACOPY": 0x37, "POP": 0x50, "JUMPI": 0x57, "GAS": 0x5A, "JUMPDEST": 0x5B,
    "PUSH0": 0x5F, "DUP1": 0x80, "DUP2": 0x81, "DUP3": 0x82, "DUP6": 0x85, "LOG2": 0xA2, "STATICCALL": 0xFA,
    "REVERT": 0xFD, "INVALID": 0xFE,
}  # fmt: skip


def assemble(source: str) -> bytes:
    """Bytecode of a small assembly: mnemonics, ``0x..`` for the shortest push, ``@name`` pushes a label (two bytes),
    ``name:`` is its JUMPDEST, words in brackets tell what is on the stack."""
    code = bytearray()
    labels: dict[str, int] = {}
    holes: list[tuple[int, str]] = []
    for word in re.sub(r"\(.*?\)", "", source).split():
        if word.endswith(":"):
            labels[word[:-1]] = len(code)
            code.append(_OPS["JUMPDEST"])
        elif word.startswith("@"):
            holes.append((len(code) + 1, word[1:]))
            code += b"\x61\0\0"
        elif word.startswith("0x"):
            raw = bytes.fromhex(word[2:])
            code += bytes([0x5F + len(raw)]) + raw
        else:
            code.append(_OPS[word])
    for at, name in holes:
        code[at : at + 2] = labels[name].to_bytes(2, "big")
    return bytes(code)


def outbox_code(base: int = OUTBOX_BASE_GAS, per_byte: int = OUTBOX_GAS_PER_BYTE) -> bytes:
    """Runtime bytecode that uses up ``base + per_byte * len(action)`` gas and some hundreds for itself and the log."""
    return assemble(
        f"""
        CALLER ADDRESS EQ @burn JUMPI
        CALLVALUE @refuse JUMPI
        0x43 CALLDATASIZE GT ISZERO @refuse JUMPI
        PUSH0 CALLDATALOAD 0xe0 SHR 0x{SUBMIT_SELECTOR.hex()} EQ ISZERO @refuse JUMPI
        0x04 CALLDATALOAD 0x20 EQ ISZERO @refuse JUMPI
        0x24 CALLDATALOAD                                    (length)
        DUP1 0x{MAX_ACTION_BYTES:06x} LT @refuse JUMPI
        DUP1 0x44 ADD CALLDATASIZE LT @refuse JUMPI

        DUP1 0x{per_byte:04x} MUL 0x{base:08x} ADD           (length burn)
        DUP1 0x3f DUP2 DIV ADD 0x0400 ADD GAS LT @refuse JUMPI
        PUSH0 PUSH0 PUSH0 PUSH0 ADDRESS DUP6 STATICCALL POP POP

        DUP1 0x40 ADD 0x04 PUSH0 CALLDATACOPY                (length)
        CALLER 0x{SUBMITTED_TOPIC.hex()}
        DUP3 0x1f ADD 0x1f NOT AND 0x40 ADD PUSH0 LOG2       (length)
        STOP
        refuse: PUSH0 PUSH0 REVERT
        burn: INVALID
        """
    )


def outbox_gas(length: int) -> int:
    """Gas that ``submit`` uses up for an action of this many bytes; an action whose kind costs more is not run."""
    return OUTBOX_BASE_GAS + OUTBOX_GAS_PER_BYTE * length


def submitted(log: Log) -> tuple[Address, bytes] | None:
    """Sender and action of an Outbox log; None for any other log."""
    if log.address != OUTBOX_ADDRESS or len(log.topics) != 2 or log.topics[0] != SUBMITTED_TOPIC:
        return None
    length = int.from_bytes(log.data[32:64], "big")
    return log.topics[1][12:], log.data[64 : 64 + length]

"""Small contracts by hand: the checks need no compiler."""

from __future__ import annotations

from eth_utils import keccak

OPS = {
    "STOP": 0x00, "ADD": 0x01, "SUB": 0x03, "LT": 0x10, "GT": 0x11, "ISZERO": 0x15, "KECCAK256": 0x20, "CALLER": 0x33,
    "ORIGIN": 0x32, "CALLVALUE": 0x34, "CALLDATALOAD": 0x35, "CALLDATASIZE": 0x36, "CALLDATACOPY": 0x37,
    "CODECOPY": 0x39, "GASPRICE": 0x3A, "BLOCKHASH": 0x40, "COINBASE": 0x41, "TIMESTAMP": 0x42, "NUMBER": 0x43,
    "PREVRANDAO": 0x44, "GASLIMIT": 0x45, "CHAINID": 0x46, "SELFBALANCE": 0x47, "BASEFEE": 0x48, "BLOBBASEFEE": 0x4A,
    "POP": 0x50, "MLOAD": 0x51, "MSTORE": 0x52, "SLOAD": 0x54, "SSTORE": 0x55, "JUMP": 0x56, "JUMPI": 0x57, "GAS": 0x5A,
    "JUMPDEST": 0x5B, "TLOAD": 0x5C, "PUSH0": 0x5F, "DUP1": 0x80, "SWAP1": 0x90, "LOG0": 0xA0, "LOG4": 0xA4,
    "CREATE": 0xF0, "CALL": 0xF1, "RETURN": 0xF3, "STATICCALL": 0xFA, "REVERT": 0xFD, "INVALID": 0xFE,
}  # fmt: skip


def assemble(text: str) -> bytes:
    """Bytes of opcodes and of numbers, each number with the push that it needs."""
    out = b""
    for word in text.split():
        if word in OPS:
            out += bytes([OPS[word]])
        else:
            raw = bytes.fromhex(word[2:]) if word.startswith("0x") else int(word).to_bytes(8, "big").lstrip(b"\0")
            out += bytes([0x5F + len(raw)]) + raw
    return out


def creation(runtime: bytes) -> str:
    """Code that deploys ``runtime``."""
    size = len(runtime).to_bytes(2, "big").hex()
    return "0x61" + size + "80600a5f395ff3" + runtime.hex()


def _stored(words: list[str]) -> str:
    """Each of these values into memory, 32 bytes apart, and all of them returned."""
    text = " ".join(f"{word} {32 * at} MSTORE" if at else f"{word} PUSH0 MSTORE" for at, word in enumerate(words))
    return f"{text} {32 * len(words)} PUSH0 RETURN"


LOGGER = assemble(
    "96 CALLDATALOAD 64 CALLDATALOAD 32 CALLDATALOAD PUSH0 CALLDATALOAD 32 PUSH0 LOG4 "
    "PUSH0 SLOAD 1 ADD DUP1 PUSH0 SSTORE PUSH0 MSTORE 32 PUSH0 RETURN"
)
"""LOG4 with the four words of the call data as topics and a word of zeros; counts in slot 0 and returns the count."""

REASON = bytes.fromhex("08c379a0") + (32).to_bytes(32, "big") + (2).to_bytes(32, "big") + b"no".ljust(32, b"\0")
REVERTER = assemble(
    " ".join(f"0x{REASON.ljust(128, bytes(1))[at : at + 32].hex()} {at or 'PUSH0'} MSTORE" for at in range(0, 128, 32))
    + " 100 PUSH0 REVERT"
)
"""Reverts with Error("no")."""

ENVIRONMENT = assemble(
    _stored(
        [
            "1 NUMBER SUB BLOCKHASH", "NUMBER", "TIMESTAMP", "BASEFEE", "CHAINID", "GASLIMIT", "COINBASE", "PREVRANDAO",
            "GASPRICE", "CALLER", "CALLVALUE", "BLOBBASEFEE",
        ]
    )
)  # fmt: skip
"""Returns what its code sees of the block and the call."""

LOOP = bytes.fromhex("5b5f56")
"""Never ends."""

BROKEN = assemble("INVALID")
"""Uses all its gas."""

FORWARDER_TEXT = "PUSH0 PUSH0 PUSH0 PUSH0 PUSH0 {to} GAS CALL ISZERO {end} JUMPI STOP JUMPDEST PUSH0 PUSH0 REVERT"


def forwarder(to: bytes) -> bytes:
    """Calls ``to`` with all its gas and reverts when that fails: 63/64 of the gas arrive there."""
    head = assemble(FORWARDER_TEXT.format(to="0x" + to.hex(), end=1))
    end = len(head) - 4
    return assemble(FORWARDER_TEXT.format(to="0x" + to.hex(), end=end))


def topic(text: str) -> str:
    """keccak256 of a text, as a topic."""
    return "0x" + keccak(text=text).hex()

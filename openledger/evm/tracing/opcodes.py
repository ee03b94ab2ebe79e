"""Names of opcodes as geth prints them, and the few opcodes that tracers look at (Prague)."""

from __future__ import annotations

SSTORE, SLOAD = 0x55, 0x54
BALANCE, EXTCODESIZE, EXTCODECOPY, EXTCODEHASH, SELFDESTRUCT = 0x31, 0x3B, 0x3C, 0x3F, 0xFF
CREATE, CALL, CALLCODE, DELEGATECALL, CREATE2, STATICCALL = 0xF0, 0xF1, 0xF2, 0xF4, 0xF5, 0xFA
CALLS = frozenset((CALL, CALLCODE, DELEGATECALL, STATICCALL))
CREATES = frozenset((CREATE, CREATE2))

_RANGES = {
    0x00: "STOP ADD MUL SUB DIV SDIV MOD SMOD ADDMOD MULMOD EXP SIGNEXTEND",
    0x10: "LT GT SLT SGT EQ ISZERO AND OR XOR NOT BYTE SHL SHR SAR",
    0x20: "KECCAK256",
    0x30: "ADDRESS BALANCE ORIGIN CALLER CALLVALUE CALLDATALOAD CALLDATASIZE CALLDATACOPY CODESIZE CODECOPY GASPRICE "
    "EXTCODESIZE EXTCODECOPY RETURNDATASIZE RETURNDATACOPY EXTCODEHASH",
    0x40: "BLOCKHASH COINBASE TIMESTAMP NUMBER DIFFICULTY GASLIMIT CHAINID SELFBALANCE BASEFEE BLOBHASH BLOBBASEFEE",
    0x50: "POP MLOAD MSTORE MSTORE8 SLOAD SSTORE JUMP JUMPI PC MSIZE GAS JUMPDEST TLOAD TSTORE MCOPY PUSH0",
    0x60: " ".join(f"PUSH{i}" for i in range(1, 33)),
    0x80: " ".join(f"DUP{i}" for i in range(1, 17)),
    0x90: " ".join(f"SWAP{i}" for i in range(1, 17)),
    0xA0: "LOG0 LOG1 LOG2 LOG3 LOG4",
    0xF0: "CREATE CALL CALLCODE RETURN DELEGATECALL CREATE2",
    0xFA: "STATICCALL",
    0xFD: "REVERT INVALID SELFDESTRUCT",
}
NAMES = {first + i: name for first, names in _RANGES.items() for i, name in enumerate(names.split())}


def opcode_name(opcode: int) -> str:
    """Name of an opcode; geth's words for a byte that is none."""
    return NAMES.get(opcode) or f"opcode {opcode:#x} not defined"

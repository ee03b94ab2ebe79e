"""Errors of JSON-RPC: codes and texts that Ethereum clients know, and the way from the error tree to them.

Sources: JSON-RPC 2.0, section 5.1; EIP-1474; the texts that geth gives, because clients parse them.
"""

from __future__ import annotations

from typing import Any

from openledger.primitives.errors import OpenLedgerError
from openledger.primitives.types import to_hex

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32601, -32602, -32603
SERVER_ERROR, LIMIT_EXCEEDED, REVERTED, WAIT_TIMED_OUT = -32000, -32005, 3, 4

_ERROR_SELECTOR = bytes.fromhex("08c379a0")
_PANIC_SELECTOR = bytes.fromhex("4e487b71")
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


class RpcError(Exception):
    """What a JSON-RPC answer carries under ``error``."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def as_json(self) -> dict[str, Any]:
        """The ``error`` member of an answer."""
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            body["data"] = self.data
        return body


def invalid_params(message: str) -> RpcError:
    """-32602 with this text."""
    return RpcError(INVALID_PARAMS, message)


def method_not_found(name: str) -> RpcError:
    """-32601 in geth's words."""
    return RpcError(METHOD_NOT_FOUND, f"the method {name} does not exist/is not available")


def from_tree(err: OpenLedgerError) -> RpcError:
    """An error of the tree: its JSON-RPC code and message, its own number and hint as data."""
    data: dict[str, Any] = {"code": err.code}
    if err.hint:
        data["hint"] = err.hint
    return RpcError(err.rpc_code, err.message, data)


def reverted(output: bytes) -> RpcError:
    """Code 3 with the revert data, and the reason in words where the data are Error(string) or Panic(uint256)."""
    reason = revert_reason(output)
    return RpcError(REVERTED, "execution reverted" + (f": {reason}" if reason else ""), to_hex(output))


def revert_reason(output: bytes) -> str:
    """The text of ``Error(string)``, the meaning of ``Panic(uint256)``, or empty for anything else."""
    body = output[4:]
    if output[:4] == _PANIC_SELECTOR and len(body) == 32:
        number = int.from_bytes(body, "big")
        return _PANICS.get(number, f"unknown panic code: {number:#x}")
    if output[:4] != _ERROR_SELECTOR or len(body) < 64:
        return ""
    start = int.from_bytes(body[:32], "big")
    length = int.from_bytes(body[start : start + 32], "big") if start + 32 <= len(body) else len(body)
    text = body[start + 32 : start + 32 + length]
    return text.decode("utf-8", "replace") if len(text) == length else ""

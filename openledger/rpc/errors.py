"""Errors of JSON-RPC: codes and texts that Ethereum clients know, and the way from the error tree to them.

Sources: JSON-RPC 2.0, section 5.1; EIP-1474; the texts that geth gives, because clients parse them.
"""

from __future__ import annotations

from typing import Any

from openledger.primitives.errors import CallReverted, OpenLedgerError
from openledger.primitives.types import to_hex

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32601, -32602, -32603
SERVER_ERROR, RESPONSE_TOO_LARGE, LIMIT_EXCEEDED, WAIT_TIMED_OUT = -32000, -32003, -32005, 4
VM_ERROR, CLIENT_LIMIT, PRUNED_HISTORY = -32015, -38026, 4444


_ON_DEVNETS = "a devnet of one validator has methods of anvil and Hardhat, those in docs/reference/devnet-methods.md"


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
    """-32601 in geth's words; with a hint where somebody takes a network for a devnet."""
    data = {"hint": _ON_DEVNETS} if name.partition("_")[0] in ("anvil", "hardhat", "evm", "tenderly") else None
    return RpcError(METHOD_NOT_FOUND, f"the method {name} does not exist/is not available", data)


def from_tree(err: OpenLedgerError) -> RpcError:
    """An error of the tree: its JSON-RPC code and message, its own number and hint as data; a revert has the revert
    data there, as clients expect."""
    if isinstance(err, CallReverted):
        return RpcError(err.rpc_code, err.message, to_hex(err.data))
    data: dict[str, Any] = {"code": err.code}
    if err.hint:
        data["hint"] = err.hint
    return RpcError(err.rpc_code, err.message, data)

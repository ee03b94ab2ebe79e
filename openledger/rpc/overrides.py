"""State and block overrides of eth_call and eth_estimateGas: a reader that answers some things differently."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from openledger.evm.engine import BlockEnv
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import Account, Address, Hash32, parse_address
from openledger.rpc.errors import invalid_params
from openledger.rpc.params import parse_data, parse_hash, parse_object, parse_quantity, parse_slot, parse_uint64
from openledger.state.ports import StateReader


class OverriddenState:
    """A StateReader above another one. Nothing is written anywhere."""

    def __init__(self, parent: StateReader) -> None:
        self._parent = parent
        self._accounts: dict[Address, Account] = {}
        self._codes: dict[Hash32, bytes] = {}
        self._slots: dict[tuple[Address, int], int] = {}
        self._replaced: set[Address] = set()

    def override(self, address: Address, change: dict[str, Any]) -> None:
        """Apply one entry: balance, nonce, code, state (all of its storage) or stateDiff (some slots)."""
        account = self.account(address) or Account()
        if change.get("balance") is not None:
            account = dataclasses.replace(account, balance=parse_quantity(change["balance"]))
        if change.get("nonce") is not None:
            account = dataclasses.replace(account, nonce=parse_uint64(change["nonce"]))
        if change.get("code") is not None:
            code = parse_data(change["code"])
            self._codes[keccak256(code)] = code
            account = dataclasses.replace(account, code_hash=keccak256(code))
        self._accounts[address] = account
        whole, some = change.get("state"), change.get("stateDiff")
        if whole is not None and some is not None:
            raise invalid_params(f"account 0x{address.hex()} has both 'state' and 'stateDiff'")
        if whole is not None:
            self._replaced.add(address)
        for slot, value in parse_object(whole if whole is not None else some or {}).items():
            self._slots[address, parse_slot(slot)] = int.from_bytes(parse_hash(value), "big")

    def account(self, address: Address) -> Account | None:
        return self._accounts[address] if address in self._accounts else self._parent.account(address)

    def storage(self, address: Address, slot: int) -> int:
        found = self._slots.get((address, slot))
        if found is not None:
            return found
        return 0 if address in self._replaced else self._parent.storage(address, slot)

    def has_storage(self, address: Address) -> bool:
        if any(owner == address and value for (owner, _), value in self._slots.items()):
            return True
        return address not in self._replaced and self._parent.has_storage(address)

    def code(self, code_hash: Hash32) -> bytes:
        return self._codes[code_hash] if code_hash in self._codes else self._parent.code(code_hash)

    def record(self, module: Address, key: bytes) -> bytes | None:
        return self._parent.record(module, key)

    def records(self, module: Address, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        return self._parent.records(module, prefix, start)


def with_state(state: StateReader, changes: dict[str, Any] | None) -> StateReader:
    """``state`` with these overrides. Raises RpcError or ValueError for malformed ones."""
    if not changes:
        return state
    changed = OverriddenState(state)
    for address, change in changes.items():
        changed.override(parse_address(address), parse_object(change))
    return changed


_NAMES = {"gasLimit": "gas_limit", "baseFeePerGas": "base_fee", "baseFee": "base_fee", "number": "number"}


def with_block(env: BlockEnv, changes: dict[str, Any] | None) -> BlockEnv:
    """``env`` with these overrides: number, time, gasLimit, feeRecipient, prevRandao, baseFeePerGas."""
    new: dict[str, Any] = {}
    for name, value in (changes or {}).items():
        if value is None:
            continue
        if name in _NAMES:
            new[_NAMES[name]] = parse_quantity(value)
        elif name in ("time", "timestamp"):
            new["timestamp"] = parse_uint64(value)
        elif name in ("feeRecipient", "coinbase"):
            new["coinbase"] = parse_address(value)
        elif name in ("prevRandao", "random"):
            new["prevrandao"] = parse_hash(value)
    return dataclasses.replace(env, **new)

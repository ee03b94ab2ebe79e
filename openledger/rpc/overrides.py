"""State and block overrides of eth_call and its kin: changes above a state, of which nothing is kept."""

from __future__ import annotations

import dataclasses
from typing import Any

from openledger.evm.engine import BlockEnv
from openledger.primitives.types import Account, Address, parse_address, to_checksum
from openledger.rpc.errors import SERVER_ERROR, RpcError
from openledger.rpc.params import parse_data, parse_hash, parse_object, parse_quantity, parse_slot, parse_uint64
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


def with_state(state: StateReader, changes: dict[str, Any] | None) -> StateReader:
    """``state`` with these overrides. Raises RpcError, or ValueError or OpenLedgerError for malformed ones."""
    if not changes:
        return state
    changed = Overlay(state)
    override(changed, changes)
    return changed


def override(state: Overlay, changes: dict[str, Any]) -> None:
    """Write these overrides. Raises as ``with_state`` does."""
    for name, change in changes.items():
        _override(state, parse_address(name), parse_object(change))


def _override(state: Overlay, address: Address, change: dict[str, Any]) -> None:
    """One account: balance, nonce, code, state (all of its storage) or stateDiff (some slots). What they do to
    precompiles is in moved.py."""
    account = state.account(address) or Account()
    if change.get("balance") is not None:
        account = dataclasses.replace(account, balance=parse_quantity(change["balance"]))
    if change.get("nonce") is not None:
        account = dataclasses.replace(account, nonce=parse_uint64(change["nonce"]))
    if change.get("code") is not None:
        account = dataclasses.replace(account, code_hash=state.set_code(parse_data(change["code"])))
    whole, some = change.get("state"), change.get("stateDiff")
    if whole is not None and some is not None:
        raise RpcError(SERVER_ERROR, f"account {to_checksum(address)} has both 'state' and 'stateDiff'")
    if whole is not None:
        state.set_account(address, None)
    state.set_account(address, account)
    for slot, value in parse_object(whole if whole is not None else some or {}).items():
        state.set_storage(address, parse_slot(slot), int.from_bytes(parse_hash(value), "big"))


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
            new["prevrandao"] = parse_slot(value).to_bytes(32, "big")
    return dataclasses.replace(env, **new) if new else env

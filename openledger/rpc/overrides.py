"""State and block overrides of eth_call and its kin: changes above a state, of which nothing is kept.

They are read whole before anything runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from openledger.evm.engine import BlockEnv
from openledger.primitives.types import Account, Address, parse_address, to_checksum
from openledger.rpc.errors import SERVER_ERROR, RpcError
from openledger.rpc.params import parse_data, parse_hash, parse_object, parse_quantity, parse_slot, parse_uint64
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True, slots=True)
class AccountChange:
    """What becomes of one account. None where nothing was said; ``whole``: it has no other slots than these. What it
    does to a precompile is in moved.py."""

    balance: int | None
    nonce: int | None
    code: bytes | None
    slots: tuple[tuple[int, int], ...]
    whole: bool
    target: Address | None


StateChanges: TypeAlias = Mapping[Address, AccountChange]
BlockChanges: TypeAlias = Mapping[str, Any]
"""Fields of a BlockEnv and their new values."""


def parse_state_overrides(value: Any) -> dict[Address, AccountChange]:
    """Accounts with balance, nonce, code, state (all of its storage) or stateDiff (some slots). Raises RpcError, or
    ValueError or OpenLedgerError for malformed ones."""
    return {parse_address(name): _change(name, change) for name, change in parse_object(value).items()}


def _change(name: str, value: Any) -> AccountChange:
    given = {} if value is None else parse_object(value)

    def field(key: str, parse: Callable[[Any], Any]) -> Any:
        return None if given.get(key) is None else parse(given[key])

    whole, some = field("state", parse_object), field("stateDiff", parse_object)
    if whole is not None and some is not None:
        raise RpcError(SERVER_ERROR, f"account {to_checksum(parse_address(name))} has both 'state' and 'stateDiff'")
    slots = (some or {}) if whole is None else whole
    return AccountChange(
        field("balance", parse_quantity),
        field("nonce", parse_uint64),
        field("code", parse_data),
        tuple((parse_slot(slot), int.from_bytes(parse_hash(word), "big")) for slot, word in slots.items()),
        whole is not None,
        field("movePrecompileToAddress", parse_address),
    )


def with_state(state: StateReader, changes: StateChanges | None) -> StateReader:
    """``state`` with these overrides."""
    if not changes:
        return state
    changed = Overlay(state)
    override(changed, changes)
    return changed


def override(state: Overlay, changes: StateChanges) -> None:
    """Write these overrides."""
    for address, change in changes.items():
        account = state.account(address) or Account()
        if change.balance is not None:
            account = dataclasses.replace(account, balance=change.balance)
        if change.nonce is not None:
            account = dataclasses.replace(account, nonce=change.nonce)
        if change.code is not None:
            account = dataclasses.replace(account, code_hash=state.set_code(change.code))
        if change.whole:
            state.set_account(address, None)
        state.set_account(address, account)
        for slot, value in change.slots:
            state.set_storage(address, slot, value)


def _randao(value: Any) -> bytes:
    return parse_slot(value).to_bytes(32, "big")


_FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "number": ("number", parse_quantity),
    "time": ("timestamp", parse_uint64),
    "timestamp": ("timestamp", parse_uint64),
    "gasLimit": ("gas_limit", parse_quantity),
    "feeRecipient": ("coinbase", parse_address),
    "coinbase": ("coinbase", parse_address),
    "prevRandao": ("prevrandao", _randao),
    "random": ("prevrandao", _randao),
    "baseFeePerGas": ("base_fee", parse_quantity),
    "baseFee": ("base_fee", parse_quantity),
}


def parse_block_overrides(value: Any) -> dict[str, Any]:
    """number, time, gasLimit, feeRecipient, prevRandao, baseFeePerGas, as fields of a BlockEnv. Raises ValueError or
    OpenLedgerError for malformed ones."""
    given = {name: one for name, one in parse_object(value).items() if name in _FIELDS and one is not None}
    return {_FIELDS[name][0]: _FIELDS[name][1](one) for name, one in given.items()}


def with_block(env: BlockEnv, changes: BlockChanges | None) -> BlockEnv:
    """``env`` with these overrides."""
    return dataclasses.replace(env, **changes) if changes else env


StateOverridesArg = Annotated[dict[Address, AccountChange], parse_state_overrides]
BlockOverridesArg = Annotated[dict[str, Any], parse_block_overrides]

"""Balances and allowances of ERC-20 tokens on a solo devnet, whatever the token's code looks like.

The slot is found by running ``balanceOf`` or ``allowance`` and trying the slots that it reads: the right one is that
which, with another value, makes the function return this value.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, ClassVar

from openledger.abci_app.edits import SlotEdit
from openledger.primitives.errors import OpenLedgerError
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import Address, parse_address, to_hex
from openledger.rpc.devnet_args import AmountArg
from openledger.rpc.errors import SERVER_ERROR, RpcError
from openledger.rpc.eth_calls import EthCalls
from openledger.rpc.overrides import parse_state_overrides
from openledger.rpc.params import AddressArg
from openledger.rpc.ports import Devnet

MOST = (1 << 256) - 1


def call_data(signature: str, *addresses: Address) -> str:
    """A call of a function of addresses, as hex."""
    return to_hex(keccak256(signature.encode())[:4] + b"".join(bytes(12) + address for address in addresses))


class Tokens:
    """What both prefixes share."""

    def __init__(self, devnet: Devnet, calls: EthCalls) -> None:
        self._devnet = devnet
        self._calls = calls

    async def _balance(self, address: Address, token: Address, amount: int) -> None:
        await self._set(token, call_data("balanceOf(address)", address), amount, "balance")

    async def _set(self, token: Address, data: str, value: int, what: str) -> None:
        """Make the function return ``value`` from now on. Raises RpcError when no slot does that."""
        for address, slot in await self._read_by(token, data):
            if await self._decides(token, data, address, slot, value):
                edit = SlotEdit(address, slot, value)
                await self._devnet.edit(lambda edits: replace(edits, slots=(*edits.slots, edit)))  # noqa: B023 (at once)
                return
        hint = {"hint": "this token computes it out of several slots, or has none: use anvil_setStorageAt"}
        raise RpcError(SERVER_ERROR, f"Unable to set ERC20 {what}, no slot found", hint)

    async def _read_by(self, token: Address, data: str) -> list[tuple[Address, int]]:
        """(account, slot) that the function reads, the token's own first."""
        found = await self._calls.create_access_list({"to": to_hex(token), "data": data})
        slots = [
            (parse_address(entry["address"]), int(key, 16))
            for entry in found["accessList"]
            for key in entry["storageKeys"]
        ]
        return sorted(slots, key=lambda place: place[0] != token)

    async def _decides(self, token: Address, data: str, address: Address, slot: int, value: int) -> bool:
        """Whether the function returns what this slot has. Two values are tried: one could be there by chance."""
        tried = (value, value - 1 if value == MOST else value + 1)
        return all([await self._returns(token, data, address, slot, probe) for probe in tried])

    async def _returns(self, token: Address, data: str, address: Address, slot: int, value: int) -> bool:
        changes = parse_state_overrides({to_hex(address): {"stateDiff": {f"0x{slot:064x}": f"0x{value:064x}"}}})
        try:
            found: str | Coroutine[Any, Any, str] = self._calls.call(
                {"to": to_hex(token), "data": data}, state_overrides=changes
            )
            answer = found if isinstance(found, str) else await found
        except (OpenLedgerError, RpcError):  # the token does not like this value in this slot
            return False
        return answer == f"0x{value:064x}"


class AnvilTokens(Tokens):
    """anvil's names."""

    NAMES: ClassVar[dict[str, str]] = {
        "deal_erc20": "anvil_dealERC20",
        "set_erc20_balance": "anvil_setERC20Balance",
        "set_erc20_allowance": "anvil_setERC20Allowance",
    }

    async def deal_erc20(self, address: AddressArg, token: AddressArg, amount: AmountArg) -> None:
        """How much of an ERC-20 token an account has; its total supply stays."""
        await self._balance(address, token, amount)

    async def set_erc20_balance(self, address: AddressArg, token: AddressArg, amount: AmountArg) -> None:
        """The same under its other name."""
        await self._balance(address, token, amount)

    async def set_erc20_allowance(
        self, owner: AddressArg, spender: AddressArg, token: AddressArg, amount: AmountArg
    ) -> None:
        """How much of an owner's ERC-20 tokens a spender may move."""
        await self._set(token, call_data("allowance(address,address)", owner, spender), amount, "allowance")


class HardhatTokens(Tokens):
    """The name that anvil takes under ``hardhat_`` too."""

    NAMES: ClassVar[dict[str, str]] = {"deal_erc20": "hardhat_dealERC20"}

    async def deal_erc20(self, address: AddressArg, token: AddressArg, amount: AmountArg) -> None:
        """As ``anvil_dealERC20``."""
        await self._balance(address, token, amount)

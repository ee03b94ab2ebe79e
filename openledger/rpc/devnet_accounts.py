"""Accounts whose keys a devnet holds: ``eth_sendTransaction``, ``personal_sign``, typed data; impersonation; a faucet.

An impersonated account sends without a signature (``primitives/unsigned.py``); only a chain whose genesis says ``solo``
takes that. A signature of such an account can't be had, so signing asks for a key.
"""

from __future__ import annotations

from typing import Annotated, Any

from openledger.primitives.amounts import OPEN, format_amount
from openledger.primitives.errors import FaucetRefused, OpenLedgerError, UnknownAccount
from openledger.primitives.hashing import keccak256
from openledger.primitives.jsonio import parse_json
from openledger.primitives.keys import join_signature, sign_digest
from openledger.primitives.types import Address, parse_address, to_checksum, to_hex
from openledger.primitives.unsigned import Unsigned
from openledger.rpc.backend import Backend
from openledger.rpc.call_args import read_fields
from openledger.rpc.devnet_args import AmountArg
from openledger.rpc.errors import RpcError, invalid_params
from openledger.rpc.eth import EthState
from openledger.rpc.eth_calls import EthCalls
from openledger.rpc.formats import Json
from openledger.rpc.params import AddressArg, DataArg, FlagArg, ObjectArg, TextArg, parse_access_list
from openledger.rpc.ports import Devnet

FAUCET_MOST = 100 * OPEN
FAUCET_USUAL = 10 * OPEN


def parse_typed_data(value: Any) -> dict[str, Any]:
    """Typed data as an object, or as its JSON text."""
    if isinstance(value, str):
        value = parse_json(value.encode())
    if not isinstance(value, dict):
        raise ValueError("typed data is an object with types, primaryType, domain and message")
    return value


TypedDataArg = Annotated[dict[str, Any], parse_typed_data]


def typed_data_digest(data: dict[str, Any]) -> bytes:
    """The digest that EIP-712 signs. Raises RpcError for data that do not fit their types."""
    from eth_account.messages import encode_typed_data

    try:
        signable = encode_typed_data(full_message=data | {"types": _needed(data["types"], data["primaryType"])})
    except Exception as err:  # noqa: BLE001  (eth-account raises what its parts raise, for data from outside)
        raise invalid_params(f"invalid typed data: {err}") from None
    return keccak256(b"\x19" + signable.version + signable.header + signable.body)


def _needed(types: dict[str, Any], primary: str) -> dict[str, Any]:
    """The types that ``primary`` is made of, and the domain's. Wallets leave others aside; eth-account takes for the
    primary type the one that no other names."""
    found = [primary, "EIP712Domain"]
    for name in found:
        bases = (field["type"].partition("[")[0] for field in types.get(name, ()))
        found += [base for base in dict.fromkeys(bases) if base in types and base not in found]
    return {name: types[name] for name in types if name in found}


class Impersonation:
    """Who may be written as the sender of a transaction without a signature."""

    def __init__(self, devnet: Devnet) -> None:
        self.addresses = devnet.impersonated
        self.everybody = False

    def covers(self, address: Address) -> bool:
        return self.everybody or address in self.addresses


class Wallet:
    """The node's keys, and transactions completed and signed with them."""

    def __init__(self, backend: Backend, devnet: Devnet, calls: EthCalls, impersonation: Impersonation) -> None:
        self._backend = backend
        self._devnet = devnet
        self._calls = calls
        self._impersonation = impersonation

    def secret(self, address: Address) -> bytes:
        """Private key of an account. Raises UnknownAccount."""
        found = self._devnet.accounts.get(address)
        if found is None:
            raise UnknownAccount(
                f"unknown account {to_checksum(address)}",
                "the node has the keys of eth_accounts; send for others after anvil_impersonateAccount",
            )
        return found

    def sign(self, address: Address, digest: bytes) -> str:
        """Signature over a digest, as hex. Raises UnknownAccount."""
        return to_hex(join_signature(*sign_digest(self.secret(address), digest)))

    def sender(self, transaction: dict[str, Any]) -> Address:
        """Who sends it: the first account where nobody is named."""
        given = transaction.get("from")
        return next(iter(self._devnet.accounts)) if given is None else parse_address(given)

    async def raw(self, transaction: dict[str, Any]) -> bytes:
        """Completed and signed, or of an impersonated account. Raises UnknownAccount, and what ``complete`` raises."""
        unsigned, sender = await self.complete(transaction)
        if self._impersonation.covers(sender):
            return unsigned.impersonate(sender)
        return unsigned.sign(self.secret(sender))

    async def complete(self, transaction: dict[str, Any]) -> tuple[Unsigned, Address]:
        """The transaction with everything filled in as ``eth_fillTransaction`` does, and its sender."""
        if transaction.get("from") is None:
            transaction = {**transaction, "from": to_hex(self.sender(transaction))}
        filled = (await self._calls.fill_transaction(transaction))["tx"]
        sender = bytes.fromhex(filled["from"][2:])
        cap, to = filled.get("maxFeePerGas") or filled["gasPrice"], filled.get("to")
        return Unsigned(
            type=int(filled["type"], 16),
            chain_id=self._backend.chain_id,
            nonce=int(filled["nonce"], 16),
            max_priority_fee=int(filled.get("maxPriorityFeePerGas") or cap, 16),
            max_fee=int(cap, 16),
            gas=int(filled["gas"], 16),
            to=None if to is None else bytes.fromhex(to[2:]),
            value=int(filled["value"], 16),
            data=bytes.fromhex(filled["input"][2:]),
            access_list=parse_access_list(filled.get("accessList") or []),
            authorizations=read_fields(transaction, self._backend.chain_id).authorizations or (),
        ), sender


class EthAccounts:
    """``eth_``: what a wallet in the node can do."""

    def __init__(self, backend: Backend, state: EthState, wallet: Wallet) -> None:
        self._backend = backend
        self._state = state
        self._wallet = wallet

    def request_accounts(self) -> list[str]:
        """As ``eth_accounts``."""
        return self._state.accounts()

    async def send_transaction(self, transaction: ObjectArg) -> str:
        """Complete, sign and send a transaction of an account of the node, or of an impersonated one; its hash."""
        return to_hex(await self._backend.consensus.submit(await self._wallet.raw(transaction)))

    async def send_transaction_sync(self, transaction: ObjectArg) -> Json:
        """The same, and the receipt; error 4 with the hash when none comes in time."""
        return await self._state.send_raw_transaction_sync(await self._wallet.raw(transaction))

    async def send_unsigned_transaction(self, transaction: ObjectArg) -> str:
        """Send a transaction of any account, impersonated or not; its hash."""
        unsigned, sender = await self._wallet.complete(transaction)
        return to_hex(await self._backend.consensus.submit(unsigned.impersonate(sender)))

    async def sign_transaction(self, transaction: ObjectArg) -> str:
        """The raw bytes of a completed and signed transaction, which is not sent."""
        unsigned, sender = await self._wallet.complete(transaction)
        return to_hex(unsigned.sign(self._wallet.secret(sender)))

    def sign(self, address: AddressArg, message: DataArg) -> str:
        """Signature over a message with its prefix (EIP-191)."""
        return self._wallet.sign(address, message_digest(message))

    def sign_typed_data(self, address: AddressArg, data: TypedDataArg) -> str:
        """Signature over typed data (EIP-712)."""
        return self._wallet.sign(address, typed_data_digest(data))

    def sign_typed_data__v3(self, address: AddressArg, data: TypedDataArg) -> str:
        """The same under its older name."""
        return self._wallet.sign(address, typed_data_digest(data))

    def sign_typed_data__v4(self, address: AddressArg, data: TypedDataArg) -> str:
        """The same; native transactions are signed with it."""
        return self._wallet.sign(address, typed_data_digest(data))


def message_digest(message: bytes) -> bytes:
    """keccak256 of a message behind its prefix (EIP-191, version 0x45)."""
    return keccak256(b"\x19Ethereum Signed Message:\n%d" % len(message) + message)


class Personal:
    """``personal_``: the older way to sign a message."""

    def __init__(self, accounts: EthAccounts) -> None:
        self._accounts = accounts

    def sign(self, message: DataArg, address: AddressArg, password: TextArg = "") -> str:
        """Signature over a message with its prefix; no password is asked for."""
        return self._accounts.sign(address, message)


class AnvilImpersonation:
    """anvil's names; answers null."""

    def __init__(self, impersonation: Impersonation) -> None:
        self._impersonation = impersonation

    def impersonate_account(self, address: AddressArg) -> None:
        """From now on ``eth_sendTransaction`` takes this account as sender, contracts included."""
        self._impersonation.addresses[address] = None

    def stop_impersonating_account(self, address: AddressArg) -> None:
        """No longer."""
        self._impersonation.addresses.pop(address, None)

    def auto_impersonate_account(self, on: FlagArg) -> None:
        """Whether every account may be the sender."""
        self._impersonation.everybody = on


class HardhatImpersonation:
    """Hardhat's names; answers true."""

    def __init__(self, impersonation: Impersonation) -> None:
        self._impersonation = impersonation

    def impersonate_account(self, address: AddressArg) -> bool:
        """From now on ``eth_sendTransaction`` takes this account as sender, contracts included."""
        self._impersonation.addresses[address] = None
        return True

    def stop_impersonating_account(self, address: AddressArg) -> bool:
        """No longer; whether it was."""
        known = address in self._impersonation.addresses
        self._impersonation.addresses.pop(address, None)
        return known

    def auto_impersonate_account(self, on: FlagArg) -> bool:
        """Whether every account may be the sender."""
        self._impersonation.everybody = on
        return True


class Faucet:
    """``openledger_faucet``: OPEN for whoever asks, out of the last account of the devnet."""

    def __init__(self, devnet: Devnet, accounts: EthAccounts) -> None:
        self._devnet = devnet
        self._accounts = accounts

    async def faucet(self, address: AddressArg, wei: AmountArg = FAUCET_USUAL) -> str:
        """Send 10 OPEN, or so many wei (100 OPEN at most); the hash of the transaction."""
        if wei > FAUCET_MOST:
            raise FaucetRefused(f"the faucet gives at most {format_amount(FAUCET_MOST)} a time", "ask again")
        giver = list(self._devnet.accounts)[-1]
        transaction: Json = {"from": to_hex(giver), "to": to_hex(address), "value": hex(wei)}
        try:
            return await self._accounts.send_transaction(transaction)
        except (OpenLedgerError, RpcError) as err:
            raise FaucetRefused(f"the faucet cannot give: {err.message}", "it pays from the last account") from None

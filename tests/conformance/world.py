"""What the checks stand on: a funded account, contracts, transactions of every kind; and the registry of the checks."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from conformance import contracts
from conformance.node import Failed, Node, Refused
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils import to_checksum_address

GWEI = 10**9
ETHER = 10**18
JUNK = "test test test test test test test test test test test junk"
Account.enable_unaudited_hdwallet_features()


def dev_key(index: int = 0) -> LocalAccount:
    """An account of the phrase that all devnets share."""
    found: LocalAccount = Account.from_mnemonic(JUNK, account_path=f"m/44'/60'/0'/0/{index}")
    return found


@dataclass
class World:
    """The node and what was prepared on it. ``sent`` maps a name to the receipt of a prepared transaction."""

    node: Node
    chain_id: int = 0
    me: LocalAccount = field(default_factory=Account.create)
    nonce: int = 0
    logger: str = ""
    reverter: str = ""
    environment: str = ""
    loop: str = ""
    forwarder: str = ""
    broken: str = ""
    sent: dict[str, dict[str, Any]] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)

    # -- making transactions --

    async def fund(self, address: str, wei: int = 10 * ETHER) -> None:
        """Wei for an account, from whoever has some here."""
        rich = dev_key()
        if int(await self.node.call("eth_getBalance", rich.address, "latest"), 16) > 100 * ETHER:
            nonce = int(await self.node.call("eth_getTransactionCount", rich.address, "pending"), 16)
            raw = self.sign({"to": address, "value": wei, "nonce": nonce, "gas": 21_000}, rich)
            digest = await self.node.call("eth_sendRawTransaction", raw)
        else:
            holder = (await self.node.call("eth_accounts"))[0]
            digest = await self.node.call("eth_sendTransaction", {"from": holder, "to": address, "value": hex(wei)})
        await self.receipt(digest)

    def sign(self, fields: dict[str, Any], key: LocalAccount | None = None) -> str:
        """Raw transaction, as hex; what is left out gets a generous default."""
        whole = {"chainId": self.chain_id, "value": 0, "gas": 1_000_000} | fields
        if "gasPrice" not in whole and "maxFeePerGas" not in whole:
            whole |= {"maxFeePerGas": 100 * GWEI, "maxPriorityFeePerGas": GWEI}
        if whole.get("to"):
            whole["to"] = to_checksum_address(whole["to"])
        return "0x" + (key or self.me).sign_transaction(whole).raw_transaction.hex().removeprefix("0x")

    async def send(self, **fields: Any) -> str:
        """Send one from ``me`` with the next nonce; its hash."""
        digest: str = await self.node.call("eth_sendRawTransaction", self.sign(fields | {"nonce": self.nonce}))
        self.nonce += 1
        return digest

    async def receipt(self, digest: str) -> dict[str, Any]:
        """The receipt, as soon as there is one."""
        found: dict[str, Any] = await self.node.until(lambda: self.node.call("eth_getTransactionReceipt", digest))
        return found

    async def done(self, name: str = "", **fields: Any) -> dict[str, Any]:
        """Send one and wait for its receipt."""
        digest = await self.send(**fields)
        found = await self.receipt(digest)
        if name:
            self.sent[name], self.hashes[name] = found, digest
        return found

    async def deploy(self, runtime: bytes, name: str = "") -> str:
        found: str = (await self.done(name, data=contracts.creation(runtime)))["contractAddress"]
        return found

    async def fresh(self, wei: int = ETHER) -> LocalAccount:
        """A new account with some wei."""
        key: LocalAccount = Account.create()
        await self.fund(key.address, wei)
        return key

    async def prepare(self) -> None:
        """The accounts, contracts and transactions that the checks look at."""
        self.chain_id = int(await self.node.call("eth_chainId"), 16)
        await self.fund(self.me.address, 500 * ETHER)
        self.logger = await self.deploy(contracts.LOGGER, "creation")
        self.reverter = await self.deploy(contracts.REVERTER)
        self.environment = await self.deploy(contracts.ENVIRONMENT)
        self.loop = await self.deploy(contracts.LOOP)
        self.broken = await self.deploy(contracts.BROKEN)
        self.forwarder = await self.deploy(contracts.forwarder(bytes.fromhex(self.logger[2:])))
        for at in range(3):
            await self.done(f"log{at}", to=self.logger, data=topics(at))
        other = Account.from_key(secrets.token_bytes(32)).address
        await self.done("transfer", to=other, value=5, gas=21_000)
        await self.done("legacy", to=other, value=1, gas=21_000, gasPrice=50 * GWEI)
        listed = [{"address": to_checksum_address(self.logger), "storageKeys": ["0x" + "00" * 32]}]
        await self.done("listed", to=self.logger, data=topics(7), gasPrice=50 * GWEI, accessList=listed)
        await self.done("reverted", to=self.reverter, gas=100_000)
        key = Account.create()
        signed = key.sign_authorization(
            {"chainId": self.chain_id, "address": to_checksum_address(self.logger), "nonce": 0}
        )
        fields = {"to": key.address, "data": topics(9), "authorizationList": [signed]}
        await self.done("delegated", **fields)
        self.hashes["delegate"] = key.address


def topics(number: int) -> str:
    """Call data of the logger: four topics that tell of ``number``."""
    return "0x" + b"".join(bytes(28) + bytes([number]) + bytes(2) + bytes([at]) for at in range(1, 5)).hex()


def topic(number: int, place: int) -> str:
    """The topic at ``place`` (from 0) of what ``topics(number)`` logs."""
    return "0x" + (bytes(28) + bytes([number]) + bytes(2) + bytes([place + 1])).hex()


Check = Callable[[World], Awaitable[None]]


@dataclass(frozen=True)
class Named:
    """A check and what it claims."""

    group: str
    claim: str
    run: Check


CHECKS: list[Named] = []


def check(group: str, claim: str) -> Callable[[Check], Check]:
    """Register a check."""

    def add(run: Check) -> Check:
        CHECKS.append(Named(group, claim, run))
        return run

    return add


def add(group: str, claim: str, run: Check) -> None:
    """Register one of a table of checks."""
    CHECKS.append(Named(group, claim, run))


@dataclass(frozen=True)
class Outcome:
    """How a check ended; ``reason`` is empty where it held."""

    named: Named
    reason: str


async def judge(world: World, named: Named, seconds: float = 30) -> Outcome:
    """Run one check; whatever goes wrong in it is its reason."""
    try:
        async with asyncio.timeout(seconds):
            await named.run(world)
    except (Failed, Refused) as err:
        return Outcome(named, str(err) or type(err).__name__)
    except TimeoutError:
        return Outcome(named, f"no answer within {seconds:g} s")
    except Exception as err:  # noqa: BLE001 - a node that answers nonsense breaks a check in any way
        return Outcome(named, f"{type(err).__name__}: {str(err)[:160]}")
    return Outcome(named, "")

"""Official Ethereum state tests (the ``state_test`` form of the execution spec tests) through an engine.

A case passes when the post-state root, the hash of the logs and "is an exception expected" all agree. Blob
transactions are not supported by this chain, so cases with one are skipped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rlp

from openledger.evm.engine import BlockEnv, EvmEngine, TxResult
from openledger.primitives.blocks import EMPTY_TRIE_ROOT
from openledger.primitives.hashing import keccak256
from openledger.primitives.keys import address_of_private_key
from openledger.primitives.transactions import (
    ACCESS_LIST,
    BLOB,
    DYNAMIC_FEE,
    LEGACY,
    SET_CODE,
    Authorization,
    EthTransaction,
)
from openledger.primitives.types import AccessTuple, Account, Address, Hash32, Log
from openledger.state.ports import Diff
from openledger.state.trie import trie_root


@dataclass(slots=True)
class PlainState:
    """A whole state in dictionaries; a ``StateReader`` without records."""

    accounts: dict[Address, Account] = field(default_factory=dict)
    slots: dict[Address, dict[int, int]] = field(default_factory=dict)
    codes: dict[Hash32, bytes] = field(default_factory=dict)

    def account(self, address: Address) -> Account | None:
        return self.accounts.get(address)

    def storage(self, address: Address, slot: int) -> int:
        return self.slots.get(address, {}).get(slot, 0)

    def has_storage(self, address: Address) -> bool:
        return any(self.slots.get(address, {}).values())

    def code(self, code_hash: Hash32) -> bytes:
        return self.codes.get(code_hash, b"")

    def record(self, module: Address, key: bytes) -> bytes | None:
        return None

    def records(self, module: Address, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        return iter(())

    def put(self, address: Address, nonce: int, balance: int, code: bytes = b"") -> None:
        """Write one account (balance in wei)."""
        self.codes[keccak256(code)] = code
        self.accounts[address] = Account(nonce, balance, keccak256(code))

    def apply(self, diff: Diff) -> None:
        """Take over what an engine changed."""
        self.codes.update(diff.codes)
        for address in diff.wiped:
            self.slots.pop(address, None)
        for address, account in diff.accounts.items():
            if account is None:
                self.accounts.pop(address, None)
                self.slots.pop(address, None)
            else:
                self.accounts[address] = account
        for (address, slot), value in diff.storage.items():
            self.slots.setdefault(address, {})[slot] = value

    def root(self) -> Hash32:
        """Ethereum state root."""
        return trie_root(
            (keccak256(address), rlp.encode([a.nonce, a.balance, self._storage_root(address), a.code_hash]))
            for address, a in self.accounts.items()
        )

    def _storage_root(self, address: Address) -> Hash32:
        items = [
            (keccak256(slot.to_bytes(32, "big")), rlp.encode(value))
            for slot, value in self.slots.get(address, {}).items()
            if value
        ]
        return trie_root(items) if items else EMPTY_TRIE_ROOT


@dataclass(frozen=True, slots=True)
class Case:
    """One transaction of one file under one fork, with what must come out."""

    name: str
    fork: str
    env: BlockEnv
    pre: PlainState
    tx: EthTransaction
    root: Hash32
    logs: Hash32
    exception: str | None


def read_cases(path: Path, forks: tuple[str, ...] = ("Cancun", "Prague")) -> Iterator[Case]:
    """Cases of one JSON file under the named forks. Raises ValueError or KeyError for a file of another form."""
    for name, test in json.loads(path.read_text("utf-8")).items():
        for fork, posts in test["post"].items():
            if fork not in forks:
                continue
            for number, post in enumerate(posts):
                yield Case(
                    name=f"{name}/{fork}/{number}",
                    fork=fork,
                    env=_env(test),
                    pre=_pre(test["pre"]),
                    tx=_transaction(test["transaction"], post, _number(test.get("config", {}).get("chainid", "0x1"))),
                    root=_bytes(post["hash"]),
                    logs=_bytes(post["logs"]),
                    exception=post.get("expectException"),
                )


def run_case(engine: EvmEngine, case: Case) -> str | None:
    """None when the case passes, else what differs. ``engine`` must be one of the case's fork."""
    out = engine.execute(case.env, [case.tx], case.pre, case.env.gas_limit)
    result = out.results[0]
    if (result.refused is not None) != (case.exception is not None):
        return f"exception: expected {case.exception}, got {result.refused}"
    if logs_hash(result) != case.logs:
        return "the hash of the logs differs"
    case.pre.apply(out.diff)
    root = case.pre.root()
    return None if root == case.root else f"state root: expected {case.root.hex()}, got {root.hex()}"


def logs_hash(result: TxResult) -> Hash32:
    """keccak256 of the RLP of all logs."""
    return keccak256(rlp.encode([_log(log) for log in result.logs]))


def _log(log: Log) -> list[Any]:
    return [log.address, list(log.topics), log.data]


def _number(text: str) -> int:
    return int(text, 16) if text.startswith("0x") else int(text)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _env(test: dict[str, Any]) -> BlockEnv:
    env = test["env"]
    return BlockEnv(
        chain_id=_number(test.get("config", {}).get("chainid", "0x1")),
        number=_number(env["currentNumber"]),
        timestamp=_number(env["currentTimestamp"]),
        coinbase=_bytes(env["currentCoinbase"]),
        gas_limit=_number(env["currentGasLimit"]),
        base_fee=_number(env.get("currentBaseFee", "0x0a")),
        prevrandao=_bytes(env.get("currentRandom", "0x" + "00" * 32)).rjust(32, b"\0"),
        block_hash=lambda number: keccak256(str(number).encode()),
        excess_blob_gas=_number(env.get("currentExcessBlobGas", "0x0")),
    )


def _pre(accounts: dict[str, Any]) -> PlainState:
    state = PlainState()
    for text, account in accounts.items():
        address = _bytes(text)
        state.put(address, _number(account["nonce"]), _number(account["balance"]), _bytes(account["code"]))
        slots = {_number(slot): _number(value) for slot, value in account["storage"].items()}
        if any(slots.values()):
            state.slots[address] = slots
    return state


def _transaction(tx: dict[str, Any], post: dict[str, Any], chain_id: int) -> EthTransaction:
    """The transaction that ``indexes`` picks. It is built from its fields, because this chain's strict decoder refuses
    legacy transactions without chain id, which most official tests use."""
    indexes = post["indexes"]
    cap = _number(tx["maxFeePerGas"] if "maxFeePerGas" in tx else tx["gasPrice"])
    lists = tx.get("accessLists")
    access = (lists[indexes["data"]] if lists else None) or []
    sender = tx.get("sender")
    raw = _bytes(post["txbytes"]) if "txbytes" in post else b""
    return EthTransaction(
        type=_type(tx),
        chain_id=chain_id,
        nonce=_number(tx["nonce"]),
        gas_price=cap,
        max_priority_fee=_number(tx["maxPriorityFeePerGas"]) if "maxFeePerGas" in tx else cap,
        max_fee=cap,
        gas=_number(tx["gasLimit"][indexes["gas"]]),
        to=_bytes(tx["to"]) or None,
        value=_number(tx["value"][indexes["value"]]),
        data=_bytes(tx["data"][indexes["data"]]),
        access_list=tuple(
            AccessTuple(_bytes(e["address"]), tuple(_bytes(k).rjust(32, b"\0") for k in e["storageKeys"]))
            for e in access
        ),
        authorizations=tuple(_authorization(item) for item in tx.get("authorizationList", ())),
        y_parity=0,
        r=1,
        s=1,
        raw=raw,
        hash=keccak256(raw),
        sender=_bytes(sender) if sender else address_of_private_key(_bytes(tx["secretKey"])),
    )


def _type(tx: dict[str, Any]) -> int:
    if "authorizationList" in tx:
        return SET_CODE
    if "blobVersionedHashes" in tx:
        return BLOB
    if "maxFeePerGas" in tx:
        return DYNAMIC_FEE
    return ACCESS_LIST if "accessLists" in tx else LEGACY


def _authorization(item: dict[str, Any]) -> Authorization:
    parity = item.get("yParity", item.get("v", "0x0"))
    return Authorization(
        chain_id=_number(item["chainId"]),
        address=_bytes(item["address"]),
        nonce=_number(item["nonce"]),
        y_parity=_number(parity),
        r=_number(item["r"]),
        s=_number(item["s"]),
    )

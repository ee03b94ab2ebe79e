"""``eth_``: the chain, accounts at a block, and the way in for transactions."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, TypeAlias

from openledger.primitives.blocks import EMPTY_TRIE_ROOT
from openledger.primitives.hashing import KECCAK_EMPTY
from openledger.primitives.types import Account, Address, parse_address, to_hex
from openledger.rpc.backend import Backend
from openledger.rpc.errors import CLIENT_LIMIT, SERVER_ERROR, WAIT_TIMED_OUT, RpcError, invalid_params
from openledger.rpc.formats import Json, quantity, receipt_json
from openledger.rpc.params import (
    LATEST,
    AddressArg,
    BlockArg,
    DataArg,
    NumberArg,
    SlotArg,
    StorageKey,
    StorageKeysArg,
    parse_object,
    parse_slots,
)
from openledger.rpc.pending import PendingBlocks
from openledger.state.ports import StateReader

Text: TypeAlias = str | Coroutine[Any, Any, str]
Found: TypeAlias = Json | Coroutine[Any, Any, Json]
"""An answer, at once or after a wait."""

MAX_SLOTS = 1024


def parse_slot_requests(value: Any) -> dict[Address, list[int]]:
    """Addresses with the slots that are wanted of each."""
    return {parse_address(name): parse_slots(slots) for name, slots in parse_object(value).items()}


SlotRequestsArg = Annotated[dict[Address, list[int]], parse_slot_requests]


def _account(state: StateReader, address: Address) -> Account:
    return state.account(address) or Account()


def _code(state: StateReader, address: Address) -> bytes:
    account = _account(state, address)
    return b"" if account.code_hash == KECCAK_EMPTY else state.code(account.code_hash)


def _word(value: int) -> str:
    return f"0x{value:064x}"


class EthState:
    """The chain itself, accounts at a block, and the way in for transactions."""

    def __init__(self, backend: Backend, pending: PendingBlocks) -> None:
        self._backend = backend
        self._pending = pending

    def chain_id(self) -> str:
        """EVM chain id."""
        return quantity(self._backend.chain_id)

    def block_number(self) -> str:
        """Newest height."""
        return quantity(self._backend.head().number)

    async def syncing(self) -> bool | Json:
        """False, or where the node stands while it catches up."""
        status = await self._backend.consensus.status()
        if not status.catching_up:
            return False
        number = quantity(self._backend.head().number)
        return {"startingBlock": "0x0", "currentBlock": number, "highestBlock": number}

    def accounts(self) -> list[str]:
        """Accounts that the node can send for: none, for keys live in wallets; a solo devnet has its mnemonic's, and
        those that are impersonated."""
        devnet = self._backend.devnet
        return [] if devnet is None else [to_hex(a) for a in (*devnet.accounts, *devnet.impersonated)]

    def coinbase(self) -> str:
        """The account that earned the newest block's priority fees."""
        return to_hex(self._backend.head().coinbase)

    def mining(self) -> bool:
        """False: nobody mines here."""
        return False

    # --- accounts -----------------------------------------------------------------------------------------

    def get_balance(self, address: AddressArg, block: BlockArg = LATEST) -> Text:
        """Balance in wei."""
        return self._pending.read(block, lambda state: quantity(_account(state, address).balance))

    def get_code(self, address: AddressArg, block: BlockArg = LATEST) -> Text:
        """Code of an account; of one that delegates (EIP-7702) the delegation."""
        return self._pending.read(block, lambda state: to_hex(_code(state, address)))

    def get_storage_at(self, address: AddressArg, slot: SlotArg, block: BlockArg = LATEST) -> Text:
        """One storage slot, 32 bytes."""
        return self._pending.read(block, lambda state: _word(state.storage(address, slot)))

    def get_storage_values(self, requests: SlotRequestsArg, block: BlockArg = LATEST) -> Found:
        """Storage slots of several accounts at once."""
        count = sum(map(len, requests.values()))
        if count > MAX_SLOTS:
            raise RpcError(CLIENT_LIMIT, f"too many slots (max {MAX_SLOTS})")
        if not count:
            raise invalid_params("empty request")

        def look(state: StateReader) -> Json:
            return {to_hex(a): [_word(state.storage(a, slot)) for slot in slots] for a, slots in requests.items()}

        return self._pending.read(block, look)

    def get_transaction_count(self, address: AddressArg, block: BlockArg = LATEST) -> str:
        """The account's nonce; for "pending" the one that its next transaction needs."""
        if block.is_pending:
            return quantity(self._backend.pool.pending_nonce(address))
        return quantity(_account(self._backend.state(block), address).nonce)

    def get_account(self, address: AddressArg, block: BlockArg = LATEST) -> Json:
        """An account as the state trie has it."""
        header = self._backend.header(block)
        reader = self._backend.app.store.reader(header.number)
        account = _account(reader, address)
        root = reader.storage_root(address) if account != Account() else EMPTY_TRIE_ROOT
        return {
            "balance": quantity(account.balance),
            "nonce": quantity(account.nonce),
            "codeHash": to_hex(account.code_hash),
            "storageRoot": to_hex(root),
        }

    def get_account_info(self, address: AddressArg, block: BlockArg = LATEST) -> Found:
        """Balance, nonce and code of an account at once."""

        def look(state: StateReader) -> Json:
            account = _account(state, address)
            code = to_hex(_code(state, address))
            return {"balance": quantity(account.balance), "nonce": quantity(account.nonce), "code": code}

        return self._pending.read(block, look)

    def get_proof(self, address: AddressArg, storage_keys: StorageKeysArg, block: BlockArg = LATEST) -> Json:
        """Merkle proofs of an account and of storage slots against the state root (EIP-1186)."""
        header = self._backend.header(block)
        proof = self._backend.app.store.proof(address, [key.slot for key in storage_keys], height=header.number)
        account = proof.account or Account()
        return {
            "address": to_hex(address),
            "accountProof": [to_hex(node) for node in proof.account_proof],
            "balance": quantity(account.balance),
            "codeHash": to_hex(account.code_hash),
            "nonce": quantity(account.nonce),
            "storageHash": to_hex(proof.storage_root),
            "storageProof": [
                {"key": _shown(key), "value": quantity(value), "proof": [to_hex(node) for node in nodes]}
                for key, (_, value, nodes) in zip(storage_keys, proof.storage, strict=True)
            ],
        }

    # --- sending ------------------------------------------------------------------------------------------

    async def send_raw_transaction(self, transaction: DataArg) -> str:
        """Send a signed transaction, Ethereum's or a native one; its hash, once the mempool has it."""
        return to_hex(await self._backend.consensus.submit(transaction))

    async def send_raw_transaction_sync(self, transaction: DataArg, timeout_ms: NumberArg | None = None) -> Json:
        """EIP-7966: send, and answer with the receipt; error 4 with the hash when none comes in time (milliseconds)."""
        longest = self._backend.settings.sync_send_seconds
        seconds = min(longest, timeout_ms / 1000) if timeout_ms else longest
        committed = asyncio.Event()
        stop = self._backend.consensus.on_commit(lambda _height: committed.set())
        try:
            digest = await self._backend.consensus.submit(transaction)
            async with asyncio.timeout(seconds):
                while (place := self._backend.app.store.transaction(digest)) is None:
                    await committed.wait()
                    committed.clear()
        except TimeoutError:
            text = f"The transaction was added to the transaction pool but wasn't processed in {seconds:g}s"
            raise RpcError(WAIT_TIMED_OUT, text, to_hex(digest)) from None
        finally:
            stop()
        block = self._backend.app.store.block(place[0])
        if block is None:
            raise RpcError(SERVER_ERROR, "header not found")
        return receipt_json(block, place[1])


def _shown(key: StorageKey) -> str:
    """As geth gives a key back: 32 bytes as they came, a shorter one as a quantity."""
    return _word(key.slot) if key.whole else quantity(key.slot)

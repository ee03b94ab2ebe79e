"""``eth_``: the chain, accounts, blocks, transactions and receipts."""

from __future__ import annotations

import asyncio
from typing import Any

from openledger.primitives.blocks import SealedBlock
from openledger.primitives.hashing import KECCAK_EMPTY
from openledger.primitives.types import to_hex
from openledger.rpc.backend import Backend
from openledger.rpc.errors import SERVER_ERROR, WAIT_TIMED_OUT, RpcError
from openledger.rpc.formats import (
    Json,
    block_json,
    block_transaction_json,
    header_json,
    pending_json,
    quantity,
    read_transaction,
    receipt_json,
    receipts_json,
)
from openledger.rpc.params import (
    LATEST,
    AddressArg,
    BlockArg,
    BlockNumberArg,
    BlockRef,
    DataArg,
    FlagArg,
    HashArg,
    SlotArg,
    SlotsArg,
    Uint64Arg,
)


class EthState:
    """The chain itself, accounts at a block, and the way in for transactions."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def chain_id(self) -> str:
        return quantity(self._backend.chain_id)

    def block_number(self) -> str:
        return quantity(self._backend.head().number)

    async def syncing(self) -> bool | Json:
        status = await self._backend.consensus.status()
        if not status.catching_up:
            return False
        number = quantity(self._backend.head().number)
        return {"startingBlock": "0x0", "currentBlock": number, "highestBlock": number}

    def accounts(self) -> list[str]:
        """Keys live in wallets, never in the node."""
        return []

    def coinbase(self) -> str:
        return to_hex(self._backend.head().coinbase)

    def mining(self) -> bool:
        return False

    def get_balance(self, address: AddressArg, block: BlockArg = LATEST) -> str:
        account = self._backend.state(block).account(address)
        return quantity(account.balance if account else 0)

    def get_code(self, address: AddressArg, block: BlockArg = LATEST) -> str:
        state = self._backend.state(block)
        account = state.account(address)
        if account is None or account.code_hash == KECCAK_EMPTY:
            return "0x"
        return to_hex(state.code(account.code_hash))

    def get_storage_at(self, address: AddressArg, slot: SlotArg, block: BlockArg = LATEST) -> str:
        return to_hex(self._backend.state(block).storage(address, slot).to_bytes(32, "big"))

    def get_transaction_count(self, address: AddressArg, block: BlockArg = LATEST) -> str:
        if block.is_pending:
            return quantity(self._backend.pool.pending_nonce(address))
        account = self._backend.state(block).account(address)
        return quantity(account.nonce if account else 0)

    def get_proof(self, address: AddressArg, slots: SlotsArg, block: BlockArg = LATEST) -> Json:
        """Merkle proof of an account and of storage slots against the state root (EIP-1186)."""
        header = self._backend.header(block)
        proof = self._backend.app.store.proof(address, slots, height=header.number)
        account = proof.account
        return {
            "address": to_hex(address),
            "accountProof": [to_hex(node) for node in proof.account_proof],
            "balance": quantity(account.balance if account else 0),
            "codeHash": to_hex(account.code_hash if account else KECCAK_EMPTY),
            "nonce": quantity(account.nonce if account else 0),
            "storageHash": to_hex(proof.storage_root),
            "storageProof": [
                {"key": quantity(slot), "value": quantity(value), "proof": [to_hex(node) for node in nodes]}
                for slot, value, nodes in proof.storage
            ],
        }

    async def send_raw_transaction(self, raw: DataArg) -> str:
        return to_hex(await self._backend.consensus.submit(raw))

    async def send_raw_transaction_sync(self, raw: DataArg, timeout_ms: Uint64Arg | None = None) -> Json:
        """EIP-7966: send, and answer with the receipt; error 4 with the hash when none comes in time."""
        longest = self._backend.settings.sync_send_seconds
        seconds = min(longest, timeout_ms / 1000) if timeout_ms else longest
        committed = asyncio.Event()
        stop = self._backend.consensus.on_commit(lambda _height: committed.set())
        try:
            digest = await self._backend.consensus.submit(raw)
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


class EthBlocks:
    """Blocks, transactions and receipts by hash and by place."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def get_block_by_number(self, number: BlockNumberArg, full: FlagArg = False) -> Json | None:
        return self._pending_block(full) if number.is_pending else self._block_json(number, full)

    def get_block_by_hash(self, block_hash: HashArg, full: FlagArg = False) -> Json | None:
        return self._block_json(BlockRef(hash=block_hash), full)

    def _block_json(self, ref: BlockRef, full: bool) -> Json | None:
        block = self._backend.block(ref)
        return None if block is None else block_json(block, full, self._backend.chain_id)

    def _pending_block(self, full: bool) -> Json:
        """The next block as far as it is known: parent, base fee, the waiting transactions."""
        head = self._backend.head()
        waiting = self._backend.pending()
        known = header_json(head) | {
            "hash": None,
            "nonce": None,
            "miner": None,
            "parentHash": to_hex(head.hash),
            "number": quantity(head.number + 1),
            "baseFeePerGas": quantity(self._backend.next_base_fee(head)),
            "gasUsed": "0x0",
        }
        transactions: list[Any] = (
            [pending_json(raw, self._backend.chain_id) for raw in waiting]
            if full
            else [to_hex(read_transaction(raw).hash) for raw in waiting]
        )
        return known | {"size": "0x0", "transactions": transactions, "uncles": [], "withdrawals": []}

    def _count(self, ref: BlockRef) -> str | None:
        if ref.is_pending:
            return quantity(len(self._backend.pending()))
        block = self._backend.block(ref)
        return None if block is None else quantity(len(block.transactions))

    def get_block_transaction_count_by_number(self, number: BlockNumberArg) -> str | None:
        return self._count(number)

    def get_block_transaction_count_by_hash(self, block_hash: HashArg) -> str | None:
        return self._count(BlockRef(hash=block_hash))

    # --- transactions -------------------------------------------------------------------------------------

    def _place(self, tx_hash: bytes) -> tuple[SealedBlock, int] | None:
        place = self._backend.app.store.transaction(tx_hash)
        block = None if place is None else self._backend.app.store.block(place[0])
        return None if place is None or block is None else (block, place[1])

    def get_transaction_by_hash(self, tx_hash: HashArg) -> Json | None:
        found = self._place(tx_hash)
        if found is not None:
            return block_transaction_json(*found, self._backend.chain_id)
        raw = self._backend.pool.find(tx_hash)
        return None if raw is None else pending_json(raw, self._backend.chain_id)

    def _raw_at(self, ref: BlockRef, index: int) -> tuple[SealedBlock, int] | None:
        block = self._backend.block(ref)
        return None if block is None or index >= len(block.transactions) else (block, index)

    def get_transaction_by_block_hash_and_index(self, block_hash: HashArg, index: Uint64Arg) -> Json | None:
        found = self._raw_at(BlockRef(hash=block_hash), index)
        return None if found is None else block_transaction_json(*found, self._backend.chain_id)

    def get_transaction_by_block_number_and_index(self, number: BlockNumberArg, index: Uint64Arg) -> Json | None:
        found = self._raw_at(number, index)
        return None if found is None else block_transaction_json(*found, self._backend.chain_id)

    def get_raw_transaction_by_hash(self, tx_hash: HashArg) -> str | None:
        found = self._place(tx_hash)
        raw = self._backend.pool.find(tx_hash) if found is None else found[0].transactions[found[1]]
        return None if raw is None else to_hex(raw)

    def get_raw_transaction_by_block_hash_and_index(self, block_hash: HashArg, index: Uint64Arg) -> str | None:
        found = self._raw_at(BlockRef(hash=block_hash), index)
        return None if found is None else to_hex(found[0].transactions[index])

    def get_raw_transaction_by_block_number_and_index(self, number: BlockNumberArg, index: Uint64Arg) -> str | None:
        found = self._raw_at(number, index)
        return None if found is None else to_hex(found[0].transactions[index])

    def get_transaction_receipt(self, tx_hash: HashArg) -> Json | None:
        found = self._place(tx_hash)
        return None if found is None else receipt_json(*found)

    def get_block_receipts(self, ref: BlockArg) -> list[Json] | None:
        block = self._backend.block(ref)
        return None if block is None else receipts_json(block)

    # --- uncles: a committed block has none -----------------------------------------------------------------

    def get_uncle_count_by_block_hash(self, block_hash: HashArg) -> str | None:
        return None if self._backend.block(BlockRef(hash=block_hash)) is None else "0x0"

    def get_uncle_count_by_block_number(self, number: BlockNumberArg) -> str | None:
        return None if self._backend.block(number) is None else "0x0"

    def get_uncle_by_block_hash_and_index(self, block_hash: HashArg, index: Uint64Arg) -> None:
        return None

    def get_uncle_by_block_number_and_index(self, number: BlockNumberArg, index: Uint64Arg) -> None:
        return None

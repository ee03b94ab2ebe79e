"""``eth_``: blocks, headers, transactions and receipts, by hash and by place. What is not there is null."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeAlias

from openledger.primitives.blocks import SealedBlock
from openledger.primitives.types import to_hex
from openledger.rpc.backend import Backend
from openledger.rpc.formats import (
    Json,
    block_json,
    block_transaction_json,
    header_json,
    pending_json,
    quantity,
    receipt_json,
    receipts_json,
)
from openledger.rpc.params import BlockArg, BlockNumberArg, BlockRef, FlagArg, HashArg, Uint64Arg
from openledger.rpc.pending import PendingBlocks

Found: TypeAlias = Json | None
Perhaps: TypeAlias = Found | Coroutine[Any, Any, Found]
"""An answer, at once or after a wait."""

UNKNOWN_YET = ("hash", "nonce", "miner")
"""Fields that the next block does not have yet; geth gives null for them."""


class EthBlocks:
    """Blocks, headers, transactions, receipts."""

    def __init__(self, backend: Backend, pending: PendingBlocks) -> None:
        self._backend = backend
        self._pending = pending

    def get_block_by_number(self, block: BlockNumberArg, full: FlagArg = False) -> Perhaps:
        """A block, with transaction hashes or with whole transactions."""
        return self._pending_block(full) if block.is_pending else self._block_json(block, full)

    def get_block_by_hash(self, block_hash: HashArg, full: FlagArg = False) -> Found:
        """A block, with transaction hashes or with whole transactions."""
        return self._block_json(BlockRef(hash=block_hash), full)

    def _block_json(self, ref: BlockRef, full: bool) -> Found:
        block = self._backend.block(ref)
        return None if block is None else block_json(block, full, self._backend.chain_id)

    async def _pending_block(self, full: bool) -> Json:
        block = (await self._pending.get()).block
        shown = block_json(block, full, self._backend.chain_id) | dict.fromkeys(UNKNOWN_YET)
        if full:
            for transaction in shown["transactions"]:
                transaction["blockHash"] = None
        return shown

    def get_header_by_number(self, block: BlockNumberArg) -> Perhaps:
        """A header."""
        if block.is_pending:
            return self._pending_header()
        return self._header_json(block)

    def get_header_by_hash(self, block_hash: HashArg) -> Found:
        """A header."""
        return self._header_json(BlockRef(hash=block_hash))

    def _header_json(self, ref: BlockRef) -> Found:
        number = self._backend.number(ref)
        header = None if number is None else self._backend.app.store.header(number)
        return None if header is None else header_json(header)

    async def _pending_header(self) -> Json:
        return header_json((await self._pending.get()).block.header) | dict.fromkeys(UNKNOWN_YET)

    # --- counts -------------------------------------------------------------------------------------------

    def get_block_transaction_count_by_number(self, block: BlockNumberArg) -> str | Coroutine[Any, Any, str] | None:
        """How many transactions a block has."""
        return self._pending_count() if block.is_pending else self._count(block)

    def get_block_transaction_count_by_hash(self, block_hash: HashArg) -> str | None:
        """How many transactions a block has."""
        return self._count(BlockRef(hash=block_hash))

    def _count(self, ref: BlockRef) -> str | None:
        block = self._backend.block(ref)
        return None if block is None else quantity(len(block.transactions))

    async def _pending_count(self) -> str:
        return quantity(len((await self._pending.get()).block.transactions))

    # --- transactions -------------------------------------------------------------------------------------

    def _place(self, tx_hash: bytes) -> tuple[SealedBlock, int] | None:
        place = self._backend.app.store.transaction(tx_hash)
        block = None if place is None else self._backend.app.store.block(place[0])
        return None if place is None or block is None else (block, place[1])

    def get_transaction_by_hash(self, tx_hash: HashArg) -> Found:
        """A transaction of a block, or of the mempool."""
        found = self._place(tx_hash)
        if found is not None:
            return block_transaction_json(*found, self._backend.chain_id)
        raw = self._backend.pool.find(tx_hash)
        return None if raw is None else pending_json(raw, self._backend.chain_id)

    def _at(self, ref: BlockRef, index: int) -> tuple[SealedBlock, int] | None:
        block = self._backend.block(ref)
        return None if block is None or index >= len(block.transactions) else (block, index)

    def get_transaction_by_block_hash_and_index(self, block_hash: HashArg, index: Uint64Arg) -> Found:
        """A transaction by its place."""
        found = self._at(BlockRef(hash=block_hash), index)
        return None if found is None else block_transaction_json(*found, self._backend.chain_id)

    def get_transaction_by_block_number_and_index(self, block: BlockNumberArg, index: Uint64Arg) -> Perhaps:
        """A transaction by its place."""
        if block.is_pending:
            return self._pending_transaction(index)
        found = self._at(block, index)
        return None if found is None else block_transaction_json(*found, self._backend.chain_id)

    async def _pending_transaction(self, index: int) -> Found:
        transactions = (await self._pending.get()).block.transactions
        return pending_json(transactions[index], self._backend.chain_id) if index < len(transactions) else None

    def get_raw_transaction_by_hash(self, tx_hash: HashArg) -> str | None:
        """Raw bytes of a transaction of a block, or of the mempool."""
        found = self._place(tx_hash)
        raw = self._backend.pool.find(tx_hash) if found is None else found[0].transactions[found[1]]
        return None if raw is None else to_hex(raw)

    def get_raw_transaction_by_block_hash_and_index(self, block_hash: HashArg, index: Uint64Arg) -> str | None:
        """Raw bytes of a transaction by its place."""
        return self._raw_at(BlockRef(hash=block_hash), index)

    def get_raw_transaction_by_block_number_and_index(self, block: BlockNumberArg, index: Uint64Arg) -> str | None:
        """Raw bytes of a transaction by its place."""
        return self._raw_at(block, index)

    def _raw_at(self, ref: BlockRef, index: int) -> str | None:
        found = self._at(ref, index)
        return None if found is None else to_hex(found[0].transactions[index])

    # --- receipts -----------------------------------------------------------------------------------------

    def get_transaction_receipt(self, tx_hash: HashArg) -> Found:
        """The receipt of a transaction in a block."""
        found = self._place(tx_hash)
        return None if found is None else receipt_json(*found)

    def get_block_receipts(self, block: BlockArg) -> list[Json] | Coroutine[Any, Any, list[Json]] | None:
        """All receipts of a block."""
        if block.is_pending:
            return self._pending_receipts()
        found = self._backend.block(block)
        return None if found is None else receipts_json(found)

    async def _pending_receipts(self) -> list[Json]:
        return receipts_json((await self._pending.get()).block)

    # --- uncles: a committed block has none -----------------------------------------------------------------

    def get_uncle_count_by_block_hash(self, block_hash: HashArg) -> str | None:
        """0: a committed block has no uncles."""
        return None if self._backend.block(BlockRef(hash=block_hash)) is None else "0x0"

    def get_uncle_count_by_block_number(self, block: BlockNumberArg) -> str | None:
        """0: a committed block has no uncles."""
        return None if self._backend.block(block) is None else "0x0"

    def get_uncle_by_block_hash_and_index(self, block_hash: HashArg, index: Uint64Arg) -> None:
        """Null: a committed block has no uncles."""

    def get_uncle_by_block_number_and_index(self, block: BlockNumberArg, index: Uint64Arg) -> None:
        """Null: a committed block has no uncles."""

"""``ots_`` and ``erigon_``: what the block explorer Otterscan asks of a node, in the forms of Erigon (level 8).

An account's transactions are those that it sent, that were sent to it, or that created it; what contracts do inside
others' transactions is not listed. A native transaction stands in its sender's list.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Annotated, Any

from openledger.evm.tracing.call_tracer import CallTracer
from openledger.evm.tracing.tracer import Budget, Tracer
from openledger.evm.validate import is_delegation
from openledger.primitives.blocks import SealedBlock
from openledger.primitives.hashing import KECCAK_EMPTY, keccak256
from openledger.primitives.transactions import EthTransaction
from openledger.primitives.types import Address, to_hex
from openledger.rpc.backend import Backend
from openledger.rpc.eth_sent import find_sent
from openledger.rpc.formats import (
    Json,
    block_json,
    block_transaction_json,
    header_json,
    quantity,
    read_transaction,
    receipt_json,
)
from openledger.rpc.params import LATEST, AddressArg, BlockArg, BlockRef, HashArg, NumberArg, parse_block
from openledger.rpc.replays import moment_of, watch_moment
from openledger.rpc.watchers import Watchers
from openledger.rpc.work import Workers
from openledger.state.logindex import account_transactions, creation

API_LEVEL = 8
MAX_PAGE = 100
TRANSFER, SELF_DESTRUCT, CREATE, CREATE2 = 0, 1, 2, 3
_OPERATIONS = {"CALL": TRANSFER, "SELFDESTRUCT": SELF_DESTRUCT, "CREATE": CREATE, "CREATE2": CREATE2}


def parse_height(value: Any) -> BlockRef:
    """A block by a plain number as well, as Otterscan sends it."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return BlockRef(number=value)
    return parse_block(value)


HeightArg = Annotated[BlockRef, parse_height]


class Otterscan:
    """Blocks by page, accounts' histories, internal operations."""

    def __init__(self, backend: Backend, workers: Workers) -> None:
        self._backend = backend
        self._workers = workers
        self._watchers = Watchers(backend)

    def get_api_level(self) -> int:
        """Level of this interface."""
        return API_LEVEL

    # --- blocks -------------------------------------------------------------------------------------------

    def get_block_details(self, block: HeightArg) -> Json | None:
        """A block without its transactions: how many they are, what they paid."""
        return self._details(self._backend.block(block))

    def get_block_details_by_hash(self, block_hash: HashArg) -> Json | None:
        """The same by hash."""
        return self._details(self._backend.block(BlockRef(hash=block_hash)))

    def _details(self, block: SealedBlock | None) -> Json | None:
        if block is None:
            return None
        fees = sum(receipt.gas_used * receipt.effective_gas_price for receipt in block.receipts)
        shown = self._block_json(block)
        del shown["transactions"]
        nothing = {"blockReward": "0x0", "uncleReward": "0x0", "issuance": "0x0"}
        return {"block": shown, "issuance": nothing, "totalFees": quantity(fees)}

    def _block_json(self, block: SealedBlock) -> Json:
        more = {"transactionCount": len(block.transactions), "totalDifficulty": "0x0", "logsBloom": None}
        return block_json(block, False, self._backend.chain_id) | more

    def get_block_transactions(self, block: HeightArg, page: NumberArg, page_size: NumberArg) -> Json | None:
        """One page of a block's transactions, the last ones first, with receipts without logs."""
        found = self._backend.block(block)
        if found is None:
            return None
        size = min(page_size, MAX_PAGE)
        stop = max(0, len(found.transactions) - page * size)
        places = range(max(0, stop - size), stop)
        transactions = [block_transaction_json(found, index, self._backend.chain_id) for index in places]
        for transaction in transactions:
            transaction["input"] = transaction["input"][:10]  # the selector is what a list shows
        receipts = [receipt_json(found, index) | {"logs": None, "logsBloom": None} for index in places]
        return {"fullblock": self._block_json(found) | {"transactions": transactions}, "receipts": receipts}

    # --- accounts -----------------------------------------------------------------------------------------

    def has_code(self, address: AddressArg, block: BlockArg = LATEST) -> bool:
        """True for a contract, and for an account that delegates to one."""
        account = self._backend.state(block).account(address)
        return account is not None and account.code_hash != KECCAK_EMPTY

    async def search_transactions_before(self, address: AddressArg, block: NumberArg, page_size: NumberArg) -> Json:
        """An account's transactions in blocks before this one (0: from the newest), newest first, at least
        ``page_size`` of them where there are: all of the last block's."""
        head = self._backend.head().number
        start = head if block == 0 else block - 1
        places = account_transactions(self._backend.app.store.kv, address, min(start, head), reverse=True)
        found, more = await self._workers.run(_page, places, min(page_size, MAX_PAGE))
        shown = await self._workers.run(self._shown, found)
        return shown | {"firstPage": block == 0, "lastPage": not more}

    async def search_transactions_after(self, address: AddressArg, block: NumberArg, page_size: NumberArg) -> Json:
        """The same for blocks after this one (0: from the first), newest first."""
        places = account_transactions(self._backend.app.store.kv, address, 0 if block == 0 else block + 1)
        found, more = await self._workers.run(_page, places, min(page_size, MAX_PAGE))
        shown = await self._workers.run(self._shown, found[::-1])
        return shown | {"firstPage": not more, "lastPage": block == 0}

    def _shown(self, places: list[tuple[int, int]]) -> Json:
        transactions, receipts = [], []
        for number, group in groupby(places, key=lambda place: place[0]):
            block = self._backend.app.store.block(number)
            if block is None:
                continue
            for _, index in group:
                transactions.append(block_transaction_json(block, index, self._backend.chain_id))
                receipts.append(receipt_json(block, index) | {"timestamp": block.header.timestamp})
        return {"txs": transactions, "receipts": receipts}

    async def get_transaction_by_sender_and_nonce(self, address: AddressArg, nonce: NumberArg) -> str | None:
        """Hash of the transaction that an account sent with this nonce."""
        found = await self._workers.run(find_sent, self._backend.app.store, address, nonce)
        return None if found is None else to_hex(keccak256(found[0].transactions[found[1]]))

    async def get_contract_creator(self, address: AddressArg) -> Json | None:
        """Who created a contract, in which transaction; null for what is none, and for one of genesis."""
        return await self._workers.compute(self._creator, address)

    def _creator(self, address: Address) -> Json | None:
        if not self._is_contract(address, self._backend.head().number):
            return None
        direct = creation(self._backend.app.store.kv, address)
        if direct is not None:
            block, index = self._backend.app.store.block(direct[0]), direct[1]
            if block is None:
                return None
            return {"hash": to_hex(keccak256(block.transactions[index])), "creator": to_hex(block.senders[index])}
        low, high = 0, self._backend.head().number
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self._is_contract(address, middle) else (middle + 1, high)
        return self._creator_in(address, low) if low else None

    def _is_contract(self, address: Address, height: int) -> bool:
        state = self._backend.app.state(height)
        account = state.account(address)
        return (
            account is not None
            and account.code_hash != KECCAK_EMPTY
            and not is_delegation(state.code(account.code_hash))
        )

    def _creator_in(self, address: Address, number: int) -> Json | None:
        bounds, wanted = self._watchers.bounds(), to_hex(address)
        for moment in self._backend.app.replay(number):
            tracer = watch_moment(self._watchers.engine(), moment, lambda: _calls(Budget(bounds)))
            for frame in _frames(tracer.result()):
                if frame["type"] in ("CREATE", "CREATE2") and frame.get("to") == wanted and "error" not in frame:
                    return {"hash": to_hex(keccak256(moment.raw)), "creator": frame["from"]}
        return None

    # --- transactions ---------------------------------------------------------------------------------------

    async def _tree(self, tx_hash: bytes) -> Json | None:
        place = self._backend.app.store.transaction(tx_hash)
        return None if place is None else await self._workers.compute(self._traced, *place)

    def _traced(self, number: int, index: int) -> Json:
        bounds = self._watchers.bounds()
        moment = moment_of(self._backend, number, index)
        tree: Json = watch_moment(self._watchers.engine(), moment, lambda: _calls(Budget(bounds))).result()
        return tree

    async def trace_transaction(self, tx_hash: HashArg) -> list[Json] | None:
        """All calls of a transaction in order, each with its depth."""
        tree = await self._tree(tx_hash)
        if tree is None:
            return None
        return [
            {
                "type": frame["type"],
                "depth": depth,
                "from": frame["from"],
                "to": frame.get("to", "0x" + "00" * 20),
                "value": frame.get("value") if frame["type"] not in ("DELEGATECALL", "STATICCALL") else None,
                "input": frame["input"],
                "output": frame.get("output", "0x"),
            }
            for frame, depth in _walk(tree)
        ]

    async def get_internal_operations(self, tx_hash: HashArg) -> list[Json] | None:
        """Coins moved, contracts created and destroyed inside a transaction."""
        tree = await self._tree(tx_hash)
        if tree is None:
            return None
        found = []
        for frame in _frames(tree, ok_only=True):
            kind = _OPERATIONS.get(frame["type"])
            if frame is tree or kind is None or (kind == TRANSFER and frame.get("value", "0x0") == "0x0"):
                continue
            value = frame.get("value", "0x0")
            found.append({"type": kind, "from": frame["from"], "to": frame["to"], "value": value})
        return found

    async def get_transaction_error(self, tx_hash: HashArg) -> str | None:
        """What a failed transaction reverted with; "0x" where it said nothing. A native action's refusal is put as
        Error(string)."""
        place = self._backend.app.store.transaction(tx_hash)
        block = None if place is None else self._backend.app.store.block(place[0])
        if place is None or block is None:
            return None
        receipt = block.receipts[place[1]]
        if receipt.status:
            return "0x"
        if not isinstance(read_transaction(block.transactions[place[1]]), EthTransaction):
            return to_hex(_error_string(receipt.error))
        tree = await self._tree(tx_hash)
        output: str = (tree or {}).get("output", "0x")
        return output


class Erigon:
    """The few methods of ``erigon_`` that Otterscan asks for."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def get_header_by_number(self, block: HeightArg) -> Json | None:
        """A header."""
        number = self._backend.number(block)
        header = None if number is None else self._backend.app.store.header(number)
        return None if header is None else header_json(header)

    def get_header_by_hash(self, block_hash: HashArg) -> Json | None:
        """A header."""
        return self.get_header_by_number(BlockRef(hash=block_hash))


def _calls(budget: Budget) -> tuple[Tracer, Budget]:
    return CallTracer(budget), budget


def _walk(tree: Json, ok_only: bool = False) -> Iterator[tuple[Json, int]]:
    waiting = [(tree, 0)]
    while waiting:
        frame, depth = waiting.pop()
        if ok_only and "error" in frame:
            continue
        yield frame, depth
        waiting += [(child, depth + 1) for child in reversed(frame.get("calls", ()))]


def _frames(tree: Json, ok_only: bool = False) -> Iterator[Json]:
    return (frame for frame, _ in _walk(tree, ok_only))


def _page(places: Iterator[tuple[int, int]], size: int) -> tuple[list[tuple[int, int]], bool]:
    """At least ``size`` places (one at least), to the end of a block; and whether there are more."""
    found: list[tuple[int, int]] = []
    for place in places:
        if found and len(found) >= size and place[0] != found[-1][0]:
            return found, True
        found.append(place)
    return found, False


def _error_string(text: str) -> bytes:
    """Error(string) of Solidity's ABI."""
    raw = text.encode()
    body = (32).to_bytes(32, "big") + len(raw).to_bytes(32, "big") + raw.ljust((len(raw) + 31) // 32 * 32, b"\0")
    return bytes.fromhex("08c379a0") + body

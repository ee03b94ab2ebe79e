"""``eth_``: prices. gasPrice, maxPriorityFeePerGas, feeHistory, blobBaseFee. All in wei."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, TypeAlias

from openledger.primitives.amounts import GWEI
from openledger.primitives.blocks import Header, Receipt
from openledger.primitives.transactions import SYSTEM
from openledger.rpc.backend import Backend
from openledger.rpc.errors import SERVER_ERROR, RpcError
from openledger.rpc.formats import Json, quantity
from openledger.rpc.logs import deadline
from openledger.rpc.params import BlockNumberArg, BlockRef, PercentilesArg, parse_quantity
from openledger.rpc.pending import PendingBlocks
from openledger.rpc.work import Workers

SAMPLED_BLOCKS = 20
SAMPLE_PERCENTILE = 60
DEFAULT_TIP = GWEI
LONGEST_TIP = 500 * GWEI
LONGEST_HISTORY = 1024


def _parse_count(value: object) -> int:
    """Block count of eth_feeHistory: a quantity, or a plain or decimal integer as older clients send."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return parse_quantity(value, 64)


Block: TypeAlias = tuple[Header, Callable[[], tuple[Receipt, ...]]]
"""A header, and what reads its receipts."""

CountArg = Annotated[int, _parse_count]


class EthFees:
    """The fee market as wallets ask for it."""

    def __init__(self, backend: Backend, pending: PendingBlocks, workers: Workers) -> None:
        self._backend = backend
        self._pending = pending
        self._workers = workers
        self._sampled: dict[int, list[int]] = {}
        if backend.devnet is not None:
            backend.devnet.before_revert(lambda _height: self._sampled.clear())

    def gas_price(self) -> str:
        """Base fee of the next block and a tip: enough for a legacy transaction."""
        return quantity(self._next_base_fee() + self._suggested_tip())

    def base_fee(self) -> str:
        """Base fee of the next block."""
        return quantity(self._next_base_fee())

    def max_priority_fee_per_gas(self) -> str:
        """A tip that others paid lately."""
        return quantity(self._suggested_tip())

    def blob_base_fee(self) -> str:
        """1, the least there is: there are no blobs here."""
        return "0x1"

    def _next_base_fee(self) -> int:
        return self._backend.next_base_fee(self._backend.head())

    def _suggested_tip(self) -> int:
        """The 60th percentile of tips in the last 20 blocks; 1 gwei where there were no transactions."""
        head = self._backend.head().number
        wanted = range(max(1, head - SAMPLED_BLOCKS + 1), head + 1)
        if head not in self._sampled:
            self._sampled = {n: self._sampled[n] if n in self._sampled else self._tips_of(n) for n in wanted}
        tips = sorted(tip for n in wanted for tip in self._sampled[n])
        chosen = tips[(len(tips) - 1) * SAMPLE_PERCENTILE // 100] if tips else DEFAULT_TIP
        return min(LONGEST_TIP, max(1, chosen))

    def _tips_of(self, number: int) -> list[int]:
        store = self._backend.app.store
        header = store.header(number)
        return [] if header is None else [tip for tip, _ in _tips(header, store.receipts(number))]

    async def fee_history(
        self, block_count: CountArg, newest_block: BlockNumberArg, reward_percentiles: PercentilesArg | None = None
    ) -> Json:
        """Base fees, fullness and tips of the blocks up to ``newest_block``, and the base fee after it."""
        head = self._backend.head()
        if not newest_block.tag and newest_block.number > head.number:
            asked = newest_block.number
            raise RpcError(SERVER_ERROR, f"request beyond head block: requested {asked}, head {head.number}")
        blocks = await self._blocks(newest_block, min(block_count, LONGEST_HISTORY))
        if not blocks:
            return {"oldestBlock": "0x0", "baseFeePerGas": [], "gasUsedRatio": []}
        last = blocks[-1][0]
        after = self._backend.app.store.header(last.number + 1) if last.number < head.number else None
        fees = [header.base_fee for header, _ in blocks]
        fees.append(self._backend.next_base_fee(last) if after is None else after.base_fee)
        history: Json = {
            "oldestBlock": quantity(blocks[0][0].number),
            "baseFeePerGas": [quantity(fee) for fee in fees],
            "gasUsedRatio": [header.gas_used / header.gas_limit for header, _ in blocks],
            "baseFeePerBlobGas": ["0x1"] * len(fees),
            "blobGasUsedRatio": [0.0] * len(blocks),
        }
        if reward_percentiles:
            history["reward"] = await self._workers.run(
                _reward_rows, blocks, reward_percentiles, deadline(self._backend.settings.call_seconds)
            )
        return history

    async def _blocks(self, newest: BlockRef, count: int) -> list[Block]:
        """Headers with what reads their receipts, oldest first."""
        store = self._backend.app.store
        found: list[Block] = []
        if newest.is_pending and count:
            block = (await self._pending.get()).block
            found.append((block.header, lambda: block.receipts))
        last = self._backend.header(newest).number
        for number in range(last, max(-1, last - count + len(found)), -1):
            header = store.header(number)
            if header is None:
                break
            found.insert(0, (header, partial(store.receipts, number)))
        return found


def _reward_rows(blocks: Sequence[Block], percentiles: list[float], look: Callable[[], None]) -> list[list[str]]:
    """Tips of each block. All receipts of up to 1,024 blocks are read, so ``look`` ends it after a while."""
    rows = []
    for header, read in blocks:
        look()
        rows.append([quantity(tip) for tip in _rewards(header, read(), percentiles)])
    return rows


def _tips(header: Header, receipts: tuple[Receipt, ...]) -> list[tuple[int, int]]:
    """(tip per gas, gas used) of the transactions that people sent."""
    return [(r.effective_gas_price - header.base_fee, r.gas_used) for r in receipts if r.type != SYSTEM]


def _rewards(header: Header, receipts: tuple[Receipt, ...], percentiles: list[float]) -> list[int]:
    """Tip at each percentile of the block's gas; zeros for a block without transactions."""
    tips = sorted(_tips(header, receipts))
    if not tips:
        return [0] * len(percentiles)
    found, place, used = [], 0, tips[0][1]
    for percentile in percentiles:
        threshold = int(header.gas_used * percentile / 100)
        while used < threshold and place < len(tips) - 1:
            place += 1
            used += tips[place][1]
        found.append(tips[place][0])
    return found

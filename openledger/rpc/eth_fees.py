"""``eth_``: prices. gasPrice, maxPriorityFeePerGas, feeHistory, blobBaseFee. All in wei."""

from __future__ import annotations

from typing import Annotated

from openledger.primitives.amounts import GWEI
from openledger.primitives.blocks import Header, Receipt
from openledger.primitives.transactions import SYSTEM
from openledger.rpc.backend import Backend
from openledger.rpc.formats import Json, quantity
from openledger.rpc.params import BlockNumberArg, BlockRef, PercentilesArg, parse_quantity

SAMPLED_BLOCKS = 20
SAMPLE_PERCENTILE = 60
DEFAULT_TIP = GWEI
LONGEST_TIP = 500 * GWEI
LONGEST_HISTORY = 1024


def _parse_count(value: object) -> int:
    """Block count of eth_feeHistory: a quantity, or a plain integer as older clients send."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return parse_quantity(value, 64)


CountArg = Annotated[int, _parse_count]


class EthFees:
    """The fee market as wallets ask for it."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._sampled: dict[int, list[int]] = {}

    def gas_price(self) -> str:
        """Base fee of the next block and a tip: enough for a legacy transaction."""
        return quantity(self._backend.next_base_fee(self._backend.head()) + self._suggested_tip())

    def max_priority_fee_per_gas(self) -> str:
        return quantity(self._suggested_tip())

    def blob_base_fee(self) -> str:
        """There are no blobs here: the least there is."""
        return "0x1"

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

    def fee_history(
        self, block_count: CountArg, newest: BlockNumberArg, percentiles: PercentilesArg | None = None
    ) -> Json:
        last = self._backend.header(newest).number
        count = min(block_count, LONGEST_HISTORY, last + 1)
        if count == 0:
            return {"oldestBlock": "0x0", "gasUsedRatio": []}
        oldest = last - count + 1
        base_fees, ratios, rewards = [], [], []
        header, store = self._backend.head(), self._backend.app.store
        for number in range(oldest, last + 1):
            header = self._backend.header(BlockRef(number=number))
            base_fees.append(quantity(header.base_fee))
            ratios.append(header.gas_used / header.gas_limit)
            if percentiles is not None:
                rewards.append([quantity(tip) for tip in _rewards(header, store.receipts(number), percentiles)])
        base_fees.append(quantity(self._backend.next_base_fee(header)))
        history: Json = {
            "oldestBlock": quantity(oldest),
            "baseFeePerGas": base_fees,
            "gasUsedRatio": ratios,
            "baseFeePerBlobGas": ["0x1"] * len(base_fees),
            "blobGasUsedRatio": [0.0] * len(ratios),
        }
        return history | ({"reward": rewards} if percentiles else {})


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

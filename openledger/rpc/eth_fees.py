"""``eth_``: prices. gasPrice, maxPriorityFeePerGas, feeHistory, blobBaseFee. All in wei."""

from __future__ import annotations

from typing import Annotated

from openledger.primitives.amounts import GWEI
from openledger.primitives.blocks import SealedBlock
from openledger.primitives.transactions import SYSTEM
from openledger.rpc.backend import Backend
from openledger.rpc.formats import Json, quantity
from openledger.rpc.params import BlockNumberArg, PercentilesArg, parse_quantity

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
        self._tip: tuple[int, int] = (-1, DEFAULT_TIP)

    def gas_price(self) -> str:
        """Base fee of the next block and a tip: enough for a legacy transaction."""
        return quantity(self._backend.next_base_fee(self._backend.head()) + self._suggested_tip())

    def max_priority_fee_per_gas(self) -> str:
        return quantity(self._suggested_tip())

    def blob_base_fee(self) -> str:
        """There are no blobs here: the least there is."""
        return "0x1"

    def _suggested_tip(self) -> int:
        """The 60th percentile of tips in the last 20 blocks with transactions; 1 gwei where there were none."""
        head = self._backend.head().number
        if self._tip[0] != head:
            tips = []
            for number in range(max(1, head - SAMPLED_BLOCKS + 1), head + 1):
                block = self._backend.app.store.block(number)
                tips += [] if block is None else [tip for tip, _ in _tips(block)]
            tips.sort()
            chosen = tips[(len(tips) - 1) * SAMPLE_PERCENTILE // 100] if tips else DEFAULT_TIP
            self._tip = (head, min(LONGEST_TIP, max(1, chosen)))
        return self._tip[1]

    def fee_history(
        self, block_count: CountArg, newest: BlockNumberArg, percentiles: PercentilesArg | None = None
    ) -> Json:
        last = self._backend.header(newest).number
        count = min(block_count, LONGEST_HISTORY, last + 1)
        if count == 0:
            return {"oldestBlock": "0x0", "gasUsedRatio": []}
        oldest = last - count + 1
        base_fees, ratios, rewards = [], [], []
        header = self._backend.head()
        for number in range(oldest, last + 1):
            block = self._backend.app.store.block(number)
            if block is None:
                continue
            header = block.header
            base_fees.append(quantity(header.base_fee))
            ratios.append(header.gas_used / header.gas_limit)
            if percentiles is not None:
                rewards.append([quantity(tip) for tip in _rewards(block, percentiles)])
        base_fees.append(quantity(self._backend.next_base_fee(header)))
        history: Json = {
            "oldestBlock": quantity(oldest),
            "baseFeePerGas": base_fees,
            "gasUsedRatio": ratios,
            "baseFeePerBlobGas": ["0x1"] * len(base_fees),
            "blobGasUsedRatio": [0.0] * len(ratios),
        }
        return history | ({"reward": rewards} if percentiles else {})


def _tips(block: SealedBlock) -> list[tuple[int, int]]:
    """(tip per gas, gas used) of the transactions that people sent."""
    base_fee = block.header.base_fee
    return [(r.effective_gas_price - base_fee, r.gas_used) for r in block.receipts if r.type != SYSTEM]


def _rewards(block: SealedBlock, percentiles: list[float]) -> list[int]:
    """Tip at each percentile of the block's gas; zeros for a block without transactions."""
    tips = sorted(_tips(block))
    if not tips:
        return [0] * len(percentiles)
    found, place, used = [], 0, tips[0][1]
    for percentile in percentiles:
        threshold = int(block.header.gas_used * percentile / 100)
        while used < threshold and place < len(tips) - 1:
            place += 1
            used += tips[place][1]
        found.append(tips[place][0])
    return found

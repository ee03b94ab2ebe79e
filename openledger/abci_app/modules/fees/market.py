"""EIP-1559 with a floor, and the fee of a native transaction."""

from __future__ import annotations

from openledger.abci_app.modules.fees.records import burn_from, give
from openledger.genesis.params import Params
from openledger.primitives.blocks import Header
from openledger.primitives.types import Address
from openledger.state.overlay import Overlay


def next_base_fee(parent: Header, params: Params) -> int:
    """Base fee (wei per gas) of the block after ``parent`` (EIP-1559), never below the floor."""
    target = max(1, parent.gas_limit // params.elasticity)
    fee = parent.base_fee
    if parent.gas_used > target:
        fee += max(1, fee * (parent.gas_used - target) // target // params.base_fee_denominator)
    elif parent.gas_used < target:
        fee -= fee * (target - parent.gas_used) // target // params.base_fee_denominator
    return max(params.base_fee_floor, fee)


def charge(state: Overlay, payer: Address, gas: int, price: int, base_fee: int, operator: Address) -> None:
    """Take the fee of a native transaction: the base fee part is burned, the rest goes to the operator (wei). Raises
    InsufficientFunds."""
    tip = gas * (price - base_fee)
    burn_from(state, payer, gas * base_fee)
    state.sub_balance(payer, tip)
    give(state, operator, tip)

"""The fee market over blocks of EVM and native gas together: the base fee, what is burned, what the operator earns.

The formula is written here once more, after EIP-1559's text and in other words than the program's, over rationals.
"""

from __future__ import annotations

import random
from fractions import Fraction
from math import floor

import pytest
from harness import ACCOUNTS, Harness
from hypothesis import given, settings
from hypothesis import strategies as st

from openledger.abci_app.action import intrinsic_gas
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.fees.market import next_base_fee
from openledger.abci_app.modules.models.retire import ModelRetire
from openledger.genesis.params import Params
from openledger.primitives.amounts import GWEI
from openledger.primitives.blocks import EMPTY_BLOOM, EMPTY_TRIE_ROOT, Header
from openledger.primitives.hashing import ZERO_HASH
from openledger.primitives.transactions import SYSTEM, EthTransaction, NativeTransaction, decode_transaction

OPERATOR = ACCOUNTS[9][0]


def expected(base_fee: int, used: int, limit: int, *, elasticity: int, denominator: int, floor_fee: int) -> int:
    """EIP-1559: the fee moves by its 1/denominator part, times how far the block was from its target; a rise is at
    least one wei; every division drops what is left over."""
    target = max(1, limit // elasticity)
    apart = Fraction(used - target, target)
    if used == target:
        moved = 0
    elif used > target:
        moved = max(1, floor(Fraction(floor(base_fee * apart), denominator)))
    else:
        moved = -floor(Fraction(floor(base_fee * -apart), denominator))
    return max(floor_fee, base_fee + moved)


def header(base_fee: int, used: int, limit: int) -> Header:
    return Header(
        ZERO_HASH, bytes(20), EMPTY_TRIE_ROOT, EMPTY_TRIE_ROOT, EMPTY_TRIE_ROOT, EMPTY_BLOOM, 1, limit, used, 1,
        ZERO_HASH, base_fee,
    )  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(
    base_fee=st.one_of(st.integers(0, 100), st.integers(0, 10**30)),
    limit=st.one_of(st.integers(1, 100), st.integers(21_000, 10**10)),
    share=st.fractions(0, 1),
    elasticity=st.integers(1, 10),
    denominator=st.one_of(st.integers(1, 10), st.integers(1, 10**6)),
    floor_fee=st.integers(1, 10**9),
)
def test_the_next_base_fee_is_eip_1559s_and_never_below_the_floor(
    base_fee: int, limit: int, share: Fraction, elasticity: int, denominator: int, floor_fee: int
) -> None:
    used = floor(limit * share)
    rules = Params(base_fee_floor=floor_fee, elasticity=elasticity, base_fee_denominator=denominator)
    found = next_base_fee(header(base_fee, used, limit), rules)
    assert found == expected(base_fee, used, limit, elasticity=elasticity, denominator=denominator, floor_fee=floor_fee)
    assert found >= floor_fee


# a contract that burns all the gas it gets: an invalid opcode
WASTER = bytes.fromhex("60fe60005360016000f3")


class Book:
    """An account of a chain's money that the test keeps by itself, from receipts alone."""

    def __init__(self, chain: Harness) -> None:
        self.chain = chain
        self.burned = int(chain.query("get_supply")["burned"], 16)
        self.earned = chain.balance(OPERATOR)
        self.fee = chain.app.head().base_fee
        self.used = chain.app.head().gas_used

    def check_block(self) -> None:
        """The newest block against the one before."""
        chain, head = self.chain, self.chain.app.head()
        rules = chain.genesis.params
        assert head.base_fee == expected(
            self.fee, self.used, rules.block_gas_limit, elasticity=rules.elasticity,
            denominator=rules.base_fee_denominator, floor_fee=rules.base_fee_floor,
        )  # fmt: skip
        block = chain.app.store.block(head.number)
        assert block is not None
        assert head.gas_used == sum(r.gas_used for r in block.receipts) <= rules.block_gas_limit
        cumulative = 0
        for raw, receipt in zip(block.transactions, block.receipts, strict=True):
            cumulative += receipt.gas_used
            assert receipt.cumulative_gas == cumulative
            if receipt.type != SYSTEM:
                tx = decode_transaction(raw)
                assert isinstance(tx, EthTransaction | NativeTransaction)
                assert receipt.effective_gas_price == min(tx.max_fee, head.base_fee + tx.max_priority_fee)
                assert receipt.effective_gas_price >= head.base_fee
        self.burned += sum(r.gas_used for r in block.receipts) * head.base_fee
        self.earned += sum(r.gas_used * (r.effective_gas_price - head.base_fee) for r in block.receipts)
        assert int(chain.query("get_supply")["burned"], 16) == self.burned
        assert chain.balance(OPERATOR) == self.earned
        self.fee, self.used = head.base_fee, head.gas_used


def random_transaction(chain: Harness, rng: random.Random, sender: int, waster: bytes) -> bytes:
    """An EVM or a native transaction of an account, with any prices that the chain can still take."""
    base = chain.app.next_base_fee()
    tip = rng.choice((0, 1, GWEI, rng.randrange(3 * GWEI)))
    prices = {"max_priority_fee": tip, "max_fee": max(tip, base + rng.choice((0, 1, tip, GWEI)))}
    kind = rng.random()
    if kind < 0.3:
        return chain.transfer(sender, ACCOUNTS[rng.randrange(5)][0], rng.randrange(10**9), **prices)
    if kind < 0.6:
        return chain.transfer(sender, waster, 0, gas=rng.randrange(30_000, 1_500_000), **prices)
    if kind < 0.8:
        return chain.native(sender, DatanetCreate("d" * rng.randrange(1, 60)), **prices)
    return chain.native(sender, ModelRetire(rng.randrange(1, 9)), **prices)


@pytest.mark.parametrize("seed", range(3))
def test_over_mixed_blocks_every_wei_of_every_fee_is_burned_or_earned(seed: int) -> None:
    rng = random.Random(seed)
    limit = 3_000_000
    chain = Harness(block_gas_limit=limit, base_fee_floor=GWEI // 2)
    creation = chain.transfer(8, None, 0, gas=200_000, data=WASTER)  # type: ignore[arg-type]
    chain.touched.discard(None)  # type: ignore[arg-type]
    chain.submit(creation)
    waster = chain.include(creation).contract_address
    assert waster is not None
    book = Book(chain)
    fees, kinds = set(), set()
    for _ in range(25):
        busy = rng.random() < 0.7
        for sender in rng.sample(range(8), 8 if busy else rng.randrange(3)):
            chain.submit(random_transaction(chain, rng, sender, waster))
        kinds |= {(r.type, r.status) for r in chain.block()}
        book.check_block()
        fees.add(book.fee)
    assert len(fees) > 10
    assert {(2, 0), (2, 1), (0x50, 0), (0x50, 1)} <= kinds
    for _ in range(12):
        chain.finalize(())
        book.check_block()
    assert book.fee == GWEI // 2


def test_native_gas_alone_moves_the_base_fee_like_evm_gas() -> None:
    cost = intrinsic_gas(DatanetCreate("d"))
    native, evm = (Harness(block_gas_limit=4 * cost) for _ in range(2))
    for sender in (1, 2, 3):
        native.submit(native.native(sender, DatanetCreate("d"), max_priority_fee=GWEI))
    native.block()
    creation = evm.transfer(8, None, 0, gas=cost, data=b"\xfe")  # type: ignore[arg-type]
    others = [evm.transfer(i, None, 0, gas=cost, data=b"\xfe") for i in (1, 2)]  # type: ignore[arg-type]
    evm.touched.discard(None)  # type: ignore[arg-type]
    for raw in (creation, *others):
        evm.submit(raw)
    evm.block()
    assert native.app.head().gas_used == evm.app.head().gas_used == 3 * cost
    assert native.app.next_base_fee() == evm.app.next_base_fee() > native.app.head().base_fee

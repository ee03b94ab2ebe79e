"""What one honest node proposes every honest node accepts; and how transactions wait for their block."""

from __future__ import annotations

import random

import pytest
from harness import ACCOUNTS, Harness, operator_account

from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.models.retire import ModelRetire
from openledger.abci_app.modules.staking.delegate import StakeDelegate
from openledger.abci_app.protocol import messages as abci
from openledger.primitives.amounts import GWEI, OPEN
from openledger.primitives.errors import (
    AlreadyKnown,
    GasLimitExceeded,
    InsufficientFunds,
    IntrinsicGasTooLow,
    NonceTooHigh,
    NonceTooLow,
    ReplacementUnderpriced,
    ReservedTransaction,
    TipAboveFeeCap,
    WrongChainId,
)


def random_transaction(chain: Harness, rng: random.Random) -> bytes:
    sender = rng.randrange(10)
    nonce = max(0, chain.nonce(ACCOUNTS[sender][0]) + rng.choice((0, 0, 0, 1, -1, 3)))
    max_fee = rng.choice((1, GWEI, 3 * GWEI))
    if rng.random() < 0.3:
        action = DatanetCreate("x") if rng.random() < 0.5 else ModelRetire(1)
        return chain.native(sender, action, nonce=nonce, max_fee=max_fee)
    value = rng.choice((0, 1, 20_000 * OPEN, 9_999 * OPEN))
    gas = rng.choice((21_000, 20_000, 30_000_000, 31_000_000))
    tip = rng.choice((0, 1, max_fee, max_fee + 1))
    raw = chain.transfer(
        sender, ACCOUNTS[rng.randrange(10)][0], value, nonce=nonce, max_fee=max_fee, gas=gas, max_priority_fee=tip
    )
    return raw[: rng.choice((len(raw), len(raw), len(raw), 20))]


@pytest.mark.parametrize("seed", range(12))
def test_prepared_blocks_are_always_accepted_whatever_is_in_the_mempool(seed: int) -> None:
    rng = random.Random(seed)
    chain = Harness()
    for _ in range(4):
        txs = [random_transaction(chain, rng) for _ in range(15)]
        for raw in txs:
            chain.submit(raw)
        proposal = chain.propose(txs=rng.sample(txs, len(txs)))
        assert chain.judge(proposal) == abci.ACCEPT
        results = chain.finalize(proposal).tx_results
        assert all(r.info != "refused" for r in results)


def test_a_proposal_never_exceeds_the_byte_limit(chain: Harness) -> None:
    for nonce in range(20):
        chain.submit(chain.transfer(1, ACCOUNTS[2][0], 1, nonce=nonce))
    request = abci.RequestPrepareProposal(
        1000, tuple(chain.app.mempool.reap()), chain.commit, (), 1, (chain.time + 1) * 10**9, b"", chain.addresses[0]
    )
    txs = chain.app.prepare_proposal(request).txs
    assert 5 <= len(txs) < 20
    assert sum(len(tx) + 3 for tx in txs) <= 1000


def test_better_tips_come_first_and_nonces_stay_in_order(chain: Harness) -> None:
    slow = [chain.transfer(1, ACCOUNTS[2][0], 1, nonce=n, max_priority_fee=1) for n in range(2)]
    fast = [chain.transfer(3, ACCOUNTS[2][0], 1, nonce=n, max_priority_fee=GWEI) for n in range(2)]
    for raw in (slow[1], slow[0], fast[1], fast[0]):
        assert chain.submit(raw).code == 0
    assert chain.app.mempool.reap() == fast + slow


def test_a_nonce_gap_waits_and_is_filled_later(chain: Harness) -> None:
    later = chain.transfer(1, ACCOUNTS[2][0], 1, nonce=1)
    assert chain.submit(later).code == 0
    assert chain.app.mempool.reap() == []
    assert chain.app.mempool.pending_nonce(ACCOUNTS[1][0]) == 0
    first = chain.transfer(1, ACCOUNTS[2][0], 1, nonce=0)
    assert chain.submit(first).code == 0
    assert len(chain.block()) == 2


def test_a_replacement_pays_a_tenth_more(chain: Harness) -> None:
    old = chain.transfer(1, ACCOUNTS[2][0], 1, nonce=0, max_priority_fee=100)
    assert chain.submit(old).code == 0
    assert chain.submit(old).code == AlreadyKnown.code
    cheap = chain.transfer(1, ACCOUNTS[2][0], 2, nonce=0, max_priority_fee=109)
    assert chain.submit(cheap).code == ReplacementUnderpriced.code
    good = chain.transfer(1, ACCOUNTS[2][0], 2, nonce=0, max_priority_fee=110, max_fee=6 * GWEI)
    assert chain.submit(good).code == 0
    assert chain.app.mempool.reap() == [good]


def test_each_reason_to_refuse_has_its_own_number(chain: Harness) -> None:
    to = ACCOUNTS[2][0]
    chain.submit(chain.transfer(1, to, 1))
    chain.block()
    cases = [
        (chain.transfer(1, to, 1, nonce=0), NonceTooLow),
        (chain.transfer(1, to, 1, nonce=5000), NonceTooHigh),
        (chain.transfer(1, to, 20_000 * OPEN), InsufficientFunds),
        (chain.transfer(1, to, 1, gas=20_999), IntrinsicGasTooLow),
        (chain.transfer(1, to, 1, gas=30_000_001), GasLimitExceeded),
        (chain.transfer(1, to, 1, max_priority_fee=6 * GWEI), TipAboveFeeCap),
        (b"\x51\x01", ReservedTransaction),
        (b"\x52\x01", ReservedTransaction),
    ]
    for raw, error in cases:
        assert chain.submit(raw).code == error.code, error
    chain.genesis = Harness().genesis.__class__(**(vars(chain.genesis) | {"evm_chain_id": 5}))
    assert chain.submit(chain.transfer(1, to, 1)).code == WrongChainId.code
    assert len(chain.app.mempool) == 0


def test_what_a_sender_can_no_longer_pay_leaves_the_pool_after_the_block(chain: Harness) -> None:
    chain.submit(chain.transfer(1, ACCOUNTS[2][0], 6_000 * OPEN, nonce=0))
    assert chain.submit(chain.transfer(1, ACCOUNTS[2][0], 6_000 * OPEN, nonce=1)).code == InsufficientFunds.code
    other = chain.transfer(1, ACCOUNTS[2][0], 9_000 * OPEN, nonce=1)
    chain.block()
    assert chain.submit(other).code == InsufficientFunds.code


def test_a_recheck_forgets_what_a_block_has_used(chain: Harness) -> None:
    raw = chain.transfer(1, ACCOUNTS[2][0], 1)
    chain.submit(raw)
    chain.block()
    answer = chain.app.check_tx(abci.RequestCheckTx(raw, abci.RECHECK))
    assert answer.code == NonceTooLow.code


def emptied(chain: Harness, more: int) -> tuple[list[bytes], list[bytes]]:
    """Waiting: of one who stakes all that he has and then sends ``more`` that pay best, and of three others."""
    first = chain.nonce(ACCOUNTS[1][0])
    emptying = StakeDelegate(operator_account(0), chain.balance(ACCOUNTS[1][0]) - OPEN // 100)
    raws = [chain.native(1, emptying, max_priority_fee=2 * GWEI)]
    raws += [
        chain.transfer(1, bytes([9] * 20), OPEN // 10, nonce=first + 1 + i, max_priority_fee=2 * GWEI)
        for i in range(more)
    ]
    others = [chain.transfer(n, bytes([9] * 20), 5) for n in (2, 3, 4)]
    assert {chain.submit(raw).code for raw in (*raws, *others)} == {0}
    return raws, others


def test_who_empties_his_account_first_does_not_keep_others_out_of_the_block() -> None:
    """The rest of his queue pays best and is refused. What comes behind takes its room, in the same block."""
    chain = Harness(block_gas_limit=400_000)
    raws, others = emptied(chain, 40)
    txs = chain.propose()
    assert raws[0] in txs
    assert set(others) <= set(txs)
    assert not set(raws[1:]) & set(txs)
    assert chain.judge(txs) == abci.ACCEPT
    chain.finalize(txs)


def test_gas_limits_as_large_as_a_block_do_not_keep_others_out_of_it() -> None:
    chain = Harness(block_gas_limit=150_000)
    greedy = [chain.transfer(n, bytes([9] * 20), 5, gas=150_000, max_priority_fee=2 * GWEI) for n in range(1, 9)]
    modest = chain.transfer(9, bytes([9] * 20), 5)
    assert {chain.submit(raw).code for raw in (*greedy, modest)} == {0}
    txs = chain.propose()
    assert txs == (greedy[0], modest)
    assert chain.judge(txs) == abci.ACCEPT
    chain.finalize(txs)


def test_what_is_pending_is_filled_as_a_proposal_is_behind_a_long_queue_that_would_be_refused() -> None:
    chain = Harness()
    raws, others = emptied(chain, 1_600)
    pending = chain.app.preview(chain.time)().block.transactions
    assert set(pending) & {*raws, *others} == {raws[0], *others}


def test_what_is_pending_fits_the_bytes_of_a_block() -> None:
    chain = Harness(max_block_bytes=64 * 1024, max_slot0_bytes=16 * 1024)
    raws = [chain.transfer(n, bytes([9] * 20), 5, data=bytes(15_000), gas=200_000) for n in range(1, 7)]
    assert {chain.submit(raw).code for raw in raws} == {0}
    pending = [raw for raw in chain.app.preview(chain.time)().block.transactions if raw in raws]
    assert len(pending) == 4

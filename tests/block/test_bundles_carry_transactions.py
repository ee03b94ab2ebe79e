"""Waiting transactions travel in bundles, by CometBFT's flood mempool and by its app mempool; blocks never hold one."""

from __future__ import annotations

import random

import pytest
from harness import ACCOUNTS, Harness

from openledger.abci_app.admission import AT_ONCE, MOST_JUNK
from openledger.abci_app.gossip import (
    FIRST_PAUSE,
    MAX_BUNDLE_BYTES,
    decode_bundle,
    encode_bundle,
    is_bundle,
)
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.protocol import messages as abci
from openledger.primitives.amounts import GWEI, OPEN
from openledger.primitives.codec import encode
from openledger.primitives.errors import (
    AlreadyKnown,
    InsufficientFunds,
    InvalidMsgpack,
    InvalidTransaction,
    MempoolFull,
    NonceTooLow,
    ReservedTransaction,
    TransactionTooLarge,
)

TO = ACCOUNTS[8][0]


def node() -> Harness:
    """A node with somebody to tell."""
    made = Harness()
    made.app.gossip.again()
    return made


@pytest.fixture
def chain() -> Harness:
    return node()


@pytest.fixture
def there() -> Harness:
    """Another node of the same chain."""
    return node()


def test_a_node_alone_keeps_nothing_for_telling() -> None:
    alone = Harness()
    alone.app.admit([alone.transfer(1, TO, 1)])
    assert alone.app.gossip.idle
    alone.app.gossip.again()
    assert not alone.app.gossip.idle


def check(chain: Harness, raw: bytes, kind: int = abci.NEW) -> int:
    return chain.app.check_tx(abci.RequestCheckTx(raw, kind)).code


def told(chain: Harness) -> bytes:
    bundle = chain.app.gossip.next_bundle()
    assert bundle is not None
    return bundle


def test_what_one_node_admits_another_proposes(chain: Harness, there: Harness) -> None:
    raws = [chain.transfer(1, TO, 1, nonce=n) for n in range(5)] + [chain.native(2, DatanetCreate("x"))]
    heard: list[bytes] = []
    there.app.on_heard(heard.append)
    assert chain.app.admit(raws) == [None] * 6
    bundle = told(chain)
    assert is_bundle(bundle)
    assert chain.app.gossip.next_bundle() is None
    assert check(chain, bundle) == check(there, bundle) == 0
    assert sorted(heard) == sorted(raws)
    assert sorted(there.propose(txs=[bundle])) == sorted(raws)


def test_each_transaction_of_a_burst_gets_its_own_answer(chain: Harness) -> None:
    good, low = chain.transfer(1, TO, 1), chain.transfer(2, TO, 1)
    chain.app.admit([low])
    chain.block()
    outcomes = chain.app.admit([good, low, b"\x51\x01", good, chain.native(3, DatanetCreate("x")), b""])
    assert [None if o is None else type(o) for o in outcomes[:5]] == [
        None, NonceTooLow, ReservedTransaction, AlreadyKnown, None,
    ]  # fmt: skip
    assert isinstance(outcomes[5], InvalidTransaction)
    assert chain.app.admit([]) == []


def test_a_bundle_stays_as_long_as_something_in_it_could_be_in_the_next_block(chain: Harness, there: Harness) -> None:
    raws = [chain.transfer(1, TO, 1, nonce=n) for n in range(2)]
    chain.app.admit(raws)
    bundle = told(chain)
    check(there, bundle)
    there.finalize((raws[0],))
    assert check(there, bundle, abci.RECHECK) == 0
    there.finalize((raws[1],))
    assert check(there, bundle, abci.RECHECK) == AlreadyKnown.code


def test_a_bundle_that_comes_after_the_block_with_its_content_rings_no_bell(chain: Harness) -> None:
    raw = chain.transfer(1, TO, 1)
    chain.app.admit([raw])
    bundle = told(chain)
    chain.finalize((raw,))
    assert check(chain, bundle) == AlreadyKnown.code


def test_what_waits_for_a_nonce_rings_no_bell_and_is_told_again_when_it_is_ready(chain: Harness) -> None:
    first, second = (chain.transfer(1, TO, 1, nonce=n) for n in range(2))
    chain.app.admit([second])
    bundle = told(chain)
    assert check(chain, bundle) == 0  # others must hear of it
    chain.block()
    assert check(chain, bundle, abci.RECHECK) == AlreadyKnown.code
    chain.block()
    assert chain.app.gossip.next_bundle() is None
    chain.finalize((first,))
    assert decode_bundle(told(chain)) == [second]


def test_what_no_block_takes_is_told_again_after_longer_and_longer_pauses(chain: Harness) -> None:
    raw = chain.transfer(1, TO, 1)
    chain.app.admit([raw])
    first = told(chain)
    heights = []
    for _ in range(4 * FIRST_PAUSE):
        chain.finalize(())
        if (bundle := chain.app.gossip.next_bundle()) is not None:
            assert decode_bundle(bundle) == [raw]
            assert bundle != first  # CometBFT does not take the same bytes twice
            heights.append(chain.app.head().number)
    assert heights == [FIRST_PAUSE, 3 * FIRST_PAUSE]


def test_a_bundle_that_could_not_be_handed_over_comes_back_first(chain: Harness) -> None:
    one, two = chain.transfer(1, TO, 1), chain.transfer(2, TO, 1)
    chain.app.admit([one])
    bundle = told(chain)
    chain.app.admit([two])
    chain.app.gossip.returned(bundle)
    assert decode_bundle(told(chain)) == [one, two]
    chain.app.gossip.again()
    assert decode_bundle(told(chain)) == [one, two]


def test_a_bundle_that_brings_nothing_new_is_not_passed_on(chain: Harness, there: Harness) -> None:
    chain.app.admit([chain.transfer(1, TO, 1)])
    bundle = told(chain)
    assert check(there, bundle) == 0
    again = encode_bundle(7, decode_bundle(bundle))
    assert check(there, again) == AlreadyKnown.code
    assert there.app.insert_tx(abci.RequestInsertTx(again)).code == 0
    assert there.app.reap_txs(abci.RequestReapTxs()).txs == ()


@pytest.mark.parametrize(
    "content",
    [[], 5, [1], [1, []], [1, [5]], [1, b"x"], [b"", [b"x"]], [1, [b"x"], 2], [1, [b"\x51\x01"]], [1, [b"\x53\x01"]]],
)
def test_a_bundle_that_no_honest_node_makes_is_refused_whole(chain: Harness, content: object) -> None:
    raw = b"\x53" + encode(content)  # type: ignore[arg-type]
    assert check(chain, raw) not in (0, AlreadyKnown.code)
    assert chain.app.insert_tx(abci.RequestInsertTx(raw)).code != 0
    assert len(chain.app.mempool) == 0


def test_one_forged_signature_spoils_a_bundle(chain: Harness) -> None:
    good = chain.transfer(1, TO, 1)
    assert check(chain, encode_bundle(1, [good, good[:-1]])) != 0
    assert len(chain.app.mempool) == 0


def test_a_bundle_of_old_transactions_with_a_new_one_among_them_is_not_passed_on(
    chain: Harness, there: Harness
) -> None:
    old = [chain.transfer(1, TO, 1, nonce=n) for n in range(20)]
    for each in (chain, there):
        each.finalize(tuple(old))
    new = chain.transfer(2, TO, 1)
    padded = encode_bundle(1, [*old, new])
    assert check(there, padded) == AlreadyKnown.code
    assert there.app.mempool.reap() == [new]
    assert decode_bundle(told(there)) == [new]  # told by this node itself
    assert chain.app.insert_tx(abci.RequestInsertTx(padded)).code == 0
    (bundle,) = chain.app.reap_txs(abci.RequestReapTxs()).txs
    assert decode_bundle(bundle) == [new]


def test_a_bundle_full_of_what_nobody_could_have_admitted_is_put_away_early(chain: Harness) -> None:
    good = [chain.transfer(1, TO, 1, nonce=n) for n in range(20)]
    poor = [chain.transfer(2, TO, 20_000 * OPEN, nonce=n) for n in range(MOST_JUNK)]
    assert check(chain, encode_bundle(1, [*good, *poor])) == 0
    assert chain.app.mempool.reap() == good
    more = [chain.transfer(3, TO, 20_000 * OPEN, nonce=n) for n in range(AT_ONCE)]
    last = chain.transfer(4, TO, 1)
    assert check(chain, encode_bundle(2, [*more, last])) == InsufficientFunds.code
    assert last not in chain.app.mempool.reap()  # it was not even looked at


def test_what_nobody_asks_for_does_not_fill_the_memory(chain: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openledger.abci_app.gossip.RELAY_BYTES", 400)
    raws = [chain.transfer(1, TO, 1, nonce=n) for n in range(9)]
    for number, raw in enumerate(raws):
        assert chain.app.insert_tx(abci.RequestInsertTx(encode_bundle(number, [raw]))).code == 0
    bundles = chain.app.reap_txs(abci.RequestReapTxs()).txs
    assert len(bundles) == 4  # three as they came, and one with what the others held
    assert sorted(raw for bundle in bundles for raw in decode_bundle(bundle)) == sorted(raws)


def test_a_bundle_has_a_largest_size(chain: Harness) -> None:
    with pytest.raises(InvalidMsgpack, match="above the limit"):
        decode_bundle(encode_bundle(1, [bytes(MAX_BUNDLE_BYTES + 1000)]))
    raws = [chain.transfer(1, TO, 0, nonce=n, data=bytes(100_000), gas=5_000_000) for n in range(3)]
    assert chain.app.admit(raws) == [None] * 3
    bundles = [told(chain), told(chain), told(chain)]
    assert [decode_bundle(bundle) for bundle in bundles] == [[raw] for raw in raws]


def test_where_blocks_are_small_bundles_and_transactions_are_smaller() -> None:
    small = Harness(max_block_bytes=64 * 1024, max_slot0_bytes=16 * 1024)
    small.app.gossip.again()
    raws = [small.transfer(1, TO, 0, nonce=n, data=bytes(15_000), gas=900_000) for n in range(3)]
    assert small.app.admit(raws) == [None] * 3
    assert [decode_bundle(told(small)) for _ in raws] == [[raw] for raw in raws]
    (refusal,) = small.app.admit([small.transfer(2, TO, 0, data=bytes(16_300), gas=900_000)])
    assert isinstance(refusal, TransactionTooLarge)


def test_a_bundle_in_a_block_is_refused_by_everybody(chain: Harness) -> None:
    chain.app.admit([chain.transfer(1, TO, 1)])
    bundle = told(chain)
    assert chain.judge((bundle,)) == abci.REJECT
    assert bundle not in chain.propose(txs=[bundle])


def test_reap_is_bounded_and_tells_each_transaction_once(chain: Harness, there: Harness) -> None:
    raws = [
        chain.transfer(sender, TO, 0, nonce=n, data=bytes(5_000), gas=500_000) for sender in (1, 2) for n in range(30)
    ]
    chain.app.admit(raws)
    found: list[bytes] = []
    for _ in range(20):
        bundles = chain.app.reap_txs(abci.RequestReapTxs(max_bytes=60_000)).txs
        assert sum(map(len, bundles)) <= 60_000
        for bundle in bundles:
            found += decode_bundle(bundle)
            assert there.app.insert_tx(abci.RequestInsertTx(bundle)).code == 0
    assert sorted(found) == sorted(raws)
    relayed = [raw for b in there.app.reap_txs(abci.RequestReapTxs()).txs for raw in decode_bundle(b)]
    assert sorted(relayed) == sorted(raws)  # CometBFT tells direct neighbours only
    assert there.app.reap_txs(abci.RequestReapTxs()).txs == ()


def test_with_the_app_mempool_we_tell_what_came_to_the_rpc_of_cometbft(chain: Harness) -> None:
    one, two = chain.transfer(1, TO, 1), chain.transfer(2, TO, 1)
    assert check(chain, one) == 0
    assert chain.app.reap_txs(abci.RequestReapTxs()).txs == ()
    assert check(chain, two) == 0
    (bundle,) = chain.app.reap_txs(abci.RequestReapTxs()).txs
    assert decode_bundle(bundle) == [two]


def test_a_full_pool_asks_a_peer_to_come_again(chain: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MempoolFull("txpool is full")

    bundle = encode_bundle(1, [chain.transfer(1, TO, 1)])
    monkeypatch.setattr(chain.app.mempool, "_make_room", full)
    assert chain.app.insert_tx(abci.RequestInsertTx(bundle)).code == 32_000 + MempoolFull.code
    assert check(chain, bundle) == MempoolFull.code


SEEDS = [*range(4), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(4, 400))]


@pytest.mark.parametrize("seed", SEEDS)
def test_random_gossip_between_two_nodes_brings_every_transaction_into_a_block(seed: int) -> None:
    rng = random.Random(seed)
    nodes = [node(), node()]
    nonces, sent = dict.fromkeys(range(6), 0), []
    for _ in range(30):
        here = rng.randrange(2)
        batch = []
        for _ in range(rng.randrange(6)):
            sender = rng.randrange(6)
            batch.append(nodes[here].transfer(sender, TO, 1, nonce=nonces[sender], max_fee=100 * GWEI))
            nonces[sender] += 1
        rng.shuffle(batch)
        assert nodes[here].app.admit(batch) == [None] * len(batch)
        sent += batch
        for one, other in (nodes, nodes[::-1]):
            while rng.random() < 0.8 and (bundle := one.app.gossip.next_bundle()) is not None:
                check(other, bundle)
        txs = nodes[rng.randrange(2)].propose()
        for one in nodes:
            one.finalize(txs)
    for one in nodes:
        one.touched = {TO}
    for _ in range(3):
        for one, other in (nodes, nodes[::-1]):
            while (bundle := one.app.gossip.next_bundle()) is not None:
                check(other, bundle)
        txs = nodes[0].propose()
        for one in nodes:
            one.finalize(txs)
    assert [len(one.app.mempool) for one in nodes] == [0, 0]
    assert nodes[0].app.head() == nodes[1].app.head()
    for one in nodes:
        head = one.app.head().number
        blocks = [one.app.store.block(number) for number in range(1, head + 1)]
        stand = [raw for block in blocks if block for raw in block.transactions if raw in set(sent)]
        assert sorted(stand) == sorted(sent)

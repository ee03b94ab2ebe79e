"""What anybody can send: it is refused or it is paid for; it neither stops a node nor fills its memory nor shuts others
out."""

from __future__ import annotations

import pytest
from harness import ACCOUNTS, Harness

from openledger.abci_app.action import build_native, decode_outbox
from openledger.abci_app.decoder import Decoder, decode_signed
from openledger.abci_app.mempool import Limits, Mempool
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.protocol import messages as abci
from openledger.primitives.amounts import GWEI
from openledger.primitives.codec import encode
from openledger.primitives.errors import (
    AlreadyKnown,
    DecodingError,
    FeeCapTooLow,
    MempoolFull,
    UnknownAction,
    WrongChainId,
)
from openledger.primitives.fields import domain_separator
from openledger.primitives.types import Account, Address
from openledger.state.ports import StateReader

TO = ACCOUNTS[9][0]


@pytest.mark.parametrize("number", ["18446744073709551616", "-1", "9" * 60, "9" * 6000, "x", "1/2", ""])
@pytest.mark.parametrize("name", ["datanet", "model", "session", "claim", "verdicts", "commit"])
def test_a_query_for_an_impossible_number_is_refused(chain: Harness, name: str, number: str) -> None:
    for path in (f"/{name}/{number}", f"/{name}/1/{number}"):
        assert chain.app.query(abci.RequestQuery(path=path)).code != 0


def test_a_query_names_what_is_malformed(chain: Harness) -> None:
    assert chain.app.query(abci.RequestQuery(path="/claim/18446744073709551616")).code == DecodingError.code


def test_the_memory_of_decoded_transactions_is_bounded_in_bytes(chain: Harness) -> None:
    decoder = Decoder(max_bytes=10_000)
    raws = [chain.transfer(1, TO, 1, nonce=n, data=bytes(4000), gas=200_000) for n in range(5)]
    first = [decoder(raw) for raw in raws]
    assert sum(len(raw) for raw in decoder._known) == decoder._bytes <= 10_000
    assert [decoder(raw) for raw in raws] == first


def test_the_memory_of_signing_domains_is_bounded(chain: Harness) -> None:
    for number in range(1, 200):
        raw = build_native(
            ACCOUNTS[1][1], chain_id=number, nonce=0, max_priority_fee=0, max_fee=GWEI, action=DatanetCreate("x")
        )
        assert chain.submit(raw).code == WrongChainId.code
    assert domain_separator.cache_info().currsize <= 64


def test_what_a_log_says_of_an_unknown_kind_does_not_depend_on_the_version_of_python() -> None:
    """Which characters ``repr`` escapes is a matter of Python's Unicode tables, and the log of a failed action stands
    under the receipts root: nodes of two versions would part."""
    with pytest.raises(UnknownAction) as caught:
        decode_outbox(encode(["kind\u00e9", b""]))
    assert caught.value.message.isascii()


# --- the mempool --------------------------------------------------------------------------------------------


class Pool:
    """A small mempool of its own, beside the chain's."""

    def __init__(self, chain: Harness, **limits: int) -> None:
        self.chain = chain
        self.pool = Mempool(chain.state, chain.app.next_base_fee(), Limits(**limits))
        self.context = chain.app._context()

    def add(self, sender: int, nonce: int, tip: int = 0, **fields: int | bytes) -> bytes:
        fields = {"max_fee": 9 * GWEI} | fields
        raw = self.chain.transfer(sender, TO, 1, nonce=nonce, max_priority_fee=tip, **fields)
        self.pool.add(decode_signed(raw), self.context)
        return raw

    def update(self) -> None:
        self.pool.update(self.chain.state, self.chain.app.next_base_fee(), ())


def test_a_pool_full_of_what_can_never_be_taken_does_not_shut_others_out(chain: Harness) -> None:
    pool = Pool(chain, transactions=8, gapped=8)
    for nonce in range(1, 9):
        pool.add(1, nonce, GWEI)
    wanted = [pool.add(2, 0), pool.add(3, 0)]
    assert pool.pool.reap() == wanted
    assert len(pool.pool) == 8


def test_what_waits_for_a_missing_nonce_fills_only_its_part_of_the_pool(chain: Harness) -> None:
    pool = Pool(chain, transactions=8, gapped=3)
    for nonce in (1, 2, 4):
        pool.add(1, nonce)
    with pytest.raises(MempoolFull):
        pool.add(2, 5)
    pool.add(1, 0)
    pool.add(2, 5)
    pool.add(2, 6)
    with pytest.raises(MempoolFull):
        pool.add(2, 7)
    assert len(pool.pool.reap()) == 3


def test_in_a_full_pool_the_better_tip_takes_the_place_of_the_worst(chain: Harness) -> None:
    pool = Pool(chain, transactions=3)
    kept = pool.add(1, 0, 5)
    pool.add(1, 1, 4)
    pool.add(2, 0, 3)
    with pytest.raises(MempoolFull):
        pool.add(3, 0, 3)
    with pytest.raises(MempoolFull):
        pool.add(2, 1, 3)
    third, fourth = pool.add(3, 0, 6), pool.add(4, 0, 7)
    assert pool.pool.reap() == [fourth, third, kept]
    with pytest.raises(AlreadyKnown):
        pool.add(1, 0, 5)


def test_a_large_newcomer_that_cannot_fit_drives_nobody_out(chain: Harness) -> None:
    pool = Pool(chain, bytes=500)
    first, second = pool.add(1, 0, 1), pool.add(2, 0, 5)
    with pytest.raises(MempoolFull):
        pool.add(3, 0, 3, data=bytes(380), gas=60_000)
    assert pool.pool.reap() == [second, first]
    assert pool.pool.reap()[0] == second
    third = pool.add(3, 0, 3, data=bytes(200), gas=60_000)
    assert pool.pool.reap() == [second, third]


def test_a_replacement_keeps_to_the_bytes_of_the_pool(chain: Harness) -> None:
    pool = Pool(chain, bytes=300)
    small = pool.add(1, 0, 1)
    raw = chain.transfer(1, TO, 1, nonce=0, max_fee=10 * GWEI, max_priority_fee=GWEI, data=bytes(400), gas=60_000)
    with pytest.raises(MempoolFull):
        pool.pool.add(decode_signed(raw), pool.context)
    assert pool.pool.reap() == [small]


def test_nothing_waits_for_ever(chain: Harness) -> None:
    pool = Pool(chain, blocks=2)
    pool.add(1, 1)
    pool.update()
    young = pool.add(2, 0)
    pool.update()
    assert len(pool.pool) == 2
    pool.update()
    assert pool.pool.transactions() == [young]


def test_what_can_never_pay_the_floor_of_the_base_fee_does_not_wait(chain: Harness) -> None:
    pool, floor = Pool(chain), chain.genesis.params.base_fee_floor
    pool.pool.update(chain.state, floor, ())
    for max_fee, taken in ((floor - 1, False), (floor, True)):
        raw = chain.transfer(1, TO, 1, nonce=0, max_fee=max_fee, max_priority_fee=0)
        if taken:
            pool.pool.add(decode_signed(raw), pool.context)
        else:
            with pytest.raises(FeeCapTooLow):
                pool.pool.add(decode_signed(raw), pool.context)


class Delegated:
    """The chain's state, in which every account runs somebody's code (EIP-7702)."""

    def __init__(self, state: StateReader) -> None:
        self._state = state

    def account(self, address: Address) -> Account:
        found = self._state.account(address) or Account()
        return Account(found.nonce, found.balance, bytes([7]) * 32)

    def code(self, code_hash: bytes) -> bytes:
        return b"\xef\x01\x00" + bytes(20)


def test_an_account_that_runs_code_may_have_few_transactions_waiting(chain: Harness) -> None:
    pool = Pool(chain, per_delegated=2)
    pool.pool.update(Delegated(chain.state), chain.app.next_base_fee(), None)  # type: ignore[arg-type]
    pool.add(1, 0)
    pool.add(1, 1)
    with pytest.raises(MempoolFull, match="runs code"):
        pool.add(1, 2)
    pool.add(1, 1, 1, max_fee=10 * GWEI)  # one that pays more takes the place of another
    pool.add(2, 0)


def test_a_queue_with_a_hole_in_it_asks_for_no_block(chain: Harness) -> None:
    pool = Pool(chain)
    raws = [pool.add(1, nonce) for nonce in range(3)]
    hashes = [decode_signed(raw).hash for raw in raws]
    assert list(map(pool.pool.is_ready, hashes)) == [True, True, True]
    pool.pool.remove([hashes[1]])
    assert list(map(pool.pool.is_ready, hashes)) == [True, False, False]
    pool.add(1, 1, 5)
    assert pool.pool.is_ready(hashes[2])

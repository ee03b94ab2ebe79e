"""The indexes find exactly what a walk through all blocks finds, and can be made again from the blocks."""

from __future__ import annotations

import random

import pytest

from openledger.primitives.errors import CorruptDatabase
from openledger.primitives.keys import address_of_private_key
from openledger.primitives.transactions import decode_transaction, peek_recipient, sign_transaction
from openledger.primitives.types import Log
from openledger.state import layout, logindex
from openledger.state.logindex import CREATED, account_transactions, creation, sent_at_or_after
from openledger.state.memory import MemoryStore
from openledger.state.reindex import rebuild
from openledger.state.store import StateStore

ADDRESSES = [bytes([n]) * 20 for n in range(1, 5)]
TOPICS = [bytes([n]) * 32 for n in range(1, 6)]
SECRETS = [bytes([n]) * 32 for n in (7, 8)]
INDEX_TABLES = (layout.BLOCK_HASH, layout.TRANSACTION, layout.HAS_LOGS, layout.LOGS, layout.BY_ACCOUNT)


def random_log(rng: random.Random) -> Log:
    return Log(rng.choice(ADDRESSES), tuple(rng.choices(TOPICS, k=rng.randrange(5))), b"")


def fill(chain, rng: random.Random, blocks: int) -> list[list[Log]]:
    made = []
    for _ in range(blocks):
        logs = [random_log(rng) for _ in range(rng.choice((0, 0, 0, 1, 2, 6)))]
        chain.add(logs=logs)
        made.append(logs)
    return made


def walk(made, first, last, addresses, topics):
    """The slow way."""
    for number, logs in enumerate(made):
        for place, log in enumerate(logs):
            if not first <= number <= last or (addresses and log.address not in addresses):
                continue
            if len(topics) > len(log.topics):
                continue
            if all(not want or topic in want for want, topic in zip(topics, log.topics, strict=False)):
                yield number, 0, place, log


def random_query(rng: random.Random):
    addresses = rng.sample(ADDRESSES, rng.choice((0, 0, 1, 2)))
    topics = [rng.sample(TOPICS, rng.choice((0, 1, 1, 2))) or None for _ in range(rng.randrange(5))]
    first = rng.randrange(60)
    return first, rng.randrange(first, 70), addresses, topics


def dump(store: StateStore) -> list[tuple[bytes, bytes]]:
    return [pair for table in INDEX_TABLES for pair in store.kv.iterate(table, layout.after(table))]


@pytest.mark.parametrize("few", [100, 1])
def test_every_query_finds_what_a_walk_through_all_blocks_finds(make_chain, monkeypatch, few):
    monkeypatch.setattr(logindex, "MAX_STREAMS", few)
    rng = random.Random(few)
    chain = make_chain()
    made = fill(chain, rng, 60)
    found = 0
    for _ in range(400):
        first, last, addresses, topics = random_query(rng)
        expected = list(walk(made, first, last, addresses, topics))
        assert list(chain.store.logs(first, last, addresses, topics)) == expected
        found += len(expected)
    assert found > 1000


def test_a_rolled_back_block_leaves_no_entry(chain):
    rng = random.Random(2)
    fill(chain, rng, 10)
    before = dump(chain.store)
    chain.add(logs=[random_log(rng) for _ in range(5)])
    assert dump(chain.store) != before
    chain.store.rollback()
    assert dump(chain.store) == before


def test_rebuilt_indexes_are_the_same_and_a_half_rebuilt_one_does_not_open(make_chain):
    kv = MemoryStore()
    chain = make_chain(StateStore(kv))
    fill(chain, random.Random(3), 40)
    before, told = dump(chain.store), []
    kv.write([(layout.LOGS + b"\x00rubbish", b"")], [before[0][0], before[-1][0]])
    blocks, entries = rebuild(kv, lambda done, whole: told.append((done, whole)))
    assert dump(chain.store) == before
    assert (blocks, entries) == (40, len(before))
    assert told[-1] == (40, 40)

    class Full(Exception):
        pass

    def fail(_done, _whole):
        raise Full

    kv_write = kv.write
    kv.write = lambda puts, deletes=(), **named: fail(0, 0) if len(puts) > 1 else kv_write(puts, deletes, **named)
    with pytest.raises(Full):
        rebuild(kv)
    kv.write = kv_write
    with pytest.raises(CorruptDatabase, match="half rebuilt"):
        StateStore(kv)
    rebuild(kv)
    assert dump(StateStore(kv)) == before


def test_a_header_without_its_block_keeps_its_place_in_the_index(make_chain):
    kv = MemoryStore()
    chain = make_chain(StateStore(kv))
    fill(chain, random.Random(5), 5)
    digest = chain.store.block_hash(2)
    number = layout.height_key(2)
    kv.write([], [layout.BODY + number, layout.RECEIPTS + number])
    rebuild(kv)
    assert StateStore(kv).block_number(digest) == 2
    kv.write([], [layout.RECEIPTS + layout.height_key(3)])
    with pytest.raises(CorruptDatabase, match="block 3 cannot be read"):
        rebuild(kv)


def test_a_database_without_blocks_is_not_rebuilt():
    with pytest.raises(CorruptDatabase, match="no blocks"):
        rebuild(MemoryStore())


def test_a_long_search_can_be_ended(chain):
    fill(chain, random.Random(4), 30)

    class Late(Exception):
        pass

    def late():
        raise Late

    with pytest.raises(Late):
        list(chain.store.logs(0, 30, look=late))


def signed(secret: bytes, nonce: int, to: bytes | None, **fields) -> bytes:
    return sign_transaction(secret, chain_id=1, nonce=nonce, to=to, max_fee=1, **fields)


@pytest.mark.parametrize("to", [ADDRESSES[0], None])
@pytest.mark.parametrize("nonce", [0, 5, 2**40])
def test_the_recipient_is_read_without_decoding(to, nonce):
    raw = signed(SECRETS[0], nonce, to, data=b"\x01" * 300, gas=2**33)
    assert peek_recipient(raw) == to == decode_transaction(raw).to


def test_the_recipient_of_other_types_is_read_too():
    parts = "85028fa6ae00825208948888f1f195afa192cfee860698584c030f4c9db101808026a0"
    legacy = bytes.fromhex("f863" + "80" + parts)
    assert peek_recipient(legacy) == bytes.fromhex("8888f1f195afa192cfee860698584c030f4c9db1")
    assert peek_recipient(b"\x01" + bytes.fromhex("f88082025580" + parts)) is not None
    for raw in (b"", b"\x51abc", b"\x50abc", b"\x02", b"\xf8", b"\x02\xf8\x01\x01", b"\xff" * 4):
        assert peek_recipient(raw) is None


def test_an_accounts_transactions_are_listed_both_ways(chain):
    """Senders in this fixture are the zero address; recipients are real."""
    sender = bytes(20)
    chain.add()
    for nonce in range(3):
        to = ADDRESSES[nonce % 2]
        chain.add(transactions=[b"\x51s", signed(SECRETS[0], nonce, to), signed(SECRETS[1], nonce, sender)])
    kv = chain.store.kv
    assert list(account_transactions(kv, ADDRESSES[0], 0)) == [(1, 1), (3, 1)]
    assert list(account_transactions(kv, ADDRESSES[0], 2, reverse=True)) == [(1, 1)]
    mine = [(n, i) for n in (1, 2, 3) for i in (0, 1, 2)]
    assert list(account_transactions(kv, sender, 1)) == mine
    assert list(account_transactions(kv, sender, 3, reverse=True))[:-1] == mine[::-1]
    assert list(account_transactions(kv, address_of_private_key(SECRETS[0]), 0)) == []
    assert list(account_transactions(kv, sender, 0, kinds=(CREATED,)))
    assert creation(kv, sender) == (3, 2)
    assert creation(kv, ADDRESSES[0]) is None
    assert sent_at_or_after(kv, sender, 2) == (2, 0)
    assert sent_at_or_after(kv, sender, 4) is None

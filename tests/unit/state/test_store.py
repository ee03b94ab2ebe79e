import random
import threading

import pytest
import rlp
from trie import HexaryTrie

from openledger.primitives.errors import CorruptDatabase, StatePruned, StorageError, UnknownBlock, WrongDataFolder
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import Account, Log
from openledger.state.commitment import InconsistentDiff
from openledger.state.leveldb import LevelDbStore
from openledger.state.memory import MemoryStore
from openledger.state.overlay import Overlay
from openledger.state.ports import Diff
from openledger.state.store import StateStore

M = bytes(18) + b"\x08\x00"
ADDRESSES = [bytes([i]) * 20 for i in range(1, 9)]


def random_writes(rng):
    def write(o):
        if o.account(M) is None:
            o.set_account(M, Account(1))
        for _ in range(rng.randrange(1, 8)):
            address = rng.choice(ADDRESSES)
            kind = rng.random()
            if kind < 0.25:
                o.add_balance(address, rng.randrange(1, 10**20))
            elif kind < 0.5 and o.account(address) is not None:
                o.set_storage(address, rng.choice((0, 1, 2, 2**255, rng.randrange(40))), rng.choice((0, 0, 1, 2**200)))
            elif kind < 0.6:
                o.set_account(address, None)
            elif kind < 0.7:
                code = rng.randbytes(4)
                o.set_account(address, Account(1, 3, o.set_code(code)))
            elif kind < 0.95:
                key = rng.choice((b"a", b"a\x00", b"a\x00\x01", b"a\xff", b"b%d" % rng.randrange(9)))
                o.set_record(M, key, rng.choice((None, b"", b"one", rng.randbytes(40))))

    return write


def everything(reader):
    accounts = {a: reader.account(a) for a in [*ADDRESSES, M]}
    slots = {(a, s): reader.storage(a, s) for a in ADDRESSES for s in [*range(40), 2**255]}
    flags = {a: reader.has_storage(a) for a in ADDRESSES}
    records = [list(reader.records(M, p, s)) for p, s in ((b"", b""), (b"a", b""), (b"a\x00", b""), (b"b", b"b4"))]
    codes = {a: reader.code(v.code_hash) for a, v in accounts.items() if v}
    return accounts, slots, flags, records, codes


def reference_root(store):
    """State root by py-trie from what readers say."""
    state = HexaryTrie({})
    reader = store.reader()
    for address in [*ADDRESSES, M]:
        account = reader.account(address)
        if account is None:
            continue
        storage = HexaryTrie({})
        slots = [*range(40), 2**255]
        if address == M:
            slots = [int.from_bytes(keccak256(k), "big") for k, _ in reader.records(M, b"")]
        for slot in slots:
            value = reader.storage(address, slot)
            if value:
                storage[keccak256(slot.to_bytes(32, "big"))] = rlp.encode(value)
        leaf = [account.nonce, account.balance, storage.root_hash, account.code_hash]
        state[keccak256(address)] = rlp.encode(leaf)
    return state.root_hash


@pytest.mark.parametrize("seed", range(5))
def test_any_past_height_reads_as_it_was_and_rollback_returns_there(make_chain, seed):
    rng = random.Random(seed)
    chain = make_chain()
    seen = []
    pinned = []
    for _ in range(25):
        chain.add(random_writes(rng))
        assert chain.store.head().state_root == reference_root(chain.store)
        pinned.append(chain.store.reader())
        seen.append(everything(pinned[-1]))
        chain.store.verify()
    for height, expected in enumerate(seen):
        assert everything(chain.store.reader(height)) == expected
        assert everything(pinned[height]) == expected
    while chain.store.height > 10:
        chain.store.rollback()
        assert everything(chain.store.reader()) == seen[chain.store.height]
        chain.store.verify()
    for height in range(11):
        assert everything(chain.store.reader(height)) == seen[height]
    chain.add(random_writes(rng))
    chain.store.verify()


def test_proofs_hold_at_head_and_in_the_window(make_chain):
    rng = random.Random(3)
    chain = make_chain()
    for _ in range(140):
        chain.add(random_writes(rng))
    store = chain.store
    assert store.oldest_proof() == store.height - 128
    for height in (store.height, store.height - 1, store.height - 60, store.height - 128):
        root, reader = store.header(height).state_root, store.reader(height)
        for address in [*ADDRESSES, M, b"\x77" * 20]:
            proof = store.proof(address, [0, 1, 2**255], height)
            leaf = HexaryTrie.get_from_proof(root, keccak256(address), [rlp.decode(n) for n in proof.account_proof])
            account = reader.account(address)
            assert proof.account == account
            if account is None:
                assert leaf == b""
                assert proof.storage == [(0, 0, []), (1, 0, []), (2**255, 0, [])]
                continue
            assert leaf == rlp.encode([account.nonce, account.balance, proof.storage_root, account.code_hash])
            for slot, value, nodes in proof.storage:
                path = keccak256(slot.to_bytes(32, "big"))
                assert value == reader.storage(address, slot)
                if not nodes:
                    assert value == 0
                    continue
                found = HexaryTrie.get_from_proof(proof.storage_root, path, [rlp.decode(n) for n in nodes])
                assert found == (rlp.encode(value) if value else b"")
    with pytest.raises(StatePruned, match=f"the oldest with proofs is {store.height - 128}"):
        store.proof(M, [], store.height - 129)
    with pytest.raises(UnknownBlock):
        store.proof(M, [], store.height + 1)


def test_a_native_record_is_proved_as_a_storage_slot(chain):
    def write(o):
        o.set_account(M, Account(1))
        o.set_record(M, b"datanet/1", b"record")

    chain.add(write)
    slot = int.from_bytes(keccak256(b"datanet/1"), "big")
    [(_, value, nodes)] = chain.store.proof(M, [slot]).storage
    assert value == int.from_bytes(keccak256(b"record"), "big")
    assert nodes


def test_pruning_keeps_the_window_and_names_the_oldest_height(make_chain):
    rng = random.Random(1)
    chain = make_chain(StateStore(MemoryStore(), archive=False, keep=5))
    seen = []
    for _ in range(30):
        chain.add(random_writes(rng))
        seen.append(everything(chain.store.reader()))
    for height in range(24, 30):
        assert everything(chain.store.reader(height)) == seen[height]
    with pytest.raises(StatePruned, match="the oldest kept is 24"):
        chain.store.reader(23)
    for _ in range(5):
        chain.store.rollback()
    with pytest.raises(StatePruned):
        chain.store.rollback()
    assert everything(chain.store.reader()) == seen[24]


def test_prune_drops_old_history_of_an_archive_and_nothing_else(make_chain):
    rng = random.Random(2)
    chain = make_chain()
    seen = []
    for _ in range(60):
        chain.add(random_writes(rng))
        seen.append(everything(chain.store.reader()))
    store, late, pinned = chain.store, chain.store.reader(58), chain.store.reader(30)
    head = store.reader()
    prepared = store.prepare(Diff())
    assert store.prune(100) == 0
    assert store.prune(9) == 50
    assert store.prune(20) == store.oldest_state() == store.oldest_proof() == 50
    assert everything(head) == seen[59]
    assert everything(late) == seen[58]
    for height in range(50, 60):
        assert everything(store.reader(height)) == seen[height]
        store.proof(M, [], height)
    with pytest.raises(StatePruned, match="the oldest kept is 50"):
        store.reader(49)
    with pytest.raises(StatePruned, match="state of block 30 is pruned, the oldest kept is 50"):
        pinned.account(M)
    with pytest.raises(StatePruned):
        list(pinned.records(M, b""))
    with pytest.raises(StatePruned, match="the oldest kept is 50"):
        store.proof(M, [], 49)
    store.verify()
    tables = {key[:1] for key, _ in store.kv.iterate(b"A", b"T") if int.from_bytes(key[-8:], "big") <= 50}
    assert tables == set()
    assert next(store.kv.iterate(b"d", b"e"))[0] == b"d" + (51).to_bytes(8, "big")
    assert prepared.generation == store.generation
    assert StateStore(store.kv).oldest_state() == 50
    assert store.block(3) is not None
    for _ in range(9):
        store.rollback()
    assert everything(store.reader()) == seen[50]
    with pytest.raises(StatePruned):
        store.rollback()


def test_preparing_twice_writes_nothing_and_a_stale_state_is_refused(chain, seal):
    chain.add(lambda o: o.add_balance(ADDRESSES[0], 5))
    store = chain.store
    one, two = Overlay(store.reader()), Overlay(store.reader())
    one.add_balance(ADDRESSES[1], 1)
    two.add_balance(ADDRESSES[2], 1)
    before = list(store.kv.iterate(b"", None))
    first, second = store.prepare(one.diff()), store.prepare(two.diff())
    assert first.state_root != second.state_root
    assert list(store.kv.iterate(b"", None)) == before
    store.commit(seal(store, first), first, one.diff())
    with pytest.raises(StorageError, match="another head"):
        store.commit(seal(store, second), second, two.diff())


def test_storage_without_an_account_stops_the_program(chain):
    with pytest.raises(InconsistentDiff):
        chain.store.prepare(Diff(storage={(ADDRESSES[0], 1): 1}))


def test_an_empty_block_rests_the_root(chain):
    chain.add(lambda o: o.add_balance(ADDRESSES[0], 5))
    root = chain.store.head().state_root
    chain.add()
    assert chain.store.head().state_root == root


def test_blocks_receipts_and_indexes_are_found(chain):
    log = Log(ADDRESSES[0], (b"\x01" * 32, b"\x02" * 32), b"data")
    other = Log(ADDRESSES[1], (b"\x01" * 32,), b"")
    chain.add()
    block = chain.add(logs=(log, other), transactions=[b"\x51a", b"\x02b"], meta={"note": b"x"})
    chain.add()
    store = chain.store
    assert store.block(1) == block
    assert store.block_by_hash(block.hash) == block
    assert store.block_hash(1) == block.hash == store.recent_hashes(2)(1)
    assert store.recent_hashes(1)(1) is None
    assert store.recent_hashes(300)(1) is None
    assert store.transaction(keccak256(b"\x02b")) == (1, 1)
    assert store.transaction(bytes(32)) is None
    assert store.receipts(1) == block.receipts
    assert (store.block(3), store.block(-1), store.block_by_hash(bytes(32)), store.header(9)) == (None,) * 4
    assert store.meta("note") == b"x"
    assert list(store.logs(0, 99)) == [(1, 0, 0, log), (1, 0, 1, other)]
    assert list(store.logs(0, 99, [ADDRESSES[1]])) == [(1, 0, 1, other)]
    assert list(store.logs(0, 99, [], [None, [b"\x02" * 32, b"\x05" * 32]])) == [(1, 0, 0, log)]
    assert list(store.logs(0, 99, [], [[b"\x05" * 32]])) == []
    assert list(store.logs(2, 99)) == []
    assert len(list(store.logs(0, 99, limit=1))) == 1
    store.rollback()
    store.rollback()
    assert list(store.logs(0, 99)) == []
    assert store.transaction(keccak256(b"\x02b")) is None
    assert store.block_by_hash(block.hash) is None


def test_a_data_folder_of_another_chain_is_refused(chain):
    chain.store.bind("one-1", b"genesis")
    chain.store.bind("one-1", b"genesis")
    with pytest.raises(WrongDataFolder, match="belongs to chain one-1"):
        chain.store.bind("two-2", b"genesis")
    with pytest.raises(WrongDataFolder, match="another genesis"):
        chain.store.bind("one-1", b"other")
    unbound = StateStore(MemoryStore())
    unbound.kv.write([(b"mchain_id", b"x")])
    with pytest.raises(WrongDataFolder, match="another version"):
        unbound.bind("one-1", b"genesis")


def test_a_data_folder_of_the_version_before_is_refused_with_what_to_do(chain):
    """Its records of models have a field less: every call that reads one would fail, and a block that closes one."""
    chain.store.bind("one-1", b"genesis")
    chain.store.note("format", b"2")
    with pytest.raises(WrongDataFolder, match="another version") as refused:
        chain.store.bind("one-1", b"genesis")
    assert "devnet --fresh" in refused.value.hint


def test_heights_that_do_not_exist_are_unknown(chain):
    assert chain.store.head() is None
    assert chain.store.reader().account(M) is None
    with pytest.raises(UnknownBlock):
        chain.store.reader(0)
    chain.add()
    for height in (1, -1):
        with pytest.raises(UnknownBlock):
            chain.store.reader(height)
    with pytest.raises(StatePruned):
        chain.store.rollback()


@pytest.mark.parametrize("table", [b"a", b"s", b"r", b"t", b"u", b"c"])
def test_verify_names_damage_in_every_table(chain, table):
    def write(o):
        o.set_account(M, Account(1, 0, o.set_code(b"\xfe")))
        for i in range(20):
            o.set_record(M, b"k%d" % i, b"v")
            o.add_balance(bytes([i + 1]) * 20, 10**19)

    chain.add(write)
    report = chain.store.verify()
    assert (report.height, report.accounts, report.slots, report.records) == (0, 21, 20, 20)
    key, _ = next(chain.store.kv.iterate(table, table + b"\xff"))
    chain.store.kv.write([], [key])
    with pytest.raises(CorruptDatabase):
        chain.store.verify()


def test_leveldb_reopens_with_the_same_head(make_chain, tmp_path):
    chain = make_chain(StateStore(LevelDbStore(tmp_path / "db")))
    rng = random.Random(5)
    for _ in range(10):
        chain.add(random_writes(rng))
    head, seen = chain.store.head(), everything(chain.store.reader(4))
    chain.store.close()
    store = StateStore(LevelDbStore(tmp_path / "db"))
    assert store.head() == head
    assert everything(store.reader(4)) == seen
    store.verify()
    store.close()


def test_readers_in_other_threads_keep_their_height(chain):
    def write(o):
        if o.account(M) is None:
            o.set_account(M, Account(1))
        height = chain.store.height + 1
        for i in range(20):
            o.set_record(M, b"k%02d" % i, b"%d" % height)
        o.set_account(ADDRESSES[0], Account(height))

    chain.add(write)
    wrong, done = [], threading.Event()

    def read():
        while not done.is_set():
            reader = chain.store.reader()
            values = {value for _, value in reader.records(M, b"")} | {b"%d" % reader.account(ADDRESSES[0]).nonce}
            if values != {b"%d" % reader.height}:
                wrong.append((reader.height, values))

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(60):
        chain.add(write)
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_diff_that_was_not_prepared_is_refused(chain, seal):
    overlay = Overlay(chain.store.reader())
    overlay.add_balance(ADDRESSES[0], 1)
    prepared = chain.store.prepare(overlay.diff())
    block = seal(chain.store, prepared)
    with pytest.raises(StorageError, match="another diff"):
        chain.store.commit(block, prepared, Diff())
    chain.store.commit(block, prepared, overlay.diff())
    assert chain.store.height == 0


def test_archive_wins_over_keep(make_chain):
    chain = make_chain(StateStore(MemoryStore(), archive=True, keep=1))
    for _ in range(5):
        chain.add(lambda o: o.add_balance(ADDRESSES[0], 1))
    assert chain.store.reader(0).account(ADDRESSES[0]) == Account(0, 1)

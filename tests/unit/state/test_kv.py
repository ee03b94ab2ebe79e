import random
import sys

import pytest

from openledger.primitives.errors import CorruptDatabase, DatabaseLocked, MissingExtra, StorageError
from openledger.state.leveldb import LevelDbStore
from openledger.state.memory import MemoryStore


def test_memory_and_leveldb_agree(tmp_path):
    rng = random.Random(1)
    memory, disk = MemoryStore(), LevelDbStore(tmp_path / "db")
    for _ in range(60):
        size = rng.choice((1, 5, 80))
        puts = {rng.randbytes(rng.randrange(1, 3)): rng.randbytes(3) for _ in range(size)}
        deletes = [k for k in (rng.randbytes(1) for _ in range(size)) if k not in puts]
        for kv in (memory, disk):
            kv.write(list(puts.items()), deletes, sync=False)
        start, stop = rng.randbytes(1), rng.choice((None, rng.randbytes(2)))
        for reverse in (False, True):
            assert list(memory.iterate(start, stop, reverse=reverse)) == list(
                disk.iterate(start, stop, reverse=reverse)
            )
        key = rng.randbytes(1)
        assert memory.get(key) == disk.get(key)
    memory.close()
    disk.close()
    disk.close()


def test_an_iterator_is_a_snapshot(tmp_path):
    for kv in (MemoryStore(), LevelDbStore(tmp_path / "db")):
        kv.write([(b"a", b"1"), (b"b", b"2")])
        pairs = kv.iterate(b"", None)
        assert next(pairs) == (b"a", b"1")
        kv.write([(b"aa", b"3"), (b"b", b"4")], [b"a"])
        assert list(pairs) == [(b"b", b"2")]
        kv.close()


def test_a_second_opening_is_refused(tmp_path):
    first = LevelDbStore(tmp_path / "db")
    with pytest.raises(DatabaseLocked):
        LevelDbStore(tmp_path / "db")
    first.close()
    LevelDbStore(tmp_path / "db").close()


def test_damage_is_named(tmp_path):
    store = LevelDbStore(tmp_path / "db")
    store.write([(b"a", b"1")])
    store.close()
    (tmp_path / "db" / "CURRENT").write_text("nonsense")
    with pytest.raises(CorruptDatabase):
        LevelDbStore(tmp_path / "db")


def test_a_database_without_its_current_file_is_not_begun_anew(tmp_path):
    db = LevelDbStore(tmp_path / "db")
    db.write([(b"a", b"1")])
    db.close()
    (tmp_path / "db" / "CURRENT").rename(tmp_path / "kept")
    with pytest.raises(CorruptDatabase, match="CURRENT"):
        LevelDbStore(tmp_path / "db")
    (tmp_path / "kept").rename(tmp_path / "db" / "CURRENT")
    db = LevelDbStore(tmp_path / "db")
    assert db.get(b"a") == b"1"
    db.close()


def test_a_first_opening_that_was_cut_off_is_done_again(tmp_path):
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "MANIFEST-000001").write_bytes(b"")
    LevelDbStore(tmp_path / "db").close()


def test_without_plyvel_the_hint_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "plyvel", None)
    with pytest.raises(MissingExtra) as caught:
        LevelDbStore(tmp_path / "db")
    assert "openledger-node[node]" in caught.value.hint


def test_a_small_memory_gives_the_same_answers(tmp_path):
    small = LevelDbStore(tmp_path / "db", cache_bytes=1024, write_buffer_bytes=64 * 1024, open_files=16)
    rng = random.Random(3)
    wanted = {}
    for _ in range(40):
        puts = {rng.randbytes(8): rng.randbytes(200) for _ in range(50)}
        small.write(list(puts.items()), sync=False)
        wanted |= puts
    small.compact()
    assert list(small.iterate(b"", None)) == sorted(wanted.items())
    assert all(small.get(key) == value for key, value in wanted.items())
    small.close()


@pytest.mark.parametrize(("said", "words"), [("No space left on device", "make room"), ("Read-only file", "read-only")])
def test_a_disk_that_takes_nothing_is_said_with_what_to_do(tmp_path, monkeypatch, said, words):
    import plyvel

    def refuses(*_, **__):
        raise plyvel.IOError(f"IO error: {tmp_path}/LOCK: {said}".encode())

    monkeypatch.setattr(plyvel, "DB", refuses)
    with pytest.raises(StorageError, match=said) as refused:
        LevelDbStore(tmp_path / "state")
    assert words in refused.value.hint

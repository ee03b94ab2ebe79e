import gzip
import json
import random
import threading

import pytest

from openledger.primitives.errors import InvalidExport, StatePruned
from openledger.primitives.types import Account
from openledger.state.export import export_header, export_page, read_export, state_entries, write_export
from openledger.state.memory import MemoryStore
from openledger.state.store import StateStore

M = bytes(18) + b"\x08\x00"
ADDRESSES = [bytes([i]) * 20 for i in range(1, 9)]


def random_writes(rng):
    def write(o):
        if o.account(M) is None:
            o.set_account(M, Account(1))
        for _ in range(12):
            address, kind = rng.choice(ADDRESSES), rng.random()
            if kind < 0.4:
                o.add_balance(address, rng.randrange(1, 10**20))
            elif kind < 0.7 and o.account(address) is not None:
                for _ in range(rng.choice((1, 30))):
                    o.set_storage(address, rng.choice((0, 2**256 - 1, rng.randrange(60))), rng.choice((0, 1, 2**255)))
            elif kind < 0.75:
                o.set_account(address, None)
            elif kind < 0.8:
                o.set_account(address, Account(1, 3, o.set_code(rng.randbytes(4))))
            else:
                key = rng.choice((b"a", b"a\x00", b"a\x00\x01", b"a\xff", b"", b"b%d" % rng.randrange(9)))
                o.set_record(M, key, rng.choice((None, b"", rng.randbytes(40))))

    return write


def save(store, path, height=None):
    reader = store.reader(height)
    header = export_header(store.header(reader.height), "one-1", 7)
    return write_export(path, header, (line for _, line in state_entries(reader)))


def rewrite(path, change):
    """Change the lines of an export, leaving a well formed file."""
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    change(lines)
    path.write_bytes(gzip.compress(b"".join(json.dumps(line).encode() + b"\n" for line in lines)))


@pytest.fixture
def grown(chain):
    rng = random.Random(4)
    for _ in range(12):
        chain.add(random_writes(rng))
    return chain.store


def test_the_state_of_any_height_is_exported_and_proves_itself(grown, tmp_path, monkeypatch):
    monkeypatch.setattr("openledger.state.export.SLOTS_PER_LINE", 7)
    for height in range(grown.height + 1):
        counts = save(grown, tmp_path / "file", height)
        found = read_export(tmp_path / "file")
        assert (found.height, found.state_root) == (height, grown.header(height).state_root)
        assert (found.chain_id, found.evm_chain_id, found.block_hash) == ("one-1", 7, grown.block_hash(height))
        reader = grown.reader(height)
        assert found.records.get(M, {}) == dict(reader.records(M, b""))
        for address in ADDRESSES:
            account, there = reader.account(address), found.accounts.get(address)
            if account is None:
                assert there is None
                continue
            assert (there.nonce, there.balance, there.code) == (
                account.nonce, account.balance, reader.code(account.code_hash)
            )  # fmt: skip
            assert all(reader.storage(address, slot) == value for slot, value in there.storage.items())
        assert counts.accounts == len(found.accounts)
    save(grown, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "file").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again", "file"]


@pytest.mark.parametrize("limit", [1, 3, 1000])
@pytest.mark.parametrize("height", [5, 11])
def test_pages_together_are_the_whole_state(grown, monkeypatch, limit, height):
    monkeypatch.setattr("openledger.state.export.SLOTS_PER_LINE", 5)
    whole = [line for _, line in state_entries(grown.reader(height))]
    pages, cursor = [], b""
    while cursor is not None:
        lines, cursor = export_page(grown.reader(height), cursor, limit)
        assert 0 < len(lines) <= limit
        pages += lines
    assert pages == whole
    monkeypatch.setattr("openledger.state.export.PAGE_BYTES", 1)
    assert len(export_page(grown.reader(height), b"", 1000)[0]) == 1


def test_an_export_is_of_its_height_while_blocks_are_committed(grown, make_chain, tmp_path):
    chain, rng = make_chain(grown), random.Random(9)
    save(grown, tmp_path / "before")
    height, reader = grown.height, grown.reader()
    done = threading.Event()

    def commit():
        while not done.is_set():
            chain.add(random_writes(rng))

    thread = threading.Thread(target=commit)
    thread.start()
    try:
        for _ in range(10):
            lines = (line for _, line in state_entries(reader))
            write_export(tmp_path / "during", export_header(grown.header(height), "one-1", 7), lines)
            assert (tmp_path / "during").read_bytes() == (tmp_path / "before").read_bytes()
    finally:
        done.set()
        thread.join()


def test_a_pruned_height_is_named(make_chain):
    chain = make_chain(StateStore(MemoryStore(), archive=False, keep=3))
    for _ in range(9):
        chain.add(lambda o: o.add_balance(ADDRESSES[0], 1))
    with pytest.raises(StatePruned, match="oldest kept is 5"):
        chain.store.reader(4)


def first_account(lines):
    return next(line for line in lines if "account" in line)


CHANGES = {
    "another balance": lambda lines: first_account(lines).update(balance="7"),
    "a negative balance": lambda lines: first_account(lines).update(balance="-7"),
    "a balance that is no number": lambda lines: first_account(lines).update(balance="x"),
    "an address too short": lambda lines: first_account(lines).update(account="0x12"),
    "an account twice": lambda lines: lines.insert(2, first_account(lines)),
    "a line less": lambda lines: lines.pop(3),
    "a slot beyond 256 bits": lambda lines: next(x for x in lines if "slots" in x)["slots"].update(
        {hex(2**256): "0x1"}
    ),
    "slots of nobody": lambda lines: next(x for x in lines if "slots" in x).update(of="0x" + "77" * 20),
    "a record changed": lambda lines: lines[-2].update(record=[*lines[-2]["record"][:2], "0x1234"]),
    "a record of nobody": lambda lines: lines[-2].update(record=["0x" + "77" * 20, "0x", "0x"]),
    "a record with four parts": lambda lines: lines[-2]["record"].append("0x"),
    "no end": lambda lines: lines.pop(),
    "a line after the end": lambda lines: lines.append({}),
    "another end": lambda lines: lines[-1]["end"].update(slots=0),
    "an unknown line": lambda lines: lines.insert(1, {"what": 1}),
    "another version": lambda lines: lines[0].update(version=1),
    "another format": lambda lines: lines[0].update(format="x"),
    "no height": lambda lines: lines[0].pop("height"),
    "another root": lambda lines: lines[0].update(state_root="0x" + "00" * 32),
    "no lines": lambda lines: lines.clear(),
    "a line that is a list": lambda lines: lines.insert(1, []),
}


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_anything_else_than_the_whole_state_is_refused(grown, tmp_path, change):
    save(grown, tmp_path / "file")
    rewrite(tmp_path / "file", CHANGES[change])
    with pytest.raises(InvalidExport):
        read_export(tmp_path / "file")


def test_a_cut_file_and_no_file_are_named(grown, tmp_path):
    save(grown, tmp_path / "file")
    whole = (tmp_path / "file").read_bytes()
    for size in (0, 5, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut").write_bytes(whole[:size])
        with pytest.raises(InvalidExport):
            read_export(tmp_path / "cut")
    (tmp_path / "text").write_text("hello")
    for name in ("text", "missing"):
        with pytest.raises(InvalidExport):
            read_export(tmp_path / name)


def test_an_export_that_breaks_off_leaves_no_file(grown, tmp_path):
    def lines():
        yield {"account": "0x" + "01" * 20, "nonce": 0, "balance": "1"}
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_export(tmp_path / "file", {}, lines())
    assert list(tmp_path.iterdir()) == []

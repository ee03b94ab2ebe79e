"""A node with no more than genesis takes in a snapshot: from honest peers, from liars, and killed in the middle."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openledger.abci_app.application import Application
from openledger.abci_app.modules.staking.delegate import StakeDelegate
from openledger.abci_app.ports import Silence
from openledger.abci_app.protocol import messages as abci
from openledger.abci_app.registry import PRECOMPILES
from openledger.abci_app.statesync import DISK_FACTOR, DISK_MARGIN, LAG
from openledger.evm.predeploys import CREATE2_DEPLOYER_ADDRESS, HISTORY_ADDRESS, HISTORY_WINDOW
from openledger.evm.pyevm import PyEvmEngine
from openledger.primitives.amounts import GWEI, OPEN
from openledger.primitives.blocks import Header
from openledger.primitives.codec import encode
from openledger.primitives.errors import StatePruned, StateRestoring
from openledger.state import layout
from openledger.state import snapshot_format as form
from openledger.state.memory import MemoryStore
from openledger.state.ports import KeyValue
from openledger.state.snapshots import SnapshotShelf
from openledger.state.store import StateStore
from tests.harness import ACCOUNTS, Harness, operator_account

INIT_CODE = bytes.fromhex("600160005560026001556003600255600a6014600039600a6000f3") + bytes(10)
"""Three slots, and some code."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Harness:
    """A chain with a datanet, a model, a session, contracts with storage, and an idle block at the end."""
    chain = Harness()
    chain.app.statesync._shelf = SnapshotShelf(tmp_path_factory.mktemp("source"))
    chain.publish()
    chain.settle()
    for number in range(3):
        salt = number.to_bytes(32, "big")
        raw = chain.transfer(0, CREATE2_DEPLOYER_ADDRESS, 0, data=salt + INIT_CODE, gas=400_000)
        assert chain.submit(raw).code == 0
        assert chain.include(raw).status == 1
    for number in range(30):
        assert chain.submit(chain.transfer(1, bytes([7] * 19 + [number]), GWEI)).code == 0
    chain.block()
    return chain


def shelf_of(chain: Harness) -> SnapshotShelf:
    shelf = chain.app.statesync._shelf
    assert shelf is not None
    return shelf


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form, "CHUNK_BYTES", 1500)


@pytest.fixture
def offered(source: Harness, small: None) -> tuple[Harness, form.Manifest]:
    shelf = shelf_of(source)
    for manifest in shelf.list():
        shelf.delete(manifest.height)
    assert source.submit(source.transfer(1, bytes([7] * 20), GWEI)).code == 0
    source.block()
    return source, shelf.create(source.kv.view())


def newcomer(source: Harness, kv: KeyValue | None = None) -> Application:
    store = StateStore(kv or MemoryStore())
    return Application(source.genesis, store, PyEvmEngine(precompiles=dict(PRECOMPILES)), Silence())


def offer(app: Application, manifest: form.Manifest, **changed: Any) -> int:
    raw = manifest.encode()
    fields: dict[str, Any] = {
        "height": manifest.height, "format": form.FORMAT, "chunks": len(manifest.chunks), "hash": manifest.hash,
        "metadata": raw,
    }  # fmt: skip
    app_hash = changed.pop("app_hash", manifest.state_root)
    return app.offer_snapshot(abci.RequestOfferSnapshot(abci.Snapshot(**(fields | changed)), app_hash)).result


def feed(
    app: Application, chunk: Callable[[int], bytes], count: int, sender: str = "peer"
) -> abci.ResponseApplySnapshotChunk:
    """All chunks in order, until one is not accepted."""
    answer = abci.ResponseApplySnapshotChunk(0)
    for index in range(count):
        answer = app.apply_snapshot_chunk(abci.RequestApplySnapshotChunk(index, chunk(index), sender))
        if answer.result != abci.CHUNK_ACCEPT:
            break
    return answer


def load(source: Harness, manifest: form.Manifest) -> Callable[[int], bytes]:
    def chunk(index: int) -> bytes:
        request = abci.RequestLoadSnapshotChunk(manifest.height, form.FORMAT, index)
        return source.app.load_snapshot_chunk(request).chunk

    return chunk


def join(source: Harness, manifest: form.Manifest, kv: KeyValue | None = None) -> Application:
    app = newcomer(source, kv)
    assert offer(app, manifest) == abci.OFFER_ACCEPT
    assert feed(app, load(source, manifest), len(manifest.chunks)).result == abci.CHUNK_ACCEPT
    return app


def flat(kv: KeyValue, tables: bytes = b"asrctubny") -> dict[bytes, bytes]:
    return {key: value for table in tables for key, value in kv.iterate(bytes([table]), layout.after(bytes([table])))}


# --- good days ------------------------------------------------------------------------------------------------------


def test_a_restored_node_has_the_same_state_the_same_tries_and_goes_on_to_the_same_hashes(
    offered: tuple[Harness, form.Manifest],
) -> None:
    source, manifest = offered
    assert len(manifest.chunks) > 5
    app = join(source, manifest)
    assert app.info(abci.RequestInfo("", 0, 0, "")).last_block_height == manifest.height
    assert app.info(abci.RequestInfo("", 0, 0, "")).last_block_app_hash == manifest.state_root
    assert flat(app.store.kv, b"asrctu") == flat(source.kv, b"asrctu")
    app.store.verify()
    first = len(source.requests)
    for number in range(3):
        assert source.submit(source.transfer(2, bytes([8] * 20), number + 1)).code == 0
        source.block()
    source.block()
    for request in source.requests[first:]:
        app.finalize_block(request)
        app.commit()
    assert app.head() == source.app.head()
    app.store.verify()


def test_two_nodes_make_byte_equal_snapshots_also_one_that_joined_by_a_snapshot(
    offered: tuple[Harness, form.Manifest], tmp_path: Path
) -> None:
    source, manifest = offered
    app = join(source, manifest)
    again = SnapshotShelf(tmp_path)
    assert again.create(app.store.kv.view()) == manifest
    assert list(again.raw_chunks(manifest.height)) == list(shelf_of(source).raw_chunks(manifest.height))


def test_the_last_block_is_whole_and_older_ones_are_not_there(offered: tuple[Harness, form.Manifest]) -> None:
    source, manifest = offered
    app = join(source, manifest)
    ours, theirs = app.store.block(manifest.height), source.app.store.block(manifest.height)
    assert ours is not None
    assert theirs is not None
    assert dataclasses.replace(ours, consensus=b"") == dataclasses.replace(theirs, consensus=b"")
    assert app.store.block(manifest.height - 1) is None
    assert app.store.block(0) == source.app.store.block(0)
    assert app.store.header(manifest.height - 1) == source.app.store.header(manifest.height - 1)
    assert app.store.oldest_block() == manifest.height
    with pytest.raises(StatePruned, match=f"oldest kept is {manifest.height}"):
        app.state(manifest.height - 1)
    with pytest.raises(StatePruned):
        next(app.replay(manifest.height))
    with pytest.raises(StatePruned):
        app.store.rollback()


def test_a_restored_node_rolls_back_inside_what_it_has(offered: tuple[Harness, form.Manifest]) -> None:
    source, manifest = offered
    app = join(source, manifest)
    first = len(source.requests)
    source.submit(source.transfer(2, bytes([9] * 20), 5))
    source.block()
    source.block()
    for request in source.requests[first:]:
        app.finalize_block(request)
        app.commit()
    assert app.store.rollback().number == manifest.height + 1
    assert app.store.rollback().number == manifest.height
    app.store.verify()
    with pytest.raises(StatePruned):
        app.store.rollback()


def test_snapshots_too_young_for_a_light_client_are_not_shown(offered: tuple[Harness, form.Manifest]) -> None:
    source, manifest = offered
    while source.app.head().number < manifest.height + LAG:
        assert source.app.list_snapshots().snapshots == ()
        source.block()
    shown = source.app.list_snapshots().snapshots
    assert [(s.height, s.format, s.chunks, s.hash) for s in shown] == [
        (manifest.height, form.FORMAT, len(manifest.chunks), manifest.hash)
    ]
    assert (
        source.app.load_snapshot_chunk(abci.RequestLoadSnapshotChunk(manifest.height, form.FORMAT - 1, 0)).chunk == b""
    )
    assert (
        source.app.load_snapshot_chunk(abci.RequestLoadSnapshotChunk(manifest.height, form.FORMAT, 10**6)).chunk == b""
    )


def test_idle_blocks_at_the_end_whose_hashes_are_not_in_state_yet_are_taken(
    offered: tuple[Harness, form.Manifest], tmp_path: Path
) -> None:
    source, _ = offered
    for _ in range(3):
        source.block()
    shelf_of(source).create(source.kv.view())
    manifest = shelf_of(source).list()[0]
    assert manifest.height == source.app.head().number
    app = join(source, manifest)
    first = len(source.requests)
    source.submit(source.transfer(2, bytes([6] * 20), 5))
    source.block()
    app.finalize_block(source.requests[first])
    app.commit()
    assert app.head() == source.app.head()


@pytest.mark.parametrize("change", ["a validator is away", "the validator set moves"])
def test_a_snapshot_is_taken_whose_last_blocks_changed_the_state_without_any_transaction(
    tmp_path: Path, change: str
) -> None:
    source = Harness(powers=(10, 10, 10, 5))
    source.app.statesync._shelf = SnapshotShelf(tmp_path)
    assert source.submit(source.transfer(1, bytes([7] * 20), GWEI)).code == 0
    source.block()
    if change == "a validator is away":
        source.absent = {source.addresses[3]}
    else:
        assert source.act(3, StakeDelegate(operator_account(0), 3 * OPEN)).status == 1
    roots = set()
    for _ in range(3):
        source.block()
        roots.add(source.app.head().state_root)
    assert len(roots) > 1, "nothing has changed the state"
    app = join(source, shelf_of(source).create(source.kv.view()))
    first = len(source.requests)
    source.block()
    app.finalize_block(source.requests[first])
    app.commit()
    assert app.head() == source.app.head()


# --- offers that are refused ----------------------------------------------------------------------------------------


def test_offers_of_another_app_hash_chain_format_or_height_are_refused(
    offered: tuple[Harness, form.Manifest],
) -> None:
    source, manifest = offered
    app = newcomer(source)
    assert offer(app, manifest, app_hash=bytes(32)) == abci.OFFER_REJECT
    assert offer(app, dataclasses.replace(manifest, state_root=bytes(32)), app_hash=manifest.state_root) == (
        abci.OFFER_REJECT
    )
    assert offer(app, dataclasses.replace(manifest, chain_id="other-1")) == abci.OFFER_REJECT
    assert offer(app, dataclasses.replace(manifest, genesis=bytes(32))) == abci.OFFER_REJECT
    assert offer(app, manifest, format=form.FORMAT - 1) == abci.OFFER_REJECT_FORMAT
    assert offer(app, manifest, height=manifest.height + 1) == abci.OFFER_REJECT_SENDER
    assert offer(app, manifest, chunks=1) == abci.OFFER_REJECT_SENDER
    assert offer(app, manifest, hash=bytes(32)) == abci.OFFER_REJECT_SENDER
    for garbage in (b"", b"\x90", b"\xc1", b"\xdd\xff\xff\xff\xff", manifest.encode()[:-1], manifest.encode() + b"\0"):
        assert offer(app, manifest, metadata=garbage) == abci.OFFER_REJECT_SENDER
    assert app.head().number == 0
    assert app.apply_snapshot_chunk(abci.RequestApplySnapshotChunk(0, b"", "x")).result == abci.CHUNK_ABORT


def with_disk(source: Harness, free: Callable[[], int]) -> Application:
    app = newcomer(source)
    app.statesync._free = free
    return app


def test_a_snapshot_that_would_fill_the_disk_or_cannot_fit_its_chunks_is_refused_when_it_is_offered(
    offered: tuple[Harness, form.Manifest], caplog: pytest.LogCaptureFixture
) -> None:
    source, manifest = offered
    needed = DISK_FACTOR * manifest.size + DISK_MARGIN
    assert offer(with_disk(source, lambda: needed), manifest) == abci.OFFER_ACCEPT
    assert offer(with_disk(source, lambda: needed - 1), manifest) == abci.OFFER_REJECT
    assert f"it needs about {needed:,} bytes of disk, and {needed - 1:,} are free" in caplog.text
    most = len(manifest.chunks) * form.MAX_CHUNK_BYTES
    assert offer(newcomer(source), dataclasses.replace(manifest, size=most)) == abci.OFFER_ACCEPT
    assert offer(newcomer(source), dataclasses.replace(manifest, size=most + 1)) == abci.OFFER_REJECT
    assert "do not fit" in caplog.text


def test_a_snapshot_is_given_up_before_a_chunk_that_the_disk_has_no_room_for(
    offered: tuple[Harness, form.Manifest],
) -> None:
    source, manifest = offered
    answers = iter([1 << 40, 1 << 40, 1 << 40, DISK_MARGIN])
    app = with_disk(source, lambda: next(answers))
    assert offer(app, manifest) == abci.OFFER_ACCEPT
    chunk = load(source, manifest)
    results = [app.apply_snapshot_chunk(abci.RequestApplySnapshotChunk(i, chunk(i), "a")).result for i in range(3)]
    assert results == [abci.CHUNK_ACCEPT, abci.CHUNK_ACCEPT, abci.CHUNK_REJECT_SNAPSHOT]
    assert flat(app.store.kv, b"asr") == flat(newcomer(source).store.kv, b"asr"), "genesis and nothing else"


def test_no_more_bytes_are_taken_than_the_manifest_declares(
    offered: tuple[Harness, form.Manifest], caplog: pytest.LogCaptureFixture
) -> None:
    """Garbage accounts behind a small declared size are refused with the chunk that has too much, not at the end."""
    source, manifest = offered
    small = dataclasses.replace(manifest, size=4_000)
    app = newcomer(source)
    assert offer(app, small) == abci.OFFER_ACCEPT
    taken = []

    def chunk(index: int) -> bytes:
        taken.append(index)
        return load(source, manifest)(index)

    assert feed(app, chunk, len(manifest.chunks)).result == abci.CHUNK_REJECT_SNAPSHOT
    assert len(taken) < 4 < len(manifest.chunks)
    assert "more than the 4000 bytes its manifest says" in caplog.text


def test_a_node_that_has_blocks_takes_no_snapshot(offered: tuple[Harness, form.Manifest]) -> None:
    source, manifest = offered
    assert offer(source.app, manifest) == abci.OFFER_ABORT


# --- bad chunks -----------------------------------------------------------------------------------------------------


def test_a_bad_chunk_is_fetched_again_and_its_sender_is_rejected(offered: tuple[Harness, form.Manifest]) -> None:
    source, manifest = offered
    app, good = newcomer(source), load(source, manifest)
    assert offer(app, manifest) == abci.OFFER_ACCEPT
    bad = (b"", b"garbage", good(0)[:-3], good(0) + b"x", good(1), form.compress(b"\xc0"), bytes(16_000_001))
    for chunk in (*bad, form.compress(bytes(form.MAX_CHUNK_BYTES + 1))):
        answer = app.apply_snapshot_chunk(abci.RequestApplySnapshotChunk(0, chunk, "liar"))
        assert (answer.result, answer.refetch_chunks, answer.reject_senders) == (abci.CHUNK_RETRY, (0,), ("liar",))
    assert app.apply_snapshot_chunk(abci.RequestApplySnapshotChunk(3, good(3), "a")).result == abci.CHUNK_RETRY
    assert feed(app, good, len(manifest.chunks)).result == abci.CHUNK_ACCEPT
    assert app.head().number == manifest.height


def forged(
    source: Harness, manifest: form.Manifest, change: Callable[[list[form.Entry]], list[form.Entry]]
) -> tuple[form.Manifest, list[bytes]]:
    """A snapshot whose hashes all fit, with other entries."""
    entries = [e for raw in shelf_of(source).raw_chunks(manifest.height) for e in form.unpack_chunk(raw)]
    changed = change(entries)
    raws = [form.pack_chunk(batch) for batch in form.chunks(iter(changed))]
    counts = {table: sum(1 for key, _ in changed if key[:1] == table) for table in (b"a", b"b", b"c", b"r", b"s")}
    made = form.Manifest(
        manifest.chain_id, manifest.genesis, manifest.height, manifest.state_root, *counts.values(),
        sum(len(k) + len(v) for k, v in changed), tuple(hashlib.sha256(raw).digest() for raw in raws),
    )  # fmt: skip
    return made, [form.compress(raw) for raw in raws]


def table_of(letter: bytes) -> Callable[[form.Entry], bool]:
    return lambda entry: entry[0][:1] == letter


def replace_first(letter: bytes, value: Callable[[bytes], bytes], last: bool = False) -> Any:
    def change(entries: list[form.Entry]) -> list[form.Entry]:
        at = [i for i, entry in enumerate(entries) if table_of(letter)(entry)][-1 if last else 0]
        return [*entries[:at], (entries[at][0], value(entries[at][1])), *entries[at + 1 :]]

    return change


def without(letter: bytes) -> Any:
    def change(entries: list[form.Entry]) -> list[form.Entry]:
        at = next(i for i, entry in enumerate(entries) if table_of(letter)(entry))
        return entries[:at] + entries[at + 1 :]

    return change


def with_header(**changed: Any) -> Callable[[bytes], bytes]:
    return lambda raw: dataclasses.replace(Header.decode(raw), **changed).encode()


def with_receipts(raw: bytes, **changed: int) -> bytes:
    """A last block whose receipts all have another type or cumulative gas."""
    transactions, receipts = form.unpack_block(raw)
    for receipt in receipts:
        receipt[0] = changed.get("type", receipt[0])
        receipt[2] = changed.get("gas", receipt[2])
    return encode([transactions, receipts])


FORGERIES: dict[str, Any] = {
    "a richer account": replace_first(b"a", lambda v: v[:9] + OPEN.to_bytes(32, "big") + v[41:]),
    "an account in a longer form": replace_first(b"a", lambda v: v + bytes(32)),
    "a short account": replace_first(b"a", lambda v: v[:20]),
    "an account less": without(b"a"),
    "a header that does not follow": replace_first(b"b", with_header(timestamp=1)),
    "a header less": without(b"b"),
    "a header that is none": replace_first(b"b", lambda v: b"\xc0"),
    "a header that is no list": replace_first(b"b", lambda v: b"\x00"),
    "a header of no bytes": replace_first(b"b", lambda v: b""),
    "a header that is cut off": replace_first(b"b", lambda v: v[:-1]),
    "a header with a long field": replace_first(b"b", with_header(bloom=b"")),
    "a last header with another gas": replace_first(b"b", with_header(gas_used=1), last=True),
    "another code": replace_first(b"c", lambda v: v + b"\x00"),
    "a code less": without(b"c"),
    "another record": replace_first(b"r", lambda v: v + b"\x00"),
    "a record less": without(b"r"),
    "another slot": replace_first(b"s", lambda v: b"\x05"),
    "a slot of zero": replace_first(b"s", lambda v: b""),
    "a slot with leading zeros": replace_first(b"s", lambda v: b"\x00" + v),
    "a slot less": without(b"s"),
    "no last block": without(b"y"),
    "a last block without transactions": replace_first(b"y", lambda v: b"\x92\x90\x90"),
    "a last block that is none": replace_first(b"y", lambda v: b"\x01"),
    "a receipt of a type beyond one byte": replace_first(b"y", lambda v: with_receipts(v, type=300)),
    "a receipt that uses less than the one before": replace_first(b"y", lambda v: with_receipts(v, gas=0)),
    "an unknown table": lambda entries: [*entries, (b"z", b"")],
    "a table of tries": lambda entries: [*entries[:-1], (b"t", b""), entries[-1]],
    "entries out of order": lambda entries: [entries[1], entries[0], *entries[2:]],
    "an entry twice": lambda entries: [entries[0], *entries],
    "a record of no module": lambda entries: sorted([*entries, (b"r" + bytes(20) + b"x", b"y")]),
    "storage of no account": lambda entries: sorted([*entries, (b"s" + bytes(52), b"\x01")]),
    "an empty key": lambda entries: [(b"", b""), *entries],
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_snapshot_is_rejected_and_an_honest_one_is_taken_after_it(
    offered: tuple[Harness, form.Manifest], name: str
) -> None:
    source, manifest = offered
    made, packed = forged(source, manifest, FORGERIES[name])
    app = newcomer(source)
    before = flat(app.store.kv)
    assert offer(app, made) == abci.OFFER_ACCEPT
    answer = feed(app, packed.__getitem__, len(packed), "liar")
    assert (answer.result, answer.reject_senders) == (abci.CHUNK_REJECT_SNAPSHOT, ("liar",))
    assert flat(app.store.kv) == before
    assert app.head().number == 0
    assert offer(app, manifest) == abci.OFFER_ACCEPT
    assert feed(app, load(source, manifest), len(manifest.chunks)).result == abci.CHUNK_ACCEPT
    app.store.verify()


def test_headers_that_state_knows_cannot_be_forged_even_when_they_are_linked(
    offered: tuple[Harness, form.Manifest],
) -> None:
    source, manifest = offered

    def change(entries: list[form.Entry]) -> list[form.Entry]:
        """Other times in all headers, linked anew."""
        parent, out = b"", []
        for key, value in entries:
            if key[:1] == b"b" and int.from_bytes(key[1:], "big"):
                header = dataclasses.replace(Header.decode(value), parent_hash=parent)
                header = dataclasses.replace(header, timestamp=header.timestamp + 1)
                value, parent = header.encode(), header.hash
            elif key[:1] == b"b":
                parent = Header.decode(value).hash
            out.append((key, value))
        return out

    made, packed = forged(source, manifest, change)
    app = newcomer(source)
    assert offer(app, made) == abci.OFFER_ACCEPT
    assert feed(app, packed.__getitem__, len(packed)).result == abci.CHUNK_REJECT_SNAPSHOT
    known = app.state().storage(HISTORY_ADDRESS, 1 % HISTORY_WINDOW)
    assert known == 0  # genesis again


# --- in the middle --------------------------------------------------------------------------------------------------


def test_while_a_snapshot_comes_in_there_is_no_state_and_a_node_killed_then_starts_clean(
    offered: tuple[Harness, form.Manifest],
) -> None:
    source, manifest = offered
    kv = MemoryStore()
    app, good = newcomer(source, kv), load(source, manifest)
    old = app.state()
    clean = flat(kv)
    assert offer(app, manifest) == abci.OFFER_ACCEPT
    assert feed(app, good, len(manifest.chunks) - 1).result == abci.CHUNK_ACCEPT
    assert app.info(abci.RequestInfo("", 0, 0, "")).last_block_height == 0
    with pytest.raises(StateRestoring):
        app.state()
    with pytest.raises(StateRestoring):
        old.account(ACCOUNTS[0][0])
    killed = kv.view()
    again = newcomer(source, killed)
    assert flat(killed) == clean
    assert again.head().number == 0
    assert offer(again, manifest) == abci.OFFER_ACCEPT
    assert feed(again, good, len(manifest.chunks)).result == abci.CHUNK_ACCEPT
    again.store.verify()
    last = app.apply_snapshot_chunk(
        abci.RequestApplySnapshotChunk(len(manifest.chunks) - 1, good(len(manifest.chunks) - 1), "")
    )
    assert last.result == abci.CHUNK_ACCEPT
    assert app.head() == again.head()
    with pytest.raises(StatePruned):
        old.account(ACCOUNTS[0][0])


def test_a_last_header_that_named_nodes_do_not_have_is_rejected(offered: tuple[Harness, form.Manifest]) -> None:
    source, manifest = offered
    true = source.app.head().hash
    for said, result in (
        ([], abci.CHUNK_ACCEPT),
        ([bytes(32), true], abci.CHUNK_ACCEPT),
        ([bytes(32)], abci.CHUNK_REJECT_SNAPSHOT),
    ):
        engine = PyEvmEngine(precompiles=dict(PRECOMPILES))
        app = Application(source.genesis, StateStore(MemoryStore()), engine, Silence(), ask=lambda number, x=said: x)  # type: ignore[misc]
        assert offer(app, manifest) == abci.OFFER_ACCEPT
        assert feed(app, load(source, manifest), len(manifest.chunks)).result == result


def test_the_consensus_engine_may_drop_old_blocks_but_not_those_that_snapshots_stand_on(tmp_path: Path) -> None:
    chain = Harness()
    chain.app._keep_blocks = 3
    chain.app.statesync._shelf = shelf = SnapshotShelf(tmp_path)
    retained = []
    commit = chain.app.commit

    def remember() -> abci.ResponseCommit:
        answer = commit()
        retained.append(answer.retain_height)
        return answer

    chain.app.commit = remember  # type: ignore[method-assign]
    for number in range(1, 13):
        chain.block()
        if number == 6:
            shelf.create(chain.kv.view())
    assert retained == [0, 0, 0, 1, 2, 3, 4, 5, 6, 6, 6, 6]

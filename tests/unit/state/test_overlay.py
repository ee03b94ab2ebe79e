import random

import pytest

from openledger.primitives.errors import InsufficientFunds
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import Account
from openledger.state.memory import MemoryStore
from openledger.state.overlay import Overlay
from openledger.state.ports import Diff
from openledger.state.store import StateStore

A, B, M = b"\xaa" * 20, b"\xbb" * 20, b"\x08" * 20


@pytest.fixture
def empty():
    return StateStore(MemoryStore()).reader()


@pytest.fixture
def base(chain):
    def write(o):
        o.set_account(A, Account(1, 100))
        o.set_storage(A, 1, 11)
        o.set_storage(A, 2, 22)
        o.set_account(M, Account(1))
        for i in range(6):
            o.set_record(M, b"k%d" % i, b"v%d" % i)

    chain.add(write)
    return chain.store.reader()


def test_unchanged_writes_leave_no_diff(base):
    o = Overlay(base)
    o.set_account(A, Account(1, 100))
    o.set_storage(A, 1, 5)
    o.set_storage(A, 1, 11)
    o.set_record(M, b"k1", b"v1")
    assert o.diff() == Diff()
    assert o.diff().is_empty


def test_a_record_is_also_a_storage_slot(empty):
    o = Overlay(empty)
    o.set_record(M, b"key", b"value")
    slot = int.from_bytes(keccak256(b"key"), "big")
    assert o.storage(M, slot) == int.from_bytes(keccak256(b"value"), "big")
    o.set_record(M, b"key", None)
    assert o.storage(M, slot) == 0
    assert o.record(M, b"key") is None


def test_records_merge_own_and_parent_in_order(base):
    o = Overlay(base)
    o.set_record(M, b"k0a", b"new")
    o.set_record(M, b"k2", None)
    o.set_record(M, b"k4", b"changed")
    o.set_record(M, b"k9", b"last")
    o.set_record(M, b"z", b"other prefix")
    assert [k for k, _ in o.records(M, b"k")] == [b"k0", b"k0a", b"k1", b"k3", b"k4", b"k5", b"k9"]
    assert list(o.records(M, b"k", b"k4")) == [(b"k4", b"changed"), (b"k5", b"v5"), (b"k9", b"last")]
    assert list(Overlay(o).records(M, b"z")) == [(b"z", b"other prefix")]


def test_deleting_an_account_clears_its_storage_and_recreation_starts_empty(base, chain):
    o = Overlay(base)
    assert o.has_storage(A)
    o.set_account(A, None)
    assert not o.has_storage(A)
    assert o.storage(A, 1) == 0
    o.set_account(A, Account(1, 5))
    o.set_storage(A, 3, 33)
    diff = o.diff()
    assert diff.wiped == {A}
    assert diff.storage == {(A, 3): 33}
    again = Overlay(base)
    again.apply(diff)
    assert (again.storage(A, 1), again.storage(A, 3)) == (0, 33)
    assert again.diff() == diff


def test_rollback_of_a_deletion_restores_storage(base):
    o = Overlay(base)
    o.set_storage(A, 1, 7)
    mark = o.checkpoint()
    o.set_account(A, None)
    o.set_account(A, Account(9))
    o.set_storage(A, 1, 8)
    o.rollback(mark)
    assert (o.storage(A, 1), o.storage(A, 2), o.account(A)) == (7, 22, Account(1, 100))


def test_balances(empty):
    o = Overlay(empty)
    o.add_balance(A, 0)
    assert o.account(A) is None
    o.add_balance(A, 5)
    with pytest.raises(InsufficientFunds):
        o.sub_balance(A, 6)
    o.sub_balance(A, 5)
    assert o.account(A) is None
    o.bump_nonce(B)
    assert o.account(B) == Account(1)
    with pytest.raises(ValueError):
        o.add_balance(A, -1)
    with pytest.raises(ValueError):
        o.sub_balance(A, -1)


def test_code_is_found_by_its_hash(empty):
    o = Overlay(empty)
    code_hash = o.set_code(b"\xfe")
    assert Overlay(o).code(code_hash) == b"\xfe"
    assert o.code(keccak256(b"")) == b""


def test_a_closed_checkpoint_is_an_error(empty):
    o = Overlay(empty)
    mark = o.checkpoint()
    o.commit(mark)
    with pytest.raises(IndexError):
        o.commit(mark)
    with pytest.raises(IndexError):
        o.rollback(mark)


def view(o):
    slots = {(a, s): o.storage(a, s) for a in (A, B) for s in range(4)}
    return {a: o.account(a) for a in (A, B)}, slots, dict(o.records(M, b""))


@pytest.mark.parametrize("seed", range(20))
def test_nested_checkpoints_behave_like_copies(base, seed):
    rng = random.Random(seed)
    o = Overlay(base)
    open_marks = []
    for _ in range(300):
        choice = rng.random()
        if choice < 0.12:
            open_marks.append((o.checkpoint(), view(o)))
        elif choice < 0.2 and open_marks:
            at = rng.randrange(len(open_marks))
            mark, before = open_marks[at]
            del open_marks[at:]
            o.rollback(mark)
            assert view(o) == before
        elif choice < 0.26 and open_marks:
            at = rng.randrange(len(open_marks))
            o.commit(open_marks[at][0])
            del open_marks[at:]
        elif choice < 0.5:
            o.set_storage(rng.choice((A, B)), rng.randrange(4), rng.randrange(3))
        elif choice < 0.7:
            o.set_account(rng.choice((A, B)), rng.choice((None, Account(1, rng.randrange(3)))))
        else:
            o.set_record(M, b"k%d" % rng.randrange(8), rng.choice((None, b"x", b"y")))
    diff = o.diff()
    flat = Overlay(base)
    flat.apply(diff)
    visible, expected = view(flat), view(o)
    assert visible[0] == expected[0]
    assert visible[2] == expected[2]
    for (address, slot), value in expected[1].items():
        if o.account(address) is not None:
            assert visible[1][address, slot] == value

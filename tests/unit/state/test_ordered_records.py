"""Records of an overlay in key order: the same as a plain walk of all of them, for the price of what is asked."""

import copy
import pickle
import random
import time

import pytest

from openledger.primitives.types import Account
from openledger.state.memory import MemoryStore
from openledger.state.ordered import OrderedRecords
from openledger.state.overlay import Overlay
from openledger.state.store import StateStore

M, N = b"\x08" * 20, b"\x09" * 20
LETTERS = (b"", b"a", b"b", b"ab", b"\x00", b"\xff", b"\xff\xff", b"a\xff", b"/")


def some_key(rng):
    return b"".join(rng.choices(LETTERS, k=3))


def plain_walk(held, prefix, start):
    return [(k, v) for k, v in sorted(held.items()) if k.startswith(prefix) and k >= start]


@pytest.fixture
def base(chain):
    def write(o):
        o.set_account(M, Account(1))
        rng = random.Random(1)
        for _ in range(40):
            o.set_record(M, some_key(rng), b"beneath")

    chain.add(write)
    return chain.store.reader()


class Twin:
    """An overlay, and beside it what it should hold: a copy of everything at each checkpoint."""

    def __init__(self, parent, held):
        self.overlay = Overlay(parent)
        self.held = dict(held)
        self.marks = []

    def step(self, rng):
        choice = rng.random()
        if choice < 0.1:
            self.marks.append((self.overlay.checkpoint(), dict(self.held)))
        elif choice < 0.16 and self.marks:
            at = rng.randrange(len(self.marks))
            mark, self.held = self.marks[at]
            del self.marks[at:]
            self.overlay.rollback(mark)
        elif choice < 0.2 and self.marks:
            at = rng.randrange(len(self.marks))
            self.overlay.commit(self.marks[at][0])
            del self.marks[at:]
        else:
            key, value = some_key(rng), rng.choice((None, b"x", b"y"))
            self.overlay.set_record(M, key, value)
            self.overlay.set_record(N, key, b"another module's")
            self.held.pop(key, None)
            if value is not None:
                self.held[key] = value

    def check(self, rng):
        prefix, start = rng.choice(LETTERS), rng.choice((b"", some_key(rng)))
        assert list(self.overlay.records(M, prefix, start)) == plain_walk(self.held, prefix, start)


@pytest.mark.parametrize("seed", range(10))
def test_any_writes_deletes_and_reverts_read_as_a_plain_walk_of_all_records_does(base, seed):
    rng = random.Random(seed)
    below = Twin(base, dict(base.records(M, b"")))
    for _ in range(150):
        below.step(rng)
        below.check(rng)
    above = Twin(below.overlay, below.held)
    for _ in range(150):
        above.step(rng)
        above.check(rng)
    below.overlay.apply(above.overlay.diff())
    assert list(below.overlay.records(M, b"")) == plain_walk(above.held, b"", b"")
    again = Overlay(base)
    again.apply(below.overlay.diff())
    assert list(again.records(M, b"")) == plain_walk(above.held, b"", b"")


def test_writes_while_iterating_are_not_seen(base):
    o = Overlay(base)
    for key in (b"new1", b"new2", b"new3"):
        o.set_record(M, key, b"v")
    before = list(o.records(M, b""))
    seen = []
    for key, value in o.records(M, b""):
        seen.append((key, value))
        o.set_record(M, key, None)
        o.set_record(M, key + b"behind", b"later")
    assert seen == before


def test_what_came_and_went_within_a_block_is_walked_by_nobody():
    o = Overlay(StateStore(MemoryStore()).reader())
    mark = o.checkpoint()
    for i in range(500):
        o.set_record(M, b"rank%d" % i, b"v")
        o.set_record(M, b"rank%d" % i, None)
    (own,) = o._records.values()
    assert own.between(b"rank") == []
    assert not o.diff().records
    o.set_record(M, b"rank", b"v")
    o.rollback(mark)
    assert list(o.records(M, b"")) == []


def test_a_range_costs_what_it_holds_and_not_what_the_block_has_written():
    held = OrderedRecords()
    for i in range(20_000):
        held[b"key%06d" % ((i * 7919) % 20_000)] = b"v"

    def took(action):
        begin = time.process_time()
        for _ in range(5):
            action()
        return time.process_time() - begin

    few = b"key0100"
    assert held.between(few) == plain_walk(held, few, b"")
    indexed = min(took(lambda: held.between(few)) for _ in range(3))
    plain = min(took(lambda: sorted((k, v) for k, v in held.items() if k.startswith(few))) for _ in range(3))
    assert indexed * 10 < plain


def test_records_that_go_to_another_process_are_the_same_there():
    """Calls on pending state are computed elsewhere; an overlay's log still names the records that it undoes."""
    records = OrderedRecords()
    records[b"b"], records[b"a"], records[b"c"] = b"1", b"2", None
    there, [(named, *_)] = pickle.loads(pickle.dumps((records, [(records, b"a", None)])))
    assert named is there
    assert there.between(b"") == copy.deepcopy(records).between(b"") == [(b"a", b"2"), (b"b", b"1"), (b"c", None)]
    del there[b"b"]
    there[b"aa"] = b"3"
    assert there.between(b"") == [(b"a", b"2"), (b"aa", b"3"), (b"c", None)]

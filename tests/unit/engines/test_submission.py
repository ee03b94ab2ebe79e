"""What a sender waits for: one judgement for all that arrive together, one fsync for all that wait, and no
acknowledgement without it."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from openledger.node.engines.handing import Handing
from openledger.node.engines.submission import Submission
from openledger.node.pool_journal import PoolJournal
from openledger.primitives.errors import (
    AlreadyKnown,
    ConsensusFault,
    NodeUnreachable,
    NotStored,
    StateRestoring,
    UnsupportedTransactionType,
)
from openledger.primitives.hashing import keccak256
from tests.waiting import PATIENCE, until


class Door:
    """A submission over the counter application, and what it told."""

    def __init__(self, app, folder):
        self.app, self.heard, self.faults, self.bursts = app, [], [], []
        self.folder, self.journal = folder, PoolJournal(folder) if folder else None
        self.submission = Submission(app, self.journal, admitted=self.heard.extend, on_fault=self.faults.append)
        admit = app.admit

        def counted(raws):
            self.bursts.append(len(raws))
            return admit(raws)

        app.admit = counted


@pytest.fixture
async def door(app, tmp_path):
    made = Door(app, tmp_path / "pool")
    yield made
    await made.submission.close()


async def test_what_arrives_together_is_judged_together_and_shares_its_fsyncs(door, monkeypatch):
    syncs = []
    sync = door.journal.sync
    monkeypatch.setattr(door.journal, "sync", lambda: (syncs.append(threading.get_ident()), sync()))
    raws = [b"add:1:%d" % n for n in range(700)]
    hashes = await asyncio.gather(*(door.submission.submit(raw) for raw in raws))
    assert hashes == [keccak256(raw) for raw in raws]
    assert door.bursts == [512, 188]
    assert len(syncs) <= 3
    assert threading.get_ident() not in syncs  # the event loop goes on meanwhile
    assert door.heard == raws


async def test_the_answer_waits_for_the_disk_and_blocks_do_not(door, monkeypatch):
    gate, sync = threading.Event(), door.journal.sync
    monkeypatch.setattr(door.journal, "sync", lambda: (gate.wait(PATIENCE), sync()))
    answer = asyncio.ensure_future(door.submission.submit(b"add:1:a"))
    await until(lambda: door.heard)
    assert door.heard == [b"add:1:a"]
    assert not answer.done()
    gate.set()
    assert await answer == keccak256(b"add:1:a")


async def test_refusals_reach_only_those_who_earned_them(door):
    await door.submission.submit(b"add:1:a")
    answers = await asyncio.gather(
        *(door.submission.submit(raw) for raw in (b"bad", b"add:1:b", b"add:1:a")), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [UnsupportedTransactionType, bytes, AlreadyKnown]
    assert len(door.journal) == 2


async def test_a_full_disk_is_an_error_and_the_transaction_is_not_in_the_pool(door, monkeypatch):
    def full(handle, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(NotStored, match="No space left"):
        await door.submission.submit(b"add:1:a")
    assert (door.app.mempool.reap(), door.heard) == ([], [])
    monkeypatch.undo()
    await door.submission.submit(b"add:1:a")


async def test_an_fsync_that_fails_acknowledges_nothing_and_says_that_it_may_still_come_into_a_block(door, monkeypatch):
    def broken(handle):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", broken)
    with pytest.raises(NotStored, match=f"0x{keccak256(b'add:1:a').hex()}.*Input/output.*may still come into a block"):
        await door.submission.submit(b"add:1:a")
    assert door.app.mempool.reap() == [b"add:1:a"]
    monkeypatch.undo()
    await door.submission.submit(b"add:1:b")
    await door.submission.close()
    assert sorted(PoolJournal(door.folder).take()) == [b"add:1:a", b"add:1:b"]


async def test_an_fsync_that_fails_once_costs_a_new_file_and_no_answer(door, monkeypatch):
    syncs = []

    def once(handle):
        syncs.append(handle)
        if len(syncs) == 1:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", once)
    assert await door.submission.submit(b"add:1:a") == keccak256(b"add:1:a")
    assert len(syncs) > 1
    door.submission.committed()
    assert [path.name for path in door.folder.glob("*.log")] == ["00000002.log"]  # the old one holds nothing


async def test_what_a_refused_one_had_taken_the_place_of_waits_again(door, monkeypatch):
    """It was acknowledged: that the disk is full now is nothing to its sender."""
    await door.submission.submit(b"add:1:a")
    admit = door.app.admit

    def replaces(raws):
        if raws == [b"add:1:b"]:
            door.app.mempool.remove([keccak256(b"add:1:a")])
        return admit(raws)

    def full(handle, data):
        raise OSError(28, "No space left on device")

    door.app.admit = replaces
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(NotStored, match="No space left"):
        await door.submission.submit(b"add:1:b")
    assert door.app.mempool.reap() == [b"add:1:a"]


async def test_a_fault_of_the_program_reaches_the_sender_and_the_engine(door):
    def broken(raws):
        raise ZeroDivisionError

    door.app.admit = broken
    with pytest.raises(ZeroDivisionError):
        await door.submission.submit(b"add:1:a")
    assert [type(fault) for fault in door.faults] == [ZeroDivisionError]


async def test_where_there_is_no_state_yet_the_sender_is_refused_and_the_node_lives(door, app, counter, tmp_path):
    await door.submission.submit(b"add:1:a")

    def restoring(raws):
        raise StateRestoring("a snapshot is being restored")

    door.app.admit = restoring
    with pytest.raises(StateRestoring):
        await door.submission.submit(b"add:1:b")
    assert door.faults == []
    await door.submission.close()
    other = counter.CounterApp()
    other.admit = restoring
    again = Door(other, tmp_path / "pool")
    again.submission.restore()
    again.submission.committed()
    assert len(again.journal) == 1
    del other.admit  # the snapshot is whole
    again.submission.committed()
    assert other.mempool.reap() == [b"add:1:a"]
    await again.submission.close()


async def test_a_restart_admits_again_what_waits_and_forgets_what_is_done(app, counter, tmp_path):
    door = Door(app, tmp_path)
    for raw in (b"add:1:a", b"add:1:b", b"add:1:c"):
        await door.submission.submit(raw)
    del app.mempool.txs[b"add:1:b"]
    door.submission.committed()
    await door.submission.close()
    again = Door(counter.CounterApp(), tmp_path)
    again.submission.restore()
    assert again.app.mempool.reap() == [b"add:1:a", b"add:1:c"]
    await again.submission.close()


async def test_without_a_journal_the_answer_is_the_admission(app):
    door = Door(app, None)
    assert await door.submission.submit(b"add:1:a") == keccak256(b"add:1:a")
    door.submission.restore()
    door.submission.committed()
    await door.submission.close()


async def test_bundles_are_handed_one_by_one_and_again_when_cometbft_was_away(app, until):
    answers = [
        NodeUnreachable("away"), {"error": {"data": "mempool is full"}}, {"error": {"message": "what is this"}},
        {"error": {"data": "tx already exists in cache"}},
    ]  # fmt: skip
    calls = []

    async def call(method, **params):
        calls.append(params["tx"])
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    app.admit([b"add:1:a", b"add:1:b"])
    handing = Handing(app.gossip, call)
    task = asyncio.create_task(handing.run())
    handing.wake()
    await until(lambda: not answers)
    assert calls[0] == calls[1] == calls[2] != calls[3]  # an answer that nobody knows does not hold up the others
    task.cancel()


async def test_handing_ends_with_the_engine(app):
    async def call(method, **params):
        raise ConsensusFault("the node is stopping")

    app.admit([b"add:1:a"])
    handing = Handing(app.gossip, call)
    handing.wake()
    await asyncio.wait_for(handing.run(), 5)

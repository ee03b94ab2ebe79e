"""What was acknowledged stays on the disk: torn writes, kill -9, a full disk; and files go when nobody needs them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from openledger.node.pool_journal import PoolJournal
from openledger.primitives.errors import NotStored
from openledger.primitives.hashing import keccak256

ROOT = Path(__file__).parents[3]


def entries(*raws: bytes) -> dict[bytes, bytes]:
    return {keccak256(raw): raw for raw in raws}


def reopened(folder: Path) -> list[bytes]:
    journal = PoolJournal(folder)
    found = journal.take()
    journal.close()
    return found


def test_what_was_written_is_there_after_a_restart_in_order_and_once(tmp_path):
    journal = PoolJournal(tmp_path)
    journal.write(entries(b"a", b"b"))
    journal.write(entries(b"b", b"c"))
    journal.sync()
    journal.close()
    assert reopened(tmp_path) == [b"a", b"b", b"c"]


def test_what_is_done_with_does_not_come_back(tmp_path):
    journal = PoolJournal(tmp_path)
    journal.write(entries(b"a", b"b", b"c"))
    journal.settle(lambda tx_hash: tx_hash == keccak256(b"b"))
    assert len(journal) == 1
    journal.write(entries(b"a"))  # sent again later: it waits once more
    journal.close()
    assert reopened(tmp_path) == [b"b", b"a"]


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_torn_tail_costs_only_what_was_torn(tmp_path, cut):
    journal = PoolJournal(tmp_path)
    journal.write(entries(b"first" * 4))
    journal.write(entries(b"second" * 5))
    journal.close()
    (path,) = tmp_path.glob("*.log")
    os.truncate(path, path.stat().st_size - cut)
    assert reopened(tmp_path) == [b"first" * 4]


def test_flipped_bits_and_noise_never_become_a_transaction(tmp_path):
    rng = random.Random(1)
    written = [rng.randbytes(50) for _ in range(20)]
    journal = PoolJournal(tmp_path / "good")
    journal.write(entries(*written))
    journal.close()
    (path,) = (tmp_path / "good").glob("*.log")
    good = path.read_bytes()
    for number in range(60):
        bad = bytearray(good)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / path.name).write_bytes(bytes(bad) + rng.randbytes(rng.randrange(20)))
        found = reopened(folder)
        assert found == written[: len(found)]
        assert len(found) < 20


def test_files_go_when_everything_in_them_is_done_with(tmp_path):
    journal = PoolJournal(tmp_path, segment_bytes=1000)
    raws = [bytes([n]) * 100 for n in range(60)]
    for raw in raws:
        journal.write(entries(raw))
    assert len(list(tmp_path.glob("*.log"))) > 4
    journal.settle(lambda tx_hash: False)
    assert len(list(tmp_path.glob("*.log"))) == 1
    journal.close()
    assert reopened(tmp_path) == []


def test_one_that_waits_long_does_not_keep_a_large_journal(tmp_path):
    journal = PoolJournal(tmp_path, segment_bytes=1000, slack_bytes=3000)
    waits = b"patient" * 10
    journal.write(entries(waits))
    for number in range(200):
        journal.write(entries(number.to_bytes(2, "big") * 50))
        journal.settle(lambda tx_hash: tx_hash == keccak256(waits))
        if burden := journal.burden():
            assert burden == [keccak256(waits)]
            journal.renew(entries(waits))
    assert journal.size < 6000
    journal.close()
    assert reopened(tmp_path) == [waits]


def test_a_full_disk_is_one_clear_error_and_nothing_half_written_stays(tmp_path, monkeypatch):
    journal = PoolJournal(tmp_path)
    journal.write(entries(b"kept"))
    write, left = os.write, [30]

    def full(handle, data):
        if left[0] <= 0:
            raise OSError(28, "No space left on device")
        taken = write(handle, data[: left[0]])
        left[0] -= taken
        return taken

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(NotStored, match="No space left on device"):
        journal.write(entries(b"lost" * 20))
    assert len(journal) == 1
    monkeypatch.undo()
    journal.write(entries(b"later"))
    journal.close()
    assert reopened(tmp_path) == [b"kept", b"later"]


class FailingDisk:
    """``fdatasync`` as Linux has it: what it could not write it forgets, so the next one finds nothing to do."""

    def __init__(self, monkeypatch):
        self.failures, self.real, self.lost = 0, os.fdatasync, []
        monkeypatch.setattr(os, "fdatasync", self)

    def __call__(self, handle):
        if self.failures:
            self.failures -= 1
            self.lost.append(Path(f"/proc/self/fd/{handle}").resolve())
            raise OSError(5, "Input/output error")
        self.real(handle)


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="files are found by their number")


def tear(path, size):
    """What a power cut leaves of a file whose pages from ``size`` on were never written."""
    path.write_bytes(path.read_bytes()[:size].ljust(path.stat().st_size, b"\0"))


@needs_proc
def test_a_sync_after_one_that_failed_does_not_say_that_all_is_well(tmp_path, monkeypatch):
    journal, disk = PoolJournal(tmp_path), FailingDisk(monkeypatch)
    journal.write(entries(b"first"))
    journal.sync()
    size = journal.size
    journal.write(entries(b"second"))
    disk.failures = 1
    with pytest.raises(NotStored, match="Input/output"):
        journal.sync()
    journal.write(entries(b"third"))
    with pytest.raises(NotStored):
        journal.sync()
    journal.anew(entries(b"first", b"second", b"third").get)
    journal.sync()
    tear(disk.lost[0], size)
    journal.close()
    assert sorted(reopened(tmp_path)) == [b"first", b"second", b"third"]


@needs_proc
def test_a_file_whose_last_sync_failed_is_not_left_behind_as_if_it_were_on_the_disk(tmp_path, monkeypatch):
    journal, disk = PoolJournal(tmp_path, segment_bytes=100), FailingDisk(monkeypatch)
    journal.write(entries(b"first" * 30))
    disk.failures = 1
    journal.write(entries(b"second"))  # a new file begins
    with pytest.raises(NotStored):
        journal.sync()
    journal.anew(entries(b"first" * 30, b"second").get)
    journal.sync()
    tear(disk.lost[0], 0)
    journal.close()
    assert sorted(reopened(tmp_path)) == [b"first" * 30, b"second"]


def test_what_is_written_behind_a_torn_frame_that_could_not_be_cut_off_is_not_lost(tmp_path, monkeypatch):
    journal, write = PoolJournal(tmp_path), os.write
    journal.write(entries(b"first"))
    with monkeypatch.context() as broken:
        broken.setattr(os, "write", lambda handle, data: (_ for _ in ()).throw(OSError(5, write(handle, data[:9]))))
        broken.setattr(os, "ftruncate", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        with pytest.raises(NotStored):
            journal.write(entries(b"refused"))
    journal.write(entries(b"later"))
    with pytest.raises(NotStored):
        journal.sync()
    journal.anew(entries(b"first", b"later").get)
    journal.sync()
    journal.close()
    assert sorted(reopened(tmp_path)) == [b"first", b"later"]


WRITER = """
import sys
from pathlib import Path
from openledger.node.pool_journal import PoolJournal
from openledger.primitives.hashing import keccak256
journal = PoolJournal(Path(sys.argv[1]), segment_bytes=4000)
alive, number = {}, int(sys.argv[2])
while True:
    raw = number.to_bytes(8, "big") * 10
    journal.write({keccak256(raw): raw})
    journal.sync()
    print(number, flush=True)
    number += 1
    if number % 50 == 0:
        low = number - 20
        keep = {keccak256(n.to_bytes(8, "big") * 10) for n in range(low, number)}
        journal.settle(keep.__contains__)
"""


@pytest.mark.parametrize("kills", [6, pytest.param(100, marks=pytest.mark.soak)])
def test_kill_9_at_any_moment_keeps_what_was_acknowledged(tmp_path, kills):
    rng = random.Random(2)
    first = 0
    for _ in range(kills):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(first)],
            stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert writer.stdout is not None
        wanted = rng.randrange(20, 300)
        lines = [int(writer.stdout.readline()) for _ in range(wanted)]
        writer.send_signal(signal.SIGKILL)
        lines += [int(line) for line in writer.stdout.read().split()]
        writer.stdout.close()
        writer.wait()
        found = [int.from_bytes(raw[:8], "big") for raw in reopened(tmp_path)]
        kept_for_sure = range(max(first, (lines[-1] + 1) // 50 * 50 - 20), lines[-1] + 1)
        assert set(kept_for_sure) <= set(found)
        assert found == sorted(set(found))
        first = lines[-1] + 2

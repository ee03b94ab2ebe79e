"""The making of an index on disk: bounded memory, kill -9 and on, and what a disk or a file may do to it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from openledger.attribution_oracle import methods, replayed, segments, tape  # noqa: E402
from openledger.attribution_oracle.influence import Run  # noqa: E402
from openledger.attribution_oracle.path import Steps  # noqa: E402
from openledger.attribution_oracle.tape import Place  # noqa: E402
from openledger.primitives.errors import OracleError  # noqa: E402

pytestmark = pytest.mark.torch

WORKER = """
import sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
sys.path.insert(0, {here!r})
import conftest
from openledger.attribution_oracle import influence, methods, replayed, segments, tape
from openledger.attribution_oracle.tape import Place
model = conftest.small_model("full")
t = model.trained
run = influence.Run.of(t.base, t.settings, t.tensors, t.receipt, model.texts)
whole = tape.write_vectors
done = 0
def slowly(*inputs):
    global done
    whole(*inputs)
    done += 1
    time.sleep(0.2 if done < 6 else 1000)
tape.write_vectors = slowly
segments.STEPS = 3
methods.make_index(run, "path-influence", place=Place(Path({folder!r}), {memory}))
"""


def half_memory(run: Run) -> int:
    """Bytes that make two passes of all rows."""
    replay = replayed.Replay(run)
    for megabytes in range(1, 200):
        try:
            if len(replay.passes(range(len(run.rows)), megabytes << 20)) == 2:
                return megabytes << 20
        except OracleError:
            continue
    raise AssertionError("no memory gives two passes")


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has replayed nothing yet; runs of nine steps have three segments."""
    monkeypatch.setitem(methods.METHODS, "path-influence", replayed.PathInfluence())
    monkeypatch.setattr(segments, "STEPS", 3)


@pytest.mark.usefixtures("fresh")
def test_passes_and_a_folder_change_nothing(small_run: Run, tmp_path: Path) -> None:
    at_once = methods.make_index(small_run, "path-influence")
    seen: list[tuple[int, int]] = []
    parted = methods.make_index(
        small_run,
        "path-influence",
        lambda done, total, what: seen.append((done, total)),
        Place(tmp_path, half_memory(small_run)),
    )
    assert [done for done, _ in seen] == list(range(1, seen[0][1] + 1))
    assert seen[0][1] == 2 * len(small_run.receipt["batches"])
    assert not list(tmp_path.iterdir()), "the work is removed when it is done"
    assert [c.step for c in parted.checkpoints] == [3, 6]
    pairs = [
        (parted, at_once),
        *((a.rows, b.rows) for a, b in zip(parted.checkpoints, at_once.checkpoints, strict=True)),
    ]
    for one, other in pairs:
        apart = (one.q.int() - other.q.int()).abs()
        assert apart.max() <= 1
        assert apart.float().mean() < 1e-3
        assert torch.allclose(one.scale, other.scale, rtol=1e-4)


@pytest.mark.usefixtures("fresh")
def test_what_was_killed_goes_on_and_ends_in_the_same_bytes(small_run: Run, tmp_path: Path) -> None:
    memory = half_memory(small_run)
    straight = methods.make_index(small_run, "path-influence", place=Place(tmp_path / "straight", memory))
    folder = tmp_path / "killed"
    code = WORKER.format(here=str(Path(__file__).parent), folder=str(folder), memory=memory)
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"}) as worker:
        until = time.monotonic() + 120
        while not list(folder.glob("*/step-0000004")) and time.monotonic() < until and worker.poll() is None:
            time.sleep(0.02)
        worker.send_signal(signal.SIGKILL)
    steps = sorted(folder.glob("*/step-*"))
    assert worker.returncode == -signal.SIGKILL
    assert 4 < len([s for s in steps if s.suffix == ""]) < len(small_run.receipt["batches"])
    before = {s: s.stat().st_mtime_ns for s in steps[:4]}
    again = methods.method("path-influence").index_rows(small_run, 1362, Place(folder, memory), lambda *a: None)
    next(again)
    assert {s: s.stat().st_mtime_ns for s in before} == before, "finished steps are read, not made again"
    resumed = methods.make_index(small_run, "path-influence", place=Place(folder, memory))
    assert [c.dump() for c in resumed.checkpoints] == [c.dump() for c in straight.checkpoints]
    assert resumed.dump() == straight.dump()


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("harm", ["cut", "flipped", "empty", "other"])
def test_a_damaged_file_gives_one_sentence(small_run: Run, tmp_path: Path, harm: str) -> None:
    begun = methods.method("path-influence").index_rows(
        small_run, 1362, Place(tmp_path, half_memory(small_run)), lambda *a: None
    )
    next(begun)
    step = next(tmp_path.glob("*/step-0000002")) if harm != "other" else next(tmp_path.glob("*/rows-*"))
    raw = bytearray(step.read_bytes())
    if harm == "cut":
        raw = raw[:-5]
    elif harm == "empty":
        raw.clear()
    else:
        raw[len(raw) // 2] ^= 1
    step.write_bytes(raw)
    with pytest.raises(OracleError, match="is damaged") as told:
        list(
            methods.method("path-influence").index_rows(
                small_run, 1362, Place(tmp_path, half_memory(small_run)), lambda *a: None
            )
        )
    assert "remove" in (told.value.hint or "")


@pytest.mark.usefixtures("fresh")
def test_a_full_disk_gives_one_sentence(small_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tape.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10 << 20})())
    with pytest.raises(OracleError, match=r"needs [0-9]+ MiB .* 10 are free"):
        methods.make_index(small_run, "path-influence", place=Place(tmp_path))
    monkeypatch.undo()
    real = Path.open

    def full(path: Path, *inputs: Any, **named: Any) -> Any:
        if path.name.startswith("step-0000003"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, *inputs, **named)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OracleError, match="is full"):
        methods.make_index(small_run, "path-influence", place=Place(tmp_path))
    assert len(list(tmp_path.glob("*/step-*"))) == 3


def test_too_little_memory_says_how_much_is_needed(small_run: Run) -> None:
    replay = replayed.Replay(small_run)
    with pytest.raises(OracleError, match="MiB of memory, 1 are allowed") as told:
        replay.passes(range(len(small_run.rows)), 1 << 20)
    need = int((told.value.hint or "").split()[-1])
    assert all(len(part) >= 1 for part in replay.passes(range(len(small_run.rows)), need << 20))


@pytest.mark.parametrize(("memory", "most"), [(1 << 29, 250), (1 << 30, 30), (1 << 32, 5)])
def test_rows_in_memory_stay_below_the_setting(memory: int, most: int) -> None:
    parameters, rows = 1_050_880, 4000
    steps = Steps(((0,) * 8,), (1e-3,), 0.9, 0.99, 1e-6)
    parts = tape.passes(range(rows), rows, steps, parameters, 2, memory)
    assert [n for part in parts for n in part] == list(range(rows))
    assert max(len(part) for part in parts) * 4 * parameters < memory
    assert len(parts) <= most

"""kill -9 while blocks are committed: what was acknowledged is there, and everything there agrees."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import openledger
from openledger.state.leveldb import LevelDbStore
from openledger.state.store import StateStore

WRITER = Path(__file__).with_name("conftest.py")
ROOT = Path(openledger.__file__).parents[1]


@pytest.fixture
def writer():
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen([sys.executable, str(WRITER)], env=env, **pipes) as process:
        yield process
        process.stdin.close()


def run_and_kill(writer, folder, delay):
    """The last block that the writer acknowledged before it died, as (height, hash)."""
    writer.stdin.write(f"{folder}\n")
    lines = [writer.stdout.readline().split() for _ in range(2)]
    lines.sort(key=lambda words: words[0] != "pid")
    time.sleep(delay)
    os.kill(int(lines[0][1]), signal.SIGKILL)
    while (words := writer.stdout.readline().split()) != ["dead"]:
        assert words, "the process that starts the writers has ended"
        lines.append(words)
    return int(lines[-1][0]), bytes.fromhex(lines[-1][1])


@pytest.mark.parametrize("times", [20, pytest.param(200, marks=pytest.mark.soak)])
def test_after_kill_9_every_acknowledged_block_is_there_and_agrees(tmp_path, writer, times):
    rng = random.Random()
    for _ in range(times):
        number, block_hash = run_and_kill(writer, tmp_path / "db", rng.random() * 0.1)
        store = StateStore(LevelDbStore(tmp_path / "db"))
        assert store.height in (number, number + 1)
        assert store.block_hash(number) == block_hash
        report = store.verify()
        assert report.state_root == store.head().state_root
        assert store.meta("note") == b"%d" % store.height
        block = store.block(store.height)
        assert block.receipts == store.receipts(store.height)
        assert block.header.parent_hash == store.block_hash(store.height - 1)
        assert next(store.logs(store.height, store.height))[3] == block.receipts[0].logs[0]
        assert store.block(store.height + 1) is None
        store.close()

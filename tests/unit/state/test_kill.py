"""kill -9 while blocks are committed: what was acknowledged is there, and everything there agrees."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import openledger
from openledger.state.leveldb import LevelDbStore
from openledger.state.store import StateStore

WRITER = Path(__file__).with_name("conftest.py")
ROOT = Path(openledger.__file__).parents[1]


def run_and_kill(folder, delay):
    """The last block that the writer acknowledged before it died, as (height, hash)."""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, str(WRITER), str(folder)], stdout=subprocess.PIPE, env=env) as process:
        first = process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        lines = [first, *process.stdout.read().splitlines(keepends=True)]
    number, block_hash = [line for line in lines if line.endswith(b"\n")][-1].split()
    return int(number), bytes.fromhex(block_hash.decode())


def test_after_kill_9_every_acknowledged_block_is_there_and_agrees(tmp_path):
    rng = random.Random()
    for _ in range(15):
        number, block_hash = run_and_kill(tmp_path / "db", rng.random() * 0.12)
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

"""kill -9 while the application writes blocks full of transactions: whatever was acknowledged is there, and height,
app hash, state, receipts and money agree after reopening. The long form runs in ``make soak``."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from killed_node import ACCOUNTS, SENDERS, open_application

import openledger
from openledger.abci_app.application import Application
from openledger.abci_app.protocol import messages as abci
from openledger.abci_app.queries import get_supply
from openledger.primitives.hashing import keccak256
from openledger.state import layout
from openledger.state.trie import ordered_trie_root

HERE = Path(__file__).parent
ROOT = Path(openledger.__file__).parents[1]
Words = list[str]


@pytest.fixture
def node() -> Iterator[subprocess.Popen[str]]:
    env = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(HERE)))}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    program = [sys.executable, str(HERE / "killed_node.py")]
    with subprocess.Popen(program, env=env, **pipes) as process:  # type: ignore[call-overload]
        assert lines(process).readline() == "ready\n"
        yield process
        assert process.stdin is not None
        process.stdin.close()


def lines(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def run_and_kill(process: subprocess.Popen[str], folder: Path, rng: random.Random) -> list[Words]:
    """What a node said before it died: killed a moment after it began to write a batch, or at any other time."""
    assert process.stdin is not None
    process.stdin.write(f"{folder}\n")
    said: list[Words] = []
    batches, pid = 0, 0
    in_a_write = rng.random() < 0.7
    wanted = rng.randrange(1, 7) if in_a_write else 1
    while batches < wanted or not pid:
        said.append(lines(process).readline().split())
        if said[-1][0] == "pid":
            pid = int(said[-1][1])
        batches += said[-1][0] == ("writing" if in_a_write else "block")
    time.sleep(rng.random() * (0.002 if in_a_write else 0.15))
    os.kill(pid, signal.SIGKILL)
    while (words := lines(process).readline().split()) != ["dead"]:
        said.append(words)
    return said


@dataclass
class Ledger:
    """What the test knows of the chain: every block once checked stays what it was."""

    hashes: list[bytes] = field(default_factory=list)
    sent: Counter[bytes] = field(default_factory=Counter)

    def check(self, folder: Path, said: list[Words]) -> None:
        """Open the database and hold it against what the node said."""
        app = open_application(folder)
        try:
            self._check_head(app, said)
            self._check_blocks(app)
            self._check_money(app)
            app.store.verify()
        finally:
            app.store.close()

    def _check_head(self, app: Application, said: list[Words]) -> None:
        store, head = app.store, app.head()
        opened = [words for words in said if words[0] == "open"]
        for words in opened if self.hashes else []:
            assert int(words[1]) == len(self.hashes) - 1
        acknowledged = [words for words in said if words[0] == "block"]
        for _, height, block_hash, app_hash in acknowledged:
            header = store.header(int(height))
            assert header is not None
            assert (header.hash.hex(), header.state_root.hex()) == (block_hash, app_hash)
        newest = int(acknowledged[-1][1]) if acknowledged else max(0, len(self.hashes) - 1)
        assert head.number in (newest, newest + 1)
        info = app.info(abci.RequestInfo())
        assert info.last_block_height == head.number
        assert info.last_block_app_hash == (head.state_root if head.number else b"")
        assert store.block(head.number + 1) is None

    def _check_blocks(self, app: Application) -> None:
        store, head = app.store, app.head()
        for number, known in enumerate(self.hashes):
            assert store.block_hash(number) == known
        for number in range(len(self.hashes), head.number + 1):
            block = store.block(number)
            assert block is not None
            assert number == 0 or block.header.parent_hash == self.hashes[-1]
            assert block.header.transactions_root == ordered_trie_root(block.transactions)
            assert block.header.receipts_root == ordered_trie_root([r.encode() for r in block.receipts])
            assert all(r.status == 1 for r in block.receipts)
            assert all(store.transaction(keccak256(raw)) == (number, i) for i, raw in enumerate(block.transactions))
            self.sent.update(block.senders)
            self.hashes.append(block.hash)

    def _check_money(self, app: Application) -> None:
        state = app.store.reader()
        for address, _ in ACCOUNTS[:SENDERS]:
            account = state.account(address)
            assert account is not None
            assert account.nonce == self.sent[address]
        table = layout.ACCOUNT
        balances = sum(
            layout.decode_account(raw).balance for _, raw in app.store.kv.iterate(table, layout.after(table))
        )
        assert balances == int(get_supply(state)["total"], 16)


def kill_often(process: subprocess.Popen[str], folder: Path, times: int, transactions: int) -> Ledger:
    """Kill ``times`` times, and on until so many transactions stand: a busy machine does less between two kills."""
    rng, ledger, kills = random.Random(), Ledger(), 0
    while kills < times or (sum(ledger.sent.values()) <= transactions and kills < 10 * times):
        ledger.check(folder, run_and_kill(process, folder, rng))
        kills += 1
    return ledger


def test_a_killed_node_agrees_with_itself_and_keeps_what_it_acknowledged(
    node: subprocess.Popen[str], tmp_path: Path
) -> None:
    ledger = kill_often(node, tmp_path / "db", 6, 20)
    assert sum(ledger.sent.values()) > 20


@pytest.mark.soak
def test_two_hundred_kills(node: subprocess.Popen[str], tmp_path: Path) -> None:
    ledger = kill_often(node, tmp_path / "db", 200, 1000)
    assert sum(ledger.sent.values()) > 1000

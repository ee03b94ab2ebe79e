"""A chain that grows by diffs: what the store tests need of the rooms above."""

from __future__ import annotations

import os
import sys

import pytest

from openledger.primitives.blocks import EMPTY_TRIE_ROOT, Header, Receipt, SealedBlock, bloom_of
from openledger.primitives.hashing import ZERO_HASH, keccak256
from openledger.primitives.types import Account, Log
from openledger.state.leveldb import LevelDbStore
from openledger.state.memory import MemoryStore
from openledger.state.overlay import Overlay
from openledger.state.store import StateStore


def seal_block(store, prepared, transactions=(), receipts=(), consensus=b""):
    head = store.head()
    number = 0 if head is None else head.number + 1
    logs = [log for receipt in receipts for log in receipt.logs]
    header = Header(
        parent_hash=ZERO_HASH if head is None else head.hash,
        coinbase=bytes(20),
        state_root=prepared.state_root,
        transactions_root=EMPTY_TRIE_ROOT,
        receipts_root=EMPTY_TRIE_ROOT,
        bloom=bloom_of(logs),
        number=number,
        gas_limit=30_000_000,
        gas_used=0,
        timestamp=number,
        prevrandao=ZERO_HASH,
        base_fee=10**9,
    )
    return SealedBlock(header, tuple(transactions), (bytes(20),) * len(transactions), tuple(receipts), consensus)


class Chain:
    """A store and one way to add a block: ``with chain.block() as overlay: ...`` is spelt ``chain.add(function)``."""

    def __init__(self, store=None):
        self.store = store or StateStore(MemoryStore())

    def add(self, write=lambda overlay: None, logs=(), transactions=None, meta=None):
        overlay = Overlay(self.store.reader())
        write(overlay)
        diff = overlay.diff()
        prepared = self.store.prepare(diff)
        raws = [b"\x51%d" % self.store.height] if transactions is None else transactions
        receipts = [Receipt(0x51, 1, 0, tuple(logs), 0, 7, None)] if raws else []
        receipts += [Receipt(2, 0, 21_000, (), 21_000, 2**70, bytes(20), "out of gas")] * (len(raws) - 1)
        block = seal_block(self.store, prepared, raws, receipts, b"beside")
        self.store.commit(block, prepared, diff, meta)
        return block


@pytest.fixture
def chain():
    return Chain()


@pytest.fixture
def make_chain():
    return Chain


@pytest.fixture
def seal():
    return seal_block


def commit_forever(folder):
    """Body of the process that the kill test ends: commit blocks, and say so after each commit."""
    module = bytes(18) + b"\x08\x00"
    chain = Chain(StateStore(LevelDbStore(folder)))

    def write(overlay):
        height = chain.store.height + 1
        if height == 0:
            overlay.set_account(module, Account(1))
        for i in range(12):
            address = keccak256(b"%d" % ((height * 7 + i) % 2000))[:20]
            overlay.add_balance(address, height + 1)
            overlay.set_storage(address, i, height + 1)
            overlay.set_record(module, b"%d" % (height * 3 % 50 + i), b"%d" % height if i % 3 else None)
        overlay.set_account(keccak256(b"%d" % ((height * 7 - 40) % 2000))[:20], None)

    while True:
        log = Log(module, (keccak256(b"%d" % (chain.store.height + 1)),))
        block = chain.add(write, logs=[log], meta={"note": b"%d" % (chain.store.height + 1)})
        os.write(1, f"{block.number} {block.hash.hex()}\n".encode())  # at once: print may be killed in its middle


def serve_commits():
    """For each folder named on a line of standard input: a forked process that commits blocks there until it is killed.

    Prints its process id, its blocks, and ``dead`` when it has ended. Forking spares the kill test most of its time.
    """
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            commit_forever(line.strip())
        print("pid", child, flush=True)
        os.waitpid(child, 0)
        print("dead", flush=True)


if __name__ == "__main__":
    serve_commits()

"""Snapshots: how long one takes beside a running chain, what it does to block times, its size, a restore.

    python bench/snapshots.py [--accounts 100000 1000000] [--blocks 40] [--json]

One account in a hundred is a contract with ten slots and one of a hundred codes. Blocks change 2,000 accounts each and
are written as the node writes them, one after the other, without and with a snapshot being taken at half speed as the
node does it. The restore checks and writes everything, as a joining node does, but no network is in it; each restore
runs in a process of its own, so that its memory can be told. Seconds of the processor (``cpu``) tell more than those of
the clock on a busy machine. Folders are temporary.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from openledger.abci_app.statesync import rebuild_block
from openledger.node.snapshotting import half_speed
from openledger.primitives.blocks import EMPTY_BLOOM, EMPTY_TRIE_ROOT, Header, SealedBlock
from openledger.primitives.hashing import KECCAK_EMPTY, ZERO_HASH, keccak256
from openledger.primitives.types import Account
from openledger.state.leveldb import LevelDbStore
from openledger.state.ports import Diff
from openledger.state.snapshot_restore import Restoration
from openledger.state.snapshots import SnapshotShelf
from openledger.state.store import StateStore

CODES = [b"\xfe" + number.to_bytes(2, "big") * 200 for number in range(100)]
FILL = 50_000


def block(store: StateStore, diff: Diff) -> float:
    """Commit a block with this diff; seconds."""
    start = time.perf_counter()
    prepared, head = store.prepare(diff), store.head()
    header = Header(
        parent_hash=head.hash if head else ZERO_HASH, coinbase=bytes(20), state_root=prepared.state_root,
        transactions_root=EMPTY_TRIE_ROOT, receipts_root=EMPTY_TRIE_ROOT, bloom=EMPTY_BLOOM, number=store.height + 1,
        gas_limit=30_000_000, gas_used=0, timestamp=store.height + 1, prevrandao=ZERO_HASH, base_fee=10**9,
    )  # fmt: skip
    store.commit(SealedBlock(header, (), (), ()), prepared, diff)
    return time.perf_counter() - start


def address(number: int) -> bytes:
    return keccak256(b"account%d" % number)[:20]


def fill(store: StateStore, accounts: int) -> None:
    """The state, some thousands of accounts a block."""
    for first in range(0, accounts, FILL):
        diff = Diff()
        for number in range(first, min(first + FILL, accounts)):
            code = CODES[number % 100] if number % 100 == 0 else b""
            digest = keccak256(code) if code else KECCAK_EMPTY
            diff.accounts[address(number)] = Account(number % 7, 10**18 + number, digest)
            if code:
                diff.codes[digest] = code
                diff.storage.update({(address(number), slot): number + slot + 1 for slot in range(10)})
        block(store, diff)


def change(store: StateStore, accounts: int, seed: int) -> Diff:
    """A block of 1,000 transfers, as far as state goes."""
    numbers = [int.from_bytes(keccak256(b"%d %d" % (seed, i))[:8], "big") % accounts for i in range(2_000)]
    reader, diff = store.reader(), Diff()
    for number in dict.fromkeys(numbers):
        before = reader.account(address(number))
        if before is not None:
            diff.accounts[address(number)] = Account(before.nonce + 1, before.balance + 1, before.code_hash)
    return diff


def times(store: StateStore, accounts: int, count: int, seed: int, while_true: threading.Event | None) -> list[float]:
    """Milliseconds of blocks, of ``count``, or of as many as come while a snapshot is being taken."""
    found: list[float] = []
    while len(found) < count if while_true is None else not while_true.is_set():
        diff = change(store, accounts, seed + len(found))
        found.append(block(store, diff) * 1000)
    return found


def spread(found: list[float]) -> dict[str, float]:
    ordered = sorted(found)
    return {
        "blocks": len(found),
        "p50_ms": round(statistics.median(ordered), 1),
        "p95_ms": round(ordered[int(len(ordered) * 0.95)], 1),
        "max_ms": round(ordered[-1], 1),
    }


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measure(accounts: int, blocks: int, folder: Path) -> dict[str, Any]:
    kv = LevelDbStore(folder / "state")
    store = StateStore(kv, archive=False)
    store.bind("bench-1", bytes(32))
    fill(store, accounts)
    kv.compact()
    quiet = times(store, accounts, blocks, 1, None)
    shelf, done = SnapshotShelf(folder / "snapshots"), threading.Event()
    view, took = kv.view(), [0.0]

    def take() -> None:
        start = time.perf_counter()
        shelf.create(view, half_speed(threading.Event()))
        took[0] = time.perf_counter() - start
        done.set()

    thread = threading.Thread(target=take)
    thread.start()
    beside = times(store, accounts, blocks, 10_000, done)
    thread.join()
    view.close()
    kept = shelf.list()[0]
    start, worked = time.perf_counter(), time.process_time()
    alone = SnapshotShelf(folder / "alone").create(kv.view())
    found = {
        "accounts": accounts,
        "blocks_alone": spread(quiet),
        "blocks_beside_a_snapshot": spread(beside or [0.0]),
        "snapshot_beside_blocks_s": round(took[0], 2),
        "snapshot_alone_s": round(time.perf_counter() - start, 2),
        "snapshot_alone_cpu_s": round(time.process_time() - worked, 2),
        "chunks": len(alone.chunks),
        "raw_mb": round(kept.size / 1e6, 1),
        "snapshot_mb": round(shelf.size(kept.height) / 1e6, 1),
        "database_mb": round(folder_bytes(folder / "state") / 1e6, 1),
    }
    kv.close()
    command = [sys.executable, __file__, "--restore", str(folder / "alone"), str(folder / "restored")]
    figures = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found.update(json.loads(figures))
    return found


def restore(source: Path, target: Path) -> None:
    """A restore in this process; prints its figures."""
    kv = LevelDbStore(target)
    store = StateStore(kv)
    store.bind("bench-1", bytes(32))
    shelf = SnapshotShelf(source)
    start, slowest = time.perf_counter(), 0.0
    restoration = Restoration(store, shelf.list()[0])
    for raw in shelf.raw_chunks(shelf.list()[0].height):
        began = time.perf_counter()
        restoration.apply(raw)
        slowest = max(slowest, time.perf_counter() - began)
    restoration.finish(rebuild_block, lambda read, headers: None)  # these blocks write no EIP-2935 history
    took, worked = time.perf_counter() - start, time.process_time()
    kv.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    figures = {
        "restore_s": round(took, 2),
        "restore_cpu_s": round(worked, 2),
        "slowest_chunk_s": round(slowest, 2),
        "restore_peak_mb": round(peak / 1e6),
        "restored_mb": round(folder_bytes(target) / 1e6, 1),
    }
    print(json.dumps(figures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--blocks", type=int, default=40)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--restore", type=Path, nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.restore:
        restore(*given.restore)
        return
    for accounts in given.accounts:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(accounts, given.blocks, Path(folder))
        print(json.dumps(found) if given.json else "\n".join(f"{k:<26} {v}" for k, v in found.items()), flush=True)


if __name__ == "__main__":
    main()

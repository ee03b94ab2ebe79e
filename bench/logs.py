"""eth_getLogs over many blocks: the search tables against a walk through all blocks with logs, and what they cost.

    python bench/logs.py [--blocks 1000000] [--logs 2] [--folder DIR]

Synthetic blocks are written as a commit would write them (block, receipts, search tables), in LevelDB on disk: in each
one ``--logs`` logs of a busy token between accounts that are used again and again. One quiet contract has a log in
every 100,000th block, one account is in ten blocks. Printed: time of each query, size of the tables, and the time that
making their entries takes a block of 1,000 token transfers.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

from openledger.primitives.blocks import EMPTY_TRIE_ROOT, Header, Receipt, SealedBlock, bloom_of
from openledger.primitives.hashing import ZERO_HASH, keccak256
from openledger.primitives.types import Log
from openledger.state import layout
from openledger.state.blocks import block_entries, find_logs, read_receipts
from openledger.state.leveldb import LevelDbStore
from openledger.state.logindex import index_entries

TOKEN, QUIET, BUSY = b"\x70" * 20, b"\x71" * 20, b"\x73" * 20
TRANSFER, OTHER = keccak256(b"Transfer(address,address,uint256)"), keccak256(b"Other()")
RARE = b"\0" * 12 + b"\x72" * 20
ACCOUNTS = [b"\0" * 12 + keccak256(n.to_bytes(4, "big"))[12:] for n in range(20_000)]


def block(number: int, logs: list[list[Log]]) -> SealedBlock:
    """A block with one transaction for each list of logs."""
    receipts = tuple(Receipt(2, 1, 0, tuple(found), 50_000, 10**9) for found in logs)
    header = Header(
        ZERO_HASH, bytes(20), ZERO_HASH, EMPTY_TRIE_ROOT, EMPTY_TRIE_ROOT, bloom_of(log for f in logs for log in f),
        number, 30_000_000, 0, number, ZERO_HASH, 10**9,
    )  # fmt: skip
    raws = tuple(b"\x51" + number.to_bytes(8, "big") + i.to_bytes(4, "big") for i in range(len(logs)))
    return SealedBlock(header, raws, (bytes(20),) * len(raws), receipts)


def fill(kv: LevelDbStore, blocks: int, per_block: int) -> tuple[int, int]:
    """Write the chain. (bytes of everything, bytes of the search tables), before compression."""
    rng, whole, tables = random.Random(1), 0, 0
    batch: list[tuple[bytes, bytes]] = []
    for number in range(blocks):
        logs = [[Log(TOKEN, (TRANSFER, *rng.choices(ACCOUNTS, k=2)), bytes(32))] for _ in range(per_block)]
        logs.append([Log(BUSY, (OTHER,), b"")])
        if number % 100_000 == 99:
            logs.append([Log(QUIET, (TRANSFER,), b"")])
        if number % (blocks // 10) == 7:
            logs.append([Log(TOKEN, (TRANSFER, RARE, rng.choice(ACCOUNTS)), bytes(32))])
        made = block(number, logs)
        batch += block_entries(made)
        if len(batch) > 50_000:
            whole += sum(len(k) + len(v) for k, v in batch)
            tables += sum(len(k) + len(v) for k, v in batch if k[:1] in b"ikl")
            kv.write(batch, sync=False)
            batch = []
    kv.write([*batch, (layout.META + b"head", layout.height_key(blocks - 1))])
    return whole, tables


def walk(kv: LevelDbStore, last: int, address: bytes) -> int:
    """Without the tables: the receipts of every block whose header's bloom has the address."""
    found, bloom = 0, int.from_bytes(bloom_of([Log(address, (), b"")]), "big")
    for key, raw in kv.iterate(layout.HEADER, layout.after(layout.HEADER)):
        if int.from_bytes(Header.decode(raw).bloom, "big") & bloom == bloom:
            receipts = read_receipts(kv, int.from_bytes(key[1:], "big"))
            found += sum(log.address == address for receipt in receipts for log in receipt.logs)
        if key == layout.HEADER + layout.height_key(last):
            break
    return found


def entries_cost() -> tuple[float, float]:
    """Milliseconds to make a block's entries without and with the search tables: 1,000 transfers of a token."""
    rng = random.Random(2)
    made = block(1, [[Log(TOKEN, (TRANSFER, *rng.choices(ACCOUNTS, k=2)), bytes(32))] for _ in range(1000)])
    best = [1e9, 1e9]
    for _ in range(7):
        for i, make in enumerate((block_entries, index_entries)):
            begun = time.perf_counter()
            make(made)
            best[i] = min(best[i], time.perf_counter() - begun)
    return 1000 * (best[0] - best[1]), 1000 * best[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=1_000_000)
    parser.add_argument("--logs", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        kv = LevelDbStore(Path(folder) / "db")
        begun = time.perf_counter()
        whole, tables = fill(kv, given.blocks, given.logs)
        print(f"{given.blocks:,} blocks in {time.perf_counter() - begun:.0f} s; {whole / 1e6:,.0f} MB, "
              f"of these search tables {tables / 1e6:,.0f} MB (before compression)")  # fmt: skip
        last = given.blocks - 1
        queries = {
            "a quiet contract": ([QUIET], []),
            "a rare account as sender, any contract": ([], [None, [RARE]]),
            "a rare account as sender, the busy token": ([TOKEN], [[TRANSFER], [RARE]]),
            "one account as recipient, the busy token": ([TOKEN], [[TRANSFER], None, [ACCOUNTS[5]]]),
            "nothing, two lists of all blocks side by side": ([TOKEN], [[OTHER]]),
            "the busy token, first 10,000 logs": ([TOKEN], []),
        }
        for name, (addresses, topics) in queries.items():
            begun, found = time.perf_counter(), 0
            for _ in find_logs(kv, 0, last, addresses, topics):
                found += 1
                if found == 10_000:
                    break
            print(f"  {name:<45} {found:>6} logs  {1000 * (time.perf_counter() - begun):>9,.1f} ms")
        begun = time.perf_counter()
        print(f"  walking all blocks for the quiet contract     {walk(kv, last, QUIET):>6} logs  "
              f"{1000 * (time.perf_counter() - begun):>9,.1f} ms")  # fmt: skip
        kv.close()
    bare, full = entries_cost()
    print(f"entries of a block of 1,000 token transfers: {bare:.1f} ms without the tables, {full:.1f} ms with them")


if __name__ == "__main__":
    main()

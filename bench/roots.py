"""State roots: py-trie's HexaryTrie, the batched path-keyed trie in Python, the same in Rust. Microseconds per account.

    python bench/roots.py [--accounts 10000 100000 1000000] [--touched 1000]

All three change the same accounts of the same state, whose nodes are in dicts in memory, keys hashed beforehand, and
must come to the same root. Each runs the same number of rounds, the fastest counts. HexaryTrie works on its dict in
place (it adds nodes, which changes nothing for the next round) with squash_changes, as py-evm's AccountDB uses it.
"""

from __future__ import annotations

import argparse
import gc
import random
import time
from collections.abc import Callable

import openledger_native
import rlp
from trie import HexaryTrie

from openledger.primitives.blocks import EMPTY_TRIE_ROOT
from openledger.primitives.hashing import KECCAK_EMPTY, keccak256
from openledger.state import trie

Item = tuple[bytes, bytes]


def account(number: int, balance: int) -> Item:
    value: bytes = rlp.encode([number % 7, balance, EMPTY_TRIE_ROOT, KECCAK_EMPTY])
    return keccak256(number.to_bytes(20, "big")), value


def best(work: Callable[[], bytes], rounds: int) -> tuple[float, bytes]:
    """Seconds of the fastest of some rounds, and the result."""
    took = []
    for _ in range(rounds):
        gc.collect()
        start = time.perf_counter()
        result = work()
        took.append(time.perf_counter() - start)
    return min(took), result


def hexary(db: dict[bytes, bytes], root: bytes, batch: list[Item]) -> bytes:
    changed = HexaryTrie(db, root)
    with changed.squash_changes() as inner:
        for key, value in batch:
            inner[key] = value
    return bytes(changed.root_hash)


def measure(accounts: int, touched: int, rounds: int) -> None:
    rng = random.Random(accounts)
    _, nodes, _ = openledger_native.trie_update({}.get, [account(i, 10**18 + i) for i in range(accounts)])
    plain = {path: blob for path, blob in nodes.items() if blob is not None}
    root = keccak256(plain[b""])
    hashed = {keccak256(blob): blob for blob in plain.values()}
    batch = [account(rng.randrange(accounts + accounts // 50), rng.randrange(10**20)) for _ in range(touched)]
    gc.freeze()  # what is only data shall not be looked through again and again
    figures = [
        best(lambda: hexary(hashed, root, batch), rounds),
        best(lambda: trie.update(plain.get, batch).root, rounds),
        best(lambda: openledger_native.trie_update(plain.get, batch)[0], rounds),
    ]
    gc.unfreeze()
    if len({result for _, result in figures}) != 1:
        raise SystemExit("the roots differ")
    stock, python, rust = (seconds / touched * 1e6 for seconds, _ in figures)
    print(
        f"{accounts:>9,} accounts: HexaryTrie {stock:6.1f} us, Python {python:6.1f} us ({stock / python:.1f}x), "
        f"Rust {rust:5.1f} us ({stock / rust:.1f}x)",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--accounts", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--touched", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for accounts in options.accounts:
        measure(accounts, options.touched, options.rounds)


if __name__ == "__main__":
    main()

"""A whole block of transfers on states of several sizes, on disk: decode, recover, execute, root, synced write.

    python bench/blocks.py [--accounts 10000 100000] [--transfers 1000] [--blocks 3] [--json FILE] [--compact]

    stock     py-evm's own AccountDB over HexaryTrie, nodes by hash in LevelDB
    flat      py-evm's opcodes over this node's flat state, the path-keyed trie in Python
    native    revm and the trie in Rust; only where the extension is built (make native)

All run the same signed transfers between the same accounts in one run and must come to the same state roots; 10^6
accounts take several minutes to prepare. stock gets its transactions' signers from the same library (coincurve) and its
writes are synced too. The others also write receipts, indexes and reverse diffs, which stock does not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import plyvel
from eth.db.backends.base import BaseAtomicDB
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.prague.state import PragueState
from eth.vm.forks.prague.transactions import PragueTransactionBuilder

from openledger.evm.decoding import decode_transactions
from openledger.evm.engine import BlockEnv, EvmEngine
from openledger.evm.engines import load_engine, native_available
from openledger.primitives.amounts import GWEI
from openledger.primitives.blocks import EMPTY_BLOOM, EMPTY_TRIE_ROOT, Header, Receipt, SealedBlock
from openledger.primitives.hashing import ZERO_HASH, keccak256
from openledger.primitives.keys import address_of_private_key
from openledger.primitives.transactions import EthTransaction, decode_transaction, sign_transaction
from openledger.primitives.types import Account, Address
from openledger.state import commitment, fasttrie, layout, trie
from openledger.state.blocks import block_entries
from openledger.state.leveldb import BLOCK_CACHE_BYTES, OPEN_FILES, WRITE_BUFFER_BYTES, LevelDbStore
from openledger.state.overlay import Overlay
from openledger.state.store import StateStore

CHAIN_ID = 161237
COINBASE = b"\xcc" * 20
BALANCE = 10**18
STAGES = ("decode", "recover", "execute", "root", "write")
GAS_LIMIT = 10**9


@dataclass
class Times:
    """Seconds of each stage, one entry a block; state roots after each."""

    stages: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in STAGES})
    roots: list[bytes] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Book what happens inside to a stage."""
        start = time.perf_counter()
        yield
        self.stages[name].append(time.perf_counter() - start)

    def medians(self) -> dict[str, float]:
        """Milliseconds a block: of each stage, and the whole."""
        found = {name: statistics.median(took) * 1000 for name, took in self.stages.items() if took}
        return found | {
            "total": statistics.median(map(sum, zip(*filter(None, self.stages.values()), strict=True))) * 1000
        }


# --- the same work for all ---------------------------------------------------------------------------------------


@dataclass
class Work:
    """A state of ``accounts`` accounts and blocks of signed transfers on it."""

    senders: list[Address]
    others: list[Address]
    blocks: list[list[bytes]]


def make_work(accounts: int, transfers: int, blocks: int) -> Work:
    """Every sender sends once a block, to anybody."""
    rng = random.Random(accounts)
    secrets = [keccak256(b"sender%d" % i) for i in range(transfers)]
    senders = [address_of_private_key(secret) for secret in secrets]
    others = [keccak256(b"account%d" % i)[:20] for i in range(accounts - transfers)]
    everybody = senders + others
    made = [
        [
            sign_transaction(
                secret, chain_id=CHAIN_ID, nonce=nonce, to=rng.choice(everybody), value=rng.randrange(10**9),
                max_fee=5 * GWEI, max_priority_fee=GWEI,
            )
            for secret in secrets
        ]
        for nonce in range(blocks)
    ]  # fmt: skip
    return Work(senders, others, made)


def first_nodes(work: Work) -> dict[bytes, bytes]:
    """The account trie before the first block, by path."""
    leaf = commitment.encode_leaf(Account(0, BALANCE), EMPTY_TRIE_ROOT)
    everybody = work.senders + work.others
    found = fasttrie.update(lambda path: None, [(keccak256(address), leaf) for address in everybody])
    return {path: blob for path, blob in found.nodes.items() if blob is not None}


def batches(items: Iterator[tuple[bytes, bytes]], size: int = 20_000) -> Iterator[list[tuple[bytes, bytes]]]:
    while batch := list(islice(items, size)):
        yield batch


# --- stock py-evm ------------------------------------------------------------------------------------------------


class SyncedBatch(dict[bytes, bytes]):
    """Writes of py-evm, gathered."""

    def __init__(self, below: DiskDb) -> None:
        super().__init__()
        self.below = below

    def __missing__(self, key: bytes) -> bytes:
        return self.below[key]

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or key in self.below


class DiskDb(BaseAtomicDB):  # type: ignore[misc]
    """py-evm's database over LevelDB, opened as this node opens its own."""

    def __init__(self, folder: Path) -> None:
        self.db = plyvel.DB(
            str(folder), create_if_missing=True, lru_cache_size=BLOCK_CACHE_BYTES, write_buffer_size=WRITE_BUFFER_BYTES,
            max_open_files=OPEN_FILES, bloom_filter_bits=10,
        )  # fmt: skip

    def __getitem__(self, key: bytes) -> bytes:
        value: bytes | None = self.db.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.db.put(key, value)

    def _exists(self, key: bytes) -> bool:
        return self.db.get(key) is not None

    def __delitem__(self, key: bytes) -> None:
        self.db.delete(key)

    @contextmanager
    def atomic_batch(self) -> Iterator[SyncedBatch]:
        """All or nothing, and on the disk at the end."""
        gathered = SyncedBatch(self)
        yield gathered
        if gathered:
            with self.db.write_batch(transaction=True, sync=True) as batch:
                for key, value in gathered.items():
                    batch.put(key, value)


def run_stock(folder: Path, work: Work, nodes: dict[bytes, bytes], compact: bool) -> Iterator[Times]:
    """py-evm as it comes; pauses before and after each block."""
    db, times = DiskDb(folder), Times()
    for batch in batches((keccak256(blob), blob) for blob in nodes.values()):
        with db.db.write_batch() as writes:
            for key, value in batch:
                writes.put(key, value)
    if compact:
        db.db.compact_range()
    root = keccak256(nodes[b""])
    yield times
    for number, raws in enumerate(work.blocks, 1):
        context = ExecutionContext(COINBASE, number, number, 0, ZERO_HASH, GAS_LIMIT, (), CHAIN_ID, GWEI, 0)  # type: ignore[arg-type]
        state = PragueState(db, context, root)  # type: ignore[arg-type]
        with times.stage("decode"):
            txs = [PragueTransactionBuilder.decode(raw) for raw in raws]
        with times.stage("recover"):
            for tx in txs:
                tx.sender  # noqa: B018  (a cached property)
        with times.stage("execute"):
            for tx in txs:
                state.lock_changes()
                if state.apply_transaction(tx).is_error:
                    raise SystemExit("stock: a transfer failed")
        with times.stage("root"):
            state.make_state_root()
        with times.stage("write"):
            state.persist()
        root = bytes(state.state_root)
        times.roots.append(root)
        yield times
    db.db.close()


# --- this node ---------------------------------------------------------------------------------------------------


def header(number: int, parent: Header | None, root: bytes) -> Header:
    return Header(
        ZERO_HASH if parent is None else parent.hash, COINBASE, root, EMPTY_TRIE_ROOT, EMPTY_TRIE_ROOT, EMPTY_BLOOM,
        number, GAS_LIMIT, 0, number, ZERO_HASH, GWEI,
    )  # fmt: skip


def fill(kv: LevelDbStore, work: Work, nodes: dict[bytes, bytes]) -> None:
    """The database as it is after a block 0 with these accounts."""
    value = layout.encode_account(Account(0, BALANCE), EMPTY_TRIE_ROOT)
    everybody = work.senders + work.others
    for batch in batches((layout.account_key(address), value) for address in everybody):
        kv.write(batch, sync=False)
    for batch in batches((layout.ACCOUNT_NODE + path, blob) for path, blob in nodes.items()):
        kv.write(batch, sync=False)
    entries = block_entries(SealedBlock(header(0, None, keccak256(nodes[b""])), (), (), ()))
    kv.write([*entries, (layout.META + b"head", layout.height_key(0))])


def run_node(
    folder: Path, work: Work, nodes: dict[bytes, bytes], compact: bool, engine: EvmEngine, native: bool
) -> Iterator[Times]:
    """This node's way, with the parts in Python or the native ones; pauses before and after each block."""
    kv, times = LevelDbStore(folder), Times()
    fill(kv, work, nodes)
    if compact:
        kv.compact()
    store = StateStore(kv)
    yield times
    for number, raws in enumerate(work.blocks, 1):
        env = BlockEnv(CHAIN_ID, number, number, COINBASE, GAS_LIMIT, GWEI, ZERO_HASH, lambda number: None)
        with times.stage("decode"):
            txs: list[EthTransaction] = (
                decode_transactions(raws) if native else [decode_transaction(raw) for raw in raws]
            )  # type: ignore[assignment]
        with times.stage("execute"):
            overlay = Overlay(store.reader())
            out = engine.execute(env, txs, overlay, GAS_LIMIT)
            overlay.apply(out.diff)
            diff = overlay.diff()
        if not all(result.status for result in out.results):
            raise SystemExit(f"{engine.name}: a transfer failed")
        commitment.update = fasttrie.update if native else trie.update  # type: ignore[attr-defined]
        with times.stage("root"):
            prepared = store.prepare(diff)
        receipts = [Receipt(2, 1, 21_000 * (i + 1), (), 21_000, 2 * GWEI, bloom=EMPTY_BLOOM) for i in range(len(txs))]
        with times.stage("write"):
            sealed = header(number, store.head(), prepared.state_root)
            senders = tuple(tx.sender for tx in txs)
            store.commit(SealedBlock(sealed, tuple(raws), senders, tuple(receipts)), prepared, diff)
        times.roots.append(prepared.state_root)
        yield times
    store.close()


# --- the table ---------------------------------------------------------------------------------------------------

Runner = Callable[[Path, Work, dict[bytes, bytes], bool], Iterator[Times]]


def runners() -> dict[str, Runner]:
    """What can run here."""
    found: dict[str, Runner] = {
        "stock": run_stock,
        "flat": lambda f, w, n, c: run_node(f, w, n, c, load_engine("py-evm"), False),
    }
    if native_available():
        found["native"] = lambda f, w, n, c: run_node(f, w, n, c, load_engine("revm"), True)
    return found


def measure(accounts: int, transfers: int, blocks: int, compact: bool) -> dict[str, Any]:
    """Milliseconds a block for each way, and how many times faster than stock it is."""
    start = time.perf_counter()
    work = make_work(accounts, transfers, blocks)
    nodes = first_nodes(work)
    print(f"{accounts:,} accounts: prepared in {time.perf_counter() - start:.0f} s", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="openledger-bench-") as folder:
        runs = {name: run(Path(folder) / name, work, nodes, compact) for name, run in runners().items()}
        times = {name: next(run) for name, run in runs.items()}
        for _ in range(blocks):  # in turns, so that all meet the same load of the machine
            if len({next(run).roots[-1] for run in runs.values()}) != 1:
                raise SystemExit("the ways come to different state roots")
        for run in runs.values():
            next(run, None)
    figures = {name: found.medians() for name, found in times.items()}
    return {
        "accounts": accounts,
        "transfers": transfers,
        "milliseconds": figures,
        "times_stock": {name: figures["stock"]["total"] / found["total"] for name, found in figures.items()},
    }


def table(result: dict[str, Any]) -> list[str]:
    lines = [
        f"{result['accounts']:,} accounts, a block of {result['transfers']:,} transfers, milliseconds",
        f"{'':<9}" + "".join(f"{name:>10}" for name in (*STAGES, "total")) + f"{'x stock':>10}",
    ]
    for name, found in result["milliseconds"].items():
        cells = (f"{found[stage]:>10.1f}" if stage in found else f"{'(decode)':>10}" for stage in (*STAGES, "total"))
        lines.append(f"{name:<9}" + "".join(cells) + f"{result['times_stock'][name]:>10.1f}")
    return [*lines, ""]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--accounts", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--transfers", type=int, default=1_000)
    parser.add_argument("--blocks", type=int, default=3, help="blocks in a row; the median counts")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--compact", action="store_true", help="compact the databases before measuring")
    options = parser.parse_args(arguments)
    results = []
    for accounts in options.accounts:
        if accounts < options.transfers:
            parser.error(f"--accounts must be at least {options.transfers}")
        results.append(measure(accounts, options.transfers, options.blocks, options.compact))
        print("\n".join(table(results[-1])), flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # py-evm's tries make the interpreter's own end print an empty error

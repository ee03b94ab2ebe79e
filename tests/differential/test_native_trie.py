"""The native trie writer gives the bytes of the one in Python: root, nodes and what was there before."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from openledger.primitives.errors import CorruptDatabase
from openledger.primitives.hashing import keccak256
from openledger.state import fasttrie, trie

openledger_native = pytest.importorskip("openledger_native", reason="the native engine is not built: make native")


def random_key(rng: random.Random, mixed: bool) -> bytes:
    if rng.random() < 0.5:
        return keccak256(rng.randrange(400).to_bytes(2, "big"))
    raw = bytes(rng.randrange(256) & 0x11 for _ in range(rng.randrange(5) if mixed else 3))
    return raw if mixed else raw.ljust(32, b"\x10")


def random_value(rng: random.Random) -> bytes:
    return rng.choice(
        [b"", b"", b"\x05", b"\x80", rng.randbytes(2), rng.randbytes(31), rng.randbytes(40), rng.randbytes(300)]
    )


@pytest.mark.parametrize("mixed", [False, True])
def test_random_batches_write_the_same_nodes(mixed: bool) -> None:
    rng = random.Random(11)
    for _ in range(60):
        nodes: dict[bytes, bytes] = {}
        for _ in range(12):
            size = rng.choice([0, 1, 2, 5, 40, 400])
            batch = [(random_key(rng, mixed), random_value(rng)) for _ in range(size)]
            ours, theirs = fasttrie.update(nodes.get, batch), trie.update(nodes.get, batch)
            assert ours == theirs
            for path, blob in theirs.nodes.items():
                if blob is None:
                    del nodes[path]
                else:
                    nodes[path] = blob


def test_list_roots_are_the_same() -> None:
    rng = random.Random(12)
    for count in (0, 1, 2, 127, 128, 129, 300, 70_000):
        values = [rng.randbytes(rng.choice([1, 30, 60])) for _ in range(count)]
        assert fasttrie.ordered_trie_root(values) == trie.ordered_trie_root(values)


def test_a_missing_node_is_a_corrupt_database() -> None:
    built = fasttrie.update({}.get, [(keccak256(bytes([i])), b"x" * 40) for i in range(40)])
    nodes = {path: blob for path, blob in built.nodes.items() if blob is not None and len(path) != 1}
    with pytest.raises(CorruptDatabase):
        fasttrie.update(nodes.get, [(keccak256(b"\x01"), b"y")])


def test_keccak_is_ethereums() -> None:
    for size in (0, 1, 135, 136, 137, 1000):
        assert openledger_native.keccak256(bytes(size)) == keccak256(bytes(size))


THREADS = """
import threading
from openledger.state.fasttrie import update

def work():
    for i in range(40):
        update(lambda path: None, [(bytes([i]) * 32, b"x" * 40), (bytes([i + 1]) * 32, b"y" * 40)])

for _ in range(30):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
"""


def test_threads_may_come_and_go() -> None:
    """A thread that begins where another has ended gets memory of its own; an allocator once crashed there."""
    assert subprocess.run([sys.executable, "-c", THREADS], timeout=120, check=False).returncode == 0

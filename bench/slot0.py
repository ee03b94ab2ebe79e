"""Slot 0 of a full validator set: its size, and what building and checking it take.

    .venv/bin/python bench/slot0.py [--validators 150] [--rounds 20] [--depth 14]

Every validator reveals a verdict with two blocks of 8 rows of a model of 2^depth rows, the largest message that is
usual (about 1 KB with 16,384 rows). "check" is what each node does once a block: parse, verify 150 signatures, decode
every message. The signature cache is emptied before each round. The best round of several is the figure; the median
says how busy the machine was.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from harness import Harness

from openledger.abci_app import votes
from openledger.abci_app.modules.attribution.messages import (
    Reveal,
    ShownBlock,
    encode_extension,
    own_bytes,
    score_bytes,
)
from openledger.abci_app.protocol import messages as abci
from openledger.abci_app.protocol.canonical import extension_sign_bytes
from openledger.primitives.keys import ed25519_sign


def reveal(number: int, depth: int) -> bytes:
    """The extension of one validator, for a model of 2^depth rows."""
    proof = b"".join(bytes([number % 256, level]) * 16 for level in range(depth - 3))
    shown = tuple(
        ShownBlock(2 ** (depth - 3) - i, own_bytes([10**9] * 8), score_bytes(10**9) * 8, proof) for i in (2, 1)
    )
    return encode_extension([Reveal(900_000, 0, True, "", bytes(range(16)), bytes(32), shown)])


def commit_of(chain: Harness, height: int, depth: int) -> abci.ExtendedCommitInfo:
    """An extended commit in which everybody speaks."""
    found = []
    for number, address in enumerate(chain.addresses):
        extension = reveal(number, depth)
        signed = extension_sign_bytes(chain.genesis.chain_id, height, 0, extension)
        signature = ed25519_sign(chain.seed_of[address], signed)
        found.append(abci.ExtendedVoteInfo(abci.Validator(address, 1), extension, signature, abci.FLAG_COMMIT))
    return abci.ExtendedCommitInfo(0, tuple(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--validators", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--depth", type=int, default=14, help="of the tree over the model's rows")
    options = parser.parse_args()
    chain = Harness(powers=(1,) * options.validators)
    of = votes.Precommits(SimpleNamespace(chain_id=chain.genesis.chain_id, extensions_from=1), 1, 0)
    commit = commit_of(chain, 1, options.depth)
    times: dict[str, list[float]] = {"build": [], "check": [], "check again (signatures known)": []}
    raw = b""
    for _ in range(options.rounds):
        votes._verify.cache_clear()
        begin = time.perf_counter()
        raw = votes.build_slot0(commit, of, chain.state, 1 << 22)
        times["build"].append(time.perf_counter() - begin)
        votes._verify.cache_clear()
        for name in ("check", "check again (signatures known)"):
            begin = time.perf_counter()
            votes.read_slot0(raw, of, chain.state)
            times[name].append(time.perf_counter() - begin)
    print(
        f"{options.validators} validators, {len(reveal(0, options.depth)):,} bytes each: slot 0 has {len(raw):,} bytes"
    )
    for name, found in times.items():
        print(f"{name:<32} best {1000 * min(found):6.2f} ms   median {1000 * statistics.median(found):6.2f} ms")


if __name__ == "__main__":
    main()

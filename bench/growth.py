"""What a byte of state costs: gas for each byte by which the head state (flat tables and trie) grows, by kind.

    .venv/bin/python bench/growth.py

Blocks of the real application in memory. "A day at the floor": blocks at the gas target, one a second, at the lowest
base fee, which does not rise by them. No clock takes part, so the figures are the same on every machine.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from harness import ACCOUNTS, Harness

from openledger.abci_app.action import Action
from openledger.abci_app.modules.datanets.commit import DatanetCommit
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.datanets.promise import DatanetPromise
from openledger.abci_app.modules.datanets.records import Part, Removal
from openledger.primitives.amounts import OPEN
from openledger.state import layout

HEAD = (layout.ACCOUNT, layout.STORAGE, layout.RECORD, layout.CODE, layout.ACCOUNT_NODE, layout.STORAGE_NODE)
DAY = 86_400
STORE = bytes.fromhex("5f355b808055600101" + "5a61c350106002" + "5700")
"""Writes new slots from the number in its call data on, for as long as there are 50,000 gas left."""


def size(chain: Harness) -> int:
    return sum(len(key) + len(value) for key, value in chain.kv.iterate(b"", None) if key[:1] in HEAD)


def measure(name: str, chain: Harness, make: Callable[[int], bytes], count: int) -> None:
    """``count`` blocks of one transaction each."""
    before, gas = size(chain), 0
    for number in range(count):
        chain.finalize(chain.propose(1, [make(number)]))
        sealed = chain.app.store.block(chain.app.head().number)
        assert sealed is not None
        assert sealed.receipts[-1].status == 1, name
        gas += sealed.receipts[-1].gas_used
    grown, params = size(chain) - before, chain.app.params()
    target = params.block_gas_limit // params.elasticity
    price = target * DAY * params.base_fee_floor / OPEN
    print(
        f"| {name} | {gas // count:,} | {grown // count:,} | {gas / grown:.0f} | "
        f"{target * DAY / gas * grown / 1e9:.0f} GB for {price:.0f} OPEN |"
    )


def native(chain: Harness, action: Action) -> bytes:
    account = chain.state.account(ACCOUNTS[0][0])
    return chain.native(0, action, nonce=account.nonce if account else 0)


def commits(draw: random.Random, chain: Harness) -> Callable[[int], bytes]:
    """Versions of 64 parts, each with one part in the place of another."""
    owner = ACCOUNTS[0][0]
    parts = [Part(owner, draw.randbytes(32), 1) for _ in range(63)]
    chain.act(0, DatanetCreate("d"))
    chain.act(0, DatanetCommit(1, 0, draw.randbytes(32), 63, tuple(parts)))

    def make(number: int) -> bytes:
        old = parts.pop(0)
        parts.append(Part(owner, draw.randbytes(32), 1))
        gone = (Removal(old.contributor, old.blob),)
        return native(chain, DatanetCommit(1, 1 + number, draw.randbytes(32), 63, (parts[-1],), gone))

    return make


def slots(chain: Harness) -> Callable[[int], bytes]:
    init = b"\x60" + bytes([len(STORE)]) + b"\x80\x60\x09\x3d\x39\x3d\xf3" + STORE
    raw = chain.transfer(6, None, 0, gas=300_000, data=init)  # type: ignore[arg-type]
    chain.touched.discard(None)  # type: ignore[arg-type]
    chain.submit(raw)
    to = chain.include(raw).contract_address or b""

    def make(number: int) -> bytes:
        account = chain.state.account(ACCOUNTS[6][0])
        data = (1_000 * number + 1).to_bytes(32, "big")
        return chain.transfer(6, to, 0, gas=5_000_000, data=data, nonce=account.nonce if account else 0)

    return make


def main() -> None:
    draw = random.Random(1)
    print("| what | gas | bytes of state | gas a byte | a day at the floor |\n| --- | --- | --- | --- | --- |")
    chain = Harness()
    measure("storage slots of a contract, 5,000,000 gas at a time", chain, slots(chain), 20)
    chain = Harness()
    measure("`datanet.promise`", chain, lambda _: native(chain, DatanetPromise(draw.randbytes(32))), 100)
    chain = Harness()
    long = DatanetCreate("d" * 64, "x" * 1_024)
    measure("`datanet.create`, a description of 1,024 bytes", chain, lambda _: native(chain, long), 100)
    chain = Harness()
    measure("`datanet.commit`, 63 parts of which one is new", chain, commits(draw, chain), 100)


if __name__ == "__main__":
    main()

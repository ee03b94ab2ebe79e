"""The same transactions through two chains, one on each engine: the same app hash after every block."""

from __future__ import annotations

import random

import pytest
from harness import ACCOUNTS, Harness

from openledger.abci_app.registry import PRECOMPILES
from openledger.primitives.amounts import GWEI
from openledger.primitives.transactions import sign_transaction

native = pytest.importorskip("openledger.evm.native", reason="the native engine is not built: make native")

COUNTER = bytes.fromhex("600a600c600039600a6000f35f546001015f55000000")  # storage[0] += 1
TARGET = b"\x77" * 20


def random_block(rng: random.Random, chain: Harness, contracts: list[bytes]) -> list[bytes]:
    """Transfers, creations and calls; some of them with a wrong nonce or without enough gas."""
    raws, nonces = [], {}
    for _ in range(rng.randrange(1, 8)):
        sender = rng.randrange(5)
        address, secret = ACCOUNTS[sender]
        nonce = nonces.setdefault(sender, chain.nonce(address))
        to = rng.choice([TARGET, ACCOUNTS[rng.randrange(5)][0], None, *contracts])
        raws.append(
            sign_transaction(
                secret, chain_id=chain.genesis.evm_chain_id, nonce=nonce + rng.choice([0, 0, 0, 0, 3]), to=to,
                value=0 if to is None or to in contracts else rng.randrange(10**18),
                data=COUNTER if to is None else b"",
                gas=rng.choice([200_000, 200_000, 60_000]), max_fee=20 * GWEI, max_priority_fee=rng.randrange(3) * GWEI,
            )
        )  # fmt: skip
        nonces[sender] += 1
    return raws


def test_both_engines_make_the_same_chain() -> None:
    rng = random.Random(21)
    chains = Harness(engine=native.NativeEngine(precompiles=dict(PRECOMPILES))), Harness()
    for chain in chains:
        chain.touched.add(TARGET)
    contracts: list[bytes] = []
    for _ in range(25):
        raws = random_block(rng, chains[1], contracts)
        blocks = []
        for chain in chains:
            for raw in raws:
                chain.submit(raw)
            blocks.append(chain.block())
        ours, theirs = blocks
        assert ours == theirs
        assert chains[0].app.head().hash == chains[1].app.head().hash
        contracts += [receipt.contract_address for receipt in ours if receipt.contract_address and receipt.status]
    assert contracts
    assert sum(chains[0].app.engine.cache_size()) > 0

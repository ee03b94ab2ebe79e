"""The program that the kill test ends: a solo node under load on LevelDB, without its RPC.

For each folder named on a line of standard input: a forked process opens it, says ``open HEIGHT APP_HASH``, sends
transfers and native actions without pause, says ``writing`` before each batch of the database and
``block HEIGHT HASH APP_HASH`` after each commit. ``dead`` follows when it has ended.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from openledger.abci_app.action import build_native
from openledger.abci_app.application import Application
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.ports import Silence
from openledger.evm.pyevm import PyEvmEngine
from openledger.genesis.genesis import Genesis, GenesisValidator
from openledger.genesis.presets import dev_accounts, devnet_genesis
from openledger.node.engines.solo import SoloEngine
from openledger.primitives.amounts import GWEI
from openledger.primitives.hashing import keccak256
from openledger.primitives.keys import consensus_address, ed25519_public
from openledger.primitives.transactions import sign_transaction
from openledger.state.leveldb import LevelDbStore
from openledger.state.store import StateStore

SEED = bytes(range(1, 33))
ACCOUNTS = dev_accounts()
SENDERS = 5
IN_FLIGHT = 30


def genesis() -> Genesis:
    """The same chain every time."""
    validator = GenesisValidator(ed25519_public(SEED), 10, ACCOUNTS[9][0], "one")
    return devnet_genesis((validator,), 1_700_000_000 * 10**9)


def open_application(folder: str | Path, store: type[LevelDbStore] = LevelDbStore) -> Application:
    """The application on the database of a folder."""
    address = consensus_address(ed25519_public(SEED))
    return Application(genesis(), StateStore(store(folder)), PyEvmEngine(), Silence(), address)


class TellingStore(LevelDbStore):
    """Says when a batch begins to be written."""

    def write(self, puts: Sequence[tuple[bytes, bytes]], deletes: Sequence[bytes] = (), *, sync: bool = True) -> None:
        print("writing", flush=True)
        super().write(puts, deletes, sync=sync)


async def live(folder: str) -> None:
    """Blocks under load, for ever."""
    app = open_application(folder, TellingStore)
    head = app.head()
    print("open", head.number, head.state_root.hex(), flush=True)

    def tell(height: int) -> None:
        done = app.head()
        print("block", height, done.hash.hex(), done.state_root.hex(), flush=True)

    engine = SoloEngine(app, seed=SEED, tick_seconds=0.01)
    engine.on_commit(tell)
    await engine.start()
    count = 0
    while True:
        if len(app.mempool.transactions()) >= IN_FLIGHT:
            await asyncio.sleep(0.001)
            continue
        count += 1
        address, secret = ACCOUNTS[count % SENDERS]
        nonce = app.mempool.pending_nonce(address)
        if count % 7 == 0:
            raw = build_native(
                secret, chain_id=app.genesis.evm_chain_id, nonce=nonce, max_priority_fee=GWEI, max_fee=5 * GWEI,
                action=DatanetCreate(f"{nonce}"),
            )  # fmt: skip
        else:
            target = keccak256((nonce % 300).to_bytes(8, "big") + address)[:20]
            raw = sign_transaction(
                secret, chain_id=app.genesis.evm_chain_id, nonce=nonce, to=target, value=1 + nonce, gas=21_000,
                max_fee=5 * GWEI, max_priority_fee=GWEI,
            )  # fmt: skip
        await engine.submit(raw)
        await asyncio.sleep(0)


def main() -> None:
    """Serve folders until standard input ends."""
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(live(line.strip()))
        print("pid", child, flush=True)
        os.waitpid(child, 0)
        print("dead", flush=True)


if __name__ == "__main__":
    main()

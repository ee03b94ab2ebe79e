"""The real application on LevelDB behind one ABCI address, until it is killed: ``node.py ADDRESS FOLDER GENESIS``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from openledger.abci_app.application import Application
from openledger.abci_app.ports import Silence
from openledger.abci_app.protocol.server import AbciServer
from openledger.evm.pyevm import PyEvmEngine
from openledger.genesis.genesis import Genesis
from openledger.state.leveldb import LevelDbStore
from openledger.state.store import StateStore


async def serve(address: str, folder: Path, genesis: Genesis) -> None:
    store = StateStore(LevelDbStore(folder))
    app = Application(genesis, store, PyEvmEngine(), Silence(), genesis.validators[0].address)
    over = asyncio.Event()
    server = AbciServer(app, address, on_fault=lambda err: over.set())
    await server.start()
    print(server.address, flush=True)
    await over.wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2]), Genesis.from_json(Path(sys.argv[3]).read_text())))

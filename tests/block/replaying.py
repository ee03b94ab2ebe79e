"""A process of its own that runs recorded blocks again: prints the app hash of each height and the updates of the set.

python replaying.py GENESIS RECORDING ENGINE
"""

from __future__ import annotations

import sys
from pathlib import Path

from openledger.abci_app.application import Application
from openledger.abci_app.ports import Silence
from openledger.abci_app.registry import PRECOMPILES
from openledger.evm.engines import load_engine
from openledger.genesis.genesis import Genesis
from openledger.node.engines.common import init_chain_request
from openledger.node.engines.recorder import read_recording
from openledger.state.memory import MemoryStore
from openledger.state.store import StateStore


def main(genesis_file: str, recording: str, engine: str) -> None:
    """As CometBFT replays: InitChain, then FinalizeBlock and Commit for each block, without any proposal."""
    genesis = Genesis.from_json(Path(genesis_file).read_text())
    app = Application(
        genesis, StateStore(MemoryStore()), load_engine(engine, precompiles=dict(PRECOMPILES)), Silence(), None
    )
    app.init_chain(init_chain_request(genesis))
    for request in read_recording(Path(recording)):
        response = app.finalize_block(request)
        app.commit()
        updates = [(u.pub_key.hex(), u.power) for u in response.validator_updates]
        print(request.height, response.app_hash.hex(), app.head().hash.hex(), updates)


if __name__ == "__main__":
    main(*sys.argv[1:])

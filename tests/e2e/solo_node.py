"""A solo node with a database on disk, in a thread of its own, for clients that bring their own loop or process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from openledger.abci_app.application import Application
from openledger.abci_app.ports import Silence
from openledger.abci_app.registry import PRECOMPILES
from openledger.evm.pyevm import PyEvmEngine
from openledger.genesis.genesis import GenesisValidator
from openledger.genesis.presets import dev_accounts, devnet_genesis
from openledger.node.engines.solo import SoloEngine
from openledger.primitives.hashing import keccak256
from openledger.primitives.keys import consensus_address, ed25519_public
from openledger.rpc.backend import Backend
from openledger.rpc.server import RpcServer
from openledger.state.blobs import BlobStore
from openledger.state.leveldb import LevelDbStore
from openledger.state.store import StateStore

SEED = bytes(range(1, 33))


@dataclass(frozen=True)
class SoloNode:
    """Where it listens; the secrets of its funded accounts; bytecode of a small contract.

    The contract adds one to slot 0 for any call data, emits ``Bumped(uint256)`` and returns the sum; a call without
    data reverts with Error("no").
    """

    url: str
    socket_url: str
    secrets: tuple[str, ...]
    bytecode: str


def _push(raw: bytes) -> bytes:
    return bytes([0x5F + len(raw)]) + raw


def counter_bytecode() -> str:
    """Creation code of the contract, by hand."""
    text = [(0, bytes.fromhex("08c379a0").ljust(32, b"\0")), (4, b"\x20"), (36, b"\x02"), (68, b"no".ljust(32, b"\0"))]
    revert = b"".join(_push(value) + _push(bytes([at])) + b"\x52" for at, value in text) + bytes.fromhex("60646000fd")
    topic = keccak256(b"Bumped(uint256)").hex()
    bump = bytes.fromhex("600054600101806000556000527f" + topic + "60206000a160206000f3")
    runtime = b"\x36\x60" + bytes([4 + len(revert)]) + b"\x57" + revert + b"\x5b" + bump
    head = _push(bytes([len(runtime)])) + bytes.fromhex("80600b6000396000f3")
    return "0x" + (head.ljust(11, b"\0") + runtime).hex()


async def _serve(folder: Path, ready: list[int], stop: asyncio.Event, started: threading.Event) -> None:
    validator = GenesisValidator(ed25519_public(SEED), 10, dev_accounts()[9][0], "one")
    genesis = devnet_genesis((validator,), time.time_ns())
    database = LevelDbStore(folder / "state")
    address = consensus_address(ed25519_public(SEED))
    app = Application(genesis, StateStore(database), PyEvmEngine(precompiles=dict(PRECOMPILES)), Silence(), address)
    engine = SoloEngine(app, seed=SEED)
    await engine.start()
    backend = Backend(app, engine, BlobStore(str(folder / "blobs")), "openledger/test", dict)
    server = RpcServer(backend, "127.0.0.1", 0)
    await server.start()
    ready.append(server.port)
    started.set()
    await stop.wait()
    await server.stop()
    await engine.stop()
    database.close()


@contextmanager
def solo_node(folder: Path) -> Iterator[SoloNode]:
    """Run a node while the context is open."""
    ready: list[int] = []
    started = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    def run() -> None:
        try:
            loop.run_until_complete(_serve(folder, ready, stop, started))
        finally:
            started.set()
            loop.close()

    thread = threading.Thread(target=run, name="solo-node")
    thread.start()
    try:
        started.wait(60)
        host = f"127.0.0.1:{ready[0]}"
        secrets = tuple("0x" + secret.hex() for _, secret in dev_accounts())
        yield SoloNode(f"http://{host}", f"ws://{host}", secrets, counter_bytecode())
    finally:
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
        thread.join(60)

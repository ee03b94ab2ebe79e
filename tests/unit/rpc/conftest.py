"""A real chain behind the server: application, py-evm, solo engine, memory store; and a way to ask it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from openledger.abci_app.application import Application
from openledger.abci_app.ports import Silence
from openledger.abci_app.registry import PRECOMPILES
from openledger.evm.engines import ENGINE_NAMES, load_engine, native_available
from openledger.genesis.genesis import GenesisValidator
from openledger.genesis.presets import dev_accounts, devnet_genesis
from openledger.node.engines.controls import DevnetControls
from openledger.node.engines.solo import SoloEngine
from openledger.node.vitals import Vitals
from openledger.primitives.hashing import keccak256
from openledger.primitives.keys import consensus_address, ed25519_public
from openledger.primitives.transactions import sign_transaction
from openledger.rpc.backend import Backend, RpcSettings
from openledger.rpc.server import RpcServer
from openledger.state.blobs import BlobStore
from openledger.state.memory import MemoryStore
from openledger.state.store import StateStore

SEED = bytes(range(1, 33))
GWEI = 10**9


@dataclass
class Chain:
    """A running node without a process: ask it by ``call``; ``secrets`` are of its funded accounts."""

    app: Application
    engine: SoloEngine
    server: RpcServer
    http: aiohttp.ClientSession
    ids: Any = field(default_factory=lambda: itertools.count(1))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    @property
    def secrets(self) -> list[bytes]:
        return [secret for _, secret in dev_accounts()]

    @property
    def addresses(self) -> list[bytes]:
        return [address for address, _ in dev_accounts()]

    async def post(self, body: Any, **options: Any) -> Any:
        async with self.http.post(self.url + "/", json=body, **options) as response:
            return await response.json()

    async def ask(self, method: str, *params: Any) -> dict[str, Any]:
        """The whole answer."""
        request = {"jsonrpc": "2.0", "id": next(self.ids), "method": method, "params": list(params)}
        return await self.post(request)

    async def call(self, method: str, *params: Any) -> Any:
        """The result; fails for an error."""
        answer = await self.ask(method, *params)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    async def error(self, method: str, *params: Any) -> dict[str, Any]:
        """The error; fails for a result."""
        answer = await self.ask(method, *params)
        assert "error" in answer, answer
        return answer["error"]

    def signed(self, account: int = 0, nonce: int = 0, **fields: Any) -> bytes:
        """Raw bytes of an EIP-1559 transaction of a funded account."""
        values = {"to": self.addresses[1], "max_fee": 4 * GWEI, "max_priority_fee": GWEI} | fields
        return sign_transaction(self.secrets[account], chain_id=self.app.genesis.evm_chain_id, nonce=nonce, **values)

    async def send(self, account: int = 0, nonce: int = 0, **fields: Any) -> dict[str, Any]:
        """Send a transaction and give its receipt."""
        return await self.call("eth_sendRawTransactionSync", "0x" + self.signed(account, nonce, **fields).hex())


async def start_chain(folder: Path, settings: RpcSettings, evm: str = "py-evm", **solo: Any) -> Chain:
    validator = GenesisValidator(ed25519_public(SEED), 10, dev_accounts()[9][0], "one")
    genesis = devnet_genesis((validator,), time.time_ns(), solo=True)
    address = consensus_address(ed25519_public(SEED))
    machine = load_engine(evm, precompiles=dict(PRECOMPILES))
    app = Application(genesis, StateStore(MemoryStore()), machine, Silence(), address)
    engine = SoloEngine(app, seed=SEED, **solo)
    await engine.start()
    blobs = BlobStore(str(folder / "blobs"), settings.max_blob)
    controls = DevnetControls(engine, app, dict(dev_accounts()))
    backend = Backend(app, engine, blobs, "openledger/test", lambda: {"oracle": "off"}, settings, controls.next_time)
    backend.devnet = controls
    backend.vitals = Vitals(app, engine, folder)
    server = RpcServer(backend, "127.0.0.1", 0)
    await server.start()
    return Chain(app, engine, server, aiohttp.ClientSession())


async def stop_chain(chain: Chain) -> None:
    await chain.http.close()
    await chain.server.stop()
    await chain.engine.stop()


@pytest.fixture
def settings() -> RpcSettings:
    """Overridden by tests of bounds."""
    return RpcSettings()


@pytest.fixture
async def chain(tmp_path: Path, settings: RpcSettings) -> AsyncIterator[Chain]:
    running = await start_chain(tmp_path, settings)
    yield running
    await stop_chain(running)


@pytest.fixture(params=[name for name in ENGINE_NAMES if name != "auto"])
async def any_chain(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Chain]:
    """A chain on each of the engines."""
    if request.param == "revm" and not native_available():
        pytest.skip("the native engine is not built")
    running = await start_chain(tmp_path, RpcSettings(), request.param)
    yield running
    await stop_chain(running)


@pytest.fixture
async def idle_chain(tmp_path: Path) -> AsyncIterator[Chain]:
    """A chain that makes no block of itself: what is sent waits."""
    running = await start_chain(tmp_path, RpcSettings(), block_time_ms=3_600_000)
    yield running
    await stop_chain(running)


def push(raw: bytes) -> bytes:
    return bytes([0x5F + len(raw)]) + raw


@dataclass(frozen=True)
class Counter:
    """A contract without a compiler: any call data adds one to slot 0, logs and returns the sum; a call without data
    reverts with Error("no")."""

    topic: str = "0x" + keccak256(b"Bumped(uint256)").hex()

    @property
    def runtime(self) -> bytes:
        error = [
            (0, bytes.fromhex("08c379a0").ljust(32, b"\0")),
            (4, b"\x20"),
            (0x24, b"\x02"),
            (0x44, b"no".ljust(32, b"\0")),
        ]
        revert = b"".join(push(value) + push(bytes([at])) + b"\x52" for at, value in error) + bytes.fromhex(
            "60646000fd"
        )
        bump = bytes.fromhex("600054600101806000556000527f" + self.topic[2:] + "60206000a160206000f3")
        return b"\x36\x60" + bytes([4 + len(revert)]) + b"\x57" + revert + b"\x5b" + bump

    @property
    def init(self) -> bytes:
        """Creation code: copies what follows it."""
        head = push(bytes([len(self.runtime)])) + b"\x80\x60\x0b\x60\x00\x39\x60\x00\xf3"
        return head.ljust(11, b"\0") + self.runtime


@pytest.fixture
def counter() -> Counter:
    return Counter()


def threads_of(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[int]:
    """The thread of each call of ``owner.name`` from now on."""
    threads, call = list[int](), getattr(owner, name)

    def watched(*args: Any) -> Any:
        threads.append(threading.get_ident())
        return call(*args)

    monkeypatch.setattr(owner, name, watched)
    return threads

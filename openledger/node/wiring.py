"""Builds a node of its parts and runs it: database, application, engine, oracle, consensus, RPC.

    folder/genesis.json   the chain                    folder/state/    LevelDB, opened by this process only
    folder/blobs/         contents by sha256           folder/oracle/   seeds, salts and verdicts of the oracle

The parts know each other through ports only; this file is where they are plugged together, and the order of starting
and stopping is written here once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from openledger import __version__
from openledger.genesis.genesis import Genesis
from openledger.node.checks import has_torch, port_is_free
from openledger.node.config import Config, base_folders, own_url
from openledger.node.processes import HomeLock, raise_file_limit, stop_signals
from openledger.primitives.errors import InvalidGenesis, MissingExtra, PortTaken, WrongDataFolder
from openledger.primitives.types import Address, to_hex
from openledger.rpc.ports import ConsensusClient, Devnet

if TYPE_CHECKING:
    from openledger.abci_app.application import Application
    from openledger.evm.engine import EvmEngine
    from openledger.evm.precompiles import NativePrecompile
    from openledger.node.administration import Administration
    from openledger.node.blob_exchange import BlobExchange
    from openledger.node.fork import Point
    from openledger.node.oracle_bridge import OracleBridge
    from openledger.node.snapshotting import Snapshotter
    from openledger.node.vitals import Vitals
    from openledger.rpc.server import RpcServer
    from openledger.state.leveldb import LevelDbStore
    from openledger.state.ports import KeyValue

log = logging.getLogger(__name__)


class ConsensusEngine(ConsensusClient, Protocol):
    """What both engines are to the wiring: the way into the chain, with a life."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def wait(self) -> None:
        """Return when the engine was stopped; raise the fault that stopped it otherwise."""
        ...


MEGABYTE = 1024 * 1024

EngineFactory = Callable[["Application"], ConsensusEngine]
ControlsFactory = Callable[[ConsensusEngine, "Application"], Devnet]


@dataclass(frozen=True)
class NodeSettings:
    """One node: where it lives, which chain, and the parts that differ between devnet and network. ``stale`` seconds
    without a block mean that something is wrong; 0 where blocks come on demand."""

    folder: Path
    genesis: Genesis
    config: Config
    make_engine: EngineFactory
    mode: str
    validator: bytes | None = None
    lite: bool = False
    stale: float = 0.0
    make_controls: ControlsFactory | None = None
    fork: Point | None = None

    def over(self, database: KeyValue) -> KeyValue:
        """The database as the state sees it: a fork's has another chain beneath."""
        if self.fork is None:
            return database
        from openledger.node.fork import ForkedStore, Upstream

        return ForkedStore(database, Upstream(self.fork.url), self.fork.block)


def read_genesis(path: Path) -> Genesis:
    """The genesis file of a folder. Raises InvalidGenesis."""
    try:
        return Genesis.from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidGenesis(f"there is no genesis file at {path}", "`openledger init` writes one") from None
    except (OSError, UnicodeDecodeError) as err:
        raise InvalidGenesis(f"the genesis file cannot be read: {err}") from None


def oracle_state(config: Config, lite: bool) -> tuple[bool, str]:
    """Whether to start the oracle process, and the sentence for people.

    Raises MissingExtra when the configuration asks for it and torch is missing.
    """
    if lite or config.oracle.enabled == "off":
        return False, "off: this node follows the chain and votes silence; training, serving and the demo need it"
    if has_torch():
        return True, "on"
    if config.oracle.enabled == "on":
        raise MissingExtra("the oracle is configured on, but torch is not installed", "make install-oracle")
    return False, "off: torch is not installed, so this node votes silence (make install-oracle)"


def call_workers(config: Config) -> int:
    """Processes for calls and traces."""
    return config.rpc.call_workers or max(2, min(4, os.cpu_count() or 1))


def choose_engine(config: Config, genesis: Genesis, precompiles: Mapping[Address, NativePrecompile]) -> EvmEngine:
    """The EVM engine of the configuration. Raises MissingExtra when it is not built, or when several validators would
    wait for the Python engine: one block full of pairings takes it minutes."""
    from openledger.evm.engines import load_engine

    evm = load_engine(config.chain.engine, precompiles=precompiles)
    if evm.name == "py-evm" and len(genesis.validators) > 1 and config.chain.engine != "py-evm":
        raise MissingExtra(
            f"a network of {len(genesis.validators)} validators needs the native engine, and it is not built",
            'make native; or set engine = "py-evm" under [chain] when you accept to fall behind',
        )
    return evm


class Node:
    """A running node. ``start`` opens everything or raises one clear error; ``stop`` may be called at any time."""

    def __init__(self, settings: NodeSettings) -> None:
        self.settings = settings
        self.rpc_port = settings.config.rpc.port
        self.oracle_on, self.oracle_text = oracle_state(settings.config, settings.lite)
        self.evm_name = ""
        self.started = time.time()
        self._stopping = asyncio.Event()
        self._lock = HomeLock(settings.folder)
        self._database: LevelDbStore | None = None
        self._bridge: OracleBridge | None = None
        self._server: RpcServer | None = None
        self._snapshots: Snapshotter | None = None
        self._exchange: BlobExchange | None = None
        self._administration: Administration | None = None
        self.engine: ConsensusEngine | None = None
        self.app: Application | None = None
        self.vitals: Vitals | None = None
        self._controls: Devnet | None = None

    @property
    def genesis(self) -> Genesis:
        """The chain of this node."""
        return self.settings.genesis

    @property
    def folder(self) -> Path:
        """Where the node keeps its data."""
        return self.settings.folder

    @property
    def url(self) -> str:
        """Where RPC and web page are."""
        return own_url(self.settings.config.rpc.host, self.rpc_port)

    @property
    def blobs_url(self) -> str:
        return self.settings.config.blobs.url or str(self.settings.folder / "blobs")

    async def start(self) -> None:
        """Open the database, then oracle, engine and RPC. Raises an OpenLedgerError leaf; nothing stays open then."""
        rpc = self.settings.config.rpc
        raise_file_limit()
        self._lock.take()
        try:
            if rpc.port and not port_is_free(rpc.host, rpc.port):
                raise PortTaken(f"port {rpc.port} is in use", "another node may be running; choose a port with --port")
            await self._open()
        except BaseException:
            await self.stop()
            raise

    async def _open(self) -> None:
        from openledger.abci_app.application import Application
        from openledger.abci_app.ports import Silence, VerdictSource
        from openledger.abci_app.registry import PRECOMPILES
        from openledger.node.administration import Administration
        from openledger.node.blob_exchange import BlobExchange
        from openledger.node.blob_following import BlobFollower
        from openledger.node.evidence import EvidenceProcess
        from openledger.node.joining import header_hashes
        from openledger.node.meters import Meters
        from openledger.node.snapshotting import Snapshotter
        from openledger.node.vitals import Vitals
        from openledger.rpc.backend import Backend, RpcSettings
        from openledger.rpc.server import RpcServer
        from openledger.state.blobs import BlobStore
        from openledger.state.leveldb import LevelDbStore
        from openledger.state.snapshots import SnapshotShelf
        from openledger.state.store import StateStore

        settings, config = self.settings, self.settings.config
        self._database = LevelDbStore(
            settings.folder / "state",
            cache_bytes=config.database.cache_mb * MEGABYTE,
            write_buffer_bytes=config.database.write_buffer_mb * MEGABYTE,
            open_files=config.database.open_files,
        )
        store = StateStore(
            settings.over(self._database),
            archive=config.chain.archive,
            keep=config.chain.keep,
            partial=settings.fork is not None,
            first=settings.genesis.initial_height - 1,
        )
        blobs = BlobStore(self.blobs_url, config.blobs.max_bytes)
        if config.blobs.peers:
            self._exchange = BlobExchange(blobs, config.blobs.peers)
        verdicts: VerdictSource = Silence()
        if self.oracle_on:
            from openledger.node.oracle_bridge import OracleBridge

            verdicts = self._bridge = OracleBridge(
                self.blobs_url,
                settings.folder / "oracle",
                settings.genesis.chain_id,
                fetch=None if self._exchange is None else self._exchange.fetch,
                memory_mb=config.oracle.memory_mb,
                bases=base_folders(config),
                block_hash=store.block_hash,
            )
        evm = choose_engine(config, settings.genesis, dict(PRECOMPILES))
        self.evm_name = evm.name
        shelf = SnapshotShelf(settings.folder / "snapshots")
        meters = Meters(settings.validator or b"")
        meters.watch_engine(evm)
        self.app = Application(
            settings.genesis, store, evm, verdicts, settings.validator, shelf, config.chain.keep_blocks,
            header_hashes(config.statesync.rpc_servers), lambda: shutil.disk_usage(settings.folder).free,
        )  # fmt: skip
        meters.watch_application(self.app)
        interval = config.snapshots.interval if settings.mode == "cometbft" else 0
        self._snapshots = Snapshotter(store, shelf, interval, config.snapshots.keep)
        self._administration = Administration(settings.folder, store, self._snapshots)
        self.engine = settings.make_engine(self.app)
        self.engine.on_commit(self._snapshots.committed)
        self.vitals = Vitals(self.app, self.engine, settings.folder, settings.stale, self._bridge, meters)
        if self._exchange is not None:
            self.engine.on_commit(BlobFollower(self.app.state, self._exchange.want).committed)
            await self._exchange.start()
        if self._bridge is not None:
            await self._bridge.start()
        given: dict[str, Any] = {
            item.name: getattr(config.rpc, item.name, item.default) for item in fields(RpcSettings)
        }
        blob_bounds = {"max_blob": config.blobs.max_bytes, "max_blobs": config.blobs.total_bytes}
        bounds = RpcSettings(**given | blob_bounds | {"call_workers": call_workers(config)})
        controls = self._controls = settings.make_controls(self.engine, self.app) if settings.make_controls else None
        version = client_version(solo=controls is not None)
        backend = Backend(self.app, self.engine, blobs, version, self.status, bounds)
        backend.devnet, backend.vitals = controls, self.vitals
        if controls is not None:
            backend.clock = controls.next_time
            self._watch_reverts(controls)
        backend.admin, backend.blob_peers = self._administration, self._exchange
        backend.evidence = EvidenceProcess.of(self.blobs_url, config.rpc.evidence_seconds, base_folders(config))
        backend.comet_url = config.consensus.rpc.replace("tcp://", "http://") if settings.mode == "cometbft" else ""
        self._server = self.vitals.server = RpcServer(backend, config.rpc.host, config.rpc.port)
        self.vitals.start()
        await self._server.start()  # before the engine: what is known can be read while blocks are replayed
        self.rpc_port = self._server.port
        self._administration.open(self.url)
        await self.engine.start()

    def _watch_reverts(self, controls: Devnet) -> None:
        """When a devnet goes back, the oracle forgets the claims whose numbers will be given anew."""
        from openledger.abci_app.modules.attribution.records import CLAIM_COUNT

        app, bridge = self.app, self._bridge
        if app is not None and bridge is not None:
            controls.before_revert(lambda height: bridge.forget_after(CLAIM_COUNT.get(app.store.reader(height))))

    async def stop(self) -> None:
        """Stop in the reverse order; the database last, so that no acknowledged block is lost."""
        for part in (self._server, self.engine, self._bridge, self._exchange):
            if part is not None:
                await part.stop()
        self._server = self.engine = self._bridge = self._exchange = None
        if self._administration is not None:
            self._administration.close()
        if self._snapshots is not None:
            await asyncio.to_thread(self._snapshots.stop)
        self._administration = self._snapshots = None
        if self.vitals is not None:
            await self.vitals.stop()
        if self._database is not None:
            if self._controls is not None:
                await self._controls.stop()
                self._controls = None
            self._database.close()
            self._database = None
        self._lock.release()

    def status(self) -> dict[str, Any]:
        """The node's own facts for openledger_getNodeStatus."""
        genesis = self.settings.genesis
        return {
            "version": __version__,
            "mode": self.settings.mode,
            "engine": self.evm_name,
            "oracle": self.oracle_text,
            "cometChainId": genesis.chain_id,
            "genesis": to_hex(genesis.digest),
            "startedAt": int(self.started),
        }

    async def run(self, ready: Callable[[Node], None]) -> None:
        """Start, tell ``ready``, run until it is asked to end, and stop. Raises the fault that stopped the engine."""
        loop = asyncio.get_running_loop()
        ends = stop_signals()
        for number in ends:
            loop.add_signal_handler(number, self._stopping.set)
        try:
            if await self._start_unless_stopped():
                ready(self)
                await self._until_over()
        finally:
            await self.stop()
            for number in ends:
                loop.remove_signal_handler(number)

    async def _start_unless_stopped(self) -> bool:
        """Start; False when a signal came first: a replay can take long, and nobody should have to wait for it."""
        starting, over = asyncio.create_task(self.start()), asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({starting, over}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                return True
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await starting
            return False
        finally:
            over.cancel()

    async def _until_over(self) -> None:
        """Until a signal, or until the engine ends by itself."""
        if self.engine is None:
            return
        waits = [asyncio.ensure_future(self.engine.wait()), asyncio.ensure_future(self._stopping.wait())]
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if waits[0] in done:
                waits[0].result()
        finally:
            for task in waits:
                task.cancel()


def client_version(*, solo: bool = False) -> str:
    """What web3_clientVersion says. Hardhat's helpers use a devnet's controls only where it begins with a name that
    they know; a solo devnet answers to anvil's."""
    name = f"OpenLedger/v{__version__}/{sys.platform}/python{sys.version_info[0]}.{sys.version_info[1]}"
    return f"anvil-compatible/{name}" if solo else name


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """asyncio.run, on uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
        return
    uvloop.run(main)


def write_private(path: Path, text: str) -> None:
    """A new file that only its owner may read. Raises WrongDataFolder when it is there already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise WrongDataFolder(f"{path} exists already", "choose another --home") from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())

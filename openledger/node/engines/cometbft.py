"""CometBFT in another process: our ABCI server in front of the application, CometBFT behind it. Transactions are
admitted here (submission.py) and told to CometBFT behind the acknowledgement: over its RPC with the flood mempool
(handing.py), by ReapTxs with the app mempool.

CometBFT is our child (``child.CometChild``), or somebody else's process that connects to our socket (``external``).
Either may go away and come back: reads of the chain go on meanwhile. When going on would be wrong, or the application
fails, the engine ends and says why; ``wait`` raises it, and ``on_fault`` is told. CometBFT takes care of its own replay
when it comes back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp

from openledger.abci_app.protocol import messages as m
from openledger.abci_app.protocol.server import AbciApplication, AbciServer
from openledger.node.engines.binary import CometBinary, check_handshake, find_cometbft
from openledger.node.engines.child import CometChild
from openledger.node.engines.common import Life, Listeners
from openledger.node.engines.guard import SignGuard
from openledger.node.engines.handing import Handing, Telling
from openledger.node.engines.home import node_id, read_config
from openledger.node.engines.recorder import Recorder
from openledger.node.engines.submission import AdmittingApplication, Submission
from openledger.node.engines.wal import EndMark
from openledger.node.pool_journal import PoolJournal
from openledger.primitives.errors import InvalidConfig, KeystoreError, NodeUnreachable, SignerFault
from openledger.primitives.types import Hash32
from openledger.rpc.ports import ConsensusStatus

log = logging.getLogger(__name__)

_MAX_UNIX_PATH = 100
_POLL_SECONDS = 0.05
_ANSWER_SECONDS = 2.0
"""A CometBFT that takes longer to say how it is is as good as away."""
_WATCH_SECONDS = 1.0
_TELL_SECONDS = 10.0
_FIELDS = {"status": {"node_info", "sync_info", "validator_info"}, "net_info": {"n_peers"}}
"""What is asked of CometBFT, and what stands in the answer."""


class _Gossip(Telling, Protocol):
    def again(self) -> None: ...


class CometApplication(AbciApplication, AdmittingApplication, Protocol):
    """The application as this engine needs it."""

    @property
    def gossip(self) -> _Gossip: ...
    def on_heard(self, listener: Callable[[bytes], None], /) -> None: ...


class CometEngine:
    """Implements ``rpc.ports.ConsensusClient``. ``home`` is CometBFT's own folder, made by ``home.init_home``.

    ``program`` names the binary (found by ``find_cometbft`` otherwise), ``record`` a file for FinalizeBlock requests,
    ``address`` the ABCI socket (a unix socket in ``home`` by default, TCP on loopback where that path is too long),
    ``journal`` keeps what was acknowledged. ``external`` is the RPC (``tcp://host:port``) of a CometBFT that somebody
    else runs with ``mempool``: none is started then, and ``home`` is not looked at. ``validator`` is the consensus
    address that must be the one that signs, ``guard`` looks for signatures of another node with the same key.
    """

    def __init__(
        self,
        app: CometApplication,
        home: Path,
        *,
        program: str = "",
        environment: Mapping[str, str] | None = None,
        address: str = "",
        external: str = "",
        mempool: str = "flood",
        record: Path | None = None,
        validator: bytes = b"",
        journal: PoolJournal | None = None,
        guard: SignGuard | None = None,
        on_fault: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._app = app
        self._home = home.resolve()
        self._program = program
        self._environment = dict(os.environ if environment is None else environment)
        self._validator = validator
        self._guard = guard
        self._on_fault = on_fault
        self._record_path = record
        self._recorder: Recorder | None = None
        self._server = AbciServer(
            app, address or _default_address(self._home), on_fault=self._fail, observer=self._observe
        )
        self._gossip_task: asyncio.Task[None] | None = None
        self._life = Life()
        self._external = external
        self._child = None if external else CometChild(self._home, self._environment, self._life, self._fail)
        self._watcher: asyncio.Task[None] | None = None
        self._session: aiohttp.ClientSession | None = None
        self._asking: asyncio.Task[ConsensusStatus] | None = None
        self._stopping = False
        self._height = 0
        self._url = ""
        self._mempool = mempool
        self._committed: Listeners[int] = Listeners()
        self._pending: Listeners[bytes] = Listeners()
        self._submission = Submission(app, journal, admitted=self._admitted, on_fault=self._fail)
        self._greeted = 0
        self._end_mark: EndMark | None = None
        self._handing = Handing(app.gossip, self._call)
        self.binary: CometBinary | None = None
        self.version = ""
        """CometBFT's version as it said when it connected; empty before."""

    # --- rpc.ports.ConsensusClient --------------------------------------------------------------------------------

    async def submit(self, raw: bytes) -> Hash32:
        """Admit a raw transaction; its hash once it is in the pool and in the journal. CometBFT learns of it later.

        Raises an InvalidTransaction leaf, NotStored, ConsensusFault after the engine has stopped.
        """
        self._life.check()
        return await self._submission.submit(raw)

    async def status(self) -> ConsensusStatus:
        """Sync state and peers as CometBFT reports them, and that it does not answer when it does not. Raises
        ConsensusFault."""
        self._life.check()
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_status(), name="status of CometBFT")
            self._asking.add_done_callback(self._asked)
        return await asyncio.shield(self._asking)

    def _asked(self, task: asyncio.Task[ConsensusStatus]) -> None:
        self._asking = None
        if not task.cancelled():
            task.exception()  # those who wait have it

    async def _ask_status(self) -> ConsensusStatus:
        """Asked once for all who want to know meanwhile: who may call ``eth_syncing`` may call it a thousand times."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                info, net = await asyncio.gather(self._result("status"), self._result("net_info"))
        except (NodeUnreachable, TimeoutError):
            return ConsensusStatus("cometbft", True, 0, self._validator.hex(), answering=False, version=self.version)
        return ConsensusStatus(
            mode="cometbft",
            catching_up=bool(info["sync_info"]["catching_up"]),
            peers=int(net["n_peers"]),
            validator=self._validator.hex() or str(info["validator_info"]["address"]).lower(),
            version=self.version,
        )

    def on_commit(self, listener: Callable[[int], None]) -> Callable[[], None]:
        """Call ``listener(height)`` after each commit; returns the function that unsubscribes."""
        return self._committed.add(listener)

    def on_pending(self, listener: Callable[[bytes], None]) -> Callable[[], None]:
        """Call ``listener(raw)`` for each admitted transaction; returns the function that unsubscribes."""
        return self._pending.add(listener)

    # --- life ------------------------------------------------------------------------------------------------------

    @property
    def height(self) -> int:
        """The last height committed through this engine; 0 before the first."""
        return self._height

    @property
    def pid(self) -> int:
        """Process id of our CometBFT; 0 when it does not run, or is somebody else's."""
        return 0 if self._child is None else self._child.pid

    @property
    def restarts(self) -> int:
        """Times that CometBFT was started again."""
        return 0 if self._child is None else self._child.restarts

    @property
    def abci_address(self) -> str:
        """Where CometBFT connects to."""
        return self._server.address

    async def start(self) -> None:
        """Serve ABCI, start CometBFT, return when it has replayed what the application lacks and its RPC answers; with
        an external CometBFT return at once.

        Raises MissingProgram, InvalidConfig, KeystoreError, PortTaken, SignerFault, DoubleSignRisk, or ConsensusFault
        with CometBFT's last words.
        """
        if self._child is None:
            self._url = _rpc_url(self._external)
        else:
            config = read_config(self._home)
            if (self._home / "config" / "node_key.json").exists():
                node_id(self._home)
            self._url, self._mempool = _rpc_url(config["rpc"]["laddr"]), config["mempool"]["type"]
            self.binary = await asyncio.to_thread(find_cometbft, self._program, environment=self._environment)
        if self._record_path is not None:
            self._recorder = Recorder(self._record_path)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=30)
        )
        try:
            self._app.on_heard(self._pending.call)
            self._submission.restore()
            await self._server.start()
            if self._child is None or self.binary is None:
                self._watcher = asyncio.create_task(self._watch_external(), name="cometbft-watch")
            else:
                if self._guard is not None:
                    await self._guard.ask(self._session)
                self._child.height = lambda: self._height
                self._child.guarded = self._guard is None or self._guard.window > 0
                self._child.signer = str(read_config(self._home).get("priv_validator_laddr", ""))
                await self._child.start(self.binary, self._server.address)
                await self._ready(self._child)
            self._start_gossip()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop our CometBFT, then the ABCI server. May be called twice."""
        self._stopping = True
        if self._child is not None:
            await self._child.stop()
        if self._guard is not None:
            self._guard.close()
        for task in (self._watcher, self._gossip_task):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        self._watcher = self._gossip_task = None
        await self._submission.close()
        await self._server.stop()
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._recorder is not None:
            self._recorder.close()
            self._recorder = None
        self._life.end()

    async def wait(self) -> None:
        """Return when the engine was stopped; raise what stopped it otherwise."""
        await self._life.wait()

    async def _ready(self, child: CometChild) -> None:
        told = time.monotonic()
        while True:
            if self._life.fault is not None:
                raise self._life.fault
            with contextlib.suppress(NodeUnreachable):
                status = await self._result("status")
                if _is_of(status, self._home):  # another may hold the port, on which ours will fail in a moment
                    self._check_signer(status["validator_info"])
                    child.has_run = True
                    return
            if time.monotonic() - told > _TELL_SECONDS:
                told = time.monotonic()
                log.info("CometBFT is starting; the application is at block %d", self._height)
            await asyncio.sleep(_POLL_SECONDS)

    def _start_gossip(self) -> None:
        """CometBFT knows nothing of the pool yet: tell it everything. With the app mempool it asks by itself."""
        self._app.gossip.again()
        self._handing.wake()
        if self._mempool == "flood" and self._gossip_task is None:
            self._gossip_task = asyncio.create_task(self._handing.run(), name="gossip")

    def _admitted(self, raws: Sequence[bytes]) -> None:
        for raw in raws:
            self._pending.call(raw)
        self._handing.wake()

    def _check_signer(self, info: Mapping[str, Any]) -> None:
        """The key that signs must be the one that this node believes to have. Raises SignerFault."""
        address = str(info["address"]).lower()
        if self._validator and address and address != self._validator.hex():
            raise SignerFault(
                f"CometBFT signs as validator {address}, but this node is configured for {self._validator.hex()}",
                "give the signer's own public key under [consensus] validator_key",
            )

    async def _watch_external(self) -> None:
        """Say when somebody else's CometBFT comes and goes, and look at its key when it has come."""
        log.info("waiting for CometBFT to connect to %s", self._server.address)
        here = checked = False
        while not self._life.over:
            if here != bool(self._server.connections):
                here, checked = not here, False
                if here:
                    log.info("CometBFT has connected")
                else:
                    log.warning("CometBFT has disconnected; reads go on, and it may come back")
            if here and not checked:
                with contextlib.suppress(NodeUnreachable):
                    try:
                        self._check_signer((await self._result("status"))["validator_info"])
                    except SignerFault as err:
                        self._fail(err)
                    checked = True
            await self._life.sleep(_WATCH_SECONDS)

    def end(self, err: BaseException) -> None:
        """Stop for this reason, which ``wait`` raises; nothing where the engine is over already."""
        if not self._stopping:
            self._fail(err)

    def _fail(self, err: BaseException) -> None:
        first = self._life.fault is None and not self._stopping
        self._life.end(err)
        if first and self._on_fault is not None:
            self._on_fault(err)

    def _observe(self, request: Any, response: Any) -> None:
        """Sees every ABCI call after it was made, before it is answered. What it raises stops the node."""
        if self._guard is not None:
            self._guard.see(request)
        if isinstance(request, m.RequestFinalizeBlock):
            self._height = request.height
            if self._recorder is not None:
                self._recorder.record(request)
        elif isinstance(request, m.RequestCommit):
            if self._end_mark is not None:
                self._end_mark.committed(self._height)
            self._submission.committed()
            self._handing.wake()
            self._committed.call(self._height)
        elif isinstance(request, m.RequestInfo):
            self.version = check_handshake(request, self.binary)
            self._expect_replay()
            self._app.gossip.again()  # a CometBFT that has just come knows nothing of the pool
            self._handing.wake()

    def _expect_replay(self) -> None:
        """CometBFT has asked for our height. When it was just started, blocks may follow that it did not finish."""
        if self.pid != self._greeted:
            self._greeted, self._end_mark = self.pid, EndMark(self._home)

    async def _result(self, method: str) -> dict[str, Any]:
        """What CometBFT answers to a question. Raises NodeUnreachable, also where something else answers."""
        found = (await self._call(method)).get("result")
        if not isinstance(found, dict) or not found.keys() >= _FIELDS[method]:
            raise NodeUnreachable(f"what answers at {self._url} is no CometBFT", "see rpc under [consensus]")
        return found

    async def _call(self, method: str, **params: Any) -> dict[str, Any]:
        if self._session is None:
            raise NodeUnreachable("CometBFT is not running")
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        try:
            async with self._session.post(self._url, json=body) as response:
                answer: dict[str, Any] = dict(await response.json(content_type=None))
                return answer
        except (aiohttp.ClientError, TimeoutError, ValueError, TypeError) as err:  # the last two: something else's
            self._life.check()
            raise NodeUnreachable(
                f"CometBFT's RPC at {self._url} does not answer: {err!r}", "it may be starting again; try in a moment"
            ) from None


def _is_of(status: Mapping[str, Any], home: Path) -> bool:
    """Is this the status of the CometBFT that runs in ``home``?"""
    try:
        return bool(status["node_info"]["id"] == node_id(home))
    except (KeystoreError, KeyError, TypeError):  # the key is made by the first start
        return False


def _default_address(home: Path) -> str:
    path = home / "abci.sock"
    if len(os.fsencode(path)) <= _MAX_UNIX_PATH:
        return f"unix://{path}"
    return "tcp://127.0.0.1:0"


def _rpc_url(laddr: str) -> str:
    parts = urlsplit(laddr)
    if parts.scheme != "tcp" or not parts.port:
        raise InvalidConfig(f"CometBFT's [rpc] laddr is {laddr!r}", "write tcp://127.0.0.1:26657")
    host = "127.0.0.1" if parts.hostname in (None, "", "0.0.0.0") else parts.hostname  # noqa: S104  (compared only)
    return f"http://{f'[{host}]' if ':' in str(host) else host}:{parts.port}/"

"""CometBFT as a child process: our ABCI server in front of the application, CometBFT behind it. Transactions are
admitted here (submission.py) and told to CometBFT behind the acknowledgement: over its RPC with the flood mempool
(handing.py), by ReapTxs with the app mempool.

Nothing is restarted silently. When CometBFT stops by itself, or the application fails, the engine ends and says why;
``wait`` raises it, and ``on_fault`` is told. CometBFT takes care of its own replay when it starts again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp

from openledger.abci_app.protocol import messages as m
from openledger.abci_app.protocol.server import AbciApplication, AbciServer
from openledger.node.engines.binary import CometBinary, find_cometbft
from openledger.node.engines.common import Life, Listeners
from openledger.node.engines.handing import Handing, Telling
from openledger.node.engines.home import read_config
from openledger.node.engines.recorder import Recorder
from openledger.node.engines.submission import AdmittingApplication, Submission
from openledger.node.pool_journal import PoolJournal
from openledger.primitives.errors import ConsensusFault, InvalidConfig, NodeUnreachable
from openledger.primitives.types import Hash32
from openledger.rpc.ports import ConsensusStatus

log = logging.getLogger(__name__)
child_log = logging.getLogger("cometbft")

_MAX_UNIX_PATH = 100
_POLL_SECONDS = 0.05
_STOP_SECONDS = 15
_LAST_LINES = 300
_FAILURE = re.compile(r'CONSENSUS FAILURE!!!.* err="((?:[^"\\]|\\.)*)"')
_DISAGREES = "when the hash is wrong, this node computes otherwise than the network: compare versions, then rebuild it"


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
    ``journal`` keeps what was acknowledged.
    """

    def __init__(
        self,
        app: CometApplication,
        home: Path,
        *,
        program: str = "",
        environment: Mapping[str, str] | None = None,
        address: str = "",
        record: Path | None = None,
        validator: bytes = b"",
        journal: PoolJournal | None = None,
        on_fault: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._app = app
        self._home = home.resolve()
        self._program = program
        self._environment = dict(os.environ if environment is None else environment)
        self._validator = validator
        self._on_fault = on_fault
        self._record_path = record
        self._recorder: Recorder | None = None
        self._server = AbciServer(
            app, address or _default_address(self._home), on_fault=self._fail, observer=self._observe
        )
        self._process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._gossip_task: asyncio.Task[None] | None = None
        self._lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._life = Life()
        self._stopping = False
        self._height = 0
        self._url = ""
        self._mempool = "flood"
        self._committed: Listeners[int] = Listeners()
        self._pending: Listeners[bytes] = Listeners()
        self._submission = Submission(app, journal, admitted=self._admitted, on_fault=self._fail)
        self._handing = Handing(app.gossip, self._call)
        self.binary: CometBinary | None = None

    # --- rpc.ports.ConsensusClient --------------------------------------------------------------------------------

    async def submit(self, raw: bytes) -> Hash32:
        """Admit a raw transaction; its hash once it is in the pool and in the journal. CometBFT learns of it later.

        Raises an InvalidTransaction leaf, NotStored, ConsensusFault after the engine has stopped.
        """
        self._life.check()
        return await self._submission.submit(raw)

    async def status(self) -> ConsensusStatus:
        """Sync state and peers as CometBFT reports them. Raises NodeUnreachable, ConsensusFault."""
        self._life.check()
        status, net = await asyncio.gather(self._call("status"), self._call("net_info"))
        info = status["result"]
        return ConsensusStatus(
            mode="cometbft",
            catching_up=bool(info["sync_info"]["catching_up"]),
            peers=int(net["result"]["n_peers"]),
            validator=self._validator.hex() or str(info["validator_info"]["address"]).lower(),
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
        """Process id of CometBFT; 0 when it does not run."""
        return 0 if self._process is None or self._process.returncode is not None else self._process.pid

    async def start(self) -> None:
        """Serve ABCI, start CometBFT, return when it has replayed what the application lacks and its RPC answers.

        Raises MissingProgram, InvalidConfig, PortTaken, or ConsensusFault with CometBFT's last words.
        """
        config = read_config(self._home)
        self._url, self._mempool = _rpc_url(config["rpc"]["laddr"]), config["mempool"]["type"]
        self.binary = await asyncio.to_thread(find_cometbft, self._program, environment=self._environment)
        if self._record_path is not None:
            self._recorder = Recorder(self._record_path)
        try:
            self._app.on_heard(self._pending.call)
            self._submission.restore()
            await self._server.start()
            await self._spawn(self.binary)
            await self._ready()
            self._start_gossip()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """SIGTERM to CometBFT, and SIGKILL when it does not obey; then the ABCI server. May be called twice."""
        self._stopping = True
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
            except TimeoutError:
                log.warning("CometBFT does not stop; killing it")
                self._process.kill()
                await self._process.wait()
        if self._gossip_task is not None:
            self._gossip_task.cancel()
            await asyncio.wait([self._gossip_task])
        await self._submission.close()
        for task in self._tasks:
            await task
        self._tasks.clear()
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

    async def _spawn(self, binary: CometBinary) -> None:
        environment = {k: v for k, v in self._environment.items() if not k.startswith(("CMT", "TM_", "TMHOME"))}
        self._process = await asyncio.create_subprocess_exec(
            str(binary.path),
            "start",
            "--home",
            str(self._home),
            "--proxy_app",
            self._server.address,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C is for us; we stop CometBFT
            limit=1 << 20,
        )
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=30)
        )
        reader = asyncio.create_task(self._read_log(self._process), name="cometbft-log")
        self._tasks = [reader, asyncio.create_task(self._watch(self._process, reader), name="cometbft-watch")]

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        stream = process.stdout
        while stream is not None:
            try:
                raw = await stream.readline()
            except ValueError:  # a line above the limit: its rest comes with the next
                continue
            if not raw:
                return
            line = raw.decode("utf-8", "replace").rstrip()
            self._lines.append(line)
            if not self._stopping and (reason := consensus_failure(line)) is not None:
                self._fail(ConsensusFault(f"CometBFT has given up consensus: {reason}", _DISAGREES))
                child_log.debug("%s", line)
                continue
            grave = line.startswith("E[") and not self._stopping  # closing sockets sound grave to CometBFT
            child_log.log(logging.WARNING if grave else logging.DEBUG, "%s", line)

    async def _watch(self, process: asyncio.subprocess.Process, reader: asyncio.Task[None]) -> None:
        code = await process.wait()
        await reader
        if not self._stopping:
            how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
            words = last_words(list(self._lines))
            hint = (
                "another node may be running; see [consensus] in config.toml"
                if "address already in use" in words
                else None
            )
            self._fail(ConsensusFault(f"CometBFT stopped by itself ({how}); its last words:\n{words}", hint))

    async def _ready(self) -> None:
        while True:
            if self._life.fault is not None:
                raise self._life.fault
            with contextlib.suppress(NodeUnreachable):
                await self._call("status")
                return
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

    def _fail(self, err: BaseException) -> None:
        first = self._life.fault is None and not self._stopping
        self._life.end(err)
        if first and self._on_fault is not None:
            self._on_fault(err)

    def _observe(self, request: Any, response: Any) -> None:
        """Sees every ABCI call after it was made."""
        if isinstance(request, m.RequestFinalizeBlock):
            self._height = request.height
            if self._recorder is not None:
                self._recorder.record(request)
        elif isinstance(request, m.RequestCommit):
            self._submission.committed()
            self._handing.wake()
            self._committed.call(self._height)

    async def _call(self, method: str, **params: Any) -> dict[str, Any]:
        if self._session is None:
            raise NodeUnreachable("CometBFT is not running")
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        try:
            async with self._session.post(self._url, json=body) as response:
                answer: dict[str, Any] = await response.json(content_type=None)
                return answer
        except (aiohttp.ClientError, TimeoutError, ValueError) as err:
            self._life.check()
            raise NodeUnreachable(f"CometBFT's RPC at {self._url} does not answer: {err!r}") from None


def consensus_failure(line: str) -> str | None:
    """Why CometBFT decides no more blocks, where the line says so: it lives on then, and would never tell again."""
    found = _FAILURE.search(line)
    return None if found is None else found[1].replace('\\"', '"')


def last_words(lines: list[str]) -> str:
    """Why it ended: from its last complaint on, at most 8 lines; the call stack of a panic says nothing to people."""
    at = [i for i, line in enumerate(lines) if line.startswith(("panic:", "ERROR:", "Error"))]
    if at:
        said = lines[at[-1] :]
        end = next((i for i, line in enumerate(said) if line.startswith("goroutine ")), len(said))
        return "\n".join(line for line in said[:end][:8] if line)
    return "\n".join(lines[-8:]) or "(it said nothing)"


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

"""CometBFT as our child: started, heard, started again when it dies, and never left behind.

It may die: by a signal, by a crash, by somebody's hand. It is started again after a pause that grows with each quick
death without a block, until ``_MOST_QUICK_DEATHS`` of them came in a row. Where a new start would be wrong
(``cometlog.fault_of``, or an error before it ever ran) the engine hears the fault instead. The kernel kills it when
this process dies; a leftover of a killed node is recognised by its mark and taken down first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from openledger.abci_app.protocol.server import remove_stale_socket
from openledger.node.engines.binary import CometBinary
from openledger.node.engines.cometlog import CometLine, fault_of, gave_up, last_words, plainly, read_line
from openledger.node.engines.common import Life
from openledger.node.processes import LINE_LIMIT, ProcessMark, dying_with_parent, how_it_ended, lines_of
from openledger.primitives.errors import ConsensusFault, PortTaken

log = logging.getLogger(__name__)
child_log = logging.getLogger("cometbft")

MARK = "cometbft.pid"
_STOP_SECONDS = 8
_LAST_LINES = 300
_QUICK_SECONDS = 20.0
_MOST_QUICK_DEATHS = 6
_PAUSES = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0)
_PORT_PAUSES = (0.5, 1.0, 2.0)
_WAITS_FOR_SIGNER = "can't get pubkey"
_DISAGREES = "when the hash is wrong, this node computes otherwise than the network: compare versions, then rebuild it"


class CometChild:
    """One CometBFT, in as many processes as it takes. ``life`` is the engine's: nothing is started after its end."""

    def __init__(
        self, home: Path, environment: Mapping[str, str], life: Life, on_fault: Callable[[BaseException], None]
    ) -> None:
        self._home = home
        self._environment = {k: v for k, v in environment.items() if not k.startswith(("CMT", "TM_", "TMHOME"))}
        self._life = life
        self._on_fault = on_fault
        self._mark = ProcessMark(home / MARK)
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._lines: deque[CometLine] = deque(maxlen=_LAST_LINES)
        self._stopping = False
        self._quick = 0
        self._ports_taken = 0
        self._height = 0
        self.height: Callable[[], int] = lambda: 0
        """The last height that was committed: a life in which it grew was no quick death."""
        self.guarded = True
        """False lets it go on although it met its own signature under another vote."""
        self.signer = ""
        """Where CometBFT listens for a remote signer, if it does."""
        self.has_run = False
        """Set by the engine once CometBFT has answered: from then on an error at its start may be one that passes."""
        self.restarts = 0

    @property
    def pid(self) -> int:
        """Process id of CometBFT; 0 when it does not run."""
        return 0 if self._process is None or self._process.returncode is not None else self._process.pid

    async def start(self, binary: CometBinary, abci: str) -> None:
        """Start it, and keep it running until ``stop``. ``abci`` is the application's address."""
        leftover = await asyncio.to_thread(self._mark.take_down)
        if leftover:
            log.warning("ended CometBFT (process %d), left behind by a node that was killed", leftover)
        process = await self._spawn(binary, abci)
        self._task = asyncio.create_task(self._keep(process, binary, abci), name="cometbft")

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL when it does not obey. May be called twice, and while it is being started."""
        self._stopping = True
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), _STOP_SECONDS)
            except TimeoutError:
                log.warning("CometBFT does not stop; killing it")
                process.kill()
                await process.wait()
        if self._task is not None:
            await self._task
            self._task = None

    async def _spawn(self, binary: CometBinary, abci: str) -> asyncio.subprocess.Process:
        if self.signer.startswith("unix://"):
            remove_stale_socket(Path(self.signer.removeprefix("unix://")))  # CometBFT leaves it behind
        command = [str(binary.path), "start", "--home", str(self._home), "--proxy_app", abci]
        process = await asyncio.create_subprocess_exec(
            *dying_with_parent(command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._environment,
            start_new_session=True,  # Ctrl-C is for us; we stop CometBFT
            limit=LINE_LIMIT,
        )
        self._process = process
        self._mark.write(process.pid)
        return process

    async def _keep(self, process: asyncio.subprocess.Process, binary: CometBinary, abci: str) -> None:
        """Supervise it; where this machine has no more room for a process or a file, the engine hears of it."""
        try:
            await self._supervise(process, binary, abci)
        except OSError as err:
            words = f"CometBFT cannot be started again: {err.strerror or err}"
            self._on_fault(ConsensusFault(words, "look at disk, open files and memory, then start the node again"))

    async def _supervise(self, process: asyncio.subprocess.Process, binary: CometBinary, abci: str) -> None:
        while True:
            started = time.monotonic()
            await self._listen(process)
            code = await process.wait()
            self._mark.clear()
            if self._is_over():
                return
            pause = self._pause_after(code, time.monotonic() - started)
            if pause is None:
                return
            await self._life.sleep(pause)
            if self._is_over():
                return
            self._lines.clear()
            self.restarts += 1
            process = await self._spawn(binary, abci)

    def _is_over(self) -> bool:
        return self._stopping or self._life.over

    def _pause_after(self, code: int, lived: float) -> float | None:
        """Seconds until it is started again; None when the engine was told why it will not be."""
        words = plainly(last_words(self._lines))
        if _WAITS_FOR_SIGNER in words:
            log.warning("CometBFT waits for the remote signer: %s", words.splitlines()[-1])
            return 1.0
        fault = fault_of(words)
        if isinstance(fault, PortTaken) and self._ports_taken < len(_PORT_PAUSES):
            self._ports_taken += 1  # an outgoing connection may hold it for a moment
            log.warning("CometBFT: %s; trying again", words.splitlines()[-1])
            return _PORT_PAUSES[self._ports_taken - 1]
        how = how_it_ended(code)
        if fault is None and code > 0 and not self.has_run:
            fault = ConsensusFault(f"CometBFT {how}; its last words:\n{words}")
        grown, self._height = self.height() > self._height, self.height()
        self._quick = 0 if grown or lived > _QUICK_SECONDS else self._quick + 1
        if fault is None and self._quick >= _MOST_QUICK_DEATHS:
            fault = ConsensusFault(
                f"CometBFT {how}, the {self._quick}th time in a row soon after its start; its last words:\n{words}"
            )
        if fault is not None:
            self._on_fault(fault)
            return None
        pause = _PAUSES[min(max(0, self._quick - 1), len(_PAUSES) - 1)]
        log.warning("CometBFT %s after %.0f s; starting it again. Its last words: %s", how, lived, words)
        return pause

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Its log becomes part of ours, until it closes it."""
        async for raw in lines_of(process):
            line = read_line(raw)
            self._lines.append(line)
            reason = None if self._stopping else gave_up(line, guarded=self.guarded)
            if reason is not None:
                fault = fault_of(reason) or ConsensusFault(f"CometBFT has given up consensus: {reason}", _DISAGREES)
                self._on_fault(fault)
            # closing sockets sound grave to CometBFT, and what ends the node is said by the node
            level = logging.DEBUG if self._stopping or reason is not None else line.level
            where = {"comet_module": line.module} if line.module else {}
            child_log.log(level, "%s", line.message, extra={"fields": {**where, **line.fields}})

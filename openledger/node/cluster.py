"""Several nodes on one machine as one command: a child process of ``openledger start`` for each, their logs joined.

A node that ends while the others run is reported and left alone, as in a real network; the chain needs more than two
thirds of the power. Ctrl-C, SIGTERM and a terminal that closes stop all; a node that does not obey within some seconds
is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from openledger.node.processes import LINE_LIMIT, how_it_ended, lines_of, stop_signals
from openledger.primitives.errors import ConsensusFault, NodeUnreachable, OpenLedgerError

STOP_SECONDS = 25
READY_SECONDS = 120
COLOURS = (36, 33, 32, 35, 34, 31, 96, 93, 92, 95, 94, 91)
_READY = re.compile(r"Ready: (http\S+)")
_OWN = re.compile(r"OPENLEDGER_(RPC_(HOST|PORT)|CONSENSUS_(P2P|RPC|NAME|PEERS)|BLOBS_(URL|PEERS)|HOME|NODE)$")


def prefixed(name: str, number: int, width: int, *, colour: bool, json_lines: bool) -> Callable[[str], str]:
    """What a line of node ``name`` becomes in the joined log: its name in front, or inside of a JSON object."""
    head = f"{name:<{width}} | "
    if colour:
        head = f"\x1b[{COLOURS[number % len(COLOURS)]}m{head}\x1b[0m"

    def change(line: str) -> str:
        if json_lines and line.startswith('{"'):
            return f'{{"node": "{name}", {line[1:]}'
        return head + line

    return change


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for every node: without the values that must differ from node to node."""
    return {k: v for k, v in environment.items() if not _OWN.match(k)} | {"PYTHONUNBUFFERED": "1"}


class Child:
    """One node's process."""

    def __init__(self, home: Path, arguments: Sequence[str], show: Callable[[str], None]) -> None:
        self.home = home
        self.name = home.name
        self.url = ""
        self.ready = asyncio.Event()
        self.ended = asyncio.Event()
        self._arguments = arguments
        self._show = show
        self._last: deque[str] = deque(maxlen=8)
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Process id; 0 when it does not run."""
        return 0 if self._process is None or self._process.returncode is not None else self._process.pid

    async def start(self, environment: Mapping[str, str]) -> None:
        """Begin; ``ready`` is set when the node says so, ``ended`` when it has gone."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "openledger.node", "--home", str(self.home), "start", *self._arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env=environment, limit=LINE_LIMIT,
        )  # fmt: skip
        self._reader = asyncio.create_task(self._read(self._process), name=f"log of {self.name}")

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        async for line in lines_of(process):
            self._last.append(line)
            self._show(line)
            if found := _READY.match(line):
                self.url = found[1]
                self.ready.set()
        await process.wait()
        self.ended.set()

    def how_it_ended(self) -> str:
        """In words."""
        return how_it_ended(None if self._process is None else self._process.returncode)

    def last_words(self) -> str:
        return "\n".join(self._last) or "(it said nothing)"

    def signal(self, number: int) -> None:
        """Send a signal, when it still runs."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL when it does not obey."""
        if self._reader is None:
            return
        self.signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.ended.wait(), STOP_SECONDS)
        except TimeoutError:
            self._show(f"does not stop within {STOP_SECONDS} seconds; killing it")
            self.signal(signal.SIGKILL)
        await self._reader


class Cluster:
    """The nodes of the homes given, in order. ``write`` gets each line of the joined log."""

    def __init__(
        self,
        homes: Sequence[Path],
        *,
        arguments: Mapping[str, Sequence[str]] | None = None,
        write: Callable[[str], None],
        colour: bool = False,
        json_lines: bool = False,
    ) -> None:
        width = max(len(home.name) for home in homes)
        self.children = [
            self._child(home, number, width, (arguments or {}).get(home.name, ()), write, colour, json_lines)
            for number, home in enumerate(homes)
        ]
        self._over = asyncio.Event()

    @staticmethod
    def _child(
        home: Path, number: int, width: int, arguments: Sequence[str], write: Callable[[str], None], colour: bool,
        json_lines: bool,
    ) -> Child:  # fmt: skip
        change = prefixed(home.name, number, width, colour=colour, json_lines=json_lines)
        return Child(home, arguments, lambda line: write(change(line)))

    async def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start all nodes and return when each answers and the first block stands.

        Raises ConsensusFault with the last words of a node that ended, or when that takes too long.
        """
        own = child_environment(os.environ if environment is None else environment)
        for child in self.children:
            await child.start(own)
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._until_ready()
                await self._first_block()
        except TimeoutError:
            late = [c.name for c in self.children if not c.ready.is_set()] or ["the first block"]
            raise ConsensusFault(f"still waiting for {', '.join(late)} after {READY_SECONDS} seconds") from None

    async def _until_ready(self) -> None:
        for child in self.children:
            waits = [asyncio.ensure_future(child.ready.wait())]
            waits += [asyncio.ensure_future(other.ended.wait()) for other in self.children]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
            for other in self.children:
                if other.ended.is_set():
                    words = other.last_words()
                    raise ConsensusFault(f"{other.name} {other.how_it_ended()}; its last words:\n{words}")

    async def _first_block(self) -> None:
        from openledger.rpc.client import AsyncClient

        async with AsyncClient(self.children[0].url) as client:
            while True:
                with contextlib.suppress(NodeUnreachable):
                    if int(await client.call("eth_blockNumber"), 16) > 0:
                        return
                await asyncio.sleep(0.1)

    async def stop(self) -> None:
        """Stop all nodes at once, and return when they are gone. May be called at any time."""
        await asyncio.gather(*(child.stop() for child in self.children))

    def end(self) -> None:
        """Let ``run`` come to its end."""
        self._over.set()

    async def run(self, ready: Callable[[Cluster], None], environment: Mapping[str, str] | None = None) -> None:
        """Start, tell ``ready``, run until it is asked to end, stop. Raises ConsensusFault when no node is left."""
        loop = asyncio.get_running_loop()
        ends = stop_signals()
        for number in ends:
            loop.add_signal_handler(number, self._over.set)
        try:
            starting, over = asyncio.create_task(self.start(environment)), asyncio.create_task(self._over.wait())
            await asyncio.wait({starting, over}, return_when=asyncio.FIRST_COMPLETED)
            if self._over.is_set():
                starting.cancel()
                with contextlib.suppress(asyncio.CancelledError, OpenLedgerError):
                    await starting
                return
            await starting
            ready(self)
            await self._watch(over)
        finally:
            over.cancel()
            await self.stop()
            for number in ends:
                loop.remove_signal_handler(number)

    async def _watch(self, over: asyncio.Task[bool]) -> None:
        alive = {asyncio.create_task(child.ended.wait()): child for child in self.children}
        try:
            while alive:
                done, _ = await asyncio.wait({over, *alive}, return_when=asyncio.FIRST_COMPLETED)
                if over in done:
                    return
                for task in done:
                    child = alive.pop(task)  # type: ignore[arg-type]
                    child._show(f"{child.how_it_ended()}; {len(alive)} of {len(self.children)} nodes go on")
        finally:
            for waiting in alive:
                waiting.cancel()
        raise ConsensusFault("no node is left", "their last words stand above")

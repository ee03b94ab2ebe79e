"""One node's process: started, killed, frozen, stopped; and its CometBFT, which is a child of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp

from openledger.primitives.errors import NodeUnreachable, OpenLedgerError
from openledger.rpc.client import AsyncClient

NODE = Path(__file__).with_name("node.py")
STOP_SECONDS = 40


def cometbft_of(pid: int) -> int:
    """Process id of the CometBFT that this node started; 0 when there is none."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines():
        own, parent, command = line.split(maxsplit=2)
        if int(parent) == pid and "cometbft start" in command:
            return int(own)
    return 0


def alive(pid: int) -> bool:
    """True while a process runs (a zombie does not)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.strip().startswith("Z")


class Process:
    """A node on ``url``, with CometBFT's RPC on ``comet_url``."""

    def __init__(self, name: str, home: Path, url: str, comet_url: str, environment: dict[str, str]) -> None:
        self.name = name
        self.home = home
        self.comet_url = comet_url
        self.environment = environment
        self.client = AsyncClient(url)
        self.killed = False
        self.stopping = False
        self.starts = 0
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """0 when it does not run."""
        return 0 if self._process is None or self._process.returncode is not None else self._process.pid

    @property
    def log(self) -> Path:
        return self.home / "log"

    def last_words(self) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return f"{self.name} said last:\n" + "\n".join(text.splitlines()[-12:])

    async def start(self) -> None:
        """Begin; does not wait until it answers."""
        self.killed = self.stopping = False
        self.starts += 1
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, str(NODE), str(self.home),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment,
            )  # fmt: skip

    async def ended(self) -> int:
        """Its exit code, once it has one."""
        return 0 if self._process is None else await self._process.wait()

    async def kill(self, *, application: bool = True, cometbft: bool = False) -> None:
        """kill -9. When the application is gone, its CometBFT goes as well; this waits for that."""
        comet = cometbft_of(self.pid)
        if cometbft and comet:
            os.kill(comet, signal.SIGKILL)
        if application and self._process is not None and self.pid:
            self.killed = True
            self._process.kill()
            await self._process.wait()
            await gone(comet)

    async def stop(self) -> int:
        """SIGTERM; its exit code. A node that does not obey is killed, and the code says so."""
        if self._process is None:
            return 0
        self.stopping = True
        if self.pid:
            self._process.terminate()
        try:
            return await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
        except TimeoutError:
            await self.kill(cometbft=True)
            return -signal.SIGKILL

    def freeze(self, number: signal.Signals) -> None:
        """SIGSTOP or SIGCONT for the application and its CometBFT."""
        for pid in (self.pid, cometbft_of(self.pid)):
            if pid:
                os.kill(pid, number)

    async def height(self) -> int:
        """Of its newest block; -1 when it does not answer."""
        with contextlib.suppress(OpenLedgerError, TimeoutError):
            async with asyncio.timeout(2):
                return int(await self.client.call("eth_blockNumber"), 16)
        return -1

    async def comet(self, path: str) -> Any:
        """What CometBFT's RPC answers. Raises NodeUnreachable."""
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
                session.get(f"{self.comet_url}/{path}") as response,
            ):
                return (await response.json(content_type=None))["result"]
        except (aiohttp.ClientError, TimeoutError, KeyError) as err:
            raise NodeUnreachable(f"CometBFT of {self.name}: {err!r}") from None


async def gone(pid: int, seconds: float = 20) -> None:
    """Until a process has ended. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while pid and alive(pid):
        if time.monotonic() > end:
            raise TimeoutError(f"process {pid} lives on")
        await asyncio.sleep(0.05)

"""Nodes as people run them, for tests: the process of ``openledger start``, its log in a file, a client of its RPC."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openledger.node import config as configuration
from openledger.node.checks import port_is_free
from openledger.node.cli import root
from openledger.primitives.errors import NodeUnreachable
from openledger.rpc.client import Client
from tests.waiting import PATIENCE, finish

FAST = {"OPENLEDGER_CONSENSUS_COMMIT_WAIT_MS": "20", "OPENLEDGER_CONSENSUS_EMPTY_BLOCK_MS": "250"}


def wait(what: str, ask: Callable[[], Any], seconds: float = PATIENCE, log: Path | None = None) -> Any:
    """Ask until the answer is true; a node that does not answer yet is asked again."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(NodeUnreachable):
            if answer := ask():
                return answer
        words = log.read_text()[-3000:] if log is not None and time.monotonic() >= end else ""
        assert time.monotonic() < end, f"waited {seconds} seconds for {what}\n{words}"
        time.sleep(0.05)


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it said."""

    returncode: int
    stdout: str
    stderr: str


def openledger(home: Path, *arguments: str, check: bool = True) -> Done:
    """A command of the program, in this process: starting Python each time takes longer than the commands."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = root.run(["--home", str(home), *arguments])
    assert not check or code == 0, err.getvalue()
    return Done(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def devnet(home: Path, port: int, log: Path, **environment: str) -> Iterator[Client]:
    """A devnet in a process of its own, kept in ``home``."""
    command = [sys.executable, "-m", "openledger.node", "--home", str(home), "devnet", "--port", str(port)]
    surroundings = os.environ | environment
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out, env=surroundings) as node:
        client = Client(f"http://127.0.0.1:{port}")
        try:
            wait("the devnet", client.chain_id, log=log)
            yield client
        finally:
            client.close()
            code = finish(node, signal.SIGINT)
        assert code == 0, log.read_text()[-3000:]


def said(home: Path, url: str, *arguments: str) -> Any:
    """What a command prints for machines."""
    return json.loads(openledger(home, "--json", "--node", url, *arguments).stdout)


class NodeProcess:
    """One node; ``with`` stops it."""

    def __init__(self, home: Path, *arguments: str, lite: bool = True, **environment: str) -> None:
        """``lite``: without an oracle."""
        self.home = home
        self.log = home / "log"
        self._command = [sys.executable, "-m", "openledger.node", "--home", str(home), "start", *arguments]
        self._command += ["--lite"] if lite else []
        self._environment = os.environ | FAST | environment
        self._process: subprocess.Popen[bytes] | None = None
        found = configuration.load(home, {})
        self.url = f"http://127.0.0.1:{found.rpc.port}"
        self._ports = [int(url.rpartition(":")[2]) for url in (found.consensus.p2p, found.consensus.rpc)]
        self.client = Client(self.url)

    def start(self) -> NodeProcess:
        """Start, and return when it answers."""
        self.begin()
        wait(self.url, lambda: self.client.call("eth_chainId"), log=self.log)
        return self

    def begin(self) -> None:
        """Start, and return at once."""
        with self.log.open("a") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=self._environment)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Stop, and return when its ports are free."""
        if self._process is None:
            return
        code = finish(self._process, number)
        self._process = None
        assert number == signal.SIGKILL or code == 0, self.log.read_text()[-3000:]
        wait("free ports", lambda: all(port_is_free("127.0.0.1", port) for port in self._ports))

    def kill(self) -> None:
        """kill -9; CometBFT ends by itself when the application is gone."""
        self.stop(signal.SIGKILL)

    @property
    def height(self) -> int:
        return int(self.client.call("eth_blockNumber"), 16)

    def reach(self, height: int, seconds: float = PATIENCE) -> None:
        """Wait for a height."""
        wait(f"block {height} at {self.url}", lambda: self.height >= height, seconds, self.log)

    def follow(self) -> None:
        """Wait until it has caught up and takes part."""
        wait("the end of catching up", lambda: self.client.call("eth_syncing") is False, log=self.log)

    def block(self, number: int) -> Any:
        return self.client.call("eth_getBlockByNumber", hex(number), False)


@contextlib.contextmanager
def running(*nodes: NodeProcess) -> Iterator[None]:
    """Whatever of these runs is stopped at the end."""
    try:
        yield
    finally:
        for node in nodes:
            node.stop()
            node.client.close()

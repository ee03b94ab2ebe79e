"""A devnet as people run it, for tests with clients of other makers: the process of ``openledger devnet --lite``."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openledger.node.testnet import free_starting_port
from tests.waiting import PATIENCE, finish

ROOT = Path(__file__).parents[1]
NATIVE = importlib.util.find_spec("openledger_native") is not None
SECRET = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
"""Of the first account of the devnets' phrase."""


@dataclass(frozen=True)
class Devnet:
    """Where it answers."""

    url: str

    @property
    def ws(self) -> str:
        return self.url.replace("http", "ws", 1)

    def call(self, method: str, *params: Any) -> Any:
        """The result of a call. Raises AssertionError with the error."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as response:
            found = json.load(response)
        assert "error" not in found, found["error"]
        return found["result"]


@contextlib.contextmanager
def devnet(home: Path, *options: str) -> Iterator[Devnet]:
    """Run one while the context is open; its log lies in ``home``."""
    home.mkdir(parents=True, exist_ok=True)
    running, log = Devnet(f"http://127.0.0.1:{free_starting_port(1)}"), home / "log"
    command = [sys.executable, "-m", "openledger.node", "--home", str(home / "node"), "devnet", "--lite", "--no-demo"]
    command += ["--port", running.url.rpartition(":")[2], *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
    try:
        end = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError):
                running.call("eth_chainId")
                break
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < end, log.read_text()[-2000:]
            time.sleep(0.05)
        yield running
    finally:
        finish(process, signal.SIGINT)

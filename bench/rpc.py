"""What a JSON-RPC request costs, here and in the other nodes that are installed; and what 1,000 subscribers and endless
calls do.

    .venv/bin/python bench/rpc.py [--seconds 2] [--connections 1,16,64] [--only openledger,geth,anvil,hardhat]
                                  [--geth PATH] [--anvil PATH] [--hardhat FOLDER] [--subscribers 1000]

Every server that is found runs a fresh development chain with one contract and 100 of its logs. A client in a process
of its own keeps connections busy with one request each; CPU is user and system time of the server's processes. The
client is Python, so it, not the server, may be what bounds requests a second; CPU a request does not depend on it.
Servers that are not there are skipped. ``--hardhat`` names a folder in which ``npx hardhat node`` runs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import Request, urlopen

import aiohttp

PROGRAM = [sys.executable, "-m", "openledger.node"]
T = TypeVar("T")
LOGS = 100
TOPIC = "c0" * 32
LOOP = "0x5b600056"


def contract() -> tuple[str, str]:
    """Creation and runtime code: with call data it logs, without it returns slot 0 as a word."""
    answer = "60005460005260206000f3"
    log = "7f" + TOPIC + "60006000a100"
    at = 4 + len(answer) // 2
    runtime = f"3660{at:02x}57" + answer + "5b" + log
    size = len(runtime) // 2
    return f"0x60{size:02x}80600b6000396000f3" + runtime, "0x" + runtime


@dataclass(frozen=True)
class Server:
    """One node under test."""

    name: str
    port: int
    process: subprocess.Popen[bytes]

    def ask(self, method: str, *params: Any, timeout: float = 60) -> Any:
        """Result of one request."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = Request(f"http://127.0.0.1:{self.port}", body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=timeout) as answer:
            found = json.load(answer)
        if "error" in found:
            raise RuntimeError(f"{self.name} {method}: {found['error']}")
        return found["result"]

    def send(self, **fields: str) -> Any:
        """A transaction of the first account; its receipt."""
        digest = self.ask("eth_sendTransaction", {"from": self.ask("eth_accounts")[0], "gas": "0x30d40"} | fields)
        for _ in range(2000):
            with contextlib.suppress(RuntimeError):  # geth: "transaction indexing is in progress"
                receipt = self.ask("eth_getTransactionReceipt", digest)
                if receipt is not None:
                    return receipt
            time.sleep(0.005)
        raise RuntimeError(f"{self.name} does not mine")

    def cpu(self) -> float:
        """Seconds of CPU that its processes have used."""
        return sum(_cpu(pid) for pid in _family(self.process.pid))


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(member for child in children for member in _family(int(child)))]


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def commands(options: argparse.Namespace, port: int, folder: str) -> dict[str, tuple[list[str], str | None]]:
    """Name -> command and folder to run it in, of every server that is there."""
    found: dict[str, tuple[list[str], str | None]] = {
        "openledger": ([*PROGRAM, "--home", folder, "devnet", "--port", str(port), "--no-demo"], None)
    }
    geth, anvil = options.geth or shutil.which("geth"), options.anvil or shutil.which("anvil")
    if geth:
        flags = ["--dev", "--http", "--http.port", str(port), "--authrpc.port", str(free_port()), "--port", "0"]
        more = ["--ipcdisable", "--nodiscover", "--verbosity", "1", "--datadir", folder, "--ws", "--ws.port", str(port)]
        found["geth"] = ([geth, *flags, *more], None)
    if anvil:
        found["anvil"] = ([anvil, "--port", str(port), "--silent"], None)
    if options.hardhat:
        found["hardhat"] = (["npx", "hardhat", "node", "--port", str(port)], options.hardhat)
    return found


@contextmanager
def running(name: str, options: argparse.Namespace) -> Iterator[Server]:
    """A server that answers, on a chain of its own; ended afterwards with all its processes."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command, place = commands(options, port, folder)[name]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, cwd=place, stdout=quiet, stderr=quiet, start_new_session=True)
        server = Server(name, port, process)
        try:
            _wait(server)
            yield server
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait(server: Server) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            server.ask("eth_blockNumber", timeout=2)
            return
        except (OSError, ValueError):
            if time.monotonic() > until or server.process.poll() is not None:
                raise RuntimeError(f"{server.name} does not start") from None
            time.sleep(0.1)


# --- requests a second ------------------------------------------------------------------------------------------


def requests_for(server: Server) -> dict[str, tuple[str, list[Any]]]:
    """Name -> method and parameters; makes the contract and its logs first."""
    server.ask("eth_estimateGas", {"to": "0x" + "11" * 20, "data": "0x01"})  # what starts late is there then
    creation, _ = contract()
    made = server.send(data=creation)
    address = made["contractAddress"]
    for _ in range(LOGS):
        server.send(to=address, data="0x01")
    account = server.ask("eth_accounts")[0]
    query = {"fromBlock": made["blockNumber"], "toBlock": "latest", "address": address, "topics": ["0x" + TOPIC]}
    if len(server.ask("eth_getLogs", query)) != LOGS:
        raise RuntimeError(f"{server.name} does not give {LOGS} logs")
    return {
        "blockNumber": ("eth_blockNumber", []),
        "getBalance": ("eth_getBalance", [account, "latest"]),
        "call": ("eth_call", [{"to": address, "data": "0x"}, "latest"]),
        f"getLogs ({LOGS})": ("eth_getLogs", [query]),
    }


async def _keep_busy(port: int, request: bytes, until: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    count, body = 0, b""
    while time.monotonic() < until:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b"content-length:" in head:
            size = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            body = await reader.readexactly(size)
        else:
            body = await _chunks(reader)
        count += 1
    writer.close()
    if b'"result"' not in body:
        raise RuntimeError(f"not an answer: {body[:200]!r}")
    return count


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body


async def drive(port: int, connections: int, seconds: float, body: str) -> int:
    """Requests answered in so many seconds over so many connections."""
    sent = body.encode()
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {len(sent)}"
    request = f"{head}\r\n\r\n".encode() + sent
    until = time.monotonic() + seconds
    return sum(await asyncio.gather(*(_keep_busy(port, request, until) for _ in range(connections))))


def measure(server: Server, method: str, params: list[Any], connections: int, seconds: float) -> tuple[float, float]:
    """Requests a second, microseconds of the server's CPU a request."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    command = [sys.executable, __file__, "--drive", str(server.port), str(connections), str(seconds), body]
    subprocess.run([*command[:-2], "0.3", body], check=True, stdout=subprocess.DEVNULL)  # warm
    before = server.cpu()
    count = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return count / seconds, (server.cpu() - before) / count * 1e6


# --- subscribers, and endless calls -------------------------------------------------------------------------------


class Listener(asyncio.Protocol):
    """A WebSocket that subscribes to heads and notes when the first one is there. As lean as can be: it shares the
    machine with the server."""

    def __init__(self, port: int, ready: asyncio.Event) -> None:
        self.port, self.ready, self.heard = port, ready, asyncio.get_running_loop().create_future()
        self.at, self._told, self._seen = 0.0, 0, b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
        head = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}"
        transport.write(head.encode() + b"\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        self._told += 1
        if self._told == 1:
            body = b'{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}'
            self.transport.write(bytes([0x81, 0x80 | len(body), 0, 0, 0, 0]) + body)  # a mask of zeros changes nothing
        elif self._told == 2:
            self.ready.set()
        elif self._told == 3:
            self.at = time.perf_counter()
            self.heard.set_result(None)


async def head_to_all(server: Server, count: int) -> list[float]:
    """Milliseconds from sending a transaction until each of ``count`` subscribers has heard of its block."""
    loop, listeners = asyncio.get_running_loop(), []
    for _ in range(count):
        ready = asyncio.Event()
        _, listener = await loop.create_connection(lambda r=ready: Listener(server.port, r), "127.0.0.1", server.port)
        listeners.append(listener)
        await asyncio.wait_for(ready.wait(), 10)
    await asyncio.sleep(0.5)
    begun = time.perf_counter()
    await asyncio.to_thread(server.send, to="0x" + "11" * 20, value="0x1")
    await asyncio.wait_for(asyncio.gather(*(listener.heard for listener in listeners)), 30)
    for listener in listeners:
        listener.transport.abort()
    return [(listener.at - begun) * 1000 for listener in listeners]


async def beside_endless_calls(server: Server, calls: int = 8) -> tuple[list[float], list[float]]:
    """Milliseconds of eth_blockNumber, and of a transaction until its receipt, while calls loop without end."""
    at = "0x" + "77" * 20
    endless = {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [{"to": at}, "latest", {at: {"code": LOOP}}]}
    ask = {"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []}
    url, over = f"http://127.0.0.1:{server.port}", asyncio.Event()

    async def loop(http: aiohttp.ClientSession) -> None:
        while not over.is_set():
            async with http.post(url, json=endless) as answer:
                await answer.read()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        loops = [asyncio.create_task(loop(http)) for _ in range(calls)]
        await asyncio.sleep(0.3)
        asked, mined, until = [], [], time.perf_counter() + 4
        while time.perf_counter() < until:
            begun = time.perf_counter()
            async with http.post(url, json=ask) as answer:
                await answer.read()
            asked.append((time.perf_counter() - begun) * 1000)
            if len(asked) % 20 == 0:
                begun = time.perf_counter()
                await asyncio.to_thread(server.send, to="0x" + "11" * 20, value="0x1")
                mined.append((time.perf_counter() - begun) * 1000)
            await asyncio.sleep(0.005)
        over.set()
        await asyncio.gather(*loops)
    return asked, mined


def _spread(values: list[float]) -> str:
    ranked = sorted(values)
    late = ranked[int(len(ranked) * 0.99)]
    return f"p50 {statistics.median(ranked):.1f} ms, p99 {late:.1f} ms, worst {ranked[-1]:.1f} ms"


def run_loop(work: Coroutine[Any, Any, T]) -> T:
    """asyncio.run, on uvloop where it is installed."""
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.run(work)
    return asyncio.run(work)


# --- the page -----------------------------------------------------------------------------------------------------


def run(name: str, options: argparse.Namespace, cost: dict[tuple[str, int, str], tuple[float, float]]) -> None:
    """Measure one server and print its lines."""
    with running(name, options) as server:
        print(f"\n{name}: {server.ask('web3_clientVersion')}")
        for label, (method, params) in requests_for(server).items():
            for connections in options.connections:
                rate, cpu = cost[label, connections, name] = measure(
                    server, method, params, connections, options.seconds
                )
                print(f"  {label:14} {connections:3} connections  {rate:8.0f} requests/s  {cpu:7.1f} us CPU/request")
        if options.subscribers:
            heard = run_loop(head_to_all(server, options.subscribers))
            first, last = min(heard), max(heard)
            print(f"  head to {len(heard)} subscribers: first {first:.1f} ms, last {last:.1f} ms after sending")
        if name == "hardhat":
            print("  beside 8 endless calls: not asked; it keeps what calls did, 16 GB within a minute")
            return
        try:
            asked, mined = asyncio.run(asyncio.wait_for(beside_endless_calls(server), 40))
            print(f"  beside 8 endless calls: eth_blockNumber {_spread(asked)}")
            print(
                f"  beside 8 endless calls: transaction to receipt {_spread(mined)}" if mined else "  nothing is mined"
            )
        except (TimeoutError, OSError, RuntimeError):
            print("  beside 8 endless calls: no answer")


def compare(cost: dict[tuple[str, int, str], tuple[float, float]]) -> None:
    """Print CPU a request of every server against openledger's."""
    names = list(dict.fromkeys(name for _, _, name in cost))
    if "openledger" not in names or len(names) < 2:
        return
    print("\nCPU a request, as a multiple of openledger's")
    for label, connections in dict.fromkeys((label, connections) for label, connections, _ in cost):
        own = cost[label, connections, "openledger"][1]
        others = [f"{name} {cost[label, connections, name][1] / own:5.2f}x" for name in names if name != "openledger"]
        print(f"  {label:14} {connections:3} connections  " + "  ".join(others))


def main() -> None:
    """Measure every server that is there, one after the other."""
    if sys.argv[1:2] == ["--drive"]:
        port, connections, seconds, body = sys.argv[2:]
        print(run_loop(drive(int(port), int(connections), float(seconds), body)))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers are ended
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--connections", type=lambda text: [int(n) for n in text.split(",")], default=[1, 16, 64])
    parser.add_argument("--only", type=lambda text: text.split(","), default=[])
    parser.add_argument("--geth", default="")
    parser.add_argument("--anvil", default="")
    parser.add_argument("--hardhat", default="")
    parser.add_argument("--subscribers", type=int, default=1000)
    options = parser.parse_args()
    cost: dict[tuple[str, int, str], tuple[float, float]] = {}
    for name in commands(options, 0, ""):
        if not options.only or name in options.only:
            try:
                run(name, options, cost)
            except (RuntimeError, OSError, TimeoutError) as err:
                print(f"  {name} fails: {err}")
    compare(cost)


if __name__ == "__main__":
    main()

"""Transfers per second through ``eth_sendRawTransaction``, on solo and on CometBFT, and the wait for one receipt.

    .venv/bin/python bench/transfers.py [--transfers 3000] [--connections 16] [--engine solo|cometbft|both]

Starts a fresh node of its own on a free port, signs everything first, sends in batches over several connections, and
counts from the first request to the block that holds the last transfer. The client runs in this process, beside the
node, so on two cores both share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openledger.genesis.presets import dev_accounts
from openledger.primitives.amounts import GWEI
from openledger.primitives.errors import NodeUnreachable
from openledger.primitives.transactions import sign_transaction
from openledger.rpc.client import AsyncClient

PROGRAM = [sys.executable, "-m", "openledger.node"]
BATCH = 25


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(engine: str, folder: Path) -> Iterator[str]:
    """A node of its own; its URL."""
    port, home = free_port(), ["--home", str(folder)]
    environment = os.environ | {
        "OPENLEDGER_RPC_PORT": str(port),
        "OPENLEDGER_CONSENSUS_P2P": f"tcp://127.0.0.1:{free_port()}",
        "OPENLEDGER_CONSENSUS_RPC": f"tcp://127.0.0.1:{free_port()}",
        "OPENLEDGER_LOG_LEVEL": "warning",
    }
    if engine == "solo":
        command = [*PROGRAM, *home, "devnet", "--port", str(port), "--lite"]
    else:
        subprocess.run([*PROGRAM, *home, "init"], check=True, stdout=subprocess.DEVNULL, env=environment)
        command = [*PROGRAM, *home, "start"]
    node = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        node.terminate()
        node.wait(30)


async def ready(client: AsyncClient) -> int:
    """Wait until the node answers; the chain id."""
    for _ in range(300):
        try:
            return await client.chain_id()
        except NodeUnreachable:
            await asyncio.sleep(0.1)
    raise SystemExit("the node did not start")


def signed(chain_id: int, transfers: int) -> list[list[str]]:
    """Raw transfers, a list per sender."""
    accounts = dev_accounts()
    return [
        [
            "0x"
            + sign_transaction(
                secret, chain_id=chain_id, nonce=n, to=accounts[(i + 1) % 10][0], value=1, max_fee=10 * GWEI
            ).hex()
            for n in range(1, 1 + transfers // 10)
        ]
        for i, (_, secret) in enumerate(accounts)
    ]


async def send(url: str, queue: list[list[str]]) -> None:
    client = AsyncClient(url)
    while queue:
        batch = queue.pop(0)
        await client.batch([("eth_sendRawTransaction", [raw]) for raw in batch])
    await client.close()


async def nonce(client: AsyncClient, address: bytes) -> int:
    return int(await client.call("eth_getTransactionCount", "0x" + address.hex(), "latest"), 16)


async def measure(url: str, transfers: int, connections: int) -> tuple[float, float]:
    """(transfers per second, median seconds from sending one transfer to its receipt)."""
    client = AsyncClient(url)
    chain_id = await ready(client)
    waits = []
    for address, secret in dev_accounts():
        raw = sign_transaction(secret, chain_id=chain_id, nonce=0, to=address, value=1, max_fee=10 * GWEI)
        began = time.perf_counter()
        await client.wait_receipt(await client.send_raw(raw), timeout=30)
        waits.append(time.perf_counter() - began)
    per_sender = signed(chain_id, transfers)
    queues: list[list[list[str]]] = [[] for _ in range(min(connections, 10))]
    for i, raws in enumerate(per_sender):
        queues[i % len(queues)] += [raws[at : at + BATCH] for at in range(0, len(raws), BATCH)]
    began = time.perf_counter()
    await asyncio.gather(*(send(url, queue) for queue in queues))
    wanted = 1 + transfers // 10
    for address, _ in dev_accounts():
        while await nonce(client, address) < wanted:  # noqa: ASYNC110 - the node is another process
            await asyncio.sleep(0.005)
    took = time.perf_counter() - began
    await client.close()
    return transfers / took, statistics.median(waits)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--transfers", type=int, default=3000)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--engine", choices=("solo", "cometbft", "both"), default="both")
    args = parser.parse_args()
    engines = ("solo", "cometbft") if args.engine == "both" else (args.engine,)
    for engine in engines:
        with tempfile.TemporaryDirectory() as folder, running(engine, Path(folder)) as url:
            rate, wait = asyncio.run(measure(url, args.transfers, args.connections))
        print(f"{engine:10} {rate:8.0f} transfers/s   first receipt after {wait * 1000:6.1f} ms (median)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

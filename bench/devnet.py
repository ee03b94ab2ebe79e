"""What somebody waits for who develops against a devnet; beside anvil's, where one is given.

    python bench/devnet.py [--anvil PATH] [--rounds 100]

    start       from the command to the first answer
    receipt     from the send of a transaction until its receipt is there, asked for as soon as the send is answered
    sync        eth_sendRawTransactionSync
    cycle       evm_snapshot, anvil_setBalance, evm_mine, evm_revert
    mine, undo  anvil_mine of 1,000 blocks, and evm_revert of them
    burst       500 transactions of one account, all sent at once

Client and node share the machine. ``cpu`` is the processor time of the node for one of it, which a busy machine changes
least.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

from openledger.genesis.presets import dev_accounts
from openledger.node.testnet import free_starting_port
from openledger.primitives.amounts import GWEI
from openledger.primitives.transactions import sign_transaction
from openledger.primitives.types import to_hex

TICKS = os.sysconf("SC_CLK_TCK")
ACCOUNT = "0x" + "11" * 20


class Target:
    """A running node, asked over one connection."""

    def __init__(self, name: str, url: str, process: subprocess.Popen[bytes], http: aiohttp.ClientSession) -> None:
        self.name, self.url, self.process, self.http = name, url, process, http
        self.chain_id = 0
        self.nonces = [0] * len(dev_accounts())

    async def call(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        async with self.http.post(self.url, json=body) as response:
            answer = await response.json(content_type=None)
        if "error" in answer:
            raise RuntimeError(f"{self.name} {method}: {answer['error']}")
        return answer["result"]

    async def ready(self) -> None:
        while True:
            try:
                self.chain_id = int(await self.call("eth_chainId"), 16)
                return
            except aiohttp.ClientError:
                await asyncio.sleep(0.01)

    def raw(self, account: int) -> str:
        nonce, self.nonces[account] = self.nonces[account], self.nonces[account] + 1
        secret = dev_accounts()[account][1]
        return to_hex(
            sign_transaction(
                secret, chain_id=self.chain_id, nonce=nonce, to=bytes.fromhex(ACCOUNT[2:]), value=1, max_fee=5 * GWEI,
                max_priority_fee=GWEI,
            )
        )  # fmt: skip

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


async def measure(target: Target, what: str, rounds: int, work: Any) -> None:
    """Print median, p95 and the least of ``rounds`` runs (ms), and processor time of one."""
    taken, before = [], target.cpu()
    for _ in range(rounds):
        started = time.perf_counter()
        await work()
        taken.append((time.perf_counter() - started) * 1000)
    cpu = (target.cpu() - before) * 1000 / rounds
    taken.sort()
    p95 = taken[min(len(taken) - 1, int(0.95 * len(taken)))]
    print(
        f"{target.name:<8} {what:<8} p50 {statistics.median(taken):9.2f}  p95 {p95:9.2f}  least {taken[0]:9.2f} ms"
        f"  cpu {cpu:8.2f} ms",
        flush=True,
    )


async def all_of(target: Target, rounds: int) -> None:
    async def receipt() -> None:
        digest = await target.call("eth_sendRawTransaction", target.raw(0))
        while await target.call("eth_getTransactionReceipt", digest) is None:
            pass

    async def sync() -> None:
        await target.call("eth_sendRawTransactionSync", target.raw(1))

    async def cycle() -> None:
        snapshot = await target.call("evm_snapshot")
        await target.call("anvil_setBalance", ACCOUNT, "0x5")
        await target.call("evm_mine")
        await target.call("evm_revert", snapshot)

    async def mine() -> None:
        await target.call("anvil_mine", 1000)

    async def burst() -> None:
        await asyncio.gather(*(target.call("eth_sendRawTransaction", target.raw(2)) for _ in range(500)))

    await measure(target, "first", 1, receipt)
    for what, work in (("receipt", receipt), ("sync", sync), ("cycle", cycle)):
        await measure(target, what, rounds, work)
    snapshot = await target.call("evm_snapshot")
    await measure(target, "mine", 1, mine)

    async def undo() -> None:
        await target.call("evm_revert", snapshot)

    await measure(target, "undo", 1, undo)
    await measure(target, "burst", 3, burst)


async def run(name: str, command: list[str], url: str, rounds: int) -> None:
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: ASYNC220 (nothing else runs yet)
    try:
        async with aiohttp.ClientSession() as http:
            target = Target(name, url, process, http)
            await target.ready()
            print(
                f"{name:<8} start    {(time.perf_counter() - started) * 1000:.0f} ms, cpu {target.cpu() * 1000:.0f} ms"
            )
            await all_of(target, rounds)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--anvil", type=Path, help="the anvil program to compare with")
    parser.add_argument("--rounds", type=int, default=100)
    given = parser.parse_args()
    port = free_starting_port(2)
    with tempfile.TemporaryDirectory() as home:
        ours = [sys.executable, "-m", "openledger.node", "devnet", "--home", home, "--port", str(port), "--lite"]
        asyncio.run(run("ours", ours, f"http://127.0.0.1:{port}", given.rounds))
    if given.anvil:
        other = [str(given.anvil), "--port", str(port + 1), "--silent"]
        asyncio.run(run("anvil", other, f"http://127.0.0.1:{port + 1}", given.rounds))


if __name__ == "__main__":
    main()

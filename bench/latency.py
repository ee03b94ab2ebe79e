"""From ``eth_sendRawTransaction`` to the block: latency and throughput, by mempool and commit wait.

    python bench/latency.py [--validators 1 4] [--mempools flood app solo] [--commit-wait 200 0] [--sparse 30]
                            [--loop 60] [--burst 6000] [--batch 1] [--version 0.40.0] [--json FILE]
    python bench/latency.py --pool [--burst 20000]

    ack       the answer to eth_sendRawTransaction: the transaction is in the pool and in the journal, synced
    sparse    one transaction at a time on an idle chain, half a second apart (jittered); until its receipt is there
    loop      the next transaction as soon as the receipt of the last is there
    burst     all at once over 32 connections to all nodes: admitted a second, committed a second, and the processor
              time of all nodes and of all CometBFT together for one transaction, which a busy machine changes least

Each row is a network of its own, in processes of their own; the client shares the machine with them. ``--pool``
measures admission alone, in this process, for 256 senders at a time: decode, recover, judge, journal with group
commit, without RPC.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp

from openledger.genesis.presets import dev_accounts
from openledger.node.config import Config, ConsensusConfig
from openledger.node.testnet import free_starting_port, make_network, with_usable_engine
from openledger.primitives.amounts import GWEI
from openledger.primitives.hashing import keccak256
from openledger.primitives.keys import address_of_private_key
from openledger.primitives.transactions import sign_transaction

ROOT = Path(__file__).resolve().parents[1]
CHAIN_ID = 161237
FUNDED = 10
SENDERS = 200
CONNECTIONS = 32


def key(number: int) -> bytes:
    return keccak256(b"bench sender %d" % number)


def signed(secret: bytes, nonce: int, to: bytes, value: int = 1) -> str:
    fees = {"max_fee": 1000 * GWEI, "max_priority_fee": GWEI, "gas": 21_000}
    return "0x" + sign_transaction(secret, chain_id=CHAIN_ID, nonce=nonce, to=to, value=value, **fees).hex()


class Rpc:
    """JSON-RPC over kept connections, with as little of its own as possible."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def call(self, method: str, *params: Any) -> Any:
        (result,) = await self.batch([(method, params)])
        return result

    async def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """The results of a batch; of one call as a plain request."""
        bodies = [{"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)} for method, params in calls]
        async with self._session.post(self._url, json=bodies if len(bodies) > 1 else bodies[0]) as response:
            answers = await response.json(content_type=None)
        answers = answers if isinstance(answers, list) else [answers]
        if wrong := [answer["error"] for answer in answers if "error" in answer]:
            raise RuntimeError(f"{calls[0][0]}: {wrong[0]}")
        return [answer["result"] for answer in answers]

    async def ready(self) -> None:
        for _ in range(600):
            with contextlib.suppress(aiohttp.ClientError):
                if int(await self.call("eth_blockNumber"), 16) > 0:
                    return
            await asyncio.sleep(0.1)
        raise SystemExit(f"{self._url} makes no blocks")


@contextlib.contextmanager
def network(
    folder: Path, count: int, mempool: str, version: str, commit_wait: int, empty: int | None = None
) -> Iterator[tuple[list[str], list[int]]]:
    """Running nodes: their URLs, and their process ids."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENLEDGER_LOG_LEVEL": "warning"}
    first = free_starting_port(count)
    program = [sys.executable, "-m", "openledger.node"]
    if mempool == "solo":
        commands = [[*program, "--home", str(folder), "devnet", "--port", str(first), "--lite"]]
        urls = [f"http://127.0.0.1:{first}"]
    else:
        base, _ = with_usable_engine(Config())
        consensus: ConsensusConfig = replace(
            base.consensus, program=str(ROOT / ".tools" / f"cometbft-{version}" / "cometbft"), mempool=mempool,
            commit_wait_ms=commit_wait,
            empty_block_ms=0 if mempool == "app" else base.consensus.empty_block_ms if empty is None else empty,
        )  # fmt: skip
        made = make_network(
            folder / "net", count, time.time_ns(), starting_port=first, base=replace(base, consensus=consensus)
        )
        commands = [[*program, "--home", str(m.home), "start", "--lite"] for m in made.members]
        urls = [m.url for m in made.members]
    nodes = [subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) for command in commands]
    try:
        yield urls, [node.pid for node in nodes]
    finally:
        for node in nodes:
            node.terminate()
        for node in nodes:
            node.wait(60)


def processor(pids: Sequence[int]) -> tuple[float, float]:
    """Seconds of processor time so far: of the nodes, and of their children."""

    def seconds(pid: int) -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    children = [int(c) for pid in pids for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return sum(map(seconds, pids)), sum(map(seconds, children))


def summary(seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        "p50_ms": round(1000 * statistics.median(ordered), 1),
        "p95_ms": round(1000 * ordered[len(ordered) * 95 // 100], 1),
    }


async def to_receipt(nodes: Sequence[Rpc], count: int, pause: float) -> dict[str, float]:
    """One transaction at a time, to each node in turn; until the node it was sent to has the receipt."""
    rng, waits = random.Random(1), []
    secret, to = dev_accounts()[0][1], dev_accounts()[1][0]
    nonce = int(await nodes[0].call("eth_getTransactionCount", "0x" + dev_accounts()[0][0].hex(), "pending"), 16)
    for number in range(count):
        if pause:
            await asyncio.sleep(pause * (0.5 + rng.random()))
        raw = signed(secret, nonce + number, to)
        began = time.perf_counter()
        await nodes[number % len(nodes)].call("eth_sendRawTransactionSync", raw)
        waits.append(time.perf_counter() - began)
    return summary(waits)


async def acknowledged(node: Rpc, count: int) -> dict[str, float]:
    waits, secret, to = [], dev_accounts()[2][1], dev_accounts()[1][0]
    for nonce in range(count):
        raw = signed(secret, nonce, to)
        began = time.perf_counter()
        await node.call("eth_sendRawTransaction", raw)
        waits.append(time.perf_counter() - began)
        await asyncio.sleep(0.01)
    return summary(waits)


async def fund(node: Rpc) -> None:
    secret, address = dev_accounts()[3][1], dev_accounts()[3][0]
    last = ""
    nonce = int(await node.call("eth_getTransactionCount", "0x" + address.hex(), "pending"), 16)
    for number in range(SENDERS):
        raw = signed(secret, nonce + number, address_of_private_key(key(number)), 40 * 10**18)
        last = await node.call("eth_sendRawTransaction", raw)
    while await node.call("eth_getTransactionReceipt", last) is None:  # noqa: ASYNC110 - the node is another process
        await asyncio.sleep(0.05)


async def burst(nodes: Sequence[Rpc], pids: Sequence[int], count: int, batch: int) -> dict[str, float]:
    """Admitted and committed transactions a second."""
    await fund(nodes[0])
    to = dev_accounts()[1][0]
    each = count // SENDERS
    queues: list[list[list[str]]] = [[] for _ in range(CONNECTIONS)]
    for number in range(SENDERS):
        queues[number % CONNECTIONS].append([signed(key(number), nonce, to) for nonce in range(each)])
    await asyncio.sleep(0.5)

    async def send(number: int, queue: list[list[str]]) -> None:
        node, raws = nodes[number % len(nodes)], [raw for row in zip(*queue, strict=True) for raw in row]
        for at in range(0, len(raws), batch):
            await node.batch([("eth_sendRawTransaction", [raw]) for raw in raws[at : at + batch]])

    node_began, comet_began = processor(pids)
    began = time.perf_counter()
    await asyncio.gather(*(send(number, queue) for number, queue in enumerate(queues)))
    admitted = time.perf_counter() - began
    counts = [
        ("eth_getTransactionCount", ["0x" + address_of_private_key(key(i)).hex(), "latest"]) for i in range(SENDERS)
    ]
    while any(int(n, 16) < each for n in await nodes[-1].batch(counts)):  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.02)
    committed = time.perf_counter() - began
    done = each * SENDERS
    node_ended, comet_ended = processor(pids)
    return {
        "transactions": done,
        "admitted_a_second": round(done / admitted),
        "committed_a_second": round(done / committed),
        "node_cpu_us": round(1e6 * (node_ended - node_began) / done),
        "comet_cpu_us": round(1e6 * (comet_ended - comet_began) / done),
    }


async def measure(urls: Sequence[str], pids: Sequence[int], options: argparse.Namespace) -> dict[str, Any]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        nodes = [Rpc(session, url) for url in urls]
        for node in nodes:
            await node.ready()
        found: dict[str, Any] = {}
        await to_receipt(nodes, 2 * len(nodes), 0)  # everything imported, every connection open
        if options.sparse:
            found["sparse"] = await to_receipt(nodes, options.sparse, 0.5)
        if options.loop:
            found["loop"] = await to_receipt(nodes, options.loop, 0)
        if options.acks:
            found["ack"] = await acknowledged(nodes[0], options.acks)
        if options.burst:
            found["burst"] = await burst(nodes, pids, options.burst, options.batch)
        return found


async def pool_alone(count: int) -> dict[str, Any]:
    """Admission in this process, with and without the journal."""
    from openledger.abci_app.application import Application
    from openledger.abci_app.ports import Silence
    from openledger.abci_app.registry import PRECOMPILES
    from openledger.evm.engines import load_engine
    from openledger.genesis.genesis import GenesisAccount, GenesisValidator
    from openledger.genesis.presets import devnet_genesis
    from openledger.node.engines.submission import Submission
    from openledger.node.pool_journal import PoolJournal
    from openledger.primitives.keys import ed25519_public
    from openledger.state.leveldb import LevelDbStore
    from openledger.state.store import StateStore

    made = devnet_genesis((GenesisValidator(ed25519_public(bytes(32)), 10, bytes(19) + b"\1", "v"),), time.time_ns())
    accounts = {address_of_private_key(key(i)): GenesisAccount(10**20) for i in range(SENDERS)}
    genesis = replace(made, accounts=dict(made.accounts) | accounts)
    to, each = dev_accounts()[1][0], count // SENDERS
    raws = [bytes.fromhex(signed(key(i), nonce, to)[2:]) for nonce in range(each) for i in range(SENDERS)]
    found = {}
    for journaled in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            store = LevelDbStore(Path(folder) / "state")
            app = Application(genesis, StateStore(store), load_engine("auto", precompiles=dict(PRECOMPILES)), Silence())
            journal = PoolJournal(Path(folder) / "pool") if journaled else None
            faults: list[BaseException] = []
            submission = Submission(app, journal, admitted=lambda _: None, on_fault=faults.append)
            waiting = iter(raws)

            async def sender(submission: Submission = submission, waiting: Iterator[bytes] = waiting) -> None:
                for raw in waiting:
                    await submission.submit(raw)

            began, busy = time.perf_counter(), time.process_time()
            await asyncio.gather(*(sender() for _ in range(256)))
            took, busy = time.perf_counter() - began, time.process_time() - busy
            await submission.close()
            store.close()
            if faults or len(app.mempool) != len(raws):
                raise SystemExit(f"{len(app.mempool)} of {len(raws)} were admitted: {faults}")
            found["journal" if journaled else "no journal"] = {
                "admitted_a_second": round(len(raws) / took), "cpu_us_each": round(1e6 * busy / len(raws), 1),
            }  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--validators", type=int, nargs="+", default=[1])
    parser.add_argument("--mempools", nargs="+", default=["flood", "app"], choices=["flood", "app", "solo"])
    parser.add_argument("--commit-wait", type=int, nargs="+", default=[200, 0], help="milliseconds")
    parser.add_argument("--empty-block", type=int, help="milliseconds, with the flood mempool; 0 is without pause")
    parser.add_argument("--version", default="0.40.0", help="of CometBFT")
    parser.add_argument("--sparse", type=int, default=30)
    parser.add_argument("--loop", type=int, default=60)
    parser.add_argument("--acks", type=int, default=50)
    parser.add_argument("--burst", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=1, help="transactions in one request of the burst")
    parser.add_argument("--pool", action="store_true", help="admission alone")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    if options.pool:
        rows.append({"pool": asyncio.run(pool_alone(options.burst))})
        print(json.dumps(rows[-1]), flush=True)
    else:
        for validators in options.validators:
            for mempool in options.mempools:
                for wait in options.commit_wait[:1] if mempool == "solo" else options.commit_wait:
                    with (
                        tempfile.TemporaryDirectory() as folder,
                        network(Path(folder), validators, mempool, options.version, wait, options.empty_block) as (
                            urls,
                            pids,
                        ),
                    ):
                        row = {"validators": validators, "mempool": mempool, "commit_wait_ms": wait}
                        rows.append(row | asyncio.run(measure(urls, pids, options)))
                    print(json.dumps(rows[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()

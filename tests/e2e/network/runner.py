"""Runs a network as its file describes it: homes, processes, load, claims, what happens to the nodes, and the promises
that must hold in the end. ``python tests/e2e/network FILE...`` for people; pytest uses ``run``."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from network import checks, homes
from network.checks import Broken
from network.claims import Claims
from network.links import HOST, Links
from network.load import Loader
from network.perturb import Perturber
from network.process import Process
from network.roles import FILE as ACTS
from network.spec import NodeSpec, Spec

from openledger.node.testnet import Member, Network
from openledger.primitives.errors import NodeUnreachable, OpenLedgerError
from openledger.primitives.keys import address_of_private_key

POLL = 0.03
Say = Callable[[str], None]


@dataclass
class Summary:
    """What a run was, in figures."""

    name: str
    blocks: int = 0
    seconds: float = 0
    transactions: int = 0
    acknowledged: int = 0
    latencies: list[float] = field(default_factory=list)
    claims: list[str] = field(default_factory=list)
    speaking: int = 0
    backs: list[float] = field(default_factory=list)
    evidence: int = 0
    events: list[str] = field(default_factory=list)
    acts: dict[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """For people."""
        rate = self.transactions / self.seconds if self.seconds else 0
        out = [
            f"{self.name}: {self.blocks} blocks in {self.seconds:.1f} s, {self.transactions} transactions "
            f"({rate:.1f} a second), {self.acknowledged} acknowledged, none lost"
        ]
        if self.latencies:
            ordered = sorted(self.latencies)
            p50, p95 = (1000 * ordered[int(len(ordered) * q)] for q in (0.5, 0.95))
            out.append(f"  acknowledged to seen in a block: p50 {p50:.0f} ms, p95 {p95:.0f} ms (+- {1000 * POLL:.0f})")
        if self.backs:
            ordered = sorted(self.backs)
            p50, p95 = (ordered[int(len(ordered) * q)] for q in (0.5, 0.95))
            out.append(
                f"  {len(ordered)} kills; from the kill to the next block: p50 {p50:.1f} s, p95 {p95:.1f} s, "
                f"worst {ordered[-1]:.1f} s"
            )
        if self.claims:
            out.append(f"  claims: {', '.join(self.claims)}; up to {self.speaking} validators speak in a slot 0")
        if self.evidence:
            out.append(f"  evidence of double signing in {self.evidence} blocks")
        if self.acts:
            out.append("  acts: " + ", ".join(f"{who} x{n}" for who, n in sorted(self.acts.items())))
        return out + [f"  {event}" for event in self.events]


class Run:
    """One run of one network in ``folder``, which must be empty."""

    def __init__(self, spec: Spec, folder: Path, say: Say) -> None:
        self.spec = spec
        self.say = say
        self.nodes: dict[str, Process] = {}
        self.top = 0
        self.summary = Summary(spec.name)
        self._folder = folder
        self._began = time.monotonic()
        self._ages: list[float] = []
        self._links: Links | None = None
        self._loader = Loader(spec.load, self._takers)
        self._made: Network

    # --- the nodes ----------------------------------------------------------------------------------------

    @property
    def running(self) -> list[Process]:
        return [node for node in self.nodes.values() if node.pid]

    @property
    def members(self) -> tuple[Member, ...]:
        """Keys and ports of the nodes."""
        return self._made.members

    def _takers(self) -> list[Process]:
        wanted = self.spec.load.to or [n.name for n in self.spec.nodes if not n.byzantine and not n.twin_of]
        return [self.nodes[name] for name in wanted if self.nodes[name].pid]

    def tell(self, text: str) -> None:
        """A line of progress."""
        self.say(f"{time.monotonic() - self._began:6.1f} s  height {self.top:4}  {text}")

    async def _prepare(self) -> None:
        self._made = await asyncio.to_thread(homes.make_homes, self.spec, self._folder)
        extra: dict[str, dict[str, str]] = {}
        if self.spec.needs_links:
            self._links = Links({member.name: member.p2p for member in self._made.members})
            await self._links.open()
            extra = homes.wire(self._made, self._links)
        for node, member in zip(self.spec.nodes, self._made.members, strict=True):
            self.nodes[node.name] = self._process(node, member, extra.get(node.name, {}))

    def _process(self, node: NodeSpec, member: Member, extra: dict[str, str]) -> Process:
        environment = homes.environment(node, extra)
        return Process(node.name, member.home, member.url, f"http://{HOST}:{member.comet_rpc}", environment)

    # --- time ---------------------------------------------------------------------------------------------

    async def until(self, what: str, holds: Callable[[], bool], seconds: float = 0) -> float:
        """Wait; the seconds that it took. Raises Broken after ``seconds`` (half of all that the run has), or when a
        node ended by itself."""
        begin, seconds = time.monotonic(), seconds or self.spec.seconds / 2
        while not holds():
            self._nobody_fell()
            if time.monotonic() - begin > seconds:
                words = "\n".join(node.last_words() for node in self.nodes.values())
                raise Broken(f"waited {seconds:g} seconds for {what} at height {self.top}\n{words}")
            await asyncio.sleep(POLL)
        return time.monotonic() - begin

    def _nobody_fell(self) -> None:
        for node in self.nodes.values():
            if node.starts and not node.pid and not node.killed and not node.stopping:
                raise Broken(f"{node.name} ended by itself\n{node.last_words()}")

    async def caught_up(self, nodes: list[Process], more: int = 0, seconds: float = 0) -> float:
        """Until these nodes are as high as the highest is now, and ``more`` above; the seconds that it took."""
        begin, goal, seconds = time.monotonic(), self.top + more, seconds or self.spec.seconds / 2
        for node in nodes:
            while await node.height() < goal:
                if time.monotonic() - begin > seconds:
                    raise Broken(f"{node.name} is not at height {goal} after {seconds:g} seconds\n{node.last_words()}")
                await asyncio.sleep(POLL)
        return time.monotonic() - begin

    async def _voting(self) -> None:
        """Until no node is catching up with those that began a moment earlier: CometBFT takes no transactions then."""
        for node in self.running:
            while True:
                with contextlib.suppress(NodeUnreachable):
                    if not (await node.comet("status"))["sync_info"]["catching_up"]:
                        break
                await asyncio.sleep(POLL)

    async def _watch(self) -> None:
        """Follow the chain through a node that answers, and tell the ledger what the blocks hold."""
        while True:
            for node in self.running:
                if (height := await node.height()) > self.top and await self._read(node, height):
                    break
            await asyncio.sleep(POLL)

    async def _read(self, node: Process, height: int) -> bool:
        calls = [("eth_getBlockByNumber", [hex(n), False]) for n in range(self.top + 1, height + 1)]
        try:
            blocks = await node.client.batch(calls)
        except OpenLedgerError:
            return False
        for block in blocks:
            self._loader.ledger.seen(block["transactions"])
            if int(block["number"], 16) > 1:  # whose time is that of genesis
                self._ages.append(time.time() - int(block["timestamp"], 16))
        self.top = height
        return True

    # --- the run ------------------------------------------------------------------------------------------

    async def run(self) -> Summary:
        """All of it. Raises Broken; every process has ended then."""
        watch = None
        try:
            async with asyncio.timeout(self.spec.seconds) as limit:
                await self._prepare()
                watch = asyncio.create_task(self._watch())
                perturber = Perturber(self, self._links)
                await perturber.before()
                for node in self.spec.nodes:
                    if not node.start_at and not self.nodes[node.name].starts:
                        await self.nodes[node.name].start()
                await self.until("the first block", lambda: self.top > 0)
                await self._voting()
                self.tell("the first blocks")
                await self._live(perturber)
                await self._judge()
                self._nobody_fell()
            await self._end(clean=True)
        except TimeoutError as err:
            words = "\n".join(node.last_words() for node in self.nodes.values())
            what = f"the run took longer than {self.spec.seconds:g} seconds" if limit.expired() else str(err)
            raise Broken(f"{what}\n{words}") from None
        finally:
            if watch is not None:
                watch.cancel()
            await self._loader.stop()
            await self._end(clean=False)
        return self.summary

    async def _live(self, perturber: Perturber) -> None:
        """Load, claims and events, until the height of the end."""
        begin = time.monotonic()
        self._loader.start()
        claims = Claims(self._takers()[0].client.url, self.spec.load.claims)
        claims.start()
        await perturber.all()
        await self._load_lives()
        await self.until(f"height {self.spec.until}", lambda: self.top >= self.spec.until, self.spec.seconds)
        await self.until("the end of all claims", lambda: claims.done, self.spec.seconds)
        if claims.failure is not None:
            raise Broken(f"a claim could not be made: {claims.failure!r}") from claims.failure
        await self._loader.stop()
        ledger = self._loader.ledger
        try:
            await self.until("the last transactions", lambda: not ledger.waiting, 60)
        except Broken as err:
            by = sorted({f"{sent.hash} (by {sent.by})" for sent in ledger.waiting.values()})
            raise Broken(f"{len(by)} acknowledged transactions are in no block: {by[:3]}\n{err}") from None
        self.summary.seconds = time.monotonic() - begin
        self.summary.latencies = ledger.latencies
        self.summary.acknowledged = len(ledger.acknowledged)
        self.summary.claims = [claim.status for claim in claims.ended]
        operators = {m.name: "0x" + address_of_private_key(m.operator).hex() for m in self._made.members}
        checks.claims_hold(self.spec, operators, claims.ended)

    async def _load_lives(self) -> None:
        """Every sender gets one more acknowledged after the last event: a load that stood still could lose nothing."""
        before = self._loader.done

        def more() -> bool:
            return all(now > then for now, then in zip(self._loader.done, before, strict=True))

        await self.until("transactions of every sender after the last event", more)

    async def _judge(self) -> None:
        """The promises that can be seen while the nodes run."""
        nodes, top, summary = self.running, self.top, self.summary
        await self.caught_up(nodes)
        chain = await checks.one_chain(nodes, top)
        self.tell(f"{len(nodes)} nodes have the same {top} blocks")
        summary.blocks, summary.transactions = top, sum(count for _, _, count in chain.blocks)
        summary.evidence = sum(evidence for _, _, evidence in chain.metas)
        hashes = [sent.hash for sent in self._loader.ledger.acknowledged]
        if lost := await checks.all_there(nodes[0], hashes):
            raise Broken(f"{len(lost)} acknowledged transactions are in no block: {lost[:3]}")
        summary.speaking = max(await checks.voices(nodes[0], top))
        await checks.stakes_hold(nodes[0], self.spec)
        checks.times_hold(self.spec, self._ages)
        self._judge_acts()

    def _judge_acts(self) -> None:
        """Every role has acted, and a twin was found out."""
        for node in self.nodes.values():
            if (path := node.home / ACTS).exists():
                for line in path.read_text().splitlines():
                    who = f"{node.name} {line.split()[0]}"
                    self.summary.acts[who] = self.summary.acts.get(who, 0) + 1
        for name, role in self.spec.roles:
            if not self.summary.acts.get(f"{name} {role}"):
                raise Broken(f"{name} never played its role {role}")
        if any(node.twin_of for node in self.spec.nodes) and not self.summary.evidence:
            raise Broken("two nodes signed with one key, and no block holds evidence of it")

    async def _end(self, *, clean: bool) -> None:
        """Stop everything. With ``clean``: every node ends with code 0, and its database is whole."""
        running = self.running
        codes = await asyncio.gather(*(node.stop() for node in running))
        for node in self.nodes.values():
            await node.client.close()
        if self._links is not None:
            await self._links.close()
        if not clean:
            return
        for node, code in zip(running, codes, strict=True):
            if code:
                raise Broken(f"{node.name} ended with {code} when it was asked to stop\n{node.last_words()}")
            checks.money_of(node.home)
        self.tell("all nodes stopped, all money is there")


def run(spec: Spec, folder: Path, say: Say = print) -> Summary:
    """Run a network; its figures. Raises Broken when a promise does not hold, MissingProgram without CometBFT."""
    return asyncio.run(Run(spec, folder, say).run())

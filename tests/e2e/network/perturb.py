"""What happens to nodes while the network runs: each event at its height, one after the other."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING

from network import homes, votes
from network.checks import Broken
from network.kills import Killer
from network.links import Links
from network.process import Process
from network.spec import Perturbation

if TYPE_CHECKING:
    from network.runner import Run

UNKNOWN = "does not know it"
"""What a node says last that has not the program which an upgrade needs."""
GRACE = 1.0
"""Seconds in which a block that was decided already may still arrive."""


class Perturber:
    """Does to the nodes of ``run`` what its description says."""

    def __init__(self, run: Run, links: Links | None) -> None:
        self._run = run
        self._links = links

    async def before(self) -> None:
        """What is at height 0."""
        for event in self._run.spec.perturb:
            if not event.at:
                await self._one(event)

    async def all(self) -> None:
        """Late starts and events, by height."""
        late = [(node.start_at, node) for node in self._run.spec.nodes if node.start_at]
        events = [(event.at, event) for event in self._run.spec.perturb if event.at]
        for at, what in sorted([*late, *events], key=lambda pair: pair[0]):
            patience = self._run.spec.seconds
            await self._run.until(f"height {at}", lambda at=at: self._run.top >= at, patience)  # type: ignore[misc]
            if isinstance(what, Perturbation):
                await self._one(what)
            else:
                await self._join(self._run.nodes[what.name])

    async def _join(self, node: Process) -> None:
        height = self._run.top
        await node.start()
        seconds = await self._run.caught_up([node], seconds=self._run.spec.seconds)
        self._report(f"{node.name} joins at {height}", seconds)

    def _report(self, what: str, seconds: float) -> None:
        text = f"{what}: back with the others after {seconds:.1f} s"
        self._run.summary.events.append(text)
        self._run.tell(text)

    async def _one(self, event: Perturbation) -> None:
        run = self._run
        nodes = [run.nodes[name] for name in event.nodes]
        others = [node for node in run.running if node not in nodes]
        what = f"{event.do} {' '.join(event.nodes)}"
        run.tell(what)
        if event.do in ("kill", "kill-cometbft", "kill-both", "restart", "upgrade"):
            await self._away(event, nodes)
            await self._meanwhile(event, others)
            await self._return(event, nodes)
            if event.expect == "refuses":
                await self._halt(event, nodes)
                return
        elif event.do == "vote":
            operators = [member.operator for member in run.members if member.name in event.nodes]
            await votes.decide(nodes[0], operators, event.effect, event.arguments, run.running)
            self._report(what, 0)
            return
        elif event.do == "halt":
            await self._halt(event, nodes)
            return
        elif event.do == "return":
            if event.expect == "refuses":
                await self._return(event, nodes)
                await self._halt(event, nodes)
                return
            await self._return(event, nodes)
        elif event.do in ("kill-at", "kill-random"):
            killer = Killer(run)
            await (killer.points(event) if event.do == "kill-at" else killer.random(event))
            return
        elif event.do == "pause":
            for node in nodes:
                node.freeze(signal.SIGSTOP)
            await self._meanwhile(event, others)
            for node in nodes:
                node.freeze(signal.SIGCONT)
        else:
            await self._cables(event, others)
            if event.do == "delay":
                return
        self._report(what, await run.caught_up(run.running, more=2))

    async def _away(self, event: Perturbation, nodes: list[Process]) -> None:
        for node in nodes:
            if event.do in ("restart", "upgrade"):
                if code := await node.stop():
                    raise Broken(f"{node.name} ended with {code} when it was asked to stop\n{node.last_words()}")
            else:
                application = event.do != "kill-cometbft"
                await node.kill(application=application, cometbft=event.do != "kill")

    async def _return(self, event: Perturbation, nodes: list[Process]) -> None:
        for node in nodes:
            node.environment |= event.environment
            if event.to:
                node.environment["OPENLEDGER_CONSENSUS_PROGRAM"] = homes.program(event.to)
            if not node.pid:
                await node.start()

    async def _halt(self, event: Perturbation, nodes: list[Process]) -> None:
        """These nodes end by themselves and say why, by default because they do not know what comes; nobody makes a
        block meanwhile that they would have to make."""
        run = self._run
        for node in nodes:
            node.stopping = True
        await run.until(f"the end of {' '.join(event.nodes)}", lambda: not any(node.pid for node in nodes))
        for node in nodes:
            if not await node.ended() or (event.says or UNKNOWN) not in node.last_words():
                raise Broken(f"{node.name} did not say {event.says or UNKNOWN!r} when it ended\n{node.last_words()}")
        if (last := event.arguments.get("height", "")) and run.top != int(last):
            raise Broken(f"the last block before the upgrade is {run.top}, not {last}")
        self._report(f"{event.do} {' '.join(event.nodes)} at height {run.top}", 0)

    async def _meanwhile(self, event: Perturbation, others: list[Process]) -> None:
        """``seconds`` pass, and the chain of the others does what is expected."""
        run, begin = self._run, time.monotonic()
        if event.expect == "stops":
            await asyncio.sleep(GRACE)
            heights = [await node.height() for node in others]
            await asyncio.sleep(event.seconds)
            if (after := [await node.height() for node in others]) != heights:
                raise Broken(f"without {' '.join(event.nodes)} the chain went on from {heights} to {after}")
            return
        if event.expect == "goes-on":
            goal = run.top + 3
            await run.until(f"blocks without {' '.join(event.nodes)}", lambda: run.top >= goal)
        await asyncio.sleep(max(0.0, event.seconds - (time.monotonic() - begin)))

    async def _cables(self, event: Perturbation, others: list[Process]) -> None:
        if self._links is None:
            raise Broken("this network has no cables")
        cables = self._links.around(event.nodes)
        for cable in cables:
            if event.do == "delay":
                cable.delay = event.ms / 1000
            elif event.do == "partition":
                cable.hold()
            else:
                cable.cut()
        await self._meanwhile(event, others)
        if event.do != "delay" or event.seconds:
            for cable in cables:
                cable.mend()

"""kill -9 at named points and at random times, and how long a node needs to come back.

A point may have a phase in front: ``first:`` before the chain has a block, ``start:`` while the node starts again,
``replay:`` while CometBFT hands the application a block that it had not committed, ``stored:`` in the height after a
block that CometBFT stored and then died (its own fail point). Without one the node is killed where it stands in the
middle of its work.
"""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

from network.checks import Broken
from network.points import FILE, TOLD, WHO
from network.process import Process, cometbft_of, gone
from network.spec import Perturbation

from openledger.node.checks import port_is_free

if TYPE_CHECKING:
    from network.runner import Run

REACH_SECONDS = 120
TICK = 0.01
AFTER_STORING = "3"
"""Of CometBFT's fail points in a height: own prevote, own precommit, before and after storing the block."""


class Killer:
    """Kills the nodes of an event, again and again."""

    def __init__(self, run: Run) -> None:
        self._run = run

    async def points(self, event: Perturbation) -> None:
        """Each of the points, for each of those who may die."""
        for name in event.nodes:
            for point in event.points:
                for who in event.who or WHO:
                    await self._point(self._run.nodes[name], point, who)

    async def _point(self, node: Process, point: str, who: str) -> None:
        phase, _, name = point.rpartition(":")
        if phase == "first" and node.starts:
            raise Broken(f"{node.name} has begun already, so {point} never comes")
        if phase == "start":
            await node.stop()
        elif phase == "replay":
            await self._die(node, "commit.before", "application")
        elif phase == "stored":
            await self._die_after_storing(node)
        await self._die(node, name, who, start=bool(phase))
        await self._back(node, f"{point} {who}")

    async def _die(self, node: Process, point: str, who: str, *, start: bool = False) -> None:
        """Arm the point, and wait until it was reached and somebody is dead."""
        armed, told = node.home / FILE, node.home / TOLD
        told.unlink(missing_ok=True)
        armed.write_text(f"{point} {who}")
        if start:
            await node.start()
        node.killed = True
        end = time.monotonic() + REACH_SECONDS
        while armed.exists():
            if time.monotonic() > end or (not node.pid and who == "cometbft"):
                raise Broken(f"{node.name} did not come to {point}\n{node.last_words()}")
            await asyncio.sleep(TICK)
        try:
            async with asyncio.timeout(REACH_SECONDS):
                if who != "application":
                    await gone(await self._told(node, told, point))
                if who != "cometbft":
                    await node.ended()
        except TimeoutError:
            raise Broken(f"{node.name} lives on after {point} {who}\n{node.last_words()}") from None

    async def _told(self, node: Process, told: Path, point: str) -> int:
        """The CometBFT that was killed at the point. Raises Broken when there was none: nothing would be shown then."""
        while not told.exists() or not (text := told.read_text()).endswith("\n"):  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(TICK)
        if not int(text):
            raise Broken(f"{node.name} had no CometBFT to kill at {point}")
        return int(text)

    async def _die_after_storing(self, node: Process) -> None:
        """CometBFT stores a block and ends before its log says so; the application is killed then."""
        await node.stop()
        node.environment["FAIL_TEST_INDEX"] = AFTER_STORING
        await node.start()
        try:
            async with asyncio.timeout(REACH_SECONDS):
                while not (comet := cometbft_of(node.pid)):  # noqa: ASYNC110
                    await asyncio.sleep(TICK)
                await gone(comet, REACH_SECONDS)
        except TimeoutError:
            raise Broken(f"CometBFT of {node.name} did not end after storing a block\n{node.last_words()}") from None
        await node.kill()
        del node.environment["FAIL_TEST_INDEX"]

    async def _back(self, node: Process, what: str) -> None:
        """Until the node has a new block; it is started again when it does not live."""
        run, begin = self._run, time.monotonic()
        first, known, starts = -1, run.top, node.starts + (not node.pid)
        while (height := await node.height()) <= max(first, known) or first < 0:
            first = height if first < 0 else first
            if not node.pid:
                await self._start(node)
            if time.monotonic() - begin > REACH_SECONDS:
                raise Broken(f"{node.name} is not back after {what}\n{node.last_words()}")
            await asyncio.sleep(TICK)
        if node.starts != starts:
            raise Broken(
                f"{node.name} ended by itself after {what}, and came back at another start\n{node.last_words()}"
            )
        node.killed = False
        seconds = time.monotonic() - begin
        run.summary.backs.append(seconds)
        run.tell(f"{node.name} {what}: back after {seconds:.1f} s")

    async def _start(self, node: Process) -> None:
        """As a person would: at once. Only the port of a CometBFT that is still dying is waited for."""
        port = int(node.comet_url.rpartition(":")[2])
        while not port_is_free("127.0.0.1", port):  # noqa: ASYNC110
            await asyncio.sleep(TICK)
        await node.start()
        node.killed = True

    async def random(self, event: Perturbation) -> None:
        """``times`` kills, at any moment after the node is back, of anybody."""
        rng = random.Random()
        for number in range(event.times):
            node = self._run.nodes[event.nodes[number % len(event.nodes)]]
            await asyncio.sleep(rng.random() * event.seconds)
            who = rng.choice(event.who or WHO)
            if not (comet := cometbft_of(node.pid)):
                raise Broken(f"{node.name} has no CometBFT to kill\n{node.last_words()}")
            node.killed = True
            await node.kill(application=who != "cometbft", cometbft=who != "application")
            if who == "cometbft":
                await gone(comet)
            await self._back(node, f"kill {number + 1} of {event.times}: {who}")

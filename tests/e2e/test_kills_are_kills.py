"""What the runs of networks say of themselves: a kill that killed nobody, a node that fell once more on its way back,
and a load that stood still are failures, and a run says which of them it was."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from network import kills
from network.checks import Broken
from network.kills import Killer
from network.load import Ledger, Sent
from network.points import FILE, Points
from network.process import alive
from network.runner import Run, Summary
from network.spec import Load, Perturbation, load

from openledger.primitives.errors import NodeUnreachable

QUICK = Path(__file__).resolve().parent / "networks" / "kill-points.toml"


class Node:
    """A node whose process ends as often as ``falls`` says, and has a block more at every look."""

    name, comet_url, killed, stopping, starts = "node0", "http://127.0.0.1:1", False, False, 1

    def __init__(self, home: Path, falls: int = 0) -> None:
        self.home = home
        self.pid = 0 if falls else 1
        self._falls = falls
        self._height = 0

    async def start(self) -> None:
        self.starts += 1
        self._falls -= 1
        self.pid = 0 if self._falls else 1

    async def height(self) -> int:
        self._height += 1
        return self._height if self.pid else -1

    def last_words(self) -> str:
        return ""

    @property
    def client(self) -> Node:
        return self

    async def batch(self, _: object) -> None:
        raise NodeUnreachable("it only counts")

    async def close(self) -> None: ...


@pytest.fixture
def killer() -> Killer:
    run: Any = SimpleNamespace(top=0, summary=Summary("made up"), tell=lambda text: None, nodes={})
    return Killer(run)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


async def die(killer: Killer, node: Any, comet: int) -> None:
    """The node comes to a point at which its CometBFT is to be killed."""
    dying = asyncio.create_task(killer._die(node, "journal.after", "cometbft"))
    while not (node.home / FILE).exists():  # noqa: ASYNC110
        await asyncio.sleep(0)
    Points(node.home, lambda: comet).reach("journal.after")
    await dying


async def test_a_point_kills_the_cometbft_that_runs(
    killer: Killer, sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    await die(killer, Node(tmp_path), sleeper.pid)
    assert not alive(sleeper.pid)


async def test_a_point_without_a_cometbft_to_kill_breaks_the_run(killer: Killer, tmp_path: Path) -> None:
    with pytest.raises(Broken, match=r"no CometBFT to kill at journal\.after"):
        await die(killer, Node(tmp_path), 0)


async def test_a_random_kill_without_a_cometbft_breaks_the_run(
    killer: Killer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kills, "cometbft_of", lambda pid: 0)
    killer._run.nodes["node0"] = Node(tmp_path)  # type: ignore[assignment]
    with pytest.raises(Broken, match="no CometBFT to kill"):
        await killer.random(Perturbation(1, "kill-random", ("node0",), times=1, who=("cometbft",)))


@pytest.mark.parametrize("falls", [0, 1])
async def test_a_node_comes_back_at_its_first_start(killer: Killer, tmp_path: Path, falls: int) -> None:
    node: Any = Node(tmp_path, falls)
    await killer._back(node, "a kill")
    assert (node.starts, len(killer._run.summary.backs)) == (1 + falls, 1)


async def test_a_node_that_falls_once_more_on_its_way_back_breaks_the_run(killer: Killer, tmp_path: Path) -> None:
    node: Any = Node(tmp_path, 2)
    with pytest.raises(Broken, match="ended by itself after a kill"):
        await killer._back(node, "a kill")


async def test_a_node_that_falls_while_the_end_is_judged_breaks_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, node = Run(replace(load(QUICK), perturb=()), tmp_path, print), Node(tmp_path)

    async def nothing(*_: object) -> None: ...

    async def falls(_: Run) -> None:
        node.pid = 0

    async def begins(_: Run) -> None:
        run.nodes["node0"], run.top = node, 1  # type: ignore[assignment]

    for name, does in {"_prepare": begins, "_voting": nothing, "_live": nothing, "_judge": falls}.items():
        monkeypatch.setattr(Run, name, does)
    with pytest.raises(Broken, match="node0 ended by itself"):
        await run.run()


@pytest.mark.parametrize("block_first", [True, False])
def test_a_transaction_whose_block_is_read_before_its_answer_is_not_waited_for(block_first: bool) -> None:
    ledger, sent = Ledger(), Sent("0x01", 0.0, "node0")
    steps = [lambda: ledger.seen(["0x01", "0x02"]), lambda: ledger.acknowledge(sent)]
    for step in steps if block_first else steps[::-1]:
        step()
    ledger.acknowledge(Sent("0x03", 0.0, "node0"))
    assert (list(ledger.waiting), [one.hash for one in ledger.acknowledged]) == (["0x03"], ["0x01", "0x03"])


class Standing:
    """A load of which one sender gets no further."""

    def __init__(self) -> None:
        self.asked = 0

    @property
    def done(self) -> list[int]:
        self.asked += 1
        return [self.asked, 7]


async def test_a_load_that_stands_still_breaks_the_run(tmp_path: Path) -> None:
    run = Run(load(QUICK), tmp_path, print)
    run.spec = SimpleNamespace(seconds=0.2, load=Load(20))  # type: ignore[assignment]
    run._loader = Standing()  # type: ignore[assignment]
    with pytest.raises(Broken, match="transactions of every sender"):
        await run._load_lives()


async def test_a_wait_that_was_too_long_is_not_called_the_end_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def waits(_: Run) -> None:
        raise TimeoutError("process 7 lives on")

    monkeypatch.setattr(Run, "_prepare", waits)
    with pytest.raises(Broken, match="process 7 lives on"):
        await Run(load(QUICK), tmp_path, print).run()

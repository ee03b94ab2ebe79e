"""The conformance checks against a devnet of our own, as a process: none may fail, on either engine."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from conformance.checks import CHECKS, judge_all
from conformance.node import Node
from conformance.world import Outcome, World
from devnet_process import NATIVE, devnet

GROUPS = tuple(dict.fromkeys(named.group for named in CHECKS))
PY_EVM = ("forms", "roots", "logs", "gas")
"""Groups whose answers depend on the engine."""


async def judged(url: str, groups: tuple[str, ...]) -> list[Outcome]:
    """How the checks of these groups end."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        world = World(Node(url, session))
        await world.prepare()
        return await judge_all(world, [named for named in CHECKS if named.group in groups])


def failed(outcomes: list[Outcome], *groups: str) -> list[str]:
    """A line for each check of the groups that does not hold."""
    found = [o for o in outcomes if o.named.group in groups]
    assert found
    return [f"{o.named.claim}: {o.reason}" for o in found if o.reason]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Outcome]]:
    with devnet(tmp_path_factory.mktemp("conformance")) as running:
        yield asyncio.run(judged(running.url, GROUPS))


@pytest.mark.parametrize("group", GROUPS)
def test_no_check_of_the_group_fails(outcomes: list[Outcome], group: str) -> None:
    assert failed(outcomes, group) == []


@pytest.mark.skipif(not NATIVE, reason="the native engine is not built; the checks above ran on py-evm")
def test_the_reference_engine_passes_as_well(tmp_path: Path) -> None:
    with devnet(tmp_path, "--engine", "py-evm") as running:
        assert failed(asyncio.run(judged(running.url, PY_EVM)), *PY_EVM) == []


def test_there_are_more_than_355_checks_and_no_two_claim_the_same() -> None:
    claims = [(named.group, named.claim) for named in CHECKS]
    assert len(claims) > 355
    assert sorted(set(claims)) == sorted(claims)

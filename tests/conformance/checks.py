"""All groups of checks, in the order in which they run."""

from __future__ import annotations

from conformance import devnets, live, reads, roots, shapes, traces, wire
from conformance.world import CHECKS, Named, Outcome, World, judge

GROUPS = (shapes, wire, reads, roots, live, traces, devnets)

__all__ = ["CHECKS", "GROUPS", "judge_all"]


async def judge_all(world: World, checks: list[Named]) -> list[Outcome]:
    """One after the other, so that each knows the chain that it asks."""
    return [await judge(world, named) for named in checks]

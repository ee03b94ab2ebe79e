"""``python -m tests.conformance URL``: checks a node from outside and prints how many of each group hold.

Works with any Ethereum node that has funds for somebody (the accounts of the phrase "test test ... junk", or an
unlocked account of its own). It sends transactions, so do not point it at a chain that matters.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import aiohttp

sys.path.insert(0, str(Path(__file__).parents[1]))

from conformance.checks import CHECKS, judge_all
from conformance.node import Node
from conformance.world import Outcome, World


def table(outcomes: list[Outcome], verbose: bool) -> str:
    """A line for each group, then what failed."""
    groups = list(dict.fromkeys(o.named.group for o in outcomes))
    lines = [f"{'group':<12}{'held':>6}{'of':>6}"]
    for group in groups:
        mine = [o for o in outcomes if o.named.group == group]
        lines.append(f"{group:<12}{sum(not o.reason for o in mine):>6}{len(mine):>6}")
    lines.append(f"{'all':<12}{sum(not o.reason for o in outcomes):>6}{len(outcomes):>6}")
    if verbose:
        lines += ["", *(f"{o.named.group}: {o.named.claim}\n    {o.reason}" for o in outcomes if o.reason)]
    return "\n".join(lines)


async def run(url: str, ws_url: str | None, groups: list[str]) -> list[Outcome]:
    """Prepare the node's world and judge every check of these groups (all of them when there is none)."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        world = World(Node(url, session, ws_url))
        await world.prepare()
        return await judge_all(world, [c for c in CHECKS if not groups or c.group in groups])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("url", help="where the node answers, such as http://127.0.0.1:8545")
    parser.add_argument("--ws", help="its WebSocket, where that is another port")
    parser.add_argument("--group", action="append", default=[], help="only this group; may be repeated")
    parser.add_argument("--quiet", action="store_true", help="the table only")
    options = parser.parse_args()
    outcomes = asyncio.run(run(options.url, options.ws, options.group))
    print(table(outcomes, not options.quiet))
    return int(any(o.reason for o in outcomes))


if __name__ == "__main__":
    raise SystemExit(main())

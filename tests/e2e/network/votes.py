"""Votes of the stake on a running network: operators propose, vote, and what was decided must be seen on every node."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from network.checks import Broken
from network.process import Process

from openledger.abci_app.modules.governance.propose import GovPropose
from openledger.abci_app.modules.governance.records import Argument
from openledger.abci_app.modules.governance.vote import GovVote
from openledger.primitives.amounts import OPEN
from openledger.primitives.errors import NodeUnreachable, NotFound

PATIENCE = 120
POLL = 0.1


async def decide(
    node: Process, operators: Sequence[bytes], effect: str, arguments: Mapping[str, str], all_nodes: Sequence[Process]
) -> None:
    """The operators (by their secrets) pass a proposal, the first one's. Raises Broken when it does not pass."""
    listed = tuple(Argument(name, value) for name, value in arguments.items())
    deposit = GovPropose(f"{effect} of the network", "", effect, listed, 10 * OPEN)
    receipt = await node.client.wait_receipt(await node.client.send_native(operators[0], deposit), PATIENCE)
    number = int(receipt["logs"][0]["topics"][1], 16)
    sent = [await node.client.send_native(secret, GovVote(number, "yes")) for secret in operators]
    for tx_hash in sent:
        await node.client.wait_receipt(tx_hash, PATIENCE)
    async with asyncio.timeout(PATIENCE):
        while (status := await _status(node, number)) == "voting":  # noqa: ASYNC110
            await asyncio.sleep(POLL)
    if status != "passed":
        raise Broken(f"proposal {number} ({effect}) is {status}")
    if effect == "params":
        await asyncio.gather(*(holds(one, arguments) for one in all_nodes))


async def _status(node: Process, number: int) -> str:
    found = await node.client.call("openledger_getProposal", number)
    return str(found["status"])


async def holds(node: Process, arguments: Mapping[str, str]) -> None:
    """What a vote has changed counts on this node: in blocks, and for CometBFT."""
    async with asyncio.timeout(PATIENCE):
        while not await _holds(node, arguments):  # noqa: ASYNC110
            await asyncio.sleep(POLL)


async def _holds(node: Process, arguments: Mapping[str, str]) -> bool:
    try:
        block = await node.client.call("eth_getBlockByNumber", "latest", False)
        engine = await node.comet("consensus_params")
    except (NodeUnreachable, NotFound):
        return False
    gas, size = arguments.get("block_gas_limit"), arguments.get("max_block_bytes")
    return (gas is None or int(block["gasLimit"], 16) == int(gas)) and (
        size is None or engine["consensus_params"]["block"]["max_bytes"] == size
    )

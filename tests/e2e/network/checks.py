"""What must hold on every network, whatever was done to it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from network.claims import Ended
from network.process import Process
from network.spec import Spec

from openledger.abci_app.queries import get_supply
from openledger.abci_app.votes import is_slot0
from openledger.genesis.presets import DEVNET_PARAMS
from openledger.primitives.amounts import PPM
from openledger.primitives.codec import decode
from openledger.state import layout
from openledger.state.leveldb import LevelDbStore
from openledger.state.store import StateStore

BATCH = 250
METAS = 20
"""CometBFT gives at most so many block headers in one answer."""
EMPTY = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"
SAID = {"yes": "yes", "no": "no", "copy": "void", "unrevealed": "none", "silent": "none"}


class Broken(Exception):
    """A promise of the network does not hold."""


@dataclass
class Chain:
    """One node's view: Ethereum (block hash, state root, transaction count) and CometBFT's (block id, app hash before,
    evidence inside) by height."""

    blocks: list[tuple[str, str, int]]
    metas: list[tuple[str, str, bool]]


async def chain_of(node: Process, top: int) -> Chain:
    """The chain up to ``top`` as this node tells it through both doors."""
    blocks: list[tuple[str, str, int]] = []
    for first in range(0, top + 1, BATCH):
        calls = [("eth_getBlockByNumber", [hex(n), False]) for n in range(first, min(first + BATCH, top + 1))]
        found = await node.client.batch(calls)
        blocks += [(b["hash"], b["stateRoot"], len(b["transactions"])) for b in found]
    metas: dict[int, tuple[str, str, bool]] = {}
    for first in range(1, top + 1, METAS):
        answer = await node.comet(f"blockchain?minHeight={first}&maxHeight={min(first + METAS - 1, top)}")
        for meta in answer["block_metas"]:
            header = meta["header"]
            evidence = header["evidence_hash"] != EMPTY
            metas[int(header["height"])] = (meta["block_id"]["hash"], header["app_hash"].lower(), evidence)
    return Chain(blocks, [metas[n] for n in range(1, top + 1)])


async def one_chain(nodes: Sequence[Process], top: int) -> Chain:
    """Equal blocks, state roots and app hashes at every height on every node. Raises Broken with the first that
    differs."""
    first, *others = await asyncio.gather(*(chain_of(node, top) for node in nodes))
    for node, other in zip(nodes[1:], others, strict=True):
        for n, (ours, theirs) in enumerate(zip(first.blocks, other.blocks, strict=True)):
            if ours != theirs:
                raise Broken(f"block {n}: {nodes[0].name} has {ours}, {node.name} has {theirs}")
        for n, (ours_, theirs_) in enumerate(zip(first.metas, other.metas, strict=True), 1):
            if ours_ != theirs_:
                raise Broken(f"CometBFT's block {n}: {nodes[0].name} has {ours_}, {node.name} has {theirs_}")
    for n in range(2, top + 1):
        root, app_hash = first.blocks[n - 1][1], first.metas[n - 1][1]
        if root != "0x" + app_hash:
            raise Broken(f"the state root of block {n - 1} is {root}, CometBFT's next header has {app_hash}")
    return first


async def all_there(node: Process, hashes: Sequence[str]) -> list[str]:
    """Those of the acknowledged transactions that no block has."""
    lost = []
    for at in range(0, len(hashes), BATCH):
        part = hashes[at : at + BATCH]
        found = await node.client.batch([("eth_getTransactionReceipt", [tx_hash]) for tx_hash in part])
        lost += [tx_hash for tx_hash, receipt in zip(part, found, strict=True) if receipt is None]
    return lost


async def voices(node: Process, top: int) -> list[int]:
    """How many validators speak in slot 0 of each block, as CometBFT keeps the blocks."""
    import base64

    async def one(height: int) -> int:
        answer = await node.comet(f"block?height={height}")
        txs = answer["block"]["data"]["txs"] or []
        first = base64.b64decode(txs[0]) if txs else b""
        entries: Any = decode(first[1:]) if is_slot0(first) else []
        return len(entries)

    found: list[int] = []
    for first in range(1, top + 1, METAS):
        found += await asyncio.gather(*(one(n) for n in range(first, min(first + METAS, top + 1))))
    return found


async def stakes_hold(node: Process, spec: Spec) -> None:
    """Nobody's stake and power have changed but those of the guilty; who signed twice has lost his share, for ever."""
    found = {v["name"]: v for v in await node.client.call("openledger_listValidators")}
    before = {v["name"]: v for v in await node.client.call("openledger_listValidators", "0x0")}
    doubled = {member.twin_of for member in spec.nodes if member.twin_of}
    for member in spec.nodes:
        if member.follower or member.twin_of:
            continue
        old, new = before[member.name], found.get(member.name, {})
        if member.name in doubled:
            left = int(old["stake"], 16) * (PPM - DEVNET_PARAMS.slash_double_sign) // PPM
            if not new.get("tombstoned") or new["power"] or int(new["stake"], 16) != left:
                raise Broken(f"{member.name} signed twice, and stands there as {new}")
        elif not member.byzantine and (new.get("stake"), new.get("power")) != (old["stake"], member.power):
            raise Broken(f"{member.name} began as {old}, and is now {new}")


def times_hold(spec: Spec, ages: Sequence[float]) -> None:
    """The time of blocks is that of the clocks that are right; ``ages`` are seconds from a block's time until it was
    read here. Most of them are read within seconds, and none before its time."""
    usual = sorted(ages)[len(ages) // 2]
    if any(node.skew for node in spec.nodes) and not (min(ages) > -5 and usual < 25):
        raise Broken(f"blocks were read {min(ages):.0f} seconds after their time at least, {usual:.0f} seconds mostly")


def claims_hold(spec: Spec, operators: dict[str, str], ended: Sequence[Ended]) -> None:
    """Every claim ended as the words of the oracles and their power say. A node that was away may have said nothing.

    ``operators`` are the addresses of the operators (lower case) by node name.
    """
    voting = [node for node in spec.nodes if not node.follower and not node.twin_of]
    total = sum(node.power for node in voting)
    for index, claim in enumerate(ended):
        words = {node.name: node.oracle[min(index, len(node.oracle) - 1)] for node in voting}
        yes = sum(node.power for node in voting if words[node.name] == "yes")
        no = sum(node.power for node in voting if words[node.name] == "no")
        expected = "accepted" if 3 * yes > 2 * total else "refused" if 3 * no > 2 * total else "lapsed"
        if claim.status != expected:
            raise Broken(f"claim {claim.number} is {claim.status}, not {expected}: {claim.verdicts}")
        for node in voting:
            said = claim.verdicts.get(operators[node.name])
            if said != SAID[words[node.name]] and not (spec.perturb and said == "none"):
                raise Broken(
                    f"claim {claim.number}: {node.name} is recorded with {said}, its oracle: {words[node.name]}"
                )


def money_of(home: Path) -> None:
    """A stopped node's database holds together, and the sum of all balances is the supply. Raises Broken."""
    database = LevelDbStore(home / "state")
    try:
        store = StateStore(database)
        store.verify()
        table = layout.ACCOUNT
        held = sum(layout.decode_account(raw).balance for _, raw in database.iterate(table, layout.after(table)))
        total = int(get_supply(store.reader())["total"], 16)
    finally:
        database.close()
    if held != total:
        raise Broken(f"{home.name}: all balances are {held} wei, the supply says {total}")

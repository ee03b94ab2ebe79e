"""Building a block, and judging one. Both run on a fork of the state and leave nothing behind.

What is proposed has been executed: a transaction that would be refused is left out, so what one honest node proposes
every honest node accepts. Sources: the ABCI specification's requirements 1, 2 and 3.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace

from openledger.abci_app.block import BlockInput, BlockOutput, Chain, Run, begin, execute_block
from openledger.abci_app.decoder import Decoded
from openledger.abci_app.edits import Edits
from openledger.abci_app.modules.fees.market import next_base_fee
from openledger.abci_app.modules.governance.records import params as read_params
from openledger.abci_app.protocol.messages import (
    CommitInfo,
    ExtendedCommitInfo,
    RequestPrepareProposal,
    VoteInfo,
)
from openledger.abci_app.votes import Precommits, build_slot0
from openledger.primitives.blocks import Header
from openledger.primitives.types import Address
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

FRAMING_BYTES = 8
"""More than protobuf adds to one transaction in CometBFT's count of block bytes (tag and length)."""

LEAST_GAS, LEAST_BYTES = 21_000, 90
"""No transaction uses less gas, or has fewer bytes with its framing: a signature alone has 65."""
FULL = 7
"""Eighths of its gas that a block uses when nobody looks for more."""
TRIED = 64
"""Transactions that are executed at a time where some were refused."""


def commit_info(extended: ExtendedCommitInfo) -> CommitInfo:
    """The commit as the other calls see it, without extensions."""
    return CommitInfo(extended.round, tuple(VoteInfo(v.validator, v.block_id_flag) for v in extended.votes))


def prepare(
    chain: Chain, state: StateReader, parent: Header, request: RequestPrepareProposal, waiting: Iterable[Decoded],
    edits: Edits,
) -> tuple[BlockInput, BlockOutput]:  # fmt: skip
    """A block out of ``waiting``, best first, with slot 0 before it, within the byte limit; already executed.

    ``edits`` are those of a solo devnet; they stand behind slot 0, and the limit does not count them."""
    precommits = Precommits(chain, request.height - 1, request.local_last_commit.round)
    slot0 = build_slot0(request.local_last_commit, precommits, state, request.max_tx_bytes - FRAMING_BYTES)
    room = request.max_tx_bytes - (len(slot0) + FRAMING_BYTES if slot0 else 0)
    fixed = tuple(part for part in (slot0, edits.encode()) if part)
    commit = commit_info(request.local_last_commit)
    bare = BlockInput(request.height, request.time, request.proposer_address, fixed, commit, request.misbehavior)
    changed = Overlay(state)
    edits.apply(changed)
    base_fee = edits.base_fee[-1] if edits.base_fee else next_base_fee(parent, read_params(changed))
    seen: list[Decoded] = []
    rest = iter(waiting)
    chosen = _fill(changed, base_fee, rest, room, seen)
    block = replace(bare, txs=(*fixed, *chosen))
    output = execute_block(chain, state, parent, block)
    if not (out := _refused(output)):
        return block, output
    block = _without(block, out)
    if output.gas_used < output.env.gas_limit * FULL // 8:
        block = replace(bare, txs=(*fixed, *_fill_again(chain, state, parent, bare, itertools.chain(seen, rest), room)))
    output = execute_block(chain, state, parent, block)
    if out := _refused(output):
        block = _without(block, out)
        output = execute_block(chain, state, parent, block)
    return block, output


def _without(block: BlockInput, out: set[int]) -> BlockInput:
    return replace(block, txs=tuple(raw for i, raw in enumerate(block.txs) if i not in out))


def _refused(output: BlockOutput) -> set[int]:
    return {i for i, result in enumerate(output.results) if result.info == "refused"}


def _fill(state: StateReader, base_fee: int, waiting: Iterable[Decoded], room: int, seen: list[Decoded]) -> list[bytes]:
    """As many as fit in ``room`` bytes, and in the block's gas if none used more than the least. Adds all that were
    looked at to ``seen``."""
    limit = gas = read_params(state).block_gas_limit
    chosen: list[bytes] = []
    skipped = set()
    for tx in waiting:
        seen.append(tx)
        size = len(tx.raw) + FRAMING_BYTES
        if gas <= 0 or room < LEAST_BYTES:
            break
        if tx.sender in skipped or size > room or tx.gas > limit or tx.tip(base_fee) < 0:
            skipped.add(tx.sender)
            continue
        chosen.append(tx.raw)
        room -= size
        gas -= LEAST_GAS
    return chosen


def _fill_again(
    chain: Chain, state: StateReader, parent: Header, bare: BlockInput, waiting: Iterable[Decoded], room: int
) -> list[bytes]:
    """The same by trying."""
    trial = replace(bare, txs=(*bare.txs, b""))  # the system work asks only whether there are transactions
    run = begin(chain, state, parent, trial)
    run.system_work(trial)
    return take_fitting(run, waiting, room)


def take_fitting(run: Run, waiting: Iterable[Decoded], room: int) -> list[bytes]:
    """Transactions that were executed in ``run`` and not refused, in ``room`` bytes at most.

    Some are executed, what is refused goes out with the rest of its sender's, and what waits behind takes its room. So
    nobody keeps others out of a block with transactions that one of his own makes void.
    """
    tries, skipped, chosen = iter(waiting), set[Address](), list[bytes]()
    while True:
        some: list[Decoded] = []
        gas = run.env.gas_limit - run.output.gas_used
        while gas >= LEAST_GAS and room >= LEAST_BYTES and len(some) < TRIED and (tx := next(tries, None)):
            size = len(tx.raw) + FRAMING_BYTES
            if tx.sender in skipped or size > room or tx.gas > gas or tx.tip(run.env.base_fee) < 0:
                skipped.add(tx.sender)
                continue
            some.append(tx)
            room -= size
        if not some:
            return chosen
        done = len(run.output.results)
        for tx in some:
            run.take(tx.raw)
        run.flush()
        for tx, result in zip(some, run.output.results[done:], strict=True):
            if result.info == "refused":
                skipped.add(tx.sender)
                room += len(tx.raw) + FRAMING_BYTES
            else:
                chosen.append(tx.raw)


def acceptable(output: BlockOutput) -> bool:
    """A proposal holds when its slot 0 is valid and no transaction in it was refused."""
    return output.slot0_valid and all(result.info != "refused" for result in output.results)

"""The block that would come next, made of what waits in the mempool, on a fork of the state: what "pending" means.

It is filled as a proposal is, so what is refused gives its room to what waits behind. It is a guess, not a promise:
another proposer may choose otherwise, slot 0 may bring verdicts, and the time is the asker's. Nothing of it is kept or
written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from openledger.abci_app.block import BlockInput, BlockOutput, Chain, begin, seal
from openledger.abci_app.decoder import Decoded
from openledger.abci_app.proposals import take_fitting
from openledger.abci_app.protocol.messages import CommitInfo
from openledger.evm.engine import BlockEnv
from openledger.primitives.blocks import Header, SealedBlock
from openledger.primitives.hashing import ZERO_HASH
from openledger.primitives.types import Address
from openledger.state.ports import StateReader
from openledger.state.store import StateStore

MOST_WAITING = 6_000
"""Transactions that are looked at: four times what 30,000,000 gas hold, for those that are refused."""


@dataclass(frozen=True, slots=True)
class Preview:
    """The next block so far. ``block`` has no state root and no hash that means anything; ``state`` is after it,
    ``env`` the environment that its transactions ran in."""

    parent: Header
    env: BlockEnv
    block: SealedBlock
    state: StateReader


def preview(
    chain: Chain,
    store: StateStore,
    parent: Header,
    seconds: int,
    proposer: Address,
    waiting: Mapping[bytes, Decoded],
    edits: bytes = b"",
) -> Preview:
    """Run ``waiting`` (raw to decoded, in the order of the next block) after ``parent``. May be called from any thread.

    What the block would refuse is left out. ``seconds`` is the time of the block, ``edits`` are a solo
    devnet's. Raises StatePruned when the state of ``parent`` is gone meanwhile.
    """
    base = store.reader(parent.number)
    time = max(seconds, parent.timestamp) * 10**9
    given = BlockInput(
        parent.number + 1, time, proposer, ((edits,) if edits else ()) + tuple(waiting), CommitInfo(0, ())
    )
    forked = replace(chain, block_hash=store.recent_hashes(given.height), decode=waiting.__getitem__)
    run = begin(forked, base, parent, given)
    if waiting:
        run.system_work(given)
    take_fitting(run, waiting.values(), run.output.params.max_block_bytes)
    return Preview(parent, run.env, _sealed(run.output, parent), run.state)


def _sealed(output: BlockOutput, parent: Header) -> SealedBlock:
    return seal(output, ZERO_HASH, parent, b"")

"""Which rows a validator has to show is settled by two who do not see each other's hand, so nobody can choose them.

A validator promises the Merkle root of 256 secret seeds, one for each claim number of a batch, in a vote extension. A
promise counts for claims that open more than ``LEAD`` blocks after the block that has it; a later promise takes the
place of an earlier one, for one who has lost its seeds. With its commitment a validator shows the leaf of the claim's
seed and the way from it to the root, with its verdict the seed. The root of the claim's scores takes part in the
draw: nobody can choose seeds for rows whose scores are known from earlier claims. Neither a salt nor a block hash takes
part: both can be ground.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from openledger.abci_app.action import BlockContext
from openledger.abci_app.modules.attribution.index_challenges import Ballot
from openledger.abci_app.modules.attribution.messages import Commitment, Promise, hashes_of
from openledger.abci_app.modules.attribution.records import CHALLENGES, CLAIM_COUNT, PROMISED, Claim
from openledger.abci_app.tables import Table
from openledger.primitives.attribution import SEED_BATCH
from openledger.primitives.fields import U64, Bytes32
from openledger.primitives.hashing import merkle_verify
from openledger.primitives.types import ATTRIBUTION_ADDRESS, Address, Hash32, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

LEAD = 3
"""Blocks between a promise and the first claim that it counts for: longer than a proposer can hold a claim back."""


@dataclass(frozen=True)
class Promised:
    """The Merkle root over a batch of seeds, and the height of the block that has it."""

    root: Bytes32
    height: U64


_PROMISES = Table(ATTRIBUTION_ADDRESS, "seeds", Promised)


def batches(state: StateReader) -> tuple[int, int]:
    """The batch of the next claim's number, and the one after it: what may be promised now."""
    current = (CLAIM_COUNT.get(state) + 1) // SEED_BATCH
    return current, current + 1


def promised(state: StateReader, validator: Address, batch: int) -> Hash32 | None:
    """The root that a validator has promised for a batch."""
    found = _PROMISES.get(state, validator, batch)
    return None if found is None else found.root


def counted(state: StateReader, validator: Address, claim: int, opened: int) -> Hash32 | None:
    """The root that binds a validator in a claim that was opened in block ``opened``; None where none does."""
    found = _PROMISES.get(state, validator, claim // SEED_BATCH)
    return found.root if found is not None and found.height + LEAD < opened else None


def hear_promise(state: Overlay, ctx: BlockContext, validator: Address, message: Promise) -> Iterator[Log]:
    """Write a promise down; one for another batch, or said before, changes nothing."""
    if message.batch in batches(state) and promised(state, validator, message.batch) != message.root:
        _PROMISES.put(state, Promised(message.root, ctx.height), validator, message.batch)
        yield PROMISED.log(validator, message.batch, message.root)


def has_declared(state: StateReader, validator: Address, number: int, claim: Ballot) -> bool:
    """Whether a validator has promised seeds that bind it in a claim, as a running oracle does; in a second look, for
    the newest claim before the challenge."""
    if not isinstance(claim, Claim) or not claim.second_look:
        return counted(state, validator, number, claim.opened) is not None
    return counted(state, validator, CLAIM_COUNT.get(state), CHALLENGES.must(state, number).height) is not None


def leaf_holds(state: StateReader, validator: Address, claim: Ballot, message: Commitment) -> bool:
    """True when the leaf of a commitment is that of the seed which was promised for its claim. In a second look any
    leaf does: its scores are public, so no draw shows work, and who has come since could not promise."""
    if not message.leaf:
        return False
    if not isinstance(claim, Claim) or claim.second_look:
        return True
    root = counted(state, validator, message.claim, claim.opened)
    if root is None:
        return False
    return merkle_verify(root, message.leaf, message.claim % SEED_BATCH, SEED_BATCH, hashes_of(message.path))

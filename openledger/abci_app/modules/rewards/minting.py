"""The mint of accepted claims: granted all at once when an epoch closes, minted some in each block.

Any number of claims can be accepted in an epoch, each with up to ``max_shares`` contributors, of whom everyone costs
about 45 microseconds. So a block mints for some of them, and the next ones go on.
"""

from __future__ import annotations

from dataclasses import replace

from openledger.abci_app.action import BlockContext
from openledger.abci_app.modules.attribution.records import CLAIMS, ESCROW
from openledger.abci_app.modules.fees.records import mint_to, mintable
from openledger.abci_app.modules.rewards.records import GRANTS, MINTED, Wish, credit
from openledger.primitives.amounts import split_exact
from openledger.primitives.types import Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

MAX_PER_BLOCK = 2_048
"""Contributors that one block mints for, unless a single claim has more."""


def grant(state: Overlay, number: int, amount: int) -> None:
    """``amount`` wei are minted for a claim, in this block or in one of the next."""
    GRANTS.put(state, Wish(amount), number)


def granted_before(state: StateReader) -> int:
    """Wei that are granted and not minted yet."""
    return sum(found.amount for _, found in GRANTS.items(state))


def mint_is_due(state: StateReader) -> bool:
    """True when the next block would mint something."""
    return next(iter(GRANTS.items(state)), None) is not None


def mint_granted(state: Overlay, ctx: BlockContext) -> list[Log]:
    """Mint what was granted, the oldest claims first, as much as a block may; never more than there is to mint, which a
    vote may have lowered meanwhile."""
    logs: list[Log] = []
    left = MAX_PER_BLOCK
    for rest, found in GRANTS.items(state):
        number = int.from_bytes(rest, "big")
        people = len(CLAIMS.must(state, number).shares)
        if people > left < MAX_PER_BLOCK:
            break
        left -= people
        GRANTS.delete(state, number)
        logs += _mint(state, ctx, number, min(found.amount, mintable(state, ctx.params)))
    return logs


def _mint(state: Overlay, ctx: BlockContext, number: int, amount: int) -> list[Log]:
    claim = CLAIMS.must(state, number)
    mint_to(state, ESCROW, amount, ctx.params)
    CLAIMS.put(state, replace(claim, minted=amount), number)
    logs = []
    for share, part in zip(claim.shares, split_exact(amount, [s.ppm for s in claim.shares]), strict=True):
        if part:
            credit(state, share.contributor, number, minted=part, locked=claim.vests > 0)
            logs.append(MINTED.log(number, share.contributor, part))
    return logs

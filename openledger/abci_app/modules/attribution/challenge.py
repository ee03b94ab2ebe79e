"""attribution.challenge: somebody with a bond says that a row or a share of an accepted claim is wrong.

It is possible until the claim's rewards have vested. The validators of this moment verify the claim once more, the
named row among what each of them recomputes. If they say no, the claim is undone; else the challenger's bond burns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext
from openledger.abci_app.modules.accounts import must_afford, transfer
from openledger.abci_app.modules.attribution.electorates import ask_anew
from openledger.abci_app.modules.attribution.records import (
    ACCEPTED,
    CHALLENGE_OPEN,
    CHALLENGED,
    CHALLENGES,
    CLAIMS,
    ESCROW,
    OPEN,
    PENDING,
    Challenge,
    must_claim,
)
from openledger.abci_app.modules.models.records import contributors
from openledger.abci_app.tables import Number
from openledger.primitives.errors import MalformedAction, NotChallengeable, NotFound
from openledger.primitives.fields import U64, AddressField
from openledger.primitives.types import ATTRIBUTION_ADDRESS, ZERO_ADDRESS, Address, Log, to_checksum
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True)
class AttributionChallenge(Action):
    """``contributor`` names the share that is wrong; with the zero address it is the model's index row ``row``."""

    KIND: ClassVar[str] = "attribution.challenge"
    MODULE: ClassVar[Address] = ATTRIBUTION_ADDRESS
    GAS: ClassVar[int] = 80_000

    claim: U64
    row: U64
    contributor: AddressField

    def check(self) -> None:
        if self.row and self.contributor != ZERO_ADDRESS:
            raise MalformedAction("a challenge names a row or a contributor's share, not both")

    def validate(self, view: StateReader, ctx: ActionContext) -> None:
        claim = must_claim(view, self.claim)
        if claim.status != ACCEPTED or ctx.block.time >= claim.vests:
            raise NotChallengeable(f"claim {self.claim} is not an accepted one whose rewards are still vesting")
        if self.contributor == ZERO_ADDRESS:
            if self.row >= claim.rows:
                raise NotFound(f"claim {self.claim} has {claim.rows} rows, counted from 0")
        elif self.contributor not in contributors(view, claim.model):
            raise NotFound(f"{to_checksum(self.contributor)} has no rows in the data of model {claim.model}")
        must_afford(view, ctx.sender, ctx.block.params.challenge_bond, "the challenger's bond")

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        params, claim = ctx.block.params, must_claim(state, self.claim)
        bond, height = params.challenge_bond, ctx.block.height
        transfer(state, ctx.sender, ESCROW, bond)
        challenge = Challenge(ctx.sender, bond, self.row, self.contributor, CHALLENGE_OPEN, height)
        ask_anew(state, self.claim, claim, params)
        CHALLENGES.put(state, challenge, self.claim)
        attempt, deadline = 2 * (claim.attempt // 2 + 1), ctx.block.time + params.hold_seconds
        CLAIMS.put(state, replace(claim, status=PENDING, attempt=attempt, look=0, deadline=deadline), self.claim)
        OPEN.put(state, Number(height), self.claim)
        return [CHALLENGED.log(self.claim, ctx.sender, self.row, self.contributor, bond)]

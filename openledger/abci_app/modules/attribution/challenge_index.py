"""attribution.challenge_index: somebody with a bond says that a row of a published index is wrong.

It needs no claim. The validators of this moment make the row again from data and receipt, and vote as on a claim. If
they say no, the model is refuted and half of its publisher's bond is the challenger's; else the challenger's bond
burns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext
from openledger.abci_app.modules.accounts import must_afford, transfer
from openledger.abci_app.modules.attribution.electorates import electorate_now
from openledger.abci_app.modules.attribution.index_challenges import (
    INDEX_CHALLENGED,
    INDEX_CHALLENGES,
    IndexChallenge,
)
from openledger.abci_app.modules.attribution.records import (
    CHALLENGE_OPEN,
    CLAIM_COUNT,
    ELECTORATES,
    ESCROW,
    OPEN,
    PENDING,
)
from openledger.abci_app.modules.models.bonds import begin_challenge, challenge_of, must_stand
from openledger.abci_app.modules.models.records import must_model
from openledger.abci_app.tables import Number
from openledger.primitives.attribution import EVERY_SEGMENT
from openledger.primitives.errors import MalformedAction, NotChallengeable, NotFound
from openledger.primitives.fields import U8, U64
from openledger.primitives.types import ATTRIBUTION_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True)
class AttributionChallengeIndex(Action):
    """``row`` of the model's index, counted from 0; ``segment`` of its training run, counted from 1 (0: anywhere)."""

    KIND: ClassVar[str] = "attribution.challenge_index"
    MODULE: ClassVar[Address] = ATTRIBUTION_ADDRESS
    GAS: ClassVar[int] = 120_000

    model: U64
    row: U64
    segment: U8 = 0

    def check(self) -> None:
        if self.segment == EVERY_SEGMENT:
            raise MalformedAction("a segment of the training run is 1 to 254, or 0 for the whole run")

    def validate(self, view: StateReader, ctx: ActionContext) -> None:
        model = must_model(view, self.model)
        must_stand(model, self.model)
        if self.row >= model.rows:
            raise NotFound(f"model {self.model} has {model.rows} rows, counted from 0")
        other = challenge_of(view, self.model, self.row, self.segment)
        if other is not None:
            raise NotChallengeable(f"challenge {other} is about this row already")
        must_afford(view, ctx.sender, ctx.block.params.challenge_bond, "the challenger's bond")

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        params, number, height = ctx.block.params, CLAIM_COUNT.next(state), ctx.block.height
        bond = params.challenge_bond
        transfer(state, ctx.sender, ESCROW, bond)
        found = IndexChallenge(
            model=self.model,
            row=self.row,
            segment=self.segment,
            challenger=ctx.sender,
            bond=bond,
            outcome=CHALLENGE_OPEN,
            status=PENDING,
            attempt=0,
            deadline=ctx.block.time + params.hold_seconds,
            opened=height,
            closed=0,
        )
        INDEX_CHALLENGES.put(state, found, number)
        ELECTORATES.put(state, electorate_now(state, params), number)
        OPEN.put(state, Number(height), number)
        begin_challenge(state, self.model, self.row, self.segment, number)
        return [INDEX_CHALLENGED.log(number, self.model, ctx.sender, self.row, self.segment, bond)]

"""datanet.create: a new data set and its rules."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext, require_text
from openledger.abci_app.modules.datanets.policies import GAS_PER_REVIEWER, check_policy
from openledger.abci_app.modules.datanets.records import COUNT, CREATED, DATANETS, Datanet
from openledger.primitives.errors import MalformedAction
from openledger.primitives.fields import U8, U256, AddressField, Text
from openledger.primitives.types import DATANETS_ADDRESS, Address, Log
from openledger.state.overlay import Overlay

_SPDX = re.compile(r"[A-Za-z0-9.+-]{1,64}( (AND|OR|WITH) [A-Za-z0-9.+-]{1,64}){0,4}")
SCHEMAS = ("text",)


@dataclass(frozen=True)
class DatanetCreate(Action):
    """``licence`` is an SPDX expression; ``policy`` says who may commit: anybody, those the owner commits for, or
    anybody whom ``review_quorum`` of the ``reviewers`` accept. ``bond`` (of a commit) and ``stake`` (of a review) in
    wei. Each reviewer costs 1,000 gas."""

    KIND: ClassVar[str] = "datanet.create"
    MODULE: ClassVar[Address] = DATANETS_ADDRESS
    GAS: ClassVar[int] = 60_000

    name: Text
    description: Text = ""
    schema: Text = "text"
    licence: Text = "CC0-1.0"
    policy: Text = "open"
    review_quorum: U8 = 0
    bond: U256 = 0
    stake: U256 = 0
    reviewers: tuple[AddressField, ...] = ()

    def kind_gas(self) -> int:
        return self.GAS + GAS_PER_REVIEWER * len(self.reviewers)

    def check(self) -> None:
        require_text("name", self.name, 64)
        require_text("description", self.description, 1024, shortest=0)
        if not _SPDX.fullmatch(self.licence):
            raise MalformedAction("licence must be an SPDX expression", "for example CC0-1.0 or CC-BY-4.0")
        if self.schema not in SCHEMAS:
            raise MalformedAction(f"schema must be one of {', '.join(SCHEMAS)}")
        check_policy(self.policy, self.review_quorum, self.bond, self.stake, self.reviewers)

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        number = COUNT.next(state)
        record = Datanet(
            owner=ctx.sender,
            name=self.name,
            description=self.description,
            schema=self.schema,
            licence=self.licence,
            policy=self.policy,
            review_quorum=self.review_quorum,
            bond=self.bond,
            stake=self.stake,
            reviewers=self.reviewers,
            head=0,
            versions=0,
            created=ctx.block.time,
        )
        DATANETS.put(state, record, number)
        return [CREATED.log(number, ctx.sender, self.name)]

"""datanet.create: a new data set and its rules."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext, require_text
from openledger.abci_app.modules.datanets.records import COUNT, CREATED, DATANETS, Datanet
from openledger.primitives.errors import MalformedAction
from openledger.primitives.fields import U8, U256, Text
from openledger.primitives.types import DATANETS_ADDRESS, Address, Log
from openledger.state.overlay import Overlay

_SPDX = re.compile(r"[A-Za-z0-9.+-]{1,64}( (AND|OR|WITH) [A-Za-z0-9.+-]{1,64}){0,4}")
POLICIES = ("open", "invited")
SCHEMAS = ("text",)


@dataclass(frozen=True)
class DatanetCreate(Action):
    """``licence`` is an SPDX expression; ``policy`` says who may commit: anybody, or those the owner commits for."""

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

    def check(self) -> None:
        require_text("name", self.name, 64)
        require_text("description", self.description, 1024, shortest=0)
        if not _SPDX.fullmatch(self.licence):
            raise MalformedAction("licence must be an SPDX expression", "for example CC0-1.0 or CC-BY-4.0")
        if self.schema not in SCHEMAS:
            raise MalformedAction(f"schema must be one of {', '.join(SCHEMAS)}")
        if self.policy not in POLICIES:
            raise MalformedAction(f"policy must be one of {', '.join(POLICIES)}; reviewed datanets are not offered yet")
        if self.review_quorum or self.bond:
            raise MalformedAction("review_quorum and bond belong to reviewed datanets and must be 0")

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
            head=0,
            created=ctx.block.time,
        )
        DATANETS.put(state, record, number)
        return [CREATED.log(number, ctx.sender, self.name)]

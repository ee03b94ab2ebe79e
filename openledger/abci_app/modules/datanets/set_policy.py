"""datanet.set_policy: the owner changes who may commit, or who reviews and for what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext
from openledger.abci_app.modules.datanets.policies import GAS_PER_REVIEWER, check_policy
from openledger.abci_app.modules.datanets.records import DATANETS, POLICY_SET, must_datanet
from openledger.primitives.errors import NotAllowed
from openledger.primitives.fields import U8, U64, U256, AddressField, Text
from openledger.primitives.types import DATANETS_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True)
class DatanetSetPolicy(Action):
    """All rules anew, as in datanet.create. Versions that wait for their reviewers keep the rules that they were
    committed under. Each reviewer costs 1,000 gas."""

    KIND: ClassVar[str] = "datanet.set_policy"
    MODULE: ClassVar[Address] = DATANETS_ADDRESS
    GAS: ClassVar[int] = 40_000

    datanet: U64
    policy: Text
    review_quorum: U8 = 0
    bond: U256 = 0
    stake: U256 = 0
    reviewers: tuple[AddressField, ...] = ()

    def kind_gas(self) -> int:
        return self.GAS + GAS_PER_REVIEWER * len(self.reviewers)

    def check(self) -> None:
        check_policy(self.policy, self.review_quorum, self.bond, self.stake, self.reviewers)

    def validate(self, view: StateReader, ctx: ActionContext) -> None:
        if must_datanet(view, self.datanet).owner != ctx.sender:
            raise NotAllowed("only the owner of a datanet changes its policy")

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        record = replace(
            must_datanet(state, self.datanet),
            policy=self.policy,
            review_quorum=self.review_quorum,
            bond=self.bond,
            stake=self.stake,
            reviewers=self.reviewers,
        )
        DATANETS.put(state, record, self.datanet)
        return [POLICY_SET.log(self.datanet, self.policy)]

"""datanet.promise: a salted hash of rows that will be committed, so that nobody can be first with somebody's text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext
from openledger.abci_app.modules.datanets.promises import add_promise, promise
from openledger.primitives.errors import AlreadyExists
from openledger.primitives.fields import Bytes32
from openledger.primitives.types import DATANETS_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True)
class DatanetPromise(Action):
    """``digest`` is keccak256 of "openledger.promise", contributor, blob and a secret salt of 32 bytes. The commit that
    shows the salt while the promise stands counts, for who was first, as if it had been made now."""

    KIND: ClassVar[str] = "datanet.promise"
    MODULE: ClassVar[Address] = DATANETS_ADDRESS
    GAS: ClassVar[int] = 100_000

    digest: Bytes32

    def validate(self, view: StateReader, ctx: ActionContext) -> None:
        if promise(view, self.digest, ctx.block.time) is not None:
            raise AlreadyExists("this promise stands already", "it counts from its first block on, whoever sent it")

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        return add_promise(state, ctx.block, self.digest, ctx.sender)

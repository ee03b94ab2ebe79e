"""model.publish: registers weights, training receipt, attribution index and price of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext, require_text
from openledger.abci_app.modules.accounts import must_afford, transfer
from openledger.abci_app.modules.datanets.records import FREE_PARTS, PART_BYTES, HeldPart, must_version, part_bytes
from openledger.abci_app.modules.datanets.reviews import must_be_accepted
from openledger.abci_app.modules.models.records import (
    CONTRIBUTORS,
    ESCROW,
    MODEL_COUNT,
    MODELS,
    PUBLISHED,
    Contributors,
    DataRef,
    Model,
)
from openledger.primitives.amounts import OPEN, PPM
from openledger.primitives.attribution import METHODS
from openledger.primitives.errors import AmountOutOfRange, MalformedAction
from openledger.primitives.fields import U32, U64, U256, Bytes32, Text
from openledger.primitives.types import MODELS_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

MAX_DATA = 64
MAX_PRICE = 1_000_000 * OPEN
GAS_PER_DATANET = 45_000
"""Pays for reading 64 parts."""
GAS_PER_ROW = 400
"""For every part beyond those; a part has a row at least, so the rows say how many there can be."""
MOST_PARTS = 1_024
"""Parts of a version that are paid for at most."""


@dataclass(frozen=True)
class ModelPublish(Action):
    """Hashes are sha256 names of blobs; ``index_root`` is the Merkle root of the index; ``rows`` its length.

    Losses in micro-nats a token on held-out rows, before and after tuning; ``lds`` in ppm, 0 where not measured;
    ``price`` in wei an answer. Each datanet costs 45,000 gas besides, and
    each row 400: those beyond 64 a datanet, and up to 1,024 a datanet. The bond ``model_bond`` answers for the index.
    """

    KIND: ClassVar[str] = "model.publish"
    MODULE: ClassVar[Address] = MODELS_ADDRESS
    GAS: ClassVar[int] = 120_000

    name: Text
    base: Text
    data: tuple[DataRef, ...]
    weights: Bytes32
    bundle: Bytes32
    receipt: Bytes32
    index: Bytes32
    index_root: Bytes32
    rows: U64
    method: Text
    base_loss: U64
    held_out_loss: U64
    lds: U32
    price: U256

    def check(self) -> None:
        require_text("name", self.name, 64)
        require_text("base", self.base, 128)
        if not 1 <= len(self.data) <= MAX_DATA or len({d.datanet for d in self.data}) != len(self.data):
            raise MalformedAction(f"data names 1 to {MAX_DATA} different datanets")
        if self.method not in METHODS:
            raise MalformedAction(f"method must be one of {', '.join(METHODS)}")
        if self.lds > PPM:
            raise MalformedAction("lds is at most 1,000,000 ppm")
        if not 0 < self.price <= MAX_PRICE:
            raise AmountOutOfRange("price must be more than 0 and at most 1,000,000 OPEN an answer")

    def kind_gas(self) -> int:
        return self.GAS + GAS_PER_DATANET * len(self.data) + GAS_PER_ROW * (self._paid - FREE_PARTS * len(self.data))

    @property
    def _paid(self) -> int:
        """Parts that the price pays for."""
        return max(FREE_PARTS * len(self.data), min(self.rows, MOST_PARTS * len(self.data)))

    def _is_within(self, view: StateReader, parts: int) -> bool:
        """Whether the data, taken together, can hold no more than about so many parts."""
        found = [part_bytes(view, ref.datanet, ref.version) for ref in self.data]
        return sum(found) <= PART_BYTES * parts

    def admit(self, view: StateReader, ctx: ActionContext) -> None:
        if self._is_within(view, FREE_PARTS):
            self.validate(view, ctx)

    def _parts(self, view: StateReader) -> list[HeldPart]:
        if not self._is_within(view, self._paid):
            raise MalformedAction(f"the data has more than the {self._paid} parts that {self.rows} rows pay for")
        return [part for ref in self.data for part in must_version(view, ref.datanet, ref.version).parts]

    def validate(self, view: StateReader, ctx: ActionContext) -> None:
        parts = self._parts(view)
        for ref in self.data:
            must_be_accepted(view, ref.datanet, ref.version)
        rows = sum(part.rows for part in parts)
        if rows != self.rows:
            raise MalformedAction(f"the data has {rows} rows, the index says {self.rows}")
        people = len({part.contributor for part in parts})
        if people > ctx.block.params.max_shares:
            raise MalformedAction(
                f"the data has {people} contributors, and a claim can pay {ctx.block.params.max_shares}",
                "nobody could claim what such a model earns",
            )
        must_afford(view, ctx.sender, ctx.block.params.model_bond, "the publisher's bond")

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        number = MODEL_COUNT.next(state)
        model = Model(
            owner=ctx.sender,
            name=self.name,
            base=self.base,
            data=self.data,
            weights=self.weights,
            bundle=self.bundle,
            receipt=self.receipt,
            index=self.index,
            index_root=self.index_root,
            rows=self.rows,
            method=self.method,
            base_loss=self.base_loss,
            held_out_loss=self.held_out_loss,
            lds=self.lds,
            price=self.price,
            mints=self.base in ctx.block.params.bases,
            retired=False,
            height=ctx.block.height,
            bond=ctx.block.params.model_bond,
        )
        transfer(state, ctx.sender, ESCROW, model.bond)
        MODELS.put(state, model, number)
        people = sorted({part.contributor for part in self._parts(state)})
        CONTRIBUTORS.put(state, Contributors(tuple(people)), number)
        return [PUBLISHED.log(number, ctx.sender, self.name, self.price)]

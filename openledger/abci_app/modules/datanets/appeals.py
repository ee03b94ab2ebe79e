"""What governance can do about datanets: overrule reviewers, and say who was first.

Both leave everything that was published as it is: a review is decided anew, a place changes in a new version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from openledger.abci_app.action import BlockContext
from openledger.abci_app.modules.datanets.records import (
    COMMITTED,
    DATANETS,
    PLACES,
    VERSIONS,
    HeldPart,
    must_datanet,
    must_version,
)
from openledger.abci_app.modules.datanets.reviews import (
    ACCEPTED,
    REJECTED,
    STATUS_NAMES,
    check_overturn,
    overturn,
    review_of,
)
from openledger.abci_app.modules.governance.effects import Effect
from openledger.primitives.errors import InvalidHex, MalformedAction, NotFound, ProposalRefused
from openledger.primitives.fields import U64, AddressField, Flag, Text
from openledger.primitives.types import GOVERNANCE_ADDRESS, Log, from_hex
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True)
class ReviewOverturn(Effect):
    """A version of a reviewed datanet is accepted, or is not, whatever its reviewers have decided."""

    NAME: ClassVar[str] = "datanet.review"

    datanet: U64
    version: U64
    accept: Flag

    def validate(self, view: StateReader, ctx: BlockContext) -> None:
        check_overturn(view, self.datanet, self.version)
        if self._status(view) == (ACCEPTED if self.accept else REJECTED):
            raise ProposalRefused(f"version {self.version} of datanet {self.datanet} is decided like this already")

    def _status(self, view: StateReader) -> int:
        found = review_of(view, self.datanet, self.version)
        return found.status if found else 0

    def apply(self, state: Overlay, ctx: BlockContext, proposal: int) -> list[Log]:
        return overturn(state, self.datanet, self.version)

    def watch(self, view: StateReader) -> dict[str, Any]:
        record = DATANETS.get(view, self.datanet)
        return {"status": STATUS_NAMES.get(self._status(view), ""), "head": record.head if record else 0}


@dataclass(frozen=True)
class PlaceChange(Effect):
    """A part of a datanet's newest version counts, for who was first, as promised or committed at ``place`` in block
    ``height``: in a new version of the same rows. ``blob`` is its sha256 in hex."""

    NAME: ClassVar[str] = "datanet.place"

    datanet: U64
    contributor: AddressField
    blob: Text
    place: U64
    height: U64

    @classmethod
    def read(cls, arguments: Mapping[str, str]) -> Self:
        """Raises MalformedAction."""
        effect = super().read(arguments)
        try:
            from_hex(effect.blob, 32)
        except InvalidHex as err:
            raise MalformedAction(f"blob: {err.message}") from None
        return effect

    def validate(self, view: StateReader, ctx: BlockContext) -> None:
        """Whether the part is there is found out when it is done, or tried: a version is large to read."""
        if not must_datanet(view, self.datanet).head:
            raise NotFound(f"datanet {self.datanet} has no version yet")
        if not 1 <= self.place <= PLACES.get(view) or not 1 <= self.height <= ctx.height:
            raise ProposalRefused("place and height must lie in the past")

    def _is(self, part: HeldPart) -> bool:
        return (part.contributor, part.blob) == (self.contributor, from_hex(self.blob))

    def apply(self, state: Overlay, ctx: BlockContext, proposal: int) -> list[Log]:
        record = must_datanet(state, self.datanet)
        old, number = must_version(state, self.datanet, record.head), record.versions + 1
        parts = tuple(self._placed(part) for part in old.parts)
        if parts == old.parts:
            raise NotFound("the newest version has no such part, or it has this place already")
        new = replace(
            old,
            parent=record.head,
            author=GOVERNANCE_ADDRESS,
            parts=parts,
            message=f"proposal {proposal}",
            height=ctx.height,
            time=ctx.time,
        )
        VERSIONS.put(state, new, self.datanet, number)
        DATANETS.put(state, replace(record, head=number, versions=number), self.datanet)
        return [COMMITTED.log(self.datanet, number, GOVERNANCE_ADDRESS, new.root, new.rows)]

    def _placed(self, part: HeldPart) -> HeldPart:
        return replace(part, place=self.place, height=self.height) if self._is(part) else part

    def watch(self, view: StateReader) -> dict[str, Any]:
        record = DATANETS.get(view, self.datanet)
        if record is None or not record.head:
            return {}
        parts = [part for part in VERSIONS.must(view, self.datanet, record.head).parts if self._is(part)]
        named = {"place": parts[0].place, "height": parts[0].height} if parts else {}
        return {"head": record.head} | named

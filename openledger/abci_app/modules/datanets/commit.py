"""datanet.commit: the next version of a datanet, by adding and removing parts.

A contributor changes only its own parts; the owner may curate everybody's. In a reviewed datanet the version counts
when its reviewers have accepted it, and until then a bond stands for it. To correct rows, remove a blob and add
the mended one in the same commit. The root is over all rows of the new version; the chain keeps it, and the oracle
checks it against the blobs before anything is earned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from openledger.abci_app.action import Action, ActionContext, require_text
from openledger.abci_app.modules.accounts import must_afford
from openledger.abci_app.modules.datanets.policies import INVITED, REVIEWED
from openledger.abci_app.modules.datanets.promises import Promise, prolong, promise
from openledger.abci_app.modules.datanets.records import (
    COMMITTED,
    DATANETS,
    FREE_PARTS,
    PART_BYTES,
    PLACES,
    VERSIONS,
    Datanet,
    HeldPart,
    Part,
    Removal,
    Version,
    must_datanet,
    part_bytes,
)
from openledger.abci_app.modules.datanets.reviews import begin_review
from openledger.primitives.amounts import exact_amount
from openledger.primitives.attribution import promise_digest
from openledger.primitives.errors import (
    AlreadyExists,
    AmountOutOfRange,
    MalformedAction,
    NotAllowed,
    NotFound,
    WrongPhase,
)
from openledger.primitives.fields import U32, U64, U256, Bytes32, Text
from openledger.primitives.hashing import ZERO_HASH
from openledger.primitives.types import DATANETS_ADDRESS, Address, Hash32, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

GAS_PER_PART = 2_000
"""A version is read and written whole: 40 microseconds and 61 bytes of state a part."""
GAS_PER_SALT = 5_000
PARTS_HINT = "the field parts says how many the new version has"


@dataclass(frozen=True)
class DatanetCommit(Action):
    """``parent`` is the version that this one follows (0 for the first); ``rows`` counts the whole new version.

    ``parts`` is how many parts the new version has at most: up to 64 come with the kind's gas, every further one costs
    2,000. ``salts`` open promises, one for each added part, zeros for a part without; or there are none. Each costs
    5,000. ``bond`` in wei is the most that the sender bonds in a reviewed datanet.
    """

    KIND: ClassVar[str] = "datanet.commit"
    MODULE: ClassVar[Address] = DATANETS_ADDRESS
    GAS: ClassVar[int] = 80_000

    datanet: U64
    parent: U64
    root: Bytes32
    rows: U64
    add: tuple[Part, ...]
    remove: tuple[Removal, ...] = ()
    message: Text = ""
    parts: U32 = 0
    salts: tuple[Bytes32, ...] = ()
    bond: U256 = 0

    def kind_gas(self) -> int:
        return self.GAS + GAS_PER_PART * (self._paid - FREE_PARTS) + GAS_PER_SALT * len(self.salts)

    @property
    def _paid(self) -> int:
        return max(self.parts, FREE_PARTS)

    def check(self) -> None:
        require_text("message", self.message, 512, shortest=0)
        if not self.add and not self.remove:
            raise MalformedAction("a commit adds or removes at least one part")
        if any(part.rows == 0 for part in self.add):
            raise MalformedAction("a part has at least one row")
        if len({(p.contributor, p.blob) for p in self.add}) != len(self.add) or len(set(self.remove)) != len(
            self.remove
        ):
            raise MalformedAction("a part is named twice")
        if self.salts and len(self.salts) != len(self.add):
            raise MalformedAction("salts are as many as the parts that are added, or none")
        if self.rows == 0:
            raise MalformedAction("a version has at least one row")

    def _kept(self, view: StateReader) -> tuple[HeldPart, ...]:
        """The parent's parts that stay."""
        old = VERSIONS.must(view, self.datanet, self.parent).parts if self.parent else ()
        removed = set(self.remove)
        return tuple(p for p in old if Removal(p.contributor, p.blob) not in removed)

    def _digests(self) -> list[Hash32]:
        """Of the promises that are opened."""
        return [
            promise_digest(part.contributor, part.blob, salt)
            for part, salt in zip(self.add, self.salts, strict=False)
            if salt != ZERO_HASH
        ]

    def _opened(self, view: StateReader, time: int) -> list[Promise | None]:
        """The promises of the added parts. Raises WrongPhase for one that does not stand."""
        found: list[Promise | None] = []
        for part, salt in zip(self.add, self.salts or (ZERO_HASH,) * len(self.add), strict=True):
            known = (
                promise(view, promise_digest(part.contributor, part.blob, salt), time) if salt != ZERO_HASH else None
            )
            if known is None and salt != ZERO_HASH:
                raise WrongPhase(
                    f"no promise stands of blob {part.blob.hex()} with this salt",
                    "it may have expired: promise anew, or commit without a salt",
                )
            found.append(known)
        return found

    def admit(self, view: StateReader, ctx: ActionContext) -> None:
        if part_bytes(view, self.datanet, self.parent) <= PART_BYTES * FREE_PARTS:
            self.validate(view, ctx)
        else:
            self._follows(view)

    def _follows(self, view: StateReader) -> Datanet:
        """The datanet, whose newest version this follows, and is not larger than what is paid for."""
        datanet = must_datanet(view, self.datanet)
        if self.parent != datanet.head:
            raise WrongPhase(
                f"datanet {self.datanet} is at version {datanet.head}, this commit follows {self.parent}",
                "somebody was quicker: pull, and commit again on top",
            )
        if part_bytes(view, self.datanet, self.parent) > PART_BYTES * (self._paid + len(self.remove)):
            raise MalformedAction(
                f"version {self.parent} has more parts than the {self._paid} that this commit pays for", PARTS_HINT
            )
        return datanet

    def validate(self, view: StateReader, ctx: ActionContext) -> None:
        datanet = self._follows(view)
        self._check_rights(view, ctx.sender, datanet)
        self._opened(view, ctx.block.time)
        if datanet.policy == REVIEWED:
            self._check_bond(view, ctx.sender, datanet)
        parts: list[HeldPart | Part] = [*self._kept(view), *self.add]
        count, rows = len(parts), sum(p.rows for p in parts)
        if count > self._paid:
            raise MalformedAction(f"the new version has {count} parts, this commit pays for {self._paid}", PARTS_HINT)
        if len({(p.contributor, p.blob) for p in parts}) != count:
            raise AlreadyExists("this blob is in the datanet already, of the same contributor")
        if count > ctx.block.params.max_parts:
            raise MalformedAction(f"a version has at most {ctx.block.params.max_parts} parts")
        if rows != self.rows:
            raise MalformedAction(f"the parts have {rows} rows, the commit says {self.rows}")

    def _check_bond(self, view: StateReader, sender: Address, datanet: Datanet) -> None:
        if datanet.bond > self.bond:
            raise AmountOutOfRange(
                f"a commit to datanet {self.datanet} bonds {exact_amount(datanet.bond)}, this one agrees to "
                f"{exact_amount(self.bond)}"
            )
        must_afford(view, sender, datanet.bond, "the bond")

    def _check_rights(self, view: StateReader, sender: Address, datanet: Datanet) -> None:
        old = VERSIONS.must(view, self.datanet, self.parent).parts if self.parent else ()
        held = {Removal(p.contributor, p.blob) for p in old}
        missing = [part for part in self.remove if part not in held]
        if missing:
            raise NotFound(
                f"blob {missing[0].blob.hex()} of 0x{missing[0].contributor.hex()} is not in version {self.parent}"
            )
        if sender == datanet.owner:
            return
        if datanet.policy == INVITED:
            raise NotAllowed("only the owner commits to this datanet; ask the owner to commit your rows in your name")
        touched = [p.contributor for p in self.add] + [p.contributor for p in self.remove]
        if any(who != sender for who in touched):
            raise NotAllowed("a contributor may add and remove only its own rows")

    def execute(self, state: Overlay, ctx: ActionContext) -> list[Log]:
        datanet, place = must_datanet(state, self.datanet), PLACES.next(state)
        number = datanet.versions + 1
        added = tuple(
            HeldPart(part.contributor, part.blob, part.rows, *_first(opened, ctx, place))
            for part, opened in zip(self.add, self._opened(state, ctx.block.time), strict=True)
        )
        version = Version(
            parent=self.parent,
            author=ctx.sender,
            root=self.root,
            rows=self.rows,
            parts=self._kept(state) + added,
            message=self.message,
            height=ctx.block.height,
            time=ctx.block.time,
        )
        VERSIONS.put(state, version, self.datanet, number)
        pending = datanet.policy == REVIEWED
        DATANETS.put(state, replace(datanet, head=datanet.head if pending else number, versions=number), self.datanet)
        if pending:
            until = begin_review(state, ctx.block, self.datanet, number, datanet, ctx.sender, self.parent)
            for digest in self._digests():
                prolong(state, digest, until + ctx.block.params.promise_seconds)
        return [COMMITTED.log(self.datanet, number, ctx.sender, self.root, self.rows)]


def _first(opened: Promise | None, ctx: ActionContext, place: int) -> tuple[int, int]:
    """Height and place that decide who was first."""
    return (ctx.block.height, place) if opened is None else (opened.height, opened.place)

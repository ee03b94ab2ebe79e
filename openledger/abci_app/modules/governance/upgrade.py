"""The effects ``upgrade`` and ``cancel-upgrade``, the plan, and what happens at its height.

From the planned height on the chain goes on by the rules of a newer version of this program, which knows the plan by
its name. A program that does not know it makes no block of that height: it stops, and says what to install. One plan
stands at a time; another one replaces it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from openledger.abci_app.action import BlockContext, require_text
from openledger.abci_app.events import Event
from openledger.abci_app.modules.governance.effects import Effect
from openledger.abci_app.tables import Table
from openledger.primitives.errors import ProposalRefused, UpgradeNeeded
from openledger.primitives.fields import U64, Text
from openledger.primitives.hashing import keccak256
from openledger.primitives.types import GOVERNANCE_ADDRESS, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

MAX_NAME = 64


@dataclass(frozen=True)
class Plan:
    """The chain goes on as ``name`` from block ``height`` on; for one that is done: since then."""

    name: Text
    height: U64


@dataclass(frozen=True, slots=True)
class Migration:
    """What this program knows of an upgrade: ``migrate`` changes the state at the beginning of its first block.
    ``makes_earlier``: it still makes the blocks before as they were made; else it waits for the height."""

    migrate: Callable[[Overlay], None] = lambda state: None
    makes_earlier: bool = True


_PLAN = Table(GOVERNANCE_ADDRESS, "upgrade-plan", Plan)
_DONE = Table(GOVERNANCE_ADDRESS, "upgrade-done", Plan)

PLANNED = Event(GOVERNANCE_ADDRESS, "UpgradePlanned", "uint256 indexed proposal", "string name", "uint64 height")
CANCELLED = Event(GOVERNANCE_ADDRESS, "UpgradeCancelled", "uint256 indexed proposal", "string name")
UPGRADED = Event(GOVERNANCE_ADDRESS, "Upgraded", "string name", "uint64 height")


def plan(state: StateReader) -> Plan | None:
    """The upgrade that is to come."""
    return _PLAN.get(state)


def done(state: StateReader, name: str) -> Plan | None:
    """An upgrade that this chain has made."""
    return _DONE.get(state, keccak256(name.encode()))


def upgrades_done(state: StateReader) -> list[Plan]:
    """All of them, by height."""
    return sorted((found for _, found in _DONE.items(state)), key=lambda found: found.height)


def must_know(state: StateReader, height: int, known: Mapping[str, Migration], version: str) -> Plan | None:
    """The plan that begins with block ``height``, if any. Raises UpgradeNeeded when this program is too old for that
    block, or too new for what comes before the planned one."""
    wanted = plan(state)
    if wanted is None or height == 1:  # then it is another chain's, see begin_upgrade
        return None
    migration = known.get(wanted.name)
    if height < wanted.height:
        if migration is not None and not migration.makes_earlier:
            raise UpgradeNeeded(
                f"this version ({version}) begins at block {wanted.height}, upgrade {wanted.name!a}; next is {height}",
                "start the version before it; it stops by itself when its time is over",
            )
        return None
    if migration is None:
        raise UpgradeNeeded(
            f"the chain goes on at block {wanted.height} with the upgrade {wanted.name!a}, and this version ({version})"
            " does not know it",
            "install a version that does and start the node again; nothing is lost meanwhile",
        )
    return wanted


def begin_upgrade(state: Overlay, height: int, known: Mapping[str, Migration], version: str) -> list[Log]:
    """At the beginning of block ``height``: migrate where the plan says so. Raises UpgradeNeeded, and the block is not
    made. A plan that block 1 finds came with the state of another chain, whose heights mean nothing here: it goes.
    """
    if height == 1 and (old := plan(state)) is not None:
        _PLAN.delete(state)
        return [CANCELLED.log(0, old.name)]
    wanted = must_know(state, height, known, version)
    if wanted is None:
        return []
    known[wanted.name].migrate(state)
    _PLAN.delete(state)
    _DONE.put(state, Plan(wanted.name, height), keccak256(wanted.name.encode()))
    return [UPGRADED.log(wanted.name, height)]


def _shown(view: StateReader) -> dict[str, Any]:
    found = plan(view)
    return {"upgrade": None if found is None else f"{found.name} at block {found.height}"}


@dataclass(frozen=True)
class Upgrade(Effect):
    """From block ``height`` on by the rules of the upgrade ``name``."""

    NAME: ClassVar[str] = "upgrade"

    name: Text
    height: U64

    def validate(self, view: StateReader, ctx: BlockContext) -> None:
        """Raises ProposalRefused for a height that has passed, or a name that was used."""
        require_text("name", self.name, MAX_NAME)
        if not ctx.height < self.height < 2**53:
            raise ProposalRefused(f"block {self.height} cannot be upgraded: the chain is at {ctx.height}")
        if (before := done(view, self.name)) is not None:
            raise ProposalRefused(f"the upgrade {self.name!a} was made at block {before.height}; take another name")

    def apply(self, state: Overlay, ctx: BlockContext, proposal: int) -> list[Log]:
        _PLAN.put(state, Plan(self.name, self.height))
        return [PLANNED.log(proposal, self.name, self.height)]

    def watch(self, view: StateReader) -> dict[str, Any]:
        return _shown(view)


@dataclass(frozen=True)
class CancelUpgrade(Effect):
    """The plan of this ``name`` is dropped."""

    NAME: ClassVar[str] = "cancel-upgrade"

    name: Text

    def validate(self, view: StateReader, ctx: BlockContext) -> None:
        """Raises ProposalRefused."""
        found = plan(view)
        if found is None or found.name != self.name:
            raise ProposalRefused(f"no upgrade {self.name[:MAX_NAME]!a} is planned")

    def apply(self, state: Overlay, ctx: BlockContext, proposal: int) -> list[Log]:
        _PLAN.delete(state)
        return [CANCELLED.log(proposal, self.name)]

    def watch(self, view: StateReader) -> dict[str, Any]:
        return _shown(view)

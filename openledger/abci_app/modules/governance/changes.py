"""The effect ``params``: other values for named parameters; and ``text``, which changes nothing.

Every bound is checked when it is proposed and again, together with what was changed meanwhile, when it is done. What is
decided in a block counts from the next one on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from openledger.abci_app.action import BlockContext
from openledger.abci_app.events import Event
from openledger.abci_app.modules.fees.records import supply
from openledger.abci_app.modules.governance.effects import Effect, parse_value
from openledger.abci_app.modules.governance.records import Argument, params, set_params
from openledger.abci_app.modules.staking.records import mark_changed
from openledger.genesis.params import BOUNDS, ONLY_DOWN, ONLY_UP, Params
from openledger.primitives.amounts import exact_amount
from openledger.primitives.errors import InvalidGenesis, MalformedAction, ProposalRefused
from openledger.primitives.fields import schema
from openledger.primitives.types import GOVERNANCE_ADDRESS, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

MAX_ITEMS, MAX_ITEM = 256, 128
"""Of a parameter that is a list of names: names, and bytes of each."""

CHANGED = Event(
    GOVERNANCE_ADDRESS, "ParameterChanged", "uint256 indexed proposal", "string name", "string before", "string after"
)


@dataclass(frozen=True)
class TextOnly(Effect):
    """Nothing but what title and summary say."""

    NAME: ClassVar[str] = "text"


@dataclass(frozen=True)
class ParamsChange(Effect):
    """New values by the names of parameters; lists by commas."""

    NAME: ClassVar[str] = "params"

    values: tuple[Argument, ...]

    @classmethod
    def read(cls, arguments: Mapping[str, str]) -> Self:
        """Raises MalformedAction."""
        if not arguments:
            raise MalformedAction("params needs the name of a parameter and its new value")
        effect = cls(tuple(Argument(name, text) for name, text in arguments.items()))
        effect.parsed()
        return effect

    def parsed(self) -> dict[str, Any]:
        """The new values by name. Raises MalformedAction."""
        types = dict(schema(Params))
        found = {}
        for argument in self.values:
            ftype = types.get(argument.name)
            if ftype is None:
                raise MalformedAction(f"there is no parameter {argument.name!a}", "openledger gov params lists them")
            found[argument.name] = parse_value(argument.value, ftype, argument.name)
        return found

    def validate(self, view: StateReader, ctx: BlockContext) -> None:
        """Raises ProposalRefused where a bound would be crossed."""
        before, values = params(view), self.parsed()
        for name, value in values.items():
            _check_value(name, getattr(before, name), value)
        after = replace(before, **values)
        if after == before:
            raise ProposalRefused("these parameters have these values already")
        try:
            after.validate()
        except InvalidGenesis as err:
            raise ProposalRefused(err.message) from None
        coins = supply(view)
        if after.reserve < coins.minted or after.cap < coins.genesis + after.reserve:
            raise ProposalRefused(
                f"{exact_amount(coins.minted)} are minted, and genesis supply ({exact_amount(coins.genesis)}) and "
                "reserve must fit the cap"
            )

    def apply(self, state: Overlay, ctx: BlockContext, proposal: int) -> list[Log]:
        before = params(state)
        after = replace(before, **self.parsed())
        set_params(state, after)
        mark_changed(state)
        names = [a.name for a in self.values if getattr(before, a.name) != getattr(after, a.name)]
        return [CHANGED.log(proposal, n, as_text(getattr(before, n)), as_text(getattr(after, n))) for n in names]

    def watch(self, view: StateReader) -> dict[str, Any]:
        now = params(view)
        return {argument.name: as_text(getattr(now, argument.name)) for argument in self.values}


def as_text(value: Any) -> str:
    """A parameter's value as an argument has it."""
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _check_value(name: str, before: Any, value: Any) -> None:
    """Raise ProposalRefused where a vote may not give a parameter this value."""
    if isinstance(value, tuple):
        if len(value) > MAX_ITEMS or any(len(item.encode()) > MAX_ITEM for item in value):
            raise ProposalRefused(f"{name} has at most {MAX_ITEMS} names of {MAX_ITEM} bytes")
        return
    least, most = BOUNDS[name]
    if not least <= value <= most:
        raise ProposalRefused(f"{name} must lie between {least} and {most}")
    if (name in ONLY_UP and value < before) or (name in ONLY_DOWN and value > before):
        raise ProposalRefused(f"{name} can only become {'larger' if name in ONLY_UP else 'smaller'}")

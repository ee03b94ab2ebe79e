"""What proposals can do: a registry of effects, and what one would change, found out on a fork of the state.

An effect is a frozen dataclass whose fields are its arguments. ``validate`` reads and refuses; ``apply`` writes, and is
called only after ``validate`` has passed on the same state; ``watch`` gives the values that people compare. Arguments
of a proposal are text, so that a wallet shows them as they are. Modules above governance register effects of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Self

from openledger.abci_app.action import BlockContext, require_text
from openledger.abci_app.modules.governance.records import Argument
from openledger.primitives.errors import InvalidAddress, InvalidTransaction, MalformedAction
from openledger.primitives.fields import FieldType, schema
from openledger.primitives.types import Log, parse_address
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

MAX_ARGUMENTS = 64
MAX_NAME = 64
MAX_VALUE = 1_024


class Effect:
    """Base of all effects; subclasses are frozen dataclasses with a unique ``NAME``."""

    NAME: ClassVar[str]

    @classmethod
    def read(cls, arguments: Mapping[str, str]) -> Self:
        """The effect of its arguments. Raises MalformedAction."""
        known = dict(schema(cls))
        if strange := sorted(arguments.keys() - known.keys()):
            raise MalformedAction(
                f"{cls.NAME} has no argument {strange[0]!a}", "known: " + (", ".join(known) or "none")
            )
        needed = {f.name for f in fields(cls) if f.default is MISSING}  # type: ignore[arg-type]
        if lacking := sorted(needed - arguments.keys()):
            raise MalformedAction(f"{cls.NAME} lacks the argument {lacking[0]}")
        return cls(**{name: parse_value(text, known[name], name) for name, text in arguments.items()})

    def validate(self, view: StateReader, ctx: BlockContext) -> None:
        """Whether it can be done now, reading only. Raises an ActionRefused leaf."""

    def apply(self, state: Overlay, ctx: BlockContext, proposal: int) -> list[Log]:
        """Do it. ``validate`` has passed. Returns the logs."""
        return []

    def watch(self, view: StateReader) -> dict[str, Any]:
        """What it changes, by name, as JSON values: once before and once after, so that the two can be compared."""
        return {}


_EFFECTS: dict[str, type[Effect]] = {}


def register_effects(classes: tuple[type[Effect], ...]) -> None:
    """Make effects known (called once by ``registry``)."""
    for cls in classes:
        if _EFFECTS.setdefault(cls.NAME, cls) is not cls:
            raise TypeError(f"two effects have the name {cls.NAME}")


def read_effect(name: str, arguments: Sequence[Argument]) -> Effect:
    """The effect of a proposal. Raises MalformedAction."""
    cls = _EFFECTS.get(name)
    if cls is None:
        raise MalformedAction(f"a proposal cannot have the effect {name[:40]!a}", "known: " + ", ".join(_EFFECTS))
    if len(arguments) > MAX_ARGUMENTS:
        raise MalformedAction(f"a proposal has at most {MAX_ARGUMENTS} arguments")
    for argument in arguments:
        require_text("the name of an argument", argument.name, MAX_NAME)
        require_text(argument.name, argument.value, MAX_VALUE, 0)
    named = {a.name: a.value for a in arguments}
    if len(named) != len(arguments):
        raise MalformedAction("an argument stands there twice")
    return cls.read(named)


def parse_value(text: str, ftype: FieldType, name: str) -> Any:
    """A value of its text: decimal digits without leading zeros, an address, true or false, lists by commas. Raises
    MalformedAction naming ``name``."""
    if ftype.kind == "array" and ftype.item is not None:
        return tuple(parse_value(item, ftype.item, name) for item in text.split(",")) if text else ()
    if ftype.kind.startswith("uint"):
        if re.fullmatch(r"0|[1-9][0-9]{0,77}", text, re.ASCII) and int(text) < 1 << ftype.bits:
            return int(text)
        raise MalformedAction(f"{name} must be a number in decimal digits ({ftype.kind})")
    if ftype.kind == "bool" and text in ("true", "false"):
        return text == "true"
    if ftype.kind == "address":
        try:
            return parse_address(text)
        except InvalidAddress as err:
            raise MalformedAction(f"{name}: {err.message}") from None
    if ftype.kind == "string" and text:
        return text
    raise MalformedAction(f"{name} must be {ftype.eip712}")


# --- trying -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Simulation:
    """What an effect would do now: (before, after) of all that would change; ``refusal`` says why it could not be
    done, and is empty where it could."""

    changes: dict[str, tuple[Any, Any]]
    refusal: str


def simulate(state: StateReader, ctx: BlockContext, effect: Effect) -> Simulation:
    """Try an effect on a fork of ``state``, which stays as it is."""
    before, fork = effect.watch(state), Overlay(state)
    try:
        effect.validate(fork, ctx)
        effect.apply(fork, ctx, 0)
    except InvalidTransaction as err:
        return Simulation({}, err.message)
    after = effect.watch(fork)
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return Simulation({name: (before.get(name), after.get(name)) for name in names}, "")

"""The publisher's bond of a model, and what becomes of a model whose index was shown to be false.

The bond lies in the escrow of this module from ``model.publish`` on. It goes back some time after ``model.retire`` and
after the last settlement, when no challenge of the index runs; then nothing more of the model is settled. A refuted
model stays on record: it mints nothing, and no answers of it are sold, settled or claimed any more.
"""

from __future__ import annotations

from dataclasses import replace

from openledger.abci_app.action import BlockContext
from openledger.abci_app.events import Event
from openledger.abci_app.modules.accounts import transfer
from openledger.abci_app.modules.fees.records import burn_from
from openledger.abci_app.modules.models.records import ESCROW, MODELS, Model, must_model
from openledger.abci_app.tables import Number, Table
from openledger.primitives.errors import WrongPhase
from openledger.primitives.types import MODELS_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

MAX_PER_BLOCK = 32
"""Bonds that go back in one block; the rest waits for the next."""

_RETURNS = Table(MODELS_ADDRESS, "bond-return", Number)
"""By time and model: bonds of retired models."""
_RUNNING = Table(MODELS_ADDRESS, "index-challenge", Number)
"""By model, row and segment: the challenge of this spot that runs."""

RETURNED = Event(
    MODELS_ADDRESS, "ModelBondReturned", "uint256 indexed model", "address indexed owner", "uint256 amount"
)
REFUTED = Event(
    MODELS_ADDRESS,
    "ModelRefuted",
    "uint256 indexed model",
    "address indexed owner",
    "uint256 indexed challenge",
    "uint256 bond",
)


def must_stand(model: Model, number: int) -> None:
    """Raises WrongPhase for a model whose index was shown to be false."""
    if model.refuted:
        raise WrongPhase(
            f"model {number} was refuted: challenge {model.refuted} has shown that its index is false",
            "its consumers get back what was not claimed",
        )


def challenge_of(state: StateReader, model: int, row: int, segment: int) -> int | None:
    """The challenge of a row (and segment) of a model's index that runs."""
    found = _RUNNING.get(state, model, row, segment)
    return None if found is None else found.value


def running(state: StateReader, model: int) -> list[int]:
    """Challenges of a model's index that run."""
    return sorted(found.value for _, found in _RUNNING.items(state, model))


def begin_challenge(state: Overlay, model: int, row: int, segment: int, number: int) -> None:
    """A challenge of this spot runs from now on."""
    _RUNNING.put(state, Number(number), model, row, segment)


def end_challenge(state: Overlay, model: int, row: int, segment: int) -> None:
    """It does not run any longer."""
    _RUNNING.delete(state, model, row, segment)


def refute(state: Overlay, number: int, challenge: int, challenger: Address) -> list[Log]:
    """The index of a model is false: half of the publisher's bond is the challenger's, the rest burns."""
    model = must_model(state, number)
    half = model.bond // 2
    transfer(state, ESCROW, challenger, half)
    burn_from(state, ESCROW, model.bond - half)
    MODELS.put(state, replace(model, mints=False, bond=0, refuted=challenge), number)
    return [REFUTED.log(number, model.owner, challenge, model.bond)]


def begin_return(state: Overlay, ctx: BlockContext, number: int) -> None:
    """A model was retired, or answers of a retired one were settled: its bond goes back ``unbonding_seconds`` from now,
    and no sooner."""
    model = must_model(state, number)
    returns = max(model.returns, ctx.time + ctx.params.unbonding_seconds)
    if model.bond:
        _RETURNS.delete(state, model.returns, number)
        _RETURNS.put(state, Number(number), returns, number)
        MODELS.put(state, replace(model, returns=returns), number)


def is_over(model: Model, time: int) -> bool:
    """Whether the sessions of a retired model are over, since nothing answers for its index any more."""
    return 0 < model.returns <= time


def bonds_are_due(state: StateReader, time: int) -> bool:
    """True when the next block at Unix second ``time`` would give a bond back."""
    return _RETURNS.is_due(state, time)


def return_bonds(state: Overlay, ctx: BlockContext) -> list[Log]:
    """Give bonds of retired models back; that of a challenged one waits as long again."""
    logs: list[Log] = []
    for when, _, queued in _RETURNS.due(state, ctx.time, MAX_PER_BLOCK):
        number = queued.value
        _RETURNS.delete(state, when, number)
        model = must_model(state, number)
        if running(state, number):
            begin_return(state, ctx, number)
        elif model.bond:
            transfer(state, ESCROW, model.owner, model.bond)
            MODELS.put(state, replace(model, bond=0), number)
            logs.append(RETURNED.log(number, model.owner, model.bond))
    return logs

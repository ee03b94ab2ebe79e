"""Records of models, sessions, settlements and epochs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from openledger.abci_app.events import Event
from openledger.abci_app.tables import Counter, Table
from openledger.primitives.errors import NotFound
from openledger.primitives.fields import U32, U64, U256, AddressField, Bytes32, Flag, Text
from openledger.primitives.types import MODELS_ADDRESS, Address
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

ESCROW = MODELS_ADDRESS
"""The account that holds the deposits of open sessions."""


@dataclass(frozen=True)
class DataRef:
    """A version of a datanet."""

    datanet: U64
    version: U64


@dataclass(frozen=True)
class Model:
    """A published model. Losses in micro-nats a token, ``lds`` in ppm (0: not measured), ``price`` in wei an answer.
    ``mints`` is False for a base that is not allow-listed: it earns fees but no mint. ``bond`` is the publisher's, in
    wei; ``refuted`` the number of the challenge that has shown its index to be false (0: none); ``returns`` the Unix
    second at which the bond of a retired one goes back, and its sessions are over (0: none)."""

    owner: AddressField
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
    mints: Flag
    retired: Flag
    height: U64
    bond: U256 = 0
    refuted: U64 = 0
    returns: U64 = 0


@dataclass(frozen=True)
class Contributors:
    """Everybody whose rows a model was trained on, ascending: what a claim may pay."""

    addresses: tuple[AddressField, ...]


@dataclass(frozen=True)
class Session:
    """A consumer's escrow for answers of one model. ``settled`` wei of ``answers`` answers have left it."""

    model: U64
    consumer: AddressField
    price: U256
    deposit: U256
    settled: U256
    answers: U32
    expiry: U64
    closed: Flag


@dataclass(frozen=True)
class Settlement:
    """Answers ``first`` to ``last`` (exclusive) of a session, paid with ``amount`` wei, under ``receipts``."""

    session: U64
    first: U32
    last: U32
    amount: U256
    receipts: Bytes32


@dataclass(frozen=True)
class Ledger:
    """Settlements of one model in one epoch: how many, how many of them are under a claim, and the wei of all."""

    count: U64
    claimed: U64
    amount: U256


@dataclass(frozen=True)
class Epoch:
    """``active``: something was settled in it, so its end is due work."""

    number: U64
    start: U64
    end: U64
    active: Flag


MODELS = Table(MODELS_ADDRESS, "model", Model)
CONTRIBUTORS = Table(MODELS_ADDRESS, "contributors", Contributors)
MODEL_COUNT = Counter(MODELS_ADDRESS, "model-count")
SESSIONS = Table(MODELS_ADDRESS, "session", Session)
SESSION_COUNT = Counter(MODELS_ADDRESS, "session-count")
SETTLEMENTS = Table(MODELS_ADDRESS, "settlement", Settlement)
LEDGERS = Table(MODELS_ADDRESS, "ledger", Ledger)
_EPOCH = Table(MODELS_ADDRESS, "epoch", Epoch)

PUBLISHED = Event(
    MODELS_ADDRESS, "ModelPublished", "uint256 indexed model", "address indexed owner", "string name", "uint256 price"
)
RETIRED = Event(MODELS_ADDRESS, "ModelRetired", "uint256 indexed model")
OPENED = Event(
    MODELS_ADDRESS,
    "SessionOpened",
    "uint256 indexed session",
    "uint256 indexed model",
    "address indexed consumer",
    "uint256 deposit",
    "uint256 price",
    "uint256 expiry",
)
SETTLED = Event(
    MODELS_ADDRESS,
    "SessionSettled",
    "uint256 indexed session",
    "uint256 indexed model",
    "uint256 indexed epoch",
    "uint256 amount",
    "uint256 answers",
)
CLOSED = Event(MODELS_ADDRESS, "SessionClosed", "uint256 indexed session", "uint256 refund")
EPOCH_CLOSED = Event(MODELS_ADDRESS, "EpochClosed", "uint256 indexed epoch", "uint256 minted")


def must_model(state: StateReader, model: int) -> Model:
    """Raises NotFound."""
    found = MODELS.get(state, model)
    if found is None:
        raise NotFound(f"there is no model {model}")
    return found


def is_refuted(state: StateReader, model: int) -> bool:
    """Whether a challenge has shown that the index of a model is false."""
    found = MODELS.get(state, model)
    return found is not None and found.refuted > 0


def must_session(state: StateReader, session: int) -> Session:
    """Raises NotFound."""
    found = SESSIONS.get(state, session)
    if found is None:
        raise NotFound(f"there is no session {session}")
    return found


def contributors(state: StateReader, model: int) -> set[Address]:
    """Everybody whose rows a model was trained on."""
    return set(CONTRIBUTORS.must(state, model).addresses)


def epoch(state: StateReader) -> Epoch:
    """The running epoch."""
    return _EPOCH.must(state)


def set_epoch(state: Overlay, value: Epoch) -> None:
    _EPOCH.put(state, value)


def ledger(state: StateReader, model: int, number: int) -> Ledger:
    """What was settled for a model in an epoch."""
    return LEDGERS.get(state, model, number) or Ledger(0, 0, 0)


def add_settlement(state: Overlay, model: int, entry: Settlement) -> int:
    """Book a settlement in the running epoch; its number."""
    now = epoch(state)
    book = ledger(state, model, now.number)
    SETTLEMENTS.put(state, entry, model, now.number, book.count)
    LEDGERS.put(state, replace(book, count=book.count + 1, amount=book.amount + entry.amount), model, now.number)
    if not now.active:
        set_epoch(state, replace(now, active=True))
    return now.number


def settlements(state: StateReader, model: int, number: int, first: int, last: int) -> Iterator[Settlement]:
    """Settlements ``first`` to ``last`` (exclusive) of a model's epoch."""
    return (SETTLEMENTS.must(state, model, number, i) for i in range(first, last))

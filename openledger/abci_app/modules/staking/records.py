"""Validator records, by consensus address; who operates which; the order of candidates; the events of this module.

A key is used once, for ever: a record is never deleted, so neither a tombstoned key nor its operator can begin anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from openledger.abci_app.events import Event
from openledger.abci_app.tables import Number, Table
from openledger.genesis.genesis import COMMISSION, MAX_CHANGE, MAX_COMMISSION
from openledger.primitives.errors import NotFound
from openledger.primitives.fields import U32, U64, U256, AddressField, Bytes32, Flag, Text
from openledger.primitives.keys import consensus_address
from openledger.primitives.types import STAKING_ADDRESS, Address, to_hex
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

STAKES = STAKING_ADDRESS
"""The account that holds all stakes, what is unbonding, and what delegators have earned and not taken."""


@dataclass(frozen=True)
class ValidatorRecord:
    """A validator: the account that earns for it, its ed25519 key, its stake (wei, everybody's), and how it stands.

    ``power`` is its weight in the newest validator set, which signs from two heights later on; 0 outside the set.
    ``created`` is a height, ``jailed_until`` Unix seconds; a tombstoned validator is jailed for ever.

    ``shares`` is what all have of the stake, ``own`` what the operator has: a slash takes from the stake alone, so
    one share is worth stake / shares, at most 1 wei. ``commission`` is the operator's ppm of what the stakers earn; it
    has last changed at Unix second ``commission_changed``, rises by ``max_change`` at most and never above
    ``max_commission``. ``slashes`` counts the slashes so far.
    """

    operator: AddressField
    pub_key: Bytes32
    name: Text
    stake: U256 = 0
    power: U64 = 0
    oracle: Flag = True
    jailed: Flag = False
    tombstoned: Flag = False
    jailed_until: U64 = 0
    created: U64 = 0
    shares: U256 = 0
    own: U256 = 0
    commission: U32 = COMMISSION
    max_commission: U32 = MAX_COMMISSION
    max_change: U32 = MAX_CHANGE
    commission_changed: U64 = 0
    slashes: U64 = 0

    @property
    def address(self) -> Address:
        """Consensus address (20 bytes)."""
        return consensus_address(self.pub_key)


@dataclass(frozen=True)
class Operated:
    """The consensus address of an operator's validator."""

    validator: AddressField


_VALIDATORS = Table(STAKING_ADDRESS, "validator", ValidatorRecord)
_OPERATORS = Table(STAKING_ADDRESS, "operator", Operated)
_RANK = Table(STAKING_ADDRESS, "rank", Operated)
_CHANGED = Table(STAKING_ADDRESS, "changed", Number)
"""There within a block, from the first change of a stake or a jail on until the set is closed."""

CREATED = Event(
    STAKING_ADDRESS, "ValidatorCreated", "address indexed operator", "address indexed validator", "bytes32 pubKey",
    "string name",
)  # fmt: skip
EDITED = Event(STAKING_ADDRESS, "ValidatorEdited", "address indexed operator", "string name", "bool oracle")
STAKED = Event(STAKING_ADDRESS, "Staked", "address indexed delegator", "address indexed operator", "uint256 amount")
UNBONDING = Event(
    STAKING_ADDRESS, "UnbondingStarted", "address indexed delegator", "address indexed operator", "uint256 amount",
    "uint64 ready",
)  # fmt: skip
REDELEGATED = Event(
    STAKING_ADDRESS, "Redelegated", "address indexed delegator", "address indexed source", "address indexed target",
    "uint256 amount", "uint64 ready",
)  # fmt: skip
UNBONDING_SLASHED = Event(
    STAKING_ADDRESS, "UnbondingSlashed", "address indexed delegator", "address indexed operator", "uint256 amount"
)
REWARDED = Event(
    STAKING_ADDRESS, "StakeRewarded", "address indexed operator", "uint256 indexed claim", "uint256 commission",
    "uint256 delegators",
)  # fmt: skip
COMMISSION_SET = Event(STAKING_ADDRESS, "CommissionSet", "address indexed operator", "uint32 ppm")
UNBONDED = Event(STAKING_ADDRESS, "Unbonded", "address indexed delegator", "address indexed operator", "uint256 amount")
SLASHED = Event(
    STAKING_ADDRESS, "ValidatorSlashed", "address indexed operator", "address indexed validator", "uint256 amount",
    "string reason",
)  # fmt: skip
JAILED = Event(
    STAKING_ADDRESS, "ValidatorJailed", "address indexed operator", "address indexed validator", "uint64 until"
)
TOMBSTONED = Event(
    STAKING_ADDRESS, "ValidatorTombstoned", "address indexed operator", "address indexed validator", "uint64 height"
)
UNJAILED = Event(STAKING_ADDRESS, "ValidatorUnjailed", "address indexed operator", "address indexed validator")


def _rank_key(record: ValidatorRecord) -> tuple[bytes, int, bytes]:
    """The largest stake first; of equal ones the older validator."""
    return (2**256 - 1 - record.stake).to_bytes(32, "big"), record.created, record.address


def is_candidate(record: ValidatorRecord | None) -> bool:
    """Whether a validator may have a seat: it has stake, its operator's own among it, and is not jailed."""
    return record is not None and record.stake > 0 and record.own > 0 and not record.jailed


def _rank_facts(record: ValidatorRecord) -> tuple[int, bool]:
    return record.stake, is_candidate(record)


def put_validator(state: Overlay, record: ValidatorRecord) -> None:
    """Write a record, and keep the order of candidates with it."""
    before = validator(state, record.address)
    if before is None:
        _OPERATORS.put(state, Operated(record.address), record.operator)
    if before is None or _rank_facts(before) != _rank_facts(record):
        if before is not None and is_candidate(before):
            _RANK.delete(state, *_rank_key(before))
        if is_candidate(record):
            _RANK.put(state, Operated(record.address), *_rank_key(record))
        mark_changed(state)
    _VALIDATORS.put(state, record, record.address)


def mark_changed(state: Overlay) -> None:
    """Let the set be decided anew at the end of this block."""
    _CHANGED.put(state, Number(1))


def take_changed(state: Overlay) -> bool:
    """True once after stakes, jails, or what a seat asks for have changed in this block."""
    if _CHANGED.get(state) is None:
        return False
    _CHANGED.delete(state)
    return True


def validator(state: StateReader, consensus: Address) -> ValidatorRecord | None:
    """Validator of a consensus address."""
    return _VALIDATORS.get(state, consensus)


def operated_by(state: StateReader, operator: Address) -> ValidatorRecord | None:
    """The validator of an operator."""
    found = _OPERATORS.get(state, operator)
    return None if found is None else _VALIDATORS.must(state, found.validator)


def must_operate(state: StateReader, operator: Address) -> ValidatorRecord:
    """Raises NotFound."""
    found = operated_by(state, operator)
    if found is None:
        raise NotFound(f"{to_hex(operator)} operates no validator")
    return found


def validators(state: StateReader) -> Iterator[ValidatorRecord]:
    """All validators that ever were, by consensus address."""
    return (record for _, record in _VALIDATORS.items(state))


def by_operator(state: StateReader, start: Address) -> Iterator[ValidatorRecord]:
    """All validators that ever were, by operator, from ``start`` on."""
    return (_VALIDATORS.must(state, found.validator) for _, found in _OPERATORS.items(state, start=start))


def candidates(state: StateReader) -> Iterator[ValidatorRecord]:
    """Validators that may have a seat, the largest stake first."""
    return (_VALIDATORS.must(state, found.validator) for _, found in _RANK.items(state))


def operator_of(state: StateReader, consensus: Address) -> Address:
    """The account that earns what a proposer earns; the proposer's own address when it is unknown."""
    found = validator(state, consensus)
    return found.operator if found else consensus

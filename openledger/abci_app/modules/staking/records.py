"""Validator records, by operator and by consensus address."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from openledger.abci_app.tables import Table
from openledger.primitives.fields import U64, AddressField, Bytes32, Flag, Text
from openledger.primitives.keys import consensus_address
from openledger.primitives.types import STAKING_ADDRESS, Address
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True)
class ValidatorRecord:
    """A validator: the account that earns for it, its ed25519 key, voting power, name."""

    operator: AddressField
    pub_key: Bytes32
    power: U64
    name: Text
    oracle: Flag = True

    @property
    def address(self) -> Address:
        """Consensus address (20 bytes)."""
        return consensus_address(self.pub_key)


_VALIDATORS = Table(STAKING_ADDRESS, "validator", ValidatorRecord)


def put_validator(state: Overlay, record: ValidatorRecord) -> None:
    _VALIDATORS.put(state, record, record.address)


def validator(state: StateReader, consensus: Address) -> ValidatorRecord | None:
    """Validator of a consensus address."""
    return _VALIDATORS.get(state, consensus)


def validators(state: StateReader) -> Iterator[ValidatorRecord]:
    """All validators, by consensus address."""
    return (record for _, record in _VALIDATORS.items(state))


def operator_of(state: StateReader, consensus: Address) -> Address:
    """The account that earns what a proposer earns; the proposer's own address when it is unknown."""
    found = validator(state, consensus)
    return found.operator if found else consensus

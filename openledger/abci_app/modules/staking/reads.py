"""Reads of validators and stake for contracts: ``contracts/IStaking.sol`` at 0x...0803.

There is no delegation yet: an operator has its own bond with its own validator, nobody else has anything.
"""

from __future__ import annotations

from typing import Any

from openledger.abci_app.modules.staking.records import ValidatorRecord, must_operate, operated_by, validators
from openledger.abci_app.modules.staking.sets import newest_set, seated
from openledger.abci_app.reads import Read, Reads
from openledger.primitives.types import STAKING_ADDRESS, Address
from openledger.state.ports import StateReader


def voting_stake(state: StateReader, address: Address) -> list[tuple[Address, int]]:
    """Wei that an account has at stake now, own and delegated, by consensus address of the validator, ascending. Only
    stake behind a seat in the newest validator set counts; what unbonds does not."""
    record = operated_by(state, address)
    return [(record.address, record.stake)] if record is not None and record.power and record.stake else []


def total_bonded(state: StateReader) -> int:
    """Wei behind all seats of the newest validator set: the sum of everybody's ``voting_stake``."""
    return sum(record.stake for record in seated(state))


_VALIDATOR = "(address,bytes32,string,uint64,bool)"


def _view(record: ValidatorRecord) -> tuple[Any, ...]:
    return (record.operator, record.pub_key, record.name, record.power, record.jailed)


def _all(state: StateReader) -> tuple[Any, ...]:
    found = (v for v in validators(state) if v.stake or v.power)
    return ([_view(v) for v in sorted(found, key=lambda v: v.operator)],)


def _one(state: StateReader, operator: Address) -> tuple[Any, ...]:
    return (_view(must_operate(state, operator)),)


def _delegation(state: StateReader, delegator: Address, operator: Address) -> tuple[Any, ...]:
    record = operated_by(state, operator)
    return (record.stake if record is not None and delegator == operator else 0,)


def _power(state: StateReader) -> tuple[Any, ...]:
    return (sum(seat.power for seat in newest_set(state).seats),)


STAKING = Reads(
    STAKING_ADDRESS,
    Read("getValidators()", (_VALIDATOR + "[]",), _all),
    Read("getValidator(address)", (_VALIDATOR,), _one),
    Read("getDelegation(address,address)", ("uint256",), _delegation),
    Read("totalPower()", ("uint64",), _power),
)

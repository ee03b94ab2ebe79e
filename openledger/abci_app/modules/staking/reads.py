"""Reads of validators and stake for contracts: ``contracts/IStaking.sol`` at 0x...0803.

There is no delegation yet: every account has staked nothing, and nobody is jailed.
"""

from __future__ import annotations

from typing import Any

from openledger.abci_app.modules.staking.records import ValidatorRecord, validators
from openledger.abci_app.reads import Read, Reads
from openledger.primitives.errors import NotFound
from openledger.primitives.types import STAKING_ADDRESS, Address, to_hex
from openledger.state.ports import StateReader

_VALIDATOR = "(address,bytes32,string,uint64,bool)"


def _view(record: ValidatorRecord) -> tuple[Any, ...]:
    return (record.operator, record.pub_key, record.name, record.power, False)


def _all(state: StateReader) -> tuple[Any, ...]:
    return ([_view(v) for v in sorted(validators(state), key=lambda v: (v.operator, v.address))],)


def _one(state: StateReader, operator: Address) -> tuple[Any, ...]:
    for record in validators(state):
        if record.operator == operator:
            return (_view(record),)
    raise NotFound(f"{to_hex(operator)} operates no validator")


def _delegation(state: StateReader, delegator: Address, operator: Address) -> tuple[Any, ...]:
    return (0,)


def _power(state: StateReader) -> tuple[Any, ...]:
    return (sum(v.power for v in validators(state)),)


STAKING = Reads(
    STAKING_ADDRESS,
    Read("getValidators()", (_VALIDATOR + "[]",), _all),
    Read("getValidator(address)", (_VALIDATOR,), _one),
    Read("getDelegation(address,address)", ("uint256",), _delegation),
    Read("totalPower()", ("uint64",), _power),
)

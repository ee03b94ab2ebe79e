"""Reads of validators and stake for contracts: ``contracts/IStaking.sol`` at 0x...0803.

What is on its way answers for slashes when it is next touched; reads say what it would be then.
"""

from __future__ import annotations

from typing import Any

from openledger.abci_app.modules.staking.delegations import delegation, delegations, delegators, worth
from openledger.abci_app.modules.staking.records import (
    ValidatorRecord,
    by_operator,
    must_operate,
    operated_by,
    operator_of,
    validator,
    validators,
)
from openledger.abci_app.modules.staking.sets import newest_set, seated
from openledger.abci_app.modules.staking.unbonding import arriving, follow_arriving, follow_pair, leaving
from openledger.abci_app.reads import Read, Reads, page
from openledger.primitives.types import STAKING_ADDRESS, Address
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


def voting_stake(state: StateReader, address: Address) -> list[tuple[Address, int]]:
    """Wei that an account has at stake now, own and delegated, by consensus address of the validator, ascending. Only
    stake behind a seat in the newest validator set counts; what unbonds does not. At most ``max_delegations`` items."""
    found = []
    for consensus, held in delegations(state, address):
        record = validator(state, consensus)
        if record is not None and record.power and (tokens := worth(record, held.total)):
            found.append((consensus, tokens))
    return found


def total_bonded(state: StateReader) -> int:
    """Wei behind all seats of the newest validator set: the sum of everybody's ``voting_stake``, and a wei for each
    delegation at most, by which the parts are rounded down."""
    return sum(record.stake for record in seated(state))


NONE = bytes(20)
"""The address that stands for no further page."""
_VALIDATOR = "(address,bytes32,string,uint64,bool,uint256,uint256,uint32)"
_STAKE = "(address,uint256)"
_STAKER = "(address,uint256,uint256)"
_WAITING = "(uint256,uint64)"
_MOVED = "(address,uint256,uint64)"


def _view(record: ValidatorRecord) -> tuple[Any, ...]:
    facts = (record.operator, record.pub_key, record.name, record.power, record.jailed)
    return (*facts, record.stake, record.shares, record.commission)


def _all(state: StateReader) -> tuple[Any, ...]:
    found = (v for v in validators(state) if v.stake or v.power)
    return ([_view(v) for v in sorted(found, key=lambda v: v.operator)],)


def _one(state: StateReader, operator: Address) -> tuple[Any, ...]:
    return (_view(must_operate(state, operator)),)


def _page(state: StateReader, start: Address, limit: int) -> tuple[Any, ...]:
    found, following = page(by_operator(state, start), limit)
    return [_view(record) for record in found], following.operator if following else NONE


def _stakers(state: StateReader, operator: Address, start: Address, limit: int) -> tuple[Any, ...]:
    """Each account as ``getDelegation`` sees it, whatever page it stands on."""
    record = must_operate(state, operator)
    found, following = page(delegators(state, record.address, start), limit)
    return [_staker(Overlay(state), account, record) for account in found], following or NONE


def _staker(state: Overlay, account: Address, record: ValidatorRecord) -> tuple[Any, ...]:
    amount = _stake(state, account, record)
    return account, amount, delegation(state, account, record.address).total


def _stake(state: Overlay, delegator: Address, record: ValidatorRecord) -> int:
    """Wei with one validator, after what was redelegated there has followed all slashes."""
    follow_arriving(state, delegator, record.address)
    return worth(must_operate(state, record.operator), delegation(state, delegator, record.address).total)


def _delegation(state: StateReader, delegator: Address, operator: Address) -> tuple[Any, ...]:
    record = operated_by(state, operator)
    return (0 if record is None else _stake(Overlay(state), delegator, record),)


def _delegations(state: StateReader, delegator: Address) -> tuple[Any, ...]:
    over = Overlay(state)
    found = [validator(over, consensus) for consensus, _ in list(delegations(over, delegator))]
    stakes = [(record.operator, _stake(over, delegator, record)) for record in found if record is not None]
    return (sorted(stakes),)


def _unbondings(state: StateReader, delegator: Address, operator: Address) -> tuple[Any, ...]:
    record, over = operated_by(state, operator), Overlay(state)
    if record is None:
        return ([],)
    follow_pair(over, delegator, record.address)
    return ([(entry.amount, entry.ready) for _, entry in leaving(over, delegator, record.address)],)


def _redelegations(state: StateReader, delegator: Address, operator: Address) -> tuple[Any, ...]:
    record, over = operated_by(state, operator), Overlay(state)
    if record is None:
        return ([],)
    follow_arriving(over, delegator, record.address)
    moved = arriving(over, delegator, record.address)
    return ([(operator_of(state, source), entry.amount, entry.ready) for _, source, entry in moved],)


def _power(state: StateReader) -> tuple[Any, ...]:
    return (sum(seat.power for seat in newest_set(state).seats),)


STAKING = Reads(
    STAKING_ADDRESS,
    Read("getValidators()", (_VALIDATOR + "[]",), _all),
    Read("getValidator(address)", (_VALIDATOR,), _one),
    Read("listValidators(address,uint64)", (_VALIDATOR + "[]", "address"), _page),
    Read("listDelegators(address,address,uint64)", (_STAKER + "[]", "address"), _stakers),
    Read("getDelegation(address,address)", ("uint256",), _delegation),
    Read("getDelegations(address)", (_STAKE + "[]",), _delegations),
    Read("getUnbondings(address,address)", (_WAITING + "[]",), _unbondings),
    Read("getRedelegations(address,address)", (_MOVED + "[]",), _redelegations),
    Read("totalPower()", ("uint64",), _power),
)

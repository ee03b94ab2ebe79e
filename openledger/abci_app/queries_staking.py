"""Validators and delegations as JSON views; see ``queries``."""

from __future__ import annotations

from itertools import islice

from openledger.abci_app.modules.attribution.records import CLAIM_COUNT
from openledger.abci_app.modules.governance.records import params as read_params
from openledger.abci_app.modules.staking import delegations, earning, signing, silence, unbonding
from openledger.abci_app.modules.staking import records as staking
from openledger.abci_app.modules.staking.sets import newest_set
from openledger.abci_app.views import MAX_LIST, View
from openledger.primitives.errors import NotFound
from openledger.primitives.fields import to_json
from openledger.primitives.types import Address, to_checksum, to_hex
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

MAX_DELEGATORS = 200
"""Accounts on a page of a validator's delegators."""


def _validator(state: StateReader, record: staking.ValidatorRecord, height: int | None) -> View:
    params = read_params(state)
    return (
        {"address": to_hex(record.address)}
        | to_json(record)
        | {
            "stake": hex(record.stake),
            "shares": hex(record.shares),
            "own": hex(delegations.worth(record, record.own)),
            "missed": signing.missed(state, params, record.address, height),
            "allowedMisses": signing.allowed_misses(params),
            "window": params.signed_window,
            "silent": silence.silences(state, params, record.address, CLAIM_COUNT.get(state)),
            "allowedSilences": silence.allowed_silences(params),
            "verdictWindow": params.verdict_window,
            "unbonding": _coming(_followed(state, record.operator, record.address), record.operator, record.address),
        }
    )


def get_validator(state: StateReader, address: Address, height: int | None = None) -> View:
    """By consensus address or operator. ``missed`` counts the blocks of the window that ends with ``height`` (default:
    with the last miss). Raises NotFound."""
    return _validator(state, _must_validator(state, address), height)


def _must_validator(state: StateReader, address: Address) -> staking.ValidatorRecord:
    record = staking.validator(state, address) or staking.operated_by(state, address)
    if record is None:
        raise NotFound(f"there is no validator {to_hex(address)}")
    return record


def list_validators(state: StateReader, height: int | None = None) -> list[View]:
    """Those with a seat, by consensus address, then the other candidates by stake, then who is jailed."""
    seats = [seat.address for seat in newest_set(state).seats]
    found = {address: record for address in seats if (record := staking.validator(state, address))}
    for record in staking.candidates(state):
        if len(found) < MAX_LIST:
            found.setdefault(record.address, record)
    for record in staking.validators(state):
        if record.jailed and record.stake and len(found) < MAX_LIST:
            found.setdefault(record.address, record)
    return [_validator(state, record, height) for record in found.values()]


def get_delegations(state: StateReader, account: Address) -> list[View]:
    """What an account has staked and with whom (with its own validator always, be it nothing), what that has earned
    and not booked yet, what comes back when (``unbonding``), and what answers for its former validator too
    (``redelegations``)."""
    over = Overlay(state)
    there = {address for address, _ in delegations.delegations(state, account)}
    if (own := staking.operated_by(state, account)) is not None:
        there.add(own.address)
    found = sorted(there | set(unbonding.leaving_from(state, account, MAX_LIST)))
    return [view for address in found if (view := _delegation(over, account, address))]


def list_delegators(state: StateReader, address: Address, start: Address, limit: int) -> View:
    """Who has stake with a validator (by operator or consensus address), by account, from ``start`` on: its ``amount``,
    slashes taken off, and ``shares``. ``next`` is where the next page starts, None after the last. Raises NotFound."""
    record = _must_validator(state, address)
    over, found = Overlay(state), list[View]()
    accounts = delegations.delegators(state, record.address, start)
    for account in islice(accounts, max(1, min(limit, MAX_DELEGATORS))):
        unbonding.follow_arriving(over, account, record.address)
        held, now = delegations.delegation(over, account, record.address), _must_validator(over, record.address)
        amount = delegations.worth(now, held.total)
        found.append({"delegator": to_checksum(account), "amount": hex(amount), "shares": hex(held.total)})
    following = next(accounts, None)
    return {"delegators": found, "next": to_checksum(following) if following else None}


def _delegation(state: Overlay, account: Address, address: Address) -> View | None:
    unbonding.follow_pair(state, account, address)
    record = staking.validator(state, address)
    if record is None:
        return None
    before = earning.earned(state, account).total
    held = delegations.settle(state, account, address)
    moved = unbonding.arriving(state, account, address)
    return {
        "operator": to_checksum(record.operator),
        "validator": to_hex(address),
        "amount": hex(delegations.worth(record, held.total)),
        "shares": hex(held.total),
        "rewards": hex(earning.earned(state, account).total - before),
        "unbonding": _coming(state, account, address),
        "redelegations": [
            {
                "source": to_checksum(staking.operator_of(state, source)),
                "amount": hex(entry.amount),
                "ready": entry.ready,
            }
            for _, source, entry in moved
        ],
    }


def _followed(state: StateReader, account: Address, address: Address) -> Overlay:
    """The state after all that an account has on its way to or from a validator has followed all slashes."""
    over = Overlay(state)
    unbonding.follow_pair(over, account, address)
    return over


def _coming(state: StateReader, account: Address, address: Address) -> list[View]:
    """What an account unbonds from a validator, as it stands."""
    return [{"amount": hex(u.amount), "ready": u.ready} for _, u in unbonding.leaving(state, account, address)]

"""Who signs two blocks of one height loses part of its stake and its seat for ever; who is away too long is jailed.

Slashed coins are burned and counted. What began to unbond, or moved on, when it still stood behind the offence follows
(``unbonding``), so nobody escapes by leaving between the deed and its proof.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from openledger.abci_app.action import BlockContext
from openledger.abci_app.modules.fees.records import burn_from
from openledger.abci_app.modules.staking.records import (
    JAILED,
    SLASHED,
    STAKES,
    TOMBSTONED,
    ValidatorRecord,
    put_validator,
    validator,
)
from openledger.abci_app.modules.staking.signing import begin_counting, note_miss
from openledger.abci_app.modules.staking.unbonding import Slash, note_slash
from openledger.primitives.amounts import PPM
from openledger.primitives.types import Address, Log
from openledger.state.overlay import Overlay

DOUBLE_SIGN, LIGHT_CLIENT_ATTACK, DOWNTIME = "double sign", "light client attack", "downtime"
FALSE_VERDICT = "false verdict"


@dataclass(frozen=True, slots=True)
class Offence:
    """Proven misbehaviour of a validator (consensus address) at a height; ``reason`` is one of the texts above."""

    validator: Address
    height: int
    reason: str


def punish(state: Overlay, ctx: BlockContext, offences: Sequence[Offence]) -> list[Log]:
    """Slash and tombstone. A validator that is tombstoned already, or unknown, is left alone."""
    logs: list[Log] = []
    for offence in offences:
        record = validator(state, offence.validator)
        if record is None or record.tombstoned:
            continue
        record, burned = slash(state, ctx, record, ctx.params.slash_double_sign, offence.height)
        put_validator(state, replace(record, jailed=True, tombstoned=True, jailed_until=0))
        logs.append(SLASHED.log(record.operator, record.address, burned, offence.reason))
        logs.append(TOMBSTONED.log(record.operator, record.address, ctx.height))
    return logs


def punish_verdicts(state: Overlay, ctx: BlockContext, guilty: Mapping[Address, int]) -> list[Log]:
    """Slash those who stood by what a challenge has shown to be false. They keep their seats; what has left since the
    height that stands with each answers too: their power of then is that of the set which signs one block later."""
    logs: list[Log] = []
    for address, height in guilty.items():
        record = validator(state, address)
        if record is None:
            continue
        record, burned = slash(state, ctx, record, ctx.params.slash_verdict, height + 1)
        put_validator(state, record)
        logs.append(SLASHED.log(record.operator, record.address, burned, FALSE_VERDICT))
    return logs


def note_absent(state: Overlay, ctx: BlockContext, absent: Sequence[Address]) -> list[Log]:
    """Count those whose signatures the last commit lacks; slash and jail who was away too often."""
    logs: list[Log] = []
    for address in absent:
        record = validator(state, address)
        if record is None or record.jailed or not note_miss(state, ctx.params, address, ctx.height - 1):
            continue
        record, burned = slash(state, ctx, record, ctx.params.slash_downtime, ctx.height - 1)
        until = ctx.time + ctx.params.jail_seconds
        put_validator(state, replace(record, jailed=True, jailed_until=until))
        begin_counting(state, address, ctx.height)
        logs.append(SLASHED.log(record.operator, record.address, burned, DOWNTIME))
        logs.append(JAILED.log(record.operator, record.address, until))
    return logs


def slash(
    state: Overlay, ctx: BlockContext, record: ValidatorRecord, ppm: int, height: int
) -> tuple[ValidatorRecord, int]:
    """The record with less stake, to be written, and the wei burned; ``height`` is that of the offence."""
    burned = record.stake * ppm // PPM
    burn_from(state, STAKES, burned)
    if ppm:
        record = note_slash(state, record, Slash(ctx.height, height, ppm))
    return replace(record, stake=record.stake - burned), burned

"""The stakers' part of a fee and the verification fee: to the validators who have worked, and on to their stakers.

A validator's part waits in a pot while its claim can be challenged. Then it is divided over the shares that have stood
behind the claim since it opened (``staking.earning``), less their operator's commission; what others would have had
burns, commission and all, so that nobody's part grows when another moves, and no operator keeps for stake that was
never there.
"""

from __future__ import annotations

from dataclasses import dataclass

from openledger.abci_app.modules.accounts import transfer
from openledger.abci_app.modules.attribution.records import (
    ACCEPTED,
    ELECTORATES,
    ESCROW,
    NO,
    NONE,
    REFUSED,
    YES,
    Claim,
    Member,
    Vote,
    votes,
)
from openledger.abci_app.modules.fees.records import burn_from
from openledger.abci_app.modules.governance.records import POOL
from openledger.abci_app.modules.rewards.records import BURNED, PAID, credit
from openledger.abci_app.modules.staking.earning import earn, standing
from openledger.abci_app.modules.staking.records import REWARDED, STAKES, validator
from openledger.abci_app.tables import Table
from openledger.primitives.amounts import PPM, split_exact
from openledger.primitives.errors import ConsensusFault
from openledger.primitives.fields import U256
from openledger.primitives.types import ATTRIBUTION_ADDRESS, Address, Log
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

ROLE_STAKER, ROLE_POOL = "staker", "pool"


@dataclass(frozen=True)
class Pot:
    """Wei of one claim for the stakers of one validator, while the claim can be challenged."""

    amount: U256


_POTS = Table(ATTRIBUTION_ADDRESS, "pot", Pot)


def pay_stakers(state: Overlay, number: int, claim: Claim, amount: int, locked: bool = False) -> list[Log]:
    """By power, to those who have worked; the parts of the others burn, and what no stake stood for any longer when the
    claim opened. To the pool where nobody had any power, so that no wei stays behind in the escrow."""
    cast = [(member, _work_shown(claim, said)) for member, said in votes(state, number) if member.power]
    if not cast:
        transfer(state, ESCROW, POOL, amount)
        return [PAID.log(number, POOL, amount, ROLE_POOL)] if amount else []
    parts = split_exact(amount, [member.power for member, _ in cast])
    most = max(shown for _, shown in cast)
    unearned, logs = 0, list[Log]()
    for (member, shown), part in zip(cast, parts, strict=True):
        earned = part * member.backed // member.power if shown == most else 0
        unearned += part - earned
        if not earned:
            continue
        logs.append(PAID.log(number, member.operator, earned, ROLE_STAKER))
        if locked:
            before = _POTS.get(state, number, member.address) or Pot(0)
            _POTS.put(state, Pot(before.amount + earned), number, member.address)
        else:
            logs += _divide(state, number, member, earned)
    burn_from(state, ESCROW, unearned)
    return [*logs, BURNED.log(number, unearned)] if unearned else logs


def _work_shown(claim: Claim, said: Vote) -> int:
    """How far somebody came with a claim; who came furthest is paid. The verdict that was decided counts, in a
    lapsed claim any that is not void; where it came to none, a commitment, or else that the blobs were there. Where
    nobody came anywhere the claimant may have withheld the blobs, and all are equal."""
    decided = {ACCEPTED: (YES,), REFUSED: (NO,)}.get(claim.status, (YES, NO))
    if said.verdict in decided:
        return 3
    if said.verdict != NONE:
        return 0
    return 2 if said.digest else said.held


def _divide(state: Overlay, number: int, member: Member, amount: int) -> list[Log]:
    record = validator(state, member.address)
    if record is None:
        raise ConsensusFault(f"claim {number} would pay the stakers of 0x{member.address.hex()}, which is no validator")
    round_, asked = ELECTORATES.must(state, number).round, amount * record.commission // PPM
    commission = asked * standing(state, record, round_) // member.shares if member.shares else 0
    credit(state, member.operator, number, fees=commission)
    kept = earn(state, record, round_, amount - asked, member.shares)
    transfer(state, ESCROW, STAKES, kept)
    rest = amount - commission - kept
    burn_from(state, ESCROW, rest)
    logs = [REWARDED.log(member.operator, number, commission, kept)]
    return [*logs, BURNED.log(number, rest)] if rest else logs


def pots(state: StateReader, number: int) -> dict[Address, int]:
    """Wei of a claim that wait for the stakers of each validator (consensus address)."""
    return {rest: pot.amount for rest, pot in _POTS.items(state, number)}


def open_pots(state: Overlay, number: int) -> list[Log]:
    """The claim can no longer be challenged: divide what waits for the stakers."""
    members = {member.address: member for member in ELECTORATES.must(state, number).members}
    return [log for address, pot in _take(state, number) for log in _divide(state, number, members[address], pot)]


def empty_pots(state: Overlay, number: int) -> int:
    """The claim is undone: wei that waited for the stakers and are nobody's now."""
    return sum(amount for _, amount in _take(state, number))


def _take(state: Overlay, number: int) -> list[tuple[Address, int]]:
    found = sorted(pots(state, number).items())
    for address, _ in found:
        _POTS.delete(state, number, address)
    return found

"""Records of rewards: what each account has earned, from which claims, and what waits to be minted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from openledger.abci_app.events import Event
from openledger.abci_app.tables import Table
from openledger.primitives.fields import U256
from openledger.primitives.types import ATTRIBUTION_ADDRESS, Address
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


@dataclass(frozen=True)
class Rewards:
    """Wei earned as fees and as mint since the beginning, taken so far, and locked until the time for challenges of
    their claims is over."""

    fees: U256 = 0
    minted: U256 = 0
    taken: U256 = 0
    locked: U256 = 0

    @property
    def available(self) -> int:
        return self.fees + self.minted - self.taken - self.locked


@dataclass(frozen=True)
class Earning:
    """What one claim has brought one account, in wei."""

    fees: U256 = 0
    minted: U256 = 0


@dataclass(frozen=True)
class Wish:
    """Wei that an accepted claim would mint at the close of the epoch, if the schedule allows."""

    amount: U256


REWARDS = Table(ATTRIBUTION_ADDRESS, "rewards", Rewards)
EARNINGS = Table(ATTRIBUTION_ADDRESS, "earning", Earning)
WISHES = Table(ATTRIBUTION_ADDRESS, "wish", Wish)
GRANTS = Table(ATTRIBUTION_ADDRESS, "grant", Wish)
"""By claim: wei that the close of an epoch has granted, until they are minted."""

PAID = Event(
    ATTRIBUTION_ADDRESS, "FeePaid", "uint256 indexed claim", "address indexed account", "uint256 amount", "string role"
)
MINTED = Event(
    ATTRIBUTION_ADDRESS, "RewardMinted", "uint256 indexed claim", "address indexed account", "uint256 amount"
)
REFUNDED = Event(
    ATTRIBUTION_ADDRESS, "FeeRefunded", "uint256 indexed claim", "address indexed consumer", "uint256 amount"
)
SLASHED = Event(
    ATTRIBUTION_ADDRESS, "BondSlashed", "uint256 indexed claim", "address indexed claimant", "uint256 amount"
)
BURNED = Event(ATTRIBUTION_ADDRESS, "FeeBurned", "uint256 indexed claim", "uint256 amount")
TAKEN = Event(ATTRIBUTION_ADDRESS, "RewardsClaimed", "address indexed account", "uint256 amount")


def rewards(state: StateReader, account: Address) -> Rewards:
    """What an account has earned and taken."""
    return REWARDS.get(state, account) or Rewards()


def credit(
    state: Overlay, account: Address, claim: int, *, fees: int = 0, minted: int = 0, locked: bool = False
) -> None:
    """Book wei that the attribution account already holds for ``account``; ``locked`` while the claim can be
    challenged."""
    if not fees and not minted:
        return
    now = rewards(state, account)
    held = now.locked + (fees + minted if locked else 0)
    REWARDS.put(state, replace(now, fees=now.fees + fees, minted=now.minted + minted, locked=held), account)
    from_claim = EARNINGS.get(state, account, claim) or Earning()
    after = Earning(from_claim.fees + fees, from_claim.minted + minted)
    EARNINGS.put(state, after, account, claim)


def earnings(state: StateReader, account: Address) -> Iterator[tuple[int, Earning]]:
    """(claim, earning) of an account, by claim."""
    return ((int.from_bytes(rest[:8], "big"), e) for rest, e in EARNINGS.items(state, account))


def wishes(state: StateReader) -> list[tuple[int, int]]:
    """(claim, wei) that wait for the close of the epoch, by claim."""
    return [(int.from_bytes(rest, "big"), w.amount) for rest, w in WISHES.items(state)]


def waiting_for_mint(state: StateReader) -> list[int]:
    """Claims for which something is still to be minted."""
    found = {int.from_bytes(rest, "big") for table in (WISHES, GRANTS) for rest, _ in table.items(state)}
    return sorted(found)


def forget_mint(state: Overlay, claim: int) -> None:
    """Nothing is minted for a claim any more."""
    WISHES.delete(state, claim)
    GRANTS.delete(state, claim)


__all__ = [
    "BURNED",
    "EARNINGS",
    "GRANTS",
    "MINTED",
    "PAID",
    "REFUNDED",
    "REWARDS",
    "SLASHED",
    "TAKEN",
    "WISHES",
    "Earning",
    "Rewards",
    "Wish",
    "credit",
    "earnings",
    "forget_mint",
    "rewards",
    "waiting_for_mint",
    "wishes",
]  # fmt: skip

"""Reads of claims and rewards for contracts: ``contracts/IAttribution.sol`` at 0x...0802."""

from __future__ import annotations

from typing import Any

from openledger.abci_app.modules.attribution.reads import CLAIM_READS
from openledger.abci_app.modules.rewards.records import rewards
from openledger.abci_app.modules.staking.delegations import settle_all
from openledger.abci_app.reads import Read, Reads
from openledger.primitives.types import ATTRIBUTION_ADDRESS, Address
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader


def _pending(state: StateReader, account: Address) -> tuple[Any, ...]:
    return (rewards(state, account).available + settle_all(Overlay(state), account).available,)


def _rewards(state: StateReader, account: Address) -> tuple[Any, ...]:
    r, staked = rewards(state, account), settle_all(Overlay(state), account)
    return (r.fees + staked.total, r.minted, r.taken + staked.taken)


ATTRIBUTION = Reads(
    ATTRIBUTION_ADDRESS,
    *CLAIM_READS,
    Read("pendingRewards(address)", ("uint256",), _pending),
    Read("getRewards(address)", ("uint256", "uint256", "uint256"), _rewards),
)

"""When a block is owed although no transaction waits: the solo engine asks, CometBFT makes empty blocks anyhow."""

from __future__ import annotations

from openledger.abci_app.modules.attribution.index_challenges import must_ballot
from openledger.abci_app.modules.attribution.records import OPEN_SEEN, open_claims
from openledger.abci_app.modules.datanets.promises import promises_are_due
from openledger.abci_app.modules.datanets.reviews import reviews_are_due
from openledger.abci_app.modules.governance.records import proposal_is_due
from openledger.abci_app.modules.models.bonds import bonds_are_due
from openledger.abci_app.modules.models.records import epoch, is_refuted
from openledger.abci_app.modules.rewards.minting import mint_is_due
from openledger.abci_app.modules.rewards.payout import epoch_is_due
from openledger.abci_app.modules.rewards.records import wishes
from openledger.abci_app.modules.rewards.refuting import refunds_are_due
from openledger.abci_app.modules.rewards.vesting import vesting_is_due
from openledger.abci_app.modules.staking.unbonding import unbonding_is_due
from openledger.state.ports import StateReader


def is_due(state: StateReader, time: int) -> bool:
    """True when the next block at Unix second ``time`` would do something by itself."""
    if epoch_is_due(epoch(state), time, bool(wishes(state))):
        return True
    if unbonding_is_due(state, time) or vesting_is_due(state, time) or mint_is_due(state):
        return True
    if promises_are_due(state, time) or reviews_are_due(state, time) or proposal_is_due(state, time):
        return True
    if bonds_are_due(state, time) or refunds_are_due(state):
        return True
    claims = (must_ballot(state, number) for number in open_claims(state, OPEN_SEEN))
    return any(claim.deadline <= time or is_refuted(state, claim.model) for claim in claims)

"""The address book of the state machine, said aloud: actions in the order of the reference, effects of proposals, and
what contracts may read.

A new native transaction is one file under ``modules/``, one line here, and one test; a new read for contracts is one
function in its module's ``reads.py``.
"""

from __future__ import annotations

from openledger.abci_app.action import Action, register
from openledger.abci_app.modules.attribution.challenge import AttributionChallenge
from openledger.abci_app.modules.attribution.challenge_index import AttributionChallengeIndex
from openledger.abci_app.modules.attribution.claim import AttributionClaim
from openledger.abci_app.modules.datanets.appeals import PlaceChange, ReviewOverturn
from openledger.abci_app.modules.datanets.commit import DatanetCommit
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.datanets.promise import DatanetPromise
from openledger.abci_app.modules.datanets.reads import DATANETS
from openledger.abci_app.modules.datanets.review import DatanetReview
from openledger.abci_app.modules.datanets.set_policy import DatanetSetPolicy
from openledger.abci_app.modules.governance.changes import ParamsChange, TextOnly
from openledger.abci_app.modules.governance.deposit import GovDeposit
from openledger.abci_app.modules.governance.effects import Effect, register_effects
from openledger.abci_app.modules.governance.propose import GovPropose
from openledger.abci_app.modules.governance.reads import GOVERNANCE
from openledger.abci_app.modules.governance.spend import Spend
from openledger.abci_app.modules.governance.upgrade import CancelUpgrade, Upgrade
from openledger.abci_app.modules.governance.vote import GovVote
from openledger.abci_app.modules.models.close import InferenceClose
from openledger.abci_app.modules.models.open import InferenceOpen
from openledger.abci_app.modules.models.publish import ModelPublish
from openledger.abci_app.modules.models.reads import MODELS
from openledger.abci_app.modules.models.retire import ModelRetire
from openledger.abci_app.modules.models.settle import InferenceSettle
from openledger.abci_app.modules.rewards.claim import RewardsClaim
from openledger.abci_app.modules.rewards.reads import ATTRIBUTION
from openledger.abci_app.modules.staking.create import ValidatorCreate
from openledger.abci_app.modules.staking.delegate import StakeDelegate
from openledger.abci_app.modules.staking.edit import ValidatorEdit
from openledger.abci_app.modules.staking.reads import STAKING
from openledger.abci_app.modules.staking.redelegate import StakeRedelegate
from openledger.abci_app.modules.staking.undelegate import StakeUndelegate
from openledger.abci_app.modules.staking.unjail import ValidatorUnjail
from openledger.abci_app.reads import Reads
from openledger.primitives.types import Address

ACTIONS: tuple[type[Action], ...] = (
    DatanetCreate,
    DatanetPromise,
    DatanetCommit,
    DatanetReview,
    DatanetSetPolicy,
    ModelPublish,
    ModelRetire,
    InferenceOpen,
    InferenceSettle,
    InferenceClose,
    AttributionClaim,
    AttributionChallenge,
    AttributionChallengeIndex,
    RewardsClaim,
    ValidatorCreate,
    ValidatorEdit,
    ValidatorUnjail,
    StakeDelegate,
    StakeUndelegate,
    StakeRedelegate,
    GovPropose,
    GovDeposit,
    GovVote,
)

EFFECTS: tuple[type[Effect], ...] = (TextOnly, ParamsChange, Spend, Upgrade, CancelUpgrade, ReviewOverturn, PlaceChange)
"""What proposals can do."""

READS: tuple[Reads, ...] = (DATANETS, MODELS, ATTRIBUTION, STAKING, GOVERNANCE)
"""What contracts may ask, by address."""

PRECOMPILES: tuple[tuple[Address, Reads], ...] = tuple((reads.address, reads) for reads in READS)
"""The table of native precompiles that every engine of this chain is made with."""

register(ACTIONS)
register_effects(EFFECTS)

"""The address book of the state machine, said aloud: the actions in the order of the reference, and the block hooks.

A new native transaction is one file under ``modules/``, one line here, and one test.
"""

from __future__ import annotations

from openledger.abci_app.action import Action, register
from openledger.abci_app.modules.attribution.claim import AttributionClaim
from openledger.abci_app.modules.datanets.commit import DatanetCommit
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.models.close import InferenceClose
from openledger.abci_app.modules.models.open import InferenceOpen
from openledger.abci_app.modules.models.publish import ModelPublish
from openledger.abci_app.modules.models.retire import ModelRetire
from openledger.abci_app.modules.models.settle import InferenceSettle
from openledger.abci_app.modules.rewards.claim import RewardsClaim

ACTIONS: tuple[type[Action], ...] = (
    DatanetCreate,
    DatanetCommit,
    ModelPublish,
    ModelRetire,
    InferenceOpen,
    InferenceSettle,
    InferenceClose,
    AttributionClaim,
    RewardsClaim,
)

register(ACTIONS)

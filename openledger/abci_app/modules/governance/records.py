"""The parameter record."""

from __future__ import annotations

from openledger.abci_app.tables import Table
from openledger.genesis.params import Params
from openledger.primitives.types import GOVERNANCE_ADDRESS
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

_PARAMS = Table(GOVERNANCE_ADDRESS, "params", Params)

POOL = GOVERNANCE_ADDRESS
"""The account whose balance is the community pool."""


def params(state: StateReader) -> Params:
    """The parameters in force."""
    return _PARAMS.must(state)


def set_params(state: Overlay, value: Params) -> None:
    _PARAMS.put(state, value)

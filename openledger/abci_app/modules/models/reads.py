"""Reads of models and sessions for contracts: ``contracts/IModels.sol`` at 0x...0801."""

from __future__ import annotations

from typing import Any

from openledger.abci_app.modules.models.records import MODEL_COUNT, SESSION_COUNT, must_model, must_session
from openledger.abci_app.reads import Read, Reads
from openledger.primitives.types import MODELS_ADDRESS
from openledger.state.ports import StateReader

_MODEL = (
    "(address,string,string,bytes32,bytes32,bytes32,bytes32,bytes32,uint64,string,uint64,uint64,uint32,uint256,bool)"
)
_SESSION = "(uint64,address,uint256,uint256,uint32,uint64,bool)"


def _count(state: StateReader) -> tuple[Any, ...]:
    return (MODEL_COUNT.get(state),)


def _session_count(state: StateReader) -> tuple[Any, ...]:
    return (SESSION_COUNT.get(state),)


def _model(state: StateReader, model: int) -> tuple[Any, ...]:
    m = must_model(state, model)
    return (
        (
            m.owner, m.name, m.base, m.weights, m.receipt, m.bundle, m.index, m.index_root, m.rows, m.method,
            m.base_loss, m.held_out_loss, m.lds, m.price, m.retired,
        ),
    )  # fmt: skip


def _bond(state: StateReader, model: int) -> tuple[Any, ...]:
    found = must_model(state, model)
    return (found.bond, found.refuted)


def _data(state: StateReader, model: int) -> tuple[Any, ...]:
    return ([(ref.datanet, ref.version) for ref in must_model(state, model).data],)


def _session(state: StateReader, session: int) -> tuple[Any, ...]:
    s = must_session(state, session)
    return ((s.model, s.consumer, s.deposit, s.settled, s.answers, s.expiry, s.closed),)


MODELS = Reads(
    MODELS_ADDRESS,
    Read("modelCount()", ("uint64",), _count),
    Read("getModel(uint64)", (_MODEL,), _model),
    Read("getModelBond(uint64)", ("uint256", "uint64"), _bond),
    Read("getData(uint64)", ("(uint64,uint64)[]",), _data),
    Read("sessionCount()", ("uint64",), _session_count),
    Read("getSession(uint64)", (_SESSION,), _session),
)

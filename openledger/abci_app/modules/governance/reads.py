"""Reads of proposals and parameters for contracts: ``contracts/IGovernance.sol`` at 0x...0804.

There are no proposals yet: their number is 0.
"""

from __future__ import annotations

from typing import Any

from openledger.abci_app.modules.governance.records import params
from openledger.abci_app.reads import Read, Reads
from openledger.genesis.params import Params
from openledger.primitives.errors import NotFound
from openledger.primitives.fields import schema
from openledger.primitives.types import GOVERNANCE_ADDRESS
from openledger.state.ports import StateReader

_PROPOSAL = "(address,string,uint8,uint256,uint64,uint64,uint64,uint64,uint64)"


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


_NAMES = {
    spelled: name for name, kind in schema(Params) if kind.kind.startswith("uint") for spelled in (name, _camel(name))
}
"""Both spellings of a parameter: the field's, as in genesis, and the one of ``openledger_getParams``."""


def _count(state: StateReader) -> tuple[Any, ...]:
    return (0,)


def _proposal(state: StateReader, proposal: int) -> tuple[Any, ...]:
    raise NotFound(f"there is no proposal {proposal}")


def _param(state: StateReader, name: str) -> tuple[Any, ...]:
    field = _NAMES.get(name)
    if field is None:
        raise NotFound("there is no parameter of this name that is a number")
    return (getattr(params(state), field),)


GOVERNANCE = Reads(
    GOVERNANCE_ADDRESS,
    Read("proposalCount()", ("uint64",), _count),
    Read("getProposal(uint64)", (_PROPOSAL,), _proposal),
    Read("getParam(string)", ("uint256",), _param),
)

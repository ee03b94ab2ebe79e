"""Reads of proposals and parameters for contracts: ``contracts/IGovernance.sol`` at 0x...0804."""

from __future__ import annotations

from typing import Any

from openledger.abci_app.modules.governance.records import PROPOSAL_COUNT, VOTING, must_proposal, params
from openledger.abci_app.modules.staking.choices import choice, choices
from openledger.abci_app.modules.staking.polls import count
from openledger.abci_app.reads import Read, Reads, page
from openledger.genesis.params import Params
from openledger.primitives.errors import NotFound
from openledger.primitives.fields import schema
from openledger.primitives.types import GOVERNANCE_ADDRESS, Address
from openledger.state.ports import StateReader

_PROPOSAL = "(address,string,string,uint8,uint256,uint64,uint256,uint256,uint256,uint256,uint256)"


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


_NAMES = {
    spelled: name for name, kind in schema(Params) if kind.kind.startswith("uint") for spelled in (name, _camel(name))
}
"""Both spellings of a parameter: the field's, as in genesis, and the one of ``openledger_getParams``."""


def _count(state: StateReader) -> tuple[Any, ...]:
    return (PROPOSAL_COUNT.get(state),)


def _proposal(state: StateReader, proposal: int) -> tuple[Any, ...]:
    return (_view(state, proposal),)


def _proposals(state: StateReader, start: int, limit: int) -> tuple[Any, ...]:
    """By id: there is one for each number up to the count."""
    found, following = page(iter(range(max(1, start), PROPOSAL_COUNT.get(state) + 1)), limit)
    return [_view(state, proposal) for proposal in found], following or 0


def _view(state: StateReader, proposal: int) -> tuple[Any, ...]:
    found = must_proposal(state, proposal)
    votes = (found.yes, found.no, found.veto, found.abstain, found.bonded)
    if found.status == VOTING:
        now = count(state, proposal)
        yes, no, abstain, veto = now.weights
        votes = (yes, no, veto, abstain, now.bonded)
    return (found.proposer, found.title, found.effect, found.status, found.deposit, found.deadline, *votes)


def _vote(state: StateReader, proposal: int, voter: Address) -> tuple[Any, ...]:
    must_proposal(state, proposal)
    return (choice(state, proposal, voter),)


def _votes(state: StateReader, proposal: int, start: Address, limit: int) -> tuple[Any, ...]:
    must_proposal(state, proposal)
    found, following = page(choices(state, proposal, start), limit)
    return found, following[0] if following else bytes(20)


def _param(state: StateReader, name: str) -> tuple[Any, ...]:
    field = _NAMES.get(name)
    if field is None:
        raise NotFound("there is no parameter of this name that is a number")
    return (getattr(params(state), field),)


GOVERNANCE = Reads(
    GOVERNANCE_ADDRESS,
    Read("proposalCount()", ("uint64",), _count),
    Read("getProposal(uint64)", (_PROPOSAL,), _proposal),
    Read("getVote(uint64,address)", ("uint8",), _vote),
    Read("listProposals(uint64,uint64)", (_PROPOSAL + "[]", "uint64"), _proposals),
    Read("listVotes(uint64,address,uint64)", ("(address,uint8)[]", "address"), _votes),
    Read("getParam(string)", ("uint256",), _param),
)

"""Reads of datanets for contracts: ``contracts/IDatanets.sol`` at 0x...0800."""

from __future__ import annotations

from typing import Any

from openledger.abci_app.modules.datanets.promises import must_promise
from openledger.abci_app.modules.datanets.records import COUNT, must_datanet, must_version
from openledger.abci_app.modules.datanets.reviews import ACCEPTED, must_review, status_of
from openledger.abci_app.reads import Read, Reads
from openledger.primitives.hashing import merkle_leaf, merkle_verify
from openledger.primitives.types import DATANETS_ADDRESS, Address, Hash32
from openledger.state.ports import StateReader

_DATANET = "(address,string,string,string,string,string,uint8,uint256,uint256,address[],uint64,uint64)"
_COMMIT = "(address,uint64,bytes32,uint64,uint64,string)"
_PART = "(address,bytes32,uint32,uint64,uint64)"
_REVIEW = "(address,uint256,uint256,uint8,uint8,bool,uint32,uint32,uint64)"
_PROMISE = "(address,uint64,uint64,uint64)"


def _count(state: StateReader) -> tuple[Any, ...]:
    return (COUNT.get(state),)


def _datanet(state: StateReader, datanet: int) -> tuple[Any, ...]:
    d = must_datanet(state, datanet)
    rules = (d.policy, d.review_quorum, d.bond, d.stake, list(d.reviewers))
    return ((d.owner, d.name, d.description, d.schema, d.licence, *rules, d.head, d.versions),)


def _commit(state: StateReader, datanet: int, version: int) -> tuple[Any, ...]:
    v = must_version(state, datanet, version)
    return ((v.author, v.parent, v.root, v.rows, v.time, v.message),)


def _parts(state: StateReader, datanet: int, version: int) -> tuple[Any, ...]:
    found = must_version(state, datanet, version).parts
    return ([(p.contributor, p.blob, p.rows, p.height, p.place) for p in found],)


def _review(state: StateReader, datanet: int, version: int) -> tuple[Any, ...]:
    r = must_review(state, datanet, version)
    return ((r.author, r.bond, r.stake, r.quorum, r.status, r.overturned, r.accepts, r.rejects, r.deadline),)


def _is_accepted(state: StateReader, datanet: int, version: int) -> tuple[Any, ...]:
    return (1 <= version <= must_datanet(state, datanet).versions and status_of(state, datanet, version) == ACCEPTED,)


def _promise(state: StateReader, digest: Hash32) -> tuple[Any, ...]:
    p = must_promise(state, digest)
    return ((p.sender, p.height, p.place, p.expires),)


def _verify_row(
    state: StateReader, datanet: int, version: int, index: int, contributor: Address, row: Hash32, proof: list[Hash32]
) -> tuple[Any, ...]:
    found = must_version(state, datanet, version)
    leaf = merkle_leaf(contributor + row)
    return (index < found.rows and merkle_verify(found.root, leaf, index, found.rows, proof),)


DATANETS = Reads(
    DATANETS_ADDRESS,
    Read("datanetCount()", ("uint64",), _count),
    Read("getDatanet(uint64)", (_DATANET,), _datanet),
    Read("getCommit(uint64,uint64)", (_COMMIT,), _commit),
    Read("getParts(uint64,uint64)", (_PART + "[]",), _parts),
    Read("getReview(uint64,uint64)", (_REVIEW,), _review),
    Read("isAccepted(uint64,uint64)", ("bool",), _is_accepted),
    Read("getPromise(bytes32)", (_PROMISE,), _promise),
    Read("verifyRow(uint64,uint64,uint64,address,bytes32,bytes32[])", ("bool",), _verify_row),
)

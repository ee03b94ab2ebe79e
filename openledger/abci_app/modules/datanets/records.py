"""Records of datanets and their versions, and the events that tell of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from openledger.abci_app.events import Event
from openledger.abci_app.tables import Counter, Table
from openledger.primitives.errors import NotFound
from openledger.primitives.fields import U8, U32, U64, U256, AddressField, Bytes32, Text
from openledger.primitives.types import DATANETS_ADDRESS
from openledger.state.ports import StateReader


@dataclass(frozen=True)
class Part:
    """Consecutive rows of one contributor: the blob (sha256) that holds them, and how many they are."""

    contributor: AddressField
    blob: Bytes32
    rows: U32


@dataclass(frozen=True)
class Removal:
    """A part to leave out: two contributors may have brought the same blob."""

    contributor: AddressField
    blob: Bytes32


@dataclass(frozen=True)
class HeldPart:
    """A part of a version. ``height`` is the block of the part's promise, or of its commit where it had none. The same
    in the count of all promises and commits of the chain is ``place``: by it the oracle tells who was first."""

    contributor: AddressField
    blob: Bytes32
    rows: U32
    height: U64
    place: U64


@dataclass(frozen=True)
class Datanet:
    """``head`` is the newest version that counts, 0 while there is none; ``versions`` are all, those that wait for
    reviewers or were not accepted included. ``bond`` of a contributor and ``stake`` of a reviewer in wei."""

    owner: AddressField
    name: Text
    description: Text
    schema: Text
    licence: Text
    policy: Text
    review_quorum: U8
    bond: U256
    stake: U256
    reviewers: tuple[AddressField, ...]
    head: U64
    versions: U64
    created: U64


@dataclass(frozen=True)
class Version:
    """One commit: Merkle root over all rows, the parts in order, who made it, when (height, Unix seconds)."""

    parent: U64
    author: AddressField
    root: Bytes32
    rows: U64
    parts: tuple[HeldPart, ...]
    message: Text
    height: U64
    time: U64


FREE_PARTS = 64
"""Parts of a version that the price of its kind pays for; every further one costs gas of its own."""
VERSION_BYTES, PART_BYTES = 700, 82
"""The longest form of a version without its parts, and of a part; a part has 60 bytes at least."""

DATANETS = Table(DATANETS_ADDRESS, "datanet", Datanet)
VERSIONS = Table(DATANETS_ADDRESS, "version", Version)
COUNT = Counter(DATANETS_ADDRESS, "count")
PLACES = Counter(DATANETS_ADDRESS, "place")
"""Promises and commits so far, of all datanets."""

CREATED = Event(DATANETS_ADDRESS, "DatanetCreated", "uint256 indexed datanet", "address indexed owner", "string name")
POLICY_SET = Event(DATANETS_ADDRESS, "DatanetPolicySet", "uint256 indexed datanet", "string policy")
COMMITTED = Event(
    DATANETS_ADDRESS,
    "DatanetCommitted",
    "uint256 indexed datanet",
    "uint256 indexed version",
    "address indexed author",
    "bytes32 root",
    "uint256 rows",
)


def must_datanet(state: StateReader, datanet: int) -> Datanet:
    """Raises NotFound."""
    found = DATANETS.get(state, datanet)
    if found is None:
        raise NotFound(f"there is no datanet {datanet}")
    return found


def must_version(state: StateReader, datanet: int, version: int) -> Version:
    """Raises NotFound."""
    found = VERSIONS.get(state, datanet, version)
    if found is None:
        raise NotFound(f"datanet {datanet} has no version {version}")
    return found


def part_bytes(state: StateReader, datanet: int, version: int) -> int:
    """Bytes of a version's record that can only be parts, told without reading them: 60 to 82 each, less 700 at most;
    0 where there is no such version."""
    raw = state.record(DATANETS_ADDRESS, VERSIONS.key(datanet, version))
    return 0 if raw is None else max(0, len(raw) - VERSION_BYTES)


def versions(state: StateReader, datanet: int) -> Iterator[tuple[int, Version]]:
    """(number, version), oldest first."""
    return ((int.from_bytes(rest, "big"), v) for rest, v in VERSIONS.items(state, datanet))

"""Records are read and written without naming each value; what is refused is refused with the words of the slow way."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest

from openledger.abci_app.modules.attribution.records import Claim, Electorate
from openledger.abci_app.modules.governance.records import Proposal
from openledger.abci_app.registry import ACTIONS
from openledger.genesis.params import Params
from openledger.primitives.codec import decode, encode
from openledger.primitives.errors import InvalidMsgpack, MalformedAction
from openledger.primitives.fields import FieldType, from_wire, pack_struct, schema, to_wire, unpack_struct

CLASSES: tuple[type, ...] = (*ACTIONS, Claim, Electorate, Proposal, Params)


def some(rng: random.Random, ftype: FieldType) -> Any:
    """A value of a type."""
    if ftype.kind == "struct" and ftype.struct is not None:
        return ftype.struct(**{name: some(rng, kind) for name, kind in schema(ftype.struct)})
    if ftype.kind == "array" and ftype.item is not None:
        return tuple(some(rng, ftype.item) for _ in range(rng.randrange(4)))
    if ftype.kind.startswith("uint"):
        return rng.choice([0, 1, 2**63 - 1, 2**63, rng.getrandbits(256), 2**ftype.bits - 1]) % 2**ftype.bits
    if ftype.kind in ("string", "bool"):
        return rng.choice(["", "é", "a" * 40]) if ftype.kind == "string" else rng.random() < 0.5
    return rng.randbytes({"address": 20, "bytes32": 32}.get(ftype.kind, rng.randrange(70)))


def spoilt(rng: random.Random, wire: Any) -> Any:
    """The same with one value somewhere inside replaced."""
    if isinstance(wire, list) and wire and rng.random() < 0.8:
        at = rng.randrange(len(wire))
        return [*wire[:at], spoilt(rng, wire[at]), *wire[at + 1 :]]
    return rng.choice([0, 256, 2**63 - 1, b"", bytes(20), bytes(32), b"\0" * 9, b"\xff" * 33, "x", True, [], [1]])


def outcome(read: Any) -> Any:
    try:
        return read()
    except (InvalidMsgpack, MalformedAction) as err:
        return type(err), str(err)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_what_is_read_quickly_is_what_is_read_by_name_and_refused_with_the_same_words(cls: type) -> None:
    rng, ftype = random.Random(cls.__name__), FieldType("struct", struct=cls)
    refused = 0
    for _ in range(150):
        value = some(rng, ftype)
        raw = pack_struct(value)
        assert raw == encode(to_wire(value, ftype))
        assert unpack_struct(cls, raw) == value == from_wire(decode(raw), ftype, cls.__name__)
        wrong = encode(spoilt(rng, decode(raw)))
        found = outcome(lambda wrong=wrong: unpack_struct(cls, wrong))
        assert found == outcome(lambda wrong=wrong: from_wire(decode(wrong), ftype, cls.__name__))
        refused += isinstance(found, tuple)
    assert refused > 20


@pytest.mark.parametrize("value", [-1, 2**64])
def test_a_number_that_does_not_fit_is_refused_by_the_name_of_its_field(value: int) -> None:
    rng = random.Random(1)
    claim = dataclasses.replace(some(rng, FieldType("struct", struct=Claim)), rows=value)
    with pytest.raises(MalformedAction, match=r"Claim\.rows must be uint64"):
        pack_struct(claim)

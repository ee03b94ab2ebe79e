"""Every codec: out and back, one form only, and everything else refused."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import dataclass

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from openledger.abci_app.action import decode_outbox, native_sender, outbox_bytes, signing_digest, typed_data
from openledger.abci_app.modules.datanets.commit import DatanetCommit
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.datanets.records import Part
from openledger.abci_app.registry import ACTIONS
from openledger.genesis.presets import dev_accounts
from openledger.primitives.codec import MAX_PLAIN_INT, decode, encode, pack_int, unpack_int
from openledger.primitives.errors import InvalidMsgpack, InvalidSnapshot, InvalidTransaction, MalformedAction
from openledger.primitives.fields import U256, Bytes, Flag, Text, from_json, pack_struct, to_json, unpack_struct
from openledger.primitives.hashing import keccak256
from openledger.primitives.transactions import decode_transaction, encode_native
from openledger.state.snapshot_format import unpack_chunk

ADDRESS, SECRET = dev_accounts()[0]

values = st.recursive(
    st.integers(0, MAX_PLAIN_INT) | st.binary(max_size=40) | st.text(max_size=20) | st.booleans(),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_canonical_msgpack_round_trips(value: object) -> None:
    raw = encode(value)  # type: ignore[arg-type]
    assert decode(raw) == value
    assert encode(decode(raw)) == raw


@given(st.binary(max_size=60))
def test_any_bytes_either_decode_to_their_one_form_or_are_refused(raw: bytes) -> None:
    try:
        value = decode(raw)
    except InvalidMsgpack:
        return
    assert encode(value) == raw


@pytest.mark.parametrize(
    "raw",
    ["", "cc01", "cd0001", "d901" + "61", "c0", "cb3ff0000000000000", "81a16101", "ff", "0100", "dc0001" + "01", "c1",
     "c7000a", "92" * 40 + "01"],
)  # fmt: skip
def test_longer_forms_floats_maps_nil_negative_and_trailing_bytes_are_refused(raw: str) -> None:
    with pytest.raises(InvalidMsgpack):
        decode(bytes.fromhex(raw))


@given(st.integers(0, 2**256 - 1))
def test_integers_have_one_wire_form(number: int) -> None:
    assert unpack_int(pack_int(number)) == number


@pytest.mark.parametrize("wire", [b"", b"\x00" * 9, b"\x01", b"\x00" + b"\xff" * 9, True, "1", [1]])
def test_other_forms_of_integers_are_refused(wire: object) -> None:
    with pytest.raises(InvalidMsgpack):
        unpack_int(wire)


def test_an_integer_too_large_for_its_field_is_refused() -> None:
    with pytest.raises(InvalidMsgpack):
        unpack_int(256, 8)


@dataclass(frozen=True)
class Inner:
    number: U256
    raw: Bytes


@dataclass(frozen=True)
class Outer:
    text: Text
    flag: Flag
    items: tuple[Inner, ...]


@given(
    st.builds(
        Outer,
        st.text(max_size=10),
        st.booleans(),
        st.lists(st.builds(Inner, st.integers(0, 2**256 - 1), st.binary(max_size=9)), max_size=3).map(tuple),
    )
)
def test_structs_round_trip_in_msgpack_and_json(value: Outer) -> None:
    assert unpack_struct(Outer, pack_struct(value)) == value
    assert from_json(Outer, json.loads(json.dumps(to_json(value)))) == value


@pytest.mark.parametrize("data", [{}, {"text": "a"}, {"text": 1, "flag": True, "items": []},
                                  {"text": "a", "flag": 1, "items": []}, {"text": "a", "flag": True, "items": [1]},
                                  {"text": "a", "flag": True, "items": [], "more": 1}, []])  # fmt: skip
def test_malformed_json_names_the_field(data: object) -> None:
    with pytest.raises(MalformedAction, match="Outer"):
        from_json(Outer, data)  # type: ignore[arg-type]


COMMIT = DatanetCommit(1, 2**63, bytes(32), 3, (Part(ADDRESS, b"\x01" * 32, 3),), (), "héllo")


@pytest.mark.parametrize("action", [DatanetCreate("x"), COMMIT])
def test_a_wallet_signs_the_same_digest_that_we_check(action: DatanetCreate | DatanetCommit) -> None:
    data = typed_data(161237, 5, 7, 2**70, 99_000, action)
    message = encode_typed_data(full_message=json.loads(json.dumps(data)))
    digest = keccak256(b"\x19\x01" + message.header + message.body)
    assert digest == signing_digest(161237, 5, 7, 2**70, 99_000, action)
    signed = Account.sign_message(message, SECRET)
    raw = encode_native(161237, 5, 7, 2**70, 99_000, action.KIND, pack_struct(action), bytes(signed.signature))
    tx = decode_transaction(raw)
    assert native_sender(tx) == ADDRESS  # type: ignore[arg-type]
    assert decode_outbox(outbox_bytes(action)) == action


def test_every_kind_is_unique_and_has_gas_and_a_module() -> None:
    assert len({a.KIND for a in ACTIONS}) == len(ACTIONS)
    assert all(a.GAS > 0 and len(a.MODULE) == 20 for a in ACTIONS)


def test_every_byte_of_a_native_transaction_matters() -> None:
    action = DatanetCreate("x")
    digest = signing_digest(161237, 0, 0, 1, 99_000, action)
    signature = bytes(Account.unsafe_sign_hash(digest, SECRET).signature)
    good = encode_native(161237, 0, 0, 1, 99_000, action.KIND, pack_struct(action), signature)
    for position in range(len(good)):
        for change in (1, 0x80):
            bad = bytearray(good)
            bad[position] ^= change
            try:
                tx = decode_transaction(bytes(bad))
                assert native_sender(tx) != ADDRESS  # type: ignore[arg-type]
            except InvalidTransaction:
                continue


@given(st.binary(max_size=200))
def test_random_bytes_are_never_a_transaction_and_never_a_crash(raw: bytes) -> None:
    for prefix in (b"", b"\x01", b"\x02", b"\x03", b"\x04", b"\x50", b"\x51", b"\x52"):
        with pytest.raises(InvalidTransaction):
            decode_transaction(prefix + raw)


def test_lists_in_lists_that_claim_to_be_long_are_refused_before_there_is_room_made_for_them() -> None:
    """128 KiB that ask for a thousand lists of 120,000 items: a gigabyte."""
    size, depth = 120_000, 1_000
    raw = (b"\xdd" + size.to_bytes(4, "big")) * depth + bytes(size)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidMsgpack):
            decode(raw)
        with pytest.raises(InvalidSnapshot):
            unpack_chunk(raw)
        assert tracemalloc.get_traced_memory()[1] < 10 * len(raw)
    finally:
        tracemalloc.stop()

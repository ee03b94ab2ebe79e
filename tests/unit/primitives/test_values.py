"""Amounts, hashes, trees, addresses, errors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openledger.primitives.amounts import GWEI, OPEN, exact_amount, format_amount, parse_amount, split_exact
from openledger.primitives.attribution import AttributionJob, PartFacts, SettlementFacts, Verdict, drawn_rows
from openledger.primitives.errors import (
    InvalidAddress,
    InvalidAmount,
    InvalidHex,
    InvalidJson,
    InvalidSignature,
    InvalidTransaction,
    OpenLedgerError,
    error_table,
)
from openledger.primitives.hashing import merkle_leaf, merkle_proof, merkle_root, merkle_verify
from openledger.primitives.jsonio import read_json
from openledger.primitives.keys import ed25519_public, ed25519_sign, ed25519_verify, recover_address, recover_signature
from openledger.primitives.transactions import decode_transaction
from openledger.primitives.types import from_hex, parse_address, to_checksum


@given(st.integers(0, 10**30), st.lists(st.integers(0, 10**9), max_size=12))
def test_a_split_is_exact_and_off_by_less_than_one_wei(total: int, weights: list[int]) -> None:
    parts = split_exact(total, weights)
    whole = sum(weights)
    assert sum(parts) == (total if whole else 0)
    assert all(abs(p * whole - total * w) < whole for p, w in zip(parts, weights, strict=True) if whole)


@pytest.mark.parametrize(
    ("text", "wei"), [("1", OPEN), ("1.5 OPEN", 15 * OPEN // 10), ("3gwei", 3 * 10**9), ("7 wei", 7), ("0", 0)]
)
def test_amounts_are_read_as_people_write_them(text: str, wei: int) -> None:
    assert parse_amount(text) == wei


@pytest.mark.parametrize("text", ["", "-1", "1,5", "1 btc", "0.5 wei", "1e3", "0.0000000000000000001", "nan"])
def test_other_amounts_are_refused(text: str) -> None:
    with pytest.raises(InvalidAmount):
        parse_amount(text)


@given(st.integers(0, 10**30))
def test_a_formatted_amount_never_shows_more_than_there_is(wei: int) -> None:
    shown = format_amount(wei).replace(",", "")
    assert parse_amount(shown) <= wei


@given(st.integers(0, 10**30))
def test_an_exact_amount_is_the_whole_amount(wei: int) -> None:
    assert parse_amount(exact_amount(wei).replace(",", "")) == wei


def test_exact_amounts_are_told_in_open_and_crumbs_in_wei() -> None:
    told = [exact_amount(wei) for wei in (0, 7, GWEI, 3 * OPEN // 2, 20_000 * OPEN + 1)]
    assert told == ["0 OPEN", "7 wei", "0.000000001 OPEN", "1.5 OPEN", "20,000.000000000000000001 OPEN"]


@given(st.integers(1, 40), st.data())
def test_a_merkle_proof_holds_for_its_leaf_and_place_only(count: int, data: st.DataObject) -> None:
    leaves = [merkle_leaf(bytes([i])) for i in range(count)]
    root = merkle_root(leaves)
    index = data.draw(st.integers(0, count - 1))
    proof = merkle_proof(leaves, index)
    assert merkle_verify(root, leaves[index], index, count, proof)
    other = (index + 1) % count
    if other != index:
        assert not merkle_verify(root, leaves[other], index, count, proof)
        assert not merkle_verify(root, leaves[index], other, count, proof)
    assert not merkle_verify(root, leaves[index], index, count, [*proof, bytes(32)])
    assert not merkle_verify(root, leaves[index], count, count, proof)
    if proof:
        assert not merkle_verify(root, leaves[index], index, count, proof[:-1])


def test_addresses_carry_their_checksum() -> None:
    good = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    assert to_checksum(parse_address(good)) == good
    assert parse_address(good.lower()) == parse_address(good)
    for bad in (good.replace("f39F", "f39f"), good[:-1], "f39f", "0x" + "g" * 40, ""):
        with pytest.raises(InvalidAddress):
            parse_address(bad)


@pytest.mark.parametrize("text", ["0x1", "12", "0xzz", "0x 11", "", "0x1 1"])
def test_malformed_hex_is_refused(text: str) -> None:
    with pytest.raises(InvalidHex):
        from_hex(text)


def test_signatures_out_of_range_or_high_are_refused() -> None:
    n = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    for r, s, parity in [(0, 1, 0), (1, 0, 0), (n, 1, 0), (1, n // 2 + 1, 0), (1, 1, 2), (5, 1, 0)]:
        with pytest.raises(InvalidSignature):
            recover_address(bytes(32), r, s, parity)
    for signature in (b"", bytes(65), bytes(64) + b"\x1d", bytes(66)):
        with pytest.raises(InvalidSignature):
            recover_signature(bytes(32), signature)


def test_ed25519_verification_never_raises() -> None:
    seed = b"\x05" * 32
    signature = ed25519_sign(seed, b"m")
    assert ed25519_verify(ed25519_public(seed), b"m", signature)
    for key, message, sign in [(b"", b"m", signature), (bytes(32), b"m", signature),
                               (ed25519_public(seed), b"x", signature), (ed25519_public(seed), b"m", b"")]:  # fmt: skip
        assert not ed25519_verify(key, message, sign)


@given(st.integers(1, 50), st.binary(min_size=16, max_size=16))
def test_drawn_rows_are_distinct_in_range_and_the_same_everywhere(rows: int, salt: bytes) -> None:
    drawn = drawn_rows(1, bytes(20), salt, bytes(32), rows, 2)
    assert drawn == sorted(set(drawn)) == drawn_rows(1, bytes(20), salt, bytes(32), rows, 2)
    assert len(drawn) == min(2, rows)
    assert all(0 <= row < rows for row in drawn)


def test_a_job_and_a_verdict_survive_the_pipe() -> None:
    job = AttributionJob(
        1, 2, "m", "b", "i", "0x", "w", "r", (PartFacts("0x1", "b", 3),), ("0x2",),
        (SettlementFacts(1, 0, 3, 10**20, "0x3"),), (("0x1", 1_000_000),), 0, "e", "0x4", 3,
        powers=(7, 2**60), place=1, lot="77",
    )  # fmt: skip
    assert AttributionJob.from_json(job.to_json()) == job
    verdict = Verdict(1, False, "why", (-5, 7))
    assert Verdict.from_json(verdict.to_json()) == verdict


def test_every_error_has_a_number_of_its_own_and_a_sentence_in_its_place() -> None:
    def leaves(cls: type[OpenLedgerError]) -> list[type[OpenLedgerError]]:
        return [cls] + [leaf for child in cls.__subclasses__() for leaf in leaves(child)]

    own = [cls for cls in leaves(OpenLedgerError) if cls.__module__.startswith("openledger")]
    assert len({cls.code for cls in own}) == len(own)
    assert set(error_table()) == {cls.code for cls in own}


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 5000, "", "nan", "NaN", "[1,]", b"\xff", "[[" * 33 + "]]" * 33]
)
def test_malformed_or_deeply_nested_json_is_refused_before_it_can_hurt(text: str | bytes) -> None:
    with pytest.raises(InvalidJson):
        read_json(text)


def test_brackets_in_strings_are_no_nesting() -> None:
    assert read_json('{"a":"' + "[" * 500 + '\\"{"}') == {"a": "[" * 500 + '"{'}


def test_looking_at_the_nesting_takes_linear_time() -> None:
    for text in ("[" * 65 + '"' + '\\"' * 500_000 + "\\", b'["' + b'\\"' * 700_000, b'"' * 1_000_001):
        with pytest.raises(InvalidJson):
            read_json(text)


def test_deeply_nested_rlp_is_refused() -> None:
    raw = b"\xc0"
    for _ in range(20_000):
        raw = rlp_list(raw)
    with pytest.raises(InvalidTransaction):
        decode_transaction(raw[:131_000])
    with pytest.raises(InvalidTransaction):
        decode_transaction(raw)


def rlp_list(payload: bytes) -> bytes:
    if len(payload) < 56:
        return bytes([0xC0 + len(payload)]) + payload
    size = len(payload).to_bytes((len(payload).bit_length() + 7) // 8, "big")
    return bytes([0xF7 + len(size)]) + size + payload

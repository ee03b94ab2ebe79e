"""Arguments: quantities, blocks, addresses; what is accepted, and the sentence for what is not."""

from __future__ import annotations

from typing import Any

import pytest

from openledger.primitives.errors import OpenLedgerError
from openledger.primitives.types import Log
from openledger.rpc.errors import RpcError
from openledger.rpc.logs import LogQuery, parse_log_query
from openledger.rpc.params import (
    BlockRef,
    parse_block,
    parse_block_number,
    parse_percentiles,
    parse_quantity,
    parse_slot,
)

HASH = "0x" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "value"), [("0x0", 0), ("0x1", 1), ("0xff", 255), ("0XfF", 255), ("0x" + "f" * 64, 2**256 - 1)]
)
def test_quantities_are_read(text: str, value: int) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("1", "without 0x prefix"),
        ("0x", 'hex string "0x"'),
        ("0x01", "leading zero"),
        ("0x00", "leading zero"),
        ("0xg", "invalid hex"),
        ("0x1_0", "invalid hex"),
        ("0x 1", "invalid hex"),
        ("-0x1", "without 0x prefix"),
        ("0x" + "1" * 65, "> 256 bits"),
        (1, "not a number"),
        (None, "not null"),
        (True, "not a truth value"),
        ([], "not a list"),
    ],
)
def test_other_forms_of_a_quantity_are_refused_with_a_sentence(value: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse_quantity(value)


@pytest.mark.parametrize("tag", ["latest", "safe", "finalized", "pending", "earliest"])
def test_block_tags(tag: str) -> None:
    assert parse_block(tag) == BlockRef(tag=tag)


def test_blocks_by_number_hash_and_eip_1898_objects() -> None:
    assert parse_block("0x10") == BlockRef(number=16)
    assert parse_block(HASH) == BlockRef(hash=bytes.fromhex(HASH[2:]))
    assert parse_block({"blockNumber": "0x10"}) == BlockRef(number=16)
    assert parse_block({"blockHash": HASH, "requireCanonical": True}) == BlockRef(hash=bytes.fromhex(HASH[2:]))


@pytest.mark.parametrize(
    "value", ["newest", "0x", "16", 16, "", {}, {"blockNumber": "0x1", "blockHash": HASH}, "0x01", []]
)
def test_other_forms_of_a_block_are_refused(value: Any) -> None:
    with pytest.raises((ValueError, OpenLedgerError, RpcError)):
        parse_block(value)


def test_a_hash_is_no_block_number() -> None:
    with pytest.raises(ValueError, match="tag or a quantity"):
        parse_block_number(HASH)


def test_storage_keys_may_have_leading_zeros_and_odd_digits() -> None:
    assert parse_slot("0x0") == 0
    assert parse_slot("0x" + "0" * 63 + "5") == 5
    assert parse_slot("0xabc") == 0xABC
    assert parse_slot("5") == 5, "geth wants no prefix either"
    with pytest.raises(RpcError, match=r'^storage key too long \(want at most 32 bytes\): "0x1+"$'):
        parse_slot("0x" + "1" * 65)
    with pytest.raises(RpcError, match=r'^invalid hex in storage key: "0xg"$'):
        parse_slot("0xg")
    with pytest.raises(ValueError, match="a storage key is hex text"):
        parse_slot(5)


def test_percentiles_ascend_within_0_and_100() -> None:
    assert parse_percentiles([0, 50.5, 100]) == [0.0, 50.5, 100.0]
    for wrong in ([50, 10], [50, 50], [-1], [101], [1] * 101):
        with pytest.raises(RpcError, match="invalid reward percentile"):
            parse_percentiles(wrong)
    for wrong in ("x", [True]):
        with pytest.raises(ValueError, match="percentile"):
            parse_percentiles(wrong)


# --- log filters --------------------------------------------------------------------------------------------

A, B = bytes([1]) * 20, bytes([2]) * 20
T1, T2, T3 = (bytes([i]) * 32 for i in (1, 2, 3))


def query(**fields: Any) -> LogQuery:
    return parse_log_query(fields)


def hexed(raw: bytes) -> str:
    return "0x" + raw.hex()


def test_topics_match_by_position_with_null_and_alternatives() -> None:
    log = Log(A, (T1, T2))
    assert query().matches(log)
    assert query(address=hexed(A)).matches(log)
    assert query(address=[hexed(B), hexed(A)]).matches(log)
    assert not query(address=hexed(B)).matches(log)
    assert query(topics=[hexed(T1)]).matches(log)
    assert query(topics=[None, hexed(T2)]).matches(log)
    assert query(topics=[[hexed(T3), hexed(T1)], [hexed(T2)]]).matches(log)
    assert query(topics=[[], None]).matches(log)
    assert not query(topics=[hexed(T2)]).matches(log)
    assert not query(topics=[None, None, None]).matches(log), "more places than the log has topics"


@pytest.mark.parametrize(
    "wrong",
    [5, {"topics": "x"}, {"topics": ["0x1"]}, {"address": 5}, {"address": ["0x1"]}, {"topics": [[hexed(T1)] * 1001]},
     {"blockHash": HASH, "fromBlock": "0x1"}, {"fromBlock": HASH}, {"topics": [None] * 5}],
)  # fmt: skip
def test_malformed_filters_are_refused(wrong: Any) -> None:
    with pytest.raises((ValueError, OpenLedgerError, RpcError)):
        parse_log_query(wrong)

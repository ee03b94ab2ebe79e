"""Decoding many transactions at once gives what decoding one by one gives, good ones and refusals alike."""

from __future__ import annotations

import random
from typing import Any

import pytest
import rlp

from openledger.evm.decoding import decode_transactions
from openledger.primitives.errors import InvalidTransaction
from openledger.primitives.hashing import keccak256
from openledger.primitives.keys import sign_digest
from openledger.primitives.transactions import SET_CODE, Transaction, decode_transaction, encode_native

openledger_native = pytest.importorskip("openledger_native", reason="the native engine is not built: make native")

SECRET = b"\x42" * 32


def number(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def legacy(rng: random.Random) -> bytes:
    chain_id = rng.choice([1, 161237, 2**40])
    body: list[Any] = fields(rng)
    r, s, parity = sign_digest(SECRET, keccak256(rlp.encode([*body, number(chain_id), b"", b""])))
    v = rng.choice([chain_id * 2 + 35 + parity] * 8 + [27 + parity, 0])
    return bytes(rlp.encode([*body, number(v), number(r), number(s)]))


def fields(rng: random.Random) -> list[Any]:
    """nonce, price, gas, to, value, data."""
    return [
        number(rng.choice([0, 1, 300, 2**64 - 1])),
        number(rng.choice([0, 10**9, 2**200])),
        number(rng.choice([21_000, 2**40])),
        rng.choice([b"", rng.randbytes(20)]),
        number(rng.choice([0, 1, 10**18])),
        rng.randbytes(rng.choice([0, 1, 4, 56, 300])),
    ]


def typed(rng: random.Random) -> bytes:
    kind = rng.choice([1, 2, 4])
    nonce, price, gas, to, value, data = fields(rng)
    fees = [price] if kind == 1 else [number(rng.randrange(1000)), price]
    access = [[rng.randbytes(20), [rng.randbytes(32)] * rng.randrange(3)] for _ in range(rng.randrange(3))]
    body: list[Any] = [number(161237), nonce, *fees, gas, to, value, data, access]
    if kind == SET_CODE:
        body.append(
            [[b"", rng.randbytes(20), number(rng.randrange(9)), b"\x01", rng.randbytes(32).lstrip(b"\0"), b"\x07"]]
        )
    r, s, parity = sign_digest(SECRET, keccak256(bytes([kind]) + rlp.encode(body)))
    return bytes([kind]) + bytes(rlp.encode([*body, number(parity), number(r), number(s)]))


def damaged(rng: random.Random, raw: bytes) -> bytes:
    at = rng.randrange(len(raw))
    return rng.choice(
        [
            raw[:at],
            raw + b"\0",
            raw[:at] + bytes([rng.randrange(256)]) + raw[at + 1 :],
            bytes([rng.randrange(256)]) + raw[1:],
            b"\xf9\x00" + raw[1:],
            raw[:at] + b"\0" + raw[at:],
        ]
    )


def slow(raw: bytes) -> Transaction | InvalidTransaction:
    try:
        return decode_transaction(raw)
    except InvalidTransaction as refusal:
        return refusal


def test_a_batch_is_decoded_as_one_by_one() -> None:
    rng = random.Random(7)
    raws = [rng.choice([legacy, typed])(rng) for _ in range(600)]
    raws += [damaged(rng, raw) for raw in raws * 4]
    raws += [b"", b"\x50", encode_native(1, 2, 3, 4, 5, "x", b"", b""), b"\xc0", bytes(200_000), b"\x03" * 9]
    together, alone = decode_transactions(raws), [slow(raw) for raw in raws]
    for ours, theirs, raw in zip(together, alone, raws, strict=True):
        if isinstance(theirs, InvalidTransaction):
            assert (type(ours), str(ours)) == (type(theirs), str(theirs)), raw.hex()
        else:
            assert ours == theirs, raw.hex()
    assert sum(not isinstance(tx, InvalidTransaction) for tx in together) > 500


def test_good_transactions_never_need_the_slow_way() -> None:
    rng = random.Random(8)
    raws = [
        raw
        for raw in (rng.choice([legacy, typed])(rng) for _ in range(300))
        if not isinstance(slow(raw), InvalidTransaction)
    ]
    from openledger.evm.decoding import _CLASSES

    assert None not in openledger_native.decode_transactions(raws, _CLASSES)

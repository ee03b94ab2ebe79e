"""Transactions that no node may take: several hundred, made in order from a good one of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgpack
import rlp

from openledger.abci_app.action import build_native
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.primitives.hashing import keccak256
from openledger.primitives.keys import sign_digest

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
GWEI = 10**9
TO = b"\x11" * 20
LEGACY, ACCESS_LIST, DYNAMIC_FEE, SET_CODE = 0, 1, 2, 4
TYPES = (LEGACY, ACCESS_LIST, DYNAMIC_FEE, SET_CODE)
FIELDS = {
    LEGACY: ("nonce", "price", "gas", "to", "value", "data"),
    ACCESS_LIST: ("chain", "nonce", "price", "gas", "to", "value", "data", "access"),
    DYNAMIC_FEE: ("chain", "nonce", "tip", "cap", "gas", "to", "value", "data", "access"),
    SET_CODE: ("chain", "nonce", "tip", "cap", "gas", "to", "value", "data", "access", "auths"),
}
NUMBERS = ("chain", "nonce", "price", "tip", "cap", "gas", "value")


def number(value: int) -> bytes:
    """Shortest big-endian form."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


class Maker:
    """Signs for one account of one chain. ``nonce`` is the one that would be right."""

    def __init__(self, secret: bytes, chain_id: int, nonce: int = 0) -> None:
        self.secret, self.chain_id, self.nonce = secret, chain_id, nonce
        digest = keccak256(b"\x05" + rlp.encode([number(chain_id), TO, number(nonce + 1)]))
        r, s, parity = sign_digest(secret, digest)
        self.auth = [number(chain_id), TO, number(nonce + 1), number(parity), number(r), number(s)]

    def fields(self, kind: int, **changes: Any) -> list[Any]:
        """The unsigned fields of a good transaction, with these changed."""
        good: dict[str, Any] = {
            "chain": self.chain_id, "nonce": self.nonce, "price": 4 * GWEI, "tip": GWEI, "cap": 4 * GWEI,
            "gas": 100_000, "to": TO, "value": 1, "data": b"", "access": [], "auths": [self.auth],
        }  # fmt: skip
        return [number(v) if isinstance(v := (good | changes)[name], int) else v for name in FIELDS[kind]]

    def digest(self, kind: int, fields: list[Any], chain_id: int | None = None) -> bytes:
        """What is signed."""
        chain = number(self.chain_id if chain_id is None else chain_id)
        return keccak256(
            rlp.encode([*fields, chain, b"", b""]) if kind == LEGACY else bytes([kind]) + rlp.encode(fields)
        )

    def seal(self, kind: int, fields: list[Any], chain_id: int | None = None) -> bytes:
        """Signed and encoded."""
        r, s, parity = sign_digest(self.secret, self.digest(kind, fields, chain_id))
        chain = self.chain_id if chain_id is None else chain_id
        return self.encode(kind, fields, chain * 2 + 35 + parity if kind == LEGACY else parity, r, s)

    @staticmethod
    def encode(kind: int, fields: list[Any], v: Any, r: Any, s: Any) -> bytes:
        """With this signature, whatever it is."""
        raw = rlp.encode([*fields, *(number(x) if isinstance(x, int) else x for x in (v, r, s))])
        return raw if kind == LEGACY else bytes([kind]) + raw

    def good(self, kind: int, **changes: Any) -> bytes:
        """A transaction that a node would take."""
        chain = changes.pop("chain", None) if kind == LEGACY else changes.get("chain")
        return self.seal(kind, self.fields(kind, **changes), chain)

    def native(self, **changes: Any) -> bytes:
        """A native transaction that a node would take."""
        values: dict[str, Any] = {
            "chain_id": self.chain_id, "nonce": self.nonce, "max_priority_fee": GWEI, "max_fee": 4 * GWEI,
            "gas": 200_000,
        }  # fmt: skip
        return build_native(self.secret, action=DatanetCreate("a name"), **(values | changes))


def _signatures(make: Maker, kind: int) -> Iterator[tuple[str, bytes]]:
    fields = make.fields(kind)
    r, s, parity = sign_digest(make.secret, make.digest(kind, fields))
    base = make.chain_id * 2 + 35 if kind == LEGACY else 0
    wrong = {
        "r is 0": (base + parity, 0, s), "s is 0": (base + parity, r, 0), "both are 0": (base + parity, 0, 0),
        "r is the order": (base + parity, ORDER, s), "s is the order": (base + parity, r, ORDER),
        "r beyond the order": (base + parity, ORDER + 1, s), "s beyond the order": (base + parity, r, ORDER + 1),
        "high s": (base + (1 - parity), r, ORDER - s), "high s, old parity": (base + parity, r, ORDER - s),
        "r of 33 bytes": (base + parity, b"\1" + bytes(32), s), "s of 33 bytes": (base + parity, r, b"\1" + bytes(32)),
        "r with a leading zero": (base + parity, b"\0" + number(r), s), "r is a list": (base + parity, [], s),
        "s with a leading zero": (base + parity, r, b"\0" + number(s)), "s is a list": (base + parity, r, []),
        "parity with a leading zero": (b"\0" + number(base + parity), r, s), "parity is a list": ([], r, s),
        "other parity": (base + (1 - parity), r, s),
    }  # fmt: skip
    odd = (0, 1, 2, 26, 27, 28, 29, 34, base + 2, base - 2, base + 1000) if kind == LEGACY else (2, 3, 27, 28, 35, 255)
    wrong |= {f"v is {v}": (v, r, s) for v in (*odd, 256, 1 << 64, (1 << 256) - 1)}
    for bit in range(0, 256, 16):
        wrong[f"bit {bit} of r"] = (base + parity, r ^ (1 << bit), s)
        wrong[f"bit {bit} of s"] = (base + parity, r, s ^ (1 << bit))
    for name, (v, x, y) in wrong.items():
        yield name, make.encode(kind, fields, v, x, y)


def _extremes(make: Maker, kind: int) -> Iterator[tuple[str, bytes]]:
    huge = (1 << 64, 1 << 128, (1 << 256) - 1)
    for name in FIELDS[kind]:
        if name in NUMBERS:
            yield f"{name} beyond 256 bits", make.seal(kind, make.fields(kind, **{name: b"\1" + bytes(32)}))
            yield f"{name} with a leading zero", make.seal(kind, make.fields(kind, **{name: b"\0\1"}))
            yield f"{name} is one zero byte", make.seal(kind, make.fields(kind, **{name: b"\0"}))
            yield f"{name} is a list", make.seal(kind, make.fields(kind, **{name: [b"\1"]}))
    for chain in (0, 1, make.chain_id - 1, make.chain_id + 1, *huge[:2]):
        yield f"chain {chain:#x}", make.good(kind, chain=chain)
    for nonce in ((1 << 64) - 1, *huge):
        yield f"nonce {nonce:#x}", make.good(kind, nonce=nonce)
    for gas in (0, 1, 20_999, 30_000_001, 1 << 63, (1 << 64) - 1, *huge):
        yield f"gas {gas:#x}", make.good(kind, gas=gas)
    for value in (10**23, (1 << 256) - 1):
        yield f"value {value:#x}", make.good(kind, value=value)
    prices = ("price",) if kind in (LEGACY, ACCESS_LIST) else ("cap",)
    for name in prices:
        for price in (1 << 128, (1 << 256) - 1):
            yield f"{name} {price:#x}", make.good(kind, **{name: price})
    if kind in (DYNAMIC_FEE, SET_CODE):
        yield "tip above the cap", make.good(kind, tip=4 * GWEI + 1)
        yield "a tip beyond everything", make.good(kind, tip=(1 << 256) - 1)


def _forms(make: Maker, kind: int) -> Iterator[tuple[str, bytes]]:
    for to in (b"\1", b"\1" * 19, b"\1" * 21, b"\1" * 32, [], [TO]):
        yield f"to {to!r}", make.good(kind, to=to)
    yield "data is a list", make.good(kind, data=[b"\1"])
    yield "no fields", rlp.encode([]) if kind == LEGACY else bytes([kind]) + rlp.encode([])
    yield "a string", b"\xb8\x40" + b"\1" * 64 if kind == LEGACY else bytes([kind]) + rlp.encode(b"\1" * 64)
    good = make.good(kind)
    head, body = (b"", good) if kind == LEGACY else (good[:1], good[1:])
    items = rlp.decode(body)
    for count in range(len(items)):
        yield f"{count} fields only", head + rlp.encode(items[:count])
    yield "a field more", head + rlp.encode([*items, b""])
    for tail in (b"\0", b"\x80", b"\xc0", b"\xff", b"\xff" * 32, good):
        yield f"{len(tail)} bytes behind, {tail[:1].hex()}", good + tail
    payload = rlp.decode(body), body[2:] if body[0] == 0xF8 else body[3:]
    size = len(payload[1])
    yield "length in three bytes", head + b"\xfa" + size.to_bytes(3, "big") + payload[1]
    yield "length too long by one", head + b"\xf9" + (size + 1).to_bytes(2, "big") + payload[1]
    yield "length too short by one", head + b"\xf9" + (size - 1).to_bytes(2, "big") + payload[1]
    yield "length of 2^64-1", head + b"\xff" + b"\xff" * 8 + payload[1]
    for depth in (10, 1000, 50_000):
        yield f"lists {depth} deep", head + b"\xc1" * depth + b"\xc0"
    if kind != LEGACY:
        yield from _lists(make, kind)
    yield "type as a string", bytes([0xB8, len(good)]) + good if len(good) < 256 else b"\xb9" + good
    yield "init code too long", make.good(kind, to=b"", data=bytes(49_153), gas=20_000_000)
    yield "too large", make.good(kind, data=bytes(131_073), gas=25_000_000)


def _lists(make: Maker, kind: int) -> Iterator[tuple[str, bytes]]:
    for access in (b"", b"\1", [b"\1"], [[TO]], [[TO, b""]], [[TO[:19], []]], [[TO, [b"\1" * 31]]],
                   [[TO, [b"\1" * 33]]], [[TO, [], []]], [[[], []]], [[TO, [[]]]]):  # fmt: skip
        if access != b"":
            yield f"access list {access!r}", make.good(kind, access=access)
    if kind == SET_CODE:
        auth = make.auth
        for auths in ([], [[]], [auth[:5]], [[*auth, b""]], [b"\1"], [[*auth[:1], b"\1", *auth[2:]]],
                      [[*auth[:2], b"\1" * 9, *auth[3:]]], [[*auth[:3], b"\1" * 2, *auth[4:]]],
                      [[*auth[:4], b"\1" * 33, auth[5]]], [[*auth[:5], b"\0\1"]], b"\1"):  # fmt: skip
            yield f"authorizations {auths!r}", make.good(kind, auths=auths)
        yield "authorizations and no address", make.good(kind, to=b"")


def _cut(make: Maker, kind: int) -> Iterator[tuple[str, bytes]]:
    good = make.good(kind)
    for length in range(0 if kind == LEGACY else 1, len(good), 2 if kind == SET_CODE else 1):
        yield f"{length} of {len(good)} bytes", good[:length]


def _unknown(make: Maker) -> Iterator[tuple[str, bytes]]:
    body = make.good(DYNAMIC_FEE)[1:]
    for kind in (0, 3, 5, 6, 0x0F, 0x10, 0x4F, 0x51, 0x52, 0x53, 0x55, 0x56, 0x7B, 0x7E, 0x7F, 0x80, 0xBF):
        yield f"type {kind:#04x}", bytes([kind]) + body
        yield f"type {kind:#04x} alone", bytes([kind])
    blob = [*make.fields(DYNAMIC_FEE), number(GWEI), [b"\1" + bytes(31)]]
    r, s, parity = sign_digest(make.secret, keccak256(b"\3" + rlp.encode(blob)))
    yield "a blob transaction", b"\3" + rlp.encode([*blob, number(parity), number(r), number(s)])
    yield "nothing at all", b""


def _flipped(raw: bytes, bit: int) -> bytes:
    return bytes(byte ^ (1 << bit % 8 if at == bit // 8 else 0) for at, byte in enumerate(raw))


def _native(make: Maker) -> Iterator[tuple[str, bytes]]:
    good = make.native()
    parts: list[Any] = msgpack.unpackb(good[1:])
    for length in range(1, len(good)):
        yield f"{length} of {len(good)} bytes", good[:length]
    for tail in (b"\0", b"\xc0", b"\xff", good):
        yield f"{len(tail)} bytes behind", good + tail
    changed = {
        "seven fields": parts[:7], "nine fields": [*parts, b""], "no fields": [], "a map": dict(enumerate(parts)),
        "only a number": 5, "kind is bytes": [*parts[:5], b"datanet.create", *parts[6:]],
        "kind unknown": [*parts[:5], "datanet.destroy", *parts[6:]], "kind empty": [*parts[:5], "", *parts[6:]],
        "kind private": [*parts[:5], "__class__", *parts[6:]], "kind endless": [*parts[:5], "x" * 50_000, *parts[6:]],
        "payload is text": [*parts[:6], "text", parts[7]], "payload empty": [*parts[:6], b"", parts[7]],
        "payload of noise": [*parts[:6], b"\xc1" * 40, parts[7]], "payload of nil": [*parts[:6], b"\xc0", parts[7]],
        "payload deep": [*parts[:6], b"\x91" * 5_000 + b"\xc0", parts[7]],
        "payload with a byte more": [*parts[:6], parts[6] + b"\0", parts[7]],
        "signature is text": [*parts[:7], "x" * 65], "signature of 64 bytes": [*parts[:7], parts[7][:64]],
        "signature of 66 bytes": [*parts[:7], parts[7] + b"\0"], "signature empty": [*parts[:7], b""],
        "signature of zeros": [*parts[:7], bytes(65)],
        "high s": [*parts[:7], parts[7][:32] + (ORDER - int.from_bytes(parts[7][32:64], "big")).to_bytes(32, "big")
                   + bytes([55 - parts[7][64]])],
        **{f"v is {v}": [*parts[:7], parts[7][:64] + bytes([v])] for v in (0, 1, 2, 26, 29, 55 - parts[7][64], 255)},
        **{f"bit {bit} of the signature": [*parts[:7], _flipped(parts[7], bit)] for bit in range(0, 512, 32)},
    }  # fmt: skip
    for place, name in enumerate(("chain", "nonce", "tip", "cap", "gas")):
        for odd in (-1, 1.5, None, True, "5", [5], {}, b"", b"\0\5", b"\5", b"\1" * 33, (1 << 64) - 1):
            changed[f"{name} is {odd!r}"] = [*parts[:place], odd, *parts[place + 1 :]]
    for name, value in changed.items():
        yield name, b"\x50" + msgpack.packb(value)
    yield (
        "a number in a longer form",
        good[:1] + b"\x98\xce" + make.chain_id.to_bytes(4, "big") + b"\xcd\0\0" + good[7:],
    )
    yield "an array in a longer form", good[:1] + b"\xdc\0\x08" + good[2:]
    yield "an extension", b"\x50\xd4\1\1"
    yield "a reserved byte", b"\x50\xc1"
    yield "too large", b"\x50" + msgpack.packb([*parts[:6], bytes(140_000), parts[7]])
    for fields in ({"chain_id": 1}, {"chain_id": make.chain_id + 1}, {"nonce": (1 << 64) - 1}, {"gas": 0},
                   {"gas": 21_000}, {"gas": 30_000_001}, {"gas": (1 << 63) - 1},
                   {"max_fee": 1 << 128}, {"max_fee": (1 << 256) - 1},
                   {"max_priority_fee": 5 * GWEI}):  # fmt: skip
        yield f"{fields}", make.native(**fields)


def malformed(make: Maker) -> list[tuple[str, bytes]]:
    """(what is wrong, raw bytes) of every one."""
    found: list[tuple[str, bytes]] = []
    for kind in TYPES:
        for family in (_signatures, _extremes, _forms, _cut):
            found += [(f"type {kind}: {name}", raw) for name, raw in family(make, kind)]
    found += [(f"unknown: {name}", raw) for name, raw in _unknown(make)]
    found += [(f"native: {name}", raw) for name, raw in _native(make)]
    one, other = make.good(LEGACY), make.good(DYNAMIC_FEE)
    found += [
        ("two glued", one + other),
        ("two glued the other way", other + one),
        ("native glued", make.native() + one),
    ]
    return found

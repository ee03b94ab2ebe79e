"""Random programs and random blocks: what the differential tests put before every engine.

A block is a small world (accounts, contracts of random code, delegations, old storage), its environment, and mixed
transactions, good and bad. The seed is the whole description of a block, so a failure is repeated with its number.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import rlp

from openledger.evm.engine import BlockEnv, CallMessage
from openledger.evm.predeploys import PREDEPLOYS
from openledger.evm.statetest import PlainState
from openledger.primitives.hashing import keccak256
from openledger.primitives.keys import SECP256K1_N, address_of_private_key, sign_digest
from openledger.primitives.transactions import ACCESS_LIST, DYNAMIC_FEE, LEGACY, SET_CODE, Authorization, EthTransaction
from openledger.primitives.types import OUTBOX_ADDRESS, AccessTuple, Address

CHAIN_ID = 161237
GWEI = 10**9
MODULE = bytes(18) + b"\x08\x00"
KEYS = [bytes([0x11 * (i + 1)]) * 32 for i in range(4)]
SENDERS = [address_of_private_key(key) for key in KEYS]
CONTRACTS = [bytes([0xC0 + i]) * 20 for i in range(6)]


@dataclass
class World:
    """What one seed describes."""

    state: PlainState
    env: BlockEnv
    txs: list[EthTransaction]
    calls: list[CallMessage] = field(default_factory=list)


# --- random code ------------------------------------------------------------------------------------------------


def push(value: int, width: int = 0) -> bytes:
    width = max(width, (value.bit_length() + 7) // 8)
    return bytes([0x5F + width]) + value.to_bytes(width, "big")


def any_address(rng: random.Random) -> Address:
    return rng.choice([
        *CONTRACTS, *SENDERS, MODULE, OUTBOX_ADDRESS, bytes(19) + bytes([rng.randrange(1, 19)]), rng.randbytes(20),
    ])  # fmt: skip


def any_word(rng: random.Random) -> int:
    return rng.choice([
        0, 1, 2, 31, 32, 33, 64, rng.randrange(256), rng.randrange(1 << 16), rng.getrandbits(64), (1 << 255),
        (1 << 256) - 1, rng.getrandbits(256), int.from_bytes(any_address(rng), "big"),
    ])  # fmt: skip


def small(rng: random.Random) -> bytes:
    return push(rng.choice([0, 0, 1, 4, 31, 32, 64, 100, rng.randrange(1024)]))


def snippet(rng: random.Random, depth: int) -> bytes:
    """A few opcodes that usually find on the stack what they need."""
    kind = rng.randrange(17)
    if kind == 0:
        arity, op = rng.choice([*((2, o) for o in (*range(1, 8), 0x0A, 0x0B, *range(0x10, 0x15), *range(0x16, 0x1E))),
                                (3, 8), (3, 9), (1, 0x15), (1, 0x19)])  # fmt: skip
        return b"".join(push(any_word(rng)) for _ in range(arity)) + bytes([op])
    if kind == 1:
        return push(any_word(rng)) + small(rng) + bytes([rng.choice([0x52, 0x53])])
    if kind == 2:
        return push(any_word(rng)) + push(rng.randrange(4)) + bytes([rng.choice([0x55, 0x55, 0x5D])])
    if kind == 3:
        return push(rng.randrange(4)) + bytes([rng.choice([0x54, 0x5C])])
    if kind == 4:
        return bytes([rng.choice([*range(0x30, 0x49), 0x4A, 0x58, 0x59, 0x5A, 0x3D])])
    if kind == 5:
        return push(int.from_bytes(any_address(rng), "big"), 20) + bytes([rng.choice([0x31, 0x3B, 0x3F])])
    if kind == 6:
        return small(rng) * 3 + bytes([rng.choice([0x37, 0x39, 0x3E, 0x5E])])
    if kind == 7:
        topics = rng.randrange(5)
        return b"".join(push(any_word(rng)) for _ in range(topics)) + small(rng) + small(rng) + bytes([0xA0 + topics])
    if kind in (8, 9, 10):
        return call(rng)
    if kind == 11:
        return creation(rng, depth)
    if kind == 12:
        return small(rng) + small(rng) + b"\x20"
    if kind == 13:
        return push(rng.randrange(990, 1010)) + b"\x40"
    if kind == 14:
        return bytes([rng.choice([*range(0x80, 0xA0), 0x50, 0x5B, 0x49])])
    if kind == 15:
        return b"\x60\x04\x58\x01\x56\xfe\x5b" if rng.random() < 0.8 else push(rng.randrange(64)) + b"\x56"
    return rng.randbytes(rng.randrange(1, 4)) if rng.random() < 0.2 else push(any_word(rng))


def call(rng: random.Random) -> bytes:
    op = rng.choice([0xF1, 0xF1, 0xF2, 0xF4, 0xFA])
    value = push(rng.choice([0, 0, 1, 1000])) if op in (0xF1, 0xF2) else b""
    gas = rng.choice([b"\x5a", b"\x5a", push(rng.randrange(60_000)), push(2_300)])
    target = push(int.from_bytes(any_address(rng), "big"), 20)
    return small(rng) * 2 + small(rng) * 2 + value + target + gas + bytes([op])


def creation(rng: random.Random, depth: int) -> bytes:
    """CREATE or CREATE2 of random initcode, which is written to memory word by word."""
    inner = program(rng, depth + 1) if depth < 2 else rng.randbytes(8)
    if rng.random() < 0.5:
        runtime = rng.choice([program(rng, depth + 1)[:200] if depth < 2 else b"\x00", b"\xef\x00", b""])
        inner = b"\x61" + len(runtime).to_bytes(2, "big") + b"\x80\x60\x0a\x5f\x39\x5f\xf3" + runtime
    inner = inner[:256]
    code = b"".join(
        push(int.from_bytes(inner[at : at + 32].ljust(32, b"\0"), "big")) + push(at) + b"\x52"
        for at in range(0, len(inner), 32)
    )
    salt = rng.random() < 0.5
    value = push(rng.choice([0, 0, 7]))
    return (
        code
        + (push(rng.randrange(2)) if salt else b"")
        + push(len(inner))
        + b"\x5f"
        + value
        + (b"\xf5" if salt else b"\xf0")
    )


def program(rng: random.Random, depth: int = 0) -> bytes:
    body = b"".join(snippet(rng, depth) for _ in range(rng.randrange(1, 14)))
    ending = rng.choice([
        b"\x00", b"\x60\x20\x5f\xf3", small(rng) + small(rng) + b"\xf3", small(rng) + b"\x5f\xfd", b"\xfe", b"\x0c",
        push(int.from_bytes(any_address(rng), "big"), 20) + b"\xff", b"\x30\xff", b"\x5b\x5f\x56",
        b"\x62\x61\x62\x63\x5f\x52\x60\x20\x5f\xfd", rng.randbytes(3),
    ])  # fmt: skip
    return body + ending


# --- random blocks ----------------------------------------------------------------------------------------------


def build(seed: int, transactions: int) -> World:
    """The world of a seed."""
    rng = random.Random(seed)
    state = PlainState()
    for predeploy in PREDEPLOYS:
        state.put(predeploy.address, predeploy.nonce, 0, predeploy.code)
    for sender in SENDERS:
        state.put(
            sender, rng.choice([0, 1, 2**64 - 2]) if rng.random() < 0.1 else 0, rng.choice([10**21, 10**21, 10**15])
        )
    for address in CONTRACTS:
        if rng.random() < 0.85:
            state.put(address, rng.choice([0, 1]), rng.choice([0, 5, 10**18]), program(rng))
            state.slots[address] = {slot: rng.choice([0, 1, any_word(rng)]) for slot in range(3)}
    if rng.random() < 0.3:
        state.put(SENDERS[3], 0, 10**21, b"\xef\x01\x00" + any_address(rng))
    if rng.random() < 0.1:
        state.put(SENDERS[2], 0, 10**21, program(rng))
    env = BlockEnv(
        chain_id=CHAIN_ID, number=1000, timestamp=1_700_000_000, coinbase=rng.choice([b"\xcc" * 20, any_address(rng)]),
        gas_limit=30_000_000, base_fee=rng.choice([0, 7, GWEI]), prevrandao=rng.randbytes(32),
        block_hash=lambda number: keccak256(number.to_bytes(8, "big")) if number % 7 else None,
    )  # fmt: skip
    nonces = {sender: account.nonce for sender in SENDERS if (account := state.account(sender))}
    txs = [transaction(rng, nonces, env) for _ in range(transactions)]
    return World(state, env, txs, [message(rng) for _ in range(2)])


def payload(rng: random.Random) -> bytes:
    return rng.choice([b"", b"", rng.randbytes(rng.randrange(1, 70)), bytes(rng.randrange(40)), rng.randbytes(4)])


def access_list(rng: random.Random) -> tuple[AccessTuple, ...]:
    return tuple(
        AccessTuple(any_address(rng), tuple(rng.randrange(4).to_bytes(32, "big") for _ in range(rng.randrange(3))))
        for _ in range(rng.randrange(3))
    )


def authorization(rng: random.Random, nonces: dict[Address, int]) -> Authorization:
    index = rng.randrange(4)
    chain_id = rng.choice([CHAIN_ID, CHAIN_ID, 0, 5])
    nonce = nonces[SENDERS[index]] + rng.choice([0, 0, 0, 1])
    target = rng.choice([any_address(rng), bytes(20)])
    r, s, parity = sign_digest(KEYS[index], keccak256(b"\x05" + rlp.encode([chain_id, target, nonce])))
    if rng.random() < 0.15:
        r, s, parity = rng.choice([(r, SECP256K1_N - s, 1 - parity), (0, s, parity), (r, s, 27), (s, r, parity)])
    return Authorization(chain_id, target, nonce, parity, r, s)


def transaction(rng: random.Random, nonces: dict[Address, int], env: BlockEnv) -> EthTransaction:
    sender = rng.choice(SENDERS)
    kind = rng.choice([LEGACY, ACCESS_LIST, DYNAMIC_FEE, DYNAMIC_FEE, SET_CODE])
    to = rng.choice([*CONTRACTS, *CONTRACTS, *CONTRACTS, any_address(rng), None if kind != SET_CODE else MODULE])
    authorizations = tuple(authorization(rng, nonces) for _ in range(rng.randrange(1, 3))) if kind == SET_CODE else ()
    fee = rng.choice([env.base_fee, env.base_fee + 3, 2 * GWEI])
    facts: dict[str, Any] = {
        "type": kind, "chain_id": CHAIN_ID, "nonce": nonces[sender], "max_fee": fee, "gas_price": fee,
        "max_priority_fee": fee if kind < DYNAMIC_FEE else rng.choice([0, min(2, fee), fee]),
        "gas": rng.choice([60_000, 120_000, 300_000, 500_000]), "to": to, "value": rng.choice([0, 0, 1, 10**6]),
        "data": program(rng) if to is None else payload(rng), "access_list": access_list(rng) if kind else (),
        "authorizations": authorizations, "y_parity": 0, "r": 1, "s": 1, "raw": b"", "hash": bytes(32),
        "sender": sender,
    }  # fmt: skip
    spoiled = rng.random() < 0.15
    if spoiled:
        facts |= rng.choice([
            {"nonce": facts["nonce"] + 1}, {"nonce": max(0, facts["nonce"] - 1)}, {"gas": 20_000}, {"gas": 21_000},
            {"value": 10**30}, {"chain_id": 1}, {"s": SECP256K1_N // 2 + 1}, {"max_fee": max(0, env.base_fee - 1)},
            {"max_priority_fee": fee + 1}, {"gas": 40_000_000}, {"data": b"\x01" * 50_000, "to": None}, {"type": 3},
            {"max_fee": 1 << 250}, {"nonce": 2**64 - 1}, {"authorizations": (), "type": SET_CODE},
        ])  # fmt: skip
    elif to is not None or facts["gas"] >= 60_000:
        nonces[sender] += 1
    return EthTransaction(**facts)


def message(rng: random.Random) -> CallMessage:
    to = rng.choice([*CONTRACTS, any_address(rng), None])
    return CallMessage(
        rng.choice([*SENDERS, *CONTRACTS]), to, rng.choice([0, 0, 1, 10**30]),
        program(rng) if to is None else payload(rng), rng.choice([20_000, 100_000, 500_000]),
        rng.choice([0, 0, 2 * GWEI, 1]), access_list(rng),
    )  # fmt: skip

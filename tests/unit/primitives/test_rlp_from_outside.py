"""RLP of strangers: one form, bounded nesting, the same verdicts as the reference decoder; and what is written here is
what the reference writes."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
import rlp
from rlp.exceptions import RLPException

from openledger.primitives.errors import InvalidRlp
from openledger.primitives.rlpio import MAX_DEPTH, read_rlp, write_rlp

NESTED_TRANSACTION = """
from openledger.abci_app.decoder import decode_signed
from openledger.evm.pyevm import PyEvmEngine
from openledger.primitives.errors import InvalidTransaction

def listed(payload):
    size = len(payload).to_bytes((len(payload).bit_length() + 7) // 8, "big")
    return (bytes([0xC0 + len(payload)]) if len(payload) < 56 else bytes([0xF7 + len(size)]) + size) + payload

PyEvmEngine()
nested = b"\\xc0"
for _ in range(30_000):
    nested = listed(nested)
head = bytes.fromhex("0180010182520880" + "8080")
typed = b"\\x02" + listed(head + nested + bytes.fromhex("800101"))
legacy = listed(bytes.fromhex("80018252088080") + nested)
for raw in (typed, legacy):
    try:
        decode_signed(raw)
    except InvalidTransaction as err:
        print(type(err).__name__)
"""


def test_a_deeply_nested_transaction_is_refused_and_does_not_end_the_process() -> None:
    """Run apart, with the recursion limit that py-evm sets: an overflow of the C stack would take the tests along."""
    done = subprocess.run([sys.executable, "-c", NESTED_TRANSACTION], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.split()) == (0, ["InvalidRlp", "InvalidRlp"]), done.stderr


def test_lists_nest_up_to_the_limit() -> None:
    deep = b"\xc0"
    for _ in range(MAX_DEPTH - 1):
        deep = rlp.encode([rlp.decode(deep)])
    assert read_rlp(deep) == _plain(rlp.decode(deep))
    with pytest.raises(InvalidRlp):
        read_rlp(rlp.encode([rlp.decode(deep)]))


def test_the_reference_decoder_says_the_same_of_random_bytes() -> None:
    dice = random.Random(7)
    accepted = 0
    for _ in range(20_000):
        raw = bytearray(rlp.encode(_random_item(dice, 4)))
        for _ in range(dice.choice((0, 0, 1, 2))):
            where = dice.randrange(len(raw) + 1)
            if dice.random() < 0.5:
                raw[where : where + 1] = dice.randbytes(dice.randrange(3))
            else:
                raw[where:where] = bytes(
                    [dice.choice((0x00, 0x7F, 0x80, 0x81, 0xB7, 0xB8, 0xBF, 0xC0, 0xF7, 0xF8, 0xFF))]
                )
        try:
            wanted = _plain(rlp.decode(bytes(raw), strict=True))
        except RLPException:
            with pytest.raises(InvalidRlp):
                read_rlp(bytes(raw))
            continue
        assert read_rlp(bytes(raw)) == wanted
        accepted += 1
    assert accepted > 5_000


def _random_item(dice: random.Random, depth: int) -> object:
    if depth == 0 or dice.random() < 0.5:
        return dice.randbytes(dice.choice((0, 1, 1, 2, 20, 54, 55, 56, 57, 255, 256, 300)))
    return [_random_item(dice, depth - 1) for _ in range(dice.randrange(5))]


def _plain(item: object) -> object:
    return item if isinstance(item, bytes) else [_plain(part) for part in item]  # type: ignore[attr-defined]


def random_item(rng: random.Random, depth: int) -> object:
    kind = rng.randrange(3 if depth else 2)
    if kind == 0:
        return rng.choice((0, 1, 127, 128, 255, 256, rng.getrandbits(rng.randrange(1, 300))))
    if kind == 1:
        size = rng.choice((0, 1, 1, 2, 32, 54, 55, 56, 57, 255, 256, 70_000 if depth == 3 else 9))
        return rng.choice((rng.randbytes(size), bytes(size)))
    items = [random_item(rng, depth - 1) for _ in range(rng.choice((0, 1, 3, 20)))]
    return tuple(items) if rng.random() < 0.5 else items


@pytest.mark.parametrize("seed", range(150))
def test_what_is_written_is_what_the_reference_writes(seed: int) -> None:
    item = random_item(random.Random(seed), 3)
    assert write_rlp(item) == rlp.encode(item)  # type: ignore[arg-type]


def test_a_negative_number_has_no_form() -> None:
    with pytest.raises(OverflowError):
        write_rlp(-1)

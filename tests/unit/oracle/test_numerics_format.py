"""Counter-based random numbers byte for byte as docs/reference/formats.md has them, and shares by largest remainder."""

from __future__ import annotations

import random
import re
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")

from openledger.attribution_oracle import claims, tensors
from openledger.primitives.attribution import SCORE_UNIT

pytestmark = pytest.mark.torch
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "formats.md"
WORD = 2**64


def philox(counter: int, k0: int, k1: int) -> list[int]:
    """Four outputs for one value of the counter, by the paper alone."""
    c0, c1, c2, c3 = (counter >> 64 * i & WORD - 1 for i in range(4))
    for _ in range(10):
        low, high = 0xD2E7470EE14C6C93 * c0, 0xCA5A826395121157 * c2
        c0, c1, c2, c3 = high // WORD ^ c1 ^ k0, high % WORD, low // WORD ^ c3 ^ k1, low % WORD
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) % WORD, (k1 + 0xBB67AE8584CAA73B) % WORD
    return [c0, c1, c2, c3]


def stream(seed: int, label: str, count: int) -> list[int]:
    k1 = int.from_bytes(sha256(label.encode()).digest()[:8], "big")
    found: list[int] = []
    while len(found) < count:
        found += philox(1 + len(found) // 4, seed % WORD, k1)
    return found[:count]


def test_our_reading_of_the_paper_gives_its_known_answers() -> None:
    """Random123's kat_vectors, philox4x64 with ten rounds."""
    assert philox(0, 0, 0) == [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    ones = philox(2**256 - 1, WORD - 1, WORD - 1)
    assert ones == [0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0]


def test_the_vectors_of_the_page_are_those_of_the_paper_and_of_the_program() -> None:
    rows = re.findall(r"^\| (-?\d+) \| `([^`]+)` \| `([0-9a-f ]+)` \|$", PAGE.read_text("utf-8"), re.M)
    assert len(rows) >= 4
    for seed, label, outputs in rows:
        wanted = [int(word, 16) for word in outputs.split()]
        assert len(wanted) == 5  # the second value of the counter is seen
        assert stream(int(seed), label, 5) == wanted
        assert [int(x) for x in tensors._raw(int(seed), label, 5)] == wanted


@given(st.integers(-(2**70), 2**70), st.text(max_size=20).filter(lambda t: t.isprintable()), st.integers(0, 70))
def test_what_is_drawn_follows_from_the_stream(seed: int, label: str, count: int) -> None:
    raw = stream(seed, label, count)
    assert tensors.uniform(seed, label, count).tolist() == [(x >> 40) / 2**23 - 1 for x in raw]
    assert tensors.order(seed, label, count) == sorted(range(count), key=lambda i: raw[i])
    bits = [1.0 if raw[i // 64] >> i % 64 & 1 else -1.0 for i in range(count)]
    assert tensors.signs(seed, label, count).tolist() == bits


@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(-SCORE_UNIT, SCORE_UNIT)), min_size=1, max_size=40),
    st.randoms(use_true_random=False),
)
def test_shares_are_the_largest_remainders_of_what_rows_earned(
    rows: list[tuple[int, int]], chance: random.Random
) -> None:
    """Exactly a million in all; nobody is more than a part away from the exact share; who gets the parts that are left
    has the largest remainders, ties by address and the unattributed last; the order of the rows says nothing."""
    people = [bytes([n]) * 20 for n, _ in rows]
    shares, rest = claims.shares_from_scores([s for _, s in rows], people)
    given_, parts = dict(shares), sorted(set(people))
    assert sum(given_.values()) + rest == 1_000_000
    assert [who for who, _ in shares] == sorted(given_)
    assert all(given_.values())
    earned = [sum(max(s, 0) for n, s in rows if bytes([n]) * 20 == who) for who in parts]
    whole = max(SCORE_UNIT, sum(earned))
    earned.append(whole - sum(earned))
    got = [*(given_.get(who, 0) for who in parts), rest]
    above = [g - e * 1_000_000 // whole for g, e in zip(got, earned, strict=True)]
    assert set(above) <= {0, 1}
    ranked = sorted(range(len(got)), key=lambda i: (-(earned[i] * 1_000_000 % whole), i))
    assert [i for i in ranked if above[i]] == ranked[: sum(above)]
    shuffled = list(range(len(rows)))
    chance.shuffle(shuffled)
    again = claims.shares_from_scores([rows[i][1] for i in shuffled], [people[i] for i in shuffled])
    assert again == (shares, rest)

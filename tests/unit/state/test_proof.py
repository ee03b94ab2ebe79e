"""What the nodes of a Merkle proof prove: the value, its absence, or nothing at all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openledger.primitives.blocks import EMPTY_TRIE_ROOT
from openledger.primitives.errors import ProofInvalid
from openledger.state.proof import proved
from openledger.state.trie import prove, update

LONG, SHORT = (st.binary(min_size=size, max_size=size) for size in (32, 2))
VALUES = st.binary(min_size=1, max_size=40)


def tries(least: int) -> st.SearchStrategy[dict[bytes, bytes]]:
    """Keys of one length, as hashes are."""
    return st.dictionaries(LONG, VALUES, min_size=least, max_size=12) | st.dictionaries(
        SHORT, VALUES, min_size=least, max_size=40
    )


def made(items: dict[bytes, bytes]) -> tuple[bytes, dict[bytes, bytes]]:
    """Root and nodes by path."""
    built = update(lambda path: None, items.items())
    return built.root, {path: node for path, node in built.nodes.items() if node is not None}


@given(items=tries(0), other=LONG | SHORT)
@settings(max_examples=40, deadline=None)
def test_a_proof_gives_the_value_or_shows_that_there_is_none(items: dict[bytes, bytes], other: bytes) -> None:
    root, nodes = made(items)
    for key in [*items, other]:
        if all(len(key) == len(known) for known in items):
            assert proved(root, key, prove(nodes.get, key)) == items.get(key)


@given(items=tries(4), at=st.integers(0, 10**6), bit=st.integers(0, 7))
@settings(max_examples=30, deadline=None)
def test_a_proof_with_any_bit_changed_proves_nothing(items: dict[bytes, bytes], at: int, bit: int) -> None:
    root, nodes = made(items)
    key = min(items)
    proof = prove(nodes.get, key)
    number, total = 0, at % sum(map(len, proof))
    while total >= len(proof[number]):
        total -= len(proof[number])
        number += 1
    spoilt = bytearray(proof[number])
    spoilt[total] ^= 1 << bit
    with pytest.raises(ProofInvalid):
        proved(root, key, [*proof[:number], bytes(spoilt), *proof[number + 1 :]])
    with pytest.raises(ProofInvalid, match="lead up to the root"):
        proved(root, key, proof[:-1])


def test_no_nodes_prove_an_empty_trie_only() -> None:
    assert proved(EMPTY_TRIE_ROOT, bytes(32), []) is None
    with pytest.raises(ProofInvalid):
        proved(bytes(32), bytes(32), [])

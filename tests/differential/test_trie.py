"""The path-keyed trie gives the roots of py-trie's HexaryTrie, whatever the order and size of batches."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trie import HexaryTrie

from openledger.primitives.hashing import keccak256
from openledger.state.trie import ordered_trie_root, prove, trie_root, update

# keys that collide in long prefixes, of one length (as secure tries have) or of mixed lengths (official trie tests)
FIXED = st.binary(min_size=3, max_size=3).map(lambda b: bytes(x & 0x11 for x in b) + b[:1])
MIXED = st.binary(min_size=0, max_size=4).map(lambda b: bytes(x & 0x13 for x in b))
VALUE = st.one_of(st.just(b""), st.binary(min_size=1, max_size=3), st.binary(min_size=30, max_size=70))


def run(batches):
    """Apply batches to both tries; after each: equal roots, and stored nodes exactly those of a fresh build."""
    nodes, reference, model = {}, HexaryTrie({}, prune=False), {}
    for batch in batches:
        result = update(nodes.get, batch)
        for path, blob in result.nodes.items():
            assert result.before[path] == nodes.get(path)
            if blob is None:
                del nodes[path]
            else:
                nodes[path] = blob
        for key, value in batch:
            reference[key] = value
            model.pop(key, None)
            if value:
                model[key] = value
        assert result.root == reference.root_hash
        fresh = update({}.get, model.items())
        assert fresh.root == result.root
        assert fresh.nodes == nodes
    return nodes, reference, model


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(st.tuples(FIXED, VALUE), max_size=12), max_size=6))
def test_batches_over_keys_of_one_length_match_hexary_trie(batches):
    run(batches)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(st.tuples(MIXED, VALUE), max_size=12), max_size=6))
def test_batches_over_keys_of_mixed_length_match_hexary_trie(batches):
    run(batches)


@pytest.mark.parametrize("seed", range(6))
def test_random_secure_programs_match_with_proofs(seed):
    rng = random.Random(seed)
    keys = [keccak256(bytes([i])) for i in range(120)]
    batches = []
    for _ in range(12):
        size = rng.choice((1, 3, 40))
        gone = rng.random() * 0.7
        batches.append(
            [
                (rng.choice(keys), b"" if rng.random() < gone else rng.randbytes(rng.choice((1, 33, 80))))
                for _ in range(size)
            ]
        )
    nodes, reference, model = run(batches)
    for key in keys[:40]:
        proof = prove(nodes.get, key)
        if not nodes:
            assert proof == []
            continue
        assert [keccak256(proof[0])] == [reference.root_hash]
        assert HexaryTrie.get_from_proof(
            reference.root_hash, key, [__import__("rlp").decode(n) for n in proof]
        ) == model.get(key, b"")


def test_deleting_everything_leaves_no_node():
    keys = [keccak256(bytes([i])) for i in range(60)]
    run([[(k, b"v" * 40) for k in keys], [(k, b"") for k in keys[:59]], [(keys[59], b"")]])


@pytest.mark.parametrize("count", [0, 1, 2, 127, 128, 129, 300])
def test_ordered_root_matches(count):
    import rlp

    values = [bytes([i % 251 + 1]) * (i % 90 + 1) for i in range(count)]
    reference = HexaryTrie({})
    for i, value in enumerate(values):
        reference[rlp.encode(i)] = value
    assert ordered_trie_root(values) == reference.root_hash
    assert trie_root([]) == HexaryTrie({}).root_hash

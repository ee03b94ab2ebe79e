"""RLP lists of byte strings: the same as the reference library's, and nothing but the one form."""

from __future__ import annotations

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st

from openledger.primitives.errors import InvalidRlp
from openledger.primitives.rlpio import read_flat, read_rlp, write_rlp

ITEMS = st.lists(st.one_of(st.binary(max_size=70), st.integers(0, 1 << 256), st.just(b"x" * 300)), max_size=25)


@given(ITEMS)
def test_a_flat_list_is_written_as_the_reference_writes_it_and_read_back(items: list[bytes | int]) -> None:
    raw = write_rlp(items)
    assert raw == rlp.encode(items)
    assert read_flat(raw) == rlp.decode(raw)


@given(st.one_of(st.binary(max_size=80), ITEMS.map(write_rlp).map(lambda raw: raw[:-1] + b"\1")))
def test_what_is_read_flat_is_what_is_read_in_general(raw: bytes) -> None:
    try:
        found = read_rlp(raw)
    except InvalidRlp:
        found = None
    if isinstance(found, list) and all(isinstance(item, bytes) for item in found):
        assert read_flat(raw) == found
    else:
        with pytest.raises(InvalidRlp):
            read_flat(raw)

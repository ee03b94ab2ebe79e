"""JSON of strangers never ends the process, whatever the recursion limit is."""

from __future__ import annotations

import sys
import time

import pytest

from openledger.primitives import safe_json
from openledger.primitives.errors import InvalidJson


@pytest.mark.parametrize(
    "text", ["[" * 1_000_000, '{"a":' * 300_000, "[" * 101 + "]" * 101, '["' + "\\" * 7 + '",' * 9 + "[" * 200]
)
def test_deep_nesting_is_refused_under_a_high_recursion_limit(text: str) -> None:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        with pytest.raises(InvalidJson):
            safe_json.loads(text)
        with pytest.raises(InvalidJson):
            safe_json.loads(text.encode())
    finally:
        sys.setrecursionlimit(before)


def test_brackets_in_strings_do_not_count_and_wide_documents_pass() -> None:
    assert safe_json.loads('["' + "[{" * 500 + '\\"["]') == ["[{" * 500 + '"[']
    assert len(safe_json.loads("[" + ",".join(["[]"] * 5000) + "]")) == 5000
    assert safe_json.loads("[" * 100 + "]" * 100) is not None


@pytest.mark.parametrize("raw", [b"", b"\xff", b"{", b"nul", "\ud800"])
def test_what_is_no_json_is_refused(raw: bytes | str) -> None:
    with pytest.raises(InvalidJson):
        safe_json.loads(raw)


def test_an_unfinished_string_is_read_once() -> None:
    began = time.monotonic()
    with pytest.raises(InvalidJson):
        safe_json.loads("[" * 101 + '"\\"' * 1 + '\\"' * 500_000 + "\\")
    assert time.monotonic() - began < 2.0

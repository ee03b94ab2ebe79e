"""What is found in rows before a fee is paid for them."""

from __future__ import annotations

import pytest

from openledger.node.quality import inspect, personal

SPEECH = "the public debt of the country has been paid out of the revenue of the year with some money left over"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("write to jane.doe+news@example.co.uk today", "e-mail"),
        ("call +44 20 7946 0958 after noon", "telephone"),
        ("call (202) 555-0143 after noon", "telephone"),
        ("his number is 219-09-9999 since birth", "social security"),
        ("paid with 4111 1111 1111 1111 in May", "payment card"),
        ("send it to DE89 3704 0044 0532 0130 00 soon", "bank account"),
    ],
)
def test_personal_data_are_seen(text: str, what: str) -> None:
    assert any(what in found for found in personal(text))


@pytest.mark.parametrize(
    "text",
    ["in 1863-1864 some 1,000,000 men", "version 3.14.159 of 2024-05-17", "4111 1111 1111 1112", "a@b", "1-16-148410-0",
     "DE88370400440532013000", "hash 0x5f3759df5f3759df5f3759df"],
)  # fmt: skip
def test_numbers_of_other_kinds_are_not(text: str) -> None:
    assert personal(text) == []


def test_what_was_committed_earlier_is_named_with_its_part() -> None:
    changed = SPEECH.replace("revenue", "income").upper()
    found = inspect([changed, "nothing in this sentence was ever committed before by anybody"], [("row 7", SPEECH)])
    assert [f.row for f in found] == [0]
    assert "row 7" in found[0].reason
    assert "100 %" in found[0].reason
    assert not found[0].refused


def test_likeness_inside_the_file_and_repetition_are_seen() -> None:
    found = inspect([SPEECH, SPEECH + " again", "ha ha ha ha ha ha ha ha ha ha"])
    assert any(f.row == 1 and "row 0 here" in f.reason for f in found)
    assert any(f.row == 2 and "again and again" in f.reason for f in found)

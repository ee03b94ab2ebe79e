"""A no names its row or share before the vote closes: then everybody looks at it, and nobody is swayed by a name."""

from __future__ import annotations

from typing import Any

import pytest
from harness import ACCOUNTS, Harness

from openledger.abci_app.modules.attribution.accusations import MAX_NAMED_ROWS, named_rows
from openledger.abci_app.modules.attribution.messages import (
    Accusation,
    Commitment,
    Message,
    decode_extension,
    encode_extension,
)
from openledger.abci_app.modules.attribution.records import ACCUSED, ELECTORATES, Accused, Electorate, Member
from openledger.primitives.attribution import EVERY_SEGMENT, NAMED_REST, NAMED_ROW, NAMED_SHARE
from openledger.primitives.errors import MalformedAction
from openledger.primitives.types import ZERO_ADDRESS, Address, to_checksum
from openledger.state.overlay import Overlay
from openledger.state.ports import StateReader

SHARES = {1: 400_000, 2: 300_000, 3: 300_000}
ROW_7 = (NAMED_ROW, 7, ZERO_ADDRESS)


def opened(chain: Harness) -> int:
    chain.publish()
    epoch = chain.settle()
    chain.close_epoch()
    return chain.claim(epoch, SHARES)


def said(chain: Harness, number: int, field: str) -> list[object]:
    found = {v["validator"]: v[field] for v in chain.query("get_verdicts", number)}
    return [found["0x" + address.hex()] for address in chain.addresses]


def until(chain: Harness, number: int, status: str, look: int = 0) -> None:
    for _ in range(20):
        claim = chain.query("get_claim", number)
        if (claim["status"], claim["look"]) == (status, look):
            return
        chain.block()
    raise AssertionError(chain.query("get_claim", number))


@pytest.mark.parametrize("names", [True, False])
def test_a_row_that_one_small_validator_has_drawn_is_looked_at_by_all_and_the_claim_refused(names: bool) -> None:
    """Row 7 is wrong; of four validators one with a tenth of the power has drawn it."""
    chain = Harness(powers=(10, 30, 30, 30))
    finder = chain.oracles[0]
    finder.mode, finder.accuses = "no", ROW_7 if names else None
    for oracle in chain.oracles[1:]:
        oracle.wrong = {7}
    number = opened(chain)
    assert chain.run_claim(number) == ("refused" if names else "accepted")
    assert said(chain, number, "verdict") == (["no"] * 4 if names else ["no", "yes", "yes", "yes"])
    assert said(chain, number, "named") == [{"row": 7} if names else None, None, None, None]
    assert chain.query("get_claim", number)["look"] == names
    assert chain.query("get_claim", number)["attempt"] == 0


@pytest.mark.parametrize(
    ("accusation", "shown"),
    [
        (ROW_7, {"row": 7}),
        ((NAMED_SHARE, 0, ACCOUNTS[2][0]), {"share": to_checksum(ACCOUNTS[2][0])}),
        ((NAMED_REST, 0, ZERO_ADDRESS), {"share": "unattributed"}),
    ],
)
def test_a_wrong_accusation_costs_one_more_look_and_sways_nobody(
    accusation: tuple[int, int, Address], shown: dict[str, object]
) -> None:
    chain = Harness(powers=(10, 10, 10, 10))
    chain.oracles[0].mode, chain.oracles[0].accuses = "no", accusation
    number = opened(chain)
    begin = chain.app.head().number
    assert chain.run_claim(number) == "accepted"
    assert said(chain, number, "verdict") == ["no", "yes", "yes", "yes"]
    assert said(chain, number, "named") == [shown, None, None, None]
    taken = chain.app.head().number - begin
    chain.oracles[0].accuses = None
    epoch = chain.settle()
    chain.close_epoch()
    following = chain.claim(epoch, SHARES)
    begin = chain.app.head().number
    assert chain.run_claim(following) == "accepted"
    assert taken - (chain.app.head().number - begin) == 2


def test_in_every_attempt_there_is_one_second_look_however_many_accuse() -> None:
    """All four name a row each; then nothing new is named, and the vote closes."""
    chain = Harness(powers=(10, 10, 10, 10))
    for row, oracle in enumerate(chain.oracles):
        oracle.accuses = (NAMED_ROW, row, ZERO_ADDRESS)
    number = opened(chain)
    assert chain.run_claim(number) == "accepted"
    assert named_rows(chain.state, number) == ((0, 0), (1, 0), (2, 0), (3, 0))


def test_a_commitment_of_the_first_look_does_not_count_in_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extension that a validator signed before the first look was over comes into the next block."""
    chain = Harness(powers=(10, 10, 10, 10))
    chain.oracles[0].mode, chain.oracles[0].accuses = "no", ROW_7
    lazy = chain.oracles[1]
    truth = lazy._message

    def message(state: StateReader, claim: int) -> Message | None:
        made = truth(state, claim)
        return Commitment(claim, 0, made.digest, made.leaf, made.path, 0) if isinstance(made, Commitment) else made

    monkeypatch.setattr(lazy, "_message", message)
    number = opened(chain)
    until(chain, number, "voting", look=1)
    assert said(chain, number, "committed") == [False] * 4
    chain.block()
    chain.block()
    assert said(chain, number, "committed") == [True, False, True, True]
    chain.block(70)
    assert chain.query("get_claim", number)["status"] == "reveal"
    assert said(chain, number, "committed") == [True, False, True, True]


def test_who_does_not_look_again_has_not_voted_and_the_next_attempt_begins_with_what_was_named() -> None:
    chain = Harness(powers=(10, 10, 10, 10))
    chain.oracles[0].mode, chain.oracles[0].accuses = "no", ROW_7
    number = opened(chain)
    until(chain, number, "voting", look=1)
    for oracle in chain.oracles[1:]:
        oracle.mode = "silent"
    chain.block(70)
    claim = chain.query("get_claim", number)
    assert (claim["status"], claim["attempt"], claim["look"]) == ("pending", 1, 0)
    assert chain.query("attribution_job", number).named == ((7, 0),)
    assert chain.query("attribution_job", number).powers == (10, 10, 10, 10)
    chain.oracles[0].accuses = None
    for oracle in chain.oracles[1:]:
        oracle.mode = "yes"
    looks = set()
    for _ in range(8):
        looks.add(chain.query("get_claim", number)["look"])
        chain.block()
    assert chain.query("get_claim", number)["status"] == "accepted"
    assert looks == {0}


@pytest.mark.parametrize("accusation", [(NAMED_ROW, 12, ZERO_ADDRESS), (NAMED_SHARE, 0, ACCOUNTS[7][0])])
def test_what_is_not_in_the_claim_cannot_be_accused(accusation: tuple[int, int, Address]) -> None:
    chain = Harness(powers=(10, 10, 10, 10))
    chain.oracles[0].accuses = accusation
    number = opened(chain)
    assert chain.run_claim(number) == "accepted"
    assert chain.query("get_claim", number)["look"] == 0
    assert said(chain, number, "named") == [None] * 4


def test_outside_the_vote_and_twice_in_an_attempt_nobody_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Harness(powers=(10, 10, 10, 10))
    loud = chain.oracles[0]
    truth = loud.extension

    def extension(state: StateReader, height: int, validator: Address) -> bytes:
        usual = decode_extension(truth(state, height, validator))
        return encode_extension([*usual, Accusation(1, 0, NAMED_ROW, height % 12, ZERO_ADDRESS)])

    number = opened(chain)
    monkeypatch.setattr(loud, "extension", extension)
    heard = []
    while (status := chain.query("get_claim", number)["status"]) != "accepted":
        chain.block()
        heard.append((status, said(chain, number, "named")[0]))
    assert {named is None for status, named in heard if status == "pending"} == {True}
    assert len({str(named) for status, named in heard if status != "pending"}) == 1
    assert heard[-1][1] is not None


def test_of_many_named_rows_those_that_most_power_has_named_are_looked_at() -> None:
    chain = Harness()
    opened(chain)
    state = Overlay(chain.state)
    members = tuple(Member(bytes([n]) * 20, bytes(20), 1 + (n == 99)) for n in range(100))
    ELECTORATES.put(state, Electorate(members), 1)
    for n, member in enumerate(members):
        ACCUSED.put(state, Accused(0, NAMED_ROW, n, ZERO_ADDRESS, n % 3), 1, member.address)
    rows = named_rows(state, 1)
    assert rows == ((99, 0), *((row, row % 3) for row in range(MAX_NAMED_ROWS - 1)))


@pytest.mark.parametrize(
    "accusation",
    [(0, 0, ZERO_ADDRESS), (4, 0, ZERO_ADDRESS), (NAMED_ROW, 1, ACCOUNTS[1][0]), (NAMED_SHARE, 0, ZERO_ADDRESS),
     (NAMED_SHARE, 1, ACCOUNTS[1][0]), (NAMED_REST, 1, ZERO_ADDRESS), (NAMED_REST, 0, ACCOUNTS[1][0]),
     (NAMED_REST, 0, ZERO_ADDRESS, 1), (NAMED_SHARE, 0, ACCOUNTS[1][0], 1),
     (NAMED_ROW, 1, ZERO_ADDRESS, EVERY_SEGMENT)],
)  # fmt: skip
def test_an_accusation_names_one_thing(accusation: tuple[Any, ...]) -> None:
    with pytest.raises(MalformedAction):
        decode_extension(encode_extension([Accusation(1, 0, *accusation)]))

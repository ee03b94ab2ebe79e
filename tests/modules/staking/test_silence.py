"""A declared oracle that is silent about too many decided claims is struck off; nobody else is ever touched."""

from __future__ import annotations

import dataclasses
import random

import pytest
from harness import Harness

from openledger.abci_app.action import BlockContext
from openledger.abci_app.modules.attribution.records import ELECTORATES
from openledger.abci_app.modules.staking.edit import ValidatorEdit
from openledger.abci_app.modules.staking.records import put_validator, validator
from openledger.abci_app.modules.staking.silence import allowed_silences, note_silent, silences
from openledger.genesis.params import Params
from openledger.genesis.presets import DEVNET_PARAMS
from openledger.primitives.amounts import OPEN
from openledger.primitives.errors import InvalidGenesis
from openledger.primitives.types import ZERO_ADDRESS
from openledger.state.overlay import Overlay

SHARES = {1: 400_000, 2: 300_000, 3: 300_000}


def strict() -> Harness:
    """Four validators; of ten claims one may be missed."""
    chain = Harness(powers=(10, 10, 10, 10), verdict_window=10, min_verdicts=900_000, slash_silence=10_000)
    chain.publish()
    return chain


def decided(chain: Harness, seconds: int = 20) -> str:
    epoch = chain.settle()
    chain.close_epoch()
    return chain.run_claim(chain.claim(epoch, SHARES), seconds=seconds)


def of(chain: Harness, index: int, field: str) -> object:
    return chain.query("get_validator", chain.addresses[index])[field]


def test_who_misses_more_than_is_allowed_loses_a_little_stake_and_its_vote_on_claims_but_not_its_seat() -> None:
    chain = strict()
    assert decided(chain) == "accepted"
    chain.oracles[0].mode = "silent"
    assert decided(chain) == "accepted"
    assert (of(chain, 0, "silent"), of(chain, 0, "oracle"), of(chain, 0, "stake")) == (1, True, hex(10 * OPEN))
    assert decided(chain) == "accepted"
    assert (of(chain, 0, "oracle"), of(chain, 0, "jailed")) == (False, False)
    assert of(chain, 0, "stake") == hex(10 * OPEN * 99 // 100)
    assert [of(chain, i, "silent") for i in range(4)] == [0] * 4
    chain.block()
    assert chain.addresses[0] in chain.set_now
    assert decided(chain) == "accepted"
    assert len(ELECTORATES.must(chain.state, 4).members) == 3
    chain.oracles[0].mode = "yes"
    assert chain.act(9, ValidatorEdit("v0", True)).status == 1
    assert decided(chain) == "accepted"
    assert len(ELECTORATES.must(chain.state, 5).members) == 4
    assert of(chain, 0, "silent") == 0


@pytest.mark.parametrize("mode", ["blind", "copy"])
def test_a_void_verdict_is_none(mode: str) -> None:
    chain = strict()
    chain.oracles[0].mode, chain.oracles[0].neighbour = mode, chain.oracles[1]
    for _ in range(2):
        assert decided(chain) == "accepted"
    assert of(chain, 0, "oracle") is False


def test_who_lost_its_seat_to_a_larger_stake_cannot_speak_and_is_not_silent() -> None:
    """Claims were open that the others decide afterwards."""
    chain = Harness(
        powers=(11, 11, 11, 10), verdict_window=10, min_verdicts=900_000, slash_silence=10_000, max_validators=4
    )
    chain.publish()
    assert decided(chain) == "accepted"
    epochs = []
    for _ in range(2):
        epochs.append(chain.settle())
        chain.close_epoch()
    for oracle in chain.oracles:
        oracle.mode = "silent"
    numbers = [chain.claim(epoch, SHARES) for epoch in epochs]
    assert chain.join(2, 100 * OPEN, b"\x77" * 32).status == 1
    for _ in range(3):
        chain.block()
    assert chain.addresses[3] not in chain.set_now
    for oracle in chain.oracles[:4]:
        oracle.mode = "yes"
    assert [chain.run_claim(number, 40, 20) for number in numbers] == ["accepted"] * 2
    assert (of(chain, 3, "oracle"), of(chain, 3, "stake")) == (True, hex(10 * OPEN))


def test_a_minority_of_no_is_not_silence() -> None:
    chain = strict()
    chain.oracles[0].mode = "no"
    for _ in range(3):
        assert decided(chain) == "accepted"
    assert (of(chain, 0, "oracle"), of(chain, 0, "silent")) == (True, 0)


def test_a_node_without_an_oracle_is_never_punished() -> None:
    """It has the flag, as by default, and has never promised a seed."""
    chain = Harness(powers=(10, 10, 10, 10), verdict_window=10, min_verdicts=900_000)
    chain.oracles[0].mode = "silent"
    chain.publish()
    for _ in range(3):
        assert decided(chain) == "accepted"
    assert (of(chain, 0, "oracle"), of(chain, 0, "silent"), of(chain, 0, "stake")) == (True, 0, hex(10 * OPEN))


def test_on_a_devnet_nobody_is() -> None:
    assert DEVNET_PARAMS.min_verdicts == 0
    assert allowed_silences(DEVNET_PARAMS) == DEVNET_PARAMS.verdict_window
    chain = Harness(powers=(10, 10, 10, 10), verdict_window=10)
    chain.publish()
    chain.oracles[0].mode = "silent"
    for _ in range(3):
        assert decided(chain) == "accepted"
    assert (of(chain, 0, "oracle"), of(chain, 0, "silent")) == (True, 0)


@pytest.mark.parametrize("others", ["silent", "unrevealed"])
def test_a_claim_that_lacked_its_blobs_or_that_nobody_decided_counts_for_nobody(
    others: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = strict()
    for oracle in chain.oracles[1:]:
        if others == "silent":
            oracle.mode = "silent"
        else:
            monkeypatch.setattr(oracle, "_reveal", lambda state, number, attempt: None)
    chain.oracles[0].mode = "silent"
    for _ in range(2):
        assert decided(chain, seconds=70) == "lapsed"
    assert [of(chain, i, "oracle") for i in range(4)] == [True] * 4
    assert [of(chain, i, "silent") for i in range(4)] == [0] * 4


def test_misses_are_counted_in_the_window_of_claims_like_a_list_would(chain: Harness) -> None:
    """Random claim numbers, out of order and twice, against a set of numbers."""
    params = dataclasses.replace(Params(), verdict_window=20, min_verdicts=500_000, slash_silence=0)
    address, chance = chain.addresses[0], random.Random(5)
    for _ in range(30):
        state, missed, at = Overlay(chain.state), set(), 1
        for _ in range(60):
            at += chance.randrange(4)
            claim = max(1, at - chance.randrange(25) * (chance.random() < 0.3))
            newest = max({*missed, claim})
            inside = {number for number in {*missed, claim} if newest - number < 20}
            logs = note_silent(state, BlockContext(9, 9, ZERO_ADDRESS, 1, params), address, claim)
            assert bool(logs) == (len(inside) > 10)
            if logs:
                record = validator(state, address)
                assert record is not None
                put_validator(state, dataclasses.replace(record, oracle=True))
            missed = set() if logs else inside
            assert silences(state, params, address, newest) == len(missed)
            assert silences(state, params, address, newest + 19) == len({n for n in missed if n == newest})
            assert silences(state, params, address, newest + 20) == 0


@pytest.mark.parametrize("change", [{"verdict_window": 9}, {"verdict_window": 1_001}, {"min_verdicts": 900_001},
                                    {"slash_silence": 10_001}])  # fmt: skip
def test_the_parameters_have_hard_bounds(change: dict[str, int]) -> None:
    with pytest.raises(InvalidGenesis):
        dataclasses.replace(Params(), **change).validate()


@pytest.mark.parametrize("change", [{"power": 0}, {"oracle": False}])
def test_who_has_left_is_left_alone(chain: Harness, change: dict[str, bool]) -> None:
    state = Overlay(chain.state)
    record = validator(state, chain.addresses[0])
    assert record is not None
    put_validator(state, dataclasses.replace(record, **change))
    context = BlockContext(9, 9, ZERO_ADDRESS, 1, Params())
    for claim in range(1, 60):
        assert note_silent(state, context, chain.addresses[0], claim) == []
    assert note_silent(state, context, b"n" * 20, 1) == []

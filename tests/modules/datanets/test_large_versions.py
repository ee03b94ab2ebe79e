"""Work on large versions is paid for by the part, and nobody's node does it before it is paid for."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest
from harness import ACCOUNTS, PRICE, Harness

from openledger.abci_app import tables
from openledger.abci_app.action import BASE_GAS, GAS_PER_BYTE, Action, encode_action, intrinsic_gas
from openledger.abci_app.modules.datanets.commit import GAS_PER_PART, DatanetCommit
from openledger.abci_app.modules.datanets.create import DatanetCreate
from openledger.abci_app.modules.datanets.records import (
    FREE_PARTS,
    PART_BYTES,
    VERSION_BYTES,
    HeldPart,
    Part,
    Version,
)
from openledger.abci_app.modules.models.publish import GAS_PER_DATANET, GAS_PER_ROW, MAX_DATA, ModelPublish
from openledger.abci_app.modules.models.records import DataRef
from openledger.primitives.fields import pack_struct

ALICE = ACCOUNTS[1][0]
H = bytes(32)
LARGE = 300
ONE_MORE = DatanetCommit(1, 1, H, LARGE + 1, (Part(ALICE, b"\xff" * 32, 1),))
MODEL = ModelPublish("m", "openledger/tiny-v1", (DataRef(1, 1),), H, H, H, H, H, LARGE, "gradient-dot", 5, 4, 0, PRICE)


def part(number: int) -> Part:
    return Part(ALICE, number.to_bytes(32, "big"), 1)


@pytest.fixture
def large(chain: Harness) -> Harness:
    """Datanet 1, whose first version has ``LARGE`` parts of a row each."""
    chain.act(0, DatanetCreate("d"))
    chain.act(1, DatanetCommit(1, 0, H, LARGE, tuple(part(n) for n in range(LARGE)), parts=LARGE))
    return chain


def unread(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """From now on notes which versions are read, and forgets those read before."""
    tables._remembered.cache_clear()
    seen: list[str] = []
    true = tables.unpack_struct

    def noted(cls: Any, raw: bytes) -> Any:
        seen.append(cls.__name__)
        return true(cls, raw)

    monkeypatch.setattr(tables, "unpack_struct", noted)
    return seen


def kind_gas(action: Action) -> int:
    return intrinsic_gas(action) - BASE_GAS - GAS_PER_BYTE * len(encode_action(action))


def test_one_part_on_many_pays_for_all_of_them(large: Harness) -> None:
    paid = dataclasses.replace(ONE_MORE, parts=LARGE + 1)
    receipt = large.act(1, paid)
    assert receipt.status == 1
    assert kind_gas(paid) == 80_000 + GAS_PER_PART * (LARGE + 1 - FREE_PARTS)
    assert kind_gas(dataclasses.replace(ONE_MORE, parts=FREE_PARTS)) == kind_gas(ONE_MORE) == 80_000


def test_a_commit_that_pays_for_less_is_refused_without_reading_the_version(
    large: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = unread(monkeypatch)
    assert f"more parts than the {FREE_PARTS}" in large.refusal(1, ONE_MORE)
    assert "Version" not in seen


def test_a_commit_that_pays_for_one_part_too_few_is_refused(large: Harness) -> None:
    few = dataclasses.replace(ONE_MORE, parts=LARGE)
    raw = large.native(1, few)
    assert large.submit(raw).code == 0
    assert large.include(raw).status == 0
    assert large.query("get_datanet", 1)["head"] == 1


def test_a_large_commit_that_fails_costs_its_sender_the_gas_and_a_node_that_hears_of_it_nothing(
    large: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = dataclasses.replace(ONE_MORE, parts=LARGE + 1, rows=9)
    before = large.balance(ALICE)
    seen = unread(monkeypatch)
    raw = large.native(1, wrong)
    assert large.submit(raw).code == 0
    assert "Version" not in seen
    receipt = large.include(raw)
    assert receipt.status == 0
    assert "Version" in seen
    assert large.balance(ALICE) < before
    stale = dataclasses.replace(wrong, parent=0)
    assert "is at version 1" in large.refusal(1, stale)


def test_a_large_model_that_fails_costs_its_sender_the_gas_and_a_node_that_hears_of_it_nothing(
    large: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = dataclasses.replace(MODEL, rows=LARGE + 1)
    seen = unread(monkeypatch)
    raw = large.native(4, wrong)
    assert large.submit(raw).code == 0
    assert "Version" not in seen
    assert large.include(raw).status == 0
    assert large.act(4, MODEL).status == 1


def test_a_model_of_few_rows_on_many_parts_is_refused_without_reading_them(
    large: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = unread(monkeypatch)
    raw = large.native(4, dataclasses.replace(MODEL, rows=9))
    assert large.submit(raw).code == 0
    assert large.include(raw).status == 0
    assert "Version" not in seen


def test_publishing_is_paid_for_by_the_rows_that_parts_can_have() -> None:
    assert kind_gas(MODEL) == 120_000 + GAS_PER_DATANET + GAS_PER_ROW * (LARGE - FREE_PARTS)
    assert kind_gas(dataclasses.replace(MODEL, rows=FREE_PARTS)) == 120_000 + GAS_PER_DATANET
    widest = dataclasses.replace(MODEL, data=tuple(DataRef(n, 1) for n in range(1, MAX_DATA + 1)), rows=10**9)
    assert intrinsic_gas(widest) < 30_000_000


def test_bytes_say_how_many_parts_there_can_be() -> None:
    """No version has more bytes than its parts may, so no honest one is refused unread."""
    for rows, height in ((1, 1), (2**32 - 1, 2**64 - 1)):
        parts = tuple(HeldPart(ALICE, bytes(32), rows, height, height) for _ in range(1_024))
        largest = Version(2**64 - 1, ALICE, H, 2**64 - 1, parts, "\u00e9" * 256, 2**64 - 1, 2**64 - 1)
        size = len(pack_struct(largest))
        assert size <= VERSION_BYTES + PART_BYTES * len(parts)
        assert size > 0.7 * PART_BYTES * len(parts)


def test_a_block_full_of_large_commits_is_about_a_second_of_work() -> None:
    """The price against the time it takes to read and write a version of 1,024 parts, with a margin of four."""
    parts = tuple(HeldPart(ALICE, n.to_bytes(32, "big"), 1, 9, 9) for n in range(1_024))
    raw = pack_struct(Version(1, ALICE, H, 1_024, parts, "", 1, 1))
    before = time.process_time()
    for _ in range(3):
        pack_struct(tables.unpack_struct(Version, raw))
    seconds = (time.process_time() - before) / 3
    gas = intrinsic_gas(dataclasses.replace(ONE_MORE, parts=1_024))
    assert seconds * 30_000_000 / gas < 4

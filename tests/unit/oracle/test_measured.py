"""The LDS: what it says of right, wrong and empty indexes, how sure it is, and what it refuses."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import count
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip("torch")

from openledger.attribution_oracle import influence, measured
from openledger.attribution_oracle.train import receipt_bytes
from openledger.node import evaluation
from openledger.primitives.errors import InvalidModel, OracleError

pytestmark = pytest.mark.torch
TEXTS = ["apple pear plum cherry", "iron copper zinc nickel", "river ocean lake pond"]


def people(world: Any, each: int = 1) -> list[bytes]:
    """Contributors of the rows; every one of them split into ``each``."""
    return [who + bytes([row % each]) for row, who in enumerate(world.bundle.contributors)]


@pytest.fixture(scope="module")
def found(path_world: Any) -> measured.Measurement:
    run, index = path_world.bundle.run, path_world.bundle.index
    return measured.measure(run, index, people(path_world, 2), TEXTS, 6)


def test_an_index_that_is_right_scores_high_over_rows_and_contributors(found: measured.Measurement) -> None:
    """In words that three contributors do not share."""
    assert 0.3 < found.rows.value <= 1.0
    assert found.contributors is not None
    assert 0.3 < found.contributors.value <= 1.0
    assert 0 < found.rows.error < 0.5
    assert (found.retrainings, found.asked, found.seen) == (12, 12, 0)
    assert found.rows.ppm == round(found.rows.value * 1e6)


def test_its_opposite_scores_as_low_and_nothing_on_chain(found: measured.Measurement) -> None:
    opposite = replace(found.rows, told=-found.rows.told)
    assert opposite.value == pytest.approx(-found.rows.value)
    assert opposite.ppm == 0


def test_an_empty_index_is_no_better_than_chance(found: measured.Measurement) -> None:
    empty = replace(found.rows, told=0 * found.rows.told)
    assert (empty.value, empty.error, empty.ppm) == (0.0, 0.0, 0)


def test_equal_values_share_their_rank() -> None:
    assert measured.ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [2.5, 0.0, 2.5, 1.0]
    told = np.array([[1.0, 1.0], [2.0, 1.0], [3.0, 1.0]])
    assert measured.by_document(told, told[::-1] * -1).tolist() == [1.0, 0.0]


def test_the_error_falls_with_the_number_of_retrainings() -> None:
    """Standard errors against the spread of the value over many draws of the same kind."""
    chance = np.random.default_rng(1)

    def drawn(subsets: int) -> measured.Score:
        told = chance.standard_normal((subsets, 12))
        return measured.Score(told, told + chance.standard_normal(told.shape))

    for subsets in (8, 32):
        scores = [drawn(subsets) for _ in range(30)]
        spread = float(np.std([s.value for s in scores]))
        assert 0.7 * spread < np.mean([s.error for s in scores]) < 2.0 * spread
    assert np.mean([drawn(32).error for _ in range(20)]) < 0.7 * np.mean([drawn(8).error for _ in range(20)])


def test_halves_are_halves_and_are_not_drawn_twice() -> None:
    five = measured.halves(5, 100, 1, "x")
    assert len({tuple(h) for h in five}) == len(five) == 10
    assert {len(h) for h in five} == {2}
    many = measured.halves(40, 8, 1, "x")
    assert len({tuple(sorted(h)) for h in many}) == 8
    assert {len(set(h)) for h in many} == {20}


def test_with_three_contributors_rows_alone_are_measured(path_world: Any) -> None:
    rows, owned = measured.subsets_of(people(path_world), 6, 1)
    assert (len(rows), len(owned)) == (6, 0)
    assert rows.sum(1).tolist() == [18] * 6


class Quick:
    """Says what a retraining would have come to, at once."""

    def __init__(self, run: Any, texts: list[str]) -> None:
        self.texts = texts

    def losses(self, kept: np.ndarray) -> np.ndarray:
        return np.array([float(kept[n:].sum()) for n in range(len(self.texts))])


def test_time_ends_it_and_what_was_done_counts(path_world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "_Truth", Quick)
    run, index = path_world.bundle.run, path_world.bundle.index
    told: list[str] = []

    def measure(seconds: float) -> measured.Measurement:
        ticks, whose = count(), people(path_world, 2)
        return measured.measure(run, index, whose, TEXTS[:1], 6, lambda _done, _all, what: told.append(what),
                                seconds=seconds, clock=lambda: float(next(ticks)))  # fmt: skip

    some = measure(10)
    assert (some.retrainings, some.asked, len(some.rows.told)) == (8, 12, 4)
    assert some.contributors is not None
    assert len(some.contributors.told) == 4
    assert any("time was up before the other 4" in line for line in evaluation.lines(some))
    assert told[1] == "retraining 1 of 12, 3 of about 8 s"
    fewest = measure(4)
    assert (fewest.retrainings, len(fewest.rows.told), fewest.contributors) == (4, 4, None)
    told.clear()
    with pytest.raises(OracleError, match="would take about 4 s here, all 12 8 s"):
        measure(3)
    assert len(told) == 1, "no retraining began that could not have ended"


def test_documents_that_were_trained_on_are_counted(path_world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "_Truth", Quick)
    bundle = path_world.bundle
    some = measured.measure(bundle.run, bundle.index, people(path_world), [bundle.texts[3], TEXTS[0]], 4)
    assert some.seen == 1
    assert some.contributors is None
    assert sum("training rows" in line or "not measured" in line for line in evaluation.lines(some)) == 2


def test_too_little_of_anything_is_refused(path_world: Any) -> None:
    run, index = path_world.bundle.run, path_world.bundle.index
    for texts, subsets in ((TEXTS, 3), ([], 6), (TEXTS, 10_001)):
        with pytest.raises(OracleError, match="an LDS needs"):
            measured.measure(run, index, people(path_world), texts, subsets)


@pytest.mark.parametrize("kind", ["path_world", "full_world"])
def test_a_receipt_that_does_not_lead_to_the_weights_is_not_measured(kind: str, request: Any) -> None:
    run, index = (world := request.getfixturevalue(kind)).bundle.run, world.bundle.index
    receipt = json.loads(receipt_bytes(run.receipt))
    receipt["lrs"] = [lr * 1.05 for lr in receipt["lrs"]]
    with pytest.raises(InvalidModel, match="does not lead to the weights"):
        measured.measure(replace(run, receipt=receipt), index, people(world), TEXTS, 4)


def test_a_full_fine_tune_is_measured_too(full_world: Any) -> None:
    run, index = full_world.bundle.run, full_world.bundle.index
    assert isinstance(index, influence.Index)
    assert measured.measure(run, index, people(full_world), TEXTS, 4).rows.value > 0


def test_the_plot_holds_every_point_and_the_numbers(found: measured.Measurement, tmp_path: Any) -> None:
    path = tmp_path / "lds.svg"
    evaluation.draw(path, "Model 1 <a & b>", found)
    text = path.read_text("utf-8")
    root = ElementTree.fromstring(text)
    circles = [e for e in root.iter() if e.tag.endswith("circle")]
    assert len(circles) == 12 * 3 + 2 * 3  # each retraining and document, and each document once a panel
    said = " ".join(e.text or "" for e in root.iter() if e.tag.endswith("text"))
    assert f"LDS {found.rows.value:.3f} ± {found.rows.error:.3f}" in said
    assert "Model 1 <a & b>" in said
    assert not re.search(r"nan|inf", text)


def test_a_plot_of_an_empty_index_is_still_a_plot(found: measured.Measurement, tmp_path: Any) -> None:
    empty = replace(found, rows=replace(found.rows, told=0 * found.rows.told), contributors=None)
    evaluation.draw(tmp_path / "lds.svg", "empty", empty)
    assert "LDS 0.000" in (tmp_path / "lds.svg").read_text("utf-8")
    with pytest.raises(OracleError, match="cannot be written"):
        evaluation.draw(tmp_path, "a folder", empty)


def test_a_manifest_that_says_how_its_lds_was_measured_names_the_same_model(world: Any) -> None:
    from openledger.attribution_oracle import factory
    from openledger.attribution_oracle.verify import verify_job
    from openledger.primitives.types import to_hex

    name = factory.note_measurement(world.blobs, to_hex(world.published["bundle"]), {"rows": {"lds": 5}})
    job = replace(world.job, bundle_blob=to_hex(name))
    loaded = factory.load_bundle(world.blobs, to_hex(name), known=world.known)
    assert loaded.manifest["measured"] == {"rows": {"lds": 5}}
    assert verify_job(job, world.blobs, seed=b"s", known=world.known).valid

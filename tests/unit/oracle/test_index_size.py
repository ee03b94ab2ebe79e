"""Index rows of full fine-tunes: their largest entries, recomputed and rechecked like whole rows."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from openledger.attribution_oracle import factory, methods, tensors  # noqa: E402
from openledger.attribution_oracle import index as indexes  # noqa: E402
from openledger.attribution_oracle.bundle import row_leaves  # noqa: E402
from openledger.attribution_oracle.index import Index, entries_of, small  # noqa: E402
from openledger.attribution_oracle.verify import verify_job  # noqa: E402
from openledger.primitives.errors import InvalidModel  # noqa: E402
from openledger.primitives.types import to_hex  # noqa: E402
from tests.unit.oracle.conftest import small_model  # noqa: E402

pytestmark = pytest.mark.torch
LENGTH = 200_000


def vectors(rows: int = 3, seed: int = 1) -> Any:
    chance = torch.Generator().manual_seed(seed)
    return torch.randn(rows, LENGTH, generator=chance) ** 3


def made(found: Any, row_bytes: int = 1 << 14) -> Index:
    rows = small(found, entries_of(row_bytes, LENGTH))
    return Index("path-influence", rows.q, rows.scale, rows.at, LENGTH)


def refilled(index: Index, **changes: Any) -> bytes:
    """The file with some of its tensors changed."""
    raw = index.dump()
    return tensors.dump({**tensors.load(raw, "index"), **changes}, tensors.note_of(raw, "index"))


def check(world: Any, index: Index) -> Any:
    """The verdict on the claim with another index in its place, published and named as such."""
    name = "0x" + world.blobs.put(index.dump())
    root = to_hex(index.root(row_leaves(world.bundle.contributors, world.bundle.lines)))
    manifest = {**world.bundle.manifest, "index": name, "index_root": root}
    bundle = world.blobs.put(json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode())
    job = replace(world.job, index_blob=name, index_root=root, bundle_blob="0x" + bundle)
    return verify_job(job, world.blobs, seed=b"seed", known=world.known)


@pytest.mark.parametrize("row_bytes", [1 << 12, 1 << 14, 1 << 16])
def test_a_row_takes_no_more_bytes_than_allowed(row_bytes: int) -> None:
    index = made(vectors(40), row_bytes)
    assert len(index.dump()) <= 40 * row_bytes + 1024
    assert index.entries > row_bytes / 3 - 16


def test_a_row_that_fits_is_kept_whole() -> None:
    found = vectors(2)[:, :5000]
    rows = small(found, entries_of(8192, 5000))
    assert rows.at is None
    assert rows.q.shape == (2, 5000)


def test_the_file_gives_back_what_was_put_in() -> None:
    index = made(vectors())
    again = Index.load(index.dump(), 3, LENGTH, index.entries)
    assert torch.equal(again.q, index.q)
    assert again.at is not None
    assert torch.equal(again.at, index.at)
    assert again.root([b"\1" * 32] * 3) == index.root([b"\1" * 32] * 3)


def test_scores_are_those_of_the_largest_entries() -> None:
    found, asked = vectors(), vectors(1, 7)[0]
    index = made(found)
    least = found.abs().topk(index.entries).values[:, -1:]
    wanted = (torch.where(found.abs() >= least, found, 0.0).double() @ asked.double()).numpy()
    assert np.abs(index.dot(asked) - wanted).max() < 0.02 * np.abs(wanted).max()


@pytest.mark.parametrize("bad", ["descending", "twice", "outside", "fewer", "negative"])
def test_places_that_are_none_are_refused(bad: str) -> None:
    index = made(vectors())
    file = tensors.load(index.dump(), "index")
    low, count = file["low"].clone(), file["count"].clone()
    if bad == "descending":
        low[1, :2] = low[1, :2].flip(0)
    elif bad == "twice":
        low[1, 1] = low[1, 0]
    elif bad == "outside":  # the last block is not full
        low[1, -1] = -1
    elif bad == "fewer":
        count[1, 0] -= 1
    else:
        count[1, 0] += count[1, 1] + 1
        count[1, 1] = -1
    with pytest.raises(InvalidModel, match="places"):
        Index.load(refilled(index, low=low, count=count), 3, LENGTH, index.entries)


def test_a_file_that_is_cut_off_or_of_another_form_is_refused() -> None:
    index = made(vectors())
    raw = index.dump()
    for cut in (0, 7, 100, len(raw) // 2, len(raw) - 1):
        with pytest.raises(InvalidModel):
            Index.load(raw[:cut], 3, LENGTH, index.entries)
    with pytest.raises(InvalidModel, match="hold"):
        Index.load(raw, 3, index.entries)
    with pytest.raises(InvalidModel, match="16-bit"):
        Index.load(refilled(index, low=tensors.load(raw, "index")["low"].int()), 3, LENGTH, index.entries)
    with pytest.raises(InvalidModel, match="shape"):
        Index.load(refilled(index, count=tensors.load(raw, "index")["count"][:, :-1]), 3, LENGTH, index.entries)


def test_nobody_chooses_how_many_entries_are_kept() -> None:
    rows = small(vectors(), 5000)
    index = Index("path-influence", rows.q, rows.scale, rows.at, LENGTH)
    with pytest.raises(InvalidModel, match="5000 entries"):
        Index.load(index.dump(), 3, LENGTH, 5000)
    with pytest.raises(InvalidModel, match="bytes are not made"):
        entries_of(100, LENGTH)


def test_an_honest_row_of_another_machine_passes_by_a_wide_margin() -> None:
    found = vectors()
    index = made(found)
    chance = torch.Generator().manual_seed(2)
    for number, vector in enumerate(found):
        other = vector * (1 + 2e-5 * torch.randn(LENGTH, generator=chance))
        assert index.error(number, other) < 3e-4


@pytest.mark.parametrize("lie", ["value", "scale", "hidden", "other"])
def test_a_row_that_was_changed_is_seen(lie: str) -> None:
    found = vectors()
    index = made(found)
    assert index.at is not None
    q, scale, at = index.q.clone(), index.scale.clone(), index.at.clone()
    if lie == "value":
        strongest = q[1].abs().argmax()
        q[1, strongest] = -q[1, strongest]
    elif lie == "scale":
        scale[1] *= 1.01
    elif lie == "hidden":  # twenty places moved to where the row is small
        free = torch.tensor(sorted(set(range(100)) - set(at[1].tolist()))[:20])
        at[1] = torch.cat((free, at[1, 20:])).sort().values
        q[1] = torch.round(found[1, at[1].long()] / scale[1]).to(torch.int8)
    else:
        at[1], q[1], scale[1] = at[2], q[2], scale[2]
    assert Index(index.method, q, scale, at, LENGTH).error(1, found[1]) > 1e-3


def test_a_full_fine_tune_is_claimed_and_verified(full_path_world: Any) -> None:
    index = full_path_world.bundle.index
    assert index.at is not None
    assert index.entries < index.dim == methods.method("path-influence").dim(full_path_world.bundle.run)
    verdict = verify_job(full_path_world.job, full_path_world.blobs, seed=b"seed", known=full_path_world.known)
    assert verdict.valid, verdict.reason
    assert max(verdict.scores) > 0


def test_a_full_fine_tunes_row_changed_by_a_percent_is_named(full_path_world: Any) -> None:
    index = full_path_world.bundle.index
    scale = index.scale.clone()
    scale[7] *= 1.01
    verdict = check(full_path_world, replace(index, scale=scale))
    assert not verdict.valid
    assert "index row 7" in verdict.reason


def test_hidden_entries_of_a_full_fine_tunes_row_are_named(full_path_world: Any) -> None:
    """The tenth part of a row's places is moved to entries that should have been left out."""
    index = full_path_world.bundle.index
    at, q = index.at.clone(), index.q.clone()
    away = index.entries // 10
    free = sorted(set(range(index.dim)) - set(at[5].tolist()))[:away]
    order = index.q[5].abs().argsort()  # the largest are hidden
    kept = at[5][order[: index.entries - away]]
    at[5] = torch.cat((kept, torch.tensor(free, dtype=torch.int32))).sort().values
    vector = methods.method("path-influence").row_vectors(full_path_world.bundle.run, [5], lambda *a: None)[0]
    q[5] = torch.round(vector[at[5].long()] / index.scale[5]).to(torch.int8)
    verdict = check(full_path_world, replace(index, at=at, q=q))
    assert not verdict.valid
    assert "index row 5" in verdict.reason


def test_whose_words_an_answer_has_earns_it_also_in_a_full_fine_tune(full_path_world: Any) -> None:
    vector = methods.method("path-influence").answer_vector(
        full_path_world.bundle.run, "apple pear plum", " cherry grape melon"
    )
    scores = full_path_world.bundle.index.dot(vector)
    of: dict[bytes, float] = {}
    for who, score in zip(full_path_world.bundle.contributors, scores, strict=True):
        of[who] = of.get(who, 0.0) + max(float(score), 0.0)
    assert of[b"\1" * 20] > 2 * max(of[b"\2" * 20], of[b"\3" * 20])


def test_row_error_is_the_indexs_own() -> None:
    index, found = made(vectors()), vectors()
    assert indexes.row_error(index, 0, found[0]) == index.error(0, found[0]) < 1e-6


def test_rows_of_an_adapter_are_whole_by_themselves_where_all_have_16_mib_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert methods.usual_bytes("lora", 72, 230_400) == 230_400
    assert methods.usual_bytes("lora", 73, 230_400) == methods.usual_bytes("full", 72, 230_400) == 65_536
    assert methods.usual_bytes("lora", 100_000, 1_000) == 65_536
    monkeypatch.setattr(methods, "ROW_BYTES", 1 << 12)
    for kind, whole in (("lora", True), ("full", False)):
        index = factory.make_index(small_model(kind, rank=32))
        assert index.dim > 1 << 12
        assert (index.entries == index.dim) is whole

"""What an index loses when it is kept as queries are multiplied with it."""

from __future__ import annotations

from itertools import pairwise

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from openledger.attribution_oracle import attribute as attributing  # noqa: E402
from openledger.attribution_oracle import table as tables  # noqa: E402
from openledger.attribution_oracle.attribute import Prepared, largest  # noqa: E402
from openledger.attribution_oracle.gradients import Gradients  # noqa: E402
from openledger.attribution_oracle.table import Table  # noqa: E402
from tests.unit.oracle.test_rowwise import Merged, Plain, Tied, made  # noqa: E402

pytestmark = pytest.mark.torch
OFFSETS = (0, 3000, 3001, 40_000)


def draw(seed: int, rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def cut(monkeypatch: pytest.MonkeyPatch, index: Tensor, fast: bool) -> Table:
    monkeypatch.setattr(tables, "halves_are_fast", lambda device: fast)
    return Table.cut(index, OFFSETS)


def taken(table: Table) -> list[int]:
    return [a + int(i) for (a, _), c in zip(pairwise(OFFSETS), table.columns, strict=True) if c for i in c.taken]


def test_in_fp32_the_fewest_columns_that_hold_nine_tenths_of_the_squares_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index = draw(1, 7, OFFSETS[-1]) * torch.linspace(0, 3, OFFSETS[-1]) ** 2
    square = index.double().square().sum(0)
    kept = taken(cut(monkeypatch, index, fast=False))
    assert kept == sorted(kept)
    assert 0.9 <= float(square[kept].sum() / square.sum()) < 0.9001
    assert float(square[kept].min()) >= float(
        torch.tensor([x for i, x in enumerate(square) if i not in set(kept)]).max()
    )


def test_in_bfloat16_every_column_that_holds_anything_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    index = largest(draw(2, 7, OFFSETS[-1]), 0.05)
    found = cut(monkeypatch, index, fast=True)
    assert taken(found) == index.abs().sum(0).nonzero()[:, 0].tolist()
    assert {c.values.dtype for c in found.columns if c} == {torch.bfloat16}


@pytest.mark.parametrize("fast", [True, False])
def test_the_product_is_that_of_the_columns_that_are_kept(monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    index, asked = largest(draw(3, 9, OFFSETS[-1]), 0.05), draw(4, 5, OFFSETS[-1])
    found = cut(monkeypatch, index, fast)
    kept = taken(found)
    wanted = asked[:, kept].double() @ index[:, kept].double().T
    away = (found.times(asked).double() - wanted).abs().max() / wanted.std()
    assert float(away) < (2e-2 if fast else 1e-5)
    assert torch.equal(found.times(asked), found.times(asked))
    assert found.times(asked).dtype == torch.float32


def test_an_index_of_zeros_scores_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    for fast in (True, False):
        found = cut(monkeypatch, torch.zeros(3, OFFSETS[-1]), fast)
        assert torch.equal(found.times(draw(5, 2, OFFSETS[-1])), torch.zeros(2, 3))


@pytest.mark.parametrize("kind", [Plain, Merged, Tied])
@pytest.mark.parametrize("fast", [True, False])
def test_gradients_by_row_meet_the_columns_that_are_kept(
    monkeypatch: pytest.MonkeyPatch, kind: type[Plain], fast: bool
) -> None:
    monkeypatch.setattr(tables, "halves_are_fast", lambda device: fast)
    monkeypatch.setattr(tables, "TOLD", 0.999999)
    gradients, theta, ids = made(kind)
    index = draw(6, 4, gradients.size)
    wanted = gradients.rows(theta, ids) @ index.T
    found = gradients.dotted(theta, ids, gradients.cut(index))
    assert gradients._direct
    assert float((found - wanted).abs().max() / wanted.std()) < 2e-2


def test_only_a_large_index_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "halves_are_fast", lambda device: False)
    gradients: Gradients
    gradients, theta, _ = made(Plain)
    index = draw(7, 4, gradients.size)
    small = Prepared.of(gradients, index, theta, torch.full((7,), 1 / 7), 0.1).index
    assert [c is not None and c.taken is None for c in small.columns] == [True] * len(small.columns)
    monkeypatch.setattr(attributing, "is_lean", lambda rows, parameters: True)
    large = Prepared.of(gradients, index, theta, torch.full((7,), 1 / 7), 0.1).index
    assert sum(c.values.shape[1] for c in large.columns if c) < gradients.size


def test_bfloat16_is_taken_where_a_product_in_it_is_much_faster_not_where_there_are_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: asked[-1])
    monkeypatch.setattr(torch._C, "_has_mkldnn", True)
    for instructions, taken, fast in ((True, 0.5, True), (True, 0.9, False), (True, 2.0, False), (False, 0.5, False)):
        asked.append(instructions)
        monkeypatch.setattr(tables, "seconds", lambda form, taken=taken: taken if form is torch.bfloat16 else 1.0)
        tables.halves_are_fast.cache_clear()
        assert tables.halves_are_fast(torch.device("cpu")) is fast
        assert not tables.halves_are_fast(torch.device("meta"))
    tables.halves_are_fast.cache_clear()
    monkeypatch.undo()
    assert 0 < tables.seconds(torch.float32) < 60

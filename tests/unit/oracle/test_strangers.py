"""``attribute`` with models and callers that are none of ours."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from openledger.attribution_oracle import attribute as attributing  # noqa: E402
from openledger.attribution_oracle import path, rotated  # noqa: E402
from openledger.attribution_oracle.bench import attribute  # noqa: E402
from openledger.attribution_oracle.gradients import Gradients  # noqa: E402
from openledger.attribution_oracle.seen import Seen  # noqa: E402
from openledger.primitives.errors import OracleError  # noqa: E402

pytestmark = pytest.mark.torch
VOCABULARY, TIME, ROWS = 20, 8, 12


class Small(nn.Module):
    """A few layers of one width; ``middle`` is what stands between embedding and head."""

    def __init__(self, middle: nn.Module, width: int = 6) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.embed, self.middle, self.head = nn.Embedding(VOCABULARY, width), middle, nn.Linear(width, VOCABULARY)

    def forward(self, ids: Tensor) -> Tensor:
        found = self.middle(self.embed(ids))
        logits: Tensor = self.head(found[0] if isinstance(found, tuple) else found)
        return logits


def losses(model: nn.Module, ids: Tensor) -> Tensor:
    """The sum over each row's tokens."""
    found = functional.cross_entropy(model(ids[:, :-1]).transpose(1, 2), ids[:, 1:], reduction="none", ignore_index=0)
    return found.sum(1)


def made(middle: nn.Module, rows: int = ROWS, **options: Any) -> tuple[nn.Module, Tensor, Tensor, dict[str, Any]]:
    """A model after a short run of ``attribute``'s own replay, its rows, queries and run."""
    model, draw = Small(middle), torch.Generator().manual_seed(4)
    ids, asked = (torch.randint(1, VOCABULARY, (n, TIME), generator=draw) for n in (rows, 3))
    ids[::3, TIME - 2 :] = 0
    batches = [list(range(rows))[at : at + 4] for _ in range(2) for at in range(0, rows, 4)]
    optimizer = {"kind": "adam", "b1": 0.9, "b2": 0.95, "eps": 1e-8}
    start = {name: value.clone() for name, value in model.state_dict().items()}
    run = {"start": start, "batches": batches, "lrs": [0.01] * len(batches), "optimizer": optimizer, **options}
    gradients, steps = Gradients(model, losses), path.Steps.of(run, rows)
    end = path.retrained(gradients, gradients.now(), ids, steps, [True] * rows)
    nn.utils.vector_to_parameters(end, model.parameters())
    return model, ids, asked, run


def asked_of(world: tuple[nn.Module, Tensor, Tensor, dict[str, Any]]) -> np.ndarray:
    model, ids, query, run = world
    return attribute(model, losses, ids, query, ["one"] * len(ids), run, retrainings=2)


def test_an_lstm_gives_its_rows_gradients_in_one_pass() -> None:
    model, ids, *_ = made(nn.LSTM(6, 6, batch_first=True))
    gradients = Gradients(model, losses)
    found = gradients.rows(gradients.now(), ids)
    assert gradients._direct
    alone = torch.cat([gradients.rows(gradients.now(), row[None]) for row in ids])
    torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-4)


def test_a_caller_who_has_switched_gradients_off_gets_the_same_scores() -> None:
    world = made(nn.Tanh())
    wanted = asked_of(world)
    with torch.no_grad():
        assert np.array_equal(asked_of(world), wanted)
    with torch.inference_mode():
        assert np.array_equal(asked_of(world), wanted)


def test_a_caller_whose_numbers_are_double_by_default_gets_finite_scores() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        assert np.isfinite(asked_of(made(nn.Tanh()))).all()
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("rows", [1, 2])
def test_a_single_row_or_two_get_finite_scores(rows: int) -> None:
    scores = asked_of(made(nn.Tanh(), rows))
    assert scores.shape == (3, rows)
    assert np.isfinite(scores).all()
    assert np.abs(scores).max() < 100


def test_rows_and_curvature_are_those_of_a_rows_last_visit() -> None:
    """Row 0 is met in the first step alone, which draws no curvature, and row 11 never: both are asked at the end."""
    order = [[0, 1, 2], [3, 4, 5], [6, 7, 8, 9, 10], [1, 2, 3, 3], [4, 5, 6]]
    model, ids, _, run = made(nn.Tanh(), batches=order, lrs=[0.01] * 5)
    gradients, steps = Gradients(model, losses), path.Steps.of(run, ROWS)
    met, start, end = list[Tensor](), gradients.vector(run["start"]), gradients.now()

    class Watched(Gradients):
        def drawn(self, *asked: Any, **named: Any) -> tuple[Tensor, Tensor]:
            met.append(super().drawn(*asked, **named)[1].clone())
            return super().drawn(*asked, **named)

    seen = Seen(Watched(model, losses), steps, ROWS)
    path.path_rows(seen, start, ids, steps, 2, 0)
    own, drawn = seen.gathered(end, ids, 2, 0)
    there = {1: (2, 0), 2: (2, 1), 4: (3, 0), 5: (3, 1), 6: (3, 2), 7: (1, 1), 8: (1, 2), 9: (1, 3), 10: (1, 4)}
    for row, (step, place) in there.items():
        torch.testing.assert_close(drawn[2 * row : 2 * row + 2], met[step][2 * place : 2 * place + 2])
    torch.testing.assert_close(drawn[[0, 1, 22, 23]], rotated.gathered(gradients, end, ids[[0, 11]], 2, 0)[1])
    assert drawn.shape == (2 * ROWS, gradients.size)
    fresh = gradients.rows(end, ids)
    torch.testing.assert_close(own[[0, 11]], fresh[[0, 11]])
    assert float((own[7] - fresh[7]).norm()) > 1e-3


def test_a_large_batch_draws_what_its_parts_would() -> None:
    """Forty rows go through the model in three parts, and one of these has no loss at all: it is padding."""
    model, ids, _, _ = made(nn.Tanh(), rows=40)
    ids[14:27] = 0
    gradients = Gradients(model, losses)
    own, drawn = gradients.drawn(gradients.now(), ids, 2, 5, "x")
    torch.testing.assert_close(own, gradients.rows(gradients.now(), ids))
    for at in (0, 27, 30):
        wanted = gradients.drawn(gradients.now(), ids[at : at + 9], 2, 5, "x", before=at)[1]
        torch.testing.assert_close(drawn[2 * at : 2 * at + 18], wanted)
    assert drawn.shape == (80, gradients.size)
    assert not drawn[28:54].any()


def test_a_mean_gradient_leaves_the_model_where_it_stood() -> None:
    model, ids, _, _ = made(nn.Tanh())
    gradients = Gradients(model, losses)
    before, place = gradients.now(), [p.data_ptr() for p in model.parameters()]
    found = gradients.mean(before + 0.1, ids)
    torch.testing.assert_close(found, gradients.rows(before + 0.1, ids).mean(0))
    with pytest.raises(IndexError):
        gradients.mean(before + 0.1, ids + VOCABULARY)
    assert torch.equal(gradients.now(), before)
    assert [p.data_ptr() for p in model.parameters()] == place


def test_attribution_loads_no_compiler() -> None:
    """What torch compiles with takes a second of CPU to load, as long as the fine-tune of a tiny model."""
    code = """
import sys, torch
from torch import nn
from openledger.attribution_oracle.bench import attribute
model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 9))
start = {name: value.clone() for name, value in model.state_dict().items()}
def losses(model, ids):
    odds = model(ids)[:, :-1].transpose(1, 2)
    return nn.functional.cross_entropy(odds, ids[:, 1:], reduction="none").mean(1)
optimizer = {"kind": "adam", "b1": 0.9, "b2": 0.99, "eps": 1e-6}
run = {"start": start, "batches": [[0, 1, 2, 3], [4, 5, 6, 7]] * 2, "lrs": [0.01] * 4, "optimizer": optimizer}
ids = torch.randint(1, 9, (8, 6))
print(attribute(model, losses, ids, ids[:2], [0] * 8, run).shape, "sympy" in sys.modules)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["(2,", "8)", "False"]


def test_a_run_that_draws_nothing_is_asked_at_the_end() -> None:
    model, ids, _, run = made(nn.Tanh())
    gradients, steps = Gradients(model, losses), path.Steps.of(run, ROWS)
    own, drawn = Seen(gradients, steps, ROWS).gathered(gradients.now(), ids, 2, 0)
    wanted = rotated.gathered(gradients, gradients.now(), ids, 2, 0)
    assert torch.equal(own, wanted[0])
    assert torch.equal(drawn, wanted[1])


def test_all_weights_of_a_small_model_are_carried_without_moments_and_an_adapter_with_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, ids, _, run = made(nn.Tanh())
    steps, told, trusted = path.Steps.of(run, ROWS), list[tuple[int, int, bool]](), list[float]()

    def told_how_much(*asked: Any) -> Tensor:
        trusted.append(asked[3])
        found: Tensor = asked[0]
        return found

    for account in ("corrected", "joined"):
        monkeypatch.setattr(attributing, account, told_how_much)

    def rows(*asked: Any, held: int, alone: bool, **other: Any) -> tuple[Tensor, Tensor]:
        told.append((asked[4], held, alone))
        return path.path_rows(*asked, held=held, alone=alone, **other)

    monkeypatch.setattr(attributing, "path_rows", rows)
    for few in (attributing.FEW_DRAWN, 1):
        monkeypatch.setattr(attributing, "FEW_DRAWN", few)
        gradients = Gradients(model, losses)
        attributing.influence_rows(gradients, gradients.vector(run["start"]), gradients.now(), ids, steps, 3, 1, 0)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name == "head.bias")
    adapter = Gradients(model, losses)
    attributing.influence_rows(adapter, adapter.vector(run["start"]), adapter.now(), ids, steps, 3, 1, 0)
    assert told == [(3, 96, True), (1, 32, True), (3, 96, False)]
    assert trusted == [*attributing.HEAVY_TRUST * 2, *attributing.TRUST]


class Dropping(Small):
    """Drops half of what it has seen while it is trained."""

    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Tanh(), nn.Dropout(0.5)))


@pytest.mark.parametrize("make", [Dropping, lambda: Small(nn.LSTM(6, 6, 2, batch_first=True, dropout=0.5))])
def test_a_model_in_training_drops_nothing_at_random_and_stays_in_training(make: Any) -> None:
    _, ids, asked, run = made(make().eval().middle)
    model = make()
    gradients, steps = Gradients(model.eval(), losses), path.Steps.of(run, ROWS)
    end = path.retrained(gradients, gradients.vector(run["start"]), ids, steps, [True] * ROWS)
    nn.utils.vector_to_parameters(end, model.parameters())
    wanted = asked_of((model, ids, asked, run))
    model.train()
    prepared = attributing.prepared(model, losses, ids, ["one"] * ROWS, run, retrainings=2)
    assert np.array_equal(prepared.scores(asked), wanted)
    assert all(part.training for part in model.modules())
    assert [part.dropout for part in model.modules() if isinstance(part, nn.LSTM)] == [0.5] * isinstance(
        model.middle, nn.LSTM
    )


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no model": ({"model": None}, "torch module"),
    "no losses": ({"losses": None}, "a function"),
    "losses of nothing": ({"losses": lambda model, ids: losses(model, ids).detach()}, "no gradient"),
    "losses of others": ({"losses": lambda model, ids: torch.zeros(len(ids), requires_grad=True)}, "no gradient"),
    "a token that the model does not have": ({"train": torch.full((ROWS, TIME), VOCABULARY)}, "no gradient"),
    "a query of such": ({"query": torch.full((1, TIME), VOCABULARY)}, "queries"),
    "complex rows": ({"train": torch.ones(ROWS, TIME, dtype=torch.complex64)}, "LongTensor"),
    "a number of groups": ({"groups": 5}, "contributors"),
    "groups once": ({"groups": iter(range(ROWS))}, "contributors"),
    "halves of rows": ({"run": {"batches": [[0.5]] * 6}}, "malformed"),
    "batches as text": ({"run": {"batches": ["01"] * 6}}, "malformed"),
    "a start of arrays": ({"run": {"start": {"embed.weight": np.ones((VOCABULARY, 6))}}}, "state"),
    "weight decay": ({"run": {"optimizer": {"weight_decay": 0.1}}}, "weight_decay"),
    "a huge eps": ({"run": {"optimizer": {"eps": 1e300}}}, "out of range"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_attributed_is_refused_in_a_sentence(name: str) -> None:
    model, ids, query, run = made(nn.Tanh())
    change, words = REFUSED[name]
    given = {"model": model, "losses": losses, "train": ids, "query": query, "groups": ["one"] * ROWS, **change}
    more = change.get("run", {})
    given["run"] = {**run, **more, "optimizer": {**run["optimizer"], **more.get("optimizer", {})}}
    with pytest.raises(OracleError, match=words):
        attribute(**given, retrainings=2)

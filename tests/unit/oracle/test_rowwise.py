"""Gradients by row from one backward pass: of models that are met in many ways, and none that would mix its rows."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from openledger.attribution_oracle import gradients as passes  # noqa: E402
from openledger.attribution_oracle.gradients import Gradients  # noqa: E402
from openledger.attribution_oracle.layouts import layout_of, summed  # noqa: E402

pytestmark = pytest.mark.torch
VOCABULARY, WIDTH, TIME = 20, 8, 11


def losses(model: nn.Module, ids: Tensor) -> Tensor:
    """Mean loss per token of each row."""
    found = functional.cross_entropy(model(ids[:, :-1]).transpose(1, 2), ids[:, 1:], reduction="none")
    mask = (ids[:, 1:] != 0).float()
    return (found * mask).sum(1) / mask.sum(1).clamp(min=1)


class Plain(nn.Module):
    """An embedding, something in the middle, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(VOCABULARY, WIDTH), nn.Linear(WIDTH, VOCABULARY)
        self.make()

    def make(self) -> None:
        """What a kind of model has more."""

    def middle(self, x: Tensor, ids: Tensor) -> Tensor:
        return torch.tanh(x)

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.head(self.middle(self.embed(ids), ids))
        return logits


class Transformer(Plain):
    """torch's own layer (time first inside), positions of two kinds, RMSNorm, einsum, an indexed parameter."""

    def make(self) -> None:
        self.places, self.more = nn.Embedding(16, WIDTH), nn.Parameter(torch.randn(16, WIDTH))
        self.layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True, dropout=0.0)
        self.norm, self.mix = nn.RMSNorm(WIDTH), nn.Parameter(torch.randn(WIDTH, WIDTH))
        self.bare = nn.Parameter(torch.randn(VOCABULARY, WIDTH))

    def middle(self, x: Tensor, ids: Tensor) -> Tensor:
        time = x.shape[1]
        x = x + self.places(torch.arange(time)) + self.more[:time]
        x = self.norm(self.layer(x, src_mask=torch.full((time, time), float("-inf")).triu(1)))
        return torch.einsum("btd,de->bte", x, self.mix) + self.bare[ids]


class Merged(Plain):
    """A low-rank pair that is added to its frozen matrix before it is used."""

    def make(self) -> None:
        self.frozen = nn.Linear(WIDTH, WIDTH).requires_grad_(False)
        self.a, self.b = nn.Parameter(torch.randn(2, WIDTH)), nn.Parameter(torch.randn(WIDTH, 2))
        self.embed.requires_grad_(False)

    def middle(self, x: Tensor, ids: Tensor) -> Tensor:
        return torch.tanh(functional.linear(x, self.frozen.weight + 0.5 * (self.b @ self.a), self.frozen.bias))


class Tied(Plain):
    """A head that is the embedding, and a layer that is used twice and, transposed, a third time."""

    def make(self) -> None:
        self.head.weight = self.embed.weight
        self.twice, self.gain = nn.Linear(WIDTH, WIDTH), nn.Parameter(torch.ones(1))

    def middle(self, x: Tensor, ids: Tensor) -> Tensor:
        y = torch.tanh(self.twice(torch.relu(self.twice(x)))) @ self.twice.weight
        return torch.addmm(self.twice.bias, y.view(-1, WIDTH), self.twice.weight).view(y.shape) * self.gain


class Recurrent(Plain):
    """A cell of its own, used once a token."""

    def make(self) -> None:
        self.cell = nn.Linear(2 * WIDTH, WIDTH)

    def middle(self, x: Tensor, ids: Tensor) -> Tensor:
        states = [torch.zeros(len(x), WIDTH)]
        for time in range(x.shape[1]):
            states.append(torch.tanh(self.cell(torch.cat((x[:, time], states[-1]), -1))))
        return torch.stack(states[1:], 1)


class Fine(Plain):
    """A small difference of large numbers, which needs every digit."""

    def middle(self, x: Tensor, ids: Tensor) -> Tensor:
        return torch.tanh(x + (x @ (1000 * torch.eye(WIDTH)) - 1000 * x))


class Strict(Plain):
    """Takes numbers of one type alone."""

    def make(self) -> None:
        self.layer = nn.Linear(WIDTH, WIDTH)

    def middle(self, x: Tensor, ids: Tensor) -> Tensor:
        found: Tensor = self.layer(x)
        if found.dtype != torch.float32:
            raise TypeError("fp32 is wanted")
        return found


class Unknown(Plain):
    """A convolution is none of the operations that are known."""

    def make(self) -> None:
        self.conv = nn.Conv1d(WIDTH, WIDTH, 3, padding=2)

    def middle(self, x: Tensor, ids: Tensor) -> Tensor:
        found: Tensor = self.conv(x.transpose(1, 2))[:, :, :-2].transpose(1, 2)
        return found


class Mixing(Plain):
    """What a row gives depends on the others."""

    def middle(self, x: Tensor, ids: Tensor) -> Tensor:
        return x - x.mean(0, keepdim=True)


class Weighing(Plain):
    """The same without a gradient in the way, so that no derivative shows it."""

    def middle(self, x: Tensor, ids: Tensor) -> Tensor:
        return x * ids.float().mean()


def made(kind: type[Plain]) -> tuple[Gradients, Tensor, Tensor]:
    torch.manual_seed(3)
    ids = torch.randint(1, VOCABULARY, (6, TIME))
    ids[2, 5:] = 0
    gradients = Gradients(kind(), losses)
    return gradients, gradients.now(), ids


def relative(ours: Tensor, theirs: Tensor) -> float:
    return float(((ours - theirs).norm(dim=1) / theirs.norm(dim=1)).max())


@pytest.mark.parametrize("kind", [Plain, Transformer, Merged, Tied, Recurrent])
def test_one_pass_gives_each_rows_own_gradient(kind: type[Plain]) -> None:
    gradients, theta, ids = made(kind)
    own, drawn = gradients.drawn(theta, ids, 2, 7, "rows")
    assert gradients._direct
    assert len(gradients._compared) == 1
    alone = torch.stack([gradients.mean(theta, row[None]) for row in ids])
    assert relative(own, alone) < 1e-6
    assert torch.equal(own, gradients.rows(theta, ids))
    room = (
        torch.full((len(ids) + 1, gradients.size), torch.nan),
        torch.full((2 * len(ids) + 1, gradients.size), torch.nan),
    )
    again = gradients.drawn(theta, ids, 2, 7, "rows", room)
    assert max(relative(one, other) for one, other in zip(again, (own, drawn), strict=True)) < 1e-6
    assert [one.data_ptr() for one in again] == [memory.data_ptr() for memory in room]
    assert all(memory[-1].isnan().all() for memory in room)
    index = torch.randn(4, gradients.size)
    assert relative(gradients.dotted(theta, ids, gradients.whole(index)), own @ index.T) < 1e-5
    slow, _, _ = made(kind)
    slow._direct = False
    mine, theirs = slow.drawn(theta, ids, 2, 7, "rows")
    assert slow._together
    assert relative(own, mine) < 1e-5
    assert relative(drawn, theirs) < 1e-5


@pytest.mark.parametrize("kind", [Plain, Transformer, Merged, Tied, Recurrent])
def test_in_bfloat16_rows_gradients_are_nearly_those_of_fp32(
    monkeypatch: pytest.MonkeyPatch, kind: type[Plain]
) -> None:
    monkeypatch.setattr(passes, "halves_are_fast", lambda device: True)
    gradients, theta, ids = made(kind)
    exact, drawn = gradients.drawn(theta, ids, 2, 7, "rows")
    assert gradients.bears_rounding(theta, ids)
    with gradients.roughly(True):
        near, vectors = gradients.drawn(theta, ids, 2, 7, "rows")
        room = torch.empty_like(exact), torch.empty_like(drawn, dtype=torch.bfloat16)
        _, small = gradients.drawn(theta, ids, 2, 7, "rows", room)
        mean = gradients.mean(theta, ids)
    assert gradients._direct
    assert 0 < relative(near, exact) < passes.ROUGH
    assert relative(vectors, drawn) < 2 * passes.ROUGH
    assert small.data_ptr() == room[1].data_ptr()
    assert relative(small.float(), drawn) < 2 * passes.ROUGH
    assert relative(mean[None], exact.mean(0)[None]) < passes.ROUGH
    assert torch.equal(gradients.rows(theta, ids), exact)


@pytest.mark.parametrize("kind", [Fine, Strict, Unknown])
def test_a_model_that_does_not_bear_bfloat16_stays_in_fp32(monkeypatch: pytest.MonkeyPatch, kind: type[Plain]) -> None:
    monkeypatch.setattr(passes, "halves_are_fast", lambda device: True)
    gradients, theta, ids = made(kind)
    exact, direct, together = gradients.rows(theta, ids), gradients._direct, gradients._together
    assert not gradients.bears_rounding(theta, ids)
    assert (gradients._direct, gradients._together) == (direct, together)
    assert torch.equal(gradients.rows(theta, ids), exact)


def test_without_fast_bfloat16_passes_stay_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "halves_are_fast", lambda device: False)
    gradients, theta, ids = made(Plain)
    assert not gradients.bears_rounding(theta, ids)


@pytest.mark.parametrize("kind", [Unknown, Mixing, Weighing])
def test_what_is_unknown_or_mixes_rows_is_asked_row_by_row(kind: type[Plain]) -> None:
    gradients, theta, ids = made(kind)
    own = gradients.rows(theta, ids)
    assert not gradients._direct
    alone = torch.stack([gradients.mean(theta, row[None]) for row in ids])
    assert relative(own, alone) < 1e-5


def test_a_graph_that_changes_is_compared_again() -> None:
    class Turning(Plain):
        """Looks at another operation when told to."""

        mixing = False

        def middle(self, x: Tensor, ids: Tensor) -> Tensor:
            return x - x.mean(0, keepdim=True) if self.mixing else torch.tanh(x)

    gradients, theta, ids = made(Turning)
    gradients.rows(theta, ids)
    assert gradients._direct
    model: Any = gradients._called.model
    model.mixing = True
    alone = torch.stack([gradients.mean(theta, row[None]) for row in ids])
    assert relative(gradients.rows(theta, ids), alone) < 1e-5
    assert not gradients._direct


def test_layouts_are_seen_in_one_rows_derivative() -> None:
    of_second = torch.zeros(3, 4, 2)
    of_second[1] = 1
    assert layout_of(of_second, 3, False) == "first"
    assert layout_of(of_second.transpose(0, 1), 3, False) == "second"
    assert layout_of(of_second.transpose(0, 1).reshape(12, 2), 3, False) == "flat"
    assert layout_of(torch.ones(12, 2), 3, False) is None


def test_what_broadcasting_repeated_is_summed() -> None:
    x = torch.arange(48.0).view(2, 3, 4, 2)
    assert torch.equal(summed(x, (2,)), x.sum((1, 2)))
    assert torch.equal(summed(x, (1, 4, 1)), x.sum((1, 3)).view(2, 1, 4, 1))

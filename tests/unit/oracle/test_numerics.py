"""Canonical numerics: index rows, answers and shares hardly depend on threads, batches, padding, precision or kernels.

Tolerances: a row may differ by 1e-3 of its length (verify.ROW_TOLERANCE) and shares by 1e-4 in total variation; what is
honest stays below a tenth and a third of that here. The other machine is emulated: every matrix product and every sum
adds in another order, forward and backward, and attention is torch's fused kernel instead of our own arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from openledger.attribution_oracle import claims, gradients, influence, model, replayed
from openledger.attribution_oracle.influence import GradientDot, Index, quantise, row_error
from openledger.attribution_oracle.model import pad
from openledger.attribution_oracle.path import Steps, path_rows
from openledger.attribution_oracle.train import start_tensors

pytestmark = pytest.mark.torch
ROW, SHARE = 1e-4, 33
"""Relative, and ppm in total variation; most of the latter is what explained fractions make of losses in fp32."""
FP32 = 2e-5
"""How far an fp32 row may lie from the same in fp64, relative."""
STEPS = 8
aten = torch.ops.aten


def _mixed(left: Tensor, right: Tensor, product: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """A product whose terms are added in another order: shuffled, and in two halves."""
    size = left.shape[-1]
    order = torch.randperm(size, generator=torch.Generator().manual_seed(size))
    first, second = order[: size // 2], order[size // 2 :]
    if not len(first):
        return product(left, right)
    return product(left[..., first], right[..., first, :]) + product(left[..., second], right[..., second, :])


class OtherKernels(TorchDispatchMode):
    """Matrix products and sums in another order; ``seen`` counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (aten.mm.default, aten.bmm.default):
            self.seen += 1
            return _mixed(args[0], args[1], lambda a, b: func(a, b))
        if func is aten.sum.dim_IntList and args[0].is_floating_point() and args[1]:
            self.seen += 1
            return func(args[0].flip(args[1]), *args[1:], **kwargs)
        return func(*args, **kwargs)


@contextmanager
def fp64() -> Iterator[None]:
    """Everything that would be fp32 is fp64."""
    narrow = Tensor.float
    Tensor.float = Tensor.double  # type: ignore[method-assign]
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        Tensor.float = narrow  # type: ignore[method-assign]
        torch.set_default_dtype(torch.float32)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fused(block: Any, x: Tensor, seen: None) -> Tensor:
    """``Block._attend`` by torch's own attention."""
    batch, time, width = x.shape
    q, k, v = block.qkv(x).view(batch, time, 3, block.heads, width // block.heads).permute(2, 0, 3, 1, 4)
    cos, sin = model._rotary(0, time, width // block.heads // 2, x.device)
    q, k = model._rotate(q, cos, sin), model._rotate(k, cos, sin)
    mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return mixed.transpose(1, 2).reshape(batch, time, width)


def path(run: Any, *, double: bool = False, padding: int = 0, draws: int = 2) -> Tensor:
    """Path influence of all rows over the first steps of a run, [rows, parameters]."""
    trainable = replayed.Trainable(run.base, run.settings, run.tensors)
    ids = torch.nn.functional.pad(pad(run.rows, run.base.config.context - padding), (0, padding))
    fresh = start_tensors(run.base, run.base.build(), run.seed, run.settings)
    found = gradients.Gradients(trainable, replayed.trainable_losses)
    start = found.vector({name.replace(".", "_"): tensor for name, tensor in fresh.items()})
    if double:
        trainable.double()
        found, start = gradients.Gradients(trainable, replayed.trainable_losses), start.double()
    steps = Steps.of(run.receipt, len(ids))
    short = replace(steps, batches=steps.batches[:STEPS], lrs=steps.lrs[:STEPS])
    return path_rows(found, start, ids, short, draws, run.seed)[0]


def dots(run: Any) -> Tensor:
    """Gradient dot's rows, [rows, parameters]."""
    return GradientDot().row_vectors(run, range(len(run.rows)), lambda *a: None)


def shares(world: Any, run: Any, index: Index) -> dict[Any, int]:
    """Shares of a claim over all answers, in ppm; None is what is unattributed."""
    scores = claims.score_rows(replace(world.bundle, run=run, index=index), world.answers)
    found, rest = claims.shares_from_scores(scores, world.bundle.contributors)
    return {**dict(found), None: rest}


def apart(ours: dict[Any, int], theirs: dict[Any, int]) -> float:
    """Total variation in ppm."""
    return sum(abs(ours.get(who, 0) - theirs.get(who, 0)) for who in {*ours, *theirs}) / 2


def relative(ours: Tensor, theirs: Tensor) -> float:
    """The largest distance of two rows, relative."""
    return float(((ours.double() - theirs.double()).norm(dim=1) / theirs.double().norm(dim=1)).max())


@pytest.fixture(scope="module")
def reference(made: Any) -> dict[str, Tensor]:
    """Rows in fp32 as everybody computes them."""
    return {"path": path(made.bundle.run), "dot": dots(made.bundle.run)}


def agree(ours: Tensor, theirs: Tensor) -> None:
    """Rows as they stand in an index agree with rows recomputed elsewhere."""
    index = Index("any", *quantise(ours.float()))
    errors = [row_error(index, number, row.float()) for number, row in enumerate(theirs) if float(row.norm())]
    assert len(errors) > 30
    assert max(errors) < ROW


CHANGES = ["two threads", "chunks of three", "without one pass", "row by row", "other kernels", "fused attention"]


@contextmanager
def changed(what: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The same arithmetic on a machine that differs in one thing."""
    around: Any = nullcontext()
    if what == "two threads":
        around = threads(2)
    elif what == "chunks of three":
        monkeypatch.setattr(gradients, "CHUNK", 3)
        monkeypatch.setattr(gradients, "ASKED", 3)
        monkeypatch.setattr(influence, "BATCH", 3)
    elif what == "without one pass":
        monkeypatch.setattr(gradients.Gradients, "_pass", lambda *args: None)
    elif what == "row by row":
        monkeypatch.setattr(gradients.Gradients, "_pass", lambda *args: None)
        monkeypatch.setattr(gradients.Gradients, "_batched", lambda *args: None)
        monkeypatch.setattr(influence, "BATCH", 1)
    elif what == "fused attention":
        monkeypatch.setattr(model.Block, "_attend", fused)
    elif what == "other kernels":
        around = OtherKernels()
    with around:
        yield
    if what == "other kernels":
        assert around.seen > 100


@pytest.mark.parametrize("what", CHANGES)
def test_path_influence_rows_agree(
    what: str, made: Any, reference: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    with changed(what, monkeypatch):
        theirs = path(made.bundle.run)
    agree(reference["path"], theirs)
    if what == "other kernels":
        assert not torch.equal(reference["path"], theirs)


def test_padding_changes_no_row_but_where_the_coins_lie(made: Any, reference: dict[str, Tensor]) -> None:
    """Coins are counted over the padded rows, so their length is part of the format: that of the longest row of all."""
    agree(path(made.bundle.run, draws=0), path(made.bundle.run, draws=0, padding=5))
    assert relative(path(made.bundle.run, padding=5), reference["path"]) > 0.01


@pytest.mark.parametrize("what", CHANGES)
def test_gradient_rows_answers_and_shares_agree(
    what: str, made: Any, reference: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    index = made.bundle.index
    ours = shares(made, made.bundle.run, index)
    with changed(what, monkeypatch):
        theirs = dots(made.bundle.run)
        other = shares(made, made.bundle.run, Index(index.method, *quantise(theirs)))
    assert relative(theirs, reference["dot"]) < FP32
    assert apart(ours, other) <= SHARE


def test_fp32_agrees_with_fp64(made: Any, reference: dict[str, Tensor]) -> None:
    run = made.bundle.run
    with fp64():
        exact = path(run, double=True)
        assert exact.dtype == torch.float64
        wide = replace(run, model=made.bundle.run.base.build().double(),
                       tensors={name: t.double() for name, t in run.tensors.items()})  # fmt: skip
        answer = made.answers[1]
        vector = GradientDot().answer_vector(wide, answer.query, answer.answer)
        assert vector.dtype == torch.float64
    assert relative(reference["path"], exact) < ROW
    agree(reference["path"], exact.float())
    plain = GradientDot().answer_vector(run, answer.query, answer.answer)
    assert relative(plain[None], vector[None]) < FP32


def test_a_tolerance_this_tight_still_tells_a_changed_row(reference: dict[str, Tensor]) -> None:
    index = Index("any", *quantise(reference["path"]))
    assert row_error(index, 3, reference["path"][3] * 1.002) > 10 * ROW
    assert row_error(index, 3, reference["path"][4]) > 100 * ROW


def test_half_precision_is_not_within_it(made: Any, reference: dict[str, Tensor]) -> None:
    """bf16 is why the path is fp32: rounded once, an answer's gradient is already out by a tenth of a percent."""
    rounded = reference["dot"].to(torch.bfloat16).float()
    assert relative(rounded, reference["dot"]) > 1e-3

"""EK-FAC, LoGra and DataInf as methods of published models: right where the truth is known, recomputed by anybody."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from openledger.abci_app.modules.models import publish  # noqa: E402
from openledger.attribution_oracle import (  # noqa: E402
    claims,
    curvature,
    factory,
    influence,
    lora,
    methods,
    preconditioned,
)
from openledger.attribution_oracle.bundle import row_leaves  # noqa: E402
from openledger.attribution_oracle.model import Adapted  # noqa: E402
from openledger.attribution_oracle.verify import verify_job  # noqa: E402
from openledger.node import operator, oracle_worker  # noqa: E402
from openledger.node.cli import models, root  # noqa: E402
from openledger.node.cli.common import App  # noqa: E402
from openledger.node.rows import blob_of  # noqa: E402
from openledger.primitives.errors import InvalidModel  # noqa: E402
from openledger.primitives.types import to_hex  # noqa: E402
from tests.unit.oracle.conftest import WORDS, MemoryBlobs, put_data, sentences  # noqa: E402

pytestmark = pytest.mark.torch
NAMES = ("ek-fac", "logra", "datainf")
APPLES, METALS, WATERS = (bytes([n]) * 20 for n in (1, 2, 3))


@pytest.fixture(scope="module", params=NAMES)
def indexed(made: Any, request: pytest.FixtureRequest) -> Any:
    """The toy model with an index by another method, and an honest claim on it."""
    blobs = type(made.blobs)()
    blobs.kept = dict(made.blobs.kept)
    published = factory.publish(blobs, made.model, factory.make_index(made.model, method=request.param))
    bundle = factory.load_bundle(blobs, to_hex(published["bundle"]), known=made.known)
    world = replace(made, blobs=blobs, published=published, bundle=bundle)
    world.settle()
    return world


def silent(*progress: Any) -> None:
    """Shows nothing."""


def test_the_chain_takes_every_method_of_the_registry_and_no_other() -> None:
    assert set(publish.METHODS) == set(methods.METHODS) == set(models.METHODS)
    assert models.DEFAULT_METHOD == methods.DEFAULT_METHOD
    assert all(method.cost and method.name == name for name, method in methods.METHODS.items())


def test_the_method_taken_by_itself_is_one_that_validators_recheck_in_time() -> None:
    """A devnet votes for 60 s, a network for an hour, of which a replay may take a half; a turn has 600 s at most."""
    assert methods.fitting("lora", 6.0, 60) == "path-influence"
    assert methods.fitting("lora", 7.0, 60) == "ek-fac"
    assert methods.fitting("lora", 17.0, 60) == "gradient-dot"
    assert methods.fitting("full", 5.0, 60) == "gradient-dot"
    assert methods.fitting("lora", 180.0, 3600) == "path-influence"
    assert methods.fitting("full", 120.0, 3600) == "path-influence"
    assert methods.fitting("full", 121.0, 3600) == "gradient-dot"
    assert methods.fitting("lora", 60.0, 600) == "path-influence"
    assert methods.fitting("lora", 61.0, 600) == "ek-fac"
    assert methods.fitting("lora", 181.0, 3600) == "gradient-dot", "factors of 272 s do not fit a turn"
    assert methods.JOB_SECONDS == oracle_worker.JOB_SECONDS


def test_an_honest_claim_is_accepted_and_pays_who_wrote_the_words(indexed: Any) -> None:
    verdict = verify_job(indexed.job, indexed.blobs, seed=b"seed", known=indexed.known)
    assert verdict.valid, verdict.reason
    scores = claims.score_rows(indexed.bundle, [indexed.answers[1]])
    of = dict.fromkeys((APPLES, METALS, WATERS), 0)
    for who, score in zip(indexed.bundle.contributors, scores, strict=True):
        of[who] += max(score, 0)
    assert of[APPLES] > 3 * max(of[METALS], of[WATERS])


def test_a_row_changed_by_a_percent_is_named(indexed: Any) -> None:
    index, blobs = indexed.bundle.index, indexed.blobs
    scale = index.scale.clone()
    scale[7] *= 1.01
    changed = influence.Index(index.method, index.q, scale)
    name = "0x" + blobs.put(changed.dump())
    root = to_hex(changed.root(row_leaves(indexed.bundle.contributors, indexed.bundle.lines)))
    manifest = {**indexed.bundle.manifest, "index": name, "index_root": root}
    bundle = blobs.put(json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode())
    job = replace(indexed.job, index_blob=name, index_root=root, bundle_blob="0x" + bundle)
    verdict = verify_job(job, blobs, seed=b"seed", known=indexed.known)
    assert not verdict.valid
    assert "index row 7" in verdict.reason


def test_another_machine_finds_the_same_index(indexed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels that differ by one part in a million in every layer, and rows asked for in other batches: what a fresh
    process finds stays within a tenth of the tolerance."""
    chance = torch.Generator().manual_seed(1)
    true = Adapted.forward

    def noisy(layer: Any, x: Any) -> Any:
        y = true(layer, x)
        return y * (1 + 1e-6 * torch.randn(y.shape, generator=chance))

    monkeypatch.setattr(Adapted, "forward", noisy)
    run, index = indexed.bundle.run, indexed.bundle.index
    fresh = type(methods.method(index.method))()
    some = [*range(len(run.rows) - 1, 0, -3)]
    theirs = fresh.row_vectors(run, some, silent)
    worst = max(influence.row_error(index, i, row) for i, row in zip(some, theirs, strict=True))
    assert worst < 1e-4


def test_factors_are_made_once_a_model(indexed: Any) -> None:
    fresh, seen = type(methods.method(indexed.bundle.index.method))(), []
    first = fresh.row_vectors(indexed.bundle.run, [3], lambda *a: seen.append(a))
    count = sum(text != "rows" for *_, text in seen)
    fresh.row_vectors(indexed.bundle.run, [3], lambda *a: seen.append(a))
    assert sum(text != "rows" for *_, text in seen) == count
    assert torch.equal(first, fresh.row_vectors(indexed.bundle.run, [3], silent))


# --- the formulas, against plain linear algebra -------------------------------------------------------------


def test_drawn_values_have_the_rows_gradients_shape_and_the_fisher_matrix_as_mean(made: Any) -> None:
    """A part of one tensor's Gauss-Newton matrix, from differences of the logits, against many draws."""
    run = replace(made.bundle.run, rows=made.bundle.run.rows[:2])
    name, _ = next(iter(lora.places(run.model, run.settings.lora)))
    ids = torch.tensor([row[:10] for row in run.rows])
    flat = run.tensors[f"{name}.b"].flatten()[:6]

    def logits(some: Any) -> Any:
        b = torch.cat([some, run.tensors[f"{name}.b"].flatten()[6:]]).view(run.tensors[f"{name}.b"].shape)
        with lora.attached(run.model, run.settings.lora, {**run.tensors, f"{name}.b": b}):
            return run.model(ids[:, :-1])

    steps = 1e-2 * torch.eye(6)
    slopes = torch.stack([(logits(flat + h) - logits(flat - h)) / 2e-2 for h in steps], -1)  # [rows, time, vocab, 6]
    odds = logits(flat).softmax(-1)
    inner = torch.diag_embed(odds) - odds[..., :, None] * odds[..., None, :]
    wanted = torch.einsum("rtvi,rtvw,rtwj->ij", slopes, inner, slopes) / odds.shape[1]
    found = torch.zeros(6, 6)
    for draw in range(150):
        rows = curvature._batch(run, ids, f"test.{draw}")[1].rows().reshape(2, -1)[:, :6]
        found += rows.T @ rows / 150
    assert float((found - wanted).norm() / wanted.norm()) < 0.3


def test_ek_fac_inverts_its_own_curvature(made: Any) -> None:
    """In the basis curvature is diagonal: through vector and damped matrix one comes back to the gradient."""
    run = made.bundle.run
    method = preconditioned.EkFac()
    factors = method.factors(run, silent)
    raw = influence.GradientDot().row_vectors(run, [0, 5], silent)
    done = method.applied(run, factors, raw)
    parts = zip(factors, preconditioned.tensors_of(run, raw), preconditioned.tensors_of(run, done), strict=True)
    for basis, (_, g), (_, x) in parts:
        assert torch.allclose(basis.q_in.T @ basis.q_in, torch.eye(len(basis.q_in)), atol=1e-5)
        back = basis.q_out @ (basis.rotated(x) / basis.inverse) @ basis.q_in.T
        assert torch.allclose(back, g, atol=1e-4 * float(g.abs().max()))


def test_datainf_is_equation_5(made: Any) -> None:
    run = made.bundle.run
    found = preconditioned.DataInf().row_vectors(run, [2], silent)
    raw = influence.GradientDot().row_vectors(run, range(len(run.rows)), silent)
    at = math.prod(next(iter(lora.shapes(run.model, run.settings.lora).values())))
    g = raw[:, :at].double().numpy()
    damp = 0.1 * (g**2).sum(1).mean() / at
    inverse = np.mean([(np.eye(at) - np.outer(x, x) / (damp + x @ x)) / damp for x in g], 0)
    assert np.allclose(found[0, :at].numpy(), inverse @ g[2], rtol=1e-3, atol=1e-4 * np.abs(inverse @ g[2]).max())


def test_logra_rows_are_small_and_answers_are_of_the_same_size(made: Any) -> None:
    run, method = made.bundle.run, methods.method("logra")
    shapes = lora.shapes(run.model, run.settings.lora).values()
    assert method.dim(run) == sum(min(a, 32) * min(b, 32) for a, b in shapes) < run.parameters
    assert method.answer_vector(run, "apple", " pear").shape == (method.dim(run),)


def test_a_full_fine_tune_is_indexed_through_its_probe(full_world: Any) -> None:
    run = full_world.bundle.run
    for name in NAMES:
        index = methods.make_index(run, name)
        scores = index.dot(methods.method(name).answer_vector(run, "apple pear plum", " cherry grape melon"))
        assert np.isfinite(scores).all()
        assert scores[:12].sum() > abs(scores[12:].sum())


def test_datainf_refuses_more_gradients_than_it_may_keep(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preconditioned, "LARGEST", 1000)
    with pytest.raises(InvalidModel, match="entries"):
        methods.make_index(made.bundle.run, "datainf")


# --- few rows -------------------------------------------------------------------------------------------------


def other_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients differ between machines by 1e-7 to 7e-7."""
    gram, draw = preconditioned._gram, torch.Generator().manual_seed(5)
    noisy = lambda some: gram(some * (1 + 2e-7 * torch.randn(some.shape, generator=draw)))  # noqa: E731
    monkeypatch.setattr(preconditioned, "_gram", noisy)


@pytest.mark.parametrize(("rows", "agree"), [(2, False), (24, True)])
def test_machines_agree_on_ek_fac_rows_where_there_are_enough_and_else_none_are_made(
    made: Any, monkeypatch: pytest.MonkeyPatch, rows: int, agree: bool
) -> None:
    t = made.model.trained
    receipt = {**t.receipt, "rows": rows}  # what is kept of a model is kept by its receipt
    run = influence.Run.of(t.base, t.settings, t.tensors, receipt, made.model.texts[:rows])
    if not agree:
        with pytest.raises(InvalidModel, match="too few for ek-fac"):
            methods.make_index(run, "ek-fac")
        monkeypatch.setattr(preconditioned, "SPAN", 0.0)
    index = methods.make_index(run, "ek-fac")
    with monkeypatch.context() as patched:
        other_machine(patched)
        vectors = preconditioned.EkFac().row_vectors(run, range(rows), silent)
    away = max(index.error(row, vector) for row, vector in enumerate(vectors))
    assert (away < 1e-4) == agree
    assert (away > 1e-3) != agree


def test_by_itself_no_method_is_taken_that_the_rows_are_too_few_for() -> None:
    app = SimpleNamespace(call=lambda asked: {"voteSeconds": 60})
    base = SimpleNamespace(name="openledger/tiny-v1")
    for spans, method in ((True, "ek-fac"), (False, "gradient-dot")):
        trained = SimpleNamespace(widest=1, spans=spans, trained=SimpleNamespace(base=base, seconds=7.0))
        found, why = models.rechecked_in_time(app, trained, "lora", "cpu")  # type: ignore[arg-type]
        assert found == method
        assert why.startswith(f"auto took {method}: the most accurate is path-influence")


def test_machines_are_told_which_method_was_taken_and_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reason of auto, null where somebody named the method."""
    blobs = MemoryBlobs()
    data = put_data(blobs, {who: sentences(words, 2) for who, words in WORDS.items()})
    monkeypatch.setattr(operator, "version_data", lambda client, refs: data)
    monkeypatch.setattr(operator, "NodeBlobs", lambda client: blobs)
    monkeypatch.setattr(App, "call", lambda self, method: {"voteSeconds": 60})
    found = {}
    for method in ("auto", "datainf"):
        command = ["model", "train", "--data", "1", "--size", "small", "--device", "cpu", "--method", method]
        assert root.run(["--json", "--home", str(tmp_path), *command, "-o", str(tmp_path / method)]) == 0
        found[method] = json.loads(capsys.readouterr().out)
    assert found["auto"]["method"] in methods.METHODS
    assert found["auto"]["why"].startswith(f"auto took {found['auto']['method']}")
    assert "a claim is voted on for 60 s" in found["auto"]["why"]
    assert (found["datainf"]["method"], found["datainf"]["why"]) == ("datainf", None)
    command = ["model", "train", "--data", "1", "--size", "small", "--device", "cpu", "--method", "datainf"]
    (tmp_path / "held.jsonl").write_bytes(
        blob_of([sentences(next(iter(WORDS.values())), 1)[0], "nobody has trained on this"])
    )
    held = ["--held-out", str(tmp_path / "held.jsonl"), "-o", str(tmp_path / "datainf")]
    assert root.run(["--home", str(tmp_path), *command, *held]) == 0
    said = capsys.readouterr().out
    assert re.search(r"1\. Train .* \d+ steps: loss \d+\.\d+, then loss \d+\.\d+\n", said)
    assert re.search(r"2 documents: \d+\.\d+ nats a token, base ", said)
    assert "1 of them are training rows" in said
    assert f"the model that was here before is in {tmp_path / 'datainf' / 'model-1.json'}" in said.replace("\n", "")


def test_a_model_says_whether_its_rows_are_enough_for_ek_fac(made: Any) -> None:
    assert made.model.spans
    assert not replace(made.model, texts=made.model.texts[:2]).spans

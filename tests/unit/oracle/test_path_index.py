"""Path influence as a published model's index: recomputed by anybody, on any machine, and nothing else passes."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from openledger.attribution_oracle import claims, gradients, influence, recheck, replayed, tensors  # noqa: E402
from openledger.attribution_oracle.bundle import row_leaves  # noqa: E402
from openledger.attribution_oracle.model import pad  # noqa: E402
from openledger.attribution_oracle.ports import silent  # noqa: E402
from openledger.attribution_oracle.train import receipt_bytes  # noqa: E402
from openledger.attribution_oracle.verify import verify_job  # noqa: E402
from openledger.primitives.errors import InvalidModel  # noqa: E402
from openledger.primitives.types import to_hex  # noqa: E402

pytestmark = pytest.mark.torch
APPLES, METALS, WATERS = (bytes([n]) * 20 for n in (1, 2, 3))


def check(world: Any, **changes: Any) -> Any:
    return verify_job(replace(world.job, **changes), world.blobs, seed=b"seed", known=world.known)


def test_an_honest_claim_is_accepted(path_world: Any) -> None:
    verdict = check(path_world)
    assert verdict.valid, verdict.reason


def test_who_wrote_the_words_of_an_answer_earns_it(path_world: Any) -> None:
    scores = claims.score_rows(path_world.bundle, [path_world.answers[1]])
    of = dict.fromkeys((APPLES, METALS, WATERS), 0)
    for who, score in zip(path_world.bundle.contributors, scores, strict=True):
        of[who] += max(score, 0)
    assert of[APPLES] > 3 * max(of[METALS], of[WATERS])


def test_a_row_changed_by_a_percent_is_named(path_world: Any) -> None:
    index = path_world.bundle.index
    scale = index.scale.clone()
    scale[7] *= 1.01
    changed = influence.Index(index.method, index.q, scale)
    name = "0x" + path_world.blobs.put(changed.dump())
    root = to_hex(changed.root(row_leaves(path_world.bundle.contributors, path_world.bundle.lines)))
    manifest = {**path_world.bundle.manifest, "index": name, "index_root": root}
    bundle = path_world.blobs.put(json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode())
    job = {"index_blob": name, "index_root": root, "bundle_blob": "0x" + bundle}
    verdict = check(path_world, **job, named=((7, 8),), again=True)
    assert not verdict.valid
    assert "index row 7" in verdict.reason


def test_another_machine_finds_the_same_index(path_world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other batches of gradients, and kernels that differ by one part in a million: rows, weights and moments stay
    within a tenth of the tolerances at the beginning of the run, in its middle, and at its end."""
    bundle, chance = path_world.bundle, torch.Generator().manual_seed(1)
    true = gradients.Gradients._each

    def noisy(*inputs: Any) -> Any:
        found = true(*inputs)
        return found * (1 + 1e-6 * torch.randn(found.shape, generator=chance))

    monkeypatch.setattr(gradients, "CHUNK", 3)
    monkeypatch.setattr(gradients.Gradients, "_each", noisy)
    monkeypatch.setattr(recheck, "ROW_TOLERANCE", 1e-4)
    monkeypatch.setattr(recheck, "STATE_TOLERANCE", 1e-4)
    assert len(bundle.cuts) == 7
    for segment in (0, 3, 7):
        right: set[recheck.Spot] = set()
        assert recheck.check_spots(bundle, path_world.blobs, [(0, segment)], right) is None
        assert right == set(product(range(bundle.index.rows), [segment])), "all rows, where they fit the memory"


@pytest.mark.parametrize("lie", ["dropped example", "other learning rate", "other seed"])
def test_a_receipt_that_does_not_lead_to_the_weights_is_refused(path_world: Any, lie: str) -> None:
    run = path_world.bundle.run
    receipt = json.loads(receipt_bytes(run.receipt))
    if lie == "dropped example":
        receipt["batches"][3] = receipt["batches"][3][:-1]
    elif lie == "other learning rate":
        receipt["lrs"] = [lr * 1.05 for lr in receipt["lrs"]]
    if lie == "other seed":
        receipt["seed"] = run.seed + 1
    bundle = replace(path_world.bundle, run=replace(run, receipt=receipt, seed=receipt["seed"]))
    fault = recheck.check_spots(bundle, path_world.blobs, [(0, 0)], set())
    assert fault is not None
    assert "does not lead to the checkpoint" in fault.reason


def test_a_short_run_that_does_not_lead_to_the_weights_is_refused(small_run: Any) -> None:
    receipt = json.loads(receipt_bytes(small_run.receipt))
    receipt["batches"][3] = receipt["batches"][3][:-1]
    with pytest.raises(InvalidModel, match="does not lead to the weights"):
        replayed.PathInfluence().row_vectors(replace(small_run, receipt=receipt), [0], silent)


def test_a_short_run_is_replayed_once(small_run: Any) -> None:
    method, run = replayed.PathInfluence(), small_run
    steps: list[tuple[Any, ...]] = []
    first = method.row_vectors(run, [1, 0], lambda *a: steps.append(a))
    count = len(steps)
    again = method.row_vectors(run, [0], lambda *a: steps.append(a))
    assert count == len(steps) > 0
    assert torch.equal(first[1], again[0])


def test_a_model_that_was_called_plainly_still_takes_other_weights(path_world: Any) -> None:
    run = path_world.bundle.run
    model = replayed.Trainable(run.base, run.settings, run.tensors)
    ids = pad(run.rows[:2], run.model.config.context)
    plainly = replayed.trainable_losses(model, ids)
    found = gradients.Gradients(model, replayed.trainable_losses)
    assert torch.allclose(found.losses(found.now(), ids), plainly.detach(), atol=1e-5)
    assert found.rows(found.now(), ids).abs().sum() > 0


def test_signs_are_the_generators_bits() -> None:
    """The first output of Philox4x64-10 for this key, lowest bit first."""
    raw = int(tensors._raw(3, "coin", 1)[0])
    assert tensors.signs(3, "coin", 70)[:64].tolist() == [1.0 if raw >> i & 1 else -1.0 for i in range(64)]
    assert abs(float(tensors.signs(3, "coin", 100_000).mean())) < 0.02

"""Path influence without decay on a base in a folder: rechecked by others, in parts that fit their memory, and nothing
that is false passes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", reason="the extra for Hugging Face bases is not installed")

from openledger.attribution_oracle import (  # noqa: E402
    claims,
    factory,
    influence,
    lora,
    measured,
    methods,
    parts,
    recheck,
    replayed,
    tape,
)
from openledger.attribution_oracle.bases import Shelf  # noqa: E402
from openledger.attribution_oracle.bundle import row_leaves  # noqa: E402
from openledger.attribution_oracle.gradients import Gradients  # noqa: E402
from openledger.attribution_oracle.kept import Kept  # noqa: E402
from openledger.attribution_oracle.path import DAMPING, Effects, Moments, Steps  # noqa: E402
from openledger.attribution_oracle.ports import SliceOver, silent  # noqa: E402
from openledger.attribution_oracle.replayed import PathUndecayed, Replay  # noqa: E402
from openledger.attribution_oracle.tape import Place  # noqa: E402
from openledger.attribution_oracle.tensors import signs, uniform  # noqa: E402
from openledger.attribution_oracle.verify import verify_job  # noqa: E402
from openledger.primitives.errors import OracleError  # noqa: E402
from openledger.primitives.types import to_hex  # noqa: E402
from tests.unit.oracle.conftest import WORDS, MemoryBlobs, World, put_data, sentences, settled  # noqa: E402
from tests.unit.oracle.hf_folders import make_folder  # noqa: E402

pytestmark = pytest.mark.torch
METHOD = "path-undecayed"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf([make_folder(tmp_path_factory.mktemp("llama"), "llama")])


@pytest.fixture(scope="module")
def world(shelf: Shelf) -> World:
    """24 rows, 30 steps in three segments."""
    blobs = MemoryBlobs()
    data = put_data(blobs, {who: sentences(words, 8) for who, words in WORDS.items()})
    (name,) = shelf
    settings = {"epochs": 10, "lr": 1e-2, "lora": lora.LoraSettings(2, 4.0)}
    model = factory.train_model(blobs, data, base=name, seed=5, settings=settings, known=shelf)
    return settled(blobs, shelf, data, model, factory.make_index(model, method=METHOD))


def check(world: World, job: Any = None, **more: Any) -> Any:
    return verify_job(job or world.job, world.blobs, seed=b"seed", known=world.known, **more)


def test_an_honest_claim_is_accepted_and_pays_who_wrote_the_words(world: World) -> None:
    assert len(world.bundle.cuts) == 2
    verdict = check(world)
    assert verdict.valid, verdict.reason
    assert verdict.replayed == (1, 2, 3)
    of = dict.fromkeys(WORDS, 0)
    scores = claims.score_rows(world.bundle, [world.answers[1]])
    for who, score in zip(world.bundle.contributors, scores, strict=True):
        of[who] += max(score, 0)
    assert of[bytes([1]) * 20] > 2 * max(of[bytes([2]) * 20], of[bytes([3]) * 20])


@pytest.mark.parametrize("lie", ["a percent", "another row", "the decayed method's"])
def test_a_false_row_is_named(world: World, lie: str) -> None:
    index = world.bundle.index
    q, scale = index.q.clone(), index.scale.clone()
    if lie == "a percent":
        scale[7] *= 1.01
    elif lie == "another row":
        q[7], scale[7] = q[8], scale[8]
    else:
        other = factory.make_index(world.model, method="path-influence")
        q[7], scale[7] = other.q[7], other.scale[7]
    changed = influence.Index(index.method, q, scale)
    name = "0x" + world.blobs.put(changed.dump())
    root = to_hex(changed.root(row_leaves(world.bundle.contributors, world.bundle.lines)))
    manifest = {**world.bundle.manifest, "index": name, "index_root": root}
    bundle = "0x" + world.blobs.put(json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode())
    job = replace(world.job, index_blob=name, index_root=root, bundle_blob=bundle, named=((7, 3),), again=True)
    verdict = check(world, job)
    assert not verdict.valid
    assert "index row 7" in verdict.reason


@pytest.mark.parametrize("lie", ["a dropped example", "a swapped document"])
def test_a_run_over_other_rows_is_refused(world: World, lie: str) -> None:
    run = world.bundle.run
    batches = [list(batch) for batch in run.receipt["batches"]]
    if lie == "a dropped example":
        batches[3] = batches[3][:-1]
    else:
        batches[3][0] = next(row for row in range(len(run.rows)) if row not in batches[3])
    bundle = replace(world.bundle, run=replace(run, receipt={**run.receipt, "batches": batches}))
    fault = recheck.check_spots(bundle, world.blobs, [(0, 0)], set())
    assert fault is not None
    assert "does not lead to the checkpoint" in fault.reason


def test_without_curvature_a_steps_effect_is_the_formula_layer_by_layer() -> None:
    """One step of two rows over two layers of 2 and 3 parameters."""
    steps = Steps(((0, 1),), (0.1,), 0.9, 0.99, 1e-6)
    own = torch.tensor([[1.0, -2.0, 0.01, 0.02, -0.01], [3.0, 1.0, 0.03, -0.01, 0.02]])
    adam = Moments(torch.zeros(5), steps)
    adam.step(mean := own.mean(0), 0.1)
    effects = Effects(2, adam, layers=[2, 3])
    effects.step(torch.tensor([0, 1]), own, mean, None, 0.1)
    square = mean.square()
    damp = DAMPING * torch.cat([part.mean().expand(len(part)) for part in square.split([2, 3])])
    root = (square + damp + 1e-12).sqrt()
    push = (own - mean) / 2
    expected = -0.1 * push / root + 0.1 * mean / (2 * root**3) * 2 * push * mean
    assert torch.allclose(effects.u, expected, rtol=1e-4)


def test_what_machines_round_in_one_layer_is_not_made_larger_than_what_another_does() -> None:
    """One layer's gradients are a thousand times the other's, but for a few entries that are as small, and are rounded
    by a millionth of the large ones. With one mean for both those few would come out wrong."""
    steps = Steps(((0, 1), (2, 3)) * 2, (0.01,) * 4, 0.9, 0.99, 1e-6)
    sizes = torch.cat((torch.full((10,), 1.0), torch.full((990,), 1e-3)))
    noise = torch.cat((torch.full((100,), 1e-6), torch.full((900,), 1e-9)))
    own = [uniform(1, f"own.{step}", 2000).view(2, 1000) * sizes for step in range(4)]

    def apart(layers: list[int]) -> float:
        rows = []
        for machine in range(2):
            effects = Effects(4, Moments(torch.zeros(1000), steps), layers=layers)
            for number, batch in enumerate(steps.batches):
                found = own[number] + machine * noise * uniform(2, f"noise.{number}", 2000).view(2, 1000)
                effects.adam.step(found.mean(0), 0.01)
                effects.step(torch.tensor(batch), found, found.mean(0), None, 0.01)
            rows.append(effects.u)
        return float(((rows[0] - rows[1]).norm(dim=1) / rows[0].norm(dim=1)).max())

    assert apart([100, 900]) < 1e-5
    assert apart([]) > 10 * apart([100, 900])


# --- in parts -----------------------------------------------------------------------------------------------


def test_a_batch_in_parts_has_the_gradients_and_the_coins_of_the_whole(world: World) -> None:
    replay = Replay(world.bundle.run)
    theta, ids = replay.start(), replay.ids[:7]
    theta = theta + 0.01 * uniform(3, "theta", len(theta))
    whole = replay.gradients.drawn(theta, ids, 2, 5, "fisher.1")
    each = parts.row_bytes(replay.model, ids.shape[1], 2)
    for rows, memory in ((1, 1), (3, 4 * 3 * each)):
        assert parts.rows_at_once(replay.model, ids.shape[1], 7, 2, memory) == rows
        found = replay.source(memory).drawn(theta, ids, 2, 5, "fisher.1")
        for ours, theirs in zip(found, whole, strict=True):
            assert float((ours - theirs).norm()) < 1e-5 * float(theirs.norm())
        rows_alone = replay.source(memory).rows(theta, ids)
        assert float((rows_alone - whole[0]).norm()) < 1e-5 * float(whole[0].norm())
    tossed = signs(5, "fisher.1", 3000)
    for first in (0, 63, 64, 255, 256, 1000):
        assert torch.equal(signs(5, "fisher.1", 500, first), tossed[first : first + 500])


def test_a_batch_never_takes_more_rows_than_its_memory_and_one_at_least() -> None:
    large: Any = SimpleNamespace(config=SimpleNamespace(vocab=50_000, context=512), squares=270, parameters=list)
    each = parts.row_bytes(large, 60)
    assert 16 * 50_000 * 60 < each < 64 << 20
    assert parts.rows_at_once(large, 60, 8, 0, 1 << 40) == 8
    assert parts.rows_at_once(large, 60, 8, 0, 4 * 5 * each) == 5
    assert parts.rows_at_once(large, 60, 8, 2, 4 * 5 * each) == 2
    assert parts.rows_at_once(large, 60, 8, 0, 1) == 1


def test_what_a_row_takes_counts_the_heads_of_the_model_that_is_trained(world: World) -> None:
    run = world.bundle.run
    replay, heads = Replay(run), run.base.build().squares
    assert heads > 0
    assert replay.model.squares == heads
    linear = 16 * run.base.config.vocab
    assert parts.row_bytes(replay.model, 32) == 32 * linear + 12 * heads * 32 * 32


def test_an_lds_in_parts_finds_what_it_finds_in_whole_batches_and_never_reads_more_rows_than_fit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, index = world.bundle.run, world.bundle.index
    assert isinstance(index, influence.Index)
    texts, shapes = ["apple pear plum cherry", "iron copper zinc", "river ocean lake pond creek"], list[Any]()
    model, forward = Replay(run).model, replayed.Trainable.forward

    def seen(self: replayed.Trainable, ids: Any) -> Any:
        shapes.append(ids.shape)
        return forward(self, ids)

    monkeypatch.setattr(replayed.Trainable, "forward", seen)

    def measure() -> tuple[measured.Measurement, int, int]:
        shapes.clear()
        found = measured.measure(run, index, world.bundle.contributors, texts, 4)
        return found, max(rows for rows, _ in shapes), max(n * parts.row_bytes(model, t + 1) for n, t in shapes)

    whole, most, height = measure()
    assert most == 8
    memory = height // 3
    monkeypatch.setattr(measured, "MEMORY", tape.SHARE * memory)
    found, most, height = measure()
    assert 1 < most < 8
    assert height <= memory
    assert found.rows.told == pytest.approx(whole.rows.told)
    assert found.rows.true == pytest.approx(whole.rows.true, rel=1e-4)


def test_a_step_that_is_broken_off_between_two_parts_makes_no_part_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "at_once", lambda model, longest, most: 3)
    monkeypatch.setitem(methods.METHODS, METHOD, PathUndecayed())
    made: list[int] = []
    true = Gradients.rows

    def counted(self: Gradients, theta: Any, ids: Any) -> Any:
        made.append(len(ids))
        return true(self, theta, ids)

    def at_once(done: int, total: int, what: str) -> None:
        raise SliceOver(done, total, what)

    monkeypatch.setattr(Gradients, "rows", counted)
    kept, found = Kept(), None
    for _ in range(300):
        try:
            found = check(world, kept=kept, progress=at_once)
            break
        except SliceOver:
            continue
    assert found is not None, "it never ends"
    assert found.valid, found.reason
    assert made == [3, 3, 2] * len(world.bundle.run.receipt["batches"])


def test_the_index_is_the_same_within_any_memory_and_too_little_is_said(world: World, tmp_path: Path) -> None:
    run = world.bundle.run
    replay = Replay(run, form=PathUndecayed.form)
    least = next(m for m in range(1 << 12, 1 << 26, 1 << 12) if _fits(replay, m))
    with pytest.raises(OracleError, match=r"needs \d+ MiB of memory, \d+ are allowed"):
        methods.make_index(run, METHOD, place=Place(None, least - (1 << 12)))
    small = methods.make_index(run, METHOD, place=Place(tmp_path, least))
    assert len(replay.passes(range(24), least)) > 1
    for number in range(24):
        row = small.q[number].float() * small.scale[number]
        assert world.bundle.index.error(number, row) < 1e-3


def _fits(replay: Replay, memory: int) -> bool:
    try:
        return bool(replay.passes(range(len(replay.ids)), memory))
    except OracleError:
        return False


def test_a_large_index_keeps_both_moments_where_there_is_no_curvature() -> None:
    assert tape.alone(400, 230_400, 2)
    assert not tape.alone(400, 230_400, 0)
    assert tape.pace(400, 230_400, 0) == 0
    steps = Steps(((0, 1),), (0.1,), 0.9, 0.99, 1e-6)
    few, many = (len(tape.passes(range(400), 400, steps, 230_400, draws, 1 << 29)) for draws in (2, 0))
    assert many > few


def test_the_two_forms_of_a_run_are_not_taken_for_each_other(world: World) -> None:
    """They share the receipt, and a process that has replayed one of them must not answer for the other."""
    run = world.bundle.run
    ours, theirs = (methods.method(n).row_vectors(run, [2], silent)[0] for n in (METHOD, "path-influence"))
    assert float((ours - theirs).norm()) > 0.05 * float(ours.norm())
    assert PathUndecayed()._key(run) != replayed.PathInfluence()._key(run)


# --- what auto takes ----------------------------------------------------------------------------------------


def test_auto_takes_the_most_accurate_that_is_replayed_in_time_and_says_why() -> None:
    assert methods.fitting("lora", 16.0, 60, pretrained=True) == METHOD
    assert methods.fitting("lora", 17.0, 60, pretrained=True) == "gradient-dot"
    assert methods.fitting("lora", 480.0, 3600, pretrained=True) == METHOD
    assert methods.fitting("lora", 481.0, 3600, pretrained=True) == "gradient-dot"
    assert methods.fitting("lora", 1.0, 60, methods.WIDEST + 1, pretrained=True) == "gradient-dot"
    assert methods.reason(METHOD, "lora", 16.0, 60, pretrained=True) == (
        "auto took path-undecayed, the most accurate: validators replay the training in about 24 s of a core like this"
        " one, and a claim is voted on for 60 s"
    )
    other = methods.reason("gradient-dot", "lora", 17.0, 60, pretrained=True)
    assert "the most accurate is path-undecayed" in other
    assert "--method path-undecayed takes it all the same" in other
    assert "257 MiB" in methods.reason("gradient-dot", "lora", 1.0, 60, 257 << 20, pretrained=True)

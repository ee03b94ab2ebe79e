"""A long run is rechecked segment by segment: nothing that is wrong in a segment passes who replays it, who draws
others hears of it, and together the validators draw all of them."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from openledger.attribution_oracle import factory, looks, methods, recheck, replayed, segments  # noqa: E402
from openledger.attribution_oracle.index import Checkpoint  # noqa: E402
from openledger.attribution_oracle.kept import Kept  # noqa: E402
from openledger.attribution_oracle.path import Effects, Moments  # noqa: E402
from openledger.attribution_oracle.ports import SliceOver, silent  # noqa: E402
from openledger.attribution_oracle.replayed import Aside, Replay  # noqa: E402
from openledger.attribution_oracle.verify import verify_job  # noqa: E402
from openledger.primitives.attribution import EVERY_SEGMENT, NAMED_ROW, Named  # noqa: E402
from openledger.primitives.errors import BlobNotFound, InvalidModel, OracleError  # noqa: E402
from openledger.primitives.types import to_hex  # noqa: E402

pytestmark = pytest.mark.torch
ENDED = 3
"""The segment, from 1, at whose end the checkpoint stands that is tampered with below."""


def republished(world: Any, names: list[str]) -> Any:
    """The model's manifest with other checkpoints, and the job about it."""
    manifest = {**world.bundle.manifest, "checkpoints": names}
    bundle = "0x" + world.blobs.put(json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode())
    return replace(world.job, bundle_blob=bundle)


def tampered(world: Any, lie: str) -> Any:
    """The job with one checkpoint changed."""
    names = list(world.bundle.manifest["checkpoints"])
    true = world.bundle.checkpoint(world.blobs, ENDED - 1)
    scale = true.rows.scale.clone()
    scale[7] *= 1.002
    other = world.bundle.checkpoint(world.blobs, ENDED)
    found: dict[str, Checkpoint] = {
        "row": replace(true, rows=replace(true.rows, scale=scale)),
        "weights": replace(true, theta=true.theta * 1.002),
        "first moment": replace(true, m=true.m * 1.002),
        "second moment": replace(true, v=true.v * 1.005),
        "small second moments": replace(true, v=torch.where(true.v < true.v.median(), true.v / 4, true.v)),
        "rows of another checkpoint": replace(true, rows=other.rows),
    }
    raw = found[lie].dump() if lie in found else true.dump()[:-5]
    names[ENDED - 1] = "0x" + world.blobs.put(raw)
    return republished(world, names)


def seed_for(job: Any, drawing: bool) -> bytes:
    """A validator's seed that draws the segment, and not the one behind it, or neither of them."""
    for number in range(10_000):
        seed = bytes([number % 256, number // 256]) * 8
        secret = b"segments" + seed + bytes.fromhex(job.scores_root.removeprefix("0x"))
        drawn = looks.drawn(secret, 8, looks.lookers(job.powers))
        if (ENDED - 1 in drawn) == drawing and ENDED not in drawn and drawn:
            return seed
    raise AssertionError("no seed draws it")


def check(world: Any, job: Any, **more: Any) -> Any:
    return verify_job(job, world.blobs, known=world.known, **more)


@pytest.mark.parametrize(
    "lie",
    [
        "row",
        "weights",
        "first moment",
        "second moment",
        "small second moments",
        "rows of another checkpoint",
        "cut off",
    ],
)
def test_whatever_is_wrong_at_the_end_of_a_segment_is_refused_and_named(path_world: Any, lie: str) -> None:
    bundle = factory.load_bundle(path_world.blobs, tampered(path_world, lie).bundle_blob, known=path_world.known)
    fault = recheck.check_spots(bundle, path_world.blobs, [(7, ENDED - 1)], right := set())
    assert fault is not None
    assert fault.named is not None
    assert (fault.named.kind, fault.named.segment) == (NAMED_ROW, ENDED)
    assert fault.named.row == {"row": 7}.get(lie, 0) or lie == "rows of another checkpoint"
    assert not right


def test_who_draws_others_says_yes_until_the_segment_is_named(path_world: Any) -> None:
    """With many validators each looks at a part of the run; a name brings the others to the segment, and to nothing
    else. What was found right is not replayed again."""
    job = replace(tampered(path_world, "row"), powers=(1,) * 149)
    steps: list[int] = []
    kept = Kept()
    with pytest.MonkeyPatch.context() as patch:
        true = Replay.segment

        def counted(self: Replay, source: Any, begin: Checkpoint | None, until: int, *rest: Any) -> Any:
            steps.append(until - (begin.step if begin else 0))
            return true(self, source, begin, until, *rest)

        patch.setattr(Replay, "segment", counted)
        assert check(path_world, job, seed=seed_for(job, False), kept=kept).valid
        assert 0 < sum(steps) <= 10, "of 75"
        steps.clear()
        assert check(path_world, job, seed=seed_for(job, False), kept=kept).valid
        assert not steps
        assert not check(path_world, job, seed=seed_for(job, True)).valid
        assert check(path_world, replace(job, named=((7, 0), (7, 9)), again=True)).valid, "there are no such segments"
        steps.clear()
        found = check(path_world, replace(job, named=((7, ENDED),), again=True), kept=kept)
        assert (found.valid, found.named) == (False, Named(NAMED_ROW, 7, segment=ENDED))
        assert steps == [path_world.bundle.cuts[ENDED - 1] - path_world.bundle.cuts[ENDED - 2]]
        found = check(path_world, replace(job, named=((7, EVERY_SEGMENT),), again=True), kept=kept)
        assert found.named == Named(NAMED_ROW, 7, segment=ENDED)


def test_where_rows_do_not_fit_the_memory_only_those_drawn_are_looked_at(
    path_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, replay = path_world.bundle, Replay(path_world.bundle.run)
    half = next(m << 20 for m in range(1, 200) if _parts(replay, m << 20) == 2)
    monkeypatch.setattr(replayed, "VERIFY_MEMORY", half)
    right: set[recheck.Spot] = set()
    assert recheck.check_spots(bundle, path_world.blobs, [(7, 2), (9, 2)], right) is None
    assert right == {(7, 2), (9, 2)}


def _parts(replay: Replay, memory: int) -> int:
    try:
        return len(replay.passes(range(len(replay.ids)), memory))
    except OracleError:  # too little for one row
        return 0


def test_a_replay_that_is_broken_off_at_every_step_makes_each_step_once_and_finds_the_same(path_world: Any) -> None:
    made: list[int] = []
    true = Effects.step

    def counted(self: Effects, *rest: Any) -> None:
        made.append(self.adam.count)
        true(self, *rest)

    def at_once(done: int, total: int, what: str) -> None:
        raise SliceOver(done, total, what)

    job, seed, kept = path_world.job, b"seed", Kept()
    whole = check(path_world, replace(job, powers=(1,) * 7), seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Effects, "step", counted)
        for _ in range(200):
            try:
                found = check(path_world, replace(job, powers=(1,) * 7), seed=seed, kept=kept, progress=at_once)
                break
            except SliceOver:
                continue
    assert found == whole
    assert (found.valid, found.segments) == (True, 8)
    assert 0 < len(found.replayed) < 8
    cuts = [0, *path_world.bundle.cuts, 75]
    assert made == [step for n in found.replayed for step in range(cuts[n - 1] + 1, cuts[n] + 1)]


def test_rows_that_do_not_fit_the_memory_are_replayed_part_after_part_each_step_once(
    full_path_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full fine-tune, whose run has no segments. A part that is done stays done, whatever is broken off behind it."""
    replay = Replay(full_path_world.bundle.run)
    third = next(m << 18 for m in range(1, 4000) if _parts(replay, m << 18) == 3)
    monkeypatch.setattr(replayed, "VERIFY_MEMORY", third)
    monkeypatch.setitem(methods.METHODS, "path-influence", replayed.PathInfluence())
    made: list[int] = []
    true = Effects.step

    def counted(self: Effects, *rest: Any) -> None:
        made.append(self.adam.count)
        true(self, *rest)

    def at_once(done: int, total: int, what: str) -> None:
        raise SliceOver(done, total, what)

    monkeypatch.setattr(Effects, "step", counted)
    kept, job, found = Kept(), full_path_world.job, None
    for _ in range(200):
        try:
            found = check(full_path_world, job, seed=b"seed", kept=kept, progress=at_once)
            break
        except SliceOver:
            continue
    assert found is not None, "it never ends"
    assert found.valid, found.reason
    assert made == 3 * list(range(1, len(replay.steps.batches) + 1))


def test_replays_that_were_put_aside_take_no_more_memory_than_one_may(path_world: Any) -> None:
    def effects() -> Effects:
        return Effects(10, Moments(torch.zeros(100), path_world_steps))

    path_world_steps = Replay(path_world.bundle.run).steps
    aside = Aside(most=3 * effects().bytes)
    walks = {name: effects() for name in (b"a", b"b", b"c")}
    for name, walk in walks.items():
        assert aside.take(name, walk.bytes) is None
        aside.keep(name, walk)
    assert aside.take(b"b", 1) is walks[b"b"], "with it they are three"
    aside.keep(b"b", walks[b"b"])
    assert aside.take(b"d", effects().bytes) is None
    assert aside.take(b"a", 1) is None, "the oldest has given way to it"
    assert aside.take(b"c", 1) is walks[b"c"]


def test_rows_kept_of_another_model_give_way_to_a_replay_by_any_method(
    small_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where each has what a verifier may take for itself, a second large model finds no memory, in any turn."""
    aside, both = Aside(), [methods.METHODS[name] for name in ("path-influence", "path-undecayed")]
    for chosen in both:
        monkeypatch.setitem(methods.METHODS, chosen.name, type(chosen)(aside))
    first, second = (methods.METHODS[chosen.name] for chosen in both)
    assert vars(both[0])["_aside"] is vars(both[1])["_aside"]
    kept = first.row_vectors(small_run, range(len(small_run.rows)), silent)
    assert aside.held == 4 * kept.numel()
    held: list[int] = []
    second.row_vectors(small_run, [0], lambda *at: held.append(aside.held))
    assert set(held) == {4 * kept.numel()}, "there is room for both"
    tight = Aside(most=4 * 4 * kept.numel())
    first, second = replayed.PathInfluence(tight), replayed.PathUndecayed(tight)
    again = first.row_vectors(small_run, range(len(small_run.rows)), silent)
    assert torch.equal(again, kept)
    second.row_vectors(small_run, [0], lambda *at: held.append(tight.held))
    assert held[-1] == 0, "three matrices of one row more are under way"
    assert torch.equal(first.row_vectors(small_run, range(len(small_run.rows)), silent), kept)


def test_a_replay_goes_on_only_from_the_same_checkpoint(path_world: Any) -> None:
    """Another manifest over the same run may name false checkpoints: what was begun from them serves nobody else."""

    def stop(done: int, total: int, what: str) -> None:
        raise SliceOver(done, total, what)

    replay = Replay(path_world.bundle.run)
    true = path_world.bundle.checkpoint(path_world.blobs, 0)
    false = replace(true, theta=true.theta * 1.1)
    with pytest.raises(SliceOver):
        replay.segment(replay.gradients, false, 18, range(36), stop)
    rows, adam = replay.segment(replay.gradients, true, 18, range(36), silent)
    again, other = Replay(path_world.bundle.run).segment(replay.gradients, true, 18, range(36), silent)
    assert torch.equal(rows, again)
    assert torch.equal(adam.theta, other.theta)


def test_a_checkpoint_that_is_not_here_is_no_verdict(path_world: Any) -> None:
    names = [*path_world.bundle.manifest["checkpoints"][:-1], "0x" + "77" * 32]
    with pytest.raises(BlobNotFound):
        check(path_world, republished(path_world, names))


@pytest.mark.parametrize("count", [0, 6, 8])
def test_nobody_chooses_how_many_checkpoints_there_are(path_world: Any, count: int) -> None:
    names = (path_world.bundle.manifest["checkpoints"] * 2)[:count]
    job = republished(path_world, names)
    with pytest.raises(InvalidModel, match="checkpoints"):
        factory.load_bundle(path_world.blobs, job.bundle_blob, known=path_world.known)


def test_checkpoints_follow_from_the_size_of_run_and_index() -> None:
    assert segments.cuts(15, 36, 32_768, 32_768) == ()
    assert segments.cuts(90, 240, 32_768, 32_768) == (11, 22, 33, 45, 56, 67, 78)
    assert segments.cuts(10_000, 240, 32_768, 32_768) == tuple(1250 * k for k in range(1, 8))
    assert len(segments.cuts(10_000, 4_000, 32_768, 32_768)) == 2, "256 MiB of checkpoints"
    assert segments.cuts(10_000, 9_000, 32_768, 32_768) == ()
    assert segments.cuts(10_000, 240, 21_821, 1_050_880) == (), "rows of largest entries"


def test_all_spots_of_an_index_without_checkpoints_have_segment_0(world: Any) -> None:
    job = replace(world.job, named=((3, 0), (4, 2), (5, EVERY_SEGMENT), (world.job.rows, 0)))
    assert recheck.named_spots(job, 1) == [(3, 0), (4, 0), (5, 0)]
    assert recheck.named_spots(job, 8) == [(4, 1), *product([5], range(8))]
    assert to_hex(world.bundle.index_root) == world.job.index_root

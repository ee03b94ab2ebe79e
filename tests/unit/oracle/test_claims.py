"""Claims: built, recomputed, and refused when anything in them was changed."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from openledger.attribution_oracle import claims, explained, influence, looks, recheck, tensors
from openledger.attribution_oracle.bundle import row_leaves
from openledger.attribution_oracle.explained import explained_fraction
from openledger.attribution_oracle.kept import Kept
from openledger.attribution_oracle.verify import CHECKED_ROWS, check_shares, drawn_index_rows, verify_job
from openledger.primitives.attribution import (
    EVERY_SEGMENT,
    NAMED_REST,
    NAMED_ROW,
    NAMED_SHARE,
    SCORE_UNIT,
    Named,
    score_leaf,
)
from openledger.primitives.errors import BlobNotFound, OracleError
from openledger.primitives.hashing import merkle_root
from openledger.primitives.types import to_checksum, to_hex

APPLES, METALS, WATERS = (bytes([n]) * 20 for n in (1, 2, 3))


def check(world: Any, **changes: Any) -> Any:
    return verify_job(replace(world.job, **changes), world.blobs, seed=b"seed", known=world.known)


def dated(bundle: Any, places: tuple[int, ...]) -> Any:
    """The bundle with its parts committed at these places."""
    left = iter(places)
    data = tuple(replace(v, parts=tuple(replace(p, place=next(left)) for p in v.parts)) for v in bundle.data)
    return replace(bundle, data=data)


def republished(world: Any, index: influence.Index) -> dict[str, Any]:
    """The job's fields for the same model with another index, committed consistently."""
    raw = index.dump()
    root = index.root(row_leaves(world.bundle.contributors, world.bundle.lines))
    name = "0x" + world.blobs.put(raw)
    manifest = {**world.bundle.manifest, "index": name, "index_root": to_hex(root)}
    bundle = world.blobs.put(json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode())
    return {"index_blob": name, "index_root": to_hex(root), "bundle_blob": "0x" + bundle}


def test_an_honest_claim_is_recomputed_and_accepted(world: Any) -> None:
    verdict = check(world)
    assert verdict.valid, verdict.reason
    assert verdict.scores == world.claim.row_scores


def test_who_wrote_the_words_of_an_answer_earns_it(made: Any) -> None:
    apples = claims.score_rows(made.bundle, [made.answers[1]])
    shares, rest = claims.shares_from_scores(apples, made.bundle.contributors)
    assert sum(p for _, p in shares) + rest == 1_000_000
    earned = dict(shares)
    assert earned[APPLES] > 3 * max(earned.get(METALS, 0), earned.get(WATERS, 0))
    metals = dict(
        claims.shares_from_scores(claims.score_rows(made.bundle, [made.answers[3]]), made.bundle.contributors)[0]
    )
    assert metals[METALS] > 3 * max(metals.get(APPLES, 0), metals.get(WATERS, 0))


def test_what_the_base_would_have_said_by_itself_is_nobodys(made: Any) -> None:
    run = made.bundle.run
    base = run.base.build()

    def explained_part(of: Any, query: str, answer: str) -> float:
        return explained_fraction(run, of, query, answer, influence.GradientDot().answered(run, query, answer)[1])

    learned = explained_part(base, "apple pear plum", " cherry grape melon")
    assert 0.1 < learned <= 1.0
    assert explained_part(run.model, "apple pear plum", " cherry grape melon") == pytest.approx(0.0, abs=1e-5)
    assert explained_part(base, "apple", " iron apple lead river fig") < learned
    scores = claims.score_rows(made.bundle, [made.answers[1]])
    assert sum(scores) <= learned * SCORE_UNIT + len(scores)


def test_a_later_copy_by_somebody_else_earns_nothing_and_places_decide_who_is_later(made: Any) -> None:
    """The same model with its data said to be committed in other blocks: only the order changes."""
    for places in ((5, 6, 7), (9, 6, 3)):
        bundle = dated(made.bundle, places)
        assert [bundle.contributors[row][0] for row in (bundle.order[0], bundle.order[-1])] == (
            [1, 3] if places[0] == 5 else [3, 1]
        )
        copied = replace(bundle, lines=bundle.lines[:12] * 3)
        scores = claims.score_rows(copied, [made.answers[1]])
        first = 0 if places[0] == 5 else 24
        assert sum(scores[first : first + 12]) > 0
        assert sum(scores) == sum(scores[first : first + 12])


def test_another_height_than_on_chain_is_refused(world: Any) -> None:
    parts = (replace(world.job.parts[0], height=3), *world.job.parts[1:])
    verdict = check(world, parts=parts)
    assert not verdict.valid
    assert "part 0" in verdict.reason


def test_full_fine_tunes_are_attributed_through_a_probe(full_world: Any) -> None:
    verdict = check(full_world)
    assert verdict.valid, verdict.reason
    apples = claims.score_rows(full_world.bundle, [full_world.answers[1]])
    earned = dict(claims.shares_from_scores(apples, full_world.bundle.contributors)[0])
    assert earned[APPLES] > 1.3 * max(earned.get(METALS, 0), earned.get(WATERS, 0))


@pytest.mark.parametrize("percent", [1, 5, 50])
def test_a_changed_share_is_refused(world: Any, percent: int) -> None:
    shares = list(world.job.shares)
    who, ppm = max(shares, key=lambda s: s[1])
    moved = ppm * percent // 100
    shares[shares.index((who, ppm))] = (who, ppm - moved)
    verdict = check(world, shares=tuple(shares), unattributed=world.job.unattributed + moved)
    assert not verdict.valid
    assert "share" in verdict.reason
    assert "ppm" in verdict.reason


def test_a_small_share_changed_by_one_percent_is_refused_within_the_total_variation(world: Any) -> None:
    shares = sorted(world.job.shares, key=lambda s: s[1])
    (small, ppm), moved = shares[0], 40
    changed = tuple(sorted([(small, ppm + moved), *shares[1:]]))
    verdict = check(world, shares=changed, unattributed=world.job.unattributed - moved)
    assert verdict.valid == (moved <= max(2, ppm // 200))


@pytest.mark.parametrize("ppm", [300, 1_000, 2_000, 400_000])
def test_one_percent_of_any_share_of_300_ppm_and_more_is_refused(ppm: int) -> None:
    who = bytes([9]) * 20
    scores, contributors = [ppm * 1_000, 500_000_000], [who, APPLES]
    bundle, job = SimpleNamespace(contributors=contributors), SimpleNamespace()
    own, rest = claims.shares_from_scores(scores, contributors)
    for moved in (ppm // 100, -(ppm // 100)):
        job.shares = [(to_hex(a), p + moved if a == who else p) for a, p in own]
        job.unattributed = rest - moved
        fault = check_shares(job, bundle, scores)  # type: ignore[arg-type]
        assert fault is not None
        assert to_checksum(who) in fault.reason
        assert fault.named == Named(NAMED_SHARE, contributor=to_hex(who))
    job.shares, job.unattributed = [(to_hex(a), p + 2 if a == who else p) for a, p in own], rest - 2
    assert not check_shares(job, bundle, scores)  # type: ignore[arg-type]


def test_of_a_thousand_honest_claims_made_on_other_kernels_none_is_refused(
    made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradients that differ by one part in a million (measured between kernels: 1e-7 to 7e-7), losses likewise; the
    same noise on both sides does not let one percent more pass."""
    true, chance = influence.GradientDot(), np.random.default_rng(3)
    known = {a.query: true.answered(made.bundle.run, a.query, a.answer) for a in made.answers}
    losses: dict[tuple[int, ...], float] = {}
    measured = explained._loss

    def noisy_loss(model: Any, ids: Any, counted: Any) -> float:
        key = tuple(ids[0].tolist())
        if key not in losses:
            losses[key] = measured(model, ids, counted)
        return losses[key] * (1 + 1e-6 * chance.standard_normal())

    def noisy_answer(run: Any, query: str, answer: str) -> Any:
        found, loss = known[query]
        noise = torch.from_numpy(1e-6 * chance.standard_normal(len(found))).float()
        return found + found * noise, loss * (1 + 1e-6 * chance.standard_normal())

    monkeypatch.setattr(explained, "_loss", noisy_loss)
    monkeypatch.setattr(claims, "method", lambda name: SimpleNamespace(answered=noisy_answer))
    paid = claims.counted(made.answers, made.job.settlements)
    refused, passed = [], 0
    for number in range(1_000):
        scores = claims.score_rows(made.bundle, paid)
        refused += [fault] if (fault := check_shares(made.job, made.bundle, scores)) else []
        shares = list(made.job.shares)
        at = number % len(shares)
        moved = shares[at][1] // 100
        assert moved >= 3
        shares[at] = (shares[at][0], shares[at][1] + moved)
        greedy = replace(made.job, shares=tuple(shares), unattributed=made.job.unattributed - moved)
        passed += check_shares(greedy, made.bundle, scores) is None
    assert (refused, passed) == ([], 0)


def test_five_percent_of_wrong_rows_are_drawn_in_99_of_100_and_those_that_take_the_pay_always() -> None:
    rows, draws = 2_000, 1_000
    chance = random.Random(1)
    scores = [chance.randrange(1_000) for _ in range(rows)]
    wrong = set(chance.sample(range(rows), rows // 20))
    inflated = [9_000_000 if row < 10 else score for row, score in enumerate(scores)]
    seeds = [number.to_bytes(16, "big") for number in range(draws)]
    met = sum(not wrong.isdisjoint(drawn_index_rows(scores, seed, CHECKED_ROWS)) for seed in seeds)
    paid = sum(min(drawn_index_rows(inflated, seed, CHECKED_ROWS)) < 10 for seed in seeds)
    assert met >= 0.99 * draws
    assert paid == draws


def test_shares_that_do_not_add_up_or_name_somebody_twice_are_refused(world: Any) -> None:
    assert not check(world, unattributed=world.job.unattributed + 1).valid
    assert not check(world, shares=(*world.job.shares, world.job.shares[0])).valid


def test_a_swapped_document_is_refused(world: Any) -> None:
    part = world.job.parts[0]
    raw = world.blobs.get(part.blob[2:])
    lines = raw.split(b"\n")
    swapped = b"\n".join([lines[1], lines[0], *lines[2:]])
    parts = (replace(part, blob="0x" + world.blobs.put(swapped)), *world.job.parts[1:])
    verdict = check(world, parts=parts)
    assert not verdict.valid
    assert "part 0" in verdict.reason


def test_a_blob_that_is_damaged_on_this_disk_is_silence_and_no_verdict(world: Any) -> None:
    name = world.job.parts[0].blob[2:]
    world.blobs.kept[name] = world.blobs.kept[name].replace(b"apple", b"maple")
    with pytest.raises(BlobNotFound, match="damaged here"):
        check(world)


def test_roots_of_another_version_are_refused(world: Any) -> None:
    verdict = check(world, roots=("0x" + "11" * 32, *world.job.roots[1:]))
    assert not verdict.valid
    assert "Merkle root" in verdict.reason


@pytest.mark.parametrize("field", ["weights_hash", "receipt_hash", "index_blob"])
def test_another_file_than_on_chain_is_refused(world: Any, field: str) -> None:
    other = "0x" + world.blobs.put(b"something else")
    assert not check(world, **{field: other}).valid


def test_an_inflated_index_row_is_named(world: Any) -> None:
    index = world.bundle.index
    scale = index.scale.clone()
    scale[4] *= 1.05
    verdict = check(world, **republished(world, influence.Index(index.method, index.q, scale)))
    assert not verdict.valid
    assert "index row 4" in verdict.reason
    assert verdict.named == Named(NAMED_ROW, 4)


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The index rows that are recomputed, as it happens."""
    found: list[int] = []
    recompute = influence.GradientDot.row_vectors
    monkeypatch.setattr(
        influence.GradientDot,
        "row_vectors",
        lambda self, run, numbers, progress: found.extend(numbers) or recompute(self, run, numbers, progress),
    )
    return found


def test_a_second_look_recomputes_the_named_rows_and_nothing_else(world: Any, looked: list[int]) -> None:
    index = world.bundle.index
    scale = index.scale.clone()
    scale[4] *= 1.05
    wrong = republished(world, influence.Index(index.method, index.q, scale))
    found = check(world, **wrong, named=((4, 0), (7, 2), (world.job.rows, 0)), again=True)
    assert (found.valid, found.named, found.scores, looked) == (False, Named(NAMED_ROW, 4), (), [4, 7])
    assert check(world, **wrong, named=((7, 0),), again=True).valid
    assert check(world, named=((4, 0), (7, EVERY_SEGMENT)), again=True).valid


def test_a_challenge_of_an_index_needs_no_claim_and_no_evidence(world: Any, looked: list[int]) -> None:
    """The job as the chain writes it for a model: no settlements, shares or scores, a blob of evidence that nobody
    has."""
    nothing = {"settlements": (), "shares": (), "unattributed": 0, "evidence_blob": "0" * 64, "again": True}
    assert check(world, **nothing, named=((4, EVERY_SEGMENT),)).valid
    index = world.bundle.index
    scale = index.scale.clone()
    scale[4] *= 1.05
    wrong = republished(world, influence.Index(index.method, index.q, scale)) | nothing
    assert check(world, **wrong, named=((4, EVERY_SEGMENT),)).named == Named(NAMED_ROW, 4)
    assert check(world, **wrong, named=((5, EVERY_SEGMENT),)).valid
    assert set(looked) == {4, 5}


def test_a_row_that_this_process_has_found_right_is_not_recomputed_for_the_same_model(
    world: Any, looked: list[int]
) -> None:
    kept, rows = Kept(models=2), world.job.rows
    index = world.bundle.index
    scale = index.scale.clone()
    scale[4] *= 1.05
    wrong = replace(world.job, **republished(world, influence.Index(index.method, index.q, scale)))

    def look(job: Any, count: int = CHECKED_ROWS) -> int:
        looked.clear()
        verify_job(job, world.blobs, seed=b"seed", known=world.known, kept=kept, count=count)
        return len(looked)

    assert 0 < look(world.job, 8) <= 8
    assert 0 < look(world.job) < rows
    assert look(world.job) == 0
    assert look(wrong) == recheck.AT_ONCE, "another index, although of the same weights"
    assert kept.right(wrong) == {(row, 0) for row in range(4)}, (
        "a wrong row is never taken for right, nor are those behind it"
    )
    assert look(wrong) == min(rows - 4, recheck.AT_ONCE)
    kept.right(replace(world.job, bundle_blob="0x" + "22" * 32))
    assert look(world.job) == rows, "two models are kept"


def test_the_unattributed_part_is_named_when_it_is_what_is_most_wrong(world: Any) -> None:
    shares = tuple((who, ppm - 300) for who, ppm in world.job.shares)
    verdict = check(world, shares=shares, unattributed=world.job.unattributed + 300 * len(shares))
    assert (verdict.valid, verdict.named) == (False, Named(NAMED_REST))


def test_a_wrong_index_row_that_is_not_drawn_is_found_once_somebody_names_it(world: Any) -> None:
    index = world.bundle.index
    scale = index.scale.clone()
    scale[4] *= 1.05
    job = replace(world.job, **republished(world, influence.Index(index.method, index.q, scale)))
    seeds = [bytes([number]) * 16 for number in range(12)]
    said = [verify_job(job, world.blobs, seed=s, known=world.known, count=2).reason for s in seeds]
    missed = [seed for seed, reason in zip(seeds, said, strict=True) if "index row" not in reason]
    assert missed
    verdict = verify_job(replace(job, named=((4, 0),)), world.blobs, seed=missed[0], known=world.known, count=2)
    assert not verdict.valid
    assert "index row 4" in verdict.reason


def test_a_wrong_row_is_named_by_those_to_whom_it_was_dealt_and_by_all_once_it_is_named(world: Any) -> None:
    """Each of four validators looks at half of the rows, and at some that pay; the wrong one pays nothing."""
    index, wrong = world.bundle.index, min(range(world.job.rows), key=lambda row: world.claim.row_scores[row])
    scale = index.scale.clone()
    scale[wrong] *= 1.002
    changed = republished(world, influence.Index(index.method, index.q, scale))
    job = replace(world.job, **changed, powers=(1,) * 4, lot="77" * 32)
    lot = job.claim.to_bytes(8, "big") + bytes.fromhex(job.lot)
    dealt = looks.deal(lot + b"rows", job.powers, job.rows)[wrong]
    assert len(dealt) == 2
    for place in range(4):
        kept, one = Kept(), replace(job, place=place)
        verdict = verify_job(one, world.blobs, seed=b"seed", known=world.known, count=4, kept=kept)
        if place in dealt:
            assert (verdict.valid, verdict.named) == (False, Named(NAMED_ROW, wrong))
        else:
            assert verdict.valid, verdict.reason
            assert job.rows // 2 <= len(kept.right(one)) <= job.rows // 2 + 2, "and two by pay"
        found = verify_job(replace(one, named=((wrong, 0),), again=True), world.blobs, known=world.known)
        assert (found.valid, found.named) == (False, Named(NAMED_ROW, wrong))


def test_an_index_row_of_another_document_is_named(world: Any) -> None:
    index = world.bundle.index
    q, scale = index.q.clone(), index.scale.clone()
    q[9], scale[9] = index.q[20], index.scale[20]
    verdict = check(world, **republished(world, influence.Index(index.method, q, scale)))
    assert not verdict.valid
    assert "index row 9" in verdict.reason


def test_a_huge_scale_does_not_hide_behind_rounding(world: Any) -> None:
    index = world.bundle.index
    q, scale = index.q.clone(), index.scale.clone()
    scale[2] *= 100
    q[2] = (q[2].float() / 100).round().to(q.dtype)
    verdict = check(world, **republished(world, influence.Index(index.method, q, scale)))
    assert "index row 2" in verdict.reason


def test_evidence_must_be_what_the_consumer_signed(world: Any) -> None:
    raw = json.loads(world.claim.evidence)
    for change in (
        {"query": "apple pear"}, {"answer": " iron"}, {"price": str(10**15 + 1)}, {"index": 9}, {"session": 3},
    ):  # fmt: skip
        rows = [dict(row) for row in raw["answers"]]
        rows[-1] = {**rows[-1], **change}
        name = world.blobs.put(json.dumps({"answers": rows}).encode())
        assert not check(world, evidence_blob=name).valid, change
    short = world.blobs.put(json.dumps({"answers": raw["answers"][:-1]}).encode())
    assert not check(world, evidence_blob=short).valid


def test_prices_must_add_up_to_what_was_settled(world: Any) -> None:
    first = replace(world.job.settlements[0], amount=world.job.settlements[0].amount + 1)
    verdict = check(world, settlements=(first, *world.job.settlements[1:]))
    assert not verdict.valid
    assert "settled were" in verdict.reason


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[]", b'{"answers":[{}]}',
            b'{"answers":[{"session":true,"index":0,"query":"","answer":"","price":"1"}]}',
            b"\xff", b"[" * 100_000, b'{"answers":[{"session":1,"index":0,"query":"","answer":"","price":"-1"}]}']
)  # fmt: skip
def test_malformed_evidence_is_a_no_with_a_reason(world: Any, raw: bytes) -> None:
    verdict = check(world, evidence_blob=world.blobs.put(raw))
    assert not verdict.valid
    assert verdict.reason


def test_a_missing_blob_is_no_verdict(world: Any) -> None:
    job = world.job
    for name in (job.evidence_blob, job.bundle_blob, job.index_blob, job.parts[1].blob, job.weights_hash):
        without = dict(world.blobs.kept)
        kept = world.blobs.kept.pop(name.removeprefix("0x"))
        with pytest.raises(BlobNotFound):
            check(world)
        world.blobs.kept[name.removeprefix("0x")] = kept
        assert world.blobs.kept == without


@pytest.mark.parametrize("damage", ["truncated", "nan", "shape", "pickle"])
def test_weights_that_cannot_be_used_are_refused(world: Any, damage: str) -> None:
    import torch

    raw = world.blobs.get(world.job.weights_hash[2:])
    values = tensors.load(raw, "weights")
    first = sorted(values)[0]
    if damage == "nan":
        values[first][0, 0] = float("nan")
    bad = {
        "truncated": raw[:-7],
        "nan": tensors.dump(values),
        "shape": tensors.dump({**values, first: torch.zeros(3, 3)}),
        "pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94",
    }[damage]
    name = "0x" + world.blobs.put(bad)
    receipt = {**world.bundle.run.receipt, "final_hash": hashlib.sha256(bad).hexdigest()}
    receipt_name = "0x" + world.blobs.put(json.dumps(receipt).encode())
    manifest = {**world.bundle.manifest, "weights": name, "receipt": receipt_name}
    bundle = "0x" + world.blobs.put(json.dumps(manifest).encode())
    verdict = check(world, bundle_blob=bundle, weights_hash=name, receipt_hash=receipt_name)
    assert not verdict.valid
    assert "weights" in verdict.reason


def test_an_unlisted_base_is_refused(world: Any) -> None:
    verdict = verify_job(world.job, world.blobs, known={})
    assert not verdict.valid
    assert "allow-listed" in verdict.reason


def test_scores_blob_and_root_have_the_contract_form(made: Any) -> None:
    claim = made.claim
    assert claims.read_scores(claim.scores) == claim.row_scores
    assert len(claim.scores) == 8 * len(claim.row_scores)
    assert claim.scores_root == merkle_root([score_leaf(i, s) for i, s in enumerate(claim.row_scores)])
    assert abs(sum(abs(s) for s in claim.row_scores)) <= SCORE_UNIT + len(claim.row_scores)
    assert list(claim.shares) == sorted(claim.shares)
    with pytest.raises(OracleError):
        claims.read_scores(b"123")


def test_shares_are_exact_and_ties_go_by_address() -> None:
    third = SCORE_UNIT // 3
    shares, rest = claims.shares_from_scores([third, third, third + 1], [b"b", b"a", b"c"])
    assert (shares, rest) == (((b"a", 333_333), (b"b", 333_333), (b"c", 333_334)), 0)
    assert claims.shares_from_scores([-5, 0], [b"a", b"b"]) == ((), 1_000_000)
    half, rest = claims.shares_from_scores([500, -SCORE_UNIT // 2], [b"a", b"b"])
    assert half == ((b"a", 1),)
    assert rest == 999_999
    over, rest = claims.shares_from_scores([SCORE_UNIT, 3], [b"a", b"b"])
    assert sum(p for _, p in over) + rest == 1_000_000


def test_splitting_oneself_in_two_changes_nothing() -> None:
    scores = [300_000_000, -100_000_000, 200_000_000, 100_000_000]
    whole = dict(claims.shares_from_scores(scores, [b"a", b"a", b"a", b"z"])[0])
    split = dict(claims.shares_from_scores(scores, [b"a", b"b", b"c", b"z"])[0])
    assert whole[b"a"] == sum(split.get(k, 0) for k in (b"a", b"b", b"c"))


def test_explain_names_the_best_rows(made: Any) -> None:
    scores = [*made.claim.row_scores]
    scores[0], scores[1] = 3 * 10**8, 2 * 10**8
    first = claims.explain(made.bundle, scores, top=2)[0]
    assert first.ppm >= 500_000
    assert [row for row, _, _ in first.rows] == [0, 1]
    assert first.rows[0][1] >= first.rows[1][1] > 0
    assert first.rows[0][2] == made.bundle.texts[first.rows[0][0]]


def test_a_claim_needs_all_answers_of_its_sessions(made: Any) -> None:
    with pytest.raises(OracleError, match="session 1"):
        claims.build_claim(made.bundle, made.answers[1:], made.job.settlements)


STRANGE: tuple[Any, ...] = (None, [], {}, -1, "x", True, "0x" + "00" * 32, 10**30, [[]], {"a": 1}, float("inf"))


def test_no_manifest_ends_the_check_in_anything_but_a_verdict(world: Any) -> None:
    for key in world.bundle.manifest:
        for value in STRANGE:
            manifest = {**world.bundle.manifest, key: value}
            if manifest == world.bundle.manifest:
                continue
            name = "0x" + world.blobs.put(json.dumps(manifest).encode())
            try:
                verdict = check(world, bundle_blob=name)
            except BlobNotFound:
                continue
            assert not verdict.valid, (key, value)
            assert verdict.reason


def test_no_receipt_ends_the_check_in_anything_but_a_verdict(world: Any) -> None:
    for key in world.bundle.run.receipt:
        for value in STRANGE:
            name = "0x" + world.blobs.put(json.dumps({**world.bundle.run.receipt, key: value}).encode())
            manifest = {**world.bundle.manifest, "receipt": name}
            bundle = "0x" + world.blobs.put(json.dumps(manifest).encode())
            verdict = check(world, bundle_blob=bundle, receipt_hash=name)
            assert verdict.reason


def test_threads_do_not_change_what_is_found(world: Any) -> None:
    torch.set_num_threads(2)
    try:
        verdict = check(world)
    finally:
        torch.set_num_threads(1)
    assert verdict.valid, verdict.reason
    assert max(abs(a - b) for a, b in zip(verdict.scores, world.claim.row_scores, strict=True)) < 10_000

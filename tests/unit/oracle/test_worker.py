"""The verifying process: its lines in and out, on the built-in base and real text."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from openledger.attribution_oracle import claims, corpus, factory, model, worker
from openledger.attribution_oracle.bundle import VersionData, load_bundle
from openledger.attribution_oracle.kept import Kept, Turn
from openledger.attribution_oracle.ports import SliceOver
from openledger.attribution_oracle.verify import verify_job
from openledger.primitives.attribution import AttributionJob, PartFacts, SettlementFacts, Verdict
from openledger.primitives.types import to_hex
from openledger.state.blobs import BlobStore


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AttributionJob]:
    """A claim on a model of 30 real documents by two people, on the built-in base, with blobs in a folder."""
    folder = tmp_path_factory.mktemp("blobs")
    blobs = BlobStore(str(folder))
    parts = []
    for number, person in enumerate(("lincoln", "kennedy"), 1):
        texts = [d.text for d in corpus.documents(person)[:15]]
        parts.append(PartFacts(to_hex(bytes([number]) * 20), "0x" + blobs.put(corpus.to_lines(texts)), len(texts)))
    data = (VersionData(1, 1, tuple(parts)),)
    model = factory.train_model(blobs, data, seed=1, settings={"epochs": 3})
    fields = factory.publish(blobs, model, factory.make_index(model))
    bundle = factory.load_bundle(blobs, fields["bundle"].hex())
    learned = corpus.documents("lincoln")[0].text
    answers = [claims.Answer(1, 0, learned[:80], learned[80:240], 10)]
    settled = (SettlementFacts(1, 0, 1, 10, to_hex(claims.receipts_root(2, answers))),)
    claim = factory.claim(bundle, answers, settled)
    job = AttributionJob(
        5, 2, fields["method"], to_hex(fields["bundle"]), to_hex(fields["index"]), to_hex(fields["index_root"]),
        to_hex(fields["weights"]), to_hex(fields["receipt"]),
        tuple(parts), tuple(to_hex(r) for r in bundle.roots), settled,
        tuple((to_hex(a), p) for a, p in claim.shares), claim.unattributed, "0x" + blobs.put(claim.evidence),
        to_hex(claim.scores_root), 30, base=fields["base"],
    )  # fmt: skip
    return folder, job


def test_the_process_answers_good_false_missing_and_bad_lines_and_ends_at_the_end(
    real: tuple[Path, AttributionJob],
) -> None:
    folder, job = real
    (who, ppm), *others = job.shares
    false = replace(job, claim=6, shares=((who, ppm - ppm // 20), *others), unattributed=job.unattributed + ppm // 20)
    early = replace(job, claim=7, evidence_blob="0x" + "77" * 32)
    lines = ["not a job", job.to_json(), "{}", false.to_json(), early.to_json(), job.to_json()]
    command = [sys.executable, "-m", "openledger.attribution_oracle.worker", "--blobs", str(folder), "--threads", "1"]
    done = subprocess.run(
        command, input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    out = done.stdout.splitlines()
    assert len(out) == len(lines), done.stderr
    assert json.loads(out[0])["error"]["code"] == json.loads(out[2])["error"]["code"] == 205
    good, refused, again = (Verdict.from_json(out[i]) for i in (1, 3, 5))
    assert good.valid, good.reason
    assert again.scores == good.scores
    assert len(good.scores) == 30
    assert (refused.claim, refused.valid) == (6, False)
    assert "share" in refused.reason
    assert json.loads(out[4]) | {"error": {}} == {"claim": 7, "error": {}}
    assert json.loads(out[4])["error"]["code"] == 601


def test_a_process_out_of_memory_answers_an_error_line(real: tuple[Path, AttributionJob]) -> None:
    folder, job = real
    command = [sys.executable, "-m", "openledger.attribution_oracle.worker", "--blobs", str(folder), "--memory-mb", "1"]
    done = subprocess.run(command, input=job.to_json() + "\n", capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["error"]["code"] == 610


def test_a_job_that_takes_too_long_is_an_error_line_and_the_next_is_answered(
    real: tuple[Path, AttributionJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, job = real

    def slow(*args: Any, **kwargs: Any) -> Verdict:
        time.sleep(30)
        return Verdict(0, True, "")

    monkeypatch.setattr(worker, "verify_job", slow)
    line = json.loads(worker.answer_line(job.to_json(), BlobStore(str(real[0])), seconds=1))
    assert line["claim"] == 5
    assert "longer than 1 s" in line["error"]["message"]


def test_a_turn_that_is_too_short_is_gone_on_with_until_there_is_the_same_verdict(
    real: tuple[Path, AttributionJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step is the last one of its turn: the model is read, 1 answer and 30 rows in one part are done once each.
    With a base so large that only 8 rows go through it together, the parts are no larger."""
    folder, job = real
    told: list[str] = []

    def end_of_turn(self: Turn, done: int, total: int, what: str) -> None:
        raise SliceOver(done, total, what)

    blobs, kept = BlobStore(str(folder)), Kept()
    whole = Verdict.from_json(worker.answer_line(job.to_json(), blobs, 0))
    monkeypatch.setattr(Turn, "__call__", end_of_turn)
    while "aside" in (said := json.loads(worker.answer_line(job.to_json(), blobs, 0, kept=kept))):
        told.append(f"{said['aside']['what']} {said['aside']['done']}/{said['aside']['total']}")
        assert len(told) < 9
    assert told == ["models read 1/1", "answers scored 1/1", "index rows recomputed 30/30"]
    assert Verdict.from_json(json.dumps(said)) == whole
    assert whole.valid


def test_rows_are_rechecked_in_parts_as_small_as_a_large_base_needs(
    real: tuple[Path, AttributionJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a turn can end between them: two rows are as much as a part may be, then one is too much."""
    folder, job = real
    blobs, told = BlobStore(str(folder)), list[int]()
    bundle = load_bundle(blobs, job.bundle_blob)
    weights = sum(p.numel() for p in bundle.run.model.parameters())

    def step(done: int, total: int, what: str) -> None:
        if what == "index rows recomputed":
            told.append(done)

    for rows in (2, 1e-9):
        told.clear()
        monkeypatch.setattr(model, "WORK", int(rows * weights * max(map(len, bundle.run.rows))))
        assert verify_job(job, blobs, progress=step).valid
        assert told == list(range(int(max(rows, 1)), 31, int(max(rows, 1))))


def test_a_turn_ends_when_its_time_is_over_and_not_before() -> None:
    now = [0.0]
    turn = Turn(5, lambda: now[0])
    turn(1, 3, "steps")
    now[0] = 5.0
    with pytest.raises(SliceOver, match="steps: 2 of 3"):
        turn(2, 3, "steps")
    Turn(0, lambda: now[0])(1, 1, "steps")


def test_a_fault_in_one_job_does_not_end_the_process(
    real: tuple[Path, AttributionJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, job = real

    def broken(*args: Any, **kwargs: Any) -> Verdict:
        raise RuntimeError("kernel")

    monkeypatch.setattr(worker, "verify_job", broken)
    sink = io.StringIO()
    blobs = BlobStore(str(real[0]))
    worker.serve(
        io.StringIO(job.to_json() + "\n\n" + job.to_json()), sink, lambda text: worker.answer_line(text, blobs, 0)
    )
    assert len(sink.getvalue().splitlines()) == 2
    assert "kernel" in sink.getvalue()

"""Files that somebody published in earnest, with the right hashes on chain, and that are spoilt or want to run: a no in
words, and nothing of them is ever executed."""

from __future__ import annotations

import hashlib
import json
import pickle
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from openledger.attribution_oracle import bundle as bundles
from openledger.attribution_oracle import corpus, factory, tensors, train
from openledger.attribution_oracle.bundle import VersionData
from openledger.attribution_oracle.verify import verify_job
from openledger.primitives import jsonio
from openledger.primitives.attribution import PartFacts, Verdict
from openledger.primitives.errors import BlobNotFound, OpenLedgerError
from openledger.primitives.hashing import sha256
from openledger.primitives.types import to_hex

pytestmark = pytest.mark.torch
CHAIN = {"index": "index_blob", "weights": "weights_hash", "receipt": "receipt_hash", "index_root": "index_root"}


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def publish(world: Any, **files: bytes) -> Any:
    """The job of the same model with other files; manifest, receipt and chain name them by their true hashes."""
    manifest = dict(world.bundle.manifest)
    if "weights" in files and "receipt" not in files:
        receipt = {**world.bundle.run.receipt, "final_hash": hashlib.sha256(files["weights"]).hexdigest()}
        files["receipt"] = dumped(receipt)
    for name, raw in files.items():
        manifest[name] = "0x" + world.blobs.put(raw)
    changes = {CHAIN[name]: manifest[name] for name in files if name in CHAIN}
    return replace(world.job, bundle_blob="0x" + world.blobs.put(dumped(manifest)), **changes)


def judged(world: Any, job: Any) -> Verdict:
    return verify_job(job, world.blobs, seed=b"seed", known=world.known)


class Bomb:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def spoilt_index(world: Any, how: str, bomb: Path) -> bytes:
    index = world.bundle.index
    raw, q, scale = index.dump(), index.q, index.scale
    note = {"method": index.method, "rows": index.rows, "dim": int(q.shape[1])}
    nan = scale.clone()
    nan[3] = float("nan")
    forbidden = q.clone()
    forbidden[0, 0] = -128
    made: dict[str, Any] = {
        "nothing": lambda: b"",
        "cut in the header": lambda: raw[:20],
        "cut in the numbers": lambda: raw[:-9],
        "cut by half": lambda: raw[: len(raw) // 2],
        "one bit of the header": lambda: raw[:9] + bytes([raw[9] ^ 4]) + raw[10:],
        "longer than it says": lambda: raw + b"\0" * 64,
        "a header of 2^63 bytes": lambda: (2**63).to_bytes(8, "little") + raw[8:],
        "NaN": lambda: tensors.dump({"q": q, "scale": nan}, note),
        "infinity": lambda: tensors.dump({"q": q, "scale": nan * float("inf")}, note),
        "a negative scale": lambda: tensors.dump({"q": q, "scale": -scale}, note),
        "-128": lambda: tensors.dump({"q": forbidden, "scale": scale}, note),
        "a row too few": lambda: tensors.dump({"q": q[:-1], "scale": scale[:-1]}, note),
        "a column too many": lambda: tensors.dump({"q": torch.cat([q, q[:, :1]], 1), "scale": scale}, note),
        "scales of another length": lambda: tensors.dump({"q": q, "scale": scale[:-1]}, note),
        "fp32 entries": lambda: tensors.dump({"q": q.float(), "scale": scale}, note),
        "a third tensor": lambda: tensors.dump({"q": q, "scale": scale, "more": scale.clone()}, note),
        "no scales": lambda: tensors.dump({"q": q}, note),
        "another method's": lambda: tensors.dump({"q": q, "scale": scale}, {**note, "method": "retrieval"}),
        "a pickle": lambda: pickle.dumps(Bomb(bomb)),
        "a numpy file with objects": lambda: np.array([Bomb(bomb)], dtype=object).dumps(),
    }
    return bytes(made[how]())


@pytest.mark.parametrize(
    "how",
    [
        "nothing", "cut in the header", "cut in the numbers", "cut by half", "one bit of the header",
        "longer than it says", "a header of 2^63 bytes", "NaN", "infinity", "a negative scale", "-128", "a row too few",
        "a column too many", "scales of another length", "fp32 entries", "a third tensor", "no scales",
        "another method's", "a pickle", "a numpy file with objects",
    ],
)  # fmt: skip
def test_an_index_that_is_none_is_a_no_that_says_index(world: Any, how: str, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb"
    verdict = judged(world, publish(world, index=spoilt_index(world, how, bomb)))
    assert not verdict.valid
    assert "index" in verdict.reason
    assert not bomb.exists()


def test_a_true_index_published_this_way_is_a_yes(world: Any) -> None:
    verdict = judged(world, publish(world, index=world.bundle.index.dump()))
    assert verdict.valid, verdict.reason


@pytest.mark.parametrize("field", ["weights", "index", "receipt", "tokenizer", "bundle", "evidence", "data"])
def test_no_file_of_a_model_is_ever_unpickled(world: Any, field: str, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb"
    raw = pickle.dumps(Bomb(bomb))
    if field in ("bundle", "evidence"):
        job = replace(world.job, **{field + "_blob": "0x" + world.blobs.put(raw)})
    elif field == "data":
        parts = (replace(world.job.parts[0], blob="0x" + world.blobs.put(raw)), *world.job.parts[1:])
        manifest = json.loads(json.dumps(world.bundle.manifest))
        manifest["data"][0]["parts"][0]["blob"] = parts[0].blob
        job = replace(world.job, parts=parts, bundle_blob="0x" + world.blobs.put(dumped(manifest)))
    else:
        job = publish(world, **{field: raw})
    verdict = judged(world, job)
    assert not verdict.valid
    assert verdict.reason
    assert not bomb.exists()
    pickle.loads(raw)
    assert bomb.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"base": "somebody/with-remote-code", "trust_remote_code": True, "auto_map": {"AutoModel": "evil.Model"}},
        {"base": "../../../tmp/model"},
        {"base": "/etc/passwd"},
        {"base": ""},
        {"kind": "python"},
        {"method": "__import__('os')"},
        {"config": {"architectures": ["Evil"]}},
    ],
)
def test_a_model_of_another_make_is_refused_and_its_code_not_looked_for(world: Any, change: dict[str, Any]) -> None:
    manifest = {**world.bundle.manifest, **change}
    job = replace(world.job, bundle_blob="0x" + world.blobs.put(dumped(manifest)))
    verdict = judged(world, job)
    assert not verdict.valid
    assert any(word in verdict.reason for word in ("base", "agree", "another", "method", "describes", "differs"))


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\n", b'{"text":"a"}', b'{"text":1}\n' * 12, b'{"text": "spaced"}\n' * 12, b"\xff\n" * 12,
        b'{"text":NaN}\n' * 12, b'{"text":"a","more":1}\n' * 12, b"[" * 100_000 + b"\n" * 12, b'{"text":"a"}\n' * 11,
    ],
)  # fmt: skip
def test_data_that_is_no_rows_is_refused(world: Any, raw: bytes) -> None:
    part = replace(world.bundle.data[0].parts[0], blob="0x" + world.blobs.put(raw))
    with pytest.raises(OpenLedgerError, match=r"row|lines"):
        factory.train_model(world.blobs, (VersionData(1, 1, (part,)),), base="toy", known=world.known)


@pytest.mark.parametrize(
    "change",
    [
        {"query": "half a pair \ud800"}, {"answer": "\udfff"}, {"price": str(2**256)}, {"price": "9" * 78},
        {"price": "-1"}, {"session": True}, {"index": 0.0},
    ],
)  # fmt: skip
def test_answers_that_no_receipt_could_have_are_a_no_and_not_silence(world: Any, change: dict[str, Any]) -> None:
    evidence = json.loads(world.claim.evidence)
    evidence["answers"][-1].update(change)
    verdict = judged(world, replace(world.job, evidence_blob=world.blobs.put(dumped(evidence))))
    assert not verdict.valid
    assert "evidence" in verdict.reason


def test_evidence_that_would_fill_the_memory_is_a_no_before_it_is_parsed(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Empty lists take forty times their text."""
    raw = b'{"answers":[' + b"[]," * 1_000_000 + b"[]]}"
    job = replace(world.job, evidence_blob=world.blobs.put(raw))
    began = time.process_time()
    verdict = judged(world, job)
    assert not verdict.valid
    assert "arrays and objects" in verdict.reason
    bracketed = b'{"answers":["' + b"[{" * 10_000 + b'"]}'
    assert not jsonio.holds_more(bracketed, 2), "what stands in a text does not count"
    assert jsonio.holds_more(bracketed, 1)
    assert time.process_time() - began < 5


def test_rows_and_receipts_that_would_fill_the_memory_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(raw: bytes) -> Any:
        raise AssertionError("a hostile text was parsed")

    monkeypatch.setattr(jsonio, "parse_json", parse)
    with pytest.raises(OpenLedgerError, match="row"):
        bundles.text_of(b'{"text":[' + b"[]," * 100_000 + b"[]]}")
    with pytest.raises(OpenLedgerError, match="receipt"):
        train.read_receipt(b'{"batches":[' + b"[]," * train.MAX_LISTS + b"[]]}")


def with_settings(world: Any, receipt: dict[str, Any], **changes: Any) -> Any:
    """The job of the same model with other training settings in manifest and receipt."""
    settings = json.loads(dumped(world.bundle.manifest["settings"]))
    settings["lora"].update(changes.pop("lora", {}))
    settings.update(changes)
    raw = dumped({**world.bundle.run.receipt, "settings": settings, **receipt})
    manifest = {**world.bundle.manifest, "settings": settings, "receipt": "0x" + world.blobs.put(raw)}
    bundle = "0x" + world.blobs.put(dumped(manifest))
    return replace(world.job, receipt_hash=manifest["receipt"], bundle_blob=bundle)


@pytest.mark.parametrize("make", ["world", "path_world"])
@pytest.mark.parametrize(
    ("changes", "receipt"),
    [
        ({"lora": {"rank": 4.0}}, {}),
        ({"epochs": 2.5}, {}),
        ({"eps": 1e300}, {"optimizer": {"kind": "adam", "b1": 0.9, "b2": 0.99, "eps": 1e300}}),
    ],
)
def test_numbers_that_no_run_can_have_are_a_no_and_not_silence(
    request: pytest.FixtureRequest, make: str, changes: dict[str, Any], receipt: dict[str, Any]
) -> None:
    world = request.getfixturevalue(make)
    verdict = judged(world, with_settings(world, receipt, **changes))
    assert not verdict.valid
    assert "settings" in verdict.reason


def test_names_of_files_may_be_written_with_great_letters(world: Any) -> None:
    manifest = dict(world.bundle.manifest)
    manifest["tokenizer"] = "0X" + manifest["tokenizer"][2:].upper()
    job = replace(world.job, bundle_blob="0x" + world.blobs.put(dumped(manifest)))
    assert judged(world, job).valid


def test_a_header_that_would_fill_the_memory_is_not_parsed(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    header = b'{"__metadata__":[' + b"[]," * (tensors.MAX_HEADER // 3) + b"0]}"
    raw = len(header).to_bytes(8, "little") + header

    def parse(text: bytes | str) -> Any:
        raise AssertionError("a hostile header was parsed")

    monkeypatch.setattr(tensors, "read_json", parse)
    for read in (tensors.load, tensors.note_of):
        with pytest.raises(OpenLedgerError, match="index"):
            read(raw, "index")


def test_weights_in_double_that_single_cannot_hold_are_refused(world: Any) -> None:
    wide = {name: t.double() * 1e300 for name, t in world.bundle.run.tensors.items()}
    verdict = judged(world, publish(world, weights=tensors.dump(wide)))
    assert not verdict.valid
    assert "too large" in verdict.reason


def test_an_empty_datanet_trains_nothing(memory_blobs: Any) -> None:
    empty = PartFacts(to_hex(bytes(20)), "0x" + memory_blobs.put(b""), 0)
    for data in ((), (VersionData(1, 1, ()),), (VersionData(1, 1, (empty,)),)):
        with pytest.raises(OpenLedgerError, match="no rows to train on"):
            factory.train_model(memory_blobs, data)


def test_a_blob_that_comes_late_is_silence_first_and_then_the_verdict(world: Any) -> None:
    late = [world.job.evidence_blob, world.job.parts[2].blob, world.published["index"].hex()]
    kept = {name: world.blobs.kept.pop(name.removeprefix("0x")) for name in late}
    for name in late:
        with pytest.raises(BlobNotFound):
            judged(world, world.job)
        world.blobs.kept[name.removeprefix("0x")] = kept[name]
    assert judged(world, world.job).valid


def test_a_bundle_whose_blob_is_missing_is_named_when_it_is_loaded(world: Any) -> None:
    gone = sha256(bundles.receipt_bytes(world.bundle.run.receipt)).hex()
    assert gone in world.blobs.kept
    del world.blobs.kept[gone]
    with pytest.raises(BlobNotFound, match=gone):
        factory.load_bundle(world.blobs, world.job.bundle_blob, known=world.known)


def test_rows_with_no_text_at_all_still_give_a_claim_that_can_be_checked(memory_blobs: Any, made: Any) -> None:
    """Empty rows are rows: training goes on, and nobody is paid for what says nothing."""
    parts = [PartFacts(to_hex(bytes([n]) * 20), "0x" + memory_blobs.put(corpus.to_lines(texts)), len(texts))
             for n, texts in ((1, ["", "", ""]), (2, ["iron copper", "zinc", "lead tin"]))]  # fmt: skip
    data = (VersionData(1, 1, tuple(parts)),)
    model = factory.train_model(memory_blobs, data, base="toy", settings={"epochs": 2}, known=made.known)
    fields = factory.publish(memory_blobs, model, factory.make_index(model))
    bundle = factory.load_bundle(memory_blobs, fields["bundle"].hex(), known=made.known)
    assert bundle.index.rows == 6

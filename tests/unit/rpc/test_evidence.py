"""Behind a claim: its answers, the rows that earned, and evidence beside them."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from openledger.abci_app.modules.attribution.records import CLAIMS, ELECTORATES, Claim, Electorate, Share
from openledger.abci_app.modules.datanets.records import VERSIONS, HeldPart, Version
from openledger.abci_app.modules.models.records import MODELS, SETTLEMENTS, DataRef, Model, Settlement
from openledger.node.evidence import EvidenceProcess
from openledger.node.oracle_stderr import SHOWN
from openledger.node.rows import blob_of
from openledger.primitives.attribution import AttributionJob, score_leaf
from openledger.primitives.errors import BlobNotFound, NotFound, OracleError
from openledger.primitives.hashing import merkle_root
from openledger.primitives.types import to_checksum
from openledger.rpc import evidence
from openledger.rpc.errors import RpcError
from openledger.rpc.evidence import OpenLedgerEvidence
from openledger.rpc.params import LATEST
from openledger.rpc.work import OneAtATime
from openledger.state.blobs import BlobStore
from openledger.state.memory import MemoryStore
from openledger.state.overlay import Overlay
from openledger.state.store import StateStore

ALICE, BOB = bytes([0xA1] * 20), bytes([0xB2] * 20)
FIRST = ["the tide comes in over the flat sand twice a day", "a lighthouse keeper counts the ships"]
SECOND = ["ships of iron and ships of wood", "the tide comes in and the tide goes out", "nothing alike 🌊"]
ANSWER = "𝒮ee: the tide comes in over the flat sand, says the lighthouse keeper"
ZERO = bytes(32)


class Asked:
    """An evidence source that counts, and answers with one span and one row."""

    def __init__(self) -> None:
        self.times = 0

    async def shares(self, job: AttributionJob, number: int) -> dict[str, Any]:
        self.times += 1
        shares = {to_checksum(ALICE): 400_000, to_checksum(BOB): 100_000}
        return {"answer": {}, "shares": shares, "unattributed": 500_000, "earning": 2, "rows": [[3, 80], [0, 20]]}

    async def find(self, parts: Sequence[tuple[str, int]], query: str, answer: str) -> dict[str, Any]:
        self.times += 1
        place = {"row": 3, "owner": "", "begin": 0, "end": 8}
        span = {"text": "the tide", "begin": 0, "end": 8, "words": 2, "count": 1, "places": [place]}
        return {"note": "n", "spans": [span], "similar": [{"row": 1, "owner": "", "bm25": 1.5, "text": FIRST[1]}]}


def world(folder: Path, answers: bytes | None = None, source: Any = None, scores: bytes | None = None) -> Any:
    """A namespace over one claim of model 1: five rows of two datanets, answers 1 and 2 of session 7 and 0 of 9."""
    blobs = BlobStore(str(folder))
    state = Overlay(StateStore(MemoryStore()).reader())
    for datanet, owner, texts in ((4, ALICE, FIRST), (5, BOB, SECOND)):
        part = HeldPart(owner, bytes.fromhex(blobs.put(blob_of(texts))), len(texts), 1, 1)
        VERSIONS.put(state, Version(0, owner, ZERO, len(texts), (part,), "", 1, 1), datanet, 2)
    data = (DataRef(4, 2), DataRef(5, 2))
    model = Model(
        ALICE, "m", "tiny", data, *[ZERO] * 5, 5, "gradient-dot", 0, 0, 0, 1, mints=True, retired=False, height=1
    )
    MODELS.put(state, model, 1)
    for number, entry in enumerate((Settlement(7, 1, 3, 2, ZERO), Settlement(9, 0, 1, 1, ZERO))):
        SETTLEMENTS.put(state, entry, 1, 8, number)
    if answers is None:
        said = [(7, 0, "old"), (7, 1, ANSWER), (7, 2, "b"), (9, 0, "c"), (9, 1, "later")]
        answers = json.dumps(
            {"answers": [{"session": s, "index": i, "query": "q", "answer": a, "price": "5"} for s, i, a in said]}
        ).encode()
    if scores is None:
        scores = b"".join(ppb.to_bytes(8, "big", signed=True) for ppb in (10, 0, 700, -5, 20))
    names = [bytes.fromhex(blobs.put(raw)) for raw in (answers, scores)]
    chosen: dict[str, Any] = {
        "model": 1, "epoch": 8, "claimant": ALICE, "last": 2, "shares": (Share(ALICE, 1),), "rows": 5,
        "evidence": names[0], "scores": names[1], "scores_root": ZERO,
    }  # fmt: skip
    claim = Claim(**{field.name: chosen.get(field.name, 0) for field in fields(Claim)})
    CLAIMS.put(state, claim, 3)
    backend = SimpleNamespace(state=lambda _: state, blobs=blobs, blob_peers=None, evidence=source)
    return OpenLedgerEvidence(backend)  # type: ignore[arg-type] - only what it reads


async def test_answers_are_those_that_the_claim_pays_for(tmp_path: Path) -> None:
    found = await world(tmp_path).get_answers(3, 0, 100, LATEST)
    assert found["count"] == 3
    assert [(a["number"], a["session"], a["index"]) for a in found["answers"]] == [(0, 7, 1), (1, 7, 2), (2, 9, 0)]
    assert found["answers"][0]["price"] == "0x5"
    page = await world(tmp_path).get_answers(3, 2, 1, LATEST)
    assert [(a["number"], a["answer"]) for a in page["answers"]] == [(2, "c")]


async def test_answers_are_read_once_for_all_who_ask_and_bounded_in_what_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, read = world(tmp_path), list[str]()
    get = node._backend.blobs.get
    monkeypatch.setattr(node._backend.blobs, "get", lambda name: (read.append(name), get(name))[1])
    pages = await asyncio.gather(*(node.get_answers(3, start, 1, LATEST) for start in (0, 1, 2, 0, 1, 2)))
    assert [page["answers"][0]["number"] for page in pages] == [0, 1, 2] * 2
    assert len(read) == 1
    settled(node, [Settlement(7, 1, 2, 2, ZERO), Settlement(9, 0, 1, 1, ZERO)])  # a devnet has gone back
    assert (await node.get_answers(3, 0, 100, LATEST))["count"] == 2
    assert (len(read), len(node._read)) == (2, 2)
    monkeypatch.setattr(evidence, "KEPT_ANSWERS", 1)
    settled(node, [Settlement(7, 2, 3, 2, ZERO), Settlement(9, 0, 1, 1, ZERO)])
    assert (await node.get_answers(3, 0, 100, LATEST))["answers"][0]["index"] == 2
    assert len(node._read) == 1


async def test_one_at_a_time_a_few_wait_and_the_others_are_refused() -> None:
    turns, inside, gate = OneAtATime(2), list[int](), asyncio.Event()

    async def work(number: int) -> None:
        async with turns:
            inside.append(number)
            await gate.wait()
            assert inside[-1] == number

    tasks = [asyncio.create_task(work(number)) for number in range(4)]
    await asyncio.sleep(0)
    assert inside == [0]
    with pytest.raises(RpcError, match="at once"):
        await tasks[3]
    tasks[1].cancel()
    await asyncio.gather(tasks[1], return_exceptions=True)
    gate.set()
    await asyncio.gather(tasks[0], tasks[2])
    await work(5)
    assert inside == [0, 2, 5]


async def test_earning_rows_are_named_by_their_datanet_best_first(tmp_path: Path) -> None:
    found = await world(tmp_path).get_earning_rows(3)
    assert (found["held"], found["earning"]) == (5, 3)
    assert [(r["row"], r["datanet"], r["place"], r["ppb"]) for r in found["rows"]] == [
        (2, 5, 0, 700), (4, 5, 2, 20), (0, 4, 0, 10),
    ]  # fmt: skip
    assert [r["excerpt"] for r in found["rows"]] == [SECOND[0], SECOND[2], FIRST[0]]
    hers = await world(tmp_path).get_earning_rows(3, ALICE)
    assert [(r["row"], r["contributor"]) for r in hers["rows"]] == [(0, to_checksum(ALICE))]
    assert (hers["held"], hers["earning"]) == (2, 1)


async def test_the_rows_of_one_claim_are_weighed_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node, inside, most = world(tmp_path), [0], [0]
    best = evidence._best

    def watched(*args: Any) -> Any:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.01)
        inside[0] -= 1
        return best(*args)

    monkeypatch.setattr(evidence, "_best", watched)
    found = await asyncio.gather(*(node.get_earning_rows(3) for _ in range(12)), return_exceptions=True)
    assert most == [1]
    assert [isinstance(one, RpcError) for one in found] == [False] * 9 + [True] * 3


async def test_evidence_names_row_contributor_and_version_and_is_looked_for_once(tmp_path: Path) -> None:
    source = Asked()
    node = world(tmp_path, source=source)
    found = await node.get_evidence(3, 0)
    assert found["answer"]["answer"] == ANSWER
    assert found["spans"][0]["places"] == [
        {"row": 3, "datanet": 5, "version": 2, "place": 1, "contributor": to_checksum(BOB), "begin": 0, "end": 8}
    ]
    assert found["similar"][0]["contributor"] == to_checksum(ALICE)
    assert await node.get_evidence(3, 0) == found
    assert source.times == 1
    with pytest.raises(NotFound, match="3 answers"):
        await node.get_evidence(3, 3)


def settled(node: Any, entries: Sequence[Settlement], **claim: Any) -> None:
    """Write other settlements, and the claim over them with other fields."""
    state = node._backend.state(LATEST)
    for number, entry in enumerate(entries):
        SETTLEMENTS.put(state, entry, 1, 8, number)
    ELECTORATES.put(state, Electorate(()), 3)
    CLAIMS.put(state, replace(CLAIMS.must(state, 3), last=len(entries), **claim), 3)


SCORES = (10, 0, 700, -5, 20)
ROOT = merkle_root([score_leaf(row, score) for row, score in enumerate(SCORES)])


async def test_one_of_several_answers_is_scored_by_the_node_once_and_is_no_proof(tmp_path: Path) -> None:
    source = Asked()
    node = world(tmp_path, source=source)
    settled(node, (Settlement(7, 1, 3, 2, ZERO), Settlement(9, 0, 1, 1, ZERO)))
    blobs = node._backend.blobs
    monkey = {name: bytes.fromhex(blobs.put(name.encode())) for name in ("weights", "index")}
    state = node._backend.state(LATEST)
    MODELS.put(state, replace(MODELS.must(state, 1), **monkey), 1)
    found = await node.get_answer_shares(3, 1)
    assert (found["answer"]["number"], found["answer"]["answer"], found["proved"]) == (1, "b", False)
    assert (found["shares"][to_checksum(ALICE)], found["unattributed"]) == (400_000, 500_000)
    assert [(r["row"], r["datanet"], r["place"], r["ppb"]) for r in found["rows"]] == [(3, 5, 1, 80), (0, 4, 0, 20)]
    assert await node.get_answer_shares(3, 1) == found
    assert source.times == 1
    with pytest.raises(NotFound, match="3 answers"):
        await node.get_answer_shares(3, 3)


async def test_the_only_answer_of_a_claim_has_the_claims_shares_proved_by_its_scores(tmp_path: Path) -> None:
    node = world(tmp_path)
    settled(node, (Settlement(7, 1, 2, 1, ZERO),), scores_root=ROOT, unattributed=7)
    found = await node.get_answer_shares(3, 0)
    assert found["proved"], "no oracle was asked: there is none"
    assert (found["shares"], found["unattributed"]) == ({to_checksum(ALICE): 1}, 7)
    assert [(r["row"], r["ppb"]) for r in found["rows"]] == [(2, 700), (4, 20), (0, 10)]
    settled(node, (Settlement(7, 1, 2, 1, ZERO),), scores_root=ZERO)
    with pytest.raises(OracleError, match="do not have the root"):
        await node.get_answer_shares(3, 0)


async def test_before_the_scores_are_published_nobody_is_told_shares_of_an_answer(tmp_path: Path) -> None:
    source = Asked()
    node = world(tmp_path, source=source)
    settled(node, (Settlement(7, 1, 3, 2, ZERO),), scores=ZERO)
    with pytest.raises(NotFound, match="not published"):
        await node.get_answer_shares(3, 0)
    assert source.times == 0


async def test_a_node_without_a_source_says_how_else(tmp_path: Path) -> None:
    with pytest.raises(OracleError) as caught:
        await world(tmp_path).get_evidence(3, 0)
    assert "openledger proof evidence" in str(caught.value.hint)


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{}", b'{"answers":5}', b'{"answers":[{"session":"x"}]}', b'{"answers":[[]]}', b"[" * 99,
            b'{"answers":[' + b"[]," * 1_000_000 + b"[]]}"],
    ids=range(8),
)  # fmt: skip
async def test_malformed_answers_are_refused(tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(OracleError, match="malformed"):
        await world(tmp_path, raw).get_answers(3)


async def test_scores_of_other_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OracleError, match="not of this model's rows"):
        await world(tmp_path, scores=bytes(8)).get_earning_rows(3)


async def test_what_is_too_large_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openledger.rpc.evidence.MAX_ANSWERS", 10)
    with pytest.raises(OracleError, match="at most 10"):
        await world(tmp_path).get_answers(3)
    monkeypatch.undo()
    monkeypatch.setattr("openledger.rpc.evidence.MAX_ROWS", 100)
    source = Asked()
    with pytest.raises(OracleError, match="at most 100"):
        await world(tmp_path, source=source).get_evidence(3, 0)
    assert source.times == 0


# --- the process that looks -------------------------------------------------------------------------------


def stored(folder: Path) -> tuple[list[tuple[str, int]], EvidenceProcess]:
    blobs = BlobStore(str(folder))
    return [(blobs.put(blob_of(texts)), len(texts)) for texts in (FIRST, SECOND)], EvidenceProcess(str(folder), 30)


async def test_the_process_finds_spans_in_code_points(tmp_path: Path) -> None:
    parts, process = stored(tmp_path)
    found = await process.find(parts, "what?", ANSWER)
    longest = found["spans"][0]
    assert ANSWER[longest["begin"] : longest["end"]] == longest["text"] == "the tide comes in over the flat sand"
    assert [p["row"] for p in longest["places"]] == [0]
    assert "not pay" in found["note"]


async def test_the_process_says_which_blob_is_not_here(tmp_path: Path) -> None:
    _, process = stored(tmp_path)
    with pytest.raises(BlobNotFound, match="ab" * 32):
        await process.find([("ab" * 32, 1)], "q", "a")


async def test_a_process_that_takes_too_long_or_too_much_is_ended(tmp_path: Path) -> None:
    parts, _ = stored(tmp_path)
    with pytest.raises(OracleError, match="within"):
        await EvidenceProcess(str(tmp_path), 0.01).find(parts, "q", ANSWER)
    with pytest.raises(OracleError, match="died"):
        await EvidenceProcess(str(tmp_path), 30, memory_mb=1).find(parts, "q", ANSWER)


def talking(end: str) -> EvidenceProcess:
    """A process that says much before ``end``, and has a terminal's escape in it."""
    process = EvidenceProcess("", 5)
    talk = f"import sys; sys.stdin.read(); sys.stderr.write('line\\n' * 100_000 + 'the last \\x1b[2J word'); {end}"
    process._command = [sys.executable, "-c", talk]
    return process


@pytest.mark.parametrize("end", ["sys.exit(3)", "sys.stderr.flush(); import time; time.sleep(60)"])
async def test_the_last_words_of_a_process_that_found_nothing_are_in_the_log(
    caplog: pytest.LogCaptureFixture, end: str
) -> None:
    process = talking(end)
    process._seconds = 1.5
    with pytest.raises(OracleError, match=r"died|within"):
        await process.find([], "q", ANSWER)
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told[-1] == "evidence process: the last ?[2J word"
    assert len(told) <= SHOWN


async def test_a_process_that_has_found_something_is_not_quoted(caplog: pytest.LogCaptureFixture) -> None:
    assert await talking("print('{\"found\": {}}')").find([], "q", ANSWER) == {}
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


async def test_too_many_questions_at_once_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openledger.node.evidence.WAITING", -1)
    parts, process = stored(tmp_path)
    with pytest.raises(OracleError, match="too many"):
        await process.find(parts, "q", ANSWER)


def test_a_node_may_be_told_to_look_for_none(tmp_path: Path) -> None:
    assert EvidenceProcess.of(str(tmp_path), 0) is None

"""``openledger_``: what stands behind a claim, for people: its answers, the rows that earned, and evidence beside them.

Answers and row scores are read out of blobs that the claim names; what is malformed there is refused, and nothing of it
is believed beyond that. Evidence is looked for elsewhere (``EvidenceSource``), one answer at a time.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import heapq
from collections import OrderedDict
from dataclasses import dataclass

from openledger.abci_app.modules.attribution.messages import CLAIMED_BYTES, scores_of
from openledger.abci_app.modules.attribution.records import Claim, must_claim
from openledger.abci_app.modules.datanets.records import must_version
from openledger.abci_app.modules.models.records import must_model, settlements
from openledger.abci_app.queries import attribution_job
from openledger.primitives.attribution import score_leaf
from openledger.primitives.errors import InvalidJson, NotFound, OracleError
from openledger.primitives.hashing import merkle_root
from openledger.primitives.jsonio import read_json
from openledger.primitives.types import ZERO_ADDRESS, Address, to_checksum
from openledger.rpc.backend import MIB, Backend
from openledger.rpc.formats import Json
from openledger.rpc.params import LATEST, AddressArg, BlockArg, NumberArg
from openledger.rpc.work import OneAtATime
from openledger.state.ports import StateReader

MAX_ANSWERS = 16 * MIB
"""Bytes of the answers of one claim that are read here."""
KEPT_ANSWERS = 32 * MIB
"""Bytes of answers that stay in memory once they were read."""
MAX_ROWS = 16 * MIB
"""Bytes of a model's rows in which evidence is looked for."""
MAX_MODEL = 256 * MIB
"""Bytes of a model's weights and index with which one answer is scored."""
MAX_LIST = 100
EXCERPT = 280
KEPT = 256
_FETCH_SECONDS = 20.0
HINT = "openledger proof evidence CLAIM looks for it on your machine"
SHARES_HINT = "openledger proof shares CLAIM --answer N makes them on your machine"


Key = tuple[bytes, bytes, int, int]
"""Answers, model, claim, answer."""
Paid = tuple[bytes, tuple[tuple[int, int, int], ...]]
"""Answers, and what is paid for of them: session, first, last (exclusive)."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the rows of a model: they are ``first`` and the following of the model, ``place`` and the following of
    the version."""

    datanet: int
    version: int
    contributor: Address
    blob: str
    rows: int
    first: int
    place: int

    def row(self, number: int) -> Json:
        """Where a row of the model stands in its datanet."""
        return {
            "row": number,
            "datanet": self.datanet,
            "version": self.version,
            "place": self.place + number - self.first,
            "contributor": to_checksum(self.contributor),
        }


def parts_of(state: StateReader, model: int) -> list[Part]:
    """The rows of a model in its own order. Raises NotFound."""
    found, first = [], 0
    for ref in must_model(state, model).data:
        place = 0
        for part in must_version(state, ref.datanet, ref.version).parts:
            found.append(Part(ref.datanet, ref.version, part.contributor, part.blob.hex(), part.rows, first, place))
            first, place = first + part.rows, place + part.rows
    return found


def answers_in(raw: bytes, most: int) -> list[Json]:
    """The answers of an evidence blob, by session and index; not many more than ``most``. Raises OracleError."""
    try:
        found = {
            (int(a["session"]), int(a["index"])): {
                "session": int(a["session"]), "index": int(a["index"]), "query": str(a["query"]),
                "answer": str(a["answer"]), "price": hex(int(a["price"])),
            }
            for a in read_json(raw, most=2 * most + 16)["answers"]
        }  # fmt: skip
        return [found[key] for key in sorted(found)]
    except (InvalidJson, KeyError, TypeError, ValueError, OverflowError) as err:
        raise OracleError(f"the answers of this claim are malformed: {type(err).__name__}") from None


class OpenLedgerEvidence:
    """What people want to see of a claim."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._found: OrderedDict[Key, Json] = OrderedDict()
        self._shares: OrderedDict[Key, Json] = OrderedDict()
        self._read: OrderedDict[Paid, tuple[int, list[Json]]] = OrderedDict()
        self._reading = OneAtATime()
        self._scoring = OneAtATime()

    async def get_answers(
        self, claim: NumberArg, start: NumberArg = 0, limit: NumberArg = MAX_LIST, block: BlockArg = LATEST
    ) -> Json:
        """The answers that a claim pays for, from ``start`` (0) on: session, index, query, answer, price."""
        state = self._backend.state(block)
        found = await self._answers(state, must_claim(state, claim))
        chosen = found[start : start + min(limit, MAX_LIST)]
        return {
            "claim": claim, "count": len(found), "answers": [{"number": start + i} | a for i, a in enumerate(chosen)]
        }  # fmt: skip

    async def get_earning_rows(
        self, claim: NumberArg, contributor: AddressArg = ZERO_ADDRESS, limit: NumberArg = 10, block: BlockArg = LATEST
    ) -> Json:
        """The rows that earn most by a claim (of one contributor, where one is named), in parts per billion of the
        contributors' fee."""
        state = self._backend.state(block)
        found = must_claim(state, claim)
        async with self._scoring:
            return await self._earning(state, claim, found, contributor, limit)

    async def _earning(self, state: StateReader, claim: int, found: Claim, contributor: Address, limit: int) -> Json:
        raw = await self._blob(found.scores.hex(), MAX_ROWS)
        parts = parts_of(state, found.model)
        if len(raw) != 8 * found.rows or found.rows != sum(part.rows for part in parts):
            raise OracleError("the published scores are not of this model's rows")
        mine = [part for part in parts if contributor in (ZERO_ADDRESS, part.contributor)]
        earning, best = await asyncio.to_thread(_best, raw, mine, min(limit, MAX_LIST))
        rows = await self._placed_rows(best, parts)
        return {"claim": claim, "held": sum(part.rows for part in mine), "earning": earning, "rows": rows}

    async def get_evidence(self, claim: NumberArg, answer: NumberArg, block: BlockArg = LATEST) -> Json:
        """Evidence for people beside one answer of a claim: rows with its very words, and rows like it. Never what is
        paid for. Characters are counted in Unicode code points."""
        source = self._backend.evidence
        if source is None:
            raise OracleError("this node looks for no evidence", HINT)
        state = self._backend.state(block)
        record = must_claim(state, claim)
        answers = await self._answers(state, record)
        if answer >= len(answers):
            raise NotFound(f"claim {claim} has {len(answers)} answers", "they are counted from 0")
        key = (record.evidence, must_model(state, record.model).bundle, claim, answer)
        if key not in self._found:
            parts = parts_of(state, record.model)
            await asyncio.to_thread(self._bounded, [part.blob for part in parts], MAX_ROWS)
            chosen = answers[answer]
            told = await source.find([(p.blob, p.rows) for p in parts], chosen["query"], chosen["answer"])
            _keep(self._found, key, _placed(told, parts))
        return {"claim": claim, "answer": {"number": answer} | answers[answer]} | self._found[key]

    async def get_answer_shares(
        self, claim: NumberArg, answer: NumberArg, limit: NumberArg = 10, block: BlockArg = LATEST
    ) -> Json:
        """Shares of one answer, once the claim's scores are published: of a claim's only answer the claim's own, which
        its scores prove; of one among several those that it would have brought alone, made from the blobs by this
        node."""
        state = self._backend.state(block)
        record = must_claim(state, claim)
        if not any(record.scores):
            raise NotFound(f"the scores of claim {claim} are not published", "they are once its vote has closed")
        answers = await self._answers(state, record)
        if answer >= len(answers):
            raise NotFound(f"claim {claim} has {len(answers)} answers", "they are counted from 0")
        parts = parts_of(state, record.model)
        if len(answers) == 1:
            async with self._scoring:
                own = await self._claimed(record, parts)
        else:
            own = await self._alone(state, claim, answer)
        rows = await self._placed_rows([(row, ppb) for row, ppb in own["rows"][: min(limit, MAX_LIST)]], parts)
        told = {"claim": claim, "answer": {"number": answer} | answers[answer], "proved": len(answers) == 1}
        return told | {name: own[name] for name in ("shares", "unattributed", "earning")} | {"rows": rows}

    # --- how ----------------------------------------------------------------------------------------------

    async def _placed_rows(self, best: list[tuple[int, int]], parts: list[Part]) -> list[Json]:
        """Where rows, (number, ppb) each, stand in their datanets, and how their texts begin."""
        firsts = [part.first for part in parts]
        found = [(number, ppb, parts[bisect.bisect_right(firsts, number) - 1]) for number, ppb in best]
        texts = await asyncio.to_thread(self._rows_of, {part.blob for _, _, part in found})
        return [
            part.row(number) | {"ppb": ppb, "excerpt": _excerpt(texts.get(part.blob), number - part.first)}
            for number, ppb, part in found
        ]

    async def _claimed(self, claim: Claim, parts: list[Part]) -> Json:
        """What the scores of a claim with one answer say of it; they have the root that the claim has. Raises
        OracleError, BlobNotFound."""
        raw = await self._blob(claim.scores.hex(), MAX_ROWS)
        if len(raw) != 8 * claim.rows or claim.rows != sum(part.rows for part in parts):
            raise OracleError("the published scores are not of this model's rows")
        if await asyncio.to_thread(_root, raw) != claim.scores_root:
            raise OracleError("the published scores do not have the root in the claim")
        earning, best = await asyncio.to_thread(_best, raw, parts, MAX_LIST)
        shares = {to_checksum(share.contributor): share.ppm for share in claim.shares}
        return {"shares": shares, "unattributed": claim.unattributed, "earning": earning, "rows": best}

    async def _alone(self, state: StateReader, claim: int, answer: int) -> Json:
        """What one of several answers would have brought alone, made once. Raises OracleError, BlobNotFound."""
        source, job = self._backend.evidence, attribution_job(state, claim)
        if source is None:
            raise OracleError("this node scores no single answers", SHARES_HINT)
        key = (bytes.fromhex(job.evidence_blob), bytes.fromhex(job.bundle_blob), claim, answer)
        if key not in self._shares:
            await asyncio.to_thread(self._bounded, [job.index_blob, job.weights_hash], MAX_MODEL)
            _keep(self._shares, key, await source.shares(job, answer))
        return self._shares[key]

    async def _answers(self, state: StateReader, claim: Claim) -> list[Json]:
        """Those that the claim pays for, in order. Raises OracleError, BlobNotFound."""
        entries = settlements(state, claim.model, claim.epoch, claim.first, claim.last)
        key = (claim.evidence, tuple((entry.session, entry.first, entry.last) for entry in entries))
        if key not in self._read:
            await self._fetch(claim.evidence.hex())
            async with self._reading:
                if key not in self._read:
                    self._remember(key, *await asyncio.to_thread(self._read_answers, key))
        self._read.move_to_end(key)
        return self._read[key][1]

    def _read_answers(self, key: Paid) -> tuple[int, list[Json]]:
        raw = self._bytes(key[0].hex(), MAX_ANSWERS)
        paid: dict[int, list[range]] = {}
        for session, first, last in key[1]:
            paid.setdefault(session, []).append(range(first, last))
        given = answers_in(raw, sum(max(r.stop for r in some) for some in paid.values()))
        return len(raw), [a for a in given if any(a["index"] in some for some in paid.get(a["session"], ()))]

    def _remember(self, key: Paid, size: int, answers: list[Json]) -> None:
        """Keep these, and those asked for last as far as there is room."""
        self._read[key] = (size, answers)
        while len(self._read) > 1 and sum(size for size, _ in self._read.values()) > KEPT_ANSWERS:
            self._read.popitem(last=False)

    async def _blob(self, name: str, most: int) -> bytes:
        """A blob that the chain names; its bytes. Raises BlobNotFound, and OracleError for more than ``most`` bytes."""
        await self._fetch(name)
        return await asyncio.to_thread(self._bytes, name, most)

    async def _fetch(self, name: str) -> None:
        """Ask the peers for a blob that is not here."""
        if self._backend.blob_peers is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._backend.blob_peers.fetch(name), _FETCH_SECONDS)

    def _bytes(self, name: str, most: int) -> bytes:
        self._bounded([name], most)
        return self._backend.blobs.get(name)

    def _bounded(self, names: list[str], most: int) -> None:
        size = sum(self._backend.blobs.size(name) for name in names)
        if size > most:
            raise OracleError(f"these are {size} bytes; at most {most} are looked at here", HINT)

    def _rows_of(self, names: set[str]) -> dict[str, list[bytes]]:
        """The rows of these blobs, where they are here and not too large together."""
        blobs = self._backend.blobs
        here = sorted(name for name in names if blobs.has(name))
        if sum(blobs.size(name) for name in here) > MAX_ROWS:
            return {}
        return {name: blobs.get(name).split(b"\n") for name in here}


def _best(raw: bytes, parts: list[Part], most: int) -> tuple[int, list[tuple[int, int]]]:
    """How many rows of these parts earn, and the best ones: (row, ppb)."""
    scores = scores_of(raw, CLAIMED_BYTES)
    numbers = (number for part in parts for number in range(part.first, part.first + part.rows))
    earning = [(number, scores[number]) for number in numbers if scores[number] > 0]
    return len(earning), heapq.nsmallest(most, earning, key=lambda e: (-e[1], e[0]))


def _root(raw: bytes) -> bytes:
    """Merkle root of the scores in a blob."""
    return merkle_root([score_leaf(row, score) for row, score in enumerate(scores_of(raw, CLAIMED_BYTES))])


def _keep(kept: OrderedDict[Key, Json], key: Key, found: Json) -> None:
    kept[key] = found
    if len(kept) > KEPT:
        kept.popitem(last=False)


def _excerpt(rows: list[bytes] | None, place: int) -> str | None:
    """The beginning of a row's text; None where it cannot be read."""
    try:
        text = None if rows is None else read_json(rows[place])["text"]
    except (InvalidJson, KeyError, TypeError, IndexError):
        return None
    if not isinstance(text, str):
        return None
    return text if len(text) <= EXCERPT else text[:EXCERPT] + "…"


def _placed(found: Json, parts: list[Part]) -> Json:
    """Evidence with each row's datanet, version and contributor."""
    firsts = [part.first for part in parts]

    def at(entry: Json) -> Json:
        number: int = entry["row"]
        where = parts[bisect.bisect_right(firsts, number) - 1].row(number)
        return where | {key: value for key, value in entry.items() if key not in ("row", "owner")}

    spans = [span | {"places": [at(place) for place in span["places"]]} for span in found["spans"]]
    return {"note": found["note"], "spans": spans, "similar": [at(entry) for entry in found["similar"]]}


__all__ = ["OpenLedgerEvidence", "Part", "answers_in", "parts_of"]

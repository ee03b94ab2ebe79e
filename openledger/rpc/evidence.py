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
from openledger.primitives.errors import InvalidJson, NotFound, OracleError
from openledger.primitives.jsonio import read_json
from openledger.primitives.types import ZERO_ADDRESS, Address, to_checksum
from openledger.rpc.backend import MIB, Backend
from openledger.rpc.formats import Json
from openledger.rpc.params import LATEST, AddressArg, BlockArg, NumberArg
from openledger.state.ports import StateReader

MAX_ANSWERS = 16 * MIB
"""Bytes of the answers of one claim that are read here."""
MAX_ROWS = 16 * MIB
"""Bytes of a model's rows in which evidence is looked for."""
MAX_LIST = 100
EXCERPT = 280
KEPT = 256
_FETCH_SECONDS = 20.0
HINT = "openledger proof evidence CLAIM looks for it on your machine"


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


def answers_in(raw: bytes) -> list[Json]:
    """The answers of an evidence blob, by session and index. Raises OracleError."""
    try:
        found = {
            (int(a["session"]), int(a["index"])): {
                "session": int(a["session"]), "index": int(a["index"]), "query": str(a["query"]),
                "answer": str(a["answer"]), "price": hex(int(a["price"])),
            }
            for a in read_json(raw)["answers"]
        }  # fmt: skip
        return [found[key] for key in sorted(found)]
    except (InvalidJson, KeyError, TypeError, ValueError, OverflowError) as err:
        raise OracleError(f"the answers of this claim are malformed: {type(err).__name__}") from None


class OpenLedgerEvidence:
    """What people want to see of a claim."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._found: OrderedDict[tuple[bytes, bytes, int, int], Json] = OrderedDict()

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
        raw = await self._blob(found.scores.hex(), MAX_ROWS)
        parts = parts_of(state, found.model)
        if len(raw) != 8 * found.rows or found.rows != sum(part.rows for part in parts):
            raise OracleError("the published scores are not of this model's rows")
        mine = [part for part in parts if contributor in (ZERO_ADDRESS, part.contributor)]
        earning, best = await asyncio.to_thread(_best, raw, mine, min(limit, MAX_LIST))
        texts = await asyncio.to_thread(self._rows_of, {part.blob for _, _, part in best})
        rows = [
            part.row(number) | {"ppb": ppb, "excerpt": _excerpt(texts.get(part.blob), number - part.first)}
            for ppb, number, part in best
        ]
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
            self._found[key] = _placed(told, parts)
            if len(self._found) > KEPT:
                self._found.popitem(last=False)
        return {"claim": claim, "answer": {"number": answer} | answers[answer]} | self._found[key]

    # --- how ----------------------------------------------------------------------------------------------

    async def _answers(self, state: StateReader, claim: Claim) -> list[Json]:
        """Those that the claim pays for, in order. Raises OracleError, BlobNotFound."""
        raw = await self._blob(claim.evidence.hex(), MAX_ANSWERS)
        given = await asyncio.to_thread(answers_in, raw)
        paid: dict[int, list[range]] = {}
        for entry in settlements(state, claim.model, claim.epoch, claim.first, claim.last):
            paid.setdefault(entry.session, []).append(range(entry.first, entry.last))
        return [a for a in given if any(a["index"] in some for some in paid.get(a["session"], ()))]

    async def _blob(self, name: str, most: int) -> bytes:
        """A blob that the chain names; its bytes. Raises BlobNotFound, and OracleError for more than ``most`` bytes."""
        peers = self._backend.blob_peers
        if peers is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(peers.fetch(name), _FETCH_SECONDS)
        await asyncio.to_thread(self._bounded, [name], most)
        return await asyncio.to_thread(self._backend.blobs.get, name)

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


def _best(raw: bytes, parts: list[Part], most: int) -> tuple[int, list[tuple[int, int, Part]]]:
    """How many rows of these parts earn, and the best ones: (ppb, row, part)."""
    scores = scores_of(raw, CLAIMED_BYTES)
    numbered = ((part.first + i, part) for part in parts for i in range(part.rows))
    earning = [(scores[number], number, part) for number, part in numbered if scores[number] > 0]
    return len(earning), heapq.nsmallest(most, earning, key=lambda e: (-e[0], e[1]))


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

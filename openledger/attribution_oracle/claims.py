"""From answers to row scores to shares: what a claim says, and the same arithmetic for those who check it.

The pay rule (pay.py) makes of the scores of all answers what each row earns, in parts per billion of the contributor
fee. Shares add them up per contributor and become ppm by largest remainder; what no row earned is ``unattributed``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from openledger.attribution_oracle.bundle import Bundle
from openledger.attribution_oracle.explained import explained_fraction
from openledger.attribution_oracle.methods import method
from openledger.attribution_oracle.pay import Table
from openledger.attribution_oracle.ports import Progress, silent
from openledger.primitives.attribution import SCORE_UNIT, SettlementFacts, receipt_leaf, score_leaf
from openledger.primitives.errors import DecodingError, OracleError
from openledger.primitives.fields import is_unicode
from openledger.primitives.hashing import merkle_root
from openledger.primitives.jsonio import read_json
from openledger.primitives.types import Address

PPM = 1_000_000
MAX_TEXT = 1 << 20


@dataclass(frozen=True)
class Answer:
    """One answer of a session: its number there, texts, price in wei."""

    session: int
    index: int
    query: str
    answer: str
    price: int


@dataclass
class Scoring:
    """A claim's answers as far as they are scored: the first ``done`` of them."""

    table: Table
    done: int = 0

    @classmethod
    def of(cls, bundle: Bundle, answers: int) -> Scoring:
        """None of so many."""
        return cls(Table(answers, bundle.index.rows, bundle.index.norms()))


@dataclass(frozen=True)
class Claim:
    """All that ``attribution.claim`` needs, and what the claimant keeps for the reveal."""

    evidence: bytes
    shares: tuple[tuple[Address, int], ...]
    unattributed: int
    row_scores: tuple[int, ...]
    scores: bytes
    scores_root: bytes


def dump_evidence(answers: Iterable[Answer]) -> bytes:
    """The evidence blob, sorted by (session, index)."""
    rows = [
        {"session": a.session, "index": a.index, "query": a.query, "answer": a.answer, "price": str(a.price)}
        for a in sorted(answers, key=lambda a: (a.session, a.index))
    ]
    return json.dumps({"answers": rows}, ensure_ascii=False, separators=(",", ":")).encode()


def read_evidence(raw: bytes, settlements: Sequence[SettlementFacts]) -> tuple[Answer, ...]:
    """Answers of an evidence blob, not many more than ``settlements`` tell of. Raises OracleError naming what is
    malformed or out of order."""
    last: dict[int, int] = {}
    for s in settlements:
        last[s.session] = max(last.get(s.session, 0), s.last)
    try:
        rows = read_json(raw, most=2 * sum(last.values()) + 16)["answers"]
        answers = tuple(_answer(row) for row in rows)
    except (ValueError, KeyError, TypeError, OverflowError, DecodingError) as err:
        raise OracleError(f"the evidence is malformed: {type(err).__name__} {err}") from None
    places = [(a.session, a.index) for a in answers]
    if any(first >= second for first, second in pairwise(places)):
        raise OracleError("the evidence is not sorted by session and index, or names an answer twice")
    return answers


def _answer(row: Any) -> Answer:
    for name, kind in (("session", int), ("index", int), ("query", str), ("answer", str), ("price", str)):
        if type(row[name]) is not kind:
            raise TypeError(f"{name} must be {kind.__name__}")
    digits = row["price"]
    if not digits.isascii() or not digits.isdigit() or len(digits) > 78 or len(row["query"]) > MAX_TEXT:
        raise ValueError("price must be decimal digits, a query at most 1 MB")
    if not 0 <= row["session"] < 2**64 or not 0 <= row["index"] < 2**32 or len(row["answer"]) > MAX_TEXT:
        raise ValueError("session, index or answer out of range")
    if int(digits) >= 2**256 or not is_unicode(row["query"]) or not is_unicode(row["answer"]):
        raise ValueError("a price has at most 256 bits, and texts are Unicode")
    return Answer(row["session"], row["index"], row["query"], row["answer"], int(digits))


def receipts_root(model: int, answers: Iterable[Answer]) -> bytes:
    """Merkle root over the receipt leaves of a session's answers, in order (what a voucher signs)."""
    return merkle_root([receipt_leaf(model, a.query, a.answer, a.price) for a in answers])


def counted(answers: Sequence[Answer], settlements: Sequence[SettlementFacts]) -> list[Answer]:
    """The answers that the settlements pay for (``first`` to ``last``, exclusive), in order."""
    ranges = {(s.session, i) for s in settlements for i in range(s.first, s.last)}
    return [a for a in answers if (a.session, a.index) in ranges]


def score_rows(
    bundle: Bundle, answers: Sequence[Answer], progress: Progress = silent, scoring: Scoring | None = None
) -> tuple[int, ...]:
    """What every row earns, in ppb of the claim's contributor fee, by the pay rule (pay.py). An answer weighs its part
    of the price, times the fraction that the fine-tune explains; one that touches no row earns nothing. ``scoring`` is
    gone on with, and stands behind the last answer whenever ``progress`` is told of it."""
    total = sum(a.price for a in answers)
    begun = scoring or Scoring.of(bundle, len(answers))
    chosen = method(bundle.index.method)
    base = bundle.run.base.build().to(next(bundle.run.model.parameters()).device)
    for number, answer in list(enumerate(answers))[begun.done :]:
        if total and answer.answer and bundle.run.base.tokenizer.encode(answer.answer):
            vector, loss = chosen.answered(bundle.run, answer.query, answer.answer)
            weight = explained_fraction(bundle.run, base, answer.query, answer.answer, loss) * (answer.price / total)
            begun.table.add(number, bundle.index.dot(vector), weight)
        begun.done = number + 1
        progress(begun.done, len(answers), "answers scored")
    return tuple(begun.table.pay(bundle.known, bundle.order))


def shares_from_scores(
    scores: Sequence[int], contributors: Sequence[Address]
) -> tuple[tuple[tuple[Address, int], ...], int]:
    """Shares in ppm, ascending by address and without zeros, and what is unattributed; together exactly 1,000,000."""
    if len(scores) != len(contributors):
        raise OracleError(f"{len(scores)} scores for {len(contributors)} rows")
    earned: dict[Address, int] = {}
    for who, score in zip(contributors, scores, strict=True):
        earned[who] = earned.get(who, 0) + max(score, 0)
    people = sorted(earned)
    attributed = sum(earned.values())
    whole = max(SCORE_UNIT, attributed)
    parts = [*(earned[who] for who in people), whole - attributed]
    floors = [part * PPM // whole for part in parts]
    by_remainder = sorted(range(len(parts)), key=lambda i: (-(parts[i] * PPM % whole), i))
    for i in by_remainder[: PPM - sum(floors)]:
        floors[i] += 1
    return tuple((who, ppm) for who, ppm in zip(people, floors, strict=False) if ppm), floors[-1]


def dump_scores(scores: Sequence[int]) -> bytes:
    """The scores blob: 8 bytes a row, big-endian, signed."""
    return b"".join(score.to_bytes(8, "big", signed=True) for score in scores)


def read_scores(raw: bytes) -> tuple[int, ...]:
    """Scores of their blob. Raises OracleError when it is cut off."""
    if len(raw) % 8:
        raise OracleError("the scores blob is cut off")
    return tuple(int.from_bytes(raw[i : i + 8], "big", signed=True) for i in range(0, len(raw), 8))


def build_claim(
    bundle: Bundle, answers: Sequence[Answer], settlements: Sequence[SettlementFacts], progress: Progress = silent
) -> Claim:
    """The claim for ``settlements``. ``answers`` must hold answers 0 to last-1 of each of their sessions; others are
    left out. Raises OracleError when some are missing."""
    last = {s.session: max(t.last for t in settlements if t.session == s.session) for s in settlements}
    kept = sorted((a for a in answers if a.index < last.get(a.session, 0)), key=lambda a: (a.session, a.index))
    for session, count in last.items():
        if [a.index for a in kept if a.session == session] != list(range(count)):
            raise OracleError(f"session {session}: the first {count} answers are not all at hand")
    scores = score_rows(bundle, counted(kept, settlements), progress)
    shares, unattributed = shares_from_scores(scores, bundle.contributors)
    root = merkle_root([score_leaf(row, score) for row, score in enumerate(scores)])
    return Claim(dump_evidence(kept), shares, unattributed, scores, dump_scores(scores), root)


@dataclass(frozen=True)
class Explained:
    """One contributor's part: share in ppm, and the rows that earned most: (row number, ppb, text)."""

    contributor: Address
    ppm: int
    rows: tuple[tuple[int, int, str], ...]


def explain(bundle: Bundle, scores: Sequence[int], top: int = 3) -> list[Explained]:
    """Who earned how much and from which rows; largest share first."""
    shares, _ = shares_from_scores(scores, bundle.contributors)
    earning: dict[Address, list[int]] = {}
    for row in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        if scores[row] > 0:
            earning.setdefault(bundle.contributors[row], []).append(row)
    found = []
    for who, ppm in sorted(shares, key=lambda s: (-s[1], s[0])):
        rows = earning[who][:top]
        found.append(Explained(who, ppm, tuple((i, scores[i], bundle.texts[i]) for i in rows)))
    return found


__all__ = [
    "Answer", "Claim", "Explained", "Scoring", "build_claim", "counted", "dump_evidence", "dump_scores", "explain",
    "read_evidence",
    "read_scores", "receipts_root", "score_rows", "shares_from_scores",
]  # fmt: skip

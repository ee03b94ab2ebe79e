"""What crosses the border between chain and oracle: the job (facts from state), the verdict, the voucher.

All values are exact; floats live only inside the oracle process. Shares are ppm and add up to 1,000,000 together
with ``unattributed``. Row scores are signed integers in parts per billion of the claim's contributor fee.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from openledger.primitives.fields import U32, U64, U256, Bytes32, struct_hash, typed_digest
from openledger.primitives.hashing import keccak256, merkle_leaf
from openledger.primitives.types import Address, Hash32

SCORE_UNIT = 1_000_000_000
SHOWN_ROWS = 8
"""Rows of a block that is shown together: a power of two, so that each block is one node of the tree of scores."""
SEED_BATCH = 256
"""Claim numbers whose seeds a validator promises with one root."""


@dataclass(frozen=True)
class Voucher:
    """Signed by the consumer (EIP-712): pays ``cumulative`` wei of a session for its first ``answers`` answers.

    ``receipts`` is the Merkle root over the receipt leaves of these answers, in order.
    """

    session: U64
    cumulative: U256
    answers: U32
    receipts: Bytes32

    def digest(self, chain_id: int) -> Hash32:
        """What the consumer signs."""
        return typed_digest(chain_id, struct_hash(self))


def receipt_leaf(model: int, query: str, answer: str, price: int) -> Hash32:
    """Leaf of one answer in a voucher's tree: model id, keccak256 of query and of answer (UTF-8), price in wei."""
    texts = keccak256(query.encode()) + keccak256(answer.encode())
    return merkle_leaf(model.to_bytes(8, "big") + texts + price.to_bytes(32, "big"))


def row_leaf(contributor: Address, row: bytes) -> Hash32:
    """Leaf of one data row in a datanet version: (contributor, keccak256(row bytes))."""
    return merkle_leaf(contributor + keccak256(row))


def promise_digest(contributor: Address, blob: Hash32, salt: bytes) -> Hash32:
    """What ``datanet.promise`` says of a blob (its sha256) and its contributor; ``salt`` has 32 random bytes."""
    return keccak256(b"openledger.promise" + contributor + blob + salt)


def score_leaf(row: int, score: int) -> Hash32:
    """Leaf of one row's score in a claim: row number and signed score (ppb), 8 bytes each."""
    return merkle_leaf(row.to_bytes(8, "big") + score.to_bytes(8, "big", signed=True))


def seed_leaf(claim: int, seed: bytes) -> Hash32:
    """Leaf of a validator's seed for one claim in the tree that it promises."""
    return merkle_leaf(b"openledger.seed" + claim.to_bytes(8, "big") + seed)


def drawn_rows(claim: int, validator: Address, seed: bytes, root: Hash32, rows: int, count: int) -> list[int]:
    """Rows whose blocks this validator must show, drawn by H(claim, validator, seed, root); distinct, sorted. The
    validator promises ``seed`` before it can know the claim's ``root`` of scores, and the claimant does not know the
    seed: so neither can grind the draw."""
    chosen: set[int] = set()
    counter = 0
    drawn = b"openledger.draw" + claim.to_bytes(8, "big") + validator + seed + root
    while len(chosen) < min(count, rows):
        digest = keccak256(drawn + counter.to_bytes(4, "big"))
        chosen.add(int.from_bytes(digest, "big") % rows)
        counter += 1
    return sorted(chosen)


def drawn_blocks(claim: int, validator: Address, seed: bytes, root: Hash32, rows: int, count: int) -> list[int]:
    """The blocks of ``SHOWN_ROWS`` consecutive rows that this validator must show: those of its drawn rows."""
    return sorted({row // SHOWN_ROWS for row in drawn_rows(claim, validator, seed, root, rows, count)})


def block_rows(block: int, rows: int) -> range:
    """Rows of a block of a claim over ``rows`` rows; the last block may have fewer."""
    return range(block * SHOWN_ROWS, min(rows, (block + 1) * SHOWN_ROWS))


def count_blocks(rows: int) -> int:
    """Blocks of a claim: they are the leaves of the upper part of the tree of scores."""
    return -(-rows // SHOWN_ROWS)


METHODS = ("gradient-dot", "path-influence", "path-undecayed", "ek-fac", "logra", "datainf")
"""Names by which a published index may say how its rows were credited."""
NAMED_ROW, NAMED_SHARE, NAMED_REST = 1, 2, 3
EVERY_SEGMENT = 255
"""In place of a segment: the row is looked at along the whole run."""


@dataclass(frozen=True)
class Named:
    """What a no says is wrong: index row ``row`` (kind NAMED_ROW), the share of ``contributor`` (0x-hex; NAMED_SHARE),
    or the unattributed part (NAMED_REST). A row of an index with checkpoints is wrong in a ``segment`` of the run,
    counted from 1 (0: the index has none)."""

    kind: int
    row: int = 0
    contributor: str = ""
    segment: int = 0


@dataclass(frozen=True)
class PartFacts:
    """Some consecutive rows of one version: who brought them, in which blob (sha256, hex), how many, the height of the
    block in which they were promised or committed, and the place among all promises and commits of the chain."""

    contributor: str
    blob: str
    rows: int
    height: int = 0
    place: int = 0


def commit_order(parts: Iterable[PartFacts]) -> tuple[int, ...]:
    """Numbers of the rows of ``parts``, who was first first; rows of one place in the order of ``parts``. Heights do
    not decide, for they begin anew on a chain that goes on from another's state."""
    when = [part.place for part in parts for _ in range(part.rows)]
    return tuple(sorted(range(len(when)), key=lambda row: (when[row], row)))


@dataclass(frozen=True)
class SettlementFacts:
    """Answers ``first`` to ``last`` (exclusive) of a session, paid with ``amount`` wei, under ``receipts``."""

    session: int
    first: int
    last: int
    amount: int
    receipts: str


@dataclass(frozen=True)
class AttributionJob:
    """One claim to verify, with everything that state says about it. Bytes are 0x-hex, so it travels as JSON.

    ``parts`` list the model's data rows in training order; ``index_blob`` and ``bundle_blob`` name the model's files.
    ``seed`` (hex) is the verifier's own: it draws the index rows that are recomputed; without it they are drawn anew
    each time. ``named`` are index rows that a challenge or another validator says are wrong, each with its segment (see
    ``Named``; ``EVERY_SEGMENT``): everybody recomputes them. ``again``: only those are looked at, for the rest is
    verified already. ``powers`` are those of the claim's validators and ``place`` the verifier's among them: the more
    there are, the less each of them looks at (without them: as if alone). ``lot`` (hex), the hash of the block in which
    the claim opened, says who is dealt what. ``base`` names the model's base: what may
    mint depends on it. ``seconds``: after so long the work is put aside at the end of a step, to go on when the job
    comes again (0: never).
    """

    claim: int
    model: int
    method: str
    bundle_blob: str
    index_blob: str
    index_root: str
    weights_hash: str
    receipt_hash: str
    parts: tuple[PartFacts, ...]
    roots: tuple[str, ...]
    settlements: tuple[SettlementFacts, ...]
    shares: tuple[tuple[str, int], ...]
    unattributed: int
    evidence_blob: str
    scores_root: str
    rows: int
    seed: str = ""
    named: tuple[tuple[int, int], ...] = ()
    again: bool = False
    powers: tuple[int, ...] = ()
    place: int = 0
    lot: str = ""
    base: str = ""
    seconds: int = 0

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> AttributionJob:
        """Raises ValueError, KeyError or TypeError for anything that ``to_json`` did not write."""
        data: dict[str, Any] = json.loads(text)
        data["parts"] = tuple(PartFacts(**p) for p in data["parts"])
        data["roots"] = tuple(data["roots"])
        data["powers"] = tuple(int(power) for power in data.get("powers", ()))
        data["named"] = tuple((int(row), int(segment)) for row, segment in data.get("named", ()))
        data["settlements"] = tuple(SettlementFacts(**s) for s in data["settlements"])
        data["shares"] = tuple((a, int(p)) for a, p in data["shares"])
        return cls(**data)


@dataclass(frozen=True)
class Verdict:
    """What one oracle process found: yes or no, why, its own score of every row (ppb, see SCORE_UNIT; none of a second
    look), and what a no names; None where no single row or share is wrong. ``replayed``: which of the ``segments`` of
    the training run, counted from 1, were replayed for it; 0 where the run has none."""

    claim: int
    valid: bool
    reason: str
    scores: tuple[int, ...] = ()
    named: Named | None = None
    replayed: tuple[int, ...] = ()
    segments: int = 0

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Verdict:
        """Raises ValueError, KeyError or TypeError for anything that ``to_json`` did not write."""
        data = json.loads(text)
        named = None if data.get("named") is None else Named(**data["named"])
        scores = tuple(int(s) for s in data["scores"])
        replayed = tuple(int(number) for number in data.get("replayed", ()))
        found = int(data["claim"]), bool(data["valid"]), str(data["reason"]), scores, named
        return cls(*found, replayed, int(data.get("segments", 0)))


__all__ = [
    "EVERY_SEGMENT",
    "METHODS",
    "NAMED_REST",
    "NAMED_ROW",
    "NAMED_SHARE",
    "SCORE_UNIT",
    "SEED_BATCH",
    "SHOWN_ROWS",
    "AttributionJob",
    "Named",
    "PartFacts",
    "SettlementFacts",
    "Verdict",
    "Voucher",
    "block_rows",
    "commit_order",
    "count_blocks",
    "drawn_blocks",
    "drawn_rows",
    "promise_digest",
    "receipt_leaf",
    "row_leaf",
    "score_leaf",
    "seed_leaf",
]  # fmt: skip

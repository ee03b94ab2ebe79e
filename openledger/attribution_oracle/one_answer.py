"""Shares of one answer of a claim, made from chain and blobs alone: what a model server says in a receipt, for anybody.

A claim weighs all its answers together (pay.py), so its shares are no sum of these: they are what the answer would
have brought if it were claimed alone. Of a claim with one answer they are the claim's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from openledger.attribution_oracle.bases import Base
from openledger.attribution_oracle.bundle import Bundle, load_bundle, read_manifest
from openledger.attribution_oracle.claims import Answer, read_evidence, score_rows, shares_from_scores
from openledger.attribution_oracle.ports import Blobs, blob_name
from openledger.attribution_oracle.verify import check_evidence, check_manifest, check_roots
from openledger.primitives.attribution import AttributionJob
from openledger.primitives.errors import NotFound
from openledger.primitives.types import Address


@dataclass(frozen=True)
class AnswerShares:
    """One answer with its place among those of the claim, shares and unattributed in ppm (together 1,000,000), and what
    each row of the model would earn, in ppb."""

    number: int
    answer: Answer
    shares: tuple[tuple[Address, int], ...]
    unattributed: int
    scores: tuple[int, ...]

    @property
    def earning(self) -> list[tuple[int, int]]:
        """(row, ppb) of those that would earn, best first."""
        return sorted(((row, ppb) for row, ppb in enumerate(self.scores) if ppb > 0), key=lambda pair: -pair[1])


def checked(
    job: AttributionJob, blobs: Blobs, known: Mapping[str, Base] | None = None
) -> tuple[Bundle, Sequence[Answer]]:
    """The model of a claim and the answers that it pays for. Files, data and answers are those on chain. Raises
    OracleError naming what differs, BlobNotFound, BaseMissing."""
    given = read_evidence(blobs.get(blob_name(job.evidence_blob)), job.settlements)
    answers = check_evidence(job, given)
    return published(job, blobs, known), answers


def published(job: AttributionJob, blobs: Blobs, known: Mapping[str, Base] | None = None) -> Bundle:
    """A model whose files and data are those on chain. Raises OracleError naming what differs, BlobNotFound,
    BaseMissing."""
    check_manifest(job, *read_manifest(blobs.get(blob_name(job.bundle_blob))))
    bundle = load_bundle(blobs, job.bundle_blob, known=known)
    check_roots(job, bundle)
    return bundle


def shares_of(bundle: Bundle, answer: Answer, number: int = 0) -> AnswerShares:
    """One answer for itself, also one that cost nothing."""
    scores = score_rows(bundle, [replace(answer, price=max(answer.price, 1))])
    return AnswerShares(number, answer, *shares_from_scores(scores, bundle.contributors), scores)


def shares_of_answers(bundle: Bundle, answers: Sequence[Answer], chosen: Sequence[int]) -> Iterator[AnswerShares]:
    """Each of the ``chosen`` answers for itself. Raises NotFound for a number that the claim does not have."""
    for number in chosen:
        if number >= len(answers):
            raise NotFound(f"the claim has {len(answers)} answers", "they are counted from 0")
        yield shares_of(bundle, answers[number], number)


__all__ = ["AnswerShares", "checked", "published", "shares_of", "shares_of_answers"]

"""Checking a claim by doing its work again. The chain's facts stand in the job; everything else comes from blobs.

A missing blob is not a verdict: BlobNotFound passes through, and the caller reports that it does not hold them yet.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from openledger.attribution_oracle.bases import Base
from openledger.attribution_oracle.bundle import Bundle, VersionData, load_bundle, read_manifest
from openledger.attribution_oracle.claims import (
    Answer,
    Scoring,
    counted,
    read_evidence,
    receipts_root,
    score_rows,
    shares_from_scores,
)
from openledger.attribution_oracle.kept import Begun, Kept
from openledger.attribution_oracle.looks import Crowd
from openledger.attribution_oracle.methods import method
from openledger.attribution_oracle.ports import Blobs, Progress, SliceOver, blob_name, silent
from openledger.attribution_oracle.recheck import (
    CHECKED_ROWS,
    Fault,
    check_spots,
    drawn_index_rows,
    named_spots,
    wanted_spots,
)
from openledger.attribution_oracle.replayed import PathInfluence
from openledger.primitives.amounts import exact_amount
from openledger.primitives.attribution import (
    NAMED_REST,
    NAMED_SHARE,
    AttributionJob,
    Named,
    SettlementFacts,
    Verdict,
)
from openledger.primitives.errors import BlobCorrupt, BlobNotFound, DecodingError, OracleError
from openledger.primitives.types import Address, parse_address, to_checksum, to_hex

SHARES_TOLERANCE = 100  # ppm of total variation (1e-4)
SHARE_FLOOR, SHARE_RELATIVE = 2, 200  # one share may differ by 2 ppm or 1/200 of itself


def verify_job(
    job: AttributionJob, blobs: Blobs, *, seed: bytes | None = None, known: Mapping[str, Base] | None = None,
    device: torch.device | None = None, progress: Progress = silent, count: int = CHECKED_ROWS,
    kept: Kept | None = None,
) -> Verdict:  # fmt: skip
    """Recompute the claim. ``seed`` (own randomness without it) draws what is checked of run and index where it was not
    dealt (``recheck.wanted_spots``): ``count`` index rows by one who looks alone; but for what is ``kept``. The verdict
    names the share or row that is wrong. Raises BlobNotFound when a blob is not at hand, or damaged here, BaseMissing
    when the base is not, and SliceOver as ``progress`` does: what is kept goes on where it was."""
    kept = Kept() if kept is None else kept
    try:
        require_blobs(job, blobs)
        check_manifest(job, *read_manifest(blobs.get(blob_name(job.bundle_blob))))
        read = kept.bundle(job)
        bundle = read or load_bundle(blobs, job.bundle_blob, known=known, device=device)
        check_roots(job, bundle)
        begun, scores = kept.begun(job), tuple[int, ...]()
        spots = named_spots(job, len(bundle.cuts) + 1)
        try:
            if read is None:  # which takes a while where the base is large
                progress(1, 1, "models read")
            if not job.again:
                scores = _scores(job, bundle, blobs, begun, progress)
                spots += _wanted_spots(job, bundle, scores, secrets.token_bytes(16) if seed is None else seed, count)
            fault = check_spots(bundle, blobs, spots, kept.right(job), progress, begun.replayed)
        except SliceOver:
            kept.put_aside(job, bundle)
            raise
        if fault is None and not job.again:
            fault = check_shares(job, bundle, scores)
    except BlobCorrupt as err:  # a fault of this machine's disk says nothing about the claim
        raise BlobNotFound(f"a blob of claim {job.claim} is damaged here: {err}") from None
    except (OracleError, DecodingError) as err:
        kept.done(job)
        return Verdict(job.claim, False, str(err))
    kept.done(job)
    segments = len(bundle.cuts) + 1 if bundle.cuts else 0
    said = (True, "recomputed") if fault is None else (False, fault.reason)
    named = None if fault is None else fault.named
    return Verdict(job.claim, *said, scores, named, tuple(sorted(begun.replayed)) if segments else (), segments)


def _scores(job: AttributionJob, bundle: Bundle, blobs: Blobs, begun: Begun, progress: Progress) -> tuple[int, ...]:
    """What every row earns. Raises OracleError, BlobNotFound, SliceOver."""
    given = read_evidence(blobs.get(blob_name(job.evidence_blob)), job.settlements)
    answers = check_evidence(job, given)
    if begun.scores is None:
        begun.scoring = begun.scoring or Scoring.of(bundle, len(answers))
        begun.scores = score_rows(bundle, answers, progress, begun.scoring)
        begun.scoring = None
    return begun.scores


def _wanted_spots(
    job: AttributionJob, bundle: Bundle, scores: Sequence[int], seed: bytes, count: int
) -> list[tuple[int, int]]:
    root, segments = bytes.fromhex(blob_name(job.scores_root)), len(bundle.cuts) + 1
    crowd = Crowd(job.powers, job.place, job.claim.to_bytes(8, "big") + bytes.fromhex(job.lot))
    whole = segments == 1 and isinstance(method(bundle.index.method), PathInfluence)
    return wanted_spots(scores, seed + root, crowd, segments, count, whole)


def require_blobs(job: AttributionJob, blobs: Blobs) -> None:
    """Raises BlobNotFound naming the first blob of the job that is not at hand (the reveal's scores are not needed)."""
    direct = [job.bundle_blob, job.index_blob, job.weights_hash, job.receipt_hash]
    direct += [] if job.again else [job.evidence_blob]
    for name in [*direct, *(part.blob for part in job.parts)]:
        if not blobs.has(blob_name(name)):
            raise BlobNotFound(f"the blob {name} of claim {job.claim} is not here yet")
    manifest, _ = read_manifest(blobs.get(blob_name(job.bundle_blob)))
    for name in (manifest["tokenizer"], *manifest["checkpoints"]):
        if not blobs.has(blob_name(name)):
            raise BlobNotFound(f"the blob {name} of claim {job.claim} is not here yet")


def check_manifest(job: AttributionJob, manifest: Mapping[str, Any], data: Sequence[VersionData]) -> None:
    """The manifest names the files and data that the chain knows. Raises OracleError naming what differs."""
    named = [
        ("weights", "weights", job.weights_hash),
        ("training receipt", "receipt", job.receipt_hash),
        ("index", "index", job.index_blob),
        ("index root", "index_root", job.index_root),
    ]
    for what, field, on_chain in named:
        if blob_name(manifest[field]) != blob_name(on_chain):
            raise OracleError(f"the {what} of the bundle is not the one on chain")
    if manifest["base"] != job.base:
        raise OracleError(f"the bundle is on the base {manifest['base']}, the chain says {job.base or 'none'}")
    if manifest["method"] != job.method or manifest["rows"] != job.rows:
        raise OracleError(f"the chain says {job.rows} rows by {job.method}, the bundle differs")
    listed = [p for v in data for p in v.parts]
    if len(listed) != len(job.parts):
        raise OracleError(f"the chain lists {len(job.parts)} parts of data, the bundle {len(listed)}")
    for number, (here, part) in enumerate(zip(listed, job.parts, strict=True)):
        same = parse_address(here.contributor) == parse_address(part.contributor)
        if (
            not same
            or (here.rows, here.height, here.place) != (part.rows, part.height, part.place)
            or blob_name(here.blob) != blob_name(part.blob)
        ):
            raise OracleError(f"part {number} of the data is another one in the bundle than on chain")


def check_roots(job: AttributionJob, bundle: Bundle) -> None:
    """The rows have the Merkle roots of the datanet versions on chain. Raises OracleError naming a version."""
    roots = [to_hex(root) for root in bundle.roots]
    for number, (ours, theirs) in enumerate(zip(roots, job.roots, strict=False)):
        if ours != theirs.lower():
            raise OracleError(f"the data of version entry {number} does not have the Merkle root on chain")
    if len(roots) != len(job.roots):
        raise OracleError(f"the chain names {len(job.roots)} data versions, the bundle {len(roots)}")


def check_evidence(job: AttributionJob, answers: Sequence[Answer]) -> list[Answer]:
    """The evidence is exactly what was settled. Gives the answers that count. Raises OracleError."""
    by_session: dict[int, list[Answer]] = {}
    for answer in answers:
        by_session.setdefault(answer.session, []).append(answer)
    last: dict[int, int] = {}
    for s in job.settlements:
        last[s.session] = max(last.get(s.session, 0), s.last)
    if by_session.keys() != last.keys():
        raise OracleError("the evidence is about other sessions than those settled")
    for session, found in by_session.items():
        if [a.index for a in found] != list(range(last[session])):
            raise OracleError(
                f"the evidence does not hold exactly the first {last[session]} answers of session {session}"
            )
    for settlement in job.settlements:
        _check_settlement(job.model, settlement, by_session[settlement.session])
    return counted(answers, job.settlements)


def _check_settlement(model: int, settlement: SettlementFacts, answers: Sequence[Answer]) -> None:
    where = f"answers {settlement.first} to {settlement.last} of session {settlement.session}"
    if to_hex(receipts_root(model, answers[: settlement.last])) != settlement.receipts.lower():
        raise OracleError(f"the evidence for {where} does not have the Merkle root that the consumer signed")
    paid = sum(a.price for a in answers[settlement.first : settlement.last])
    if paid != settlement.amount:
        raise OracleError(
            f"the prices of {where} add up to {exact_amount(paid)}, settled were {exact_amount(settlement.amount)}"
        )


def check_shares(job: AttributionJob, bundle: Bundle, scores: Sequence[int]) -> Fault | None:
    """None when the claimed shares are right, else the worst one."""
    own_shares, own_rest = shares_from_scores(scores, bundle.contributors)
    own: dict[Address | None, int] = {**dict(own_shares), None: own_rest}
    claimed: dict[Address | None, int] = {**{parse_address(a): p for a, p in job.shares}, None: job.unattributed}
    if len(claimed) != len(job.shares) + 1 or sum(claimed.values()) != 1_000_000 or min(claimed.values()) < 0:
        return Fault("the claimed shares do not add up to 1,000,000")
    apart = {who: abs(own.get(who, 0) - claimed.get(who, 0)) for who in own.keys() | claimed.keys()}
    worst = max(apart, key=lambda who: (apart[who], who or b""))
    too_far = any(d > max(SHARE_FLOOR, own.get(who, 0) // SHARE_RELATIVE) for who, d in apart.items())
    if sum(apart.values()) <= 2 * SHARES_TOLERANCE and not too_far:
        return None
    name = to_checksum(worst) if worst is not None else "the unattributed part"
    named = Named(NAMED_REST) if worst is None else Named(NAMED_SHARE, contributor=to_hex(worst))
    return Fault(f"the share of {name} is {own.get(worst, 0)} ppm, not {claimed.get(worst, 0)} ppm", named)


__all__ = [
    "CHECKED_ROWS",
    "Fault",
    "check_evidence",
    "check_manifest",
    "check_roots",
    "check_shares",
    "drawn_index_rows",
    "require_blobs",
    "verify_job",
]  # fmt: skip

"""What a reveal shows of a claim's scores, which the claimant has published as a blob."""

from __future__ import annotations

from collections.abc import Sequence

from openledger.abci_app.modules.attribution.messages import CLAIMED_BYTES, ShownBlock, score_bytes, scores_of
from openledger.abci_app.modules.attribution.records import Claim
from openledger.primitives.attribution import block_rows, count_blocks, score_leaf
from openledger.primitives.errors import BlobError
from openledger.primitives.hashing import merkle_proof, merkle_root
from openledger.state.blobs import BlobStore


def shown_blocks(
    blobs: BlobStore, number: int, claim: Claim, own: Sequence[tuple[int, bytes]]
) -> tuple[ShownBlock, ...]:
    """Our ``own`` scores (block, bytes) of blocks of claim ``number`` beside the claim's, with the proofs of these.
    Raises BlobNotFound while the claimant has not shown the scores, BlobError when they are not those of the claim."""
    name = claim.scores.hex()
    if (size := blobs.size(name)) != 8 * claim.rows:  # the claimant chose both, the root as well
        raise BlobError(f"the scores of claim {number} are {size} bytes, not those of {claim.rows} rows")
    raw = blobs.get(name)
    claimed = scores_of(raw, CLAIMED_BYTES)
    blocks = [block_rows(block, claim.rows) for block in range(count_blocks(claim.rows))]
    nodes = [merkle_root([score_leaf(row, claimed[row]) for row in rows]) for rows in blocks]
    if merkle_root(nodes) != claim.scores_root:
        raise BlobError(f"the scores of claim {number} do not have the Merkle root that it names")
    return tuple(
        ShownBlock(
            block,
            scores,
            b"".join(score_bytes(claimed[row]) for row in blocks[block]),
            b"".join(merkle_proof(nodes, block)),
        )
        for block, scores in own
    )


__all__ = ["shown_blocks"]

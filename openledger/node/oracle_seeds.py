"""This validator's secret seeds, from which the rows are drawn that it has to show: a function of one secret on disk.

The secret is written before the first root is promised and never changes, so a restart and a rolled-back chain promise
the same again. A machine that has lost it promises anew; its yes counts again for claims that open some blocks later.
"""

from __future__ import annotations

import secrets
from functools import lru_cache
from pathlib import Path

from openledger.node.oracle_findings import write_synced
from openledger.primitives.attribution import SEED_BATCH, seed_leaf
from openledger.primitives.hashing import keccak256, merkle_proof, merkle_root
from openledger.primitives.types import Address, Hash32

SECRET_BYTES = 32


class Seeds:
    """Seeds by claim number."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._leaves = lru_cache(maxsize=8)(self._compute)

    @classmethod
    def in_folder(cls, folder: Path) -> Seeds:
        """The seeds of the secret in ``folder``, which is made where there is none, or a spoilt one."""
        path = folder / "seeds.secret"
        known = b""
        if path.exists():
            try:
                known = bytes.fromhex(path.read_text())
            except ValueError:
                known = b""
        if len(known) != SECRET_BYTES:
            known = secrets.token_bytes(SECRET_BYTES)
            path.touch(mode=0o600)
            write_synced(path, known.hex())
            path.chmod(0o600)
        return cls(known)

    def seed(self, validator: Address, claim: int) -> Hash32:
        """What draws this validator's rows of a claim."""
        return keccak256(b"openledger.seed" + self._secret + validator + claim.to_bytes(8, "big"))

    def root(self, validator: Address, batch: int) -> Hash32:
        """What is promised for a batch."""
        return merkle_root(self._leaves(validator, batch))

    def path(self, validator: Address, claim: int) -> tuple[Hash32, ...]:
        """The way from a claim's seed to the root of its batch."""
        return tuple(merkle_proof(self._leaves(validator, claim // SEED_BATCH), claim % SEED_BATCH))

    def _compute(self, validator: Address, batch: int) -> list[Hash32]:
        numbers = range(batch * SEED_BATCH, (batch + 1) * SEED_BATCH)
        return [seed_leaf(number, self.seed(validator, number)) for number in numbers]

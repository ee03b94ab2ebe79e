"""Which blobs a node needs, as state says: those of published models and of open claims.

A node that joined by a snapshot, or was away, finds here what it lacks. Models are looked at once each; claims while
they are open.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator

from openledger.abci_app.modules.attribution.records import OPEN_SEEN, open_claims
from openledger.abci_app.modules.models.records import MODEL_COUNT, MODELS
from openledger.abci_app.queries import attribution_job, model_blobs
from openledger.primitives.attribution import AttributionJob
from openledger.primitives.errors import BlobError, OpenLedgerError
from openledger.state.blobs import BlobStore
from openledger.state.ports import StateReader

log = logging.getLogger("openledger.blobs")

MODELS_AT_ONCE = 100
EVERY_BLOCKS = 4
NOTHING = "0" * 64
MAX_MANIFEST = 16 << 20
"""Bytes of a model's manifest; a larger one is refused by verifiers."""
MOST_FILES = 64
_NAME = re.compile(rb'"0[xX]([0-9a-fA-F]{64})"')
_FILES = re.compile(rb'"(?:weights|receipt|tokenizer)"\s*:\s*' + _NAME.pattern)
_CHECKPOINTS = re.compile(rb'"checkpoints"\s*:\s*\[([^\[\]{}]*)\]')


def job_blobs(job: AttributionJob) -> list[str]:
    """Names of all blobs that a verifier of this claim needs; a hash of zeros names none."""
    names = [job.bundle_blob, job.index_blob, job.evidence_blob, *(part.blob for part in job.parts)]
    return named(names)


def files_inside(blobs: BlobStore, bundle: str) -> list[str]:
    """Names of the files that a model's manifest names, its checkpoints among them; none while it is not here, and of
    one that is malformed, which verifiers refuse. Looked for by their form: to parse what a stranger has written can
    take seconds, in which no block is made."""
    try:
        raw = blobs.get(bundle) if blobs.size(bundle) <= MAX_MANIFEST else b""
    except BlobError:
        return []
    listed = [name for some in _CHECKPOINTS.findall(raw) for name in _NAME.findall(some)]
    return named(name.decode().lower() for name in [*_FILES.findall(raw), *listed][:MOST_FILES])


def missing_blobs(blobs: BlobStore, job: AttributionJob) -> list[str]:
    """Names of the blobs that a verifier of this claim needs, as far as they are known, and that are not here. A claim
    may need tens of thousands, so this is asked in a thread. Raises BlobError."""
    names = dict.fromkeys([*job_blobs(job), *files_inside(blobs, job.bundle_blob)])
    return [name for name in names if not blobs.has(name)]


async def all_here(blobs: BlobStore, job: AttributionJob, is_here: Callable[[str], Awaitable[bool]]) -> bool:
    """Whether all blobs of a claim are here, or come when asked for. The manifest names some of them, so it is looked
    at once more when it has come. Where the store fails nothing is here."""
    for _ in range(2):
        try:
            missing = await asyncio.to_thread(missing_blobs, blobs, job)
            if not all([await is_here(name) for name in missing]):
                return False
        except BlobError as err:
            log.warning("claim %s: its blobs cannot be looked for: %s", job.claim, err)
            return False
    return True


def named(names: Iterable[str]) -> list[str]:
    """Without repetitions and without the name of nothing, in order."""
    return [name for name in dict.fromkeys(names) if name != NOTHING]


class BlobFollower:
    """Tells the exchange, after some commits, what state needs. ``state`` gives the newest one."""

    def __init__(self, state: Callable[[], StateReader], want: Callable[[Iterable[str]], None]) -> None:
        self._state = state
        self._want = want
        self._models = 0
        self._claims: set[int] = set()
        self._blocks = 0

    def committed(self, height: int) -> None:
        """After a commit, on the event loop; a bounded amount of work."""
        self._blocks += 1
        if self._blocks % EVERY_BLOCKS == 1:
            self.look()

    def look(self) -> None:
        """Look for models and claims that were not seen yet."""
        try:
            state = self._state()
            self._want(named([*self._new_models(state), *self._new_claims(state)]))
        except OpenLedgerError:
            return  # while a snapshot is being restored there is no state; the next block comes here again

    def _new_models(self, state: StateReader) -> Iterator[str]:
        last = min(MODEL_COUNT.get(state), self._models + MODELS_AT_ONCE)
        for number in range(self._models + 1, last + 1):
            record = MODELS.get(state, number)
            if record is not None and not record.retired:
                yield from model_blobs(state, record)
        self._models = last

    def _new_claims(self, state: StateReader) -> Iterator[str]:
        numbers = open_claims(state, OPEN_SEEN)
        for number in numbers:
            if number not in self._claims:
                yield from job_blobs(attribution_job(state, number))
        self._claims = set(numbers)

"""Between the chain and the oracle process: which claims are open, what was found, and what to say in the next vote.

    extension(state) -> notes the open claims, says what is finished        (called at each precommit, never waits)
    holding task     -> all blobs of a claim are here, fetched from peers where they were not -> "I hold them" is said
    verifying task   -> job to the worker process, each claim in its turn (``oracle_jobs``)
                     -> verdict and salt on disk, fsynced -> said from then on
    showing task     -> rows of the published scores with their proofs, beside the verifying

A verdict and its salt are on the disk before a commitment is sent, so a restart says the same again. What is said is
resent until state contains it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from openledger.abci_app.modules.attribution.accusations import accused_by, named_rows
from openledger.abci_app.modules.attribution.draws import batches, counted, promised
from openledger.abci_app.modules.attribution.index_challenges import Ballot, ballot, must_ballot
from openledger.abci_app.modules.attribution.messages import (
    MAX_MESSAGES,
    Accusation,
    ClaimMessage,
    Commitment,
    Hold,
    Message,
    Promise,
    Reveal,
    encode_extension,
    own_bytes,
    verdict_digest,
)
from openledger.abci_app.modules.attribution.records import (
    NONE,
    OPEN_SEEN,
    PENDING,
    REVEAL,
    VOTING,
    Claim,
    electorate,
    open_claims,
    vote,
)
from openledger.abci_app.modules.governance.records import params as read_params
from openledger.abci_app.queries import attribution_job
from openledger.abci_app.votes import AIM_BYTES
from openledger.node.blob_following import all_here
from openledger.node.oracle_findings import Finding, FindingStore, spoken
from openledger.node.oracle_jobs import JobQueue, Running, in_turn
from openledger.node.oracle_record import Record
from openledger.node.oracle_scores import shown_blocks
from openledger.node.oracle_seeds import Seeds
from openledger.node.oracle_worker import MEMORY_MB, Aside, OracleWorker
from openledger.primitives.attribution import (
    SEED_BATCH,
    AttributionJob,
    Verdict,
    block_rows,
    drawn_blocks,
    seed_leaf,
)
from openledger.primitives.errors import BlobError, BlobNotFound, OracleError
from openledger.primitives.types import ZERO_ADDRESS, Address, Hash32, parse_address
from openledger.state.blobs import BlobStore
from openledger.state.ports import StateReader

log = logging.getLogger("openledger.oracle")

RETRY_SECONDS = 1.0
SALT_BYTES = 16
FINDING_BLOCKS = 128

Fetch = Callable[[str], Awaitable[bool]]
"""True when the blob is here, after asking the configured peers where it was not."""
BlockHash = Callable[[int], Hash32 | None]
"""Hash of the block at a height; None where this node does not have it."""


class OracleBridge:
    """The verdict source of a node with an oracle. All methods run on the event loop."""

    def __init__(
        self, blobs_url: str, home: Path, chain_id: str, python: str = sys.executable, fetch: Fetch | None = None,
        memory_mb: int = MEMORY_MB, bases: Sequence[Path] = (), block_hash: BlockHash = lambda height: None,
    ) -> None:  # fmt: skip
        self._blobs = BlobStore(blobs_url)
        self.worker = OracleWorker(blobs_url, python, memory_mb, bases)
        self._store = FindingStore(home / chain_id)
        self._seeds: Seeds | None = None
        self._findings: dict[tuple[int, int], Finding] = {}
        self._jobs = JobQueue()
        self._fetch = fetch
        self._block_hash = block_hash
        self._awaited: dict[tuple[int, int], AttributionJob] = {}
        self._held: set[tuple[int, int]] = set()
        self._reveals: dict[tuple[int, int], Reveal] = {}
        self._shown: dict[tuple[int, int], Callable[[], Reveal]] = {}
        self.record = Record()
        self._scores: dict[int, str] = {}
        self._wake = asyncio.Event()
        self._hold_wake = asyncio.Event()
        self._show_wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def waiting(self) -> int:
        """Claims whose verification has not ended."""
        return len(self._jobs)

    async def start(self) -> None:
        """Read what was found before, and begin to work."""
        self._findings = self._store.load()
        self._seeds = Seeds.in_folder(self._store.folder)
        for name, work in (("verifying", self._work), ("blobs", self._hold), ("showing", self._show)):
            task = asyncio.create_task(work(), name=f"oracle {name}")
            task.add_done_callback(_tell_of_failure)
            self._tasks.append(task)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.worker.stop()

    def forget_after(self, claim: int) -> None:
        """A devnet goes back to where ``claim`` was the last one: numbers above it will be given to other claims."""
        for key in [key for key in self._jobs if key[0] > claim]:
            self._jobs.drop(key)
        for known in (self._findings, self._awaited, self._reveals, self._shown):
            for key in [key for key in known if key[0] > claim]:
                del known[key]
                self._store.delete(key)
        self._held = {key for key in self._held if key[0] <= claim}
        self._scores = {number: name for number, name in self._scores.items() if number <= claim}

    # --- what to say --------------------------------------------------------------------------------------

    def extension(self, state: StateReader, height: int, validator: Address) -> bytes:
        """Messages that state does not contain yet, about 1 KB of them, oldest claims first."""
        if self._seeds is None:  # not started: nothing may be said that a restart would say otherwise
            return b""
        most = read_params(state).max_extension_bytes
        messages: list[Message] = self._promises(state, self._seeds, validator)
        numbers = open_claims(state, OPEN_SEEN)
        claims = {number: must_ballot(state, number) for number in in_turn(numbers, height)}
        running = Running(frozenset(numbers), {number: claim.attempt for number, claim in claims.items()})
        self._forget_closed(state, height, running)
        for number, claim in claims.items():
            members = electorate(state, number).members
            if all(member.address != validator for member in members):
                continue
            self._note(state, number, claim, validator, self._seeds)
            accusation = self._accusation(state, number, claim, validator)
            message = self._message(state, number, claim, validator, self._seeds)
            if not _add(messages, [m for m in (accusation, message) if m is not None], most):
                break
        return encode_extension(messages)

    def _promises(self, state: StateReader, seeds: Seeds, validator: Address) -> list[Message]:
        """Roots of seeds that state does not have from us."""
        wanted = [(batch, seeds.root(validator, batch)) for batch in batches(state)]
        return [Promise(batch, root) for batch, root in wanted if promised(state, validator, batch) != root]

    def _forget_closed(self, state: StateReader, height: int, running: Running) -> None:
        """What is not worked on any longer; findings, which hold a score of every row, some blocks later, so that a
        node that was rolled back says the same again."""
        for key in [key for key in self._jobs if key not in running]:
            self._jobs.drop(key)
            self.record.closed(key[0])
        for waiting in (self._awaited, self._shown, self._reveals):
            for key in [key for key in waiting if key not in running]:
                del waiting[key]
        self._held = {key for key in self._held if key in running}
        self._scores = {number: name for number, name in self._scores.items() if number in running.numbers}
        for key in [key for key in self._findings if key not in running]:
            claim = ballot(state, key[0])
            if claim is not None and claim.status > REVEAL and claim.closed + FINDING_BLOCKS < height:
                del self._findings[key]
                self._store.delete(key)

    def _note(self, state: StateReader, number: int, claim: Ballot, validator: Address, seeds: Seeds) -> None:
        """Hand to the background task what it has to do for this claim."""
        key = (number, claim.attempt)
        if key not in self._findings and key not in self._jobs:
            job = replace(attribution_job(state, number), seed=seeds.seed(validator, number).hex())
            job = self._dealt(state, number, claim, validator, job)
            self._jobs.add(key, job)
            self._wake.set()
            if key not in self._held:
                self._awaited[key] = job
                self._hold_wake.set()
        finding = self._findings.get(key)
        if (
            claim.status == VOTING
            and finding
            and key not in self._jobs
            and (left := finding.unseen(named_rows(state, number)))
        ):
            again = replace(attribution_job(state, number), named=left, again=True)
            self._jobs.add(key, again)
            self._wake.set()
        if claim.status == REVEAL and finding and key not in self._reveals and key not in self._shown:
            if isinstance(claim, Claim):
                self._scores[number] = claim.scores.hex()
            self._shown[key] = lambda: self._reveal(number, claim, finding, validator, seeds)
            self._show_wake.set()

    def _dealt(
        self, state: StateReader, number: int, claim: Ballot, validator: Address, job: AttributionJob
    ) -> AttributionJob:
        """The job with this validator's place among all and the lot by which they deal. Who doesn't know the block in
        which the claim opened, having joined since, looks as if alone."""
        lot = self._block_hash(claim.opened)
        if lot is None:
            return replace(job, powers=())
        place = [member.address for member in electorate(state, number).members].index(validator)
        return replace(job, place=place, lot=lot.hex())

    def _accusation(self, state: StateReader, number: int, claim: Ballot, validator: Address) -> ClaimMessage | None:
        """What our no names, for everybody to look at; at the latest with the commitment, so that it is in time."""
        finding, before = self._findings.get((number, claim.attempt)), accused_by(state, number, validator)
        named = None if finding is None or finding.verdict.valid else finding.verdict.named
        if not isinstance(claim, Claim):  # it names by itself what all look at
            return None
        if claim.status != VOTING or named is None or (before is not None and before.attempt == claim.attempt):
            return None
        who = parse_address(named.contributor) if named.contributor else ZERO_ADDRESS
        return Accusation(number, claim.attempt, named.kind, named.row, who, named.segment)

    def _message(
        self, state: StateReader, number: int, claim: Ballot, validator: Address, seeds: Seeds
    ) -> ClaimMessage | None:
        said = vote(state, number, validator)
        key = (number, claim.attempt)
        finding = self._findings.get(key)
        if claim.status == PENDING and not said.held and (key in self._held or finding is not None):
            return Hold(number, claim.attempt)
        if finding is None:
            return None
        if claim.status == VOTING and not said.digest:
            if claim.look and finding.unseen(named_rows(state, number)):
                return None
            verdict, bound = finding.verdict, counted(state, validator, number, claim.opened)
            bound_to = isinstance(claim, Claim) and not claim.second_look
            if verdict.valid and bound_to and bound != seeds.root(validator, number // SEED_BATCH):
                return None  # a yes would be void: what draws our rows was not promised in time
            own = self._own_rows(number, claim, finding, validator, seeds)
            digest = verdict_digest(
                number, claim.attempt, validator, verdict.valid, finding.reason, finding.salt_of(claim.look), own
            )
            leaf = seed_leaf(number, seeds.seed(validator, number))
            return Commitment(number, claim.attempt, digest, leaf, b"".join(seeds.path(validator, number)), claim.look)
        if claim.status == REVEAL and said.digest and said.verdict == NONE:
            return self._reveals.get((number, claim.attempt))
        return None

    def _own_rows(
        self, number: int, claim: Ballot, finding: Finding, validator: Address, seeds: Seeds
    ) -> list[tuple[int, bytes]]:
        """(block, own scores) of the rows that this validator has to show; none for a no."""
        if not finding.verdict.valid or not isinstance(claim, Claim):
            return []
        seed = seeds.seed(validator, number)
        blocks = drawn_blocks(number, validator, seed, claim.scores_root, claim.rows, claim.drawn)
        scores = finding.verdict.scores
        return [(block, own_bytes(scores[row] for row in block_rows(block, claim.rows))) for block in blocks]

    def _reveal(self, number: int, claim: Ballot, finding: Finding, validator: Address, seeds: Seeds) -> Reveal:
        """Raises BlobError while the claimant has not shown the scores."""
        own = self._own_rows(number, claim, finding, validator, seeds)
        shown = shown_blocks(self._blobs, number, claim, own) if own and isinstance(claim, Claim) else ()
        verdict = finding.verdict
        seed = seeds.seed(validator, number) if verdict.valid and isinstance(claim, Claim) else b""
        salt = finding.salt_of(claim.look)
        return Reveal(number, claim.attempt, verdict.valid, finding.reason, salt, seed, shown)

    # --- background ---------------------------------------------------------------------------------------

    async def _work(self) -> None:
        """One claim after the other, each for its turn."""
        while True:
            chosen = self._jobs.next()
            if chosen is None:
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), self._jobs.delay())
            else:
                await self._try_job(*chosen)

    async def _show(self) -> None:
        """Beside the verifying, which may take minutes: a reveal must be in time."""
        while True:
            await self._show_wake.wait()
            self._show_wake.clear()
            done = [await self._try_reveal(key, make) for key, make in list(self._shown.items())]
            if not all(done):
                asyncio.get_running_loop().call_later(RETRY_SECONDS, self._show_wake.set)

    async def _hold(self) -> None:
        """Beside the verifying, which may take minutes: a claim is held as soon as its blobs are here."""
        while True:
            await self._hold_wake.wait()
            self._hold_wake.clear()
            for key, job in list(self._awaited.items()):
                if await all_here(self._blobs, job, self._is_here) and self._awaited.get(key) is job:
                    del self._awaited[key]
                    self._held.add(key)
                    log.info("claim %s: all its blobs are here", key[0])
            if self._awaited:
                asyncio.get_running_loop().call_later(RETRY_SECONDS, self._hold_wake.set)

    async def _is_here(self, name: str) -> bool:
        if self._fetch is not None:
            return await self._fetch(name)
        return self._blobs.has(name)

    async def _try_reveal(self, key: tuple[int, int], make: Callable[[], Reveal]) -> bool:
        """True when there is nothing left to do. In a thread: the Merkle tree over many rows must not hold up votes."""
        try:
            if self._fetch is not None and key[0] in self._scores:
                await self._fetch(self._scores[key[0]])
            made = await asyncio.to_thread(make)
            if self._shown.get(key) is make:
                self._reveals[key] = made
        except BlobNotFound:
            return False
        except BlobError as err:
            log.warning("claim %s: %s; this validator stays silent", key[0], err)
        if self._shown.get(key) is make:
            del self._shown[key]
        return True

    async def _try_job(self, key: tuple[int, int], job: AttributionJob, seconds: float) -> None:
        started = time.perf_counter()
        try:
            found = await self.worker.verify(job, seconds)
            if not isinstance(found, Aside):
                self._found(key, job, found)
                return
            self.record.aside(key[0], str(found))
            log.info("claim %s: %s; it goes on in its next turn", key[0], found)
            self._jobs.put_aside(key, job, time.perf_counter() - started, found)
        except BlobNotFound as err:
            log.info("claim %s: waiting for blobs: %s", key[0], err)
            self.record.missing(key[0], err.message)
            self._jobs.missing(key, job, time.perf_counter() - started)
            self._awaited.setdefault(key, job)  # also what was here and is gone, or damaged
            self._hold_wake.set()
        except OracleError as err:
            self.record.failed(key[0], self.worker.ended, err.message)
            log.warning("claim %s: no verdict: %s", key[0], err)
            self._jobs.failed(key, job, time.perf_counter() - started)
        except OSError as err:  # what is not on disk is not said; perhaps it can be written next time
            log.error("claim %s: its verdict cannot be written: %s", key[0], err)
            self._jobs.failed(key, job, time.perf_counter() - started)
        finally:
            self.record.seconds += time.perf_counter() - started

    def _found(self, key: tuple[int, int], job: AttributionJob, verdict: Verdict) -> None:
        if self._jobs.job(key) is not job:  # the claim is gone
            return
        finding = Finding(verdict, secrets.token_bytes(SALT_BYTES), job.named)
        if job.again and key in self._findings:
            before = self._findings[key]
            said = before.verdict if verdict.valid else verdict
            finding = replace(before, verdict=said, rows=(*before.rows, *job.named))
        self._store.save(key, finding)
        self._findings[key] = finding
        self._jobs.drop(key)
        self.record.verdict(key[0], verdict)
        log.info("claim %s: %s", key[0], spoken(verdict))


def _tell_of_failure(task: asyncio.Task[None]) -> None:
    """The background task ends only by ``stop``; anything else is a fault that somebody should hear of."""
    if not task.cancelled() and (fault := task.exception()) is not None:
        log.critical("the oracle bridge failed: %r; this validator is silent until it is restarted", fault)


def _add(messages: list[Message], more: list[ClaimMessage], most: int) -> bool:
    """Add what there is to say about one claim; False when the rest must wait for the next block."""
    if len(encode_extension(more)) > most:
        log.warning("claim %s: what this validator would say has more than %s bytes", more[0].claim, most)
        return True
    if len(messages) + len(more) > MAX_MESSAGES:
        return False
    if more and messages and len(encode_extension([*messages, *more])) > AIM_BYTES:
        return False
    messages += more
    return True

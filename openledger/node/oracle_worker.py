"""The verifying process as the node sees it: started when the first job comes, killed and started anew when it dies,
hangs, floods its pipe, or takes more memory than it may.

One job at a time, one JSON line each way (``attribution_oracle.worker``). A job that is not done when its turn is over
is put aside by the process itself, which keeps what it has done; one that does not even say so hangs. Nothing that
comes back is believed before its form is checked, to the last score. Whatever goes wrong there costs this node a
verdict, never a block; the last lines that the process has said on its standard error are in the log then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from openledger.node.oracle_record import FAILED, MEMORY, TIME
from openledger.node.oracle_stderr import Tail
from openledger.primitives.attribution import (
    EVERY_SEGMENT,
    NAMED_REST,
    NAMED_ROW,
    NAMED_SHARE,
    AttributionJob,
    Named,
    Verdict,
)
from openledger.primitives.errors import BlobNotFound, InvalidJson, OracleError
from openledger.primitives.fields import is_unicode
from openledger.primitives.jsonio import read_json

log = logging.getLogger("openledger.oracle")

JOB_SECONDS = 600
"""Longest turn of a job."""
PATIENCE = 20.0
"""Seconds that a step may go on when the turn is over."""
START_SECONDS = 60.0
"""Seconds more for the first job of a process, which imports torch, and transformers, before it reads the job."""
MEMORY_MB = 6_144
WATCH_SECONDS = 0.25
STOP_SECONDS = 5.0
SETTLE_SECONDS = 0.05
"""What the process has written before its answer is read by then."""
CHUNK = 64 * 1024
BASE_BYTES, ROW_BYTES = 16 * 1024, 24
"""An honest answer is never longer than this, and this for each row: 20 digits, sign, and what parts them."""
SCORE_LIMIT = 2**63
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Aside:
    """Where the work on a job stands that was put aside: ``done`` of ``total`` steps of what is being done."""

    done: int
    total: int
    what: str

    def ahead_of(self, other: Aside) -> bool:
        """Whether something was done between the two."""
        return self.what != other.what or self.done > other.done

    def __str__(self) -> str:
        return f"{self.what}: {self.done} of {self.total}"


class OracleWorker:
    """A child process with torch in it. ``verify`` may be awaited by one task at a time."""

    def __init__(
        self, blobs_url: str, python: str = sys.executable, memory_mb: int = MEMORY_MB, bases: Sequence[Path] = (),
        patience: float = PATIENCE,
    ) -> None:  # fmt: skip
        """``bases`` are the operator's folders with base models."""
        self._command = [python, "-m", "openledger.attribution_oracle.worker", "--blobs", blobs_url]
        self._command += ["--seconds", str(JOB_SECONDS + int(PATIENCE)), "--memory-mb", str(memory_mb)]
        self._command += [word for folder in bases for word in ("--base", str(folder))]
        self._memory, self._patience, self._starting = memory_mb << 20, patience, START_SECONDS
        self._process: asyncio.subprocess.Process | None = None
        self._tail, self._following = Tail(), set[asyncio.Task[None]]()
        self.starts = 0
        self.ended = FAILED
        """How the newest turn without a verdict ended: ``failed``, or killed for ``time`` or ``memory``."""

    @classmethod
    def of_command(
        cls, command: Sequence[str], memory_mb: int = MEMORY_MB, patience: float = PATIENCE, starting: float = 0.0
    ) -> OracleWorker:  # fmt: skip
        """A worker whose process is another program that speaks the same lines."""
        worker = cls("", memory_mb=memory_mb, patience=patience)
        worker._command, worker._starting = list(command), starting
        return worker

    @property
    def pid(self) -> int:
        """Process id; 0 when it does not run."""
        return 0 if self._process is None or self._process.returncode is not None else self._process.pid

    async def verify(self, job: AttributionJob, seconds: float = JOB_SECONDS) -> Verdict | Aside:
        """The verdict on a job, or where its work stands after ``seconds``: asked again, it goes on there. Raises
        BlobNotFound when blobs are missing, OracleError for every other failure; after one that the process did not
        report itself, the process is gone, and what it has done."""
        try:
            starts = self.starts
            process = await self._running()
            most = seconds + self._patience + (self._starting if self.starts > starts else 0.0)
            line = await self._watched(process, replace(job, seconds=max(1, int(seconds))), most)
            return await asyncio.to_thread(parse_answer, line, job)
        except _Reported as err:
            self.ended = err.ended
            await asyncio.sleep(SETTLE_SECONDS)
            self._tell(err.error.message, quiet=isinstance(err.error, BlobNotFound))
            raise err.error from None
        except (OSError, OracleError, _Killed) as err:
            self.ended = err.ended if isinstance(err, _Killed) else FAILED
            await self.stop()
            said = f"{type(err).__name__} {err}" if isinstance(err, OSError) else err.message
            self._tell(said)
            raise OracleError(f"the oracle process failed on claim {job.claim}: {said}") from None
        except asyncio.CancelledError:
            await self.stop()
            raise

    def _tell(self, said: str, quiet: bool = False) -> None:
        """The process's last lines into the log; with ``quiet`` they are let go."""
        for line in self._tail.take(said):
            log.log(logging.DEBUG if quiet else logging.WARNING, "oracle process: %s", line)

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is not None and await _speaks_unasked(self._process):
            await self.stop()
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=CHUNK,
                env=os.environ | {"PYTHONHASHSEED": "0"},
                start_new_session=True,
            )
            self.starts += 1
            if self._process.stderr is not None:
                following = asyncio.create_task(self._tail.follow(self._process.stderr), name="oracle stderr")
                self._following.add(following)
                following.add_done_callback(self._following.discard)
            log.info("oracle process started, pid %s", self._process.pid)
        return self._process

    async def _watched(self, process: asyncio.subprocess.Process, job: AttributionJob, seconds: float) -> bytes:
        """The line that answers the job, unless time or memory is over before. Raises OracleError, OSError, _Killed."""
        exchange = asyncio.ensure_future(_exchange(process, job))
        watch = asyncio.ensure_future(_outgrown(process.pid, self._memory))
        try:
            await asyncio.wait({exchange, watch}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if exchange.done():
                return exchange.result()
            if watch.done():
                took = f"it took {watch.result() >> 20} MiB of memory, {self._memory >> 20} are allowed"
                raise _Killed(took, MEMORY)
            raise _Killed(f"no answer within {seconds:.0f} s", TIME)
        finally:
            for task in (exchange, watch):
                task.cancel()
            await asyncio.gather(exchange, watch, return_exceptions=True)

    async def stop(self) -> None:
        """End the process and what it has started; it holds nothing that could be lost."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(TimeoutError, OSError):
            await asyncio.wait_for(self._emptied(process), STOP_SECONDS)

    async def _emptied(self, process: asyncio.subprocess.Process) -> None:
        """Until a killed process is gone; what stands in a full pipe is read, else its end is not seen."""
        while process.stdout is not None and await process.stdout.read(CHUNK):
            pass
        await process.wait()
        if self._following:
            await asyncio.wait(set(self._following))


async def _exchange(process: asyncio.subprocess.Process, job: AttributionJob) -> bytes:
    """The job in, one line of bounded length out. Raises OracleError, ConnectionError."""
    if process.stdin is None or process.stdout is None:
        raise OracleError("it has no pipes")
    process.stdin.write(job.to_json().encode() + b"\n")
    await process.stdin.drain()
    most = BASE_BYTES + ROW_BYTES * job.rows
    found = bytearray()
    while chunk := await process.stdout.read(CHUNK):
        found += chunk
        end = chunk.find(b"\n")
        if end == len(chunk) - 1 and len(found) <= most:
            return bytes(found)
        if end >= 0 or len(found) > most:
            raise OracleError("it says more than one answer")
    raise OracleError("it died")


async def _speaks_unasked(process: asyncio.subprocess.Process) -> bool:
    """True when something waits in the pipe although nothing was asked: what comes next could be no answer."""
    if process.stdout is None:
        return False
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0):
            return bool(await process.stdout.read(CHUNK))
    return False


def _resident(pid: int) -> int:
    """Resident bytes of a process; 0 where nobody counts them."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, ValueError, IndexError):
        return 0


async def _outgrown(pid: int, most: int) -> int:
    """Returns the resident bytes of a process once they are more than ``most``."""
    while (resident := _resident(pid)) <= most:  # noqa: ASYNC110 - the operating system tells nobody
        await asyncio.sleep(WATCH_SECONDS)
    return resident


class _Killed(Exception):
    """The process has to be killed: ``ended`` says for what."""

    def __init__(self, message: str, ended: str) -> None:
        super().__init__(message)
        self.message, self.ended = message, ended


class _Reported(Exception):
    """The process has said by itself why there is no verdict; it is in order."""

    def __init__(self, error: OracleError | BlobNotFound, ended: str) -> None:
        super().__init__(str(error))
        self.error, self.ended = error, ended


def parse_answer(line: bytes, job: AttributionJob) -> Verdict | Aside:
    """What a line says about this job. Raises OracleError for anything that is no verdict on it, and _Reported."""
    try:
        answer = read_json(line)
    except InvalidJson:
        raise OracleError("it answers with something that is not JSON") from None
    if not isinstance(answer, dict) or answer.get("claim") != job.claim:
        raise OracleError("it answers with something that is no verdict on this claim")
    error = answer.get("error")
    if error is not None:
        if not isinstance(error, dict) or not isinstance(error.get("message"), str):
            raise OracleError("it reports an error without words")
        kind = BlobNotFound if error.get("code") == BlobNotFound.code else OracleError
        ended = error.get("ended")
        raise _Reported(kind(error["message"][:500]), ended if ended in (TIME, MEMORY) else FAILED)
    if "aside" in answer:
        return _parse_aside(answer["aside"])
    valid, reason, scores = answer.get("valid"), answer.get("reason"), answer.get("scores")
    if not isinstance(valid, bool) or not isinstance(reason, str) or not isinstance(scores, list):
        raise OracleError("it answers with something that is no verdict")
    if not is_unicode(reason):
        raise OracleError("its reason is not Unicode text")
    if valid and len(scores) != (0 if job.again else job.rows):
        raise OracleError(f"it gives {len(scores)} scores for {job.rows} rows")
    if not all(type(score) is int and -SCORE_LIMIT <= score < SCORE_LIMIT for score in scores):
        raise OracleError("its scores are not integers of 64 bits")
    named = None if valid else _parse_named(answer.get("named"), job)
    return Verdict(job.claim, valid, reason, tuple(scores), named, *_parse_replayed(answer))


def _parse_aside(where: object) -> Aside:
    """Raises OracleError for what is no place in a work."""
    if isinstance(where, dict) and set(where) == {"done", "total", "what"}:
        done, total, what = (where[key] for key in ("done", "total", "what"))
        if type(done) is int and type(total) is int and 0 <= done <= total < SCORE_LIMIT and isinstance(what, str):
            return Aside(done, total, what[:100].encode("ascii", "replace").decode())
    raise OracleError("it puts the claim aside without saying where it stands")


def _parse_replayed(answer: dict[str, object]) -> tuple[tuple[int, ...], int]:
    """Which segments were replayed, and of how many. Raises OracleError for what no run has."""
    replayed, segments = answer.get("replayed", []), answer.get("segments", 0)
    if (
        type(segments) is int
        and 0 <= segments < EVERY_SEGMENT
        and isinstance(replayed, list)
        and all(type(n) is int and 1 <= n <= segments for n in replayed)
        and replayed == sorted(set(replayed))
    ):
        return tuple(replayed), segments
    raise OracleError("it replayed segments that the run does not have")


def _parse_named(named: object, job: AttributionJob) -> Named | None:
    """What a no names. Raises OracleError for what cannot be in this job."""
    if named is None:
        return None
    if isinstance(named, dict) and set(named) == {"kind", "row", "contributor", "segment"}:
        kind, row, who, segment = (named[key] for key in ("kind", "row", "contributor", "segment"))
        if type(segment) is not int or not 0 <= segment < EVERY_SEGMENT or (segment and kind != NAMED_ROW):
            raise OracleError("it names a segment, and no row or share of it")
        if kind == NAMED_ROW and type(row) is int and 0 <= row < job.rows and who == "":
            return Named(NAMED_ROW, row, segment=segment)
        if kind == NAMED_SHARE and row == 0 and isinstance(who, str) and any(who == p.contributor for p in job.parts):
            return Named(NAMED_SHARE, 0, who)
        if kind == NAMED_REST and row == 0 and who == "":
            return Named(NAMED_REST)
    raise OracleError("it names something that is no row or share of this claim")

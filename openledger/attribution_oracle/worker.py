"""The verifying process: one AttributionJob (JSON) a line on stdin, one line out for each.

    python -m openledger.attribution_oracle.worker --blobs URL [--base FOLDER ...] [--threads 1] [--memory-mb 6144]
        [--seconds 120]

A line out is a Verdict's JSON, or ``{"claim": number or null, "error": {"code", "message"}}``: code 601 when a blob
is not held yet, 613 when the model's base is not here, 205 for a line that is no job, 610 when time or memory ran
out (the error's ``ended`` is "time" or "memory" then). When the job's own ``seconds`` are over it is ``{"claim",
"aside": {"done", "total", "what"}}``: the same job, asked again, goes on there. A bad line never ends the process; the
end of stdin does. Logs go to stderr, whose last lines the node shows where there is no verdict. The process has its own
memory limit and a time limit for each job.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TextIO

import torch

from openledger.attribution_oracle.bases import Base, Shelf
from openledger.attribution_oracle.kept import Kept, Turn
from openledger.attribution_oracle.model import choose_device
from openledger.attribution_oracle.ports import Blobs, SliceOver
from openledger.attribution_oracle.verify import verify_job
from openledger.primitives.attribution import AttributionJob
from openledger.primitives.errors import DecodingError, InvalidJson, OpenLedgerError, OracleError
from openledger.primitives.jsonio import read_json

log = logging.getLogger("openledger.oracle")
MAX_LINE = 64 << 20
NO_MEMORY = "the job needs more memory than this process may use"


class TimeUp(Exception):
    """The job ran longer than its limit. Outside the error tree, so that no check takes it for a fault of the claim."""


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Raises TimeUp inside the block after ``seconds`` (0 = no limit). Main thread only."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise TimeUp(f"the job took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def error_line(claim: int | None, code: int, message: str, ended: str = "") -> str:
    """One line for a job without a verdict; ``ended`` where time or memory was over."""
    more = {"ended": ended} if ended else {}
    return json.dumps({"claim": claim, "error": {"code": code, "message": message, **more}})


def answer_line(
    line: str, blobs: Blobs, seconds: int, device: torch.device | None = None, kept: Kept | None = None,
    known: Mapping[str, Base] | None = None,
) -> str:  # fmt: skip
    """The line out for one line in."""
    kept = Kept() if kept is None else kept
    try:
        read_json(line)
        job = AttributionJob.from_json(line)
    except (ValueError, KeyError, TypeError, AttributeError, DecodingError) as err:
        return error_line(None, InvalidJson.code, f"not a job: {type(err).__name__} {err}")
    began, aside = time.monotonic(), False
    try:
        with time_limit(seconds):
            seed = bytes.fromhex(job.seed) if job.seed else None
            verdict = verify_job(
                job, blobs, seed=seed, known=known, device=device, progress=Turn(job.seconds), kept=kept
            )
    except SliceOver as err:
        aside = True
        log.info("claim %s: put aside, %s", job.claim, err)
        return json.dumps({"claim": job.claim, "aside": {"done": err.done, "total": err.total, "what": err.what}})
    except OpenLedgerError as err:
        log.warning("claim %s: no verdict: %s", job.claim, err)
        return error_line(job.claim, err.code, f"{err} ({err.hint})" if err.hint else str(err))
    except TimeUp as err:
        return error_line(job.claim, OracleError.code, str(err), "time")
    except MemoryError:
        return error_line(job.claim, OracleError.code, NO_MEMORY, "memory")
    except Exception as err:  # the border of the process: a fault in one job must not end the others
        log.exception("claim %s: fault", job.claim)
        if isinstance(err, RuntimeError) and "allocate memory" in str(err):  # how torch says MemoryError
            return error_line(job.claim, OracleError.code, NO_MEMORY, "memory")
        return error_line(job.claim, OracleError.code, f"the job failed: {type(err).__name__} {err}")
    finally:
        if not aside:  # nobody knows how far it was
            kept.done(job)
    log.info("claim %s: %s (%s) in %.2f s", job.claim, verdict.valid, verdict.reason, time.monotonic() - began)
    return verdict.to_json()


def serve(source: TextIO, sink: TextIO, answer: Callable[[str], str]) -> None:
    """Answer every line until the source ends."""
    while line := source.readline(MAX_LINE):
        if line.strip():
            sink.write(answer(line) + "\n")
            sink.flush()


def limit_memory(megabytes: int) -> None:
    """No more than this for data (0 = no limit); the operating system refuses the rest."""
    if megabytes:
        wanted = megabytes << 20
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def open_blobs(url: str) -> Blobs:
    """The blob store at ``url``."""
    from openledger.state.blobs import BlobStore

    store: Blobs = BlobStore(url)
    return store


def main(arguments: list[str] | None = None) -> int:
    """Entry point. Exit code 0 at the end of stdin."""
    parser = argparse.ArgumentParser(prog="openledger-oracle", description="Verifies attribution claims, one a line.")
    parser.add_argument("--blobs", required=True, help="blob store, as a URL or folder")
    parser.add_argument("--base", action="append", default=[], type=Path, help="folder with a base model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory-mb", type=int, default=6144)
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or mps")
    parser.add_argument("--seconds", type=int, default=120)
    args = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    torch.set_num_threads(max(1, args.threads))
    device = choose_device(args.device)
    blobs = open_blobs(args.blobs)
    limit_memory(args.memory_mb)
    kept, shelf = Kept(), Shelf(args.base, (args.memory_mb << 20) or None)
    log.info("ready")
    try:
        serve(sys.stdin, sys.stdout, lambda line: answer_line(line, blobs, args.seconds, device, kept, shelf))
    except (BrokenPipeError, KeyboardInterrupt):
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())

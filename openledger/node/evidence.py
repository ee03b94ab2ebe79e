"""Evidence beside an answer, and the shares of one answer, looked for in a process of its own: they may take time and
memory, and the node has neither.

``python -m openledger.node.evidence URL MEMORY_MB [BASE ...]`` reads one question from its input (JSON: ``parts``,
``query``, ``answer``, or ``job`` and ``number``), writes one line (``found`` or ``error``), and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from openledger.node.checks import has_module, has_torch
from openledger.node.oracle_stderr import Tail
from openledger.node.processes import dying_with_parent
from openledger.node.rows import rows_of, text_of
from openledger.primitives.attribution import AttributionJob
from openledger.primitives.errors import BlobNotFound, InvalidJson, NotFound, OpenLedgerError, OracleError
from openledger.primitives.jsonio import read_json
from openledger.primitives.types import to_checksum
from openledger.state.blobs import BlobStore

HINT = "openledger proof evidence CLAIM, or proof shares CLAIM, looks for it on your machine"
MEMORY_MB = 1_024
SHARES_MB = 4_096
"""Data of the process that has a model in memory; torch maps more than it uses."""
SHARES_TIMES = 2
"""Shares of an answer may take so many times as long as evidence: a model must be loaded."""
EARNING = 100
"""Rows of one answer that are told, those that earn most."""
NICE = 10
TOP = 8
"""Spans and rows of an answer that are shown."""
WAITING = 8
"""Questions that may wait for the one that is being answered."""
LAST_WORDS = 1.0
"""Seconds for what a process that has ended still has to say."""

log = logging.getLogger(__name__)


class EvidenceProcess:
    """An ``EvidenceSource``: one question after the other, each in a new process that is ended after ``seconds``."""

    def __init__(self, blobs_url: str, seconds: float, memory_mb: int = MEMORY_MB, bases: Sequence[Path] = ()) -> None:
        self._command = [sys.executable, "-m", "openledger.node.evidence", blobs_url]
        self._memory_mb, self._seconds, self._bases = memory_mb, seconds, [str(folder) for folder in bases]
        self._turn, self._tail = asyncio.Lock(), Tail()
        self._waiting = 0

    @classmethod
    def of(cls, blobs_url: str, seconds: float, bases: Sequence[Path] = ()) -> EvidenceProcess | None:
        """None where nobody shall look (0 seconds), or numpy is missing. ``bases`` are folders with base models."""
        return cls(blobs_url, seconds, bases=bases) if seconds and has_module("numpy") else None

    async def find(self, parts: Sequence[tuple[str, int]], query: str, answer: str) -> dict[str, Any]:
        """Raises OracleError when too many ask, when it takes too long or too much memory; BlobNotFound."""
        question = {"parts": list(parts), "query": query, "answer": answer}
        return await self._in_turn(question, [str(self._memory_mb)], self._seconds)

    async def shares(self, job: AttributionJob, number: int) -> dict[str, Any]:
        """Shares of answer ``number`` of a claim: ``answer``, ``shares`` (address to ppm), ``unattributed``, ``rows``
        ([number in the model, ppb], best first) and how many are ``earning``. Raises OracleError where torch is not
        installed, when too many ask, when it takes too long or too much memory; BlobNotFound."""
        if not has_torch():
            raise OracleError("torch is not installed here, so no answer can be scored", HINT)
        question = {"job": job.to_json(), "number": number}
        return await self._in_turn(question, [str(SHARES_MB), *self._bases], SHARES_TIMES * self._seconds)

    async def _in_turn(self, question: dict[str, Any], arguments: list[str], seconds: float) -> dict[str, Any]:
        if self._waiting > WAITING:
            raise OracleError("too many people look for evidence here", "ask again shortly")
        self._waiting += 1
        try:
            async with self._turn:
                return await self._asked(question, [*self._command, *arguments], seconds)
        finally:
            self._waiting -= 1

    async def _asked(self, question: dict[str, Any], command: list[str], seconds: float) -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            *dying_with_parent(command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        said = asyncio.create_task(self._tail.follow(cast(asyncio.StreamReader, process.stderr)))
        level = logging.WARNING
        try:
            async with asyncio.timeout(seconds):
                answer = _read(await _answer(process, json.dumps(question).encode()))
            level = logging.DEBUG
            return _found(answer)
        except TimeoutError:
            raise OracleError(f"nothing was found within {seconds:g} s", HINT) from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
            await self._tell(said, level)

    async def _tell(self, said: asyncio.Task[None], level: int) -> None:
        """The last words of a process that has ended, into the log."""
        await asyncio.wait({said}, timeout=LAST_WORDS)
        said.cancel()
        for line in self._tail.take():
            log.log(level, "evidence process: %s", line)


async def _answer(process: asyncio.subprocess.Process, question: bytes) -> bytes:
    """All that the process writes to its output, once it has ended."""
    asked, answers = cast(asyncio.StreamWriter, process.stdin), cast(asyncio.StreamReader, process.stdout)
    asked.write(question)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it ends without reading
        await asked.drain()
    asked.close()
    told = await answers.read()
    await process.wait()
    return told


def _read(told: bytes) -> dict[str, Any]:
    """What the process has told. Raises OracleError where it told nothing."""
    try:
        answer: dict[str, Any] = read_json(told)
    except InvalidJson:
        raise OracleError(
            "the process that looks for evidence has died: it may have needed too much memory",
            "the node's log has its last words",
        ) from None
    return answer


def _found(answer: dict[str, Any]) -> dict[str, Any]:
    """What the process has found. Raises OracleError, NotFound, BlobNotFound."""
    if "error" in answer:
        kinds = {kind.code: kind for kind in (BlobNotFound, NotFound)}
        raise kinds.get(answer["error"]["code"], OracleError)(answer["error"]["message"])
    found: dict[str, Any] = answer["found"]
    return found


def look(blobs: BlobStore, question: dict[str, Any]) -> dict[str, Any]:
    """Evidence for one question. Raises MalformedAction for rows without text, BlobNotFound, BlobCorrupt."""
    from openledger.attribution_oracle.evidence import Evidence

    rows = [row for name, count in question["parts"] for row in rows_of(blobs.get(name))[:count]]
    texts = [text_of(row) for row in rows]
    return Evidence(texts, [""] * len(texts)).of([(question["query"], question["answer"])], TOP)[0]


def score(blobs: BlobStore, question: dict[str, Any], bases: Sequence[Path]) -> dict[str, Any]:
    """Shares of one answer. Raises OracleError, NotFound, BlobNotFound, BlobCorrupt, BaseMissing."""
    from openledger.attribution_oracle import one_answer
    from openledger.attribution_oracle.bases import Shelf

    bundle, answers = one_answer.checked(AttributionJob.from_json(question["job"]), blobs, Shelf(bases))
    (found,) = one_answer.shares_of_answers(bundle, answers, [question["number"]])
    earning = found.earning
    return {
        "answer": dataclasses.asdict(found.answer),
        "shares": {to_checksum(who): ppm for who, ppm in found.shares},
        "unattributed": found.unattributed,
        "earning": len(earning),
        "rows": [list(pair) for pair in earning[:EARNING]],
    }


def main() -> None:
    """One question from standard input, one line to standard output."""
    url, memory_mb = sys.argv[1], int(sys.argv[2])
    question = read_json(sys.stdin.buffer.read())
    bound = resource.RLIMIT_DATA if "job" in question else resource.RLIMIT_AS
    resource.setrlimit(bound, (memory_mb << 20, memory_mb << 20))
    os.nice(NICE)
    try:
        blobs = BlobStore(url)
        found = score(blobs, question, [Path(p) for p in sys.argv[3:]]) if "job" in question else look(blobs, question)
        told: dict[str, Any] = {"found": found}
    except OpenLedgerError as err:
        told = {"error": {"code": err.code, "message": err.message}}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()


__all__ = ["EvidenceProcess", "look", "score"]

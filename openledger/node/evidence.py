"""Evidence beside an answer, looked for in a process of its own: it may take time and memory, and the node has neither.

``python -m openledger.node.evidence URL MEMORY_MB`` reads one question from its input (JSON: ``parts``, ``query``,
``answer``), writes one line (``found`` or ``error``), and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import sys
from collections.abc import Sequence
from typing import Any

from openledger.node.doctor import has_module
from openledger.node.processes import dying_with_parent
from openledger.node.rows import rows_of, text_of
from openledger.primitives.errors import BlobNotFound, InvalidJson, OpenLedgerError, OracleError
from openledger.primitives.jsonio import read_json
from openledger.state.blobs import BlobStore

MEMORY_MB = 1_024
NICE = 10
TOP = 8
"""Spans and rows of an answer that are shown."""
WAITING = 8
"""Questions that may wait for the one that is being answered."""


class EvidenceProcess:
    """An ``EvidenceSource``: one question after the other, each in a new process that is ended after ``seconds``."""

    def __init__(self, blobs_url: str, seconds: float, memory_mb: int = MEMORY_MB) -> None:
        self._command = [sys.executable, "-m", "openledger.node.evidence", blobs_url, str(memory_mb)]
        self._seconds = seconds
        self._turn = asyncio.Lock()
        self._waiting = 0

    @classmethod
    def of(cls, blobs_url: str, seconds: float) -> EvidenceProcess | None:
        """None where nobody shall look (0 seconds), or numpy is missing."""
        return cls(blobs_url, seconds) if seconds and has_module("numpy") else None

    async def find(self, parts: Sequence[tuple[str, int]], query: str, answer: str) -> dict[str, Any]:
        """Raises OracleError when too many ask, when it takes too long or too much memory; BlobNotFound."""
        if self._waiting > WAITING:
            raise OracleError("too many people look for evidence here", "ask again shortly")
        self._waiting += 1
        try:
            async with self._turn:
                return await self._asked({"parts": list(parts), "query": query, "answer": answer})
        finally:
            self._waiting -= 1

    async def _asked(self, question: dict[str, Any]) -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            *dying_with_parent(self._command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        try:
            async with asyncio.timeout(self._seconds):
                told, _ = await process.communicate(json.dumps(question).encode())
        except TimeoutError:
            raise OracleError(
                f"no evidence was found within {self._seconds:g} s",
                "openledger proof evidence CLAIM looks for it on your machine",
            ) from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        return _read(told)


def _read(told: bytes) -> dict[str, Any]:
    """What the process has found. Raises OracleError, BlobNotFound."""
    try:
        answer = read_json(told)
    except InvalidJson:
        raise OracleError("the process that looks for evidence has died: it may have needed too much memory") from None
    if "error" in answer:
        kind = BlobNotFound if answer["error"]["code"] == BlobNotFound.code else OracleError
        raise kind(answer["error"]["message"])
    found: dict[str, Any] = answer["found"]
    return found


def look(blobs: BlobStore, question: dict[str, Any]) -> dict[str, Any]:
    """Evidence for one question. Raises MalformedAction for rows without text, BlobNotFound, BlobCorrupt."""
    from openledger.attribution_oracle.evidence import Evidence

    rows = [row for name, count in question["parts"] for row in rows_of(blobs.get(name))[:count]]
    texts = [text_of(row) for row in rows]
    return Evidence(texts, [""] * len(texts)).of([(question["query"], question["answer"])], TOP)[0]


def main() -> None:
    """One question from standard input, one line to standard output."""
    url, memory_mb = sys.argv[1], int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
    os.nice(NICE)
    try:
        told = {"found": look(BlobStore(url), read_json(sys.stdin.buffer.read()))}
    except OpenLedgerError as err:
        told = {"error": {"code": err.code, "message": err.message}}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()


__all__ = ["EvidenceProcess", "look"]

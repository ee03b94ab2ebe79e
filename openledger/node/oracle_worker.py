"""The verifying process as the node sees it: started when the first job comes, restarted when it dies or hangs.

One job at a time, one JSON line each way (``attribution_oracle.worker``). Whatever goes wrong there costs this node a
verdict, never a block.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from typing import Any

from openledger.primitives.attribution import AttributionJob, Verdict
from openledger.primitives.errors import BlobNotFound, OracleError

log = logging.getLogger("openledger.oracle")

JOB_SECONDS = 600
LINE_LIMIT = 64 * 1024 * 1024


class OracleWorker:
    """A child process with torch in it. ``verify`` may be awaited by one task at a time."""

    def __init__(self, blobs_url: str, python: str = sys.executable) -> None:
        self._command = [python, "-m", "openledger.attribution_oracle.worker", "--blobs", blobs_url]
        self._command += ["--seconds", str(JOB_SECONDS)]
        self._process: asyncio.subprocess.Process | None = None
        self.starts = 0

    @property
    def pid(self) -> int:
        """Process id; 0 when it does not run."""
        return 0 if self._process is None or self._process.returncode is not None else self._process.pid

    async def verify(self, job: AttributionJob) -> Verdict:
        """The verdict on a job. Raises BlobNotFound when blobs are missing, OracleError for every other failure."""
        process = await self._running()
        if process.stdin is None or process.stdout is None:
            raise OracleError("the oracle process has no pipes")
        try:
            process.stdin.write(job.to_json().encode() + b"\n")
            await process.stdin.drain()
            line = await asyncio.wait_for(process.stdout.readline(), JOB_SECONDS + 30)
        except (TimeoutError, ConnectionError, ValueError) as err:
            await self.stop()
            raise OracleError(f"the oracle process failed on claim {job.claim}: {type(err).__name__}") from None
        if not line:
            await self.stop()
            raise OracleError(f"the oracle process died on claim {job.claim}")
        return _verdict(line)

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=LINE_LIMIT,
                env=os.environ | {"PYTHONHASHSEED": "0"},
                start_new_session=True,
            )
            self.starts += 1
            log.info("oracle process started, pid %s", self._process.pid)
        return self._process

    async def stop(self) -> None:
        """End the process; it holds nothing that could be lost."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _verdict(line: bytes) -> Verdict:
    try:
        answer: dict[str, Any] = json.loads(line)
        error = answer.get("error")
        if error is None:
            return Verdict.from_json(line.decode())
        code, message = int(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise OracleError("the oracle process answered with something that is no verdict") from None
    if code == BlobNotFound.code:
        raise BlobNotFound(message)
    raise OracleError(message)

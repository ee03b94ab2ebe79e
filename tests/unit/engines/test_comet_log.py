"""CometBFT gives up consensus without ending: the engine must not live on beside it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import MagicMock

import pytest

from openledger.node.engines.cometbft import CometEngine, consensus_failure
from openledger.primitives.errors import ConsensusFault

LINE = (
    'E[2026-11-23|20:02:28.654] CONSENSUS FAILURE!!!                         module=consensus err="+2/3 committed an '
    'invalid block: wrong \\"AppHash\\".  Expected 9E2B, got 99ED" stack="goroutine 15928 [running]:\\nruntime/debug"'
)


def test_the_reason_is_read_without_the_call_stack() -> None:
    assert consensus_failure(LINE) == '+2/3 committed an invalid block: wrong "AppHash".  Expected 9E2B, got 99ED'
    assert consensus_failure("E[2026-11-23|20:02:28.654] Stopping peer for error module=p2p err=EOF") is None


async def test_the_engine_ends_and_says_why(tmp_path: Path) -> None:
    engine = CometEngine(MagicMock(), tmp_path)
    stream = asyncio.StreamReader()
    stream.feed_data(LINE.encode() + b"\n")
    stream.feed_eof()
    await engine._read_log(cast(Any, SimpleNamespace(stdout=stream)))
    with pytest.raises(ConsensusFault, match=r"given up consensus.*invalid block"):
        await engine.wait()

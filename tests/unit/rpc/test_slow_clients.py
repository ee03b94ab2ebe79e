"""Clients that dawdle, leave in the middle, or ask for much at once: nothing of the node is theirs for ever."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import Any

import pytest

from openledger.rpc.backend import RpcSettings
from tests.waiting import PATIENCE, until

MIB = 1024 * 1024


class TestPatience:
    @pytest.fixture
    def settings(self) -> RpcSettings:
        return RpcSettings(idle_seconds=0.5, request_seconds=0.5)

    @pytest.mark.parametrize("sent", [
        b"GET / HTTP/1.1\r\nHost: localh", b"G",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Type: appl",
    ])  # fmt: skip
    async def test_a_head_that_never_ends_holds_no_connection(self, chain: Any, sent: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", chain.server.port)
        writer.write(sent)
        await asyncio.wait_for(reader.read(), PATIENCE)
        await until(lambda: not chain.server.connections)
        writer.close()

    async def test_readers_of_a_blob_that_do_not_read_take_no_memory_and_lose_their_connection(
        self, chain: Any
    ) -> None:
        name = chain.server._backend.blobs.put(bytes(8 * MIB))
        tracemalloc.start()
        try:
            opened = [await asyncio.open_connection("127.0.0.1", chain.server.port, limit=1024) for _ in range(8)]
            for _, writer in opened:
                writer.write(b"GET /blobs/%b HTTP/1.1\r\nHost: localhost\r\n\r\n" % name.encode())
            await asyncio.sleep(0.4)
            assert tracemalloc.get_traced_memory()[1] < 24 * MIB
        finally:
            tracemalloc.stop()
        await until(lambda: not chain.server.connections)
        for _, writer in opened:
            writer.close()

"""The doors beside JSON-RPC: blobs, CometBFT's pass-through, genesis. Each has the bounds of the first one."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openledger.rpc import blobs
from openledger.rpc.backend import RpcSettings
from tests.waiting import until

NAME = "ab" * 32


class TestRates:
    @pytest.fixture
    def settings(self) -> RpcSettings:
        return RpcSettings(rate_limit=1, rate_burst=4, proxies=("127.0.0.0/8",))

    @pytest.mark.parametrize("door", [
        ("GET", f"/blobs/{NAME}"), ("PUT", f"/blobs/{NAME}"), ("GET", "/genesis.json"), ("GET", "/openrpc.json"),
        ("POST", "/cometbft"),
    ])  # fmt: skip
    async def test_a_client_above_its_rate_hears_429_at_every_door(self, chain: Any, door: tuple[str, str]) -> None:
        method, path = door
        statuses = []
        for _ in range(5):
            async with chain.http.request(method, chain.url + path, data=b"x" if method != "GET" else None) as answer:
                statuses.append(answer.status)
        assert 429 not in statuses[:4]
        assert statuses[4] == 429
        async with chain.http.get(chain.url + "/healthz") as answer:
            assert answer.status == 200  # who watches the node is not turned away

    async def test_a_proxy_that_adds_its_own_line_tells_who_the_client_is(self, chain: Any) -> None:
        """As HAProxy does: what stands in the lines before it, the client may have written himself."""

        async def ask(number: int) -> int:
            lines = [("X-Forwarded-For", f"198.51.100.{number}"), ("X-Forwarded-For", "203.0.113.9")]
            body = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}
            async with chain.http.post(chain.url, json=body, headers=lines) as answer:
                return int(answer.status)

        assert [await ask(number) for number in range(5)] == [200] * 4 + [429]


class TestUploads:
    @pytest.fixture
    def settings(self) -> RpcSettings:
        return RpcSettings(request_seconds=0.5)

    async def test_a_blob_that_comes_byte_by_byte_holds_no_connection_for_ever(self, chain: Any) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", chain.server.port)
        writer.write(b"PUT /blobs/%b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n" % NAME.encode())

        async def drip() -> None:
            while True:
                writer.write(b"x")
                await asyncio.sleep(0.1)

        dripping = asyncio.create_task(drip())
        try:
            assert b"408" in await asyncio.wait_for(reader.readline(), 3)
        finally:
            dripping.cancel()
        writer.close()

    async def test_uploads_at_once_are_bounded_and_one_that_ends_makes_room(
        self, chain: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(blobs, "MOST_UPLOADS", 1)
        name = hashlib.sha256(b"rows").hexdigest()
        _, writer = await asyncio.open_connection("127.0.0.1", chain.server.port)
        writer.write(b"PUT /blobs/%b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n" % NAME.encode())
        await until(lambda: list(unfinished(chain)))
        async with chain.http.put(f"{chain.url}/blobs/{name}", data=b"rows") as answer:
            assert answer.status == 503
        writer.transport.abort()
        await until(lambda: not list(unfinished(chain)))
        async with chain.http.put(f"{chain.url}/blobs/{name}", data=b"rows") as answer:
            assert answer.status == 201


def unfinished(chain: Any) -> Iterator[Path]:
    """Half written blobs of the node."""
    return Path(chain.server._backend.blobs.url, "unfinished").glob("*")

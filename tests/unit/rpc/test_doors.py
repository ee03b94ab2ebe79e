"""The doors beside JSON-RPC: blobs, CometBFT's pass-through, genesis. Each has the bounds of the first one."""

from __future__ import annotations

import asyncio
import hashlib
import resource
import threading
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from openledger.rpc import blobs, callers, server
from openledger.rpc.backend import RpcSettings
from openledger.rpc.client import AsyncClient
from openledger.rpc.door import Door
from openledger.rpc.post import MAX_LINES, read_head
from openledger.state.blobs import BlobWriter
from tests.unit.rpc.conftest import threads_of
from tests.waiting import PATIENCE, until

NAME = "ab" * 32
TALK = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}'
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


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


class TestAClientOfManyBlobs:
    @pytest.fixture
    def settings(self) -> RpcSettings:
        return RpcSettings(rate_limit=20, rate_burst=2)

    async def test_it_waits_where_it_is_above_its_rate_and_gets_all(self, chain: Any) -> None:
        """As `model train` fetches the parts of a large datanet from a public node."""
        bodies = [b"row %d" % number for number in range(6)]
        async with AsyncClient(chain.url) as client:
            names = [await client.put_blob(body) for body in bodies]
            assert [await client.get_blob(name) for name in names] == bodies


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


@pytest.mark.parametrize(("host", "let_in"), [
    ("localhost", True), ("LocalHost:1", True), ("127.0.0.1:8545", True), ("[::1]", True), ("[::1]:8545", True),
    ("node.example", True), ("evil.example", False), ("evil.example@localhost", False), ("localhost/evil", False),
    ("localhost#evil", False), ("localhost?evil", False), ("localhost:1:2", False), ("localhost:x", False),
    ("::1", False), ("localhost.evil.example", False), ("localhost evil.example", False), ("", False), (":80", False),
])  # fmt: skip
def test_a_host_header_is_a_name_and_a_port_and_nothing_else(host: str, let_in: bool) -> None:
    assert Door(RpcSettings(hosts=("node.example",))).host_allowed(host) == let_in
    assert Door(RpcSettings(hosts=("*",))).host_allowed(host)


def test_this_machine_and_the_proxies_stand_for_many_clients() -> None:
    door = Door(RpcSettings(proxies=("10.0.0.0/8",)))
    many = [door.is_many(peer) for peer in ("127.0.0.1", "::1", "10.1.2.3", "", "203.0.113.9", "2001:db8::1")]
    assert many == [True, True, True, True, False, False]


def test_of_a_long_list_of_proxies_only_its_end_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client behind a proxy may write a thousand addresses that are trusted: each costs time before he is counted."""
    looked: list[str] = []
    monkeypatch.setattr(callers, "ip_address", lambda text: looked.append(text) or ip_address(text))
    door = Door(RpcSettings(proxies=("127.0.0.0/8",)))
    assert door.caller("127.0.0.1", ",".join(["203.0.113.1", *["127.0.0.1"] * 1_600])).address == "127.0.0.1"
    assert door.caller("127.0.0.1", "198.51.100.7, 203.0.113.1, 127.0.0.2, 127.0.0.3").address == "203.0.113.1"
    assert len(looked) < 100


def test_a_head_of_very_many_lines_is_not_read_here() -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2"
    door = Door(RpcSettings())
    assert read_head(head + b"\r\nX: y" * (MAX_LINES - 3), door, 1_000) is not None
    assert read_head(head + b"\r\nX: y" * (MAX_LINES - 2), door, 1_000) is None


@pytest.mark.parametrize(("files", "most"), [
    (resource.RLIM_INFINITY, 2000), (65_536, 2000), (2_512, 2000), (1_024, 512), (600, 150), (64, 16),
])  # fmt: skip
def test_connections_leave_the_node_the_open_files_that_it_needs(
    monkeypatch: pytest.MonkeyPatch, files: int, most: int
) -> None:
    """Without one its database fails, and with that the node."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert server._connections(2000) == most


class TestCrowd:
    @pytest.fixture
    def settings(self) -> RpcSettings:
        return RpcSettings(max_connections=8)

    async def _open(self, chain: Any, count: int) -> list[tuple[bytes, asyncio.StreamWriter]]:
        """So many connections, half of them WebSockets; the first line that each is answered with."""
        found = []
        for number in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", chain.server.port)
            writer.write(UPGRADE if number % 2 else b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                         b"application/json\r\nContent-Length: 2\r\n\r\n{}")  # fmt: skip
            found.append((await reader.readline(), writer))
        return found

    async def test_one_client_does_not_take_all_connections(self, chain: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Door, "is_many", lambda *_: False)
        first = await self._open(chain, 6)
        assert [b"503" in line for line, _ in first] == [False] * 4 + [True] * 2
        for _, writer in first:
            writer.transport.abort()
        await until(lambda: not chain.server.connections)
        assert not chain.server._quick.clients
        for line, writer in await self._open(chain, 4):
            assert b"503" not in line
            writer.close()

    async def test_who_stands_for_many_takes_as_many_as_there_are(self, chain: Any) -> None:
        found = await self._open(chain, 10)
        assert [b"503" in line for line, _ in found] == [False] * 8 + [True] * 2
        for _, writer in found:
            writer.close()


async def test_messages_of_websockets_that_are_not_here_whole_hold_bounded_memory(
    chain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MOST_COMING", 10_000)
    opened = []
    for _ in range(3):
        reader, writer = await asyncio.open_connection("127.0.0.1", chain.server.port)
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x81\xfe" + (7_000).to_bytes(2, "big") + bytes(4) + TALK.ljust(6_000))
        opened.append((reader, writer))
        await until(lambda: sum(one.coming for one in chain.server._quick.carried) > 6_000 * len(opened))
    await until(lambda: chain.server.connections == 1, 10)
    reader, writer = opened[2]
    writer.write(b" " * 1_000)
    assert b"0x275d5" in await reader.readuntil(b"}")
    assert not [one.coming for one in chain.server._quick.carried if one.coming]
    for _, writer in opened:
        writer.close()


async def test_few_blobs_are_hashed_at_once_however_many_are_asked_for(
    chain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = chain.server._backend.blobs
    name, gate, inside = store.put(b"rows"), threading.Event(), list[int]()
    opened = store.open

    def slow(wanted: str) -> Any:
        inside.append(1)
        gate.wait(PATIENCE)
        return opened(wanted)

    async def get(method: str) -> int:
        async with chain.http.request(method, f"{chain.url}/blobs/{name}") as answer:
            return int(answer.status)

    monkeypatch.setattr(store, "open", slow)
    asked = [asyncio.create_task(get(method)) for method in ("GET", "HEAD") * 4]
    await until(lambda: len(inside) == 2)
    await asyncio.to_thread(sum, ())  # a thread is still there for others
    await asyncio.sleep(0.05)
    assert len(inside) == 2
    gate.set()
    assert await asyncio.gather(*asked) == [200] * 8


async def test_the_store_of_blobs_is_asked_and_written_off_the_event_loop(
    chain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be anywhere: a stranger who asked for a blob had the node wait for the network."""
    store = chain.server._backend.blobs
    asked, opened = threads_of(monkeypatch, store, "has"), threads_of(monkeypatch, store, "open")
    wrote = threads_of(monkeypatch, BlobWriter, "write")
    name = hashlib.sha256(b"rows").hexdigest()
    async with chain.http.put(f"{chain.url}/blobs/{name}", data=b"rows") as answer:
        assert answer.status == 201
    async with chain.http.get(f"{chain.url}/blobs/{name}") as answer:
        assert await answer.read() == b"rows"
    assert all((asked, opened, wrote))
    assert threading.get_ident() not in {*asked, *opened, *wrote}

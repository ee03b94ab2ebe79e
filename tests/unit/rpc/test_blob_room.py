"""The blob store has a bound: what strangers bring is refused above it, what the chain names is not."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from openledger.rpc.backend import RpcSettings
from openledger.rpc.blob_room import COUNT_AGAIN, KEEP_FREE, BlobRoom
from openledger.rpc.blobs import FETCHED_AT_ONCE
from openledger.state.blobs import BlobStore
from tests.waiting import until


def name_of(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


async def put(chain: Any, raw: Any, name: str = "") -> tuple[int, str]:
    async with chain.http.put(f"{chain.url}/blobs/{name or name_of(raw)}", data=raw) as answer:
        return answer.status, await answer.text()


class Peers:
    """Other nodes: what was asked of them, and what state needs."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.needed: set[str] = set()

    async def fetch(self, name: str) -> bool:
        self.asked.append(name)
        return False

    def announce(self, name: str) -> None:
        self.asked.append(name)

    def wants(self, name: str) -> bool:
        return name in self.needed


class Patient(Peers):
    """Peers that take their time."""

    def __init__(self, end: asyncio.Event) -> None:
        super().__init__()
        self._end = end

    async def fetch(self, name: str) -> bool:
        await super().fetch(name)
        await self._end.wait()
        return False


class TestFull:
    @pytest.fixture
    def settings(self) -> RpcSettings:
        return RpcSettings(max_blobs=1000, max_blob=600)

    async def test_what_is_put_beyond_the_bound_is_refused_and_what_is_known_is_not(self, chain: Any) -> None:
        first = b"a" * 500
        assert (await put(chain, first))[0] == 201
        status, text = await put(chain, b"b" * 501)
        assert status == 507
        assert "full: it holds 500 of 1000 bytes" in text
        assert (await put(chain, first))[0] == 201
        assert (await put(chain, b"c" * 500))[0] == 201
        assert chain.server.blob_room.refused == 1
        chain.server._backend.vitals.server = chain.server
        facts = (await chain.call("openledger_getNodeStatus"))["blobs"]
        assert facts == {"bytes": 1000, "limit": 1000}

    async def test_two_that_come_at_once_are_not_both_given_the_same_room(self, chain: Any) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", chain.server.port)
        writer.write(b"PUT /blobs/%b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 600\r\n\r\n" % (b"ab" * 32))
        await until(lambda: chain.server.blob_room._coming)
        assert (await put(chain, b"b" * 500))[0] == 507
        writer.transport.abort()
        await until(lambda: not chain.server.blob_room._coming)
        assert (await put(chain, b"b" * 500))[0] == 201

    async def test_who_does_not_say_how_much_comes_needs_room_for_the_largest(self, chain: Any) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"d" * 10

        assert (await put(chain, b"a" * 500))[0] == 201
        assert (await put(chain, chunks(), name_of(b"d" * 10)))[0] == 507

    async def test_what_state_needs_is_taken_in_any_case(self, chain: Any, tmp_path: Path) -> None:
        routes = _routes(chain)
        routes._peers = peers = Peers()
        peers.needed.add(name_of(b"b" * 600))
        assert (await put(chain, b"a" * 600))[0] == 201
        assert (await put(chain, b"b" * 600))[0] == 201

    async def test_nothing_is_fetched_for_clients_when_there_is_no_room_for_it(self, chain: Any) -> None:
        routes = _routes(chain)
        routes._peers = peers = Peers()
        assert (await put(chain, b"a" * 500))[0] == 201
        peers.asked.clear()
        async with chain.http.get(f"{chain.url}/blobs/{'ab' * 32}") as answer:
            assert answer.status == 507
        assert not peers.asked
        async with chain.http.get(f"{chain.url}/blobs/{name_of(b'a' * 500)}") as answer:
            assert answer.status == 200

    async def test_names_that_nobody_has_keep_room_for_what_is_fetched_at_once_and_no_more(self, chain: Any) -> None:
        """Each held room for the largest blob: 32 made-up names asked for kept 8 GiB from those who put."""
        chain.server.blob_room.limit = 600 * FETCHED_AT_ONCE + 500
        routes, end = _routes(chain), asyncio.Event()
        routes._peers = Patient(end)
        names = [name_of(b"%d" % number) for number in range(FETCHED_AT_ONCE + 4)]
        asking = [asyncio.create_task(chain.http.get(f"{chain.url}/blobs/{name}")) for name in names[:FETCHED_AT_ONCE]]
        await until(lambda: len(routes._peers.asked) == FETCHED_AT_ONCE)
        for name in names[FETCHED_AT_ONCE:]:
            routes._fetch(routes._peers, name)
        await asyncio.sleep(0)
        assert (await put(chain, b"a" * 500))[0] == 201
        end.set()
        assert {answer.status for answer in await asyncio.gather(*asking)} == {404}
        await until(lambda: not chain.server.blob_room._coming)
        assert set(names) <= set(routes._peers.asked)

    async def test_a_disk_that_is_nearly_full_is_left_to_the_chain(self, chain: Any, monkeypatch: Any) -> None:
        free = [KEEP_FREE + 10]
        monkeypatch.setattr(BlobStore, "free", lambda _: free[0])
        assert (await put(chain, b"a" * 11))[0] == 507
        assert (await put(chain, b"a" * 10))[0] == 201


def _routes(chain: Any) -> Any:
    """What answers at /blobs."""
    (resource,) = [r for r in chain.server._runner.app.router.resources() if r.canonical == "/blobs/{name}"]
    return next(iter(resource)).handler.__self__


async def test_files_that_were_removed_by_hand_make_room_again(tmp_path: Path) -> None:
    store, now = BlobStore(str(tmp_path)), [0.0]
    name = store.put(b"x" * 90)
    room = BlobRoom(store, 100, lambda: now[0])
    assert await room.trouble(20)
    os.unlink(tmp_path / name[:2] / name)
    now[0] = COUNT_AGAIN + 1
    assert not await room.trouble(20)


@pytest.mark.parametrize("url", ["", "memory://room"])
def test_a_store_tells_its_bytes_and_counts_a_blob_once(tmp_path: Path, url: str) -> None:
    store = BlobStore(url or str(tmp_path))
    for raw in (b"a" * 10, b"b" * 20, b"a" * 10):
        store.put(raw)
    with store.writer() as writer:
        writer.write(b"unfinished")
        assert store.total() == store.written == 30
    for raw in (b"a" * 10, b"b" * 20):
        store.delete(name_of(raw))
    assert store.total() == 0

"""Blobs between nodes: fetched by hash from the peers of the configuration, given to them, and never in circles."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from openledger.node.blob_exchange import BlobExchange
from openledger.node.blob_following import NOTHING, BlobFollower, all_here, files_inside, job_blobs
from openledger.primitives.attribution import AttributionJob, PartFacts
from openledger.primitives.errors import BlobError
from openledger.rpc.backend import RpcSettings
from openledger.rpc.blob_room import BlobRoom
from openledger.rpc.blobs import FETCHED_AT_ONCE, PEER_HEADER, BlobRoutes
from openledger.state.blobs import BlobStore
from tests.harness import Harness
from tests.waiting import PATIENCE, until


@dataclasses.dataclass
class Peer:
    """A node as far as blobs go."""

    blobs: BlobStore
    exchange: BlobExchange
    url: str
    requests: list[tuple[str, str, bool]]


@contextlib.asynccontextmanager
async def serving(handler: Callable[[web.Request], Any]) -> AsyncIterator[str]:
    """An HTTP server; its URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, auto_decompress=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def nodes(folder: Path, count: int, max_bytes: int = 10**6) -> AsyncIterator[list[Peer]]:
    """Nodes that are all peers of each other."""
    made: list[Peer] = []
    routes: list[BlobRoutes] = []

    def handler(number: int) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            request.match_info["name"] = request.path.rsplit("/", 1)[-1]
            name = request.match_info["name"]
            made[number].requests.append((request.method, name, PEER_HEADER in request.headers))
            route = routes[number]
            return await (route.put(request) if request.method == "PUT" else route.get(request))

        return handle

    async with contextlib.AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(serving(handler(number))) for number in range(count)]
        for number in range(count):
            blobs = BlobStore(str(folder / str(number)), max_bytes)
            exchange = BlobExchange(blobs, [url for url in urls if url != urls[number]])
            await exchange.start()
            stack.push_async_callback(exchange.stop)
            backend: Any = SimpleNamespace(blobs=blobs, blob_peers=exchange, settings=RpcSettings(max_blob=max_bytes))
            routes.append(BlobRoutes(backend, BlobRoom(blobs, 0)))
            made.append(Peer(blobs, exchange, urls[number], []))
        yield made


def name_of(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


async def test_a_blob_put_on_one_node_is_soon_on_all_and_each_is_given_it_once(tmp_path: Path) -> None:
    raw = b"x" * 300_000
    async with nodes(tmp_path, 4) as four, aiohttp.ClientSession() as session:
        async with session.put(f"{four[0].url}/blobs/{name_of(raw)}", data=raw) as response:
            assert response.status == 201
        await until(lambda: all(peer.blobs.has(name_of(raw)) for peer in four))
        async with session.put(f"{four[0].url}/blobs/{name_of(raw)}", data=raw) as response:
            assert response.status == 201
        await asyncio.sleep(0.1)
        for peer in four[1:]:
            assert peer.requests == [("HEAD", name_of(raw), True), ("PUT", name_of(raw), True)]


async def test_a_large_blob_is_given_to_many_peers_without_being_held(tmp_path: Path) -> None:
    raw = bytes(16 * 1024 * 1024)
    async with nodes(tmp_path, 4, max_bytes=len(raw)) as four:
        name = four[0].blobs.put(raw)
        tracemalloc.start()
        try:
            four[0].exchange.announce(name)
            await until(lambda: all(peer.blobs.has(name) for peer in four))
            assert tracemalloc.get_traced_memory()[1] < len(raw)
        finally:
            tracemalloc.stop()


async def test_a_blob_asked_of_a_node_that_lacks_it_comes_from_a_peer_and_nobody_asks_in_circles(
    tmp_path: Path,
) -> None:
    raw = b"the rows"
    async with nodes(tmp_path, 3) as three, aiohttp.ClientSession() as session:
        three[2].blobs.put(raw)
        async with session.get(f"{three[0].url}/blobs/{name_of(raw)}") as response:
            assert await response.read() == raw
        assert three[0].blobs.has(name_of(raw))
        nowhere = name_of(b"nowhere")
        for _ in range(3):
            async with session.get(f"{three[0].url}/blobs/{nowhere}") as response:
                assert response.status == 404
        asked = [request for peer in three[1:] for request in peer.requests if request[1] == nowhere]
        assert asked == [("GET", nowhere, True)] * 2


async def test_many_questions_for_one_blob_are_one_request(tmp_path: Path) -> None:
    raw = b"popular" * 1000
    async with nodes(tmp_path, 2) as (one, two):
        two.blobs.put(raw)
        assert all(await asyncio.gather(*(one.exchange.fetch(name_of(raw)) for _ in range(50))))
        assert two.requests == [("GET", name_of(raw), True)]


async def test_a_peer_that_lies_is_slow_endless_or_sends_elsewhere_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openledger.node.blob_exchange.SILENT_SECONDS", 0.3)
    good = b"good"
    stranger: list[str] = []

    async def lies(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"bad")

    async def sleeps(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(2)
        return web.Response(body=good)

    async def floods(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(bytes(100_000))
        return response

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        stranger.append(str(request.url))
        return web.Response(body=good)

    async def honest(request: web.Request) -> web.StreamResponse:
        return web.Response(body=good)

    async with contextlib.AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(serving(handler)) for handler in (lies, sleeps, floods, elsewhere)]

        async def redirects(request: web.Request) -> web.StreamResponse:
            raise web.HTTPFound(f"{urls[3]}/blobs/x")

        bad = [*urls[:3], await stack.enter_async_context(serving(redirects)), "http://127.0.0.1:1", "nonsense"]
        blobs = BlobStore(str(tmp_path / "blobs"), 10_000_000)
        alone = BlobExchange(blobs, bad)
        await alone.start()
        stack.push_async_callback(alone.stop)
        assert not await alone.fetch(name_of(good))
        assert not stranger
        assert list(blobs.list()) == []
        assert not list((tmp_path / "blobs" / "unfinished").iterdir())
        with_honest = BlobExchange(blobs, [*bad, await stack.enter_async_context(serving(honest))])
        await with_honest.start()
        stack.push_async_callback(with_honest.stop)
        assert await with_honest.fetch(name_of(good))
        assert blobs.get(name_of(good)) == good


async def test_a_peer_that_drips_is_left_soon_and_asked_last_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openledger.node.blob_exchange.SILENT_SECONDS", 0.5)
    asked: list[str] = []
    raws = {name_of(raw): raw for raw in (b"%d" % n * 300 for n in range(40))}

    async def drips(request: web.Request) -> web.StreamResponse:
        asked.append(request.path.rsplit("/", 1)[-1])
        response = web.StreamResponse(headers={"Content-Length": "300"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(300):
                await response.write(b"x")
                await asyncio.sleep(0.2)
        return response

    async def honest(request: web.Request) -> web.StreamResponse:
        return web.Response(body=raws[request.path.rsplit("/", 1)[-1]])

    async with serving(drips) as bad, serving(honest) as good:
        exchange = BlobExchange(BlobStore(str(tmp_path)), [bad, good])
        await exchange.start()
        dripping_first = [name for name in raws if int(name[:8], 16) % 2 == 0]
        for name in dripping_first[:6]:
            assert await asyncio.wait_for(exchange.fetch(name), PATIENCE / 4)
        assert asked == dripping_first[:1]
        await exchange.stop()


async def test_what_is_wanted_is_fetched_when_the_peer_has_it_at_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openledger.node.blob_exchange.ASK_AGAIN_SECONDS", 0.05)
    raws = [b"one", b"two", b"three"]
    async with nodes(tmp_path, 2) as (one, two):
        two.blobs.put(raws[0])
        one.exchange.want(name_of(raw) for raw in raws)
        await until(lambda: one.blobs.has(name_of(raws[0])))
        for raw in raws[1:]:
            two.blobs.put(raw)
        await until(lambda: all(one.blobs.has(name_of(raw)) for raw in raws))


def test_a_node_wants_the_blobs_of_published_models_and_open_claims_once_each() -> None:
    chain = Harness()
    wanted: list[list[str]] = []
    follower = BlobFollower(lambda: chain.state, lambda names: wanted.append(list(names)))
    chain.publish()
    follower.look()
    assert wanted == [[(bytes([i]) * 32).hex() for i in (1, 2, 3)]]
    follower.look()
    assert wanted[1:] == [[]]
    epoch = chain.settle()
    chain.close_epoch()
    number = chain.claim(epoch, {1: 400_000, 2: 300_000, 3: 300_000})
    follower.look()
    assert wanted[2] == job_blobs(chain.query("attribution_job", number))
    follower.look()
    assert wanted[3] == []


def test_of_a_models_files_the_checkpoints_are_held_too(tmp_path: Path) -> None:
    blobs = BlobStore(str(tmp_path))
    names = {what: "0x" + f"{number}" * 64 for number, what in enumerate(("weights", "receipt", "tokenizer"))}
    bundle = blobs.put(json.dumps({**names, "checkpoints": ["0x" + "a" * 64, "0x" + "b" * 64]}).encode())
    assert files_inside(blobs, bundle) == ["1" * 64, "2" * 64, "a" * 64, "b" * 64]
    for odd in (b"", b"[]", b'{"weights":1}', b'{"checkpoints":[[]]}', b'"tokenizer":"0x' + b"a" * 63 + b'"'):
        assert files_inside(blobs, blobs.put(odd)) == []
    assert files_inside(blobs, "7" * 64) == []


def test_a_manifest_that_takes_long_to_parse_holds_nobody_up(tmp_path: Path) -> None:
    """It is looked at again and again while a claim waits for blobs, and a parser lets nothing else run."""
    blobs = BlobStore(str(tmp_path))
    raw = b'{"checkpoints":["0x%s"],"measured":[' % (b"a" * 64) + b"[]," * (3 << 20) + b"0]}"
    bundle, began = blobs.put(raw), time.process_time()
    assert files_inside(blobs, bundle) == ["a" * 64]
    assert time.process_time() - began < 0.5


def waiting_job(parts: tuple[PartFacts, ...]) -> AttributionJob:
    """The job of a claim whose blobs are looked for."""
    return AttributionJob(
        3, 1, "gradient-dot", "1" * 64, NOTHING, "", "", "", parts, (), (), (), 0, NOTHING, "", len(parts)
    )  # fmt: skip


async def test_ten_thousand_parts_of_a_claim_are_looked_for_beside_the_making_of_blocks(tmp_path: Path) -> None:
    store, turns = BlobStore(str(tmp_path)), 0
    parts = tuple(PartFacts("", f"{number:064x}", 1) for number in range(1, 10_001))
    job = waiting_job(parts)

    async def is_here(name: str) -> bool:
        return False

    looking = asyncio.create_task(all_here(store, job, is_here))
    while not looking.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert not await looking
    assert turns > 10


async def test_a_store_that_fails_holds_nothing_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = BlobStore(str(tmp_path))

    def failing(*asked: object, **named: object) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(store._fs, "exists", failing)
    monkeypatch.setattr(store._fs, "size", failing)
    job = waiting_job(())

    async def is_here(name: str) -> bool:
        return store.has(name)

    assert not await all_here(store, job, is_here)
    for asked in (store.has, store.size, store.get):
        with pytest.raises(BlobError, match="Permission denied"):
            asked("1" * 64)


async def test_strangers_who_ask_for_what_nobody_has_take_bounded_room_and_the_rest_is_served(tmp_path: Path) -> None:
    over = asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse:
        await over.wait()
        return web.Response(status=404)

    async with contextlib.AsyncExitStack() as stack:
        blobs = BlobStore(str(tmp_path / "blobs"))
        exchange = BlobExchange(blobs, [await stack.enter_async_context(serving(silent))])
        await exchange.start()
        stack.push_async_callback(exchange.stop)
        backend: Any = SimpleNamespace(blobs=blobs, blob_peers=exchange, settings=RpcSettings())
        routes = BlobRoutes(backend, BlobRoom(blobs, 0))

        async def handle(request: web.Request) -> web.StreamResponse:
            request.match_info["name"] = request.path.rsplit("/", 1)[-1]
            return await routes.get(request)

        url = await stack.enter_async_context(serving(handle)) + "/blobs/"
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        tasks = [asyncio.create_task(session.get(url + name_of(b"%d" % number))) for number in range(200)]
        await until(lambda: len(routes._fetches) >= 32 and exchange._running)
        await asyncio.sleep(0.3)
        assert (len(routes._fetches), len(exchange._running)) == (32, FETCHED_AT_ONCE)
        refused = [task.result() for task in tasks if task.done()]
        assert {answer.status for answer in refused} == {503}
        async with session.get(url + blobs.put(b"here")) as answer:
            assert await answer.read() == b"here"
        over.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_is_looked_for_in_vain_leaves_others_their_turn(tmp_path: Path) -> None:
    async with nodes(tmp_path, 2) as (one, two):
        one.exchange.want(name_of(b"%d" % number) for number in range(2000))
        await until(lambda: two.requests)
        before = len(two.requests)
        name = two.blobs.put(b"needed now")
        assert await one.exchange.fetch(name)
        assert [asked for _, asked, _ in two.requests].index(name) - before < 200


async def test_a_store_that_fails_for_a_moment_does_not_end_the_looking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openledger.node.blob_exchange.ASK_AGAIN_SECONDS", 0.05)
    async with nodes(tmp_path, 2) as (one, two):
        name, has, failed = two.blobs.put(b"rows"), one.blobs.has, list[str]()

        def fails(name: str) -> bool:
            if len(failed) < 3:
                failed.append(name)
                raise BlobError("the store does not answer")
            return has(name)

        monkeypatch.setattr(one.blobs, "has", fails)
        one.exchange.want([name])
        await until(lambda: (tmp_path / "0" / name[:2] / name).exists(), 10)

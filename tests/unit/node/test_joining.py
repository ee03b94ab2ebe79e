"""What a new node asks of the nodes that its operator names, and what it does not believe."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from openledger.genesis.genesis import Genesis, GenesisValidator
from openledger.genesis.presets import devnet_genesis
from openledger.node import joining
from openledger.node.config import Config
from openledger.node.joining import (
    Found,
    addresses,
    discover,
    fetch_genesis,
    header_hashes,
    joining_config,
    prepare,
    words,
)
from openledger.node.network import comet_settings, init_home, initial_config
from openledger.primitives.errors import InvalidConfig, InvalidGenesis, NodeUnreachable
from openledger.primitives.keys import ed25519_public
from openledger.primitives.types import to_hex
from openledger.rpc.cometbft import MAX_ANSWER, CometRoutes
from tests.endless import endless
from tests.waiting import PATIENCE, until

GENESIS = devnet_genesis((GenesisValidator(ed25519_public(bytes(32)), 10, bytes(19) + b"\x01", "one"),), 10**18)
OTHER = devnet_genesis((GenesisValidator(ed25519_public(bytes(32)), 11, bytes(19) + b"\x01", "one"),), 10**18)


class FakeNode:
    """As much of a node's RPC as joining needs."""

    def __init__(
        self, genesis: Genesis = GENESIS, digest: str = "AB" * 32, heights: tuple[int, ...] = (20, 10)
    ) -> None:
        self.genesis, self.digest, self.heights = genesis, digest, heights
        self.listen = "tcp://0.0.0.0:26656"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/genesis.json":
            return web.Response(text=self.genesis.to_json())
        call = await request.json()
        found: dict[str, Any] = {
            "openledger_getNodeStatus": {"genesis": to_hex(self.genesis.digest), "cometChainId": "c"},
            "openledger_listSnapshots": [{"height": height} for height in self.heights],
            "status": {"node_info": {"id": "ff00", "listen_addr": self.listen}},
            "commit": {"signed_header": {"commit": {"block_id": {"hash": self.digest}}}},
        }
        if request.path == "/cometbft":
            assert call["method"] in ("status", "commit")
        return web.json_response({"jsonrpc": "2.0", "id": 1, "result": found[call["method"]]})


@contextlib.asynccontextmanager
async def serving(handler: Any) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_two_nodes_that_agree_give_genesis_peers_and_a_block_to_trust() -> None:
    async with serving(FakeNode().answer) as one, serving(FakeNode().answer) as two:
        assert (await fetch_genesis(one)).digest == GENESIS.digest
        genesis, found = await prepare(None, f"{one}/, {two},{one}", None, None)
        assert genesis == GENESIS
        assert found is not None
        assert (found.trust_height, found.trust_hash, found.snapshot) == (10, "ab" * 32, 20)
        assert found.peers == ("ff00@127.0.0.1:26656",) * 2
        config = joining_config(initial_config("new", 20_000), found)
        assert config.blobs.peers == (one, two)
        assert (config.rpc.port, config.consensus.rpc) == (20_000, "tcp://127.0.0.1:20002")
        settings = comet_settings(config)
        assert settings.statesync
        assert settings.rpc_servers == f"{one}/cometbft,{two}/cometbft"
        assert one in "\n".join(words(found))


async def test_one_server_is_given_to_cometbft_twice_and_the_operator_is_told() -> None:
    found = Found(GENESIS, ("http://a:1",), ("http://a:1/cometbft",), ("x@a:2",), 5, "ab" * 32, 9)
    assert comet_settings(joining_config(Config(), found)).rpc_servers == "http://a:1/cometbft,http://a:1/cometbft"
    assert "one node alone" in "\n".join(words(found))


async def test_nodes_that_disagree_lie_or_have_no_snapshot_are_refused_by_name() -> None:
    async with contextlib.AsyncExitStack() as stack:

        async def node(**changed: Any) -> str:
            return await stack.enter_async_context(serving(FakeNode(**changed).answer))

        good, liar = await node(), await node(digest="CD" * 32)
        with pytest.raises(InvalidConfig, match=f"{liar} says that block 10 has hash cdcd"):
            await discover([good, liar], None, None, None)
        with pytest.raises(InvalidConfig, match=f"{good} says"):
            await discover([good], None, 7, "ef" * 32)
        assert (await discover([good], None, 7, "0xAB" + "ab" * 31)).trust_height == 7
        with pytest.raises(InvalidGenesis, match="another chain or genesis"):
            await discover([good, await node(genesis=OTHER)], None, None, None)
        with pytest.raises(InvalidGenesis, match="another chain or genesis"):
            await discover([good], OTHER, None, None)
        with pytest.raises(InvalidConfig, match="no snapshot yet"):
            await discover([await node(heights=())], None, None, None)

        for text in ("<html>", "[" * 100_000):

            async def nonsense(request: web.Request, text: str = text) -> web.StreamResponse:
                return web.Response(text=text)

            with pytest.raises(NodeUnreachable, match="as a node does"):
                await discover([await stack.enter_async_context(serving(nonsense))], GENESIS, None, None)
        with pytest.raises(NodeUnreachable, match="no node answers"):
            await discover(["http://127.0.0.1:1"], GENESIS, None, None)


async def test_the_hash_of_a_block_is_asked_of_the_named_nodes_and_nonsense_is_no_answer() -> None:
    async def honest(request: web.Request) -> web.StreamResponse:
        assert (await request.json())["params"] == ["0x7", False]
        return web.json_response({"result": {"hash": "0x" + "ab" * 32}})

    async def nonsense(request: web.Request) -> web.StreamResponse:
        return web.json_response({"result": None})

    async with serving(honest) as one, serving(nonsense) as two:
        ask = header_hashes([f"{one}/cometbft", f"{two}/cometbft", "http://127.0.0.1:1/cometbft", "http://other:26657"])
        assert await asyncio.to_thread(ask, 7) == [bytes.fromhex("ab" * 32)]


@pytest.mark.parametrize("path", ["/genesis.json", "/"])
async def test_a_named_node_whose_answer_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(joining, "MAX_ANSWER", 10_000)
    monkeypatch.setattr(joining, "MAX_GENESIS", 10_000)
    monkeypatch.setattr(joining, "SECONDS", 600)

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path != path:
            return await FakeNode().answer(request)
        return await endless(request)

    async with serving(answer) as url:
        with pytest.raises(NodeUnreachable, match="genesis: more than" if "g" in path else "as a node does"):
            await asyncio.wait_for(discover([url], None, None, None), PATIENCE)


async def test_a_server_that_drips_its_answer_does_not_hold_up_the_restore(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "_HEADER_SECONDS", 0.5)
    gone = asyncio.Event()

    async def drips(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while not gone.is_set():
                await response.write(b" ")
                await asyncio.sleep(0.1)
        return response

    async with serving(drips) as url:
        asked = asyncio.to_thread(header_hashes([f"{url}/cometbft"]), 7)
        assert await asyncio.wait_for(asked, PATIENCE / 2) == []
        gone.set()


@pytest.mark.parametrize("text", ["", " , ", "127.0.0.1:8545", "ftp://a", "http://", "ws://a:1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidConfig):
        addresses(text)


# --- the door for light clients -----------------------------------------------------------------------------------


async def test_only_reading_methods_pass_to_cometbft_and_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    async def comet(request: web.Request) -> web.StreamResponse:
        asked.append(await request.json())
        size = MAX_ANSWER + 1 if asked[-1]["method"] == "blockchain" else 10
        return web.Response(body=b"1" * size, content_type="application/json")

    async with serving(comet) as url, aiohttp.ClientSession() as session:
        routes = CometRoutes(url)
        async with serving(routes.post) as door:

            async def post(body: Any) -> int:
                async with session.post(door, data=body if isinstance(body, bytes) else None,
                                        json=None if isinstance(body, bytes) else body) as answer:  # fmt: skip
                    return answer.status

            assert await post({"jsonrpc": "2.0", "id": 0, "method": "commit", "params": {"height": "3"}, "x": 1}) == 200
            assert asked == [{"jsonrpc": "2.0", "id": 0, "method": "commit", "params": {"height": "3"}}]
            for method in ("broadcast_tx_sync", "unsafe_flush_mempool", "dial_peers", "genesis", "tx_search", None, 5):
                assert await post({"id": 1, "method": method}) == 404
            assert await post(b"nonsense") == 400
            assert await post(b"[" * 3_000) in (400, 404)
            assert await post(b"x" * 5_000) == 413
            assert await post([{"method": "commit"}]) == 404
            assert await post({"id": 1, "method": ["commit"]}) == 404
            assert await post({"id": 1, "method": "blockchain"}) == 502
            assert len(asked) == 2
        dead = CometRoutes("http://127.0.0.1:1")
        async with serving(dead.post) as door, session.post(door, json={"id": 1, "method": "status"}) as answer:
            assert answer.status == 502
        await routes.close(web.Application())
        await dead.close(web.Application())


async def test_strangers_ask_cometbft_a_few_things_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openledger.rpc.cometbft.AT_ONCE", 2)
    gate, asked = asyncio.Event(), list[int]()

    async def comet(_: web.Request) -> web.StreamResponse:
        asked.append(1)
        await gate.wait()
        return web.json_response({})

    async with serving(comet) as url, aiohttp.ClientSession() as session:
        routes = CometRoutes(url)
        async with serving(routes.post) as door:

            async def post() -> int:
                async with session.post(door, json={"id": 1, "method": "status"}) as answer:
                    return answer.status

            waiting = [asyncio.create_task(post()) for _ in range(2)]
            await until(lambda: len(asked) == 2)
            assert await post() == 503
            gate.set()
            assert await asyncio.gather(*waiting) == [200, 200]
            assert await post() == 200
        await routes.close(web.Application())


async def test_a_question_for_cometbft_that_comes_too_slowly_is_given_up() -> None:
    app = web.Application()
    app.router.add_post("/cometbft", CometRoutes("http://127.0.0.1:1", 0.3).post)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
        writer.write(b"POST /cometbft HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n"), 10)
        assert answer.startswith(b"HTTP/1.1 408")
        writer.close()
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("told", [None, 5, [1], [{}], [{"height": "x"}], [{"height": None}], {"a": 1}])
async def test_a_node_that_tells_its_snapshots_in_another_form_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, told: Any
) -> None:
    async def call(_self: Any, _url: str, method: str, _params: Any) -> Any:
        return {"genesis": to_hex(GENESIS.digest)} if method == "openledger_getNodeStatus" else told

    monkeypatch.setattr("openledger.node.joining._Asker.call", call)
    with pytest.raises(NodeUnreachable, match="which snapshots it has"):
        await discover(["http://127.0.0.1:1"], GENESIS, None, None)


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\tb", "\x7f", "\udcff", "\N{TURTLE}", "é"])
def test_a_name_that_peers_refuse_is_said_before_anything_is_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="name is none that peers take"):
        init_home(tmp_path / "home", None, initial_config(name, None))
    assert not (tmp_path / "home" / "config.toml").exists()
    assert not (tmp_path / "home" / "cometbft").exists()

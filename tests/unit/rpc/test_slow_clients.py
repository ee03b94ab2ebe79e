"""Clients that dawdle, leave in the middle, or ask for much at once: nothing of the node is theirs for ever."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from openledger.primitives.transactions import EthTransaction
from openledger.rpc import eth_fees, eth_filters, formats, logs, server, subscriptions, unread
from openledger.rpc.backend import RpcSettings
from openledger.rpc.errors import RpcError
from openledger.rpc.sockets import SocketSession
from openledger.rpc.unread import Unread
from tests.unit.rpc.conftest import threads_of
from tests.waiting import PATIENCE, until

MIB = 1024 * 1024
TALK = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}'


def post(body: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


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

    @pytest.mark.parametrize(("head", "size"), [
        (b"", 40_000),  # less than makes the server wait with the next one
        (b"", 4_900_000),
        (b"Connection: close\r\n", 4_900_000),  # answered by aiohttp
    ])  # fmt: skip
    async def test_who_does_not_read_his_answer_loses_the_connection(self, chain: Any, head: bytes, size: int) -> None:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", chain.server.port))
        client.setblocking(False)
        await until(lambda: chain.server._quick.connections)
        (connection,) = chain.server._quick.connections
        transport = connection.transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        body = json.dumps({"jsonrpc": "2.0", "id": "x" * size, "method": "eth_chainId"}).encode()
        await asyncio.get_running_loop().sock_sendall(client, post(body).replace(b"Host", head + b"Host", 1))
        await until(transport.get_write_buffer_size)
        await until(lambda: not chain.server.connections, 20)
        client.close()


async def test_requests_that_are_not_here_whole_hold_bounded_memory_and_the_oldest_of_them_go(
    chain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MOST_COMING", 10_000)
    body, opened = TALK.ljust(7_000), []
    for _ in range(3):
        opened.append(await asyncio.open_connection("127.0.0.1", chain.server.port))
        opened[-1][1].write(post(body)[:-1_000])
        await until(lambda: sum(one.coming for one in chain.server._quick.connections) == 6_000 * len(opened))
    await until(lambda: chain.server.connections == 1, 10)
    reader, writer = opened[2]
    writer.write(body[-1_000:])
    assert b"200 OK" in await reader.readline()
    for _, writer in opened:
        writer.close()


async def test_requests_in_chunks_hold_bounded_memory_too(chain: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    chain.server._coming._most = 1_000
    _, writer = await asyncio.open_connection("127.0.0.1", chain.server.port)
    writer.write(post(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"))
    writer.write(b"384\r\n" + bytes(900) + b"\r\n")
    await until(lambda: chain.server._coming._held == 900)

    async def chunks() -> AsyncIterator[bytes]:
        yield TALK.ljust(200)

    async def ask() -> int:
        headers = {"Content-Type": "application/json"}
        async with chain.http.post(chain.url, data=chunks(), headers=headers) as answer:
            return int(answer.status)

    assert await ask() == 503
    writer.transport.abort()
    await until(lambda: not chain.server._coming._held)
    assert await ask() == 200


class Pipe:
    """A connection whose client reads so many bytes before each look."""

    def __init__(self, size: int, reads: int) -> None:
        self.size, self.reads, self.ended = size, reads, False

    def get_write_buffer_size(self) -> int:
        self.size = max(0, self.size - self.reads)
        return self.size

    def abort(self) -> None:
        self.ended = True


def test_who_reads_slowly_keeps_his_connection_and_the_laziest_ones_go_where_all_hold_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, slow, lazy = Unread(30), Pipe(10_000, 1), Pipe(100, 0)
    for now in range(40):
        found.look([slow, lazy] if not lazy.ended else [slow], now)  # type: ignore[list-item]
        assert lazy.ended == (now > 30)
    assert not slow.ended
    monkeypatch.setattr(unread, "MOST_UNREAD", 250)
    crowd = [Pipe(100, 0) for _ in range(3)]
    for now in range(3):
        found.look(crowd[: now + 1], now)  # type: ignore[arg-type]
    assert [pipe.ended for pipe in crowd] == [True, False, False]
    assert not found._waiting.keys() - set(crowd[1:])


async def test_who_leaves_before_the_batch_that_subscribes_has_ended_is_not_told_for_ever(chain: Any) -> None:
    late = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransactionSync",
            "params": ["0x" + chain.signed(nonce=5).hex(), "0x12c"]}  # fmt: skip
    heads = {"jsonrpc": "2.0", "id": 2, "method": "eth_subscribe", "params": ["newHeads"]}
    async with chain.http.ws_connect(chain.url) as ws:
        await ws.send_json([late, heads])
        await ws.send_bytes(TALK)
        await ws.receive(timeout=PATIENCE)
    await until(lambda: not chain.server.websockets)
    await asyncio.sleep(0.5)
    assert chain.server._subscriptions.count == 0
    assert not chain.server._subscriptions._kinds


@pytest.mark.parametrize("head", [b"", b"Connection: close\r\n"])  # read here, and by aiohttp
async def test_the_rest_of_a_batch_is_not_done_for_who_has_left(chain: Any, head: bytes) -> None:
    late = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransactionSync",
            "params": ["0x" + chain.signed(nonce=5).hex(), "0xc8"]}  # fmt: skip
    _, writer = await asyncio.open_connection("127.0.0.1", chain.server.port)
    writer.write(post(json.dumps([late, *[json.loads(TALK)] * 9]).encode()).replace(b"Host", head + b"Host", 1))
    await until(lambda: len(chain.app.mempool))
    # a connection that is reset; one that has only said all may still want its answer
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    await until(lambda: chain.server.dispatcher.calls["eth_sendRawTransactionSync"])
    await asyncio.sleep(0.05)
    assert not chain.server.dispatcher.calls["eth_chainId"]


async def test_what_is_held_back_behind_a_batch_is_bounded_in_bytes(chain: Any, monkeypatch: Any) -> None:
    aborted: list[object] = []
    monkeypatch.setattr(SocketSession, "_abort", lambda session: aborted.append(session))
    late = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransactionSync",
            "params": ["0x" + chain.signed(nonce=5).hex(), "0x3e8"]}  # fmt: skip
    heads = {"jsonrpc": "2.0", "id": 2, "method": "eth_subscribe", "params": ["newHeads"]}
    async with chain.http.ws_connect(chain.url) as ws:
        await ws.send_json([heads, late])
        await until(lambda: chain.server._subscriptions.count == 1)
        (found,) = chain.server._subscriptions._by_kind["newHeads"].values()
        for _ in range(10):
            found.session.notify(bytes(MIB))
        assert sum(map(len, found.session._held)) <= 5 * MIB
        assert aborted


async def test_many_requests_that_come_at_once_let_others_have_their_turn(chain: Any, monkeypatch: Any) -> None:
    turns: list[int] = []
    await _slowly(chain, monkeypatch, turns)
    reader, writer = await asyncio.open_connection("127.0.0.1", chain.server.port)
    writer.write(post(TALK) * 60)
    for _ in range(60):
        await reader.readuntil(b"\r\n\r\n")
        await reader.readuntil(b"}")
    assert len(set(turns)) > 10
    writer.close()


async def test_many_messages_that_come_at_once_let_others_have_their_turn(chain: Any, monkeypatch: Any) -> None:
    turns: list[int] = []
    async with chain.http.ws_connect(chain.url) as ws:
        await _slowly(chain, monkeypatch, turns)
        for _ in range(60):
            await ws.send_bytes(TALK)
        for _ in range(60):
            assert json.loads((await ws.receive(timeout=PATIENCE)).data)["id"] == 1
    assert len(set(turns)) > 10


async def _slowly(chain: Any, monkeypatch: Any, turns: list[int]) -> None:
    """Each request takes 3 ms from now on, and notes in which turn of the event loop it was answered."""
    begin, loop, turn = chain.server.dispatcher.begin, asyncio.get_running_loop(), [0]

    def slow(*args: Any) -> Any:
        until_then = loop.time() + 0.003
        while loop.time() < until_then:
            pass
        turns.append(turn[0])
        return begin(*args)

    def count() -> None:
        turn[0] += 1
        if turn[0] < 100_000 and loop.is_running():
            handle[0] = loop.call_soon(count)

    handle = [loop.call_soon(count)]
    monkeypatch.setattr(type(chain.server.dispatcher), "begin", lambda self, *args: slow(*args))


async def test_a_filter_that_was_not_asked_for_long_is_searched_off_the_event_loop(
    chain: Any, counter: Any, monkeypatch: Any
) -> None:
    ident = await chain.call("eth_newFilter", {})
    threads = threads_of(monkeypatch, eth_filters, "logs_between")
    created = await chain.send(to=None, data=counter.init, gas=300_000)
    await chain.send(nonce=1, to=bytes.fromhex(created["contractAddress"][2:]), data=b"1", gas=100_000)
    again = [await chain.call("eth_getFilterChanges", ident) for _ in range(2)]
    assert [len(logs) for logs in again] == [1, 0]
    assert threads
    assert threading.get_ident() not in threads


async def test_a_filter_whose_search_fails_tells_everything_the_next_time(chain: Any, monkeypatch: Any) -> None:
    ident = await chain.call("eth_newBlockFilter")
    receipt = await chain.send()

    def fails(*_: Any) -> Any:
        raise RpcError(-32000, "query timeout exceeded")

    with monkeypatch.context() as patched:
        patched.setattr(eth_filters, "_hashes", fails)
        assert (await chain.error("eth_getFilterChanges", ident))["message"] == "query timeout exceeded"
    assert await chain.call("eth_getFilterChanges", ident) == [receipt["blockHash"]]


async def test_tips_of_many_blocks_are_read_off_the_event_loop_and_for_a_while_only(
    chain: Any, monkeypatch: Any
) -> None:
    await chain.send()
    await chain.send(nonce=1)
    threads = threads_of(monkeypatch, chain.app.store, "receipts")
    history = await chain.call("eth_feeHistory", "0x2", "latest", [50])
    assert history["reward"] == [[hex(10**9)]] * 2
    assert len(threads) == 2
    assert threading.get_ident() not in threads
    monkeypatch.setattr(eth_fees, "deadline", lambda _: logs.deadline(-1.0))
    refused = await chain.error("eth_feeHistory", "0x2", "latest", [50])
    assert refused["message"].startswith("query timeout exceeded")


async def test_what_waits_is_told_without_recovering_a_signature(idle_chain: Any, monkeypatch: Any) -> None:
    """Of a full pool that took seconds, in which no block was made."""
    for nonce in (1, 0, 3):
        await idle_chain.call("eth_sendRawTransaction", "0x" + idle_chain.signed(nonce=nonce).hex())
    formats.read_transaction.cache_clear()

    def recovers(_: Any) -> Any:
        raise AssertionError("a signature is recovered")

    monkeypatch.setattr(EthTransaction, "sender", property(recovers))
    assert await idle_chain.call("txpool_status") == {"pending": "0x2", "queued": "0x1"}
    (told,) = (await idle_chain.call("txpool_content"))["pending"].values()
    assert list(told) == ["0", "1"]
    assert await idle_chain.call("txpool_inspect")


class Listener:
    """A connection that hears, and takes its time."""

    gone = False

    def __init__(self, turn: list[int]) -> None:
        self.turn, self.heard = turn, list[tuple[int, bytes]]()

    def notify(self, text: bytes) -> None:
        until_then = time.perf_counter() + 0.001
        while time.perf_counter() < until_then:
            pass
        self.heard.append((self.turn[0], text))


@pytest.mark.parametrize("kind", ["newHeads", "logs", "newPendingTransactions"])
async def test_however_many_listen_others_have_their_turn_and_everybody_hears_all_in_order(
    chain: Any, counter: Any, kind: str
) -> None:
    turn, loop = [0], asyncio.get_running_loop()
    listeners = [Listener(turn) for _ in range(40)]
    for listener in listeners:
        chain.server._subscriptions.add(listener, kind, None)

    def count() -> None:
        turn[0] += 1
        handle[0] = loop.call_soon(count)

    handle = [loop.call_soon(count)]
    created = await chain.send(to=None, data=counter.init, gas=300_000)
    for nonce in (1, 2):
        await chain.send(nonce=nonce, to=bytes.fromhex(created["contractAddress"][2:]), data=b"1", gas=100_000)
    most = 2 if kind == "logs" else 3
    await until(lambda: all(len(listener.heard) == most for listener in listeners))
    handle[0].cancel()
    texts = [[text.partition(b'"result"')[2] for _, text in listener.heard] for listener in listeners]
    assert texts == [texts[0]] * 40
    assert len(set(texts[0])) == most
    assert len({at for listener in listeners for at, _ in listener.heard}) > 20


async def test_what_filters_and_subscriptions_keep_is_bounded_and_given_back(chain: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(eth_filters, "MOST_VALUES", 30)
    monkeypatch.setattr(subscriptions, "MOST_VALUES", 30)
    monkeypatch.setattr(subscriptions, "MOST_VALUES_EACH", 20)
    monkeypatch.setattr(subscriptions, "MOST", 4)
    query = {"address": [f"0x{n:040x}" for n in range(10)], "topics": [None, [f"0x{n:064x}" for n in range(5)]]}
    idents = [await chain.call("eth_newFilter", query) for _ in range(2)]
    assert (await chain.error("eth_newFilter", query))["code"] == -32005
    assert await chain.call("eth_uninstallFilter", idents[0])
    await chain.call("eth_newFilter", query)
    kept = chain.server._subscriptions
    sessions = [Listener([0]) for _ in range(4)]
    first = kept.add(sessions[0], "logs", query)
    refused: list[str] = []
    kept.add(sessions[1], "logs", query)
    for session in (sessions[0], sessions[2]):  # more than its own part, more than is left for all
        with pytest.raises(RpcError) as caught:
            kept.add(session, "logs", query)
        refused.append(caught.value.message)
    assert ["connection" in refused[0], "node" in refused[1]] == [True, True]
    assert kept.remove(sessions[0], first)
    kept.add(sessions[2], "logs", query)
    kept.drop(sessions[1])
    for session in sessions[:3]:
        kept.add(session, "newHeads", None)
    with pytest.raises(RpcError, match="too many subscriptions on this node"):
        kept.add(sessions[3], "newHeads", None)
    for session in sessions:
        kept.drop(session)
    assert (kept.count, kept._values) == (0, 0)

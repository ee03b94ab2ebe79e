"""The door: hosts, origins, bodies, files, health, WebSockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import aiohttp
import pytest

from openledger.primitives.errors import PortTaken
from openledger.primitives.hashing import keccak256
from openledger.rpc.backend import RpcSettings
from openledger.rpc.server import RpcServer
from tests.waiting import PATIENCE, until

CHAIN_ID = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}


async def test_one_port_answers_post_page_health_readiness_and_metrics(chain: Any) -> None:
    assert (await chain.post(CHAIN_ID))["result"] == "0x275d5"
    for path, text in [("/", "<html"), ("/healthz", "true"), ("/readyz", "true"), ("/metrics", "openledger_")]:
        async with chain.http.get(chain.url + path) as response:
            assert response.status == 200
            assert text in await response.text()


async def test_files_have_their_content_types_and_nothing_outside_the_folder_is_served(chain: Any) -> None:
    for path, kind in [("/", "text/html"), ("/style.css", "text/css"), ("/app.js", "text/javascript")]:
        async with chain.http.get(chain.url + path) as response:
            assert response.content_type == kind
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            policy = response.headers["Content-Security-Policy"].split("; ")
            assert {"default-src 'self'", "frame-ancestors 'none'"} <= set(policy), (
                "nobody frames it, nothing from elsewhere"
            )
    for path in ("/../server.py", "/%2e%2e/server.py", "/..%2fserver.py", "/nothing.html", "/%00.html", "//etc/passwd"):
        async with chain.http.get(chain.url + path) as response:
            assert response.status in (400, 404), path


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "evil.example:8545", "[::1"])
async def test_a_foreign_host_name_is_refused(chain: Any, host: str) -> None:
    async with chain.http.post(chain.url, json=CHAIN_ID, headers={"Host": host}) as response:
        assert response.status in (400, 403)
        assert "result" not in await response.text()


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "LOCALHOST", "127.0.0.1:8545", "[::1]:8545"])
async def test_local_host_names_are_let_in(chain: Any, host: str) -> None:
    async with chain.http.post(chain.url, json=CHAIN_ID, headers={"Host": host}) as response:
        assert response.status == 200


async def test_cors_is_for_local_pages_and_wallets_only(chain: Any) -> None:
    for origin in (
        "http://localhost:3000",
        "http://127.0.0.1:5173",
        "chrome-extension://nkbihfbeogaeaoehlefnkodbefgpgknn",
    ):
        async with chain.http.post(chain.url, json=CHAIN_ID, headers={"Origin": origin}) as response:
            assert response.headers["Access-Control-Allow-Origin"] == origin
        async with chain.http.options(chain.url, headers={"Origin": origin}) as response:
            assert response.status == 204
            assert "POST" in response.headers["Access-Control-Allow-Methods"]
    evil = {"Origin": "https://evil.example"}
    async with chain.http.post(chain.url, json=CHAIN_ID, headers=evil) as response:
        assert "Access-Control-Allow-Origin" not in response.headers
    async with chain.http.options(chain.url, headers=evil) as response:
        assert response.status == 403
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await chain.http.ws_connect(chain.url, headers=evil)


async def test_only_json_is_read_and_never_compressed(chain: Any) -> None:
    body = json.dumps(CHAIN_ID).encode()
    async with chain.http.post(chain.url, data=body, headers={"Content-Type": "text/plain"}) as response:
        assert response.status == 415
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    async with chain.http.post(chain.url, data=body, headers=headers) as response:
        assert response.status == 415


async def test_a_taken_port_is_one_sentence(chain: Any) -> None:
    second = RpcServer(chain.server._backend, "127.0.0.1", chain.server.port)
    with pytest.raises(PortTaken, match=r"cannot listen on 127\.0\.0\.1 port"):
        await second.start()


async def test_an_address_that_this_machine_does_not_have_is_not_taken_for_a_taken_port(chain: Any) -> None:
    for host in ("192.0.2.1", "nothing.invalid"):
        with pytest.raises(PortTaken, match=f"cannot listen on {host}") as refused:
            await RpcServer(chain.server._backend, host, 0).start()
        assert "an address of this machine" in (refused.value.hint or "")


class TestBounds:
    @pytest.fixture
    def settings(self) -> RpcSettings:
        return RpcSettings(max_body=2000, max_batch=5, hosts=("node.example",), origins=("https://app.example",),
                           max_subscriptions=2)  # fmt: skip

    async def test_bodies_and_batches_are_bounded(self, chain: Any) -> None:
        async with chain.http.post(chain.url, json=[CHAIN_ID] * 100) as response:
            assert response.status == 413
            assert (await response.json())["error"]["code"] == -32600
        assert (await chain.post([CHAIN_ID] * 6))["error"]["message"] == "batch too large: 6 requests, limit 5"
        assert len(await chain.post([CHAIN_ID] * 5)) == 5

    async def test_settings_add_hosts_and_origins(self, chain: Any) -> None:
        headers = {"Host": "node.example", "Origin": "https://app.example"}
        async with chain.http.post(chain.url, json=CHAIN_ID, headers=headers) as response:
            assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"

    async def test_subscriptions_of_one_connection_are_bounded(self, chain: Any) -> None:
        async with chain.http.ws_connect(chain.url) as socket:
            answers = [await ask(socket, "eth_subscribe", "newHeads") for _ in range(3)]
            assert answers[2]["error"]["message"] == "too many subscriptions on this connection, limit 2"


# --- WebSockets ---------------------------------------------------------------------------------------------


async def ask(socket: aiohttp.ClientWebSocketResponse, method: str, *params: Any) -> Any:
    await socket.send_json({"jsonrpc": "2.0", "id": 9, "method": method, "params": list(params)})
    while "id" not in (answer := await socket.receive_json(timeout=PATIENCE)):
        pass
    return answer


async def told(socket: aiohttp.ClientWebSocketResponse, subscription: str) -> Any:
    while True:
        message = await socket.receive_json(timeout=PATIENCE)
        if message.get("params", {}).get("subscription") == subscription:
            return message["params"]["result"]


async def test_invalid_json_on_a_websocket_is_answered_and_the_socket_lives(chain: Any) -> None:
    async with chain.http.ws_connect(chain.url) as socket:
        for body in ("{", "", "[[[", "\x00"):
            await socket.send_str(body)
            answer = await socket.receive_json(timeout=PATIENCE)
            assert (answer["id"], answer["error"]["code"]) == (None, -32700)
        await socket.send_bytes(b"\xff")
        assert (await socket.receive_json(timeout=PATIENCE))["error"]["code"] == -32700
        assert (await ask(socket, "eth_chainId"))["result"] == "0x275d5"


async def test_batches_work_on_a_websocket(chain: Any) -> None:
    async with chain.http.ws_connect(chain.url) as socket:
        await socket.send_json([CHAIN_ID, CHAIN_ID | {"id": 2}])
        assert [a["id"] for a in await socket.receive_json(timeout=PATIENCE)] == [1, 2]


async def test_a_head_that_is_announced_can_be_read_at_once(chain: Any) -> None:
    async with chain.http.ws_connect(chain.url) as socket:
        ident = (await ask(socket, "eth_subscribe", "newHeads"))["result"]
        for nonce in range(5):
            sent = await chain.call("eth_sendRawTransaction", "0x" + chain.signed(nonce=nonce).hex())
            head = await told(socket, ident)
            assert await chain.call("eth_blockNumber") == head["number"]
            block = await chain.call("eth_getBlockByHash", head["hash"], False)
            assert block["number"] == head["number"]
            assert sent in block["transactions"]
            assert (await chain.call("eth_getTransactionReceipt", sent))["blockHash"] == head["hash"]


async def test_pending_transactions_are_told_by_hash_and_whole(chain: Any) -> None:
    async with chain.http.ws_connect(chain.url) as socket:
        hashes = (await ask(socket, "eth_subscribe", "newPendingTransactions"))["result"]
        async with chain.http.ws_connect(chain.url) as other:
            whole = (await ask(other, "eth_subscribe", "newPendingTransactions", True))["result"]
            sent = await chain.call("eth_sendRawTransaction", "0x" + chain.signed().hex())
            assert await told(socket, hashes) == sent
            body = await told(other, whole)
            assert (body["hash"], body["blockHash"]) == (sent, None)


async def test_logs_are_pushed_once_and_only_those_asked_for(chain: Any, counter: Any) -> None:
    address = (await chain.send(data=counter.init, to=None, gas=300_000))["contractAddress"]
    async with chain.http.ws_connect(chain.url) as socket:
        mine = (await ask(socket, "eth_subscribe", "logs", {"address": address, "topics": [counter.topic]}))["result"]
        await ask(socket, "eth_subscribe", "logs", {"address": "0x" + "55" * 20})
        await chain.send(nonce=1, data=b"\1", to=bytes.fromhex(address[2:]), gas=100_000)
        log = await told(socket, mine)
        assert (log["address"], log["topics"], log["removed"]) == (address, [counter.topic], False)
        with pytest.raises(asyncio.TimeoutError):
            await socket.receive_json(timeout=0.2)


async def test_receipts_are_told_once_a_block_all_or_those_asked_for(idle_chain: Any) -> None:
    raws = [idle_chain.signed(nonce=nonce) for nonce in range(3)]
    hashes = ["0x" + keccak256(raw).hex() for raw in raws]
    async with (
        idle_chain.http.ws_connect(idle_chain.url) as socket,
        idle_chain.http.ws_connect(idle_chain.url) as other,
    ):
        every = (await ask(socket, "eth_subscribe", "transactionReceipts"))["result"]
        wish = {"TransactionHashes": [hashes[2], hashes[0], "0x" + "77" * 32]}  # as Go's ethclient writes it
        mine = (await ask(other, "eth_subscribe", "transactionReceipts", wish))["result"]
        for raw in raws:
            await idle_chain.call("eth_sendRawTransaction", "0x" + raw.hex())
        await idle_chain.engine.mine()
        receipts = [await idle_chain.call("eth_getTransactionReceipt", digest) for digest in hashes]
        assert await told(socket, every) == receipts
        assert await told(other, mine) == [receipts[0], receipts[2]]
        await idle_chain.engine.mine()  # a block without any is not told
        too_many = {"transactionHashes": hashes[:1] * 201}
        error = (await ask(other, "eth_subscribe", "transactionReceipts", too_many))["error"]
        assert (error["code"], error["message"][:37]) == (-32000, "exceed max number of transaction hash")
        for wrong in ({"transactionHashes": "0x"}, {"transactionHashes": ["0x12"]}, []):
            assert (await ask(other, "eth_subscribe", "transactionReceipts", wrong))["error"]["code"] == -32602


async def test_unsubscribing_ends_the_telling_and_only_of_ones_own(chain: Any) -> None:
    async with chain.http.ws_connect(chain.url) as socket, chain.http.ws_connect(chain.url) as other:
        ident = (await ask(socket, "eth_subscribe", "newHeads"))["result"]
        assert (await ask(other, "eth_unsubscribe", ident))["error"]["message"] == "subscription not found"
        assert (await ask(socket, "eth_unsubscribe", ident))["result"] is True
        await chain.send()
        with pytest.raises(asyncio.TimeoutError):
            await socket.receive_json(timeout=0.2)


async def test_subscribing_needs_a_websocket_and_a_known_kind(chain: Any) -> None:
    error = await chain.error("eth_subscribe", "newHeads")
    assert (error["code"], error["message"]) == (-32601, "notifications not supported")
    async with chain.http.ws_connect(chain.url) as socket:
        error = (await ask(socket, "eth_subscribe", "everything"))["error"]
        assert (error["code"], error["message"]) == (-32601, 'no "everything" subscription in eth namespace')
        for wrong in ({"topics": 5}, {"address": 5}, {"fromBlock": 5}, [], "latest"):
            assert (await ask(socket, "eth_subscribe", "logs", wrong))["error"]["code"] == -32602


async def test_a_subscriber_that_leaves_is_forgotten(chain: Any) -> None:
    async with chain.http.ws_connect(chain.url) as socket:
        await ask(socket, "eth_subscribe", "newHeads")
        assert chain.server._subscriptions.count == 1
    await until(lambda: not chain.server._subscriptions.count)


async def test_stopping_closes_the_sockets_politely(chain: Any) -> None:
    async with chain.http.ws_connect(chain.url) as socket:
        await ask(socket, "eth_chainId")
        await asyncio.gather(chain.server.stop(), socket.receive())
        assert socket.close_code == aiohttp.WSCloseCode.GOING_AWAY


async def test_a_subscriber_that_does_not_read_loses_its_connection_and_no_memory_is_lost(chain: Any) -> None:
    async with chain.http.ws_connect(chain.url) as socket:
        await ask(socket, "eth_subscribe", "newHeads")
        (found,) = chain.server._subscriptions._by_kind["newHeads"].values()
        for _ in range(10_000):
            found.session.notify(b'"' + b"x" * 1000 + b'"')
        assert found.session._transport.get_write_buffer_size() < 5_000_000
        while (message := await socket.receive(timeout=PATIENCE)).type is aiohttp.WSMsgType.TEXT:
            pass
        assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.ERROR)
    assert await chain.call("eth_blockNumber") == "0x0"


WIRE_ABUSE = [
    b"\0\0\0\0\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9999999999\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
]


@pytest.mark.parametrize("sent", WIRE_ABUSE)
async def test_abuse_on_the_wire_ends_that_connection_only(chain: Any, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", chain.server.port)
    writer.write(sent)
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(200), PATIENCE)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), answer
    writer.close()
    assert await chain.call("eth_chainId") == "0x275d5"


async def test_a_frame_that_is_too_large_closes_that_socket_only(chain: Any) -> None:
    async with chain.http.ws_connect(chain.url, max_msg_size=0) as socket:
        with contextlib.suppress(ConnectionError):  # the server may hang up before it has read everything
            await socket.send_str("[" + " " * 5_100_000 + "]")
        assert (await socket.receive(timeout=PATIENCE)).type is not aiohttp.WSMsgType.TEXT
    assert await chain.call("eth_chainId") == "0x275d5"


async def test_an_origin_that_is_no_address_is_a_foreign_one(chain: Any) -> None:
    async with chain.http.get(chain.url + "/healthz", headers={"Origin": "http://[::1"}) as answer:
        assert answer.status == 403


async def test_an_id_that_json_cannot_say_back_is_an_invalid_request(chain: Any) -> None:
    body = b'{"jsonrpc":"2.0","id":-1e999,"method":"eth_chainId"}'
    async with chain.http.post(chain.url, data=body, headers={"Content-Type": "application/json"}) as answer:
        text = await answer.text()
    assert "Infinity" not in text
    assert json.loads(text)["error"]["code"] == -32600


async def test_a_client_that_leaves_during_the_upgrade_is_no_fault(
    chain: Any, caplog: pytest.LogCaptureFixture
) -> None:
    upgrade = (
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    for _ in range(5):
        _, writer = await asyncio.open_connection("127.0.0.1", chain.server.port)
        writer.write(upgrade)
        writer.transport.abort()
    assert await chain.call("eth_chainId") == "0x275d5"
    assert not caplog.records

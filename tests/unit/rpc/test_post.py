"""HTTP on the wire: what the quick way answers, what goes to aiohttp, and that both read the same requests in it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from openledger.rpc.backend import RpcSettings
from openledger.rpc.door import Door
from openledger.rpc.post import read_head
from tests.waiting import PATIENCE, until

BODY = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}'
RESULT = b'{"jsonrpc":"2.0","id":1,"result":"0x275d5"}'


def post(body: bytes = BODY, *extra: bytes, length: bytes | None = None, line: bytes = b"POST / HTTP/1.1") -> bytes:
    size = b"%d" % len(body) if length is None else length
    head = [line, b"Host: localhost", b"Content-Type: application/json", b"Content-Length: " + size, *extra]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


OPENED: list[asyncio.StreamWriter] = []


@pytest.fixture(autouse=True)
async def _close_what_was_opened() -> AsyncIterator[None]:
    yield
    for writer in OPENED:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    OPENED.clear()


async def connect(chain: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", chain.server.port)
    OPENED.append(writer)
    return reader, writer


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[bytes, bytes], bytes]:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
    first, *lines = head[:-4].split(b"\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(b":") for line in lines)}
    body = await asyncio.wait_for(reader.readexactly(int(headers[b"content-length"])), PATIENCE)
    return int(first.split()[1]), headers, body


async def test_a_kept_connection_answers_one_request_after_the_other(chain: Any) -> None:
    reader, writer = await connect(chain)
    for _ in range(3):
        writer.write(post())
        status, headers, body = await read_answer(reader)
        assert (status, body, headers[b"content-type"]) == (200, RESULT, b"application/json")
        assert b"date" in headers
    assert len(chain.server._quick.connections) == 1


async def test_pipelined_requests_are_answered_in_order_also_when_one_has_to_wait(chain: Any) -> None:
    slow = json.dumps({"jsonrpc": "2.0", "id": "slow", "method": "eth_sendRawTransactionSync",
                       "params": ["0x" + chain.signed().hex()]}).encode()  # fmt: skip
    reader, writer = await connect(chain)
    writer.write(post(slow) + post() * 200 + post(slow.replace(b"slow", b"last")))
    assert json.loads((await read_answer(reader))[2])["result"]["status"] == "0x1"
    for _ in range(200):
        assert (await read_answer(reader))[2] == RESULT
    assert json.loads((await read_answer(reader))[2])["id"] == "last"


async def test_a_request_may_come_byte_by_byte(chain: Any) -> None:
    reader, writer = await connect(chain)
    for byte in post():
        writer.write(bytes([byte]))
        await asyncio.sleep(0)
    assert (await read_answer(reader))[2] == RESULT


async def test_a_client_that_has_said_all_is_still_answered(chain: Any) -> None:
    reader, writer = await connect(chain)
    writer.write(post())
    writer.write_eof()
    assert (await read_answer(reader))[2] == RESULT
    assert await asyncio.wait_for(reader.read(), PATIENCE) == b""


OTHERS = [
    post(b"", b"Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"") + b"%x\r\n%b\r\n0\r\n\r\n"
    % (len(BODY), BODY),
    post(line=b"POST /?key=1 HTTP/1.1"),
    post(line=b"POST / HTTP/1.0"),
    post(BODY, b"Connection: close"),
    post(BODY, b"Expect: 100-continue"),
    post(BODY, b"Content-Encoding: identity"),
]  # fmt: skip


@pytest.mark.parametrize("sent", OTHERS)
async def test_what_is_not_plain_is_answered_by_the_other_way_with_the_same_text(chain: Any, sent: bytes) -> None:
    reader, writer = await connect(chain)
    writer.write(sent)
    text = b""
    while RESULT not in text:
        text += await asyncio.wait_for(reader.read(4000), PATIENCE)
        assert text
    assert not chain.server._quick.connections


SMUGGLED = post(b'{"jsonrpc":"2.0","id":"smuggled","method":"eth_chainId"}')
LIES = [
    post(BODY, b"Content-Length: 3"),
    post(BODY, b"Content-Length: %d" % (len(BODY) + len(SMUGGLED))),
    post(BODY, b"Transfer-Encoding: chunked"),
    post(BODY, b"Transfer-Encoding : chunked"),
    post(BODY, b"Transfer-Encoding: xchunked"),
    post(BODY, b"X: a\r\n Content-Length: 0"),
    post(BODY, b"X: a\nContent-Length: 0"),
    post(BODY, b"X: a\rContent-Length: 0"),
    post(BODY, b"Content Length: 0"),
    post(BODY, b": nameless"),
    post(length=b"+59"),
    post(length=b"0x3b"),
    post(length=b"59, 59"),
    post(length=b"59 0"),
    post(length=b""),
    post(length=b"-1"),
    post(length=b"5_9"),
    post(length=b"\xd9\xa5\xd9\xa9"),
    post().replace(b"\r\n", b"\n"),
    post().replace(b"Host: localhost\r\n", b""),
    post(BODY, b"Host: evil.example"),
    b"\0" + post(),
    post(line=b"POST / HTTP/1.1 "),
    post(line=b"post / HTTP/1.1"),
    post(line=b"POST /\tHTTP/1.1"),
]


@pytest.mark.parametrize("sent", LIES)
async def test_a_head_that_could_be_read_in_two_ways_never_lets_a_second_request_through(
    chain: Any, sent: bytes
) -> None:
    assert read_head(sent.split(b"\r\n\r\n")[0], Door(RpcSettings()), 5_000_000) is None or not sent.startswith(
        b"POST / HTTP/1.1\r\n"
    )
    reader, writer = await connect(chain)
    writer.write(sent + SMUGGLED)
    writer.write_eof()
    text = await asyncio.wait_for(reader.read(), PATIENCE)
    assert b"smuggled" not in text, text
    assert await chain.call("eth_chainId") == "0x275d5"


async def _damaged(chain: Any, seed: int, count: int) -> None:
    source, whole = random.Random(seed), post(BODY, b"Origin: http://localhost:1", b"User-Agent: x")
    for _ in range(count):
        sent = bytearray(whole)
        for _ in range(source.randint(1, 4)):
            at = source.randrange(len(sent))
            sent[at : at + source.randint(0, 2)] = source.choice(
                [b"", b"\r\n", b"\n", b"\0", b":", b" ", b"\xff", bytes([source.randrange(256)]), b"1"]
            )
        reader, writer = await connect(chain)
        writer.write(bytes(sent))
        writer.write_eof()
        text = await asyncio.wait_for(reader.read(), PATIENCE)
        writer.close()
        OPENED.clear()
        assert text == b"" or text.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")), (sent, text)
        assert text.count(b"HTTP/1.1 200") <= 1, (sent, text)
        assert b" 500 " not in text.split(b"\r\n")[0], (sent, text)
    assert await chain.call("eth_chainId") == "0x275d5"


async def test_random_damage_to_a_request_is_refused_or_answered_as_that_request(chain: Any) -> None:
    await _damaged(chain, 7, 150)


@pytest.mark.soak
async def test_much_random_damage_to_a_request_is_refused_or_answered_as_that_request(chain: Any) -> None:
    for seed in range(100, 140):
        await _damaged(chain, seed, 500)


class TestPatience:
    @pytest.fixture
    def settings(self) -> RpcSettings:
        return RpcSettings(idle_seconds=0.5, request_seconds=0.5, max_connections=4)

    async def test_a_blob_that_comes_too_slowly_is_given_up(self, chain: Any) -> None:
        reader, writer = await connect(chain)
        head = b"PUT /blobs/%b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n" % (b"11" * 32)
        writer.write(head + b"some")
        assert (await read_answer(reader))[0] == 408

    async def test_a_slow_request_and_an_idle_connection_are_ended(self, chain: Any) -> None:
        slow, slow_writer = await connect(chain)
        idle, _ = await connect(chain)
        half, half_writer = await connect(chain)
        slow_writer.write(post()[:40])
        half_writer.write(post()[:-5])
        answers = await asyncio.wait_for(asyncio.gather(slow.read(), idle.read(), half.read()), PATIENCE)
        assert answers[0].startswith(b"HTTP/1.1 408")
        assert answers[1] == b""
        assert answers[2].startswith(b"HTTP/1.1 408")

    async def test_connections_are_bounded_and_a_place_is_free_again_when_one_leaves(self, chain: Any) -> None:
        held = [await connect(chain) for _ in range(4)]
        await until(lambda: len(chain.server._quick.connections) == 4)
        reader, writer = await connect(chain)
        assert (await read_answer(reader))[0] == 503
        for _, other in [*held, (reader, writer)]:
            other.close()
        await until(lambda: not chain.server._quick.connections)
        assert await chain.call("eth_chainId") == "0x275d5"


async def test_a_client_that_does_not_read_is_not_answered_on_and_on(chain: Any) -> None:
    reader, writer = await connect(chain)
    many = post(b'{"jsonrpc":"2.0","id":"' + b"x" * 50_000 + b'","method":"eth_chainId"}')
    for _ in itertools.repeat(None, 400):
        writer.write(many)
    await asyncio.sleep(0.3)
    (held,) = chain.server._quick.connections
    assert held._transport.get_write_buffer_size() < 1_000_000
    assert len(held._buffer) < 1_000_000
    answers = 0
    for _ in itertools.repeat(None, 400):
        answers += len((await read_answer(reader))[2]) > 50_000
    assert answers == 400


async def test_stopping_answers_what_was_asked_and_closes_the_rest(chain: Any) -> None:
    reader, writer = await connect(chain)
    quiet, _ = await connect(chain)
    sent = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransactionSync",
                       "params": ["0x" + chain.signed().hex()]}).encode()  # fmt: skip
    writer.write(post(sent))
    while not any(c._task for c in chain.server._quick.connections):  # noqa: ASYNC110
        await asyncio.sleep(0)
    await asyncio.gather(chain.server.stop())
    _, headers, body = await read_answer(reader)
    assert json.loads(body)["result"]["status"] == "0x1"
    assert headers[b"connection"] == b"close"
    assert await reader.read() == b""
    assert await quiet.read() == b""


class TestRates:
    @pytest.fixture
    def settings(self) -> RpcSettings:
        return RpcSettings(rate_limit=1, rate_burst=5, proxies=("127.0.0.0/8",))

    async def test_a_client_above_its_rate_hears_429_on_both_ways_and_on_a_socket(self, chain: Any) -> None:
        reader, writer = await connect(chain)
        found = []
        for _ in range(6):
            writer.write(post())
            found.append(await read_answer(reader))
        assert [status for status, _, _ in found] == [200] * 5 + [429]
        assert json.loads(found[-1][2])["error"]["code"] == -32005
        async with chain.http.post(chain.url + "/?x=1", data=BODY, headers={"Content-Type": "application/json"}) as got:
            assert got.status == 429
        async with chain.http.ws_connect(chain.url) as socket:
            await socket.send_str(BODY.decode())
            assert (await socket.receive_json(timeout=PATIENCE))["error"]["code"] == -32005

    async def test_behind_a_trusted_proxy_each_client_has_its_own_budget_and_cannot_choose_another(
        self, chain: Any
    ) -> None:
        async def ask(forwarded: bytes) -> int:
            reader, writer = await connect(chain)
            writer.write(post(BODY, b"X-Forwarded-For: " + forwarded))
            status = (await read_answer(reader))[0]
            writer.close()
            return status

        assert [await ask(b"203.0.113.9") for _ in range(6)] == [200] * 5 + [429]
        assert await ask(b"203.0.113.10") == 200
        assert [await ask(b"198.51.100.%d, 203.0.113.9" % n) for n in range(3)] == [429] * 3
        assert await ask(b"2001:db8::1, 127.0.0.2") == 200

    async def test_a_batch_costs_its_calls(self, chain: Any) -> None:
        async with chain.http.post(chain.url, json=[json.loads(BODY)] * 6) as got:
            assert got.status == 429
        assert len(await chain.post([json.loads(BODY)] * 4)) == 4


BLANK_HEADS = """
from openledger.rpc.backend import RpcSettings
from openledger.rpc.door import Door
from openledger.rpc.post import MAX_HEAD, read_head

for value in (b" " * MAX_HEAD, b"\\t" * MAX_HEAD, b" a" * (MAX_HEAD // 2), b"a" * MAX_HEAD, b"\\t a" * (MAX_HEAD // 3)):
    assert read_head(b"POST / HTTP/1.1\\r\\nX:" + value + b"\\x01", Door(RpcSettings()), 5_000_000) is None
print("read")
"""


def test_a_line_of_blanks_is_refused_and_does_not_keep_the_node_for_hours() -> None:
    """Sixteen kilobytes of them in one header were more than a match could be looked for in a day."""
    done = subprocess.run([sys.executable, "-c", BLANK_HEADS], capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout == "read\n", done.stderr

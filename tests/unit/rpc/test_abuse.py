"""JSON that is wrong in every way over HTTP and WebSocket; bounds of answers; the log of calls; many listeners."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import time
from typing import Any

import aiohttp
import pytest

from openledger.rpc import dispatch
from openledger.rpc.backend import RpcSettings
from openledger.rpc.dispatch import Dispatcher
from openledger.rpc.jsontext import dump, load
from openledger.rpc.sockets import frame
from tests.waiting import PATIENCE

JSON = {"Content-Type": "application/json"}
PARSE, REQUEST, METHOD, PARAMS = -32700, -32600, -32601, -32602


def call(method: Any = "eth_chainId", params: Any = (), **more: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params} | more).encode()


WRONG: list[tuple[bytes, int]] = [
    *((body, PARSE) for body in (
        b"", b" ", b"{", b"}", b"[", b"]", b'{"a"}', b"{'jsonrpc':'2.0'}", b"nul", b"tru", b"NaN", b"Infinity",
        b"-Infinity",
        b'{"jsonrpc":"2.0","id":NaN,"method":"eth_chainId"}', b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId",}',
        b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}}', call() + call(), b"\xef\xbb\xbf" + call(), b"\xff\xfe{}",
        b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', b'{"jsonrpc":"2.0","id":"\xc3\x28","method":"eth_chainId"}',
        b'{"jsonrpc":"2.0","id":1,"method":"eth\x00"}', b'{"id":01}', b'{"id":+1}', b'{"id":1.}', b'{"id":0x1}',
        b"// {}",
        b'{"jsonrpc":"2.0",\n"id":1,"method":"eth_\nchainId"}', b'"' + b"a" * 1000, b"<methodCall/>",
    )),
    *((body, REQUEST) for body in (
        b"{}", b"[]", b"1", b"null", b'"text"', b"1e5", b'{"jsonrpc":"2.0"}',
        b'{"jsonrpc":2.0,"id":1,"method":"eth_chainId"}',
        call(jsonrpc="1.0"), call(jsonrpc=None), call(id=[]), call(id={}), call(id=True), call(id=[1]), call(None),
        call(5),
        call([]), call({}), call(True), b'{"jsonrpc":"2.0","id":1e999,"method":"eth_chainId"}',
        b"[" * 100 + b"]" * 100, b'{"a":' * 100_000, b"[" * 1_000_000,
        call(params=None)[:-5] + b"[" * 70 + b"]" * 70 + b"}",
    )),
    *((call(name), METHOD) for name in (
        "", " ", "eth", "eth_", "_", "eth_ChainId", "ETH_chainId", "eth_chainid", "eth_chain_id", "eth_chainId ",
        "eth.chainId",
        "__class__", "eth___class__", "eth__backend", "_backend", "eth___init__", "eth_getBalance.__globals__", "rpc_",
        "eth_chainId\u0000", "eth_\u0441hainId", "../eth_chainId", "eth_" + "x" * 100_000, "admin_peers",
        "personal_newAccount",
        "miner_start", "debug_setHead", "constructor", "toString", "eth_answer", "eth_call;eth_chainId",
    )),
    *((call("eth_getBalance", params), PARAMS) for params in (
        {}, {"address": "0x" + "11" * 20}, "0x" + "11" * 20, 5, True, [], [None], [5], [[]], [{}], ["0x"], ["11" * 20],
        ["0x" + "11" * 19], ["0x" + "11" * 21], ["0x" + "zz" * 20], ["0x" + "11" * 20, "0x01"], ["0x" + "11" * 20,
        "newest"],
        ["0x" + "11" * 20, 5], ["0x" + "11" * 20, {"blockNumber": "0x0", "blockHash": "0x" + "00" * 32}],
        ["0x" + "11" * 20, "0x" + "f" * 17], ["0x" + "11" * 20, "latest", "more"], ["0x" + "11" * 20, -1], [1 << 300],
        ["\ud800"], ["0x" + "11" * 20, "0x" + "0" * 100_000], ["0x" + "\u0661" * 40],
    )),
]  # fmt: skip


async def test_wrong_json_over_http_has_its_code_and_the_connection_lives(chain: Any) -> None:
    for body, code in WRONG:
        async with chain.http.post(chain.url, data=body, headers=JSON) as answer:
            assert answer.status == 200, body[:80]
            found = json.loads(await answer.read())
        assert found["error"]["code"] == code, (body[:80], found)
        assert found["jsonrpc"] == "2.0"
        assert len(json.dumps(found)) < 2000
    assert await chain.call("eth_chainId") == "0x275d5"


async def test_wrong_json_over_a_websocket_has_the_same_code_and_the_socket_lives(chain: Any) -> None:
    async with chain.http.ws_connect(chain.url, max_msg_size=0) as socket:
        for body, code in WRONG:
            await socket.send_bytes(body)
            assert (await socket.receive_json(timeout=PATIENCE))["error"]["code"] == code, body[:80]
        await socket.send_bytes(call())
        assert (await socket.receive_json(timeout=PATIENCE))["result"] == "0x275d5"


async def test_ids_come_back_as_they_were_sent(chain: Any) -> None:
    ids = [
        0,
        1,
        -1,
        1 << 53,
        (1 << 63) - 1,
        -(1 << 63),
        1 << 64,
        10**40,
        -(10**40),
        1.5,
        "",
        "1",
        "\u2028",
        "x" * 1000,
        None,
    ]
    for ident in ids:
        async with chain.http.post(chain.url, data=call(id=ident), headers=JSON) as answer:
            found = json.loads(await answer.read())
        assert found["id"] == ident
        assert type(found["id"]) is type(ident)


async def test_of_equal_keys_the_last_one_counts_on_both_parsers(chain: Any) -> None:
    twice = b'{"jsonrpc":"2.0","id":%b,"id":7,"method":"net_version","method":"eth_chainId"}'
    for first in (b"1", b"1" * 30):
        async with chain.http.post(chain.url, data=twice % first, headers=JSON) as answer:
            assert json.loads(await answer.read()) == {"jsonrpc": "2.0", "id": 7, "result": "0x275d5"}


async def test_a_batch_of_1001_is_refused_and_one_of_1000_is_answered(chain: Any) -> None:
    one = json.loads(call())
    assert (await chain.post([one] * 1001))["error"]["code"] == REQUEST
    assert len(await chain.post([one] * 1000)) == 1000
    assert (await chain.post([]))["error"]["message"] == "empty batch"
    mixed = await chain.post([one, 1, {}, None, [], one | {"id": "b"}])
    assert [entry.get("error", {}).get("code") for entry in mixed] == [None, *[REQUEST] * 4, None]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "", "json", "*/*"]
)
async def test_other_content_types_are_not_read(chain: Any, kind: str) -> None:
    async with chain.http.post(chain.url, data=call(), headers={"Content-Type": kind}) as answer:
        assert answer.status == 415


async def test_only_what_is_served_is_served(chain: Any) -> None:
    for method in ("DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND", "POST"):
        path = "/nothing" if method == "POST" else "/"
        async with chain.http.request(method, chain.url + path, data=b"x") as answer:
            assert answer.status in (400, 404, 405), method


def test_what_one_parser_reads_the_other_reads_too() -> None:
    for text in (
        b"18446744073709551615",
        b"18446744073709551616",
        b"-9223372036854775809",
        b"[1e3,1.0,-0.0]",
        b'"\\ud83d\\ude00"',
    ):
        assert load(text) == json.loads(text)
        assert type(load(text)) is type(json.loads(text))
    for value in (1 << 64, "\ud800", [1 << 300], {"a": (1, 2)}):
        assert json.loads(dump(value)) == json.loads(json.dumps(value))


HASH = b'"0x' + b"ab" * 32 + b'"'


@pytest.mark.parametrize("unit", [b"[]", b"{}", b"1", b'""', b'{"a":1}', b'""""""'])
def test_a_request_of_millions_of_little_parts_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch, unit: bytes
) -> None:
    def read(*_: Any) -> Any:
        raise AssertionError("it is read")

    monkeypatch.setattr(dispatch, "load", read)
    monkeypatch.setattr(dispatch, "nests_deeper", read)
    body = call("eth_chainId", [])[:-2] + b",".join([unit] * (4_900_000 // (len(unit) + 1))) + b"]}"
    found = Dispatcher(()).begin(body)
    assert json.loads(found)["error"]["message"] == "request of too many parts, limit 200000"  # type: ignore[arg-type]


async def test_a_request_that_is_full_of_hashes_is_read(chain: Any) -> None:
    """The densest that makes sense, up to the size of a body."""
    body = call("eth_getLogs", [])[:-2] + b'{"topics":[[' + b",".join([HASH] * 70_000) + b"]]}]}"
    assert 4_800_000 < len(body) < 5_000_000
    async with chain.http.post(chain.url, data=io.BytesIO(body), headers=JSON) as answer:
        assert "alternatives" in (await answer.json())["error"]["message"]


class TestBounds:
    @pytest.fixture
    def settings(self) -> RpcSettings:
        return RpcSettings(max_answer=2_000, access_log=True)

    async def test_a_batch_whose_answer_gets_too_long_is_cut_in_geths_words(self, chain: Any) -> None:
        answers = await chain.post([json.loads(call("eth_getBlockByNumber", ["0x0", False]))] * 4)
        assert len(answers) == 4
        assert "result" in answers[0]
        assert answers[-1]["error"] == {"code": -32003, "message": "response too large"}

    async def test_each_call_has_a_line_in_the_log_when_it_is_asked_for(
        self, chain: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "openledger.access")
        await chain.call("eth_chainId")
        await chain.error("eth_nothing")
        lines = [record for record in caplog.records if record.name == "openledger.access"]
        assert [(r.method, r.error, r.client) for r in lines] == [  # type: ignore[attr-defined]
            ("eth_chainId", None, "127.0.0.1"), ("eth_nothing", -32601, "127.0.0.1")
        ]  # fmt: skip


async def test_two_hundred_listeners_hear_each_head_once_in_order_and_soon(chain: Any) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        sockets = [await http.ws_connect(chain.url) for _ in range(200)]
        for socket in sockets:
            await socket.send_bytes(call("eth_subscribe", ["newHeads"]))
            assert "result" in await socket.receive_json(timeout=PATIENCE)
        begun = time.process_time()  # of the node and its listeners: a busy machine adds nothing to it
        sent = [await chain.send(nonce=nonce) for nonce in range(3)]
        texts = await asyncio.gather(*(_heads(socket, 3) for socket in sockets))
        seconds = time.process_time() - begun
        for heads in texts:
            assert [(head["number"], head["hash"]) for head in heads] == [
                (r["blockNumber"], r["blockHash"]) for r in sent
            ]
        with pytest.raises(asyncio.TimeoutError):
            await sockets[0].receive(timeout=0.05)
    assert seconds < 5.0


async def _heads(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[dict[str, Any]]:
    return [(await socket.receive_json(timeout=PATIENCE))["params"]["result"] for _ in range(count)]


async def test_what_is_pushed_waits_for_the_answer_of_the_batch_that_subscribed(chain: Any) -> None:
    raw = "0x" + chain.signed().hex()
    async with chain.http.ws_connect(chain.url) as socket:
        batch = [json.loads(call("eth_subscribe", ["newHeads"])), json.loads(call("eth_sendRawTransactionSync", [raw]))]
        await socket.send_json(batch)
        first = await socket.receive_json(timeout=PATIENCE)
        assert [set(entry) for entry in first] == [{"jsonrpc", "id", "result"}] * 2
        told = await socket.receive_json(timeout=PATIENCE)
        assert told["params"]["subscription"] == first[0]["result"]
        assert told["params"]["result"]["hash"] == first[1]["result"]["blockHash"]


async def test_a_call_that_waits_does_not_hold_up_the_others_of_its_socket(chain: Any) -> None:
    late = {"jsonrpc": "2.0", "id": "late", "method": "eth_sendRawTransactionSync",
            "params": ["0x" + chain.signed(nonce=5).hex(), "0x1f4"]}  # fmt: skip
    async with chain.http.ws_connect(chain.url) as socket:
        await socket.send_json(late)
        await socket.send_bytes(call(id="soon"))
        assert (await socket.receive_json(timeout=PATIENCE))["id"] == "soon"
        assert (await socket.receive_json(timeout=PATIENCE))["error"]["code"] == 4


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536, 200_000])
async def test_a_pushed_frame_of_any_size_arrives_whole(chain: Any, size: int) -> None:
    assert frame(b"x" * size).endswith(b"x" * size)
    async with chain.http.ws_connect(chain.url) as socket:
        await socket.send_bytes(call("eth_subscribe", ["newHeads"]))
        await socket.receive_json(timeout=PATIENCE)
        (found,) = chain.server._subscriptions._by_kind["newHeads"].values()
        found.session.notify(b"y" * size)
        assert (await socket.receive_str(timeout=PATIENCE)) == "y" * size

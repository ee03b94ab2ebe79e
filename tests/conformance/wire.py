"""Groups ``wire`` and ``errors``: JSON-RPC as it travels, and the codes and texts that clients parse."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from conformance.node import must, same
from conformance.shapes import NOBODY, STRANGER, UNKNOWN_HASH
from conformance.world import World, add, check

PARSE, REQUEST, METHOD, PARAMS = -32700, -32600, -32601, -32602
CHAIN = '{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}'

BROKEN_BODIES: list[tuple[str, str, int]] = [
    ("no JSON at all", "hello", PARSE),
    ("JSON that is cut off", '{"jsonrpc":"2.0","id":1,"method":', PARSE),
    ("an unclosed list", f"[{CHAIN}", PARSE),
    ("two documents", CHAIN + CHAIN, PARSE),
    ("single quotes", "{'jsonrpc':'2.0','id':1,'method':'eth_chainId'}", PARSE),
    ("an empty batch", "[]", REQUEST),
    ("a number", "1", REQUEST),
    ("a text", '"eth_chainId"', REQUEST),
    ("an empty object", "{}", REQUEST),
    ("a request without a method", '{"jsonrpc":"2.0","id":1,"params":[]}', REQUEST),
    ("a method that is a number", '{"jsonrpc":"2.0","id":1,"method":5,"params":[]}', REQUEST),
    ("no version", '{"id":1,"method":"eth_chainId","params":[]}', REQUEST),
    ("version 1.0", '{"jsonrpc":"1.0","id":1,"method":"eth_chainId","params":[]}', REQUEST),
]


def _broken(body: str, code: int) -> Any:
    async def run(w: World) -> None:
        _, text = await w.node.post(body)
        found = json.loads(text)
        same(found.get("error", {}).get("code"), code, text[:100])
        same(await w.node.call("eth_chainId"), hex(w.chain_id), "afterwards")

    return run


def _broken_on_socket(body: str, code: int) -> Any:
    async def run(w: World) -> None:
        socket = await w.node.socket()
        found = await socket.text(body)
        same(found.get("error", {}).get("code"), code, str(found)[:100])
        same(await socket.call("eth_chainId"), hex(w.chain_id), "the socket afterwards")
        await socket.ws.close()

    return run


for _name, _body, _code in BROKEN_BODIES:
    add("wire", f"{_name} by POST: {_code}", _broken(_body, _code))
    add("wire", f"{_name} on a WebSocket: {_code}, and the socket lives", _broken_on_socket(_body, _code))

IDS = ["1", "0", "-7", '"text"', '""', "null", "9007199254740993", "1.5"]


def _echoed(number: str) -> Any:
    async def run(w: World) -> None:
        _, text = await w.node.post(CHAIN.replace('"id":1', f'"id":{number}'))
        same(json.loads(text)["id"], json.loads(number), "id")

    return run


for _number in IDS:
    add("wire", f"the id {_number} comes back", _echoed(_number))


@check("wire", "a batch is answered in order")
async def _batch(w: World) -> None:
    body = [{"jsonrpc": "2.0", "id": at, "method": "eth_chainId", "params": []} for at in range(20)]
    _, text = await w.node.post(json.dumps(body))
    same([a["id"] for a in json.loads(text)], list(range(20)), "ids")


@check("wire", "a batch with a bad member answers the others")
async def _mixed_batch(w: World) -> None:
    _, text = await w.node.post(f"[{CHAIN},5,{CHAIN.replace('eth_chainId', 'eth_nothing')}]")
    found = json.loads(text)
    same(found[0]["result"], hex(w.chain_id), "first")
    same([a["error"]["code"] for a in found[1:]], [REQUEST, METHOD], "codes")


@check("wire", "params may be left out where there are none")
async def _no_params(w: World) -> None:
    _, text = await w.node.post('{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}')
    same(json.loads(text).get("result"), hex(w.chain_id), "result")


@check("wire", "params may be null where there are none")
async def _null_params(w: World) -> None:
    _, text = await w.node.post('{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":null}')
    same(json.loads(text).get("result"), hex(w.chain_id), "result")


@check("wire", "white space around a request is fine")
async def _white(w: World) -> None:
    _, text = await w.node.post(f" \n\t{CHAIN}\r\n ")
    same(json.loads(text)["result"], hex(w.chain_id), "result")


@check("wire", "a body of 6 MB is refused and the node goes on")
async def _big(w: World) -> None:
    status, text = await w.node.post(CHAIN.replace("[]", '["' + "0" * 6_000_000 + '"]'))
    must(status == 413 or "error" in json.loads(text), f"{status} {text[:80]}")
    same(await w.node.call("eth_chainId"), hex(w.chain_id), "afterwards")


@check("wire", "100,000 brackets are refused and the node goes on")
async def _nested(w: World) -> None:
    status, text = await w.node.post(CHAIN.replace("[]", "[" * 50_000 + "]" * 50_000))
    must(status in (400, 413) or "error" in json.loads(text), f"{status} {text[:80]}")
    same(await w.node.call("eth_chainId"), hex(w.chain_id), "afterwards")


@check("wire", "a page of another origin's text/plain POST is not carried out")
async def _content_type(w: World) -> None:
    status, _ = await w.node.post(CHAIN, Content_Type="text/plain")
    same(status, 415, "status")


@check("wire", "a charset in the content type is fine")
async def _charset(w: World) -> None:
    _, text = await w.node.post(CHAIN, Content_Type="application/json; charset=utf-8")
    same(json.loads(text)["result"], hex(w.chain_id), "result")


@check("wire", "64 connections at once are all answered")
async def _many(w: World) -> None:
    found = await asyncio.gather(*(w.node.call("eth_getBalance", w.me.address, "latest") for _ in range(64)))
    same(len(set(found)), 1, "answers")


@check("wire", "text that is no UTF-8 is a parse error")
async def _utf8(w: World) -> None:
    _, text = await w.node.post(CHAIN.encode().replace(b"eth_chainId", b"eth_\xff\xfe"))
    same(json.loads(text)["error"]["code"], PARSE, "code")


@check("wire", "a batch on a WebSocket is answered")
async def _socket_batch(w: World) -> None:
    socket = await w.node.socket()
    found = await socket.text(f"[{CHAIN},{CHAIN}]")
    same([a["result"] for a in found], [hex(w.chain_id)] * 2, "results")
    await socket.ws.close()


@check("wire", "a binary frame is answered")
async def _binary(w: World) -> None:
    socket = await w.node.socket()
    await socket.ws.send_bytes(CHAIN.encode())
    same((await socket.answer())["result"], hex(w.chain_id), "result")
    await socket.ws.close()


# --- errors -------------------------------------------------------------------------------------------------

Args = Callable[[World], list[Any]]


def _refused(method: str, args: Args, code: int, text: str) -> Any:
    async def run(w: World) -> None:
        found = await w.node.refusal(method, *args(w))
        same(found.code, code, f"code of {found.message!r}")
        must(text.lower() in found.message.lower(), f"{found.message!r} does not say {text!r}")

    return run


ADDRESS = STRANGER
ERRORS: list[tuple[str, str, Args, int, str]] = [
    ("an unknown method", "eth_nothing", lambda _: [], METHOD, "eth_nothing"),
    ("an unknown namespace", "nothing_atAll", lambda _: [], METHOD, "nothing_atAll"),
    ("a method without namespace", "chainId", lambda _: [], METHOD, "chainId"),
    ("another case", "ETH_chainId", lambda _: [], METHOD, ""),
    ("missing parameters", "eth_getBalance", lambda _: [], PARAMS, "missing value for required argument 0"),
    ("too many parameters", "eth_getBalance", lambda _: [ADDRESS, "latest", 1], PARAMS, "too many arguments"),
    ("an address that is too short", "eth_getBalance", lambda _: ["0x12", "latest"], PARAMS, "invalid argument 0"),
    ("an address without 0x", "eth_getBalance", lambda _: [5, "latest"], PARAMS, "invalid argument 0"),
    ("an address that is no hex", "eth_getBalance",
     lambda _: ["0x" + "zz" * 20, "latest"], PARAMS, "invalid argument 0"),
    ("a quantity with leading zeros", "eth_getBalance", lambda _: [ADDRESS, "0x01"], PARAMS, "leading zero"),
    ("an empty quantity", "eth_getBalance", lambda _: [ADDRESS, "0x"], PARAMS, "invalid argument 1"),
    ("a decimal block", "eth_getBlockByNumber", lambda _: ["5", False], PARAMS, "invalid argument 0"),
    ("a tag that nobody knows", "eth_getBalance", lambda _: [ADDRESS, "newest"], PARAMS, "invalid argument 1"),
    ("a hash that is too short", "eth_getTransactionByHash", lambda _: ["0x1234"], PARAMS, "invalid argument 0"),
    ("a flag that is text", "eth_getBlockByNumber", lambda _: ["latest", "yes"], PARAMS, "invalid argument 1"),
    ("both forms of EIP-1898", "eth_getBalance",
     lambda _: [ADDRESS, {"blockHash": UNKNOWN_HASH, "blockNumber": "0x0"}], PARAMS, "cannot specify both"),
    ("a storage key that is too long", "eth_getStorageAt",
     lambda w: [w.logger, "0x" + "00" * 33, "latest"], PARAMS, "too long"),
    ("a balance in the future", "eth_getBalance", lambda _: [ADDRESS, "0xfffffff"], -32000, "header not found"),
    ("a call in the future", "eth_call", lambda _: [{"to": ADDRESS}, "0xfffffff"], -32000, "header not found"),
    ("a balance at an unknown hash", "eth_getBalance",
     lambda _: [ADDRESS, {"blockHash": UNKNOWN_HASH}], -32000, "header for hash not found"),
    ("data and input that differ", "eth_call",
     lambda w: [{"to": w.logger, "data": "0x01", "input": "0x02"}, "latest"], -32000, "not equal"),
    ("both kinds of fees", "eth_call",
     lambda _: [{"to": ADDRESS, "gasPrice": "0x1", "maxFeePerGas": "0x1"}, "latest"], -32000, "both gasPrice and"),
    ("a tip above the fee", "eth_call",
     lambda w: [{"from": w.me.address, "to": ADDRESS, "maxFeePerGas": "0x5", "maxPriorityFeePerGas": "0x6"},
                "latest"], -32000, "max priority fee per gas higher than max fee per gas"),
    ("a call that costs too much", "eth_call",
     lambda _: [{"from": NOBODY, "to": ADDRESS, "value": "0x1"}, "latest"], -32000, "insufficient funds"),
    ("an estimate that costs too much", "eth_estimateGas",
     lambda _: [{"from": NOBODY, "to": ADDRESS, "value": "0x1"}], -32000, "insufficient funds"),
    ("a call that reverts", "eth_call", lambda w: [{"to": w.reverter}, "latest"], 3, "execution reverted: no"),
    ("an estimate that reverts", "eth_estimateGas", lambda w: [{"to": w.reverter}], 3, "execution reverted: no"),
    ("an invalid opcode", "eth_call", lambda w: [{"to": w.broken}, "latest"], -32000, "invalid opcode: INVALID"),
    ("too little gas", "eth_call", lambda w: [{"to": w.logger, "gas": "0x5300"}, "latest"], -32000, ""),
    ("logs from a later to an earlier block", "eth_getLogs",
     lambda _: [{"fromBlock": "0x2", "toBlock": "0x1"}], PARAMS, "invalid block range"),
    ("logs by hash and range", "eth_getLogs",
     lambda w: [{"blockHash": w.sent["log0"]["blockHash"], "fromBlock": "0x0"}], PARAMS,
     "cannot specify both"),
    ("logs of an unknown block", "eth_getLogs", lambda _: [{"blockHash": UNKNOWN_HASH}], -32000, "unknown block"),
    ("five topics", "eth_getLogs", lambda _: [{"topics": [None] * 5}], PARAMS, "topics"),
    ("a topic that is too short", "eth_getLogs", lambda _: [{"topics": ["0x12"]}], PARAMS, ""),
    ("changes of a filter that is gone", "eth_getFilterChanges",
     lambda _: ["0x123456789abcdef"], -32000, "filter not found"),
    ("101 percentiles", "eth_feeHistory", lambda _: ["0x1", "latest", list(range(101))], -32000, "percentile"),
    ("percentiles that fall", "eth_feeHistory", lambda _: ["0x1", "latest", [50, 10]], -32000, "percentile"),
    ("a percentile above 100", "eth_feeHistory", lambda _: ["0x1", "latest", [101]], -32000, "percentile"),
    ("a history of the future", "eth_feeHistory", lambda _: ["0x1", "0xfffffff", []], -32000, "beyond head"),
    ("a trace of an unknown transaction", "debug_traceTransaction", lambda _: [UNKNOWN_HASH], -32000, "not found"),
    ("an unknown tracer", "debug_traceCall",
     lambda _: [{"to": ADDRESS}, "latest", {"tracer": "nothingTracer"}], -32000, ""),
    ("an empty raw transaction", "eth_sendRawTransaction", lambda _: ["0x"], -32000, ""),
    ("a raw transaction that is no hex", "eth_sendRawTransaction", lambda _: ["hello"], PARAMS, "invalid argument 0"),
    ("a raw transaction of an unknown type", "eth_sendRawTransaction",
     lambda _: ["0x7f01"], -32000, "transaction type not supported"),
    ("a subscription by POST", "eth_subscribe", lambda _: ["newHeads"], -32601, ""),
    ("sha3 of text that is no hex", "web3_sha3", lambda _: ["hello"], PARAMS, "invalid argument 0"),
]  # fmt: skip

for _claim, _method, _args, _code, _text in ERRORS:
    add("errors", f"{_claim}: {_code} {_text}".strip(), _refused(_method, _args, _code, _text))


@check("errors", "a revert carries its data")
async def _revert_data(w: World) -> None:
    found = await w.node.refusal("eth_call", {"to": w.reverter}, "latest")
    must(str(found.data).startswith("0x08c379a0"), str(found.data))
    must(len(found.data) == 202, f"{len(found.data)} characters")


@check("errors", "an error does not show the inside of the node")
async def _no_traceback(w: World) -> None:
    for method, params in (
        ("eth_call", [{"to": 5}, {}]),
        ("eth_getLogs", [[]]),
        ("debug_traceCall", [{}, "latest", 7]),
    ):
        found = await w.node.refusal(method, *params)
        must("Traceback" not in found.message and 'File "' not in found.message, found.message)

"""Groups ``live`` and ``send``: what is announced can be read; what is sent is answered at once, in geth's words."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from conformance import forms
from conformance.forms import LOG, faults
from conformance.node import Refused, Socket, must, same
from conformance.roots import header_rlp
from conformance.shapes import STRANGER
from conformance.world import ETHER, GWEI, World, add, check, topic, topics
from eth_account import Account
from eth_utils import keccak


async def heads(w: World, *kind: Any) -> tuple[Socket, str]:
    socket = await w.node.socket()
    number: str = await socket.call("eth_subscribe", *(kind or ("newHeads",)))
    return socket, number


@check("live", "newHeads: form, and its hash is that of the header")
async def _head(w: World) -> None:
    socket, number = await heads(w)
    done = await w.done(to=STRANGER, value=1, gas=21_000)
    head = await socket.next(number)
    fault = next(faults(head, forms.HEADER | {"size?": "quantity"}), "")
    must(not fault, fault)
    same(head["hash"], done["blockHash"], "hash")
    same("0x" + keccak(header_rlp(head)).hex(), head["hash"], "hash of the header")
    await socket.ws.close()


@check("live", "a head that is announced can be read at once: block, receipts, logs, state")
async def _read(w: World) -> None:
    socket, number = await heads(w)
    for at in range(3):
        digest = await w.send(to=w.logger, data=topics(50 + at))
        head = await socket.next(number)
        block, count, receipt, logs = await asyncio.gather(
            w.node.call("eth_getBlockByHash", head["hash"], False),
            w.node.call("eth_blockNumber"),
            w.node.call("eth_getTransactionReceipt", digest),
            w.node.call("eth_getLogs", {"blockHash": head["hash"]}),
        )
        must(block is not None and receipt is not None and len(logs) == 1, f"head {head['number']} cannot be read")
        must(int(count, 16) >= int(head["number"], 16), "eth_blockNumber lags")
    await socket.ws.close()


@check("live", "each head comes once, in order, linked")
async def _order(w: World) -> None:
    socket, number = await heads(w)
    done = [await w.done(to=STRANGER, value=1, gas=21_000) for _ in range(4)]
    wanted = list(dict.fromkeys(d["blockHash"] for d in done))
    found = [await socket.next(number) for _ in wanted]
    same([h["hash"] for h in found], wanted, "heads")
    for parent, child in itertools.pairwise(found):
        same(child["parentHash"], parent["hash"], "parent")
    await socket.ws.close()


@check("live", "logs: form, and each comes once")
async def _logs(w: World) -> None:
    socket, number = await heads(w, "logs", {"address": w.logger, "topics": [None, topic(60, 1)]})
    await w.done(to=w.logger, data=topics(61))
    done = await w.done(to=w.logger, data=topics(60))
    found = await socket.next(number)
    must(not list(faults(found, LOG)), next(faults(found, LOG), ""))
    same(found, done["logs"][0], "log")
    await socket.call("eth_chainId")
    same(socket.told, [], "more")
    await socket.ws.close()


@check("live", "newPendingTransactions: the hash of what was sent")
async def _pending(w: World) -> None:
    socket, number = await heads(w, "newPendingTransactions")
    digest = await w.send(to=STRANGER, value=1, gas=21_000)
    same(await socket.next(number), digest, "hash")
    await w.receipt(digest)
    await socket.ws.close()


@check("live", "newPendingTransactions with true: whole transactions")
async def _pending_full(w: World) -> None:
    socket, number = await heads(w, "newPendingTransactions", True)
    digest = await w.send(to=STRANGER, value=1, gas=21_000)
    found = await socket.next(number)
    same(
        (found["hash"], found["from"].lower(), found["nonce"]),
        (digest, w.me.address.lower(), hex(w.nonce - 1)),
        "transaction",
    )
    await w.receipt(digest)
    await socket.ws.close()


@check("live", "syncing can be subscribed to")
async def _syncing(w: World) -> None:
    socket, number = await heads(w, "syncing")
    must(number.startswith("0x"), number)
    await socket.ws.close()


@check("live", "after unsubscribe nothing comes")
async def _unsubscribe(w: World) -> None:
    socket, number = await heads(w)
    same(await socket.call("eth_unsubscribe", number), True, "unsubscribe")
    await w.done(to=STRANGER, value=1, gas=21_000)
    await socket.call("eth_chainId")
    same(socket.told, [], "announced")
    await socket.ws.close()


@check("live", "an unknown subscription is refused, and the socket lives")
async def _unknown(w: World) -> None:
    socket = await w.node.socket()
    for call in (("eth_subscribe", "nothing"), ("eth_unsubscribe", "0x1234")):
        try:
            same(await socket.call(*call), False, call[0])
        except Refused as err:
            must(err.code in (-32602, -32601, -32000), str(err))
    same(await socket.call("eth_chainId"), hex(w.chain_id), "afterwards")
    await socket.ws.close()


@check("live", "two subscriptions of one socket are told apart")
async def _two(w: World) -> None:
    socket, first = await heads(w)
    second = await socket.call("eth_subscribe", "logs", {"address": w.logger})
    must(first != second, first)
    done = await w.done(to=w.logger, data=topics(70))
    same((await socket.next(first))["hash"], done["blockHash"], "head")
    same(await socket.next(second), done["logs"][0], "log")
    await socket.ws.close()


@check("live", "fifty sockets hear the same head")
async def _fifty(w: World) -> None:
    both = await asyncio.gather(*(heads(w) for _ in range(50)))
    done = await w.done(to=STRANGER, value=1, gas=21_000)
    found = await asyncio.gather(*(socket.next(number) for socket, number in both))
    same({h["hash"] for h in found}, {done["blockHash"]}, "heads")
    await asyncio.gather(*(socket.ws.close() for socket, _ in both))


@check("live", "newHeads and eth_getBlockByNumber give the same values")
async def _equal(w: World) -> None:
    socket, number = await heads(w)
    done = await w.done(to=STRANGER, value=1, gas=21_000)
    head = await socket.next(number)
    block = await w.node.call("eth_getBlockByHash", done["blockHash"], False)
    same({k: v for k, v in head.items() if block.get(k) != v}, {}, "different")
    await socket.ws.close()


# --- send ---------------------------------------------------------------------------------------------------


def refused_send(claim: str, text: str, fields: Any, code: int = -32000) -> None:
    """A fresh account sends ``fields``; the refusal says ``text``; nothing is mined."""

    async def run(w: World) -> None:
        key = await w.fresh()
        found = await w.node.refusal(
            "eth_sendRawTransaction", w.sign({"to": STRANGER, "nonce": 0, "gas": 21_000} | fields(w), key)
        )
        same(found.code, code, f"code of {found.message!r}")
        must(text in found.message, f"{found.message!r} does not say {text!r}")
        same(await w.node.call("eth_getTransactionCount", key.address, "pending"), "0x0", "nonce")

    add("send", claim, run)


refused_send("insufficient funds", "insufficient funds for gas * price + value", lambda _: {"value": 2 * ETHER})
refused_send("intrinsic gas too low", "intrinsic gas too low", lambda _: {"gas": 20_999})
refused_send("a floor that data costs", "floor data gas", lambda _: {"gas": 24_000, "data": "0x" + "11" * 100})
refused_send("exceeds block gas limit", "exceeds block gas limit", lambda _: {"gas": 2**40, "gasPrice": 1 * GWEI})
refused_send("a tip above the fee", "max priority fee per gas higher than max fee per gas",
             lambda _: {"maxFeePerGas": GWEI, "maxPriorityFeePerGas": 2 * GWEI})  # fmt: skip
refused_send("another chain's id", "chain id", lambda w: {"chainId": w.chain_id + 1})
refused_send("init code that is too long", "max initcode size exceeded",
             lambda _: {"to": "", "data": "0x" + "00" * 49_153, "gas": 10_000_000, "gasPrice": 2 * GWEI})  # fmt: skip


@check("send", "nonce too low")
async def _low(w: World) -> None:
    found = await w.node.refusal("eth_sendRawTransaction", w.sign({"to": STRANGER, "nonce": 0, "gas": 21_000}))
    must("nonce too low" in found.message and found.code == -32000, str(found))


@check("send", "already known, for a transaction that waits")
async def _known(w: World) -> None:
    key = await w.fresh()
    raw = w.sign({"to": STRANGER, "nonce": 1, "gas": 21_000}, key)
    await w.node.call("eth_sendRawTransaction", raw)
    found = await w.node.refusal("eth_sendRawTransaction", raw)
    must("already known" in found.message and found.code == -32000, str(found))


@check("send", "replacement transaction underpriced")
async def _underpriced(w: World) -> None:
    key = await w.fresh()
    fields = {"to": STRANGER, "nonce": 1, "gas": 21_000}
    await w.node.call("eth_sendRawTransaction", w.sign(fields | {"value": 1}, key))
    found = await w.node.refusal("eth_sendRawTransaction", w.sign(fields | {"value": 2}, key))
    must("replacement transaction underpriced" in found.message and found.code == -32000, str(found))


@check("send", "a replacement at a better price takes the place")
async def _replaced(w: World) -> None:
    key = await w.fresh()
    fields = {"to": STRANGER, "gas": 21_000}
    first = await w.node.call("eth_sendRawTransaction", w.sign(fields | {"nonce": 1, "value": 1}, key))
    better = {"nonce": 1, "value": 2, "maxFeePerGas": 200 * GWEI, "maxPriorityFeePerGas": 2 * GWEI}
    second = await w.node.call("eth_sendRawTransaction", w.sign(fields | better, key))
    same(await w.node.call("eth_getTransactionByHash", first), None, "the first one")
    await w.node.call("eth_sendRawTransaction", w.sign(fields | {"nonce": 0}, key))
    same((await w.receipt(second))["status"], "0x1", "status")


@check("send", "a nonce gap is answered at once, waits, is seen, and fills")
async def _gap(w: World) -> None:
    key = await w.fresh()
    async with asyncio.timeout(3):
        later = await w.node.call("eth_sendRawTransaction", w.sign({"to": STRANGER, "nonce": 1, "gas": 21_000}, key))
    same(await w.node.call("eth_getTransactionReceipt", later), None, "receipt")
    waiting = await w.node.call("eth_getTransactionByHash", later)
    same((waiting["blockHash"], waiting["blockNumber"], waiting["transactionIndex"]), (None, None, None), "place")
    must(int((await w.node.call("txpool_status"))["queued"], 16) >= 1, "txpool_status does not show it")
    same(await w.node.call("eth_getTransactionCount", key.address, "pending"), "0x0", "pending nonce")
    await w.node.call("eth_sendRawTransaction", w.sign({"to": STRANGER, "nonce": 0, "gas": 21_000}, key))
    same((await w.receipt(later))["status"], "0x1", "status")


@check("send", "txpool_content shows what waits, by sender and nonce")
async def _content(w: World) -> None:
    key = await w.fresh()
    digest = await w.node.call("eth_sendRawTransaction", w.sign({"to": STRANGER, "nonce": 3, "gas": 21_000}, key))
    queued = (await w.node.call("txpool_content"))["queued"]
    mine = {a.lower(): txs for a, txs in queued.items()}[key.address.lower()]
    same(mine["3"]["hash"], digest, "hash")


@check("send", "a send that will revert still returns its hash")
async def _reverting(w: World) -> None:
    digest = await w.send(to=w.reverter, gas=100_000)
    same((await w.receipt(digest))["status"], "0x0", "status")


@check("send", "a send that runs out of gas is mined with all of it used")
async def _out_of_gas(w: World) -> None:
    done = await w.done(to=w.broken, gas=50_000)
    same((done["status"], done["gasUsed"]), ("0x0", hex(50_000)), "receipt")


@check("send", "the hash is keccak256 of the bytes")
async def _digest(w: World) -> None:
    raw = w.sign({"to": STRANGER, "nonce": w.nonce, "gas": 21_000})
    w.nonce += 1
    digest = await w.node.call("eth_sendRawTransaction", raw)
    same(digest, "0x" + keccak(hexstr=raw).hex(), "hash")
    await w.receipt(digest)
    same(await w.node.call("eth_getRawTransactionByHash", digest), raw, "raw bytes")


def wounded(claim: str, change: Any) -> None:
    """A transaction whose bytes were changed is refused, and nobody's nonce moves."""

    async def run(w: World) -> None:
        key = await w.fresh()
        raw = bytearray.fromhex(w.sign({"to": STRANGER, "nonce": 0, "gas": 21_000, "value": 1}, key)[2:])
        found = await w.node.refusal("eth_sendRawTransaction", "0x" + bytes(change(raw)).hex())
        must(found.code in (-32000, -32602), str(found))
        same(await w.node.call("eth_getTransactionCount", key.address, "pending"), "0x0", "nonce")

    add("send", claim, run)


wounded("a byte too many", lambda raw: raw + b"\0")
wounded("a byte too few", lambda raw: raw[:-1])
wounded("two transactions in one", lambda raw: raw + raw)
wounded("cut in half", lambda raw: raw[: len(raw) // 2])
wounded("the type of a blob transaction", lambda raw: b"\x03" + raw[1:])
wounded("an unknown type", lambda raw: b"\x7e" + raw[1:])


@check("send", "a high s is refused")
async def _high_s(w: World) -> None:
    import rlp

    key = await w.fresh()
    raw = bytes.fromhex(w.sign({"to": STRANGER, "nonce": 0, "gas": 21_000}, key)[2:])
    fields = rlp.decode(raw[1:])
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    fields[-1] = (order - int.from_bytes(fields[-1], "big")).to_bytes(32, "big")
    fields[-3] = b"" if fields[-3] else b"\x01"
    await w.node.refusal("eth_sendRawTransaction", "0x" + (raw[:1] + rlp.encode(fields)).hex())


@check("send", "a legacy transaction without chain id is refused")
async def _unprotected(w: World) -> None:
    import rlp

    key = Account.create()
    await w.fund(key.address, ETHER)
    body = [b"", (50 * GWEI).to_bytes(5, "big"), (21_000).to_bytes(2, "big"), bytes.fromhex(STRANGER[2:]), b"\x01", b""]
    signed = key.unsafe_sign_hash(keccak(rlp.encode(body)))
    whole = [
        *body,
        bytes([signed.v]),
        signed.r.to_bytes(32, "big").lstrip(b"\0"),
        signed.s.to_bytes(32, "big").lstrip(b"\0"),
    ]
    found = await w.node.refusal("eth_sendRawTransaction", "0x" + rlp.encode(whole).hex())
    must("replay-protected" in found.message, found.message)


@check("send", "pending shows what waits: nonce and balance")
async def _pending_state(w: World) -> None:
    key, other = await w.fresh(), Account.create().address
    digest = await w.node.call(
        "eth_sendRawTransaction", w.sign({"to": other, "nonce": 0, "gas": 21_000, "value": 5}, key)
    )
    same(await w.node.call("eth_getTransactionCount", key.address, "pending"), "0x1", "nonce")
    same(await w.node.call("eth_getBalance", other, "pending"), "0x5", "balance")
    await w.receipt(digest)


@check("send", "ten transactions sent at once are all mined, in order")
async def _ten(w: World) -> None:
    key = await w.fresh()
    raws = [w.sign({"to": STRANGER, "nonce": at, "gas": 21_000}, key) for at in range(10)]
    hashes = await asyncio.gather(*(w.node.call("eth_sendRawTransaction", raw) for raw in reversed(raws)))
    receipts = [await w.receipt(digest) for digest in reversed(hashes)]
    places = [(int(r["blockNumber"], 16), int(r["transactionIndex"], 16)) for r in receipts]
    same(places, sorted(places), "places")


@check("send", "eth_sendRawTransactionSync answers with the receipt")
async def _sync(w: World) -> None:
    raw = w.sign({"to": STRANGER, "nonce": w.nonce, "gas": 21_000})
    w.nonce += 1
    found = await w.node.call("eth_sendRawTransactionSync", raw)
    same(found["transactionHash"], "0x" + keccak(hexstr=raw).hex(), "hash")
    same(await w.node.call("eth_getTransactionReceipt", found["transactionHash"]), found, "receipt")


@check("send", "a created contract is at the address of the receipt")
async def _created(w: World) -> None:
    must(len(await w.node.call("eth_getCode", w.sent["creation"]["contractAddress"], "latest")) > 10, "no code")


@check("send", "a delegation (EIP-7702) is set and runs")
async def _delegated(w: World) -> None:
    code = await w.node.call("eth_getCode", w.hashes["delegate"], "latest")
    same(code, "0xef0100" + w.logger[2:].lower(), "code")
    same(len(w.sent["delegated"]["logs"]), 1, "logs")

"""Groups ``tags`` and ``gas``: blocks by every name that they have, and estimates that are exact."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import rlp
from conformance.contracts import assemble
from conformance.node import must, same
from conformance.shapes import STRANGER
from conformance.world import ETHER, GWEI, World, add, check, topics
from eth_utils import keccak

READS: dict[str, Any] = {
    "eth_getBalance": lambda w: [w.me.address],
    "eth_getTransactionCount": lambda w: [w.me.address],
    "eth_getCode": lambda w: [w.logger],
    "eth_getStorageAt": lambda w: [w.logger, "0x0"],
    "eth_call": lambda w: [{"to": w.logger, "data": topics(1)}],
    "eth_getProof": lambda w: [w.logger, ["0x0"]],
    "eth_estimateGas": lambda w: [{"to": w.logger, "data": topics(1)}],
}

EMPTY = {
    "eth_getBalance": "0x0", "eth_getTransactionCount": "0x0", "eth_getCode": "0x",
    "eth_getStorageAt": "0x" + "00" * 32, "eth_call": "0x",
}  # fmt: skip


def _equal(method: str, form: str) -> Any:
    async def run(w: World) -> None:
        latest = await w.node.call("eth_getBlockByNumber", "latest", False)
        names = {
            "safe": "safe", "finalized": "finalized", "number": latest["number"], "hash": latest["hash"],
            "{blockNumber}": {"blockNumber": latest["number"]}, "{blockHash}": {"blockHash": latest["hash"]},
            "{blockHash, requireCanonical}": {"blockHash": latest["hash"], "requireCanonical": True},
        }  # fmt: skip
        args = READS[method](w)
        wanted = await w.node.call(method, *args, "latest")
        same(await w.node.call(method, *args, names[form]), wanted, form)

    return run


for _method in READS:
    for _form in ("safe", "finalized", "number", "{blockNumber}", "{blockHash}"):
        add("tags", f"{_method} at {_form} is what it is at latest", _equal(_method, _form))
add("tags", "eth_getBalance with requireCanonical", _equal("eth_getBalance", "{blockHash, requireCanonical}"))


def _earliest(method: str, wanted: str) -> Any:
    async def run(w: World) -> None:
        args = READS[method](w)
        same(await w.node.call(method, *args, "earliest"), wanted, "earliest")
        same(await w.node.call(method, *args, "0x0"), wanted, "0x0")

    return run


for _method, _wanted in EMPTY.items():
    add("tags", f"{_method} at earliest shows nothing yet", _earliest(_method, _wanted))


@check("tags", "the block parameter may be left out")
async def _default(w: World) -> None:
    for method in ("eth_getBalance", "eth_getCode"):
        args = READS[method](w)
        same(await w.node.call(method, *args), await w.node.call(method, *args, "latest"), method)


@check("tags", "a call may leave out its block")
async def _default_call(w: World) -> None:
    args = READS["eth_call"](w)
    same(await w.node.call("eth_call", *args), await w.node.call("eth_call", *args, "latest"), "call")


@check("tags", "block 0 is there by number, by tag and by hash")
async def _genesis(w: World) -> None:
    first = await w.node.call("eth_getBlockByNumber", "0x0", False)
    same(first["number"], "0x0", "number")
    same(await w.node.call("eth_getBlockByNumber", "earliest", False), first, "earliest")
    same(await w.node.call("eth_getBlockByHash", first["hash"], False), first, "by hash")


@check("tags", "a pending block stands on the newest one")
async def _pending(w: World) -> None:
    pending = await w.node.call("eth_getBlockByNumber", "pending", False)
    latest = await w.node.call("eth_getBlockByNumber", "latest", False)
    same(pending["parentHash"], latest["hash"], "parent")
    same(int(pending["number"], 16), int(latest["number"], 16) + 1, "number")


@check("tags", "an old state is read at its height")
async def _history(w: World) -> None:
    heights = [int(w.sent[f"log{at}"]["blockNumber"], 16) for at in range(3)]
    found = [int(await w.node.call("eth_getStorageAt", w.logger, "0x0", hex(h)), 16) for h in heights]
    same(found, [1, 2, 3], "counts")


@check("tags", "an old call runs on the state of its height")
async def _old_call(w: World) -> None:
    height = w.sent["log0"]["blockNumber"]
    same(int(await w.node.call("eth_call", {"to": w.logger}, height), 16), 2, "count")


@check("tags", "finalized is never behind what a receipt says")
async def _final(w: World) -> None:
    done = await w.done(to=STRANGER, value=1, gas=21_000)
    found = await w.node.call("eth_getBlockByNumber", "finalized", False)
    must(int(found["number"], 16) >= int(done["blockNumber"], 16), found["number"])


# --- gas ----------------------------------------------------------------------------------------------------


def _transfer(fields: dict[str, Any]) -> Any:
    async def run(w: World) -> None:
        same(await w.node.call("eth_estimateGas", {"from": w.me.address, "to": STRANGER} | fields), "0x5208", "gas")

    return run


PRICES: dict[str, dict[str, Any]] = {
    "": {}, "with value": {"value": "0x1"}, "with gasPrice": {"value": "0x1", "gasPrice": hex(50 * GWEI)},
    "with fees": {"value": "0x1", "maxFeePerGas": hex(50 * GWEI), "maxPriorityFeePerGas": "0x1"},
    "with gas": {"value": "0x1", "gas": "0x5208"}, "with nonce": {"nonce": "0x0"}, "with type": {"type": "0x2"},
    "with empty data": {"data": "0x", "input": "0x"}, "with chainId": {},
}  # fmt: skip
for _name, _fields in PRICES.items():
    add("gas", f"a transfer {_name} estimates 0x5208".replace("  ", " "), _transfer(_fields))


def _exact(name: str) -> Any:
    async def run(w: World) -> None:
        calls: dict[str, dict[str, Any]] = {
            "a call": {"to": w.logger, "data": topics(30)},
            "a call within a call": {"to": w.forwarder},
            "a creation": {"data": "0x600a600c600039600a6000f3602a60005260206000f3"},
            "data that costs its floor": {"to": STRANGER, "data": "0x" + "11" * 2000},
        }
        fields = calls[name] | {"from": w.me.address}
        gas = int(await w.node.call("eth_estimateGas", fields), 16)
        await w.node.call("eth_call", fields | {"gas": hex(gas)}, "latest")
        await w.node.refusal("eth_call", fields | {"gas": hex(gas - 1)}, "latest")

    return run


async def _sent(w: World) -> None:
    fields = {"from": w.me.address, "to": w.forwarder}
    gas = int(await w.node.call("eth_estimateGas", fields), 16)
    same((await w.done(to=w.forwarder, gas=gas))["status"], "0x1", "status")
    same((await w.done(to=w.forwarder, gas=gas - 1))["status"], "0x0", "status with one gas less")


for _name in ("a call within a call", "a creation", "data that costs its floor"):
    add("gas", f"{_name}: the estimate succeeds, one less does not", _exact(_name))
add("gas", "a transaction with the estimate succeeds, with one gas less it fails", _sent)


@check("gas", "an estimate without a block is enough where code looks at the block's number")
async def _next_block(w: World) -> None:
    keeper = await w.deploy(assemble("1 NUMBER SSTORE"))  # a slot of its own for each block, as vote checkpoints have
    for _ in range(2):
        gas = int(await w.node.call("eth_estimateGas", {"from": w.me.address, "to": keeper}), 16)
        same((await w.done(to=keeper, gas=gas))["status"], "0x1", "status")


@check("gas", "data and input given together and equal are taken")
async def _both(w: World) -> None:
    fields = {"to": w.logger, "data": topics(1), "input": topics(1)}
    same(
        await w.node.call("eth_call", fields, "latest"),
        await w.node.call("eth_call", {"to": w.logger}, "latest"),
        "call",
    )
    await w.node.call("eth_estimateGas", fields)


@check("gas", "the base fee of every block is above zero")
async def _base_fee(w: World) -> None:
    head = int(await w.node.call("eth_blockNumber"), 16)
    for height in range(head + 1):
        block = await w.node.call("eth_getBlockByNumber", hex(height), False)
        must(int(block["baseFeePerGas"], 16) > 0, f"block {height}")


@check("gas", "the base fee follows EIP-1559")
async def _formula(w: World) -> None:
    blocks = [await w.node.call("eth_getBlockByNumber", hex(h), False) for h in range(1, 8)]
    for parent, child in itertools.pairwise(blocks):
        base, used, target = (
            int(parent["baseFeePerGas"], 16),
            int(parent["gasUsed"], 16),
            int(parent["gasLimit"], 16) // 2,
        )
        change = base * abs(used - target) // target // 8
        wanted = base + max(change, 1) if used > target else base - change
        found = int(child["baseFeePerGas"], 16)
        must(
            found == wanted or (found >= wanted and found == min(int(b["baseFeePerGas"], 16) for b in blocks)),
            f"{child['number']}: {found}, not {wanted}",
        )  # a floor below which it does not fall


@check("gas", "a history has one base fee more than blocks")
async def _history_fees(w: World) -> None:
    found = await w.node.call("eth_feeHistory", "0x4", "latest", [25])
    same((len(found["baseFeePerGas"]), len(found["gasUsedRatio"]), len(found["reward"])), (5, 4, 4), "lengths")
    head = await w.node.call("eth_getBlockByNumber", "latest", False)
    same(found["baseFeePerGas"][3], head["baseFeePerGas"], "newest")
    same(int(found["oldestBlock"], 16), int(head["number"], 16) - 3, "oldest")


@check("gas", "a transaction at the suggested price is mined")
async def _suggested(w: World) -> None:
    price = int(await w.node.call("eth_gasPrice"), 16)
    same((await w.done(to=STRANGER, value=1, gas=21_000, gasPrice=price))["status"], "0x1", "status")


@check("gas", "the effective price is base fee plus tip")
async def _effective(w: World) -> None:
    done = w.sent["transfer"]
    block = await w.node.call("eth_getBlockByHash", done["blockHash"], False)
    same(int(done["effectiveGasPrice"], 16), int(block["baseFeePerGas"], 16) + GWEI, "price")


@check("gas", "a transfer costs its sender exactly what the receipt says")
async def _cost(w: World) -> None:
    before = int(await w.node.call("eth_getBalance", w.me.address, "latest"), 16)
    done = await w.done(to=STRANGER, value=7, gas=21_000)
    after = int(await w.node.call("eth_getBalance", w.me.address, "latest"), 16)
    same(before - after, 7 + int(done["gasUsed"], 16) * int(done["effectiveGasPrice"], 16), "cost")


@check("gas", "an endless call ends with an error, and the node answers meanwhile")
async def _endless(w: World) -> None:
    found = await w.node.refusal("eth_call", {"to": w.loop, "gas": hex(2**40)}, "latest")
    must(found.code == -32000, str(found))
    same(await w.node.call("eth_chainId"), hex(w.chain_id), "afterwards")


@check("gas", "eight endless calls at once do not wedge the node")
async def _endless_many(w: World) -> None:
    tasks = [
        asyncio.create_task(w.node.refusal("eth_call", {"to": w.loop, "gas": hex(2**40)}, "latest")) for _ in range(8)
    ]
    await asyncio.sleep(0.2)
    async with asyncio.timeout(3):
        same(await w.node.call("eth_chainId"), hex(w.chain_id), "meanwhile")
    await asyncio.gather(*tasks)


@check("gas", "an override of a balance pays for a call")
async def _override_balance(w: World) -> None:
    fields = {"from": STRANGER, "to": w.me.address, "value": "0x1"}
    same(await w.node.call("eth_call", fields, "latest", {STRANGER: {"balance": hex(ETHER)}}), "0x", "call")


@check("gas", "an override of code is run")
async def _override_code(w: World) -> None:
    code = await w.node.call("eth_getCode", w.environment, "latest")
    found = await w.node.call("eth_call", {"to": STRANGER}, "latest", {STRANGER: {"code": code}})
    same(int(found[2 + 64 * 4 : 2 + 64 * 5], 16), w.chain_id, "chain id seen by the code")


@check("gas", "overrides of single and of all slots are read")
async def _override_state(w: World) -> None:
    slot, value = "0x" + "00" * 32, "0x" + "00" * 31 + "09"
    for form in ("state", "stateDiff"):
        found = await w.node.call("eth_call", {"to": w.logger}, "latest", {w.logger: {form: {slot: value}}})
        same(int(found, 16), 10, form)


@check("gas", "an override of a nonce moves the address that is created")
async def _override_nonce(w: World) -> None:
    code = "0x" + assemble("PUSH0 PUSH0 PUSH0 CREATE PUSH0 MSTORE 32 PUSH0 RETURN").hex()
    found = await w.node.call("eth_call", {"to": STRANGER}, "latest", {STRANGER: {"code": code, "nonce": "0x7"}})
    same(found[26:], keccak(rlp.encode([bytes.fromhex(STRANGER[2:]), 7]))[12:].hex(), "address")


@check("gas", "overrides of the block are seen by code")
async def _override_block(w: World) -> None:
    found = await w.node.call(
        "eth_call", {"to": w.environment}, "latest", {}, {"number": "0x1000", "time": "0x7fffffff"}
    )
    same(int(found[2 + 64 : 2 + 128], 16), 0x1000, "number")
    same(int(found[2 + 128 : 2 + 192], 16), 0x7FFFFFFF, "time")


@check("gas", "an access list makes its call no dearer than announced")
async def _access(w: World) -> None:
    fields = {"from": w.me.address, "to": w.forwarder}
    found = await w.node.call("eth_createAccessList", fields, "latest")
    gas = int(await w.node.call("eth_estimateGas", fields | {"accessList": found["accessList"]}), 16)
    must(gas >= int(found["gasUsed"], 16), f"{gas} < {found['gasUsed']}")
    must(w.logger.lower() in [e["address"].lower() for e in found["accessList"]], "the called contract is not listed")


@check("gas", "BLOCKHASH of the parent is its hash")
async def _blockhash(w: World) -> None:
    found = await w.node.call("eth_call", {"to": w.environment}, "latest")
    head = await w.node.call("eth_getBlockByNumber", hex(int(found[66:130], 16) - 1), False)
    must(int(found[2:66], 16) != 0, "zero")
    same("0x" + found[2:66], head["hash"], "hash")


@check("gas", "code sees the block's number, time, limit, coinbase and randomness")
async def _seen(w: World) -> None:
    head = await w.node.call("eth_getBlockByNumber", "latest", False)
    found = await w.node.call("eth_call", {"to": w.environment}, head["number"])
    words = [int(found[2 + 64 * at : 66 + 64 * at], 16) for at in range(12)]
    same(words[4], w.chain_id, "chain id")
    same(words[5], int(head["gasLimit"], 16), "gas limit")
    same(words[6], int(head["miner"], 16), "coinbase")
    must(words[1] - int(head["number"], 16) in (0, 1), "number")
    must(words[2] >= int(head["timestamp"], 16), "time")

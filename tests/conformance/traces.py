"""Groups ``traces`` and ``explorers``: geth's tracers, OpenEthereum's flat traces, what Otterscan asks for."""

from __future__ import annotations

from typing import Any

from conformance.forms import BLOCK, HEADER, faults
from conformance.node import must, same
from conformance.shapes import STRANGER, UNKNOWN_HASH
from conformance.world import World, add, check, topics


def shaped(group: str, claim: str, method: str, args: Any, form: Any) -> None:
    """A check of a result's form."""

    async def run(w: World) -> None:
        found = await w.node.call(method, *args(w))
        fault = next(faults(found, form), "")
        must(not fault, fault)

    add(group, claim, run)


CALL: dict[str, Any] = {
    "type": "text", "from": "address", "to": "address", "value?": "quantity", "gas": "quantity", "gasUsed": "quantity",
    "input": "data", "output?": "data",
}  # fmt: skip
STRUCT = {
    "gas": "number", "failed": "bool", "returnValue": "data",
    "structLogs": [{"pc": "number", "op": "text", "gas": "number", "gasCost": "number", "depth": "number",
                    "stack?": ["quantity"], "storage?": {"*": "any"}, "refund?": "number", "memory?": "any",
                    "error?": "text"}],
}  # fmt: skip


def tracer(name: str, **config: Any) -> dict[str, Any]:
    return {"tracer": name, "tracerConfig": config}


def _log(w: World) -> str:
    return w.hashes["log0"]


def _call(w: World) -> dict[str, Any]:
    return {"from": w.me.address, "to": w.forwarder}


STATE = {
    "*": {"balance?": "quantity", "nonce?": "number", "code?": "data", "codeHash?": "hash", "storage?": {"*": "word"}}
}

shaped("traces", "debug_traceTransaction: struct logs", "debug_traceTransaction", lambda w: [_log(w)], STRUCT)
shaped("traces", "callTracer", "debug_traceTransaction", lambda w: [_log(w), tracer("callTracer")], CALL)
shaped(
    "traces",
    "callTracer withLog",
    "debug_traceTransaction",
    lambda w: [_log(w), tracer("callTracer", withLog=True)],
    CALL
    | {
        "logs": [
            {"address": "address", "topics": ["word"], "data": "data", "position": "quantity", "index?": "quantity"}
        ]
    },
)
shaped(
    "traces",
    "callTracer of calls within calls",
    "debug_traceCall",
    lambda w: [_call(w), "latest", tracer("callTracer")],
    CALL | {"calls": [CALL]},
)
shaped(
    "traces",
    "callTracer onlyTopCall",
    "debug_traceCall",
    lambda w: [_call(w), "latest", tracer("callTracer", onlyTopCall=True)],
    CALL,
)
shaped(
    "traces",
    "callTracer of a revert has its reason",
    "debug_traceTransaction",
    lambda w: [w.hashes["reverted"], tracer("callTracer")],
    CALL | {"error": "execution reverted", "revertReason": "no"},
)
shaped("traces", "prestateTracer", "debug_traceTransaction", lambda w: [_log(w), tracer("prestateTracer")], STATE)
shaped(
    "traces",
    "prestateTracer diffMode",
    "debug_traceTransaction",
    lambda w: [_log(w), tracer("prestateTracer", diffMode=True)],
    {"pre": STATE, "post": STATE},
)
shaped(
    "traces",
    "4byteTracer",
    "debug_traceCall",
    lambda w: [{"to": w.logger, "data": topics(1)}, "latest", tracer("4byteTracer")],
    {"*": "number"},
)
shaped("traces", "noopTracer", "debug_traceTransaction", lambda w: [_log(w), tracer("noopTracer")], {})
shaped(
    "traces",
    "muxTracer",
    "debug_traceTransaction",
    lambda w: [_log(w), {"tracer": "muxTracer", "tracerConfig": {"callTracer": {}, "prestateTracer": {}}}],
    {"callTracer": CALL, "prestateTracer": STATE},
)
shaped("traces", "flatCallTracer", "debug_traceTransaction", lambda w: [_log(w), tracer("flatCallTracer")], ["any"])
shaped(
    "traces",
    "debug_traceBlockByNumber",
    "debug_traceBlockByNumber",
    lambda w: [w.sent["log0"]["blockNumber"], tracer("callTracer")],
    [{"txHash": "hash", "result": CALL}],
)
shaped(
    "traces",
    "debug_traceBlockByHash",
    "debug_traceBlockByHash",
    lambda w: [w.sent["log0"]["blockHash"], tracer("callTracer")],
    [{"txHash": "hash", "result": CALL}],
)
shaped("traces", "debug_traceCall: struct logs", "debug_traceCall", lambda w: [_call(w), "latest"], STRUCT)
shaped(
    "traces",
    "struct logs without stack",
    "debug_traceCall",
    lambda w: [_call(w), "latest", {"disableStack": True, "disableStorage": True}],
    STRUCT,
)
shaped(
    "traces",
    "a creation",
    "debug_traceTransaction",
    lambda w: [w.hashes["creation"], tracer("callTracer")],
    CALL | {"type": "CREATE"},
)


@check("traces", "callTracer's gas is that of the receipt")
async def _gas(w: World) -> None:
    for name in ("log0", "transfer", "creation", "reverted", "listed"):
        found = await w.node.call("debug_traceTransaction", w.hashes[name], tracer("callTracer"))
        same(found["gasUsed"], w.sent[name]["gasUsed"], name)


@check("traces", "a trace of a log has its storage write")
async def _ops(w: World) -> None:
    found = await w.node.call("debug_traceTransaction", _log(w))
    ops = [step["op"] for step in found["structLogs"]]
    must("SSTORE" in ops and "LOG4" in ops and ops[-1] == "RETURN", str(ops))
    same(found["gas"], int(w.sent["log0"]["gasUsed"], 16), "gas")


@check("traces", "a prestate is the state of before")
async def _prestate(w: World) -> None:
    found = await w.node.call("debug_traceTransaction", w.hashes["log1"], tracer("prestateTracer"))
    mine = {a.lower(): s for a, s in found.items()}[w.logger.lower()]
    same(int(mine["storage"]["0x" + "00" * 32], 16), 1, "count")


@check("traces", "an endless trace ends with an error, and the node answers meanwhile")
async def _endless(w: World) -> None:
    await w.node.refusal("debug_traceCall", {"to": w.loop, "gas": hex(2**40)}, "latest", {"timeout": "1s"})
    same(await w.node.call("eth_chainId"), hex(w.chain_id), "afterwards")


@check("traces", "trace_block and trace_transaction agree")
async def _flat(w: World) -> None:
    whole = await w.node.call("trace_block", w.sent["log0"]["blockNumber"])
    single = await w.node.call("trace_transaction", _log(w))
    must(single and all(item in whole for item in single), "they differ")
    same({"action", "blockHash", "blockNumber", "result", "subtraces", "traceAddress", "transactionHash",
          "transactionPosition", "type"} - set(single[0]), set(), "missing members")  # fmt: skip


@check("traces", "trace_filter finds by sender")
async def _filter(w: World) -> None:
    at = w.sent["log0"]["blockNumber"]
    found = await w.node.call("trace_filter", {"fromBlock": at, "toBlock": at, "fromAddress": [w.me.address]})
    must(_log(w) in [t["transactionHash"] for t in found], "not found")


@check("traces", "trace_replayTransaction")
async def _replay(w: World) -> None:
    found = await w.node.call("trace_replayTransaction", _log(w), ["trace"])
    must({"output", "trace", "stateDiff", "vmTrace"} <= set(found), str(set(found)))


@check("traces", "trace_call tells what eth_call gives")
async def _trace_call(w: World) -> None:
    call = {"from": w.me.address, "to": w.logger, "data": "0x00"}
    found = await w.node.call("trace_call", call, ["trace"], "latest")
    must({"output", "trace", "stateDiff", "vmTrace"} <= set(found), str(set(found)))
    same(found["output"], await w.node.call("eth_call", call, "latest"), "output")


@check("traces", "trace_callMany leaves no trace on the chain")
async def _trace_calls(w: World) -> None:
    other = "0x" + "5e" * 20
    give = {"from": w.me.address, "to": other, "value": "0x5"}
    found = await w.node.call("trace_callMany", [[give, ["stateDiff"]], [give, ["stateDiff"]]], "latest")
    first, second = (one["stateDiff"][other]["balance"] for one in found)
    same((first["+"], second["*"]["to"]), ("0x5", "0xa"), "balances")
    same(await w.node.call("eth_getBalance", other, "latest"), "0x0", "balance afterwards")


@check("explorers", "ots_getApiLevel is 8")
async def _level(w: World) -> None:
    same(await w.node.call("ots_getApiLevel"), 8, "level")


shaped("explorers", "ots_hasCode", "ots_hasCode", lambda w: [w.logger, "latest"], True)
shaped("explorers", "ots_hasCode of an account", "ots_hasCode", lambda w: [w.me.address, "latest"], False)
shaped(
    "explorers",
    "erigon_getHeaderByNumber",
    "erigon_getHeaderByNumber",
    lambda w: [w.sent["log0"]["blockNumber"]],
    HEADER | {"size?": "quantity"},
)
shaped("explorers", "ots_getInternalOperations", "ots_getInternalOperations", lambda w: [_log(w)], ["any"])
shaped("explorers", "ots_getTransactionError of a success", "ots_getTransactionError", lambda w: [_log(w)], "0x")
shaped(
    "explorers",
    "ots_traceTransaction",
    "ots_traceTransaction",
    lambda w: [_log(w)],
    [
        {
            "type": "text",
            "depth": "number",
            "from": "address",
            "to": "address",
            "value": ("quantity", None),
            "input": "data",
            "output?": "data",
        }
    ],
)


@check("explorers", "ots_getBlockDetails counts and adds up fees")
async def _details(w: World) -> None:
    found = await w.node.call("ots_getBlockDetails", w.sent["log0"]["blockNumber"])
    must({"block", "issuance", "totalFees"} <= set(found), str(set(found)))
    must("logsBloom" in found["block"] or "transactionCount" in found["block"], "block")
    fees = sum(int(r["gasUsed"], 16) * int(r["effectiveGasPrice"], 16)
               for r in await w.node.call("eth_getBlockReceipts", w.sent["log0"]["blockNumber"]))  # fmt: skip
    same(int(found["totalFees"], 16), fees, "fees")


@check("explorers", "ots_getBlockTransactions: a page")
async def _page(w: World) -> None:
    found = await w.node.call("ots_getBlockTransactions", w.sent["log0"]["blockNumber"], 0, 10)
    must({"fullblock", "receipts"} <= set(found), str(set(found)))
    same(len(found["fullblock"]["transactions"]), len(found["receipts"]), "lengths")


@check("explorers", "ots_searchTransactionsBefore finds an account's transactions")
async def _search(w: World) -> None:
    found = await w.node.call("ots_searchTransactionsBefore", w.me.address, 0, 25)
    must({"txs", "receipts", "firstPage", "lastPage"} <= set(found), str(set(found)))
    must(len(found["txs"]) >= 10, "too few")
    nonces = [int(t["nonce"], 16) for t in found["txs"] if t["from"].lower() == w.me.address.lower()]
    same(nonces, sorted(nonces, reverse=True), "order")


@check("explorers", "ots_searchTransactionsAfter")
async def _after(w: World) -> None:
    found = await w.node.call("ots_searchTransactionsAfter", w.me.address, 0, 5)
    same(len(found["txs"]) >= 5, True, "count")


@check("explorers", "ots_getTransactionBySenderAndNonce")
async def _by_nonce(w: World) -> None:
    tx = await w.node.call("eth_getTransactionByHash", _log(w))
    same(await w.node.call("ots_getTransactionBySenderAndNonce", w.me.address, int(tx["nonce"], 16)), _log(w), "hash")


@check("explorers", "ots_getContractCreator")
async def _creator(w: World) -> None:
    found = await w.node.call("ots_getContractCreator", w.sent["creation"]["contractAddress"])
    same((found["hash"], found["creator"].lower()), (w.hashes["creation"], w.me.address.lower()), "creator")


@check("explorers", "ots_getTransactionError of a revert")
async def _error(w: World) -> None:
    must((await w.node.call("ots_getTransactionError", w.hashes["reverted"])).startswith("0x08c379a0"), "no data")


@check("explorers", "rpc.discover describes what is served")
async def _discover(w: World) -> None:
    found = await w.node.call("rpc.discover")
    names = {method["name"] for method in found["methods"]}
    must({"eth_chainId", "eth_getProof", "debug_traceCall", "rpc.discover"} <= names, "methods are missing")


# --- what clients ask for by themselves -----------------------------------------------------------------------


@check("clients", "viem: eth_fillTransaction gives nonce, gas and fees")
async def _fill(w: World) -> None:
    found = await w.node.call("eth_fillTransaction", {"from": w.me.address, "to": STRANGER, "value": "0x1"})
    tx = found["tx"]
    same((int(tx["nonce"], 16), tx["gas"]), (w.nonce, "0x5208"), "nonce and gas")
    must(int(tx["maxFeePerGas"], 16) >= int(tx["maxPriorityFeePerGas"], 16), "fees")


@check("clients", "cast: eth_getAccountInfo")
async def _info(w: World) -> None:
    found = await w.node.call("eth_getAccountInfo", w.logger, "latest")
    same(set(found), {"balance", "nonce", "code"}, "members")
    same(found["code"], await w.node.call("eth_getCode", w.logger, "latest"), "code")


@check("clients", "MetaMask: net_version is decimal, chainId hex, and both are one number")
async def _network(w: World) -> None:
    version, chain = await w.node.call("net_version"), await w.node.call("eth_chainId")
    same(int(version), int(chain, 16), "number")


@check("clients", "MetaMask: the newest block has a base fee")
async def _fee(w: World) -> None:
    must((await w.node.call("eth_getBlockByNumber", "latest", False)).get("baseFeePerGas"), "none")


@check("clients", "ethers: a pending transaction has null places")
async def _null(w: World) -> None:
    same(await w.node.call("eth_getTransactionByHash", UNKNOWN_HASH), None, "unknown")


@check("clients", "Multicall3 stands where clients look for it")
async def _multicall(w: World) -> None:
    must(len(await w.node.call("eth_getCode", "0xcA11bde05977b3631167028862bE2a173976CA11", "latest")) > 10, "no code")


@check("clients", "Foundry: the CREATE2 deployer stands where it is expected")
async def _create2(w: World) -> None:
    must(len(await w.node.call("eth_getCode", "0x4e59b44847b379578588920cA78FbF26c0B4956C", "latest")) > 10, "no code")


@check("clients", "The Graph: a block by hash has all that its header commits to")
async def _graph(w: World) -> None:
    found = await w.node.call("eth_getBlockByHash", w.sent["log0"]["blockHash"], False)
    must(not list(faults(found, BLOCK)), next(faults(found, BLOCK), ""))

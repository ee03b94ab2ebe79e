"""Group ``forms``: the result of every method has the form that execution-apis gives it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance import forms
from conformance.forms import BLOCK, FULL_BLOCK, LOG, PROOF, RECEIPT, faults
from conformance.node import must, same
from conformance.world import World, add, check, topic, topics

Args = Callable[[World], list[Any]]

UNKNOWN_HASH = "0x" + "ee" * 32
STRANGER = "0x" + "5a" * 20
"""Who is sent small change."""
NOBODY = "0x" + "5b" * 20
"""Whom nobody ever sent anything."""


def _block(w: World) -> str:
    return str(w.sent["log0"]["blockNumber"])


def _hash(w: World) -> str:
    return str(w.sent["log0"]["blockHash"])


def _tx(w: World) -> str:
    return w.hashes["log0"]


def _call(w: World) -> dict[str, Any]:
    return {"from": w.me.address, "to": w.logger, "data": topics(1)}


FEES = {
    "oldestBlock": "quantity", "baseFeePerGas": ["quantity"], "gasUsedRatio": ["number"],
    "baseFeePerBlobGas?": ["quantity"], "blobGasUsedRatio?": ["number"],
}  # fmt: skip
SIMULATED = FULL_BLOCK | BLOCK | {
    "transactions": (["hash"], ["any"]),
    "calls": [{"returnData": "data", "logs": [LOG], "gasUsed": "quantity", "maxUsedGas?": "quantity",
               "status": "quantity", "error?": "any"}],
}  # fmt: skip

TABLE: list[tuple[str, str, Args, Any]] = [
    ("eth_chainId", "", lambda _: [], "quantity"),
    ("eth_blockNumber", "", lambda _: [], "quantity"),
    ("eth_syncing", "", lambda _: [], False),
    ("eth_accounts", "", lambda _: [], ["address"]),
    ("eth_coinbase", "", lambda _: [], "address"),
    ("eth_gasPrice", "", lambda _: [], "quantity"),
    ("eth_maxPriorityFeePerGas", "", lambda _: [], "quantity"),
    ("eth_blobBaseFee", "", lambda _: [], "quantity"),
    ("eth_baseFee", "", lambda _: [], "quantity"),
    ("eth_config", "", lambda _: [], {"current": "any", "next": "any", "last": "any"}),
    ("eth_feeHistory", "", lambda _: ["0x3", "latest", []], FEES),
    ("eth_feeHistory", "with percentiles", lambda _: ["0x3", "latest", [10, 90]], FEES | {"reward": [["quantity"]]}),
    ("eth_getBalance", "", lambda w: [w.me.address, "latest"], "quantity"),
    ("eth_getBalance", "of a stranger", lambda _: [NOBODY, "latest"], "0x0"),
    ("eth_getTransactionCount", "", lambda w: [w.me.address, "latest"], "quantity"),
    ("eth_getTransactionCount", "of a stranger", lambda _: [NOBODY, "latest"], "0x0"),
    ("eth_getCode", "", lambda w: [w.logger, "latest"], "data"),
    ("eth_getCode", "of a stranger", lambda _: [NOBODY, "latest"], "0x"),
    ("eth_getStorageAt", "", lambda w: [w.logger, "0x0", "latest"], "word"),
    ("eth_getStorageAt", "by a whole word", lambda w: [w.logger, "0x" + "00" * 32, "latest"], "word"),
    ("eth_getStorageAt", "of a stranger", lambda _: [NOBODY, "0x5", "latest"], "0x" + "00" * 32),
    ("eth_getStorageValues", "", lambda w: [{w.logger: ["0x" + "00" * 32]}, "latest"], {"*": ["word"]}),
    ("eth_getProof", "", lambda w: [w.logger, ["0x0"], "latest"], PROOF),
    ("eth_getProof", "of a stranger", lambda _: [NOBODY, [], "latest"], PROOF),
    ("eth_call", "", lambda w: [_call(w), "latest"], "word"),
    ("eth_call", "of an account without code", lambda w: [{"to": NOBODY}, "latest"], "0x"),
    ("eth_estimateGas", "", lambda w: [_call(w)], "quantity"),
    ("eth_createAccessList", "", lambda w: [_call(w), "latest"], {"accessList": forms.ACCESS, "gasUsed": "quantity"}),
    ("eth_simulateV1", "", lambda w: [{"blockStateCalls": [{"calls": [_call(w)]}]}, "latest"], [SIMULATED]),
    ("eth_getBlockByNumber", "", lambda w: [_block(w), False], BLOCK),
    ("eth_getBlockByNumber", "with transactions", lambda w: [_block(w), True], FULL_BLOCK),
    ("eth_getBlockByNumber", "0", lambda _: ["0x0", True], FULL_BLOCK),
    ("eth_getBlockByNumber", "of the future", lambda _: ["0xffffffff", True], None),
    ("eth_getBlockByHash", "", lambda w: [_hash(w), False], BLOCK),
    ("eth_getBlockByHash", "with transactions", lambda w: [_hash(w), True], FULL_BLOCK),
    ("eth_getBlockByHash", "unknown", lambda _: [UNKNOWN_HASH, False], None),
    ("eth_getBlockTransactionCountByNumber", "", lambda w: [_block(w)], "quantity"),
    ("eth_getBlockTransactionCountByNumber", "of the future", lambda _: ["0xffffffff"], None),
    ("eth_getBlockTransactionCountByHash", "", lambda w: [_hash(w)], "quantity"),
    ("eth_getBlockTransactionCountByHash", "unknown", lambda _: [UNKNOWN_HASH], None),
    ("eth_getUncleCountByBlockNumber", "", lambda w: [_block(w)], "0x0"),
    ("eth_getUncleCountByBlockHash", "", lambda w: [_hash(w)], "0x0"),
    ("eth_getUncleByBlockNumberAndIndex", "", lambda w: [_block(w), "0x0"], None),
    ("eth_getUncleByBlockHashAndIndex", "", lambda w: [_hash(w), "0x0"], None),
    ("eth_getBlockReceipts", "", lambda w: [_block(w)], [RECEIPT]),
    ("eth_getBlockReceipts", "by hash", lambda w: [_hash(w)], [RECEIPT]),
    ("eth_getBlockReceipts", "of the future", lambda _: ["0xffffffff"], None),
    ("eth_getTransactionReceipt", "", lambda w: [_tx(w)], RECEIPT),
    ("eth_getTransactionReceipt", "of a creation", lambda w: [w.hashes["creation"]], RECEIPT | {"to": None}),
    ("eth_getTransactionReceipt", "of a revert", lambda w: [w.hashes["reverted"]], RECEIPT | {"status": "0x0"}),
    ("eth_getTransactionReceipt", "unknown", lambda _: [UNKNOWN_HASH], None),
    ("eth_getTransactionByHash", "type 0", lambda w: [w.hashes["legacy"]], forms.LEGACY | {"type": "0x0"}),
    ("eth_getTransactionByHash", "type 1", lambda w: [w.hashes["listed"]], forms.LISTED | {"type": "0x1"}),
    ("eth_getTransactionByHash", "type 2", lambda w: [w.hashes["log0"]], forms.DYNAMIC | {"type": "0x2"}),
    ("eth_getTransactionByHash", "type 4", lambda w: [w.hashes["delegated"]], forms.DELEGATED | {"type": "0x4"}),
    ("eth_getTransactionByHash", "unknown", lambda _: [UNKNOWN_HASH], None),
    ("eth_getTransactionByBlockNumberAndIndex", "", lambda w: [_block(w), "0x0"], forms.TRANSACTION),
    ("eth_getTransactionByBlockNumberAndIndex", "beyond the last", lambda w: [_block(w), "0xff"], None),
    ("eth_getTransactionByBlockHashAndIndex", "", lambda w: [_hash(w), "0x0"], forms.TRANSACTION),
    ("eth_getTransactionByBlockHashAndIndex", "unknown", lambda _: [UNKNOWN_HASH, "0x0"], None),
    ("eth_getRawTransactionByHash", "", lambda w: [_tx(w)], "data"),
    ("eth_getRawTransactionByBlockNumberAndIndex", "", lambda w: [_block(w), "0x0"], "data"),
    ("eth_getRawTransactionByBlockHashAndIndex", "", lambda w: [_hash(w), "0x0"], "data"),
    ("eth_getLogs", "", lambda w: [{"fromBlock": "0x0", "toBlock": "latest", "address": w.logger}], [LOG]),
    ("eth_getLogs", "by block hash", lambda w: [{"blockHash": _hash(w)}], [LOG]),
    ("eth_newFilter", "", lambda w: [{"address": w.logger}], "quantity"),
    ("eth_newBlockFilter", "", lambda _: [], "quantity"),
    ("eth_newPendingTransactionFilter", "", lambda _: [], "quantity"),
    ("eth_uninstallFilter", "unknown", lambda _: ["0x123456789abcdef"], False),
    ("eth_fillTransaction", "", lambda w: [_call(w)], {"raw": "data", "tx": "any"}),
    ("net_version", "", lambda _: [], "decimal"),
    ("net_listening", "", lambda _: [], "bool"),
    ("net_peerCount", "", lambda _: [], "quantity"),
    ("web3_clientVersion", "", lambda _: [], "text"),
    ("web3_sha3", "", lambda _: ["0x68656c6c6f"], "0x1c8aff950685c2ed4bc3174f3472287b56d9517b9c948127319a09a7a36deac8"),
    ("rpc_modules", "", lambda _: [], {"*": "text"}),
    ("txpool_status", "", lambda _: [], {"pending": "quantity", "queued": "quantity"}),
    ("txpool_content", "", lambda _: [], {"pending": "any", "queued": "any"}),
    ("txpool_contentFrom", "", lambda w: [w.me.address], {"pending": "any", "queued": "any"}),
    ("txpool_inspect", "", lambda _: [], {"pending": "any", "queued": "any"}),
    ("debug_getRawHeader", "", lambda w: [_block(w)], "data"),
    ("debug_getRawBlock", "", lambda w: [_block(w)], "data"),
    ("debug_getRawReceipts", "", lambda w: [_block(w)], ["data"]),
    ("debug_getRawTransaction", "", lambda w: [_tx(w)], "data"),
    ("debug_getBadBlocks", "", lambda _: [], []),
]  # fmt: skip


def _shaped(method: str, args: Args, form: Any) -> Any:
    async def run(w: World) -> None:
        found = await w.node.call(method, *args(w))
        for fault in faults(found, form):
            must(False, fault)

    return run


for _method, _more, _args, _form in TABLE:
    add("forms", f"{_method} {_more}".strip(), _shaped(_method, _args, _form))


@check("forms", "eth_newPendingTransactionFilter, eth_getFilterChanges of blocks and logs")
async def _filter_changes(w: World) -> None:
    blocks, logs = await w.node.call("eth_newBlockFilter"), await w.node.call("eth_newFilter", {"address": w.logger})
    done = await w.done(to=w.logger, data=topics(20))
    found = await w.node.call("eth_getFilterChanges", blocks)
    must(done["blockHash"] in found, "the block is not among the changes")
    changes = await w.node.call("eth_getFilterChanges", logs)
    must(not list(faults(changes, [LOG])), next(faults(changes, [LOG]), ""))
    same(len(changes), 1, "logs")


@check("forms", "eth_getFilterLogs")
async def _filter_logs(w: World) -> None:
    query = {"fromBlock": "0x0", "address": w.logger, "topics": [topic(0, 0)]}
    found = await w.node.call("eth_getFilterLogs", await w.node.call("eth_newFilter", query))
    must(not list(faults(found, [LOG])), next(faults(found, [LOG]), ""))
    same(found, w.sent["log0"]["logs"], "logs")


@check("forms", "an answer has jsonrpc, id and result, and nothing else")
async def _members(w: World) -> None:
    same(set(await w.node.answer("eth_chainId")), {"jsonrpc", "id", "result"}, "members")


@check("forms", "an error has code and message")
async def _error_members(w: World) -> None:
    found = await w.node.answer("eth_nothing")
    must({"jsonrpc", "id", "error"} == set(found), f"members {set(found)}")
    must(isinstance(found["error"]["code"], int) and isinstance(found["error"]["message"], str), str(found["error"]))
